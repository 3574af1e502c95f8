"""Nested dropout: keep a random prefix of a code, so that its first dimensions matter.

Source: section 3, equations 3 and 4; Rippel, Gelbart and Adams (arXiv 1402.0915).
"""

import numpy as np
import tensorflow as tf


def prefix_probabilities(dims: int, t: float) -> np.ndarray:
    """Return the probability of each prefix length d = 1..dims.

    Args:
        dims: D, the number of code dimensions.
        t: nested dropout's parameter, 0 < t <= 1; 1 makes all lengths equally likely.

    Returns:
        float32 [dims], p_d = (1-t) t^(d-1) / (1 - t^D), which sum to 1.

    Raises:
        ValueError: if t or dims is out of range.
    """
    if dims < 1 or not 0 < t <= 1:
        raise ValueError(f"dims must be >= 1 and 0 < t <= 1, got dims={dims}, t={t}")
    weights = np.power(np.float64(t), np.arange(dims))
    return (weights / weights.sum()).astype(np.float32)


def choose_prefix_lengths(uniforms: tf.Tensor, dims: int, t: float) -> tf.Tensor:
    """Choose prefix lengths by their inverse cumulative distribution.

    Args:
        uniforms: float32 [count], from [0, 1).
        dims: see `prefix_probabilities`.
        t: see `prefix_probabilities`.

    Returns:
        int32 [count], in 1..dims.
    """
    upper = np.cumsum(prefix_probabilities(dims, t), dtype=np.float64)[:-1]
    return 1 + tf.searchsorted(upper.astype(np.float32), uniforms, side="right")
