"""A run is evaluated: numbers computed a second time, and kept as long as they hold."""

import dataclasses
import json
import os
import shutil
import time

import numpy as np
import pytest
from skimage.color import rgb2lab

from helpers import configuration as tiny
from helpers import runs
from helpers.pictures import list_portraits, open_picture, read_records
from tfstyle.analysis.evaluation import style as style_evaluation
from tfstyle.analysis.evaluation.run import Evaluation, evaluate_run, load_current
from tfstyle.analysis.results import to_json
from tfstyle.data import record_writer
from tfstyle.data.collections import splits
from tfstyle.data.pictures import Conversion
from tfstyle.metrics import retrieval
from tfstyle.metrics.repeats import flatten_means
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.runs.trained_run import TrainedRun

STAGES = tuple(tiny.STEPS)
LOG_KEYS = {
    "kind",
    "stage",
    "step",
    "name",
    "value",
    "count",
    "seed",
    "seconds",
    "time",
}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> TrainedRun:
    copy = tmp_path_factory.mktemp("measured") / "run"
    return TrainedRun(shutil.copytree(tiny_run, copy))


@pytest.fixture(scope="module")
def logged_before(tiny_run) -> dict[str, int]:
    return {
        stage: len((tiny_run / stage / "metrics.jsonl").read_text().splitlines())
        for stage in STAGES
    }


@pytest.fixture(scope="module")
def evaluation(run, logged_before) -> Evaluation:
    return evaluate_run(run)


def read_split(dataset, split) -> tuple[np.ndarray, np.ndarray]:
    """Scaled Lab float64 [n, size, size, 3] and labels, without tfstyle's readers."""
    images, labels = [], []
    for _, label, data in read_records(dataset.shard_paths(split)):
        lab = rgb2lab(np.asarray(open_picture(data).convert("RGB")))
        images.append(lab / [50, 110, 110] - [1, 0, 0])
        labels.append(label)
    return np.stack(images), np.array(labels)


@pytest.fixture(scope="module")
def unseen(small_records):
    images, labels = read_split(small_records, "test")
    assert np.bincount(labels).tolist() == [4, 4, 4]
    return images.astype(np.float32), labels


def raw_codes(run, images, stage="metric") -> np.ndarray:
    return run.network(stage, "style_encoder")(images).numpy().astype(np.float64)


def style_codes(run, images) -> np.ndarray:
    """Prune and normalize codes by hand."""
    with np.load(run.path / "metric" / "style_statistics.npz") as statistics:
        codes = raw_codes(run, images)[:, : tiny.STYLE_DIMS]
        return (codes - statistics["mean"]) / statistics["deviation"]


def test_the_run_is_described(evaluation):
    assert evaluation.artists == 3
    assert (evaluation.train_pictures, evaluation.test_pictures) == (60, 12)
    assert evaluation.steps == tiny.STEPS


def test_accuracy_is_that_of_the_nearest_presumed_style(evaluation, run, unseen):
    images, labels = unseen
    codes = raw_codes(run, images)
    styles = run.folder("metric").read_array("presumed_styles/styles")
    expected = []
    for d in range(1, 17):
        hits = 0
        for code, label in zip(codes, labels, strict=True):
            distances = [np.linalg.norm(code[:d] - style[:d]) for style in styles]
            hits += np.argmin(distances) == label
        expected.append(hits / 12)

    measured = evaluation.style.metric

    assert len(set(expected)) > 1  # else this could not fail
    np.testing.assert_allclose(measured.every_accuracy, expected)
    assert measured.dims == [1, 2, 4, 8, 16]
    np.testing.assert_allclose(
        measured.accuracy, [expected[d - 1] for d in measured.dims]
    )


