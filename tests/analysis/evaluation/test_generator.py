"""The numbers of the generator, computed a second time: by loops and formulas."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny

from tfstyle.analysis.evaluation import generator as measuring_generator
from tfstyle.analysis.evaluation.fidelity import KINDS, SEEDS
from tfstyle.data import input_pipeline
from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs

PER_ARTIST = measuring_generator.GENERATED_PER_ARTIST
ARTISTS = 3


@pytest.fixture(scope="module")
def run_dir(tiny_run, tmp_path_factory):
    return tiny.keep_stages(
        tiny_run, tmp_path_factory.mktemp("judged") / "run", *runs.STAGES
    )


@pytest.fixture(scope="module")
def numbers(run_dir, small_records):
    return measuring_generator.measure_generator(
        runs.finished_stages(run_dir), small_records
    )


def network(run_dir, stage, name):
    return runs.load_network(runs.StageFolder(run_dir, stage), name)


@pytest.fixture(scope="module")
def artist_means(run_dir):
    with np.load(run_dir / "metric" / "style_statistics.npz") as statistics:
        return statistics["artist_means"]


def generated(run_dir, artist_means, artist_ids, contents, random) -> np.ndarray:
    """Pictures uint8, as the protocol says: noise is drawn after the contents."""
    noises = random.normal(size=[len(artist_ids), tiny.NOISE_DIMS])
    codes = [np.float32(one) for one in (artist_means[artist_ids], contents, noises)]
    made = network(run_dir, "gan", "generator_average")(codes)
    return color.lab_to_rgb(made).numpy()


def read_styles(run_dir, pictures) -> np.ndarray:
    codes = network(run_dir, "metric", "style_encoder")(color.rgb_to_lab(pictures))
    with np.load(run_dir / "metric" / "style_statistics.npz") as statistics:
        kept = codes.numpy().astype(float)[:, : tiny.STYLE_DIMS]
        return (kept - statistics["mean"]) / statistics["deviation"]


def read_contents(run_dir, pictures) -> np.ndarray:
    codes, _ = network(run_dir, "vae", "content_encoder")(color.rgb_to_lab(pictures))
    return codes.numpy().astype(float)[:, : tiny.CONTENT_DIMS]


def classifier_features(run_dir, pictures) -> np.ndarray:
    encoder = network(run_dir, "classifier", "style_encoder")
    return encoder(color.rgb_to_lab(pictures)).numpy().astype(float)


def real_pictures(dataset, split):
    pictures, labels = [], []
    for batch in input_pipeline.eval_batches(dataset, (split,), 4):
        kept = batch["mask"].numpy() > 0
        pictures.append(batch["image"].numpy()[kept])
        labels.append(batch["artist"].numpy()[kept])
    return np.concatenate(pictures), np.concatenate(labels)


def test_the_reconstruction_error_is_that_of_a_loop(numbers, run_dir, small_records):
    pictures, _ = real_pictures(small_records, "test")
    images = color.rgb_to_lab(pictures).numpy()
    styles = read_styles(run_dir, pictures).astype(np.float32)
    contents = read_contents(run_dir, pictures).astype(np.float32)
    # One draw for a batch of evaluation, which holds 32 rows.
    noises = tf.random.stateless_normal([32, tiny.NOISE_DIMS], [0, 0]).numpy()
    generator = network(run_dir, "gan", "generator_average")
    errors = []
    for k, image in enumerate(images):
        codes = [styles[k], contents[k], noises[k]]
        (made,) = generator([one[None] for one in codes]).numpy()
        errors.append(np.square(made.astype(float) - image).sum())

    assert numbers["reconstruction_error"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_generated_pictures_are_judged_by_their_codes_with_every_seed(
    numbers, run_dir, artist_means
):
    wanted = np.repeat(np.arange(ARTISTS), PER_ARTIST)
    kernel, bias = runs.load_arrays(
        runs.StageFolder(run_dir, "classifier"),
        "artist_logits/kernel",
        "artist_logits/bias",
    )
    found = {
        name: []
        for name in (
            "style_encoder_accuracy",
            "classifier_accuracy",
            "style_error",
            "content_error",
        )
    }
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        contents = random.normal(size=[len(wanted), tiny.CONTENT_DIMS])
        pictures = generated(run_dir, artist_means, wanted, contents, random)
        styles = read_styles(run_dir, pictures)
        nearest = [
            np.argmin([np.linalg.norm(one - mean) for mean in artist_means])
            for one in styles
        ]
        logits = classifier_features(run_dir, pictures) @ kernel + bias
        errors = styles - artist_means[wanted], read_contents(run_dir, pictures)
        found["style_encoder_accuracy"].append(np.mean(nearest == wanted))
        found["classifier_accuracy"].append((logits.argmax(axis=1) == wanted).mean())
        found["style_error"].append(np.square(errors[0]).sum(axis=1).mean())
        found["content_error"].append(
            np.square(errors[1] - contents).sum(axis=1).mean()
        )

    assert len(SEEDS) >= 3 and numbers["seeds"] == list(SEEDS)
    assert numbers["generated_pictures"] == len(wanted)
    for name, values in found.items():
        # Rounding may move a picture that lies between two artists.
        slack = 1.5 / len(wanted) if name.endswith("accuracy") else 0
        assert numbers[name] == pytest.approx(np.mean(values), rel=1e-2, abs=slack)
        assert numbers["deviation"][name] == pytest.approx(
            np.std(values, ddof=1), rel=0.1, abs=slack + 1e-2
        )


def test_references_are_what_knowing_nothing_costs(numbers, artist_means):
    """A style of zeros is |mean|^2 wrong; a content of zeros its dimensions' number."""
    assert numbers["style_error_of_zeros"] == pytest.approx(
        np.mean([np.linalg.norm(one) ** 2 for one in artist_means]), rel=1e-5
    )
    assert numbers["content_error_of_zeros"] == tiny.CONTENT_DIMS


