"""Numbers about trained networks on the test pictures."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfstyle.data import input_pipeline, records
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import collect_codes, mean_by_artist
from tfstyle.modeling.objectives import style as objectives

BATCH = 32
# A dimension is active if its code's mean varies by more than this over pictures
# (Burda, Grosse and Salakhutdinov 2016, arXiv 1509.00519).
ACTIVE_VARIANCE = 0.01


@dataclasses.dataclass(frozen=True)
class ContentUse:
    """How much each dimension of a content code says of pictures.

    Args:
        kl: float64 [D], mean KL divergence from N(0, 1) in nats.
        variance: float64 [D], of the encoder's mean over pictures.
    """

    kl: np.ndarray
    variance: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """Which dimensions are active, bool [D]."""
        return self.variance > ACTIVE_VARIANCE


def test_split(dataset: records.Dataset) -> str:
    """Name the split that numbers come from: train only if there is no test split."""
    return "test" if dataset.num_examples("test") else "train"


def test_batches(dataset: records.Dataset) -> tf.data.Dataset:
    """Make evaluation batches of the test pictures."""
    return split_batches(dataset, test_split(dataset))


def split_batches(dataset: records.Dataset, *splits: str) -> tf.data.Dataset:
    """Make evaluation batches of splits."""
    return input_pipeline.eval_batches(dataset, splits, BATCH)


def artist_means(encoder: tf.keras.Model, dataset: records.Dataset) -> np.ndarray:
    """Compute each artist's mean code over the training pictures, float64 [N, D]."""
    found = collect_codes(encoder, split_batches(dataset, "train"))
    return mean_by_artist(found.codes, found.artist_ids, len(dataset.artists))


def reconstruction_errors(
    style_encoder: tf.keras.Model,
    content_encoder: tf.keras.Model,
    decoder: tf.keras.Model,
    batches: tf.data.Dataset,
    dims: Sequence[int],
) -> np.ndarray:
    """Compute the VAE's reconstruction error by content prefix (section 4).

    Args:
        style_encoder: S, normalized and pruned.
        content_encoder: Enc, whole.
        decoder: Dec.
        batches: evaluation batches.
        dims: prefix lengths.

    Returns:
        float64 [len(dims)], mean over pictures of the summed squared error in scaled
        Lab, from the codes' means.
    """

    @tf.function
    def errors(pictures, mask):
        images = color.rgb_to_lab(pictures)
        styles = style_encoder(images)
        means, _ = content_encoder(images)
        positions = tf.range(means.shape[-1])
        return [
            tf.reduce_sum(
                mask
                * objectives.reconstruction_loss(
                    decoder([styles, tf.where(positions < d, means, 0.0)]), images
                )
            )
            for d in dims
        ]

    sums, count = np.zeros(len(dims)), 0.0
    for batch in batches:
        sums += np.array(errors(batch["image"], batch["mask"]), np.float64)
        count += float(tf.reduce_sum(batch["mask"]))
    return sums / count


def content_use(encoder: tf.keras.Model, batches: tf.data.Dataset) -> ContentUse:
    """Measure what each content dimension says of pictures.

    Args:
        encoder: Enc, whole.
        batches: evaluation batches.
    """
    encode = _compiled_kl(encoder)
    sums, count = np.zeros([3, encoder.get_config()["dims"]]), 0
    for batch in batches:
        kept = batch["mask"].numpy() > 0
        kl, means = (one.numpy()[kept].astype(np.float64) for one in encode(batch))
        sums += [one.sum(axis=0) for one in (kl, means, np.square(means))]
        count += len(means)
    kl, mean, square = sums / count
    return ContentUse(kl, np.maximum(square - np.square(mean), 0))


@functools.lru_cache(maxsize=2)
def _compiled_kl(encoder):
    """Trace once per encoder, however often a training stage calls."""

    @tf.function
    def encode(pictures):
        mean, log_variance = encoder(color.rgb_to_lab(pictures))
        return objectives.kl_by_dimension(mean, log_variance), mean

    return lambda batch: encode(batch["image"])


def mean_picture_error(
    train_batches: tf.data.Dataset, batches: tf.data.Dataset
) -> float:
    """Error of answering every picture with the mean training picture.

    Args:
        train_batches: evaluation batches of the training pictures.
        batches: evaluation batches of the pictures to answer.

    Returns:
        Mean over pictures of the summed squared error in scaled Lab: what a
        reconstruction has to beat.
    """

    def images_of(batch):
        kept = batch["image"][batch["mask"] > 0]
        return color.rgb_to_lab(kept).numpy().astype(np.float64)

    total, count = 0.0, 0
    for batch in train_batches:
        images = images_of(batch)
        total, count = total + images.sum(axis=0), count + len(images)
    mean = total / count
    error, count = 0.0, 0
    for batch in batches:
        images = images_of(batch)
        error, count = error + np.square(images - mean).sum(), count + len(images)
    return error / count


def generator_reconstruction_error(
    generator: tf.keras.Model,
    style_encoder: tf.keras.Model,
    content_encoder: tf.keras.Model,
    noise_dims: int,
    batches: tf.data.Dataset,
) -> float:
    """Error of rebuilding pictures from their codes by the generator (section 6.4).

    Args:
        generator: G.
        style_encoder, content_encoder: S and Enc, normalized and pruned.
        noise_dims: of the unconditioned code, which is one fixed draw.
        batches: evaluation batches.

    Returns:
        Mean over pictures of the summed squared error in scaled Lab.
    """

    @tf.function
    def errors(pictures):
        images = color.rgb_to_lab(pictures)
        noise = tf.random.stateless_normal([tf.shape(images)[0], noise_dims], [0, 0])
        made = generator([style_encoder(images), content_encoder(images), noise])
        return objectives.reconstruction_loss(made, images)

    total, count = 0.0, 0.0
    for batch in batches:
        total += float(tf.reduce_sum(errors(batch["image"]) * batch["mask"]))
        count += float(tf.reduce_sum(batch["mask"]))
    return total / count
