"""Inception's features of pictures, for distances that others publish."""

import pathlib

import tensorflow as tf

from tfstyle.command import UserError
from tfstyle.data import color

# The side of the pictures that it was trained on.
SIZE = 299


class Inception(tf.keras.Model):
    """InceptionV3 up to its pooled features; scaled Lab -> float32 [batch, 2048].

    These are Keras' network and enlargement: FID by them is near, not equal, to that
    of the original TensorFlow graph.

    Args:
        weights: Keras' file of the network without its top.

    Raises:
        UserError: the file is missing or holds something else.
    """

    def __init__(self, weights: pathlib.Path, **kwargs):
        super().__init__(**kwargs)
        if not weights.is_file():
            raise UserError(f"--inception_weights={weights}: there is no such file")
        self._features = tf.keras.applications.InceptionV3(
            include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
        )
        try:
            self._features.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise UserError(
                f"--inception_weights={weights} does not hold Keras' InceptionV3 "
                "without its top (inception_v3_weights_tf_dim_ordering_tf_kernels_"
                f"notop.h5): {error}"
            ) from None
        self.trainable = False

    def call(self, images):
        pictures = tf.cast(color.lab_to_rgb(images), tf.float32)
        pictures = tf.image.resize(pictures, [SIZE, SIZE])
        return self._features(pictures / 127.5 - 1, training=False)
