"""Codes of whole collections, and the pictures of given codes."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import color

# Pictures that go through a network at once when no gradient is needed.
BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Codes:
    """What `collect_codes` gives.

    Args:
        codes: float32 [N, D].
        artist_ids: int64 [N].
        filenames: N names as in the records.
    """

    codes: np.ndarray
    artist_ids: np.ndarray
    filenames: list[str]


def collect_codes(
    encoder: tf.keras.Model, batches: Iterable[Mapping[str, tf.Tensor]]
) -> Codes:
    """Encode every picture of evaluation batches once.

    Args:
        encoder: scaled Lab [batch, size, size, 3] -> codes, or (mean, log variance),
            of which the mean is kept.
        batches: of `tfstyle.data.input_pipeline.eval_batches`.
    """
    encode = _compiled(encoder)
    codes, artist_ids, filenames = [], [], []
    for batch in batches:
        kept = batch["mask"].numpy() > 0
        outputs = encode(batch["image"])
        codes.append(outputs.numpy()[kept])
        artist_ids.append(batch["artist"].numpy()[kept])
        filenames += [os.fsdecode(name) for name in batch["filename"].numpy()[kept]]
    return Codes(np.concatenate(codes), np.concatenate(artist_ids), filenames)


def mean_by_artist(
    codes: np.ndarray, artist_ids: np.ndarray, artists: int
) -> np.ndarray:
    """Average codes [n, D] over each artist's pictures, float64 [artists, D]."""
    sums = np.zeros([artists, codes.shape[1]])
    np.add.at(sums, artist_ids, codes.astype(np.float64))
    counts = np.bincount(artist_ids, minlength=artists)
    return sums / np.maximum(counts, 1)[:, None]


def encode_pictures(encoder: tf.keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Encode uint8 [n, size, size, 3] RGB; float32 [n, D]. For a sheet's worth."""
    return np.concatenate(
        [
            _codes(encoder, pictures[start : start + BATCH_SIZE])
            for start in range(0, len(pictures), BATCH_SIZE)
        ]
    )


def decode_codes(decoder: tf.keras.Model, *codes: np.ndarray) -> np.ndarray:
    """Turn codes into pictures.

    Args:
        decoder: (style, content[, noise]) -> scaled Lab.
        codes: its inputs, float [n, dims] each.

    Returns:
        uint8 [n, size, size, 3], RGB.
    """
    inputs = [np.asarray(one, np.float32) for one in codes]
    return np.concatenate(
        [
            color.lab_to_rgb(
                decoder([one[start : start + BATCH_SIZE] for one in inputs])
            )
            for start in range(0, len(inputs[0]), BATCH_SIZE)
        ]
    )


def _codes(encoder, images):
    outputs = encoder(color.rgb_to_lab(images))
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


@functools.lru_cache(maxsize=8)
def _compiled(encoder):
    """Trace once per network, however often a training stage calls."""
    # A lambda would be one and the same to TensorFlow, which warns of tracing it for
    # every network.
    return tf.function(functools.partial(_codes, encoder))
