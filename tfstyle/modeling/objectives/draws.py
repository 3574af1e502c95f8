"""Random numbers of a training step that do not depend on the number of replicas.

Every number is a function of (seed, step, purpose, row of the global batch), so that
one device and eight, or a resumed and an uninterrupted run, train alike.
"""

import dataclasses
import zlib

import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import (
    sample_prefix_lengths,
    sample_prefix_mask,
)


@dataclasses.dataclass(frozen=True)
class BatchDraws:
    """Draws for rows start .. start + rows of a global batch of `total` rows.

    The purpose given to each method, such as "noise", separates its draws from others
    of the same step.
    """

    seed: int  # of the run
    step: tf.Tensor  # int64 scalar, the training step
    start: tf.Tensor  # int32 scalar, the first row of this replica
    rows: int  # number of rows of this replica
    total: int  # number of rows of the global batch

    def normal(self, purpose: str, *shape: int) -> tf.Tensor:
        """Draw float32 [rows, *shape] from N(0, 1)."""
        seed = self._make_seed(purpose)
        return self._slice(tf.random.stateless_normal([self.total, *shape], seed))

    def uniform(self, purpose: str, *shape: int) -> tf.Tensor:
        """Draw float32 [rows, *shape] uniformly from [0, 1)."""
        seed = self._make_seed(purpose)
        return self._slice(tf.random.stateless_uniform([self.total, *shape], seed))

    def prefix_lengths(self, purpose: str, dims: int, t: float) -> tf.Tensor:
        """Draw int32 [rows], see `sample_prefix_lengths`."""
        return self._slice(self.shared_prefix_lengths(purpose, self.total, dims, t))

    def prefix_mask(self, purpose: str, dims: int, t: float) -> tf.Tensor:
        """Draw float32 [rows, dims] masks, see `sample_prefix_mask`."""
        seed = self._make_seed(purpose)
        return self._slice(sample_prefix_mask(self.total, dims, t, seed))

    def shared_prefix_lengths(
        self, purpose: str, count: int, dims: int, t: float
    ) -> tf.Tensor:
        """Draw int32 [count] that is the same for all rows of the global batch."""
        return sample_prefix_lengths(count, dims, t, self._make_seed(purpose))

    def spread_rows(self, share: float) -> tf.Tensor:
        """Mark a share of the global batch's rows, evenly spread; bool [rows]."""
        rows = tf.cast(self.start + tf.range(self.rows), tf.float32)
        return tf.floor((rows + 1) * share) > tf.floor(rows * share)

    def _slice(self, draws: tf.Tensor) -> tf.Tensor:
        return draws[self.start : self.start + self.rows]

    def _make_seed(self, purpose: str) -> tf.Tensor:
        seed = tf.constant([self.seed, zlib.crc32(purpose.encode())], tf.int64)
        return tf.random.experimental.stateless_fold_in(seed, self.step)
