"""The numbers of a run, computed a second time: with Pillow, scikit-image and loops."""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image
from skimage.color import rgb2lab

from tfstyle.analysis.evaluation import run
from tfstyle.core.cli import UserError
from tfstyle.data import records, splits
from tfstyle.data.pictures import Conversion
from tfstyle.metrics import retrieval
from tfstyle.metrics.repeats import flat_means
from tfstyle.runs import folder as runs
from tfstyle.runs.statistics import CodeStatistics

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
def run_dir(tiny_run, tmp_path_factory) -> pathlib.Path:
    copy = tmp_path_factory.mktemp("measured") / "run"
    return pathlib.Path(shutil.copytree(tiny_run, copy))


@pytest.fixture(scope="module")
def logged_before(tiny_run) -> dict[str, int]:
    return {
        stage: len((tiny_run / stage / "metrics.jsonl").read_text().splitlines())
        for stage in runs.STAGES
    }


@pytest.fixture(scope="module")
def numbers(run_dir, logged_before):
    return run.measure_run(run_dir)


def read_split(dataset, split) -> tuple[np.ndarray, np.ndarray]:
    """Scaled Lab float64 [n, size, size, 3] and labels, without tfstyle's readers."""
    images, labels = [], []
    for path in dataset.shard_paths(split):
        for record in tf.data.TFRecordDataset(path):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            (data,) = feature["image/encoded"].bytes_list.value
            (label,) = feature["image/class/label"].int64_list.value
            with Image.open(io.BytesIO(data)) as image:
                lab = rgb2lab(np.asarray(image.convert("RGB")))
            images.append(lab / [50, 110, 110] - [1, 0, 0])
            labels.append(label)
    return np.stack(images), np.array(labels)


@pytest.fixture(scope="module")
def unseen(small_records):
    images, labels = read_split(small_records, "test")
    assert np.bincount(labels).tolist() == [4, 4, 4]
    return images.astype(np.float32), labels


def network(run_dir, stage, name):
    return runs.load_network(runs.StageFolder(run_dir, stage), name)


def own_codes(run_dir, images, stage="metric") -> np.ndarray:
    return network(run_dir, stage, "style_encoder")(images).numpy().astype(np.float64)


def style_codes(run_dir, images) -> np.ndarray:
    """Pruned and normalized as design section 8 says, by hand."""
    with np.load(run_dir / "metric" / "style_statistics.npz") as statistics:
        codes = own_codes(run_dir, images)[:, : tiny.STYLE_DIMS]
        return (codes - statistics["mean"]) / statistics["deviation"]


def test_the_run_is_described(numbers):
    assert numbers["artists"] == 3
    assert (numbers["train_pictures"], numbers["test_pictures"]) == (60, 12)
    assert numbers["steps"] == tiny.STEPS