def test_dimensions_are_recommended_by_validation_pictures(evaluation, run):
    images, labels = read_split(run.dataset, "validation")
    codes = raw_codes(run, images.astype(np.float32))
    styles = run.folder("metric").read_array("presumed_styles/styles")
    accuracy = []
    for d in range(1, 17):
        distances = np.linalg.norm(codes[:, None, :d] - styles[None, :, :d], axis=2)
        accuracy.append((distances.argmin(axis=1) == labels).mean())
    first = next(d for d in range(1, 17) if accuracy[d - 1] >= accuracy[-1] - 0.01)

    assert evaluation.style.metric.recommended_dims == first


def test_the_classifiers_accuracy_is_that_of_its_largest_logit(evaluation, run, unseen):
    images, labels = unseen
    features = raw_codes(run, images, "classifier")
    read_array = run.folder("classifier").read_array
    kernel, bias = read_array("artist_logits/kernel"), read_array("artist_logits/bias")

    measured = evaluation.style.classifier.every_accuracy

    for d in range(1, 17):
        logits = features[:, :d] @ kernel[:d] + bias
        assert measured[d - 1] == pytest.approx((logits.argmax(1) == labels).mean())


def test_the_variance_ratio_is_equation_10(evaluation, run, unseen):
    images, labels = unseen
    for stage in ("metric", "classifier"):
        codes = raw_codes(run, images, stage)
        measured = getattr(evaluation.style, stage).every_variance_ratio
        for d in (1, 4, 16):
            part = codes[:, :d]
            means = np.stack([part[labels == k].mean(axis=0) for k in range(3)])
            within = np.square(part - means[labels]).sum(axis=1).mean()
            between = np.mean(
                [
                    np.square(a - b).sum()
                    for a, i in zip(part, labels, strict=True)
                    for b, j in zip(part, labels, strict=True)
                    if i != j
                ]
            )
            assert measured[d - 1] == pytest.approx(within / between, rel=1e-4)


def test_retrieval_is_that_of_the_pruned_codes_by_loops(evaluation, run, unseen):
    images, labels = unseen
    codes = raw_codes(run, images)[:, : tiny.STYLE_DIMS]
    first, precisions = [], []
    for q in range(12):
        others = [i for i in range(12) if i != q]
        others.sort(key=lambda i: np.linalg.norm(codes[i] - codes[q]))
        correct = [labels[i] == labels[q] for i in others]
        first.append(correct[0])
        # Each artist has three other test pictures.
        hits = [correct[i] * sum(correct[: i + 1]) / (i + 1) for i in range(3)]
        precisions.append(sum(hits) / 3)

    measured = evaluation.style.retrieval

    assert set(to_json(measured)) == {
        *("queries", "recall@1", "recall@5", "recall@10", "map@r")
    }
    assert measured.queries == 12
    assert measured.recall_at_1 == pytest.approx(np.mean(first))
    assert measured.map_at_r == pytest.approx(np.mean(precisions))
    assert evaluation.style.unseen_artists is None  # there is no holdout


def test_unseen_artists_are_those_held_out(tiny_run, tmp_path):
    """Four artists of ten pictures held out: known by 1 and by 5, not by all ten."""
    sources = list_portraits(artists=range(3, 9), count=10)
    rule = splits.SplitRule(
        min_images_per_artist=10, min_test_images=2, holdout_artists=4
    )
    dataset = record_writer.write_dataset(
        str(tmp_path / "records"), sources, Conversion(tiny.IMAGE_SIZE), rule
    )
    # The networks of the run, as if they were trained on these records.
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))
    folder = run.folder("metric")
    description = folder.read()
    collection = dataclasses.replace(
        description.dataset,
        records_dir=dataset.records_dir,
        digest=dataset.digest,
        split_digest=dataset.split_digest,
    )
    folder.write(dataclasses.replace(description, dataset=collection))
    images, labels = read_split(dataset, "holdout")
    codes = raw_codes(run, images.astype(np.float32))[:, : tiny.STYLE_DIMS]

    evaluation = evaluate_run(run)

    measured = evaluation.style.unseen_artists
    assert list(measured) == ["1", "5"]
    for count, result in measured.items():
        accuracy, deviation = retrieval.enrolled_accuracy(
            codes,
            labels,
            int(count),
            style_evaluation.SEED,
            style_evaluation.ENROLLMENTS,
        )
        # Rounding may move a picture that lies between two artists.
        assert result.accuracy == pytest.approx(accuracy, abs=0.01)
        assert result.deviation == pytest.approx(deviation, abs=0.01)
        assert (result.artists, result.chance) == (4, 0.25)
    text = "\n".join(evaluation.summarize())
    assert f"enrolled with 5 pictures: {measured['5'].accuracy:.1%} +- " in text
    assert "(chance 25.0%)" in text
    logged = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    values = {line["name"]: line for line in logged}
    assert values["unseen_artists/accuracy_1"]["count"] == 40


