"""Pictures compared with the training pictures by a network's features."""

import numpy as np
import tensorflow as tf

from tfstyle.analysis import evaluation, fidelity
from tfstyle.analysis.codes import collect_codes, encode_pictures
from tfstyle.data import records

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
        batches = evaluation.split_batches(dataset, "train")
        found = collect_codes(encoder, batches.take(-(-MOST_TRAIN // evaluation.BATCH)))
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
