"""Means and deviations over seeds: computed, formatted and logged."""

import math

import numpy as np
import pytest

from tfstyle.metrics import repeats


def test_nested_numbers_become_means_with_sample_deviations():
    """Of 1, 2 and 6: mean 3, deviation sqrt((4 + 1 + 9) / 2)."""
    results = [{"a": value, "b": {"c": 2 * value}} for value in (1, 2, 6)]

    combined = repeats.combine_seeds(results)

    deviation = math.sqrt(7)
    assert combined["a"] == pytest.approx({"mean": 3, "deviation": deviation})
    assert combined["b"]["c"] == pytest.approx({"mean": 6, "deviation": 2 * deviation})


def test_kinds_that_were_measured_once_have_no_deviation():
    kinds = [{"a": {"x": 1.0}, "b": {"x": 5.0}}, {"a": {"x": 3.0}}]

    combined = repeats.combine_kinds(kinds)

    assert combined["a"]["x"] == pytest.approx({"mean": 2, "deviation": math.sqrt(2)})
    assert combined["b"] == {"x": {"mean": 5.0, "deviation": None}}


def test_a_curve_has_a_mean_and_a_sample_deviation_at_every_point():
    """1, 2, 6: mean 3, squared deviations 4 + 1 + 9 = 14, over n - 1 = 2."""
    curve = repeats.compute_curve_spread([[1, 5], [2, 5], [6, 5]])

    assert curve["mean"] == pytest.approx([3, 5])
    assert curve["deviation"] == pytest.approx([math.sqrt(7), 0])


def test_a_single_measurement_has_no_deviation():
    assert repeats.combine_seeds([{"a": 4}]) == {"a": {"mean": 4.0, "deviation": None}}
    assert repeats.compute_curve_spread([[1, 5]]) == {
        "mean": [1, 5],
        "deviation": None,
    }


def test_a_mean_is_formatted_with_its_deviation():
    measured, single = ({"mean": 0.5, "deviation": d} for d in (0.01, None))
    assert repeats.format_spread(measured, ".1%") == "50.0% +- 1.0%"
    assert repeats.format_spread(single, ".2f") == "0.50"


def test_every_point_of_a_curve_is_formatted():
    curve = {"mean": [0.5, 0.25], "deviation": [0.01, 0.02]}
    assert repeats.format_curve_spread(curve, ".0%") == ["50% +- 1%", "25% +- 2%"]
    curve["deviation"] = None
    assert repeats.format_curve_spread(curve, ".0%") == ["50%", "25%"]


@pytest.mark.parametrize("count, text", [(1, "triplet, 1 run"), (3, "triplet, 3 runs")])
def test_a_method_is_labeled_with_its_number_of_runs(count, text):
    assert repeats.format_run_count("triplet", count) == text


def test_a_log_contains_means_under_paths_and_nothing_else():
    numbers = {
        "count": 3,
        "protocol": "text",
        "seeds": [0, 1],
        "unseen": True,
        "missing": None,
        "deviation": {"count": 1},
        "inner": {"error": {"mean": 2.0, "deviation": 0.5}, "chance": 0.25},
    }

    assert repeats.flatten_means(numbers, "generated") == {
        "generated/count": 3,
        "generated/inner/error": 2.0,
        "generated/inner/chance": 0.25,
    }


def test_a_bootstrap_draws_as_many_artists_as_there_are():
    weights = repeats.draw_artist_weights(6)

    assert (weights.sum(axis=1) == 6).all()
    assert weights.max() > 2
    assert weights.mean(axis=0) == pytest.approx([1] * 6, abs=0.1)


def test_few_artists_have_no_interval():
    assert repeats.draw_artist_weights(4) is None
    assert repeats.draw_artist_weights(5) is not None


def test_an_interval_covers_the_middle_95_percent():
    """Of 0, 1, .. 1000 from 25 to 975."""
    draws = np.arange(1001.0)[:, None] * [1, 2]
    assert repeats.compute_intervals(draws) == [[25, 975], [50, 1950]]


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    """Of 400 artists with a value of 0 or 1 each: p +- 1.96 sqrt(p (1 - p) / 400)."""
    values = (np.random.default_rng(1).random(400) < 0.3).astype(float)
    mean = values.mean()
    error = math.sqrt(mean * (1 - mean) / 400)
    weights = repeats.draw_artist_weights(400)

    ((lower, upper),) = repeats.compute_intervals((weights @ values)[:, None] / 400)

    assert lower == pytest.approx(mean - 1.96 * error, abs=0.25 * error)
    assert upper == pytest.approx(mean + 1.96 * error, abs=0.25 * error)
