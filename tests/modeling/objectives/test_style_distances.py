"""What the metric stage reports about a style space that cannot learn."""

import numpy as np
import pytest

from tfstyle.modeling.networks.codes import Codes
from tfstyle.modeling.objectives.passes import measure_style_distances

ARTIST_IDS = np.array([0, 0, 1, 1])
ONES = np.ones(2, np.float32)


def make_codes(codes) -> Codes:
    return Codes(np.asarray(codes, np.float32), ARTIST_IDS, [""] * len(codes))


def test_a_healthy_space_has_numbers_and_no_warning():
    styles = np.array([[0.0, 0.0], [2.0, 0.0]])

    numbers, warning = measure_style_distances(
        make_codes(styles[ARTIST_IDS] + 0.1), styles, 3 * ONES, True
    )

    assert warning is None
    assert numbers["same_distance_1"] == pytest.approx(0.3, rel=1e-5)
    assert numbers["same_distance_2"] == pytest.approx(0.3 * np.sqrt(2), rel=1e-5)
    # From 0.1 to 2, and from 2.1 to 0.
    assert numbers["different_distance_1"] == pytest.approx(3 * 2.0, rel=1e-5)
    assert numbers["prefix_scale_2"] == 3


def test_artists_at_one_point_are_a_collapsed_space():
    styles = np.full([2, 2], 0.5)

    _, warning = measure_style_distances(
        make_codes(styles[ARTIST_IDS] + 0.001), styles, ONES, True
    )

    assert "collapsed" in warning
    assert "metric.warm_start_steps" in warning


def test_works_far_from_their_own_style_are_a_saturated_space():
    styles = np.array([[5.0, 0.0], [0.0, 5.0]])
    codes = make_codes(np.full([4, 2], -5.0))

    _, warning = measure_style_distances(codes, styles, ONES, True)

    assert "repulsion gradient vanishes" in warning
    assert measure_style_distances(codes, styles, ONES, False)[1] is None


def test_artists_far_apart_with_works_nearby_are_healthy():
    styles = np.array([[50.0, 0.0], [0.0, 50.0]])

    _, warning = measure_style_distances(
        make_codes(styles[ARTIST_IDS] + 0.1), styles, ONES, True
    )

    assert warning is None
