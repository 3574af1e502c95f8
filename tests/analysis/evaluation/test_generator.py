"""The numbers of the generator, computed a second time: by loops and formulas."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers import configuration as tiny
from helpers import runs
from tfstyle.analysis.evaluation import generator as evaluation
from tfstyle.analysis.realism.samples import KINDS, SEEDS
from tfstyle.analysis.results import Options
from tfstyle.data import input_pipeline
from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import color
from tfstyle.runs.trained_run import TrainedRun

PER_ARTIST = evaluation.GENERATED_PER_ARTIST
ARTISTS = 3


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> TrainedRun:
    copy = tmp_path_factory.mktemp("judged") / "run"
    return TrainedRun(runs.keep_stages(tiny_run, copy, *tiny.STEPS))


@pytest.fixture(scope="module")
def result(run):
    return evaluation.measure_generator(run, Options())


@pytest.fixture(scope="module")
def artist_means(run):
    with np.load(run.path / "metric" / "style_statistics.npz") as statistics:
        return statistics["artist_means"]


def generate(run, artist_means, artist_ids, contents, rng) -> np.ndarray:
    """Generate pictures uint8 by the protocol: noise is drawn after the contents."""
    noises = rng.normal(size=[len(artist_ids), tiny.NOISE_DIMS])
    codes = [np.float32(code) for code in (artist_means[artist_ids], contents, noises)]
    return color.lab_to_rgb(run.network("gan", "generator_average")(codes)).numpy()


def read_styles(run, pictures) -> np.ndarray:
    images = color.rgb_to_lab(pictures)
    codes = run.network("metric", "style_encoder")(images).numpy().astype(float)
    with np.load(run.path / "metric" / "style_statistics.npz") as statistics:
        pruned = codes[:, : tiny.STYLE_DIMS]
        return (pruned - statistics["mean"]) / statistics["deviation"]


def read_contents(run, pictures) -> np.ndarray:
    codes, _ = run.network("vae", "content_encoder")(color.rgb_to_lab(pictures))
    return codes.numpy().astype(float)[:, : tiny.CONTENT_DIMS]


def read_features(run, pictures) -> np.ndarray:
    encoder = run.network("classifier", "style_encoder")
    return encoder(color.rgb_to_lab(pictures)).numpy().astype(float)


def classify(run, pictures) -> np.ndarray:
    read_array = run.folder("classifier").read_array
    kernel, bias = read_array("artist_logits/kernel"), read_array("artist_logits/bias")
    return (read_features(run, pictures) @ kernel + bias).argmax(axis=1)


def real_pictures(dataset, split):
    pictures, labels = [], []
    for batch in input_pipeline.eval_batches(dataset, split, batch_size=4):
        mask = batch["mask"].numpy() > 0
        pictures.append(batch["image"].numpy()[mask])
        labels.append(batch["artist"].numpy()[mask])
    return np.concatenate(pictures), np.concatenate(labels)


def test_the_reconstruction_error_is_that_of_a_loop(result, run, small_records):
    pictures, _ = real_pictures(small_records, "test")
    images = color.rgb_to_lab(pictures).numpy()
    styles = read_styles(run, pictures).astype(np.float32)
    contents = read_contents(run, pictures).astype(np.float32)
    # One draw for a batch of evaluation, which holds 32 rows.
    noises = tf.random.stateless_normal([32, tiny.NOISE_DIMS], [0, 0]).numpy()
    generator = run.network("gan", "generator_average")
    errors = []
    for k, image in enumerate(images):
        codes = [code[k, None] for code in (styles, contents, noises)]
        (generated,) = generator(codes).numpy()
        errors.append(np.square(generated.astype(float) - image).sum())

    assert result.reconstruction_error == pytest.approx(np.mean(errors), rel=1e-4)


def test_generated_pictures_are_judged_by_their_codes_with_every_seed(
    result, run, artist_means
):
    artist_ids = np.repeat(np.arange(ARTISTS), PER_ARTIST)
    expected = {
        name: []
        for name in (
            "style_encoder_accuracy",
            "classifier_accuracy",
            "style_error",
            "content_error",
        )
    }
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        contents = rng.normal(size=[len(artist_ids), tiny.CONTENT_DIMS])
        pictures = generate(run, artist_means, artist_ids, contents, rng)
        styles = read_styles(run, pictures)
        nearest = [
            np.argmin([np.linalg.norm(style - mean) for mean in artist_means])
            for style in styles
        ]
        correct = classify(run, pictures) == artist_ids
        errors = styles - artist_means[artist_ids]
        content_errors = read_contents(run, pictures) - contents
        expected["style_encoder_accuracy"].append(np.mean(nearest == artist_ids))
        expected["classifier_accuracy"].append(correct.mean())
        expected["style_error"].append(np.square(errors).sum(axis=1).mean())
        expected["content_error"].append(np.square(content_errors).sum(axis=1).mean())

    assert len(SEEDS) >= 3 and result.seeds == list(SEEDS)
    assert result.generated_pictures == len(artist_ids)
    for name, values in expected.items():
        # Rounding may move a picture that lies between two artists.
        slack = 1.5 / len(artist_ids) if name.endswith("accuracy") else 0
        assert getattr(result, name) == pytest.approx(
            np.mean(values), rel=1e-2, abs=slack
        )
        assert result.deviation[name] == pytest.approx(
            np.std(values, ddof=1), rel=0.1, abs=slack + 1e-2
        )


def test_references_are_the_errors_of_codes_of_zeros(result, artist_means):
    """A style of zeros is |mean|^2 off; a content of zeros by its dimensions."""
    assert result.style_error_of_zeros == pytest.approx(
        np.mean([np.linalg.norm(mean) ** 2 for mean in artist_means]), rel=1e-5
    )
    assert result.content_error_of_zeros == tiny.CONTENT_DIMS


def test_contents_are_compared_over_styles_as_loops_do(result, run, artist_means):
    count = evaluation.CONTENTS
    content_ids = np.repeat(np.arange(count), ARTISTS)
    style_ids = np.tile(np.arange(ARTISTS), count)
    ratios, retrieved, diversities = [], [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        contents = rng.normal(size=[count, tiny.CONTENT_DIMS])[content_ids]
        pictures = generate(run, artist_means, style_ids, contents, rng)
        codes = read_contents(run, pictures)
        same, different, correct = [], [], []
        for i, code in enumerate(codes):
            others = np.flatnonzero(style_ids != style_ids[i])
            distances = np.square(codes[others] - code).sum(axis=1)
            is_same = content_ids[others] == content_ids[i]
            same += list(distances[is_same])
            different += list(distances[~is_same])
            correct.append(is_same[distances.argmin()])
        ratios.append(np.mean(same) / np.mean(different))
        retrieved.append(np.mean(correct))
        lab = color.rgb_to_lab(pictures).numpy().astype(float)
        diversities.append(pair_distance(lab, style_ids))

    measured = result.consistency

    assert (measured.contents, measured.styles) == (count, ARTISTS)
    assert measured.protocol == f"{count}_contents_in_3_mean_styles_own_noise"
    assert measured.chance == pytest.approx(1 / count)
    assert measured.distance_ratio["mean"] == pytest.approx(np.mean(ratios), rel=0.02)
    assert measured.retrieval["mean"] == pytest.approx(np.mean(retrieved), abs=0.03)
    assert measured.diversity["mean"] == pytest.approx(np.mean(diversities), rel=1e-3)


def pair_distance(lab, groups) -> float:
    means = []
    for group in np.unique(groups):
        members = lab[groups == group]
        means.append(
            np.mean(
                [
                    np.sqrt(np.mean((members[i] - members[j]) ** 2))
                    for i in range(len(members))
                    for j in range(i)
                ]
            )
        )
    return float(np.mean(means))


def test_the_diversity_of_real_pictures_is_that_of_each_artists_test_pictures(
    result, small_records
):
    pictures, labels = real_pictures(small_records, "test")
    lab = color.rgb_to_lab(pictures).numpy().astype(float)

    assert result.consistency.real_pictures == 12
    assert result.consistency.diversity_real == pytest.approx(
        pair_distance(lab, labels)
    )


def frechet_by_eigenvalues(a, b) -> float:
    """tr((C_a C_b)^1/2) is the sum of the roots of the product's eigenvalues."""
    covariances = np.cov(a.T), np.cov(b.T)
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1])
    cross = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    traces = sum(np.trace(covariance) for covariance in covariances)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * cross)


