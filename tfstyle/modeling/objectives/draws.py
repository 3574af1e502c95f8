"""Random numbers of a training step that do not depend on the number of replicas.

Every number is a function of (seed, step, purpose, row of the global batch), so that
one device and eight, or a resumed and an uninterrupted run, train alike.
"""

import dataclasses
import zlib
from collections.abc import Callable

import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import sample_prefix_lengths


@dataclasses.dataclass(frozen=True)
class BatchDraws:
    """Draws for rows start .. start + rows of a global batch of `total` rows.

    Args:
        seed: the run's seed.
        step: int64 scalar, the training step.
        start: int32 scalar, the first row that this replica holds.
        rows: how many rows it holds.
        total: rows of the global batch.
    """

    seed: int
    step: tf.Tensor
    start: tf.Tensor
    rows: int
    total: int

    def normal(self, purpose: str, *shape: int) -> tf.Tensor:
        """Draw float32 [rows, *shape] from N(0, 1)."""
        return self._own_rows(
            purpose,
            lambda seed: tf.random.stateless_normal([self.total, *shape], seed),
        )

    def uniform(self, purpose: str, *shape: int) -> tf.Tensor:
        """Draw float32 [rows, *shape] uniformly from [0, 1)."""
        return self._own_rows(
            purpose,
            lambda seed: tf.random.stateless_uniform([self.total, *shape], seed),
        )

    def prefix_lengths(self, purpose: str, dims: int, t: float) -> tf.Tensor:
        """Draw int32 [rows] prefix lengths, see `sample_prefix_lengths`."""
        return self._own_rows(
            purpose, lambda seed: sample_prefix_lengths(self.total, dims, t, seed)
        )

    def shared_prefix_lengths(
        self, purpose: str, count: int, dims: int, t: float
    ) -> tf.Tensor:
        """Draw int32 [count] prefix lengths that are the same for all rows."""
        return sample_prefix_lengths(count, dims, t, self._seed_of(purpose))

    def row_indices(self) -> tf.Tensor:
        """Give int32 [rows], the rows' places in the global batch."""
        return self.start + tf.range(self.rows)

    def _own_rows(
        self, purpose: str, draw: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        return draw(self._seed_of(purpose))[self.start : self.start + self.rows]

    def _seed_of(self, purpose: str) -> tf.Tensor:
        seed = tf.constant([self.seed, zlib.crc32(purpose.encode())], tf.int64)
        return tf.random.experimental.stateless_fold_in(seed, self.step)
