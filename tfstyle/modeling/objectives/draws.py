"""Random numbers of a training step that do not depend on where it is computed.

Every number is a function of (seed, step, purpose, row of the global batch), so that
one device and eight, with XLA or without, or a resumed and an uninterrupted run, train
alike. TensorFlow's own stateless numbers are others under XLA; these are SplitMix64's
(Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import dataclasses
import math
import zlib

import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import choose_prefix_lengths

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_BITS = 24  # of a uniform number: what float32 holds exactly


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
        """Draw float32 [rows, *shape] from N(0, 1), by Box and Muller's transform."""
        bits = self._draw(purpose, self.start, self.rows, shape)
        radius = tf.sqrt(-2 * tf.math.log(1 - _uniform(bits, 64 - _BITS)))
        return radius * tf.cos(2 * math.pi * _uniform(bits, 0))

    def uniform(self, purpose: str, *shape: int) -> tf.Tensor:
        """Draw float32 [rows, *shape] uniformly from [0, 1)."""
        bits = self._draw(purpose, self.start, self.rows, shape)
        return _uniform(bits, 64 - _BITS)

    def prefix_lengths(self, purpose: str, dims: int, t: float) -> tf.Tensor:
        """Draw int32 [rows], see `choose_prefix_lengths`."""
        return choose_prefix_lengths(self.uniform(purpose), dims, t)

    def prefix_mask(self, purpose: str, dims: int, t: float) -> tf.Tensor:
        """Draw float32 [rows, dims]: a random prefix of ones, then zeros."""
        lengths = self.prefix_lengths(purpose, dims, t)
        return tf.sequence_mask(lengths, dims, tf.float32)

    def shared_prefix_lengths(
        self, purpose: str, count: int, dims: int, t: float
    ) -> tf.Tensor:
        """Draw int32 [count] that is the same for all rows of the global batch."""
        bits = self._draw(purpose, tf.constant(0), count, ())
        return choose_prefix_lengths(_uniform(bits, 64 - _BITS), dims, t)

    def spread_rows(self, share: float, besides: float = 0.0) -> tf.Tensor:
        """Mark a share of the global batch's rows, evenly spread; bool [rows].

        Args:
            share: of all rows, marked among those that `spread_rows(besides)` leaves.
            besides: share that is marked for something else, at most 1 - share.
        """
        rows = tf.cast(self.start + tf.range(self.rows), tf.float32)
        if not share:
            return tf.zeros_like(rows, tf.bool)
        left = rows - tf.floor(rows * besides)
        return _is_spread(left, share / (1 - besides)) & ~_is_spread(rows, besides)

    def _draw(
        self, purpose: str, start: tf.Tensor, rows: int, shape: tuple[int, ...]
    ) -> tf.Tensor:
        """Draw uint64 [rows, *shape] for rows from `start` on."""
        key = _mix(_constant(self.seed)) ^ _constant(zlib.crc32(purpose.encode()))
        key = _mix(_mix(key) ^ tf.cast(self.step, tf.uint64))
        columns = math.prod(shape)
        numbers = tf.range(rows * columns, dtype=tf.int64)
        numbers += tf.cast(start, tf.int64) * columns + 1
        bits = _mix(key + tf.cast(numbers, tf.uint64) * _constant(_GOLDEN_GAMMA))
        return tf.reshape(bits, [rows, *shape])


def _is_spread(indices: tf.Tensor, share: float) -> tf.Tensor:
    """Return for each float32 index whether it is in an evenly spread share."""
    return tf.floor((indices + 1) * share) > tf.floor(indices * share)


def _mix(values: tf.Tensor) -> tf.Tensor:
    """Mix the bits of uint64 values, as SplitMix64 does."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ _shift_right(values, shift)) * _constant(factor)
    return values ^ _shift_right(values, 31)


def _uniform(bits: tf.Tensor, shift: int) -> tf.Tensor:
    """Make numbers from [0, 1) of the _BITS bits above the lowest `shift` ones."""
    kept = _shift_right(bits, shift) & _constant(2**_BITS - 1)
    return tf.cast(kept, tf.float32) * 2.0**-_BITS


def _shift_right(values: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.right_shift(values, _constant(shift))


def _constant(value: int) -> tf.Tensor:
    return tf.constant(value % 2**64, tf.uint64)
