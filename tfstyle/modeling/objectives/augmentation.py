"""Random changes of pictures that gradients pass through.

What a discriminator sees may be changed alike for real and generated pictures, so that
it cannot learn a small collection by heart and yet judges the generator by the true
pictures (Zhao et al. 2020, arXiv 2006.10738). Each picture has draws of its own.
"""

from collections.abc import Sequence

import tensorflow as tf

from tfstyle.modeling.networks.networks import extract_patches
from tfstyle.modeling.objectives.draws import BatchDraws

# Ranges of Zhao et al.; scaled lightness spans [-1, 1] as their colors do.
_LIGHTNESS_SHIFT = 0.5
_CHROMA_SCALES = (0.0, 2.0)
_CONTRASTS = (0.5, 1.5)
# Of the picture's side.
_TRANSLATION = 1 / 8
_CUTOUT = 1 / 2


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """Give names of `AUGMENTATIONS` back; ValueError if they are none."""
    if not (isinstance(names, tuple | list) and set(names) <= set(AUGMENTATIONS)):
        known = ", ".join(AUGMENTATIONS)
        raise ValueError(f"augmentation must be a tuple of {known}, got {names!r}")
    return tuple(names)


def augment(
    images: tf.Tensor, names: Sequence[str], draws: BatchDraws, purpose: str
) -> tf.Tensor:
    """Change pictures at random.

    Args:
        images: float32 [rows, size, size, 3], scaled Lab.
        names: some of `AUGMENTATIONS`, applied in this order.
        draws: of these rows.
        purpose: sets apart pictures of one row, such as real and generated ones.

    Returns:
        float32 [rows, size, size, 3].
    """
    for name in names:
        images = AUGMENTATIONS[name](images, draws, f"{purpose} {name}")
    return images


def _color(images, draws, purpose):
    """Shift lightness, scale chroma, scale lightness about its mean, in this order."""
    drawn = draws.uniform(purpose, 3)[:, None, None, :]
    shift = _LIGHTNESS_SHIFT * (2 * drawn[..., 0:1] - 1)
    chroma_scale = _between(_CHROMA_SCALES, drawn[..., 1:2])
    contrast = _between(_CONTRASTS, drawn[..., 2:3])
    lightness = images[..., :1] + shift
    mean = tf.reduce_mean(lightness, axis=[1, 2], keepdims=True)
    lightness = mean + contrast * (lightness - mean)
    return tf.concat([lightness, images[..., 1:] * chroma_scale], axis=-1)


def _translation(images, draws, purpose):
    """Move by whole pixels, up to an eighth of the side; what enters is mid-grey."""
    size = images.shape[1]
    most = round(size * _TRANSLATION)
    padded = tf.pad(images, [[0, 0], [most, most], [most, most], [0, 0]])
    return extract_patches(padded, draws.uniform(purpose, 1, 2), size)


def _cutout(images, draws, purpose):
    """Lay a mid-grey square of half the side on it, whose centre is any pixel."""
    size = images.shape[1]
    side = round(size * _CUTOUT)
    centres = tf.floor(draws.uniform(purpose, 2) * size)
    starts = tf.cast(centres, tf.int32)[:, :, None] - side // 2
    places = tf.range(size)
    inside = (places >= starts) & (places < starts + side)
    hidden = inside[:, 0, :, None] & inside[:, 1, None, :]
    return tf.where(hidden[..., None], 0.0, images)


def _between(limits, share):
    low, high = limits
    return low + (high - low) * share


AUGMENTATIONS = {"color": _color, "translation": _translation, "cutout": _cutout}
