"""What the metric stage says of a space that cannot learn."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.training import monitoring


def _model(styles, scale=1.0, objective="presumed"):
    styles = tf.constant(styles, tf.float32)
    presumed = types.SimpleNamespace(
        styles=styles, prefix_scales=tf.fill([styles.shape[1]], scale)
    )
    return types.SimpleNamespace(presumed_styles=presumed, objective=objective)


ARTIST_IDS = np.array([0, 0, 1, 1])


def test_a_healthy_space_gives_numbers_and_no_warning():
    styles = np.array([[0.0, 0.0], [2.0, 0.0]])
    codes = styles[ARTIST_IDS] + 0.1
    numbers, warning = monitoring._style_health(_model(styles), codes, ARTIST_IDS)
    assert warning is None
    assert numbers["same_distance_1"] == pytest.approx(0.1, rel=1e-5)
    assert numbers["same_distance_2"] == pytest.approx(0.1 * np.sqrt(2), rel=1e-5)
    assert numbers["prefix_scale_2"] == 1


def test_artists_at_one_point_are_said_to_have_collapsed():
    styles = np.full([2, 4], 0.5)
    codes = styles[ARTIST_IDS] + 0.001
    _, warning = monitoring._style_health(_model(styles), codes, ARTIST_IDS)
    assert "collapsed" in warning
    assert "metric.warm_start_steps" in warning


def test_works_far_from_their_own_style_are_said_to_be_saturated():
    styles = np.array([[5.0, 0.0], [0.0, 5.0]])
    codes = np.full([4, 2], -5.0)
    _, warning = monitoring._style_health(_model(styles), codes, ARTIST_IDS)
    assert "no slope" in warning
    triplet = _model(styles, objective="triplet")
    assert monitoring._style_health(triplet, codes, ARTIST_IDS)[1] is None


def test_triplets_are_judged_by_distances_as_they_are():
    """Its scales are never trained."""
    styles = np.array([[2.0, 0.0], [0.0, 0.0]])
    codes = styles[ARTIST_IDS] + 0.1
    model = _model(styles, scale=0.01, objective="triplet")
    numbers, warning = monitoring._style_health(model, codes, ARTIST_IDS)
    assert warning is None
    assert numbers["prefix_scale_1"] == 1
    assert numbers["same_distance_1"] == pytest.approx(0.1, rel=1e-5)


def test_far_apart_artists_with_near_works_are_healthy():
    styles = np.array([[50.0, 0.0], [0.0, 50.0]])
    codes = styles[ARTIST_IDS] + 0.1
    _, warning = monitoring._style_health(_model(styles), codes, ARTIST_IDS)
    assert warning is None
