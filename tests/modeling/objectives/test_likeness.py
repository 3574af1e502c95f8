"""Inception's features of scaled Lab, and files that are not its weights."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives.likeness import Inception


@pytest.mark.slow
def test_features_are_those_of_keras_network_on_enlarged_rgb(inception_file):
    pictures = np.random.default_rng(0).integers(0, 256, [2, 16, 16, 3], np.uint8)
    network = tf.keras.applications.InceptionV3(include_top=False, weights=None)
    network.load_weights(inception_file)
    large = tf.image.resize(tf.cast(pictures, tf.float32), [299, 299])
    prepared = tf.keras.applications.inception_v3.preprocess_input(large)
    expected = tf.reduce_mean(network(prepared, training=False), axis=[1, 2])

    features = Inception(inception_file)(color.rgb_to_lab(pictures))

    assert features.shape == (2, 2048)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="weights.h5: no such file"):
        Inception(tmp_path / "weights.h5")


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="is not Keras' weight file of InceptionV3"):
        Inception(path)
