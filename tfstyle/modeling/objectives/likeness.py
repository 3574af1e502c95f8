"""Pictures compared with the training pictures by a network's features."""

import pathlib

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import collect_codes, encode_pictures
from tfstyle.modeling.objectives import passes

# The side of the pictures that it was trained on.
INCEPTION_SIZE = 299
# Training pictures that others are compared with, the records' first: they were
# shuffled when written.
MOST_TRAIN = 2000


class Likeness:
    """Features of the training pictures, to compare others with.

    Args:
        encoder: scaled Lab -> features.
        dataset: the records.
        scaled: centre features on the training pictures' mean and divide them by their
            deviation, one number for all dimensions, so that distances mean the same
            for any classifier.

    Attributes:
        train: features, float [n, dims].
        train_artist_ids: int [n].
    """

    def __init__(
        self, encoder: tf.keras.Model, dataset: records.Dataset, scaled: bool = True
    ):
        self._encoder = encoder
        self._mean, self._deviation = np.zeros(1), 1.0
        batches = passes.split_batches(dataset, "train")
        found = collect_codes(encoder, batches.take(-(-MOST_TRAIN // passes.BATCH)))
        if scaled:
            self._mean = found.codes.mean(axis=0)
            self._deviation = np.sqrt(np.square(found.codes - self._mean).mean())
        self.train = (found.codes - self._mean) / self._deviation
        self.train_artist_ids = found.artist_ids

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """Give features float [n, dims] of pictures uint8 [n, size, size, 3]."""
        codes = encode_pictures(self._encoder, pictures)
        return (codes - self._mean) / self._deviation

    def frechet_distance(self, pictures: np.ndarray) -> float:
        """Measure FID between pictures and the training pictures."""
        return fidelity.frechet_distance(self.train, self.features(pictures))


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
            include_top=False,
            weights=None,
            input_shape=(INCEPTION_SIZE, INCEPTION_SIZE, 3),
            pooling="avg",
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
        pictures = tf.image.resize(pictures, [INCEPTION_SIZE, INCEPTION_SIZE])
        return self._features(pictures / 127.5 - 1, training=False)
