"""Tiny stages as fixtures."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tiny_stages import (
    assert_trained_alike,
    fit,
    make_batch,
    make_tiny_stage,
    weights_of,
)


@pytest.fixture
def tiny_stage():
    """`make_tiny_stage`, as a fixture."""
    return make_tiny_stage


@pytest.fixture
def train_tiny():
    """`fit`, as a fixture."""
    return fit


@pytest.fixture
def tiny_batch():
    """`make_batch`, as a fixture."""
    return make_batch


@pytest.fixture
def stage_weights():
    """`weights_of`, as a fixture."""
    return weights_of


@pytest.fixture
def check_trained_alike():
    """`assert_trained_alike`, as a fixture."""
    return assert_trained_alike


@pytest.fixture
def dtype_policy():
    """Set Keras' global dtype policy for one test."""
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def assert_rebuilds():
    """Check Keras' contract: a configuration rebuilds a layer, JSON included."""

    def check(layer, inputs):
        expected = layer(inputs)
        config = json.loads(json.dumps(layer.get_config()))
        rebuilt = type(layer).from_config(config)
        outputs = rebuilt(inputs)
        assert rebuilt.get_config() == layer.get_config()
        assert [one.shape for one in rebuilt.get_weights()] == [
            one.shape for one in layer.get_weights()
        ]
        rebuilt.set_weights(layer.get_weights())
        outputs = rebuilt(inputs)
        tf.nest.map_structure(np.testing.assert_array_equal, expected, outputs)

    return check
