"""What is learned of each artist: presumed styles, or a classifier's last layer."""

import math

import numpy as np
import tensorflow as tf


class PresumedStyles(tf.keras.layers.Layer):
    """The learned s_i of every artist and the scales h_d of every prefix.

    Args:
        artists: N.
        dims: D.
        initial_deviation: of the random presumed styles at the start.
        start_distance: mean scaled distance between them at the start, by every
            prefix; None for scales of 1.
        learned: whether the s_i are trained; if not, they hold mean codes.
    """

    def __init__(
        self,
        artists: int,
        dims: int,
        initial_deviation: float = 1.0,
        start_distance: float | None = None,
        learned: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # Dense, because equation 2 touches every artist in every step.
        self.styles = self.add_weight(
            "styles",
            [artists, dims],
            initializer=tf.keras.initializers.RandomNormal(stddev=initial_deviation),
            trainable=learned,
        )
        scales = np.ones(dims)
        if start_distance is not None:
            scales = start_distance / expected_prefix_distances(dims, initial_deviation)
        self.log_prefix_scales = self.add_weight(
            "log_prefix_scales",
            [dims],
            initializer=tf.keras.initializers.Constant(np.log(scales)),
        )

    @property
    def prefix_scales(self) -> tf.Tensor:
        """h_d, float32 [dims]: exponentials, so that they stay positive."""
        return tf.exp(self.log_prefix_scales)


class ArtistLogits(tf.keras.layers.Layer):
    """The classifier's last layer; its first d rows classify from d features."""

    def __init__(self, artists: int, dims: int, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(
            "kernel", [dims, artists], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [artists], initializer="zeros")


def expected_prefix_distances(dims: int, deviation: float) -> np.ndarray:
    """Give the mean distance of two normal points by each prefix.

    Args:
        dims: D.
        deviation: of each coordinate.

    Returns:
        float64 [D]: d coordinates' differences have deviation sqrt(2) times theirs,
        and their norm is chi-distributed.
    """
    lengths = range(1, dims + 1)
    chi = [math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2)) for d in lengths]
    return 2 * deviation * np.array(chi)


def mean_prefix_distances(points: np.ndarray) -> np.ndarray:
    """Average the distance between different points by each prefix.

    Args:
        points: float [N, D].

    Returns:
        float64 [D], mean over i != j of ||x_i[d] - x_j[d]||.
    """
    points = np.asarray(points, np.float64)
    total = np.zeros(points.shape[1])
    # One point against all at a time: [N, N, D] would not fit for many artists.
    for point in points:
        squares = np.cumsum(np.square(points - point), axis=1)
        total += np.sqrt(squares).sum(axis=0)
    return total / max(1, len(points) * (len(points) - 1))
