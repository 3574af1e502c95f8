"""Means and deviations over seeds, and how they are said and logged."""

import math

import pytest

from tfstyle.metrics import repeats


def test_nested_numbers_become_means_with_sample_deviations():
    """Of 1, 2 and 6: mean 3, deviation sqrt((4 + 1 + 9) / 2)."""
    found = [{"a": value, "b": {"c": 2 * value}} for value in (1, 2, 6)]

    together = repeats.over_seeds(found)

    deviation = math.sqrt(7)
    assert together["a"] == pytest.approx({"mean": 3, "deviation": deviation})
    assert together["b"]["c"] == pytest.approx({"mean": 6, "deviation": 2 * deviation})


def test_one_seed_has_no_deviation():
    assert repeats.over_seeds([{"a": 4}]) == {"a": {"mean": 4.0, "deviation": None}}


def test_a_mean_is_said_with_its_deviation():
    assert repeats.said({"mean": 0.5, "deviation": 0.01}, ".1%") == "50.0% +- 1.0%"
    assert repeats.said({"mean": 0.5, "deviation": None}, ".2f") == "0.50"


def test_a_log_gets_means_under_paths_and_nothing_else():
    numbers = {
        "count": 3,
        "protocol": "as said",
        "seeds": [0, 1],
        "unseen": True,
        "missing": None,
        "deviation": {"count": 1},
        "inner": {"error": {"mean": 2.0, "deviation": 0.5}, "chance": 0.25},
    }

    assert repeats.flat_means(numbers, "made") == {
        "made/count": 3,
        "made/inner/error": 2.0,
        "made/inner/chance": 0.25,
    }
