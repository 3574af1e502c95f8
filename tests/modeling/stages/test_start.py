"""Where the metric stage starts: presumed styles and scales."""

import numpy as np
import pytest

from tfstyle.modeling.objectives.artist_layers import (
    PresumedStyles,
    expected_prefix_distances,
    mean_prefix_distances,
)
from tfstyle.modeling.stages.metric import START_DISTANCE


@pytest.fixture
def warm_model(tiny_stage):
    return tiny_stage("metric", "metric.warm_start_steps = 2")


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


def test_presumed_styles_start_at_the_artists_mean_codes(warm_model):
    dims = warm_model.dims
    means = np.random.default_rng(1).normal(size=[3, dims])
    warm_model.start_from(means)
    np.testing.assert_allclose(
        warm_model.presumed_styles.styles.numpy(), means, rtol=1e-6
    )


def test_scales_put_artists_at_the_start_distance_by_every_prefix(warm_model):
    means = np.random.default_rng(1).normal(size=[3, warm_model.dims])
    warm_model.start_from(means)
    scaled = warm_model.presumed_styles.prefix_scales.numpy()
    np.testing.assert_allclose(
        scaled * mean_prefix_distances(means), START_DISTANCE, rtol=1e-5
    )


def test_warm_start_trains_the_encoder_to_classify_and_nothing_presumed(
    warm_model, train_tiny
):
    before = warm_model.presumed_styles.get_weights()
    kernel = warm_model.artist_logits.kernel.numpy()
    means = train_tiny(warm_model, 2)
    assert means["classification_loss"] > 0
    assert means["loss"] == 0
    for old, new in zip(before, warm_model.presumed_styles.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(warm_model.artist_logits.kernel.numpy() - kernel).max() > 0


def test_the_objective_takes_over_after_the_warm_start(warm_model, train_tiny):
    train_tiny(warm_model, 2)
    means = np.random.default_rng(1).normal(size=[3, warm_model.dims])
    warm_model.set_phase(2, lambda: means)
    np.testing.assert_allclose(
        warm_model.presumed_styles.styles.numpy(), means, rtol=1e-6
    )
    warm_model.tiny_phase = 1  # that phase is prepared
    losses = train_tiny(warm_model, 1)
    assert losses["loss"] > 0
    assert np.abs(warm_model.presumed_styles.styles.numpy() - means).max() > 0


def test_resuming_later_keeps_what_the_start_became(warm_model):
    before = warm_model.presumed_styles.get_weights()
    warm_model.set_phase(3, lambda: pytest.fail("must not start again"))
    for old, new in zip(before, warm_model.presumed_styles.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_expected_prefix_distances_are_those_of_many_points():
    points = np.random.default_rng(0).normal(0, 0.5, size=[800, 6])
    np.testing.assert_allclose(
        expected_prefix_distances(6, 0.5), mean_prefix_distances(points), rtol=0.03
    )


def test_random_artists_start_at_the_start_distance_by_every_prefix():
    presumed = PresumedStyles(400, 5, initial_deviation=2.0, start_distance=0.7)
    distances = mean_prefix_distances(presumed.styles.numpy())
    np.testing.assert_allclose(
        presumed.prefix_scales.numpy() * distances, 0.7, rtol=0.05
    )


def test_without_a_start_distance_scales_start_at_1(tiny_stage):
    model = tiny_stage("metric", "metric.start_distance = None")
    np.testing.assert_array_equal(model.presumed_styles.prefix_scales, np.ones(6))
    model.start_from(np.random.default_rng(1).normal(size=[3, model.dims]))
    np.testing.assert_array_equal(model.presumed_styles.prefix_scales, np.ones(6))


def test_a_start_at_mean_codes_needs_no_classification(tiny_stage):
    model = tiny_stage("metric", 'metric.start = "mean_codes"')
    means = np.random.default_rng(1).normal(size=[3, model.dims])
    model.set_phase(0, lambda: means)
    np.testing.assert_allclose(model.presumed_styles.styles.numpy(), means, rtol=1e-6)
    model.set_phase(3, lambda: pytest.fail("must not start again"))


def test_an_unknown_start_is_refused(tiny_stage):
    with pytest.raises(ValueError, match="mean_codes"):
        tiny_stage("metric", 'metric.start = "zeros"')


@pytest.mark.parametrize("objective", ["pairwise", "triplet"])
def test_objectives_without_presumed_styles_start_at_mean_codes(objective, tiny_stage):
    model = tiny_stage("metric", f'metric.objective = "{objective}"')
    means = np.random.default_rng(1).normal(size=[3, model.dims])
    model.set_phase(0, lambda: means)
    scaled = model.presumed_styles.prefix_scales.numpy()
    np.testing.assert_allclose(
        scaled * mean_prefix_distances(means), START_DISTANCE, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("metric.start_distance = 0", "start_distance must be above 0"),
        ("metric.start_distance = -1.2", "start_distance must be above 0"),
        ("metric.initial_deviation = 0", "initial_deviation must be above 0"),
        ("metric.warm_start_steps = -1", "warm_start_steps must be a number"),
        ("metric.warm_start_steps = 0.5", "warm_start_steps must be a number"),
    ],
)
def test_starts_that_cannot_be_are_refused(binding, said, tiny_stage):
    with pytest.raises(ValueError, match=said):
        tiny_stage("metric", binding)


def test_without_a_warm_start_there_is_one_phase(tiny_stage):
    assert tiny_stage("metric").phase_ends() == []
