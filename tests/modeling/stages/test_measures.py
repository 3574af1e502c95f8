"""What stages measure and show of the test pictures while they train."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers import configuration as tiny
from helpers.stages import begin_phase, make_mean_codes, make_tiny_stage
from tfstyle.data import input_pipeline
from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import collect_codes, decode_codes, encode_pictures
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.likeness import Likeness
from tfstyle.modeling.stages.stage import EvalView

STYLE_DIMS = 2  # kept by the pruning


@pytest.fixture(scope="module")
def judge():
    tf.keras.utils.set_random_seed(5)
    return networks.StyleEncoder((4,), (1,), dims=3)


@pytest.fixture(scope="module")
def make_view(small_records):
    """Make the view of the small records' 12 test pictures."""

    def make(judge=None) -> EvalView:
        return EvalView(
            dataset=small_records,
            batches=input_pipeline.eval_batches(
                small_records, small_records.validation_split, batch_size=8
            ),
            pruning=Pruning(style_dims=STYLE_DIMS),
            load_judge=lambda: judge,
        )

    return make


@pytest.fixture(scope="module")
def view(make_view):
    return make_view()


@pytest.fixture(scope="module")
def pictures(small_records) -> np.ndarray:
    """Pictures by each of the three artists."""
    return input_pipeline.read_pictures(small_records, ["test"], [0, 5, 9])


def collect_test_codes(encoder, view):
    test = collect_codes(encoder, view.batches)
    assert len(test.codes) == 6
    return test.codes.astype(np.float64), test.artist_ids


# The metric stage.


def test_the_metrics_score_is_the_mean_accuracy_over_figure_1(view):
    """By the nearest presumed style, from all pairs."""
    model = make_tiny_stage("metric")
    codes, artist_ids = collect_test_codes(model.style_encoder, view)
    styles = model.presumed_styles.styles.numpy()
    accuracy = {}
    for d in range(1, model.dims + 1):
        distances = np.linalg.norm(codes[:, None, :d] - styles[None, :, :d], axis=-1)
        accuracy[d] = (distances.argmin(axis=1) == artist_ids).mean()

    test = model.measure(view)

    curve = (1, 2, 4, 8, tiny.STYLE_ENCODER_DIMS)
    assert test.score == pytest.approx(np.mean([accuracy[d] for d in curve]))
    for d in curve:
        assert test.numbers[f"accuracy_{d}"] == accuracy[d]
        assert test.numbers[f"prefix_scale_{d}"] > 0
    assert 1 <= test.numbers["recommended_dims"] <= model.dims
    assert test.numbers["variance_ratio_2"] > 0
    assert test.numbers["eval_loss"] > 0


def test_a_warm_start_is_measured_by_mean_codes_and_without_a_score(
    view, small_records
):
    """A classifier's codes are no style space."""
    model = make_tiny_stage("metric", "metric.warm_start_steps = 2")
    begin_phase(model, make_mean_codes(model.dims))
    expected = passes.compute_artist_means(model.style_encoder, small_records)

    test = model.measure(view)

    assert (test.score, test.warning) == (None, None)
    styles = model.presumed_styles.styles.numpy()
    np.testing.assert_allclose(styles, expected, rtol=1e-5, atol=1e-6)
    assert "accuracy_2" in test.numbers


@pytest.mark.parametrize("objective", ["pairwise", "triplet"])
def test_objectives_on_pairs_are_measured_by_mean_codes(objective, view, small_records):
    model = make_tiny_stage("metric", f'metric.objective = "{objective}"')
    expected = passes.compute_artist_means(model.style_encoder, small_records)

    test = model.measure(view)

    styles = model.presumed_styles.styles.numpy()
    np.testing.assert_allclose(styles, expected, rtol=1e-5, atol=1e-6)
    assert 0 <= test.score <= 1


def test_a_collapsed_style_space_is_a_warning(view):
    model = make_tiny_stage("metric", "metric.start_distance = None")
    codes, _ = collect_test_codes(model.style_encoder, view)
    model.presumed_styles.styles.assign(np.repeat(codes[:1], 3, axis=0))
    model.presumed_styles.log_prefix_scales.assign(np.full(model.dims, -20.0))

    assert "collapsed" in model.measure(view).warning


# The classifier stage.


def test_the_classifiers_score_is_the_mean_accuracy_of_its_logits(view):
    """By the largest logit, over figure 1's numbers of features."""
    model = make_tiny_stage("classifier")
    features, artist_ids = collect_test_codes(model.style_encoder, view)
    kernel = model.artist_logits.kernel.numpy().astype(np.float64)
    accuracies = {}
    for d in (1, 2, 4, 8, tiny.STYLE_ENCODER_DIMS):
        logits = features[:, :d] @ kernel[:d]
        accuracies[d] = (logits.argmax(axis=1) == artist_ids).mean()

    test = model.measure(view)

    assert test.score == pytest.approx(np.mean([*accuracies.values()]))
    assert test.numbers["accuracy_2"] == accuracies[2]
    assert test.warning is None


def test_a_classifier_of_fewer_dimensions_than_are_kept_is_scored_by_all(view):
    model = make_tiny_stage("classifier", "style_encoder.dims = 1")

    test = model.measure(view)

    assert test.score == test.numbers["accuracy_1"]