def test_the_mean_pictures_error_is_scikit_images(evaluation, small_records, unseen):
    train, _ = read_split(small_records, "train")
    assert len(train) == 60
    mean = train.mean(axis=0)
    errors = [np.square(image - mean).sum() for image in unseen[0].astype(float)]

    assert evaluation.content.mean_picture_error == pytest.approx(
        np.mean(errors), rel=1e-4
    )


def test_the_reconstruction_error_is_that_of_a_loop(evaluation, run, unseen):
    images, _ = unseen
    styles = style_codes(run, images).astype(np.float32)
    means = run.network("vae", "content_encoder")(images)[0].numpy()
    decoder = run.network("vae", "content_decoder")
    content = evaluation.content

    assert content.dims == [1, 2, 4, 6, 8, 12]  # 6 are kept
    for d, measured in zip(content.dims, content.errors, strict=True):
        errors = []
        for image, style, mean in zip(images, styles, means, strict=True):
            code = np.where(np.arange(12) < d, mean, 0).astype(np.float32)
            (decoded,) = decoder([style[None], code[None]]).numpy()
            errors.append(np.square(decoded.astype(float) - image).sum())
        assert measured == pytest.approx(np.mean(errors), rel=1e-4)
    assert len({round(error, 3) for error in content.errors}) > 1
    assert content.kept_dims == tiny.CONTENT_DIMS
    assert content.kept_error == content.errors[3]
    assert content.unseen is True


def test_evaluation_json_holds_what_is_returned(evaluation, run):
    written = json.loads((run.path / "evaluation.json").read_text())

    assert written == to_json(evaluation)
    assert set(written) >= {"style", "content", "generator"}
    assert Evaluation.read(run) == load_current(run) == evaluation


@pytest.mark.parametrize(
    "change", [{"format": 3}, {"extra": 1}, {"artists": None}, {"style": {"extra": 1}}]
)
def test_numbers_of_another_format_are_not_read(change, evaluated):
    path = evaluated.path / "evaluation.json"
    values = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    assert Evaluation.read(evaluated) is None
    assert load_current(evaluated) is None


def test_each_number_is_a_line_of_its_stages_log(evaluation, run, logged_before):
    added = {}
    for stage in STAGES:
        lines = run.folder(stage).metrics_file.read_text().splitlines()
        added[stage] = [json.loads(line) for line in lines[logged_before[stage] :]]
        for line in added[stage]:
            assert set(line) == LOG_KEYS
            assert (line["kind"], line["stage"]) == ("eval", stage)
            assert (line["step"], line["seed"]) == (tiny.STEPS[stage], 0)
    values = {
        stage: {line["name"]: line["value"] for line in lines}
        for stage, lines in added.items()
    }

    for stage in ("metric", "classifier"):
        curves = {"figure_1/": getattr(evaluation.style, stage)}
        if stage == "classifier":
            curves["figure_1/means_"] = evaluation.style.classifier_means
        expected = {
            f"{group}{name}_{d}": pytest.approx(getattr(measured, name)[k])
            for group, measured in curves.items()
            for name in ("accuracy", "variance_ratio")
            for k, d in enumerate(measured.dims)
        }
        if stage == "metric":
            expected |= {
                f"retrieval/{name}": value
                for name, value in to_json(evaluation.style.retrieval).items()
                if name != "queries"
            }
        assert values[stage] == expected
        assert {line["count"] for line in added[stage]} == {12}
    assert values["vae"]["reconstruction_error_6"] == evaluation.content.kept_error
    assert {line["count"] for line in added["vae"]} == {12}
    assert values["gan"] == flatten_means(to_json(evaluation.generator), "generated")