def test_contents_are_compared_over_styles_as_loops_do(numbers, run_dir, artist_means):
    count = measuring_generator.CONTENTS
    contents_of = np.repeat(np.arange(count), ARTISTS)
    styles_of = np.tile(np.arange(ARTISTS), count)
    ratios, retrieved, diversities = [], [], []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        drawn = random.normal(size=[count, tiny.CONTENT_DIMS])
        pictures = generated(
            run_dir, artist_means, styles_of, drawn[contents_of], random
        )
        codes = read_contents(run_dir, pictures)
        same, different, right = [], [], []
        for i, code in enumerate(codes):
            others = np.flatnonzero(styles_of != styles_of[i])
            distances = np.square(codes[others] - code).sum(axis=1)
            is_same = contents_of[others] == contents_of[i]
            same += list(distances[is_same])
            different += list(distances[~is_same])
            right.append(is_same[distances.argmin()])
        ratios.append(np.mean(same) / np.mean(different))
        retrieved.append(np.mean(right))
        lab = color.rgb_to_lab(pictures).numpy().astype(float)
        diversities.append(pair_distance(lab, styles_of))

    measured = numbers["consistency"]

    assert (measured["contents"], measured["styles"]) == (count, ARTISTS)
    assert measured["protocol"] == f"{count}_contents_in_3_mean_styles_own_noise"
    assert measured["chance"] == pytest.approx(1 / count)
    assert measured["distance_ratio"]["mean"] == pytest.approx(
        np.mean(ratios), rel=0.02
    )
    assert measured["retrieval"]["mean"] == pytest.approx(np.mean(retrieved), abs=0.03)
    assert measured["diversity"]["mean"] == pytest.approx(
        np.mean(diversities), rel=1e-3
    )


def pair_distance(lab, groups) -> float:
    means = []
    for group in np.unique(groups):
        own = lab[groups == group]
        means.append(
            np.mean(
                [
                    np.sqrt(np.mean((own[i] - own[j]) ** 2))
                    for i in range(len(own))
                    for j in range(i)
                ]
            )
        )
    return float(np.mean(means))


def test_the_diversity_of_real_pictures_is_that_of_each_artists_test_pictures(
    numbers, small_records
):
    pictures, labels = real_pictures(small_records, "test")
    lab = color.rgb_to_lab(pictures).numpy().astype(float)

    measured = numbers["consistency"]

    assert measured["real_pictures"] == 12
    assert measured["diversity_real"] == pytest.approx(pair_distance(lab, labels))


def frechet_by_eigenvalues(a, b) -> float:
    """tr((C_a C_b)^1/2) is the sum of the roots of the product's eigenvalues."""
    covariances = np.cov(a.T), np.cov(b.T)
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1])
    cross = np.sqrt(np.maximum(eigenvalues.real, 0)).sum()
    traces = sum(np.trace(one) for one in covariances)
    return float(np.square(a.mean(0) - b.mean(0)).sum() + traces - 2 * cross)