def test_fidelity_is_measured_by_the_classifiers_features(
    result, run, small_records, artist_means
):
    test, labels = real_pictures(small_records, "test")
    train, train_labels = real_pictures(small_records, "train")
    features = {
        name: read_features(run, pictures)
        for name, pictures in (("train", train), ("test", test))
    }
    mean = features["train"].mean(axis=0)
    deviation = np.sqrt(np.square(features["train"] - mean).mean())
    scaled = {name: (rows - mean) / deviation for name, rows in features.items()}
    distances = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        contents = rng.normal(size=[len(labels), tiny.CONTENT_DIMS])
        pictures = generate(run, artist_means, labels, contents, rng)
        generated = (read_features(run, pictures) - mean) / deviation
        distances.append(frechet_by_eigenvalues(scaled["train"], generated))

    measured = result.fidelity

    assert measured.protocol == "classifier_16_features_12_pictures"
    assert (measured.pictures, measured.train_pictures) == (12, 60)
    assert np.bincount(train_labels).tolist() == [20, 20, 20]
    real = measured.against_train["real"]
    assert real.frechet_distance == {
        "mean": pytest.approx(
            frechet_by_eigenvalues(scaled["train"], scaled["test"]), rel=1e-3
        ),
        "deviation": None,
    }
    generated = measured.against_train["generated"]
    assert generated.frechet_distance["mean"] == pytest.approx(
        np.mean(distances), rel=0.02
    )
    neighbors = fidelity.precision_recall_density_coverage(
        scaled["train"], scaled["test"], k=5
    )
    for name, value in neighbors.items():
        # Rounding may move a picture over the edge of a ball.
        assert getattr(real, name)["mean"] == pytest.approx(value, abs=0.1)
    assert set(measured.against_train) == set(KINDS)
    # Blurred test pictures are no sample beside the test pictures themselves.
    made_of_test = {"blurred_1", "blurred_2", "superimposed"}
    assert set(measured.against_test) == set(KINDS) - made_of_test
    # An artist has too few test pictures to count neighbors.
    assert measured.against_test["generated"].precision is None
    assert len(measured.against_test["generated"].list_rows()) == 2
    assert result.test_pictures_unseen is True