def test_training_never_loses_a_line_to_measuring(tiny_run, run, evaluation):
    for stage in STAGES:
        before = (tiny_run / stage / "metrics.jsonl").read_text()
        assert run.folder(stage).metrics_file.read_text().startswith(before)


def test_the_summary_has_the_numbers(evaluation):
    text = "\n".join(evaluation.summarize())

    assert "12 test pictures of 3 artists; metric 40, classifier 20" in text
    assert f"   4  {evaluation.style.metric.accuracy[2]:6.1%}" in text
    assert f"test pictures: {evaluation.style.retrieval.map_at_r:.1%}" in text
    assert "content dimensions: 6 kept" in text
    assert f"generated pictures: {evaluation.generator.classifier_accuracy:.1%}" in text
    assert f"error of test pictures: {evaluation.content.kept_error:.1f}" in text


@pytest.mark.parametrize("stage", STAGES)
def test_numbers_of_other_weights_than_a_stages_are_not_read(evaluated, stage):
    assert load_current(evaluated)
    runs.change_weights(evaluated.path, stage)

    assert load_current(evaluated) is None


def test_numbers_of_codes_pruned_otherwise_are_not_read(evaluated):
    path = evaluated.path / "metric" / "style_statistics.npz"
    statistics = CodeStatistics.read(path)
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(path)

    assert load_current(evaluated) is None


def test_numbers_of_a_copied_run_hold_whatever_its_files_times(evaluated, evaluation):
    for path in evaluated.path.rglob("FINISHED"):
        os.utime(path, (time.time() + 60, time.time() + 60))

    result = evaluate_run(evaluated, stages=[])

    assert result.unmeasured is None
    assert result == evaluation
    assert load_current(evaluated) == result


@pytest.fixture
def evaluated(run, evaluation, tmp_path) -> TrainedRun:
    """A copy of an evaluated run, to evaluate again."""
    return TrainedRun(shutil.copytree(run.path, tmp_path / "run"))


def test_measuring_one_stage_keeps_the_others_numbers(evaluated, evaluation):
    path = evaluated.path / "evaluation.json"
    written = json.loads(path.read_text())
    written["content"]["kept_error"] = -1
    written["style"]["metric"]["accuracy"] = [-2]
    written["style"]["classifier"]["accuracy"] = [-3]
    path.write_text(json.dumps(written))
    before = {
        stage: evaluated.folder(stage).metrics_file.read_text() for stage in STAGES
    }

    result = evaluate_run(evaluated, stages=["classifier"])

    assert result.content.kept_error == -1
    assert result.style.metric.accuracy == [-2]
    assert result.style.classifier == evaluation.style.classifier
    assert result.style.retrieval == evaluation.style.retrieval
    assert result.generator == evaluation.generator
    assert result.unmeasured is None
    assert load_current(evaluated) == result
    for stage, text in before.items():
        unchanged = evaluated.folder(stage).metrics_file.read_text() == text
        assert unchanged == (stage != "classifier")


def test_numbers_of_a_stage_trained_since_are_not_kept(evaluated, caplog):
    runs.change_weights(evaluated.path, "vae")

    result = evaluate_run(evaluated, stages=["metric"])

    assert result.style.metric and result.style.classifier
    # The generator's numbers depend on the codes of the vae stage.
    assert result.unmeasured == ["vae", "gan"]
    assert result.content is None and result.generator is None
    assert "not measured yet: vae, gan" in caplog.messages
    # So figures measure again, but not for what needs the style alone.
    assert load_current(evaluated) is None
    assert load_current(evaluated, ["metric", "classifier"])
    assert result.summarize()

    result = evaluate_run(evaluated, stages=["classifier"])
    assert result.unmeasured == ["vae", "gan"]
