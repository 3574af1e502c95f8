"""What is learned of each artist: presumed styles, or a classifier's last layer."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.modeling.objectives.style import prefix_classification_loss


class PresumedStyles(tf.keras.layers.Layer):
    """The learned s_i of every artist and the scales h_d of every prefix.

    The s_i start as draws from N(0, 1).

    Args:
        artists: N.
        dims: D.
        start_distance: mean scaled distance between the s_i at the start, for every
            prefix; None starts with scales of 1.
        learned: whether the s_i are trained; otherwise they hold mean codes.
    """

    def __init__(
        self,
        artists: int,
        dims: int,
        start_distance: float | None = None,
        learned: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # A dense variable, because equation 2 uses every artist in every step.
        self.styles = self.add_weight(
            "styles",
            [artists, dims],
            initializer=tf.keras.initializers.RandomNormal(stddev=1.0),
            trainable=learned,
        )
        scales = np.ones(dims)
        if start_distance is not None:
            scales = start_distance / expected_prefix_distances(dims)
        self.log_prefix_scales = self.add_weight(
            "log_prefix_scales",
            [dims],
            initializer=tf.keras.initializers.Constant(np.log(scales)),
        )

    @property
    def prefix_scales(self) -> tf.Tensor:
        """h_d, float32 [dims]; exponentials, and therefore positive."""
        return tf.exp(self.log_prefix_scales)


class ArtistLogits(tf.keras.layers.Layer):
    """The weights of the classifier's last layer; d rows classify from d features."""

    def __init__(self, artists: int, dims: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel = self.add_weight(
            "kernel", [dims, artists], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [artists], initializer="zeros")

    def losses(
        self, features: tf.Tensor, artist_ids: tf.Tensor, prefix_lengths: tf.Tensor
    ) -> tf.Tensor:
        """Compute `prefix_classification_loss` with these weights."""
        return prefix_classification_loss(
            features, artist_ids, self.kernel, self.bias, prefix_lengths
        )


def expected_prefix_distances(dims: int) -> np.ndarray:
    """Return the expected distance between two draws from N(0, I), by prefix.

    The d differences of coordinates have the deviation sqrt(2), so the distance is
    sqrt(2) times a chi-distributed number.

    Returns:
        float64 [dims].
    """
    lengths = range(1, dims + 1)
    chi = [math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2)) for d in lengths]
    return 2 * np.array(chi)


def mean_prefix_distances(points: np.ndarray) -> np.ndarray:
    """Compute the mean distance between different points, by prefix.

    Returns:
        float64 [D], mean over i != j of ||x_i[d] - x_j[d]||, of points [N, D].
    """
    points = np.asarray(points, np.float64)
    total = np.zeros(points.shape[1])
    # One point against all at a time: [N, N, D] would not fit for many artists.
    for point in points:
        squares = np.cumsum(np.square(points - point), axis=1)
        total += np.sqrt(squares).sum(axis=0)
    return total / max(1, len(points) * (len(points) - 1))
