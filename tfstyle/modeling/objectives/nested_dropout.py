"""Nested dropout: keep a random prefix of a code, so that its first dimensions matter.

Source: section 3, equations 3 and 4; Rippel, Gelbart and Adams (arXiv 1402.0915).
"""

import numpy as np
import tensorflow as tf


def prefix_probabilities(dims: int, t: float) -> np.ndarray:
    """Give the probability of each prefix length d = 1..dims.

    Args:
        dims: D, the full number of dimensions.
        t: the dropout parameter, 0 < t <= 1; 1 makes all lengths equally likely.

    Returns:
        float32 [dims], p_d = (1-t) t^(d-1) / (1 - t^D), which sums to one.

    Raises:
        ValueError: if t or dims is out of range.
    """
    if dims < 1 or not 0 < t <= 1:
        raise ValueError(f"dims must be >= 1 and 0 < t <= 1, got dims={dims}, t={t}")
    weights = np.power(np.float64(t), np.arange(dims))
    return (weights / weights.sum()).astype(np.float32)


def sample_prefix_lengths(
    batch_size: int | tf.Tensor, dims: int, t: float, seed
) -> tf.Tensor:
    """Draw prefix lengths by inverse CDF, statelessly.

    Args:
        batch_size: how many.
        dims: D, the longest prefix.
        t: as in `prefix_probabilities`.
        seed: two integers, int32 or int64 [2].

    Returns:
        int32 [batch_size], in 1..dims.
    """
    upper = np.cumsum(prefix_probabilities(dims, t), dtype=np.float64)[:-1]
    uniform = tf.random.stateless_uniform([batch_size], seed)
    return 1 + tf.searchsorted(upper.astype(np.float32), uniform, side="right")


def sample_prefix_mask(
    batch_size: int | tf.Tensor, dims: int, t: float, seed
) -> tf.Tensor:
    """Draw masks that keep a random prefix and zero the rest.

    Args:
        batch_size: how many.
        dims: D, the full number of dimensions.
        t: as in `prefix_probabilities`.
        seed: two integers, int32 or int64 [2].

    Returns:
        float32 [batch_size, dims] of ones, then zeros; at least one one per row.
    """
    return tf.sequence_mask(
        sample_prefix_lengths(batch_size, dims, t, seed), dims, tf.float32
    )
