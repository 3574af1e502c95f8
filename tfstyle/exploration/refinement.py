"""Codes that rebuild a picture better than the encoders' own: found by descent.

Reference [13] measures its generators so: codes of held-out pictures are optimized for
the squared error of what is generated from them.
"""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives import style as objectives

LEARNING_RATE = 0.05  # 50 steps do most of it, 200 nearly all


@dataclasses.dataclass(frozen=True)
class Refined:
    """What `refine_codes` finds for n pictures.

    Args:
        contents: float32 [n, content].
        noises: float32 [n, noise].
        before, after: float32 [n], the reconstruction error (squared, summed over the
            picture, in scaled Lab) with the codes given and with those found.
    """

    contents: np.ndarray
    noises: np.ndarray
    before: np.ndarray
    after: np.ndarray


def refine_codes(
    generator: tf.keras.Model,
    pictures: np.ndarray,
    styles: np.ndarray,
    contents: np.ndarray,
    noises: np.ndarray,
    steps: Iterable[object],
    learning_rate: float = LEARNING_RATE,
) -> Refined:
    """Move content and noise codes, by Adam, to where G rebuilds the pictures best.

    A picture's codes depend on nothing else in the batch. The best ones met are kept,
    so no error grows.

    Args:
        generator: G.
        pictures: uint8 [n, size, size, 3], RGB.
        styles: float [n, style], the pictures' own, which stay.
        contents: float [n, content], to start from.
        noises: float [n, noise], to start from.
        steps: a step is made for each of its items.
        learning_rate: Adam's.
    """
    images = color.rgb_to_lab(pictures)
    fixed = tf.constant(styles, tf.float32)
    codes = [tf.Variable(tf.cast(one, tf.float32)) for one in (contents, noises)]
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    evaluate = _compiled(generator)

    errors, gradients = evaluate(images, fixed, *codes)
    before = least = errors
    best = [tf.identity(one) for one in codes]
    for _ in steps:
        optimizer.apply_gradients(zip(gradients, codes, strict=True))
        errors, gradients = evaluate(images, fixed, *codes)
        better = errors < least
        least = tf.where(better, errors, least)
        best = [
            tf.where(better[:, None], new, old)
            for new, old in zip(codes, best, strict=True)
        ]
    found_contents, found_noises = (one.numpy() for one in best)
    return Refined(found_contents, found_noises, before.numpy(), least.numpy())


@functools.lru_cache(maxsize=2)
def _compiled(generator):
    """Trace once per network, however many pictures come."""
    return tf.function(functools.partial(_errors_and_gradients, generator))


def _errors_and_gradients(generator, images, styles, contents, noises):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([contents, noises])
        made = generator([styles, contents, noises])
        errors = objectives.reconstruction_loss(made, images)
    return errors, tape.gradient(errors, [contents, noises])
