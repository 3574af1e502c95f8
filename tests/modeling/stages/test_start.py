"""Where the metric stage starts: presumed styles and scales."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.layers import assert_same
from helpers.stages import begin_phase, fit, make_mean_codes, make_tiny_stage
from tfstyle.modeling.objectives.artist_layers import (
    PresumedStyles,
    expected_prefix_distances,
    mean_prefix_distances,
)

START_DISTANCE = 1.2  # the default


@pytest.fixture
def warm_model():
    return make_tiny_stage("metric", "metric.warm_start_steps = 2")


def assert_at_start_distance(model, means):
    scales = model.presumed_styles.prefix_scales.numpy()
    np.testing.assert_allclose(
        scales * mean_prefix_distances(means), START_DISTANCE, rtol=1e-5
    )


def fail_to_compute():
    pytest.fail("must not start again")


def test_mean_prefix_distances_are_the_double_mean():
    points = np.random.default_rng(0).normal(size=[5, 4])
    expected = np.zeros(4)
    for d in range(4):
        pairs = [
            np.linalg.norm(points[i, : d + 1] - points[j, : d + 1])
            for i in range(5)
            for j in range(5)
            if i != j
        ]
        expected[d] = np.mean(pairs)

    np.testing.assert_allclose(mean_prefix_distances(points), expected)


def test_expected_prefix_distances_are_those_of_many_points():
    points = np.random.default_rng(0).normal(size=[800, 6])

    np.testing.assert_allclose(
        expected_prefix_distances(6), mean_prefix_distances(points), rtol=0.03
    )


def test_random_artists_start_at_the_start_distance_by_every_prefix():
    tf.keras.utils.set_random_seed(7)
    presumed = PresumedStyles(1600, 5, start_distance=0.7)

    distances = mean_prefix_distances(presumed.styles.numpy())
    np.testing.assert_allclose(
        presumed.prefix_scales.numpy() * distances, 0.7, rtol=0.05
    )


def test_presumed_styles_and_scales_start_from_the_artists_mean_codes(warm_model):
    means = make_mean_codes(warm_model.dims)

    warm_model.meet_artists(lambda: means)

    styles = warm_model.presumed_styles.styles.numpy()
    np.testing.assert_allclose(styles, means, rtol=1e-6)
    assert_at_start_distance(warm_model, means)


def test_a_warm_start_trains_the_encoder_to_classify_and_nothing_presumed(warm_model):
    before = warm_model.presumed_styles.get_weights()
    kernel = warm_model.artist_logits.kernel.numpy()

    losses = fit(warm_model, 2)

    assert losses["classification_loss"] > 0
    assert losses["loss"] == 0
    assert_same(warm_model.presumed_styles.get_weights(), before)
    assert np.abs(warm_model.artist_logits.kernel.numpy() - kernel).max() > 0


def test_the_objective_is_trained_after_the_warm_start(warm_model):
    fit(warm_model, 2)
    means = make_mean_codes(warm_model.dims)
    begin_phase(warm_model, means)
    styles = warm_model.presumed_styles.styles
    np.testing.assert_allclose(styles.numpy(), means, rtol=1e-6)

    losses = fit(warm_model, 1)

    assert losses["loss"] > 0
    assert np.abs(styles.numpy() - means).max() > 0


def test_resuming_later_does_not_start_again(warm_model):
    before = warm_model.presumed_styles.get_weights()

    warm_model.set_phase(3, fail_to_compute)

    assert_same(warm_model.presumed_styles.get_weights(), before)


def test_without_a_start_distance_scales_start_at_1():
    model = make_tiny_stage("metric", "metric.start_distance = None")
    np.testing.assert_array_equal(model.presumed_styles.prefix_scales, 1)

    model.meet_artists(lambda: make_mean_codes(model.dims))

    np.testing.assert_array_equal(model.presumed_styles.prefix_scales, 1)


def test_a_start_at_mean_codes_needs_no_warm_start():
    model = make_tiny_stage("metric", 'metric.start = "mean_codes"')
    means = make_mean_codes(model.dims)

    model.set_phase(0, lambda: means)

    np.testing.assert_allclose(model.presumed_styles.styles.numpy(), means, rtol=1e-6)
    model.set_phase(3, fail_to_compute)


def test_a_random_start_computes_no_mean_codes():
    make_tiny_stage("metric").set_phase(0, fail_to_compute)


@pytest.mark.parametrize("objective", ["pairwise", "triplet"])
def test_objectives_without_presumed_styles_start_at_mean_codes(objective):
    model = make_tiny_stage("metric", f'metric.objective = "{objective}"')
    means = make_mean_codes(model.dims)

    model.set_phase(0, lambda: means)

    assert_at_start_distance(model, means)


def test_only_a_warm_start_has_a_second_phase(warm_model):
    assert make_tiny_stage("metric").phase_ends() == []
    assert warm_model.phase_ends() == [2]
