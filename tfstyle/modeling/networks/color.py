"""Conversion of RGB pictures to scaled Lab and back, inside the graph of a step.

Networks input and output scaled Lab: L/50 - 1, a/110 and b/110, all about [-1, 1]. The
RGB side of both functions is uint8, through which TensorFlow passes no gradient. This
is deliberate: the gradient of tensorflow_io's formulas is NaN at black.

This is the only module that imports tensorflow_io. Its color functions are built from
core TensorFlow ops, so a SavedModel that contains them loads without the package.
"""

import warnings

import tensorflow as tf

with warnings.catch_warnings():
    # tensorflow_io warns at import if its compiled file-system plugins do not fit the
    # installed TensorFlow. The color functions do not need them.
    warnings.filterwarnings("ignore", message="unable to load")
    warnings.filterwarnings("ignore", message="file system plugins")
    import tensorflow_io as tfio

# Lab = (scaled + offset) * scale. sRGB spans a in [-86, 98] and b in [-108, 94].
_SCALE = (50.0, 110.0, 110.0)
_OFFSET = (1.0, 0.0, 0.0)
_LIMIT = (1.0, 1.2, 1.2)


def rgb_to_lab(images: tf.Tensor) -> tf.Tensor:
    """Convert sRGB pictures to scaled Lab (D65).

    Args:
        images: uint8 [..., 3].

    Returns:
        float32 [..., 3], scaled Lab; finite everywhere, black included.

    Raises:
        TypeError: if images are not uint8.
    """
    images = tf.convert_to_tensor(images)
    if images.dtype != tf.uint8:
        raise TypeError(f"images must be uint8 RGB, got {images.dtype.name}")
    lab = tfio.experimental.color.rgb_to_lab(tf.cast(images, tf.float32) / 255.0)
    return lab / _SCALE - _OFFSET


def lab_to_rgb(images: tf.Tensor) -> tf.Tensor:
    """Convert scaled Lab to sRGB pictures; colors outside sRGB are clipped.

    Args:
        images: floating point [..., 3], scaled Lab; any finite values.

    Returns:
        uint8 [..., 3], rounded to the nearest level.
    """
    images = tf.cast(images, tf.float32)
    # Far outside Lab, where a network's outputs may lie, the formulas overflow to NaN.
    images = tf.clip_by_value(images, tf.negative(_LIMIT), _LIMIT)
    rgb = tfio.experimental.color.lab_to_rgb((images + _OFFSET) * _SCALE)
    return tf.cast(tf.round(rgb * 255.0), tf.uint8)