def test_likeness_is_measured_in_the_classifiers_features(
    numbers, run_dir, small_records, artist_means
):
    test, labels = real_pictures(small_records, "test")
    train, train_labels = real_pictures(small_records, "train")
    features = {
        name: classifier_features(run_dir, pictures)
        for name, pictures in (("train", train), ("test", test))
    }
    mean = features["train"].mean(axis=0)
    deviation = np.sqrt(np.square(features["train"] - mean).mean())
    scaled = {name: (one - mean) / deviation for name, one in features.items()}
    made = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        contents = random.normal(size=[len(labels), tiny.CONTENT_DIMS])
        pictures = generated(run_dir, artist_means, labels, contents, random)
        own = (classifier_features(run_dir, pictures) - mean) / deviation
        made.append(frechet_by_eigenvalues(scaled["train"], own))

    measured = numbers["fidelity"]

    assert measured["protocol"] == "classifier_16_features_12_pictures"
    assert (measured["pictures"], measured["train_pictures"]) == (12, 60)
    assert np.bincount(train_labels).tolist() == [20, 20, 20]
    against = measured["against_train"]
    assert against["real"]["frechet_distance"] == {
        "mean": pytest.approx(
            frechet_by_eigenvalues(scaled["train"], scaled["test"]), rel=1e-3
        ),
        "deviation": None,
    }
    assert against["generated"]["frechet_distance"]["mean"] == pytest.approx(
        np.mean(made), rel=0.02
    )
    neighbours = fidelity.precision_recall_density_coverage(
        scaled["train"], scaled["test"], k=5
    )
    for name, value in neighbours.items():
        # Rounding may move a picture over the edge of a ball.
        assert against["real"][name]["mean"] == pytest.approx(value, abs=0.1)
    for compared in (against, measured["against_test"]):
        assert set(compared) == set(KINDS)
    # Neighbours are not counted among so few pictures of an artist.
    assert set(measured["against_test"]["generated"]) == {
        "frechet_distance",
        "kernel_distance",
    }
    assert numbers["test_pictures_unseen"] is True


def test_the_vaes_own_pictures_are_decoded_from_kept_contents(
    numbers, run_dir, small_records, artist_means
):
    _, labels = real_pictures(small_records, "test")
    decoder = network(run_dir, "vae", "content_decoder")
    kernel, bias = runs.load_arrays(
        runs.StageFolder(run_dir, "classifier"),
        "artist_logits/kernel",
        "artist_logits/bias",
    )
    right = []
    for seed in SEEDS:
        contents = np.zeros([12, 12], np.float32)  # the vae has 12 dimensions
        kept = np.random.default_rng(seed).normal(size=[12, tiny.CONTENT_DIMS])
        contents[:, : tiny.CONTENT_DIMS] = kept
        styles = artist_means[labels].astype(np.float32)
        pictures = color.lab_to_rgb(decoder([styles, contents]))
        logits = classifier_features(run_dir, pictures) @ kernel + bias
        right.append((logits.argmax(axis=1) == labels).mean())

    assert numbers["classifier_accuracy_vae"] == pytest.approx(
        np.mean(right), abs=1.5 / 36
    )


def test_each_mean_is_a_line_of_the_log(numbers, run_dir):
    lines = runs.StageFolder(run_dir, "gan").metrics_file.read_text().splitlines()
    values = {one["name"]: one["value"] for one in map(json.loads, lines)}

    for name, expected in {
        "generated/classifier_accuracy": numbers["classifier_accuracy"],
        "generated/consistency/retrieval": numbers["consistency"]["retrieval"]["mean"],
        "generated/fidelity/against_train/real/coverage": numbers["fidelity"][
            "against_train"
        ]["real"]["coverage"]["mean"],
    }.items():
        assert values[name] == pytest.approx(expected)
    assert not any("deviation" in name for name in values)
    counts = {one["name"]: one["count"] for one in map(json.loads, lines)}
    assert counts["generated/style_error"] == ARTISTS * PER_ARTIST
    assert counts["generated/consistency/retrieval"] == 16 * ARTISTS
    assert counts["generated/fidelity/against_train/vae/recall"] == 12


def test_the_summary_says_what_was_measured(numbers):
    text = "\n".join(measuring_generator.generator_summary(numbers, ARTISTS))

    assert f"{numbers['classifier_accuracy']:.1%} (chance 33.3%" in text
    assert f"{numbers['consistency']['retrieval']['mean']:.1%} +- " in text
    assert "(chance 6.2%)" in text
    assert "Frechet distance to train pictures: generated " in text
    assert ", real " in text and ", vae " in text and ", shuffled " in text


def test_without_a_classifier_what_needs_none_is_measured(
    tiny_run, small_records, tmp_path
):
    stages = ("metric", "vae", "gan")
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", *stages)

    numbers = measuring_generator.measure_generator(
        runs.finished_stages(run_dir), small_records
    )

    assert {"style_encoder_accuracy", "consistency"} <= set(numbers)
    assert "fidelity" not in numbers
    assert not [name for name in numbers if name.startswith("classifier")]
    assert measuring_generator.generator_summary(numbers, ARTISTS)