def test_the_vaes_pictures_are_decoded_from_kept_contents(
    result, run, small_records, artist_means
):
    _, labels = real_pictures(small_records, "test")
    decoder = run.network("vae", "content_decoder")
    accuracies = []
    for seed in SEEDS:
        contents = np.zeros([12, 12], np.float32)  # the vae has 12 dimensions
        rng = np.random.default_rng(seed)
        contents[:, : tiny.CONTENT_DIMS] = rng.normal(size=[12, tiny.CONTENT_DIMS])
        styles = artist_means[labels].astype(np.float32)
        pictures = color.lab_to_rgb(decoder([styles, contents]))
        accuracies.append((classify(run, pictures) == labels).mean())

    assert result.classifier_accuracy_vae == pytest.approx(
        np.mean(accuracies), abs=1.5 / 36
    )


def test_each_mean_is_a_line_of_the_log(result, run):
    text = run.folder("gan").metrics_file.read_text()
    lines = {line["name"]: line for line in map(json.loads, text.splitlines())}
    real = result.fidelity.against_train["real"]

    for name, value, count in (
        ("classifier_accuracy", result.classifier_accuracy, ARTISTS * PER_ARTIST),
        ("style_error", result.style_error, ARTISTS * PER_ARTIST),
        (
            "consistency/retrieval",
            result.consistency.retrieval["mean"],
            evaluation.CONTENTS * ARTISTS,
        ),
        ("fidelity/against_train/real/coverage", real.coverage["mean"], 12),
        (
            "quality/kinds/prior/lattice_2",
            result.quality.kinds["prior"].lattice_2["mean"],
            12,
        ),
    ):
        line = lines[f"generated/{name}"]
        assert line["value"] == pytest.approx(value)
        assert line["count"] == count
    assert not any("deviation" in name for name in lines)


def test_the_summary_has_what_was_measured(result):
    text = "\n".join(result.summarize(ARTISTS, None))

    accuracy = f"generated pictures: {result.classifier_accuracy:.1%} +- "
    assert accuracy in text
    assert f"real pictures {result.classifier_accuracy_real:.1%}, " in text
    assert "chance 33.3%)" in text
    retrieval = result.consistency.retrieval["mean"]
    assert f"across styles: {retrieval:.1%} +- " in text
    assert "(chance 6.2%, 100% is perfect)" in text
    assert "Frechet distance to training pictures: generated, mean styles " in text
    for kind in ("prior", "vae", "real", "shuffled"):
        assert f", {KINDS[kind]} " in text
    assert "real pictures: lattice " in text


def test_without_a_classifier_what_needs_none_is_measured(tiny_run, tmp_path):
    stages = ("metric", "vae", "gan")
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", *stages))

    result = evaluation.measure_generator(run, Options())

    assert result.consistency is not None
    assert result.fidelity is None
    assert result.classifier_accuracy is None
    assert result.classifier_accuracy_real is None
    assert "classifier_accuracy" not in result.deviation
    text = "\n".join(result.summarize(ARTISTS, None))
    assert "style encoder accuracy" in text and "classifier" not in text
