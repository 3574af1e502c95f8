"""Dimensions are described by what their pictures have."""

import numpy as np
import pytest

from tfstyle.analysis.reporting import descriptions
from tfstyle.analysis.reporting.descriptions import correlate, describe_dimensions

# 20 pictures: dimension 1 rises, dimension 2 falls, dimension 3 is the same in all.
RISING = np.arange(20.0)
CODES = np.stack([RISING, -RISING, np.ones(20)], axis=1)
# Variances 8/3 * (1, 3, 0) of three artists' means.
MEANS = np.array([[0, 3, 1], [2, 0, 1], [4, -3, 1]]) * np.array([1, 2 / np.sqrt(3), 1])
ZIGZAG = RISING % 2  # r with RISING is .09
# Enough artists that nothing correlates by chance.
MANY_MEANS = np.random.default_rng(0).normal(size=[2000, 3])


def test_shares_are_of_the_variance_of_the_artists_means():
    """(0, 2, 4) varies by 8/3; (3, 0, -3) * 2 / sqrt(3) by 6 * 4 / 3 = 8: a third."""
    dimensions = describe_dimensions(CODES, MEANS, {})
    shares = [dimension.share for dimension in dimensions]

    np.testing.assert_allclose(shares, [0.25, 0.75, 0], atol=1e-12)


def test_artists_and_pictures_at_both_ends():
    first, second, _ = describe_dimensions(CODES, MEANS, {})

    assert (first.low_artists, first.high_artists) == ((0,), (2,))
    assert (second.low_artists, second.high_artists) == ((2,), (0,))
    # 10 % of 20 pictures are two.
    assert (list(first.low_pictures), list(first.high_pictures)) == ([0, 1], [19, 18])
    assert (list(second.low_pictures), list(second.high_pictures)) == ([19, 18], [0, 1])


def test_at_least_one_picture_is_at_an_end():
    first, *_ = describe_dimensions(CODES[:4], MEANS, {})

    assert (list(first.low_pictures), list(first.high_pictures)) == ([0], [3])


def test_a_description_names_both_directions_the_strongest_first():
    properties = {
        "lightness": -RISING,
        "edge density": RISING + 8 * ZIGZAG,
        "symmetry": ZIGZAG,
    }
    first, second, third = describe_dimensions(CODES, MANY_MEANS, properties)
    r = np.corrcoef(RISING, properties["edge density"])[0, 1]

    assert first.caption == (f"dimension 1: darker, more edges (r = -1.00, {r:.2f})")
    assert second.description == f"lighter, fewer edges (r = 1.00, {-r:.2f})"
    assert third.caption == "dimension 3: no clear property"
    assert first.correlations["symmetry"] == pytest.approx(
        np.corrcoef(RISING, ZIGZAG)[0, 1]
    )


def test_a_property_at_the_threshold_is_named():
    r = float(correlate(CODES, ZIGZAG)[0])

    def described(threshold):
        return describe_dimensions(
            CODES, MANY_MEANS, {"symmetry": ZIGZAG}, threshold=threshold
        )[0].description

    assert described(r) == f"more symmetric (r = {r:.2f})"
    assert described(r + 1e-9) == descriptions.NOTHING_CLEAR


def test_at_most_three_properties_are_named():
    names = ["lightness", "chroma", "warmth", "redness"]
    described = describe_dimensions(CODES, MANY_MEANS, dict.fromkeys(names, RISING))

    assert described[0].description == (
        "lighter, more colorful, warmer (r = 1.00, 1.00, 1.00)"
    )


def test_a_correlation_that_may_be_chance_is_called_perhaps():
    """For 17 artists chance gives .5: r = 1 is certain, r = .4 alone is not."""
    weak = ZIGZAG + 0.035 * RISING
    assert 0.3 < correlate(CODES, weak)[0] < 0.5

    def described(**properties):
        return describe_dimensions(CODES, MANY_MEANS[:17], properties)[0].description

    assert described(symmetry=weak).startswith("perhaps more symmetric (r = 0.")
    assert described(symmetry=weak, lightness=RISING) == "lighter (r = 1.00)"
    assert described(symmetry=ZIGZAG) == descriptions.NOTHING_CLEAR


def test_chance_is_two_deviations_of_as_many_artists():
    """2 / sqrt(artists - 1); no correlation is certain with fewer than five."""
    assert descriptions.compute_chance_correlation(17) == pytest.approx(0.5)
    assert descriptions.compute_chance_correlation(45) > descriptions.THRESHOLD
    assert descriptions.compute_chance_correlation(46) < descriptions.THRESHOLD
    assert descriptions.compute_chance_correlation(4) > 1
    assert np.isfinite(descriptions.compute_chance_correlation(1))


def test_unrelated_artists_seldom_exceed_it():
    """Two deviations of a normal: 4.6 % lie beyond."""
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(12), 10)
    codes = rng.normal(size=[12, 2000])[artists]
    r = correlate(codes, rng.normal(size=12)[artists])

    assert (
        0.02 < np.mean(np.abs(r) >= descriptions.compute_chance_correlation(12)) < 0.07
    )


def test_a_given_name_stands_in_front():
    first, second, _ = describe_dimensions(CODES, MEANS, {}, {1: "gloom"})

    assert first.caption == "dimension 1: gloom: no clear property"
    assert (first.name, second.name) == ("gloom", "")


def test_correlation_is_numpys_and_unknown_where_nothing_varies():
    codes = np.random.default_rng(0).normal(size=[50, 2]) * 1e-3 + 7
    values = np.random.default_rng(1).normal(size=50)

    expected = [np.corrcoef(codes[:, k], values)[0, 1] for k in range(2)]
    np.testing.assert_allclose(correlate(codes, values), expected)
    assert np.isnan(correlate(codes, np.full(50, 0.1))).all()
    assert np.isnan(correlate(np.full([50, 2], 0.1), values)).all()


def test_pictures_without_the_property_are_skipped():
    values = np.where(RISING < 10, RISING, np.nan)

    np.testing.assert_allclose(correlate(CODES, values)[:2], [1, -1])
    assert np.isnan(correlate(CODES, np.where(RISING < 9, RISING, np.nan))).all()


def test_codes_means_and_properties_must_match():
    with pytest.raises(ValueError, match=r"\(20, 3\) and \(3, 2\)"):
        describe_dimensions(CODES, MEANS[:, :2], {})
    with pytest.raises(ValueError, match=r"20 pictures, got \(19,\)"):
        describe_dimensions(CODES, MEANS, {"lightness": RISING[1:]})