def test_accuracy_is_that_of_the_nearest_presumed_style(numbers, run_dir, unseen):
    images, labels = unseen
    codes = own_codes(run_dir, images)
    folder = runs.StageFolder(run_dir, "metric")
    (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    expected = []
    for d in range(1, 17):
        hits = 0
        for code, label in zip(codes, labels, strict=True):
            distances = [np.linalg.norm(code[:d] - style[:d]) for style in styles]
            hits += np.argmin(distances) == label
        expected.append(hits / 12)

    measured = numbers["style"]["metric"]

    assert len(set(expected)) > 2  # else this could not fail
    np.testing.assert_allclose(measured["every_accuracy"], expected)
    assert measured["dims"] == [1, 2, 4, 8, 16]
    np.testing.assert_allclose(
        measured["accuracy"], [expected[d - 1] for d in measured["dims"]]
    )
    allowed = expected[-1] - 0.01
    first = next(d for d in range(1, 17) if expected[d - 1] >= allowed)
    assert measured["recommended_dims"] == first


def test_the_classifiers_accuracy_is_that_of_its_largest_logit(
    numbers, run_dir, unseen
):
    images, labels = unseen
    features = own_codes(run_dir, images, "classifier")
    kernel, bias = runs.load_arrays(
        runs.StageFolder(run_dir, "classifier"),
        "artist_logits/kernel",
        "artist_logits/bias",
    )

    measured = numbers["style"]["classifier"]["every_accuracy"]

    for d in range(1, 17):
        logits = features[:, :d] @ kernel[:d] + bias
        assert measured[d - 1] == pytest.approx((logits.argmax(1) == labels).mean())


def test_the_variance_ratio_is_equation_10(numbers, run_dir, unseen):
    images, labels = unseen
    for stage in ("metric", "classifier"):
        codes = own_codes(run_dir, images, stage)
        for d in (1, 4, 16):
            part = codes[:, :d]
            means = np.stack([part[labels == one].mean(axis=0) for one in range(3)])
            within = np.square(part - means[labels]).sum(axis=1).mean()
            between = np.mean(
                [
                    np.square(a - b).sum()
                    for a, i in zip(part, labels, strict=True)
                    for b, j in zip(part, labels, strict=True)
                    if i != j
                ]
            )
            measured = numbers["style"][stage]["every_variance_ratio"][d - 1]
            assert measured == pytest.approx(within / between, rel=1e-4)


def test_retrieval_is_that_of_the_pruned_codes_by_loops(numbers, run_dir, unseen):
    images, labels = unseen
    codes = own_codes(run_dir, images)[:, : tiny.STYLE_DIMS]
    first, precisions = [], []
    for q in range(12):
        others = [i for i in range(12) if i != q]
        others.sort(key=lambda i: np.linalg.norm(codes[i] - codes[q]))
        right = [labels[i] == labels[q] for i in others]
        first.append(right[0])
        # Each artist has three other test pictures.
        hits = [right[i] * sum(right[: i + 1]) / (i + 1) for i in range(3)]
        precisions.append(sum(hits) / 3)

    measured = numbers["style"]["retrieval"]

    assert set(measured) == {"queries", "recall@1", "recall@5", "recall@10", "map@r"}
    assert measured["queries"] == 12
    assert measured["recall@1"] == pytest.approx(np.mean(first))
    assert measured["map@r"] == pytest.approx(np.mean(precisions))
    assert "unseen_artists" not in numbers["style"]  # none are held out


def test_unseen_artists_are_those_held_out(tiny_run, portraits_dir, tmp_path):
    """Four artists of ten pictures held out: known by 1 and by 5, not by all ten."""
    sources, _ = splits.scan_artist_folders(portraits_dir)
    artists = sorted({source.artist for source in sources})[3:9]
    few = [
        source
        for artist in artists
        for source in [one for one in sources if one.artist == artist][:10]
    ]
    rule = splits.SplitRule(
        min_images_per_artist=10, min_test_images=2, holdout_artists=4
    )
    dataset = records.write_dataset(
        str(tmp_path / "records"), few, Conversion(tiny.IMAGE_SIZE), rule
    )
    # The networks of the run, as if trained on these records.
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")
    folder = runs.StageFolder(run_dir, "metric")
    description = folder.read()
    description["dataset"] |= {
        "records_dir": dataset.records_dir,
        "digest": dataset.digest,
    }
    folder.write(description)
    images, labels = read_split(dataset, "holdout")
    codes = own_codes(run_dir, images.astype(np.float32))[:, : tiny.STYLE_DIMS]

    numbers = run.measure_run(run_dir)

    measured = numbers["style"]["unseen_artists"]
    assert list(measured) == ["1", "5"]
    for k, one in measured.items():
        accuracy, deviation = retrieval.enrolled_accuracy(
            codes, labels, int(k), run.SEED, run.ENROLMENTS
        )
        # Rounding may move a picture that lies between two artists.
        assert one["accuracy"] == pytest.approx(accuracy, abs=0.01)
        assert one["deviation"] == pytest.approx(deviation, abs=0.01)
        assert (one["artists"], one["chance"]) == (4, 0.25)
    text = "\n".join(run.summary(numbers))
    assert f"known by 5 pictures: {measured['5']['accuracy']:.1%}" in text
    assert "chance 25.0%" in text
    logged = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    values = {line["name"]: line for line in logged}
    assert values["unseen_artists/accuracy_1"]["count"] == 40


def test_the_mean_pictures_error_is_scikit_images(numbers, small_records, unseen):
    train, _ = read_split(small_records, "train")
    assert len(train) == 60
    mean = train.mean(axis=0)
    errors = [np.square(one - mean).sum() for one in unseen[0].astype(float)]

    assert numbers["content"]["mean_picture_error"] == pytest.approx(
        np.mean(errors), rel=1e-4
    )


def test_the_reconstruction_error_is_that_of_a_loop(numbers, run_dir, unseen):
    images, _ = unseen
    styles = style_codes(run_dir, images).astype(np.float32)
    means = network(run_dir, "vae", "content_encoder")(images)[0].numpy()
    decoder = network(run_dir, "vae", "content_decoder")
    content = numbers["content"]

    assert content["dims"] == [1, 2, 4, 6, 8, 12]  # 6 are kept
    for d, measured in zip(content["dims"], content["errors"], strict=True):
        errors = []
        for image, style, mean in zip(images, styles, means, strict=True):
            code = np.where(np.arange(12) < d, mean, 0).astype(np.float32)
            (made,) = decoder([style[None], code[None]]).numpy()
            errors.append(np.square(made.astype(float) - image).sum())
        assert measured == pytest.approx(np.mean(errors), rel=1e-4)
    assert len({round(error, 3) for error in content["errors"]}) > 1
    assert content["kept_dims"] == tiny.CONTENT_DIMS
    assert content["kept_error"] == content["errors"][3]
    assert content["unseen"] is True


def test_evaluation_json_holds_what_is_returned(numbers, run_dir):
    written = json.loads((run_dir / "evaluation.json").read_text())

    assert written == json.loads(json.dumps(numbers))
    assert set(written) >= {"style", "content", "generator"}
    assert run.read_numbers(run_dir) == written


def test_each_number_is_a_line_of_its_stages_log(numbers, run_dir, logged_before):
    added = {}
    for stage in runs.STAGES:
        lines = (run_dir / stage / "metrics.jsonl").read_text().splitlines()
        added[stage] = [json.loads(one) for one in lines[logged_before[stage] :]]
        for line in added[stage]:
            assert set(line) == LOG_KEYS
            assert (line["kind"], line["stage"]) == ("eval", stage)
            assert (line["step"], line["seed"]) == (tiny.STEPS[stage], 0)
    values = {
        stage: {line["name"]: line["value"] for line in lines}
        for stage, lines in added.items()
    }

    for stage in ("metric", "classifier"):
        measured = numbers["style"][stage]
        expected = {
            f"figure_1/{name}_{d}": pytest.approx(measured[name][k])
            for name in ("accuracy", "variance_ratio")
            for k, d in enumerate(measured["dims"])
        }
        if stage == "metric":
            expected |= {
                f"retrieval/{name}": value
                for name, value in numbers["style"]["retrieval"].items()
                if name != "queries"
            }
        assert values[stage] == expected
        assert {line["count"] for line in added[stage]} == {12}
    assert values["vae"]["reconstruction_error_6"] == numbers["content"]["kept_error"]
    assert {line["count"] for line in added["vae"]} == {12}
    assert values["gan"] == flat_means(numbers["generator"], "generated")


def test_training_never_loses_a_line_to_measuring(tiny_run, run_dir, numbers):
    for stage in runs.STAGES:
        before = (tiny_run / stage / "metrics.jsonl").read_text()
        assert (run_dir / stage / "metrics.jsonl").read_text().startswith(before)


def test_the_summary_has_the_numbers(numbers):
    text = "\n".join(run.summary(numbers))

    assert "12 test pictures of 3 artists; metric 40, classifier 20" in text
    assert f"   4  {numbers['style']['metric']['accuracy'][2]:6.1%}" in text
    assert f"map@r {numbers['style']['retrieval']['map@r']:.1%}" in text
    assert f"vae: error {numbers['content']['kept_error']:.1f} at 6 content" in text
    assert f"{numbers['generator']['classifier_accuracy']:.1%} (chance 33.3%" in text


@pytest.mark.parametrize("stage", runs.STAGES)
def test_numbers_of_other_weights_than_a_stages_are_not_read(measured_dir, stage):
    assert run.read_numbers(measured_dir)
    tiny.change_weights(measured_dir, stage)

    assert run.read_numbers(measured_dir) is None


def test_numbers_of_codes_pruned_otherwise_are_not_read(measured_dir):
    path = measured_dir / "metric" / "style_statistics.npz"
    known = CodeStatistics.read(path)
    dataclasses.replace(known, mean=known.mean + 1).write(path)

    assert run.read_numbers(measured_dir) is None


def test_numbers_of_a_copied_run_hold_whatever_its_files_times(measured_dir, numbers):
    for path in measured_dir.rglob("FINISHED"):
        os.utime(path, (time.time() + 60, time.time() + 60))

    found = run.measure_run(measured_dir, stages=[])

    assert "unmeasured" not in found
    assert found["content"] == json.loads(json.dumps(numbers["content"]))
    assert run.read_numbers(measured_dir) == found


@pytest.mark.parametrize(
    ("stages", "parts", "said"),
    [
        (["metric"], {"style"}, "classifier, vae, gan"),
        (["classifier"], {"style"}, "metric, vae, gan"),
        (["metric", "vae"], {"style", "content"}, "classifier, gan"),
    ],
)
def test_stages_that_are_not_trained_are_left_out_and_said(
    stages, parts, said, tiny_run, tmp_path, capsys
):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", *stages)

    numbers = run.measure_run(run_dir)

    assert capsys.readouterr().out == f"not trained, so left out: {said}\n"
    assert parts == {"style", "content", "generator"} & set(numbers)
    assert list(numbers["steps"]) == stages
    if "style" in parts:
        expected = set(stages) & {"metric", "classifier"}
        # What is measured of the space that goes on needs the metric stage.
        expected |= {"kept_dims", "retrieval"} if "metric" in stages else set()
        assert set(numbers["style"]) == expected
    assert run.summary(numbers)


@pytest.fixture
def measured_dir(run_dir, numbers, tmp_path) -> pathlib.Path:
    """A run that is measured already, to measure again."""
    return pathlib.Path(shutil.copytree(run_dir, tmp_path / "run"))


def test_measuring_one_stage_keeps_the_others_numbers(measured_dir, numbers):
    path = measured_dir / "evaluation.json"
    written = json.loads(path.read_text())
    written["content"]["kept_error"] = -1
    written["style"]["metric"]["accuracy"] = "kept"
    written["style"]["classifier"]["accuracy"] = "measured anew"
    path.write_text(json.dumps(written))
    before = {
        stage: (measured_dir / stage / "metrics.jsonl").read_text()
        for stage in runs.STAGES
    }

    found = run.measure_run(measured_dir, stages=["classifier"])

    assert found["content"]["kept_error"] == -1
    assert found["style"]["metric"]["accuracy"] == "kept"
    assert found["style"]["classifier"] == numbers["style"]["classifier"]
    assert found["style"]["retrieval"] == numbers["style"]["retrieval"]
    assert found["generator"] == written["generator"]
    assert "unmeasured" not in found
    assert run.read_numbers(measured_dir) == json.loads(path.read_text())
    for stage, text in before.items():
        now = (measured_dir / stage / "metrics.jsonl").read_text()
        assert (now == text) == (stage != "classifier")


def test_numbers_of_a_stage_trained_since_are_not_kept(measured_dir, capsys):
    tiny.change_weights(measured_dir, "vae")

    found = run.measure_run(measured_dir, stages=["metric"])

    assert "metric" in found["style"] and "classifier" in found["style"]
    # The generator's numbers are also of the vae's codes.
    assert found["unmeasured"] == ["vae", "gan"]
    assert not {"content", "generator"} & set(found)
    assert "not measured yet: vae, gan" in capsys.readouterr().out
    # So figures measure anew, but what needs the style alone does not.
    assert run.read_numbers(measured_dir) is None
    assert run.read_numbers(measured_dir, ["metric", "classifier"])
    assert run.summary(found)

    found = run.measure_run(measured_dir, stages=["classifier"])
    assert found["unmeasured"] == ["vae", "gan"]


def test_measuring_one_stage_at_first_leaves_the_others_for_later(tiny_run, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric", "classifier")

    found = run.measure_run(run_dir, stages=["classifier"])

    assert found["unmeasured"] == ["metric"]
    assert set(found["style"]) == {"classifier"}
    assert run.summary(found)


def test_a_stage_that_is_not_trained_cannot_be_measured(tiny_run, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")

    with pytest.raises(
        UserError, match="gan stage .* not trained; make it with: .*gan"
    ):
        run.measure_run(run_dir, stages=["gan"])


@pytest.mark.parametrize("state", ["nothing", "no folder", "unfinished"])
def test_without_a_trained_stage_the_command_that_makes_one_is_named(
    state, tiny_run, tmp_path
):
    run_dir = tmp_path / "run"
    if state != "no folder":
        run_dir.mkdir()
    if state == "unfinished":
        tiny.keep_stages(tiny_run, run_dir, "metric")
        runs.StageFolder(run_dir, "metric").mark_unfinished()

    with pytest.raises(UserError) as caught:
        run.measure_run(run_dir)

    assert "\n" not in str(caught.value)
    assert f"tfstyle.train --gin_file=gin/metric.gin --run_dir={run_dir}" in str(
        caught.value
    )
    assert not (run_dir / "evaluation.json").exists()
