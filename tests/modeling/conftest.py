"""Fixtures of the tests of networks, objectives and stages."""

import pytest
import tensorflow as tf


@pytest.fixture
def dtype_policy():
    """Set Keras' global dtype policy for one test."""
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")
