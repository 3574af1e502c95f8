"""Where styles lie: near artists and between them.

N(0, I), the paper's distribution of styles (equation 6), is mostly empty where artists
are few and their works close together: most of its draws resemble no artist.
"""

import dataclasses

import numpy as np
import tensorflow as tf

# Uniform numbers that a draw takes: two artists, and the share of the second.
UNIFORMS = 3
# Probability that a draw is of one artist rather than between two.
_SINGLE = 0.5


@dataclasses.dataclass(frozen=True)
class ArtistPrior:
    """A mixture of normal distributions around artists and around points between two.

    Half of the draws are around an artist's mean style, half around a random point of
    the line between two artists' means, all with the deviation of an artist's works.
    """

    means: np.ndarray  # float32 [artists, dims], normalized mean styles
    deviation: np.ndarray  # float32 [dims], of an artist's works around their mean

    @classmethod
    def of_artist_means(cls, means: np.ndarray) -> "ArtistPrior":
        """Fit the prior to the normalized mean styles of artists, [artists, dims].

        Normalized styles have variance 1 altogether, so an artist's works have what is
        left of the variance between artists, if all have equally many works.
        """
        between = np.square(means.astype(np.float64)).mean(axis=0)
        within = np.sqrt(np.maximum(1 - between, 0))
        return cls(means.astype(np.float32), within.astype(np.float32))

    def transform(self, uniforms: tf.Tensor, normals: tf.Tensor) -> tf.Tensor:
        """Turn random numbers into styles.

        Args:
            uniforms: float [n, UNIFORMS], in [0, 1).
            normals: float32 [n, dims], of N(0, 1).

        Returns:
            float32 [n, dims].
        """
        artists = len(self.means)
        picks = tf.cast(uniforms[:, :2] * artists, tf.int32)
        # Rounding may lift a product just below the number of artists up to it.
        means = tf.gather(self.means, tf.minimum(picks, artists - 1))
        share = tf.maximum(uniforms[:, 2:] - _SINGLE, 0) / (1 - _SINGLE)
        share = tf.cast(share, tf.float32)
        between = (1 - share) * means[:, 0] + share * means[:, 1]
        return between + normals * self.deviation
