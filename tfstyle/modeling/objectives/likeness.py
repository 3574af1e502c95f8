"""Comparison of pictures with the training pictures by a network's features."""

import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.core.paths import for_tensorflow
from tfstyle.data import input_pipeline, records
from tfstyle.metrics import fidelity
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import collect_codes, encode_pictures

# Side of the pictures that InceptionV3 was trained on, in pixels.
INCEPTION_SIZE = 299
# Number of training pictures to compare with: the first of the records, which were
# shuffled when written.
MAX_TRAINING_PICTURES = 2000


class Likeness:
    """Features of the training pictures, to compare other pictures with.

    Args:
        encoder: scaled Lab -> features.
        dataset: the records.
        scaled: center features on the training pictures' mean and divide them by their
            deviation, a single number for all dimensions, so that distances are
            comparable between classifiers.

    Attributes:
        train_features: float [n, dims].
        train_artist_ids: int [n].
    """

    def __init__(
        self, encoder: tf.keras.Model, dataset: records.Dataset, scaled: bool = True
    ) -> None:
        self._encoder = encoder
        self._mean, self._deviation = np.zeros(1), 1.0
        batches = input_pipeline.eval_batches(dataset, "train")
        count = -(-MAX_TRAINING_PICTURES // input_pipeline.EVAL_BATCH_SIZE)
        train = collect_codes(encoder, batches.take(count))
        if scaled:
            self._mean = train.codes.mean(axis=0)
            self._deviation = np.sqrt(np.square(train.codes - self._mean).mean())
        self.train_features = (train.codes - self._mean) / self._deviation
        self.train_artist_ids = train.artist_ids

    def extract_features(self, pictures: np.ndarray) -> np.ndarray:
        """Compute features of pictures: uint8 [n, size, size, 3] -> float [n, dims]."""
        codes = encode_pictures(self._encoder, pictures)
        return (codes - self._mean) / self._deviation

    def frechet_distance(self, pictures: np.ndarray) -> float:
        """Compute the FID of uint8 [n, size, size, 3] to the training pictures."""
        features = self.extract_features(pictures)
        return fidelity.frechet_distance(self.train_features, features)


class Inception(tf.keras.Model):
    """InceptionV3 up to its pooled features; scaled Lab -> float32 [batch, 2048].

    The network, the resizing and the file of its weights are those of Keras, so FID is
    close to, but not equal to, that of the original TensorFlow graph.

    Raises:
        UserError: if the file is missing or is not such a weight file.
    """

    def __init__(self, weights: pathlib.Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not weights.is_file():
            raise UserError(f"--inception_weights={weights}: no such file")
        self._features = tf.keras.applications.InceptionV3(
            include_top=False,
            weights=None,
            input_shape=(INCEPTION_SIZE, INCEPTION_SIZE, 3),
            pooling="avg",
        )
        try:
            self._features.load_weights(for_tensorflow(weights))
        except (ValueError, OSError, KeyError) as error:
            raise UserError(
                f"--inception_weights={weights} is not Keras' weight file of "
                "InceptionV3 without its top (inception_v3_weights_tf_dim_ordering_tf_"
                f"kernels_notop.h5): {error}"
            ) from None
        self.trainable = False

    def call(self, images: tf.Tensor) -> tf.Tensor:
        pictures = tf.cast(color.lab_to_rgb(images), tf.float32)
        pictures = tf.image.resize(pictures, [INCEPTION_SIZE, INCEPTION_SIZE])
        return self._features(pictures / 127.5 - 1, training=False)


def spread_artist_ids(dataset: records.Dataset, split: str, most: int) -> np.ndarray:
    """Return the artist of each picture of a split, evenly thinned out.

    Returns:
        int [at most `most`], sorted.
    """
    counts = dataset.artist_counts(split)
    artist_ids = np.repeat(np.arange(len(counts)), counts)
    rows = np.linspace(0, len(artist_ids), most, endpoint=False)
    return artist_ids[np.unique(rows.astype(int))]