# The vae stage.


def test_the_vaes_numbers_describe_what_each_dimension_holds(view):
    model = make_tiny_stage("vae")

    test = model.measure(view)

    numbers = test.numbers
    use = passes.measure_content_use(model.content_encoder, view.batches)
    assert test.score == -numbers["eval_reconstruction"]
    assert numbers["eval_kl"] == pytest.approx(use.kl.sum(), rel=1e-4)
    assert numbers["active_units"] == use.active.sum()
    by_dimension = {name: value for name, value in numbers.items() if "kl_of" in name}
    assert by_dimension == {
        f"kl_of_dimension_{d}": pytest.approx(use.kl[d - 1], rel=1e-4)
        for d in (1, 2, 4, 8, tiny.CONTENT_ENCODER_DIMS)
    }


# The gan stage.


def test_generated_pictures_are_compared_where_there_is_a_judge(
    make_view, judge, small_records
):
    """By the features of a network that the generator is not trained against."""
    model = make_tiny_stage("gan")
    view = make_view(judge)

    distance = model.measure(view).numbers["frechet_distance"]

    rng = np.random.default_rng(0)
    contents, noises = (rng.normal(size=[6, dims]) for dims in model.code_sizes[1:])
    styles = passes.compute_artist_means(model.style_encoder, small_records)
    generated = decode_codes(
        model.average, np.repeat(styles, 2, axis=0), contents, noises
    )
    likeness = Likeness(judge, small_records)
    expected = fidelity.frechet_distance(
        likeness.train_features, likeness.extract_features(generated)
    )
    assert distance == pytest.approx(expected, rel=1e-3)
    again = model.measure(view).numbers["frechet_distance"]
    assert again == pytest.approx(distance)  # the same codes


def test_a_generator_has_no_score_and_without_a_judge_no_distance(view):
    test = make_tiny_stage("gan").measure(view)

    assert test.score is None
    assert test.numbers.keys() == {"eval_reconstruction", "eval_style", "eval_content"}


# Previews.


@pytest.mark.parametrize("stage", ["metric", "classifier"])
def test_a_style_preview_shows_the_nearest_pictures(
    stage, view, pictures, small_records
):
    """Beside each of the fixed pictures, itself excepted, nearest first."""
    model = make_tiny_stage(stage)
    works = input_pipeline.read_pictures(small_records, ["test"], range(12))
    codes = encode_pictures(model.style_encoder, works).astype(np.float64)
    batches = input_pipeline.eval_batches(small_records, "test", batch_size=8)
    view = dataclasses.replace(view, batches=batches)

    table = model.preview(pictures, ["a", "b", "c"], view)

    assert table.row_captions == ["a", "b", "c"]
    assert list(table.column_captions) == [
        "picture",
        *(f"nearest {rank}" for rank in range(1, 7)),
    ]
    for row, position in zip(table.rows, [0, 5, 9], strict=True):
        np.testing.assert_array_equal(row[0], works[position])
        distances = np.linalg.norm(codes - codes[position], axis=1)
        distances[position] = np.inf
        nearest = distances.argsort()[:6]
        np.testing.assert_array_equal(np.stack(row[1:]), works[nearest])


def test_a_vae_preview_rebuilds_pictures_from_more_and_more_dimensions(view, pictures):
    model = make_tiny_stage("vae")
    styles = encode_pictures(model.style_encoder, pictures)
    contents = encode_pictures(model.content_encoder, pictures)

    table = model.preview(pictures, ["a", "b", "c"], view)

    assert table.row_captions == [
        "picture",
        *(f"{count} content dims" for count in (0, 8, tiny.CONTENT_ENCODER_DIMS)),
    ]
    assert table.column_captions == ["a", "b", "c"]
    np.testing.assert_array_equal(np.stack(table.rows[0]), pictures)
    for row, count in zip(table.rows[1:], (0, 8, None), strict=True):
        codes = np.zeros_like(contents)
        codes[:, :count] = contents[:, :count]
        expected = decode_codes(model.content_decoder, styles, codes)
        np.testing.assert_array_equal(np.stack(row), expected)


def test_a_gan_preview_shows_every_content_in_every_style(view, pictures):
    """With a noise for each content."""
    model = make_tiny_stage("gan")
    styles = encode_pictures(model.style_encoder, pictures)
    contents = encode_pictures(model.content_encoder, pictures)
    noises = np.random.default_rng(0).normal(size=[3, model.code_sizes[2]])

    table = model.preview(pictures, ["a", "b", "c"], view)

    assert table.rows[0][0] is None
    np.testing.assert_array_equal(np.stack(table.rows[0][1:]), pictures)
    for k, (picture, *generated) in enumerate(table.rows[1:]):
        np.testing.assert_array_equal(picture, pictures[k])
        for style, cell in zip(styles, generated, strict=True):
            (expected,) = decode_codes(
                model.average, style[None], contents[k : k + 1], noises[k : k + 1]
            )
            difference = np.abs(cell.astype(int) - expected.astype(int))
            assert difference.max() <= 1  # another batch size
