"""What tensorflow-addons has to compare with: learned gains, the triplet loss.

This is the only module that imports tensorflow-addons, whose development has ended.
"""

import warnings

import tensorflow as tf

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="(?s).*TensorFlow Addons")
    import tensorflow_addons as tfa


def learned_normalization(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """Wrap a Conv2D or Dense layer so that its kernel's norm is a learned gain.

    Raises:
        ValueError: under mixed precision, in which the wrapper fails, or for a
            transposed convolution, of which it would normalize the wrong axis.
    """
    if isinstance(layer, tf.keras.layers.Conv2DTranspose):
        raise ValueError("learned normalization cannot wrap a transposed convolution")
    policy = tf.keras.mixed_precision.global_policy().name
    if policy != "float32":
        raise ValueError(f"learned normalization needs float32, got {policy}")
    return tfa.layers.WeightNormalization(layer, data_init=False)


def triplet_loss(codes: tf.Tensor, artist_ids: tf.Tensor) -> tf.Tensor:
    """Triplet loss with semi-hard negatives (Schroff, Kalenichenko and Philbin 2015).

    Args:
        codes: float32 [B, D].
        artist_ids: int [B].

    Returns:
        Scalar: mean over the batch's pairs of one artist, margin 1, of distances.
    """
    return tfa.losses.triplet_semihard_loss(artist_ids, codes)
