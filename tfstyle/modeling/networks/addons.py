"""What tensorflow-addons has to compare with: learned gains and the triplet loss.

This is the only module that imports tensorflow-addons, whose development has ended.
"""

import warnings

import tensorflow as tf

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="(?s).*TensorFlow Addons")
    import tensorflow_addons as tfa


def make_learned_conv(
    filters: int, kernel_size: int, strides: int
) -> tf.keras.layers.Layer:
    """Make a convolution without bias whose kernel norm is a learned gain.

    Raises:
        ValueError: under mixed precision, where tensorflow-addons' wrapper fails.
    """
    policy = tf.keras.mixed_precision.global_policy().name
    if policy != "float32":
        raise ValueError(f"learned normalization needs float32, got {policy}")
    convolution = tf.keras.layers.Conv2D(
        filters, kernel_size, strides, padding="same", use_bias=False
    )
    return tfa.layers.WeightNormalization(convolution, data_init=False)


def triplet_loss(codes: tf.Tensor, artist_ids: tf.Tensor) -> tf.Tensor:
    """Return the triplet loss with semi-hard negatives of FaceNet (arXiv 1503.03832).

    Args:
        codes: float32 [B, D].
        artist_ids: int [B].

    Returns:
        float32 scalar, mean over the batch's pairs by the same artist; the margin is 1
        and distances are not squared.
    """
    return tfa.losses.triplet_semihard_loss(artist_ids, codes)
