"""Measurements of trained networks on a split's pictures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.data import input_pipeline, records
from tfstyle.metrics import prefix
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import Codes, average_by_artist, collect_codes
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.objectives import generation
from tfstyle.modeling.objectives.style import describe_distances

# A dimension is active if its code's mean varies by more than this over pictures
# (Burda, Grosse and Salakhutdinov 2016, arXiv 1509.00519).
ACTIVE_VARIANCE = 0.01


@dataclasses.dataclass(frozen=True)
class ContentUse:
    """How much information each dimension of a content code carries."""

    kl: np.ndarray  # float64 [D], mean KL divergence from N(0, 1) in nats
    variance: np.ndarray  # float64 [D], variance over pictures of the encoder's mean

    @property
    def active(self) -> np.ndarray:
        """Which dimensions are active, bool [D]."""
        return self.variance > ACTIVE_VARIANCE


def compute_artist_means(
    encoder: tf.keras.Model, dataset: records.Dataset
) -> np.ndarray:
    """Compute each artist's mean code over the training pictures, float64 [N, D]."""
    train = collect_codes(encoder, input_pipeline.eval_batches(dataset, "train"))
    return average_by_artist(train.codes, train.artist_ids, len(dataset.artists))


def measure_reconstruction_errors(
    style_encoder: tf.keras.Model,
    content_encoder: tf.keras.Model,
    decoder: tf.keras.Model,
    batches: tf.data.Dataset,
    dims: Sequence[int],
) -> np.ndarray:
    """Measure the VAE's reconstruction error by content prefix (section 4).

    Args:
        style_encoder: S, normalized and pruned.
        content_encoder: Enc with all dimensions.
        decoder: Dec.
        batches: evaluation batches.
        dims: prefix lengths.

    Returns:
        float64 [len(dims)], mean over pictures of the squared error in scaled Lab,
        summed over pixels and channels. Content codes are the encoder's means.
    """

    @tf.function
    def sum_errors(pictures: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
        images = color.rgb_to_lab(pictures)
        styles = style_encoder(images)
        means, _ = content_encoder(images)
        positions = tf.range(means.shape[-1])
        return [
            tf.reduce_sum(
                mask
                * generation.reconstruction_loss(
                    decoder([styles, tf.where(positions < d, means, 0.0)]), images
                )
            )
            for d in dims
        ]

    sums, count = np.zeros(len(dims)), 0.0
    for batch in batches:
        sums += np.array(sum_errors(batch["image"], batch["mask"]), np.float64)
        count += float(tf.reduce_sum(batch["mask"]))
    return sums / count


def measure_content_use(
    encoder: tf.keras.Model, batches: tf.data.Dataset
) -> ContentUse:
    """Measure how much information each dimension of Enc carries."""
    encode = _compile_kl(encoder)
    sums, count = np.zeros([3, encoder.dims]), 0
    for batch in batches:
        mask = batch["mask"].numpy() > 0
        kl, means = (
            values.numpy()[mask].astype(np.float64) for values in encode(batch["image"])
        )
        sums += [values.sum(axis=0) for values in (kl, means, np.square(means))]
        count += len(means)
    kl, mean, square = sums / count
    return ContentUse(kl, np.maximum(square - np.square(mean), 0))


@functools.lru_cache(maxsize=2)
def _compile_kl(encoder: tf.keras.Model) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Compile once per encoder, however often a training stage calls it."""

    @tf.function
    def encode(pictures: tf.Tensor) -> list[tf.Tensor]:
        mean, log_variance = encoder(color.rgb_to_lab(pictures))
        return [generation.kl_by_dimension(mean, log_variance), mean]

    return encode


def measure_mean_picture_error(
    train_batches: tf.data.Dataset, batches: tf.data.Dataset
) -> float:
    """Measure the error of the mean training picture, a baseline for reconstructions.

    The error is that of `measure_reconstruction_errors`, on the pictures of `batches`.
    """

    def read_images(batch: Mapping[str, tf.Tensor]) -> np.ndarray:
        pictures = batch["image"][batch["mask"] > 0]
        return color.rgb_to_lab(pictures).numpy().astype(np.float64)

    total, count = 0.0, 0
    for batch in train_batches:
        images = read_images(batch)
        total, count = total + images.sum(axis=0), count + len(images)
    mean = total / count
    error, count = 0.0, 0
    for batch in batches:
        images = read_images(batch)
        error, count = error + np.square(images - mean).sum(), count + len(images)
    return error / count


def measure_generator_reconstruction_error(
    generator: tf.keras.Model,
    style_encoder: tf.keras.Model,
    content_encoder: tf.keras.Model,
    noise_dims: int,
    batches: tf.data.Dataset,
) -> float:
    """Measure G's error in reconstructing pictures from their codes (section 6.4).

    The error is that of `measure_reconstruction_errors`. Both encoders are normalized
    and pruned; the noise is a fixed draw.
    """

    @tf.function
    def compute_errors(pictures: tf.Tensor) -> tf.Tensor:
        images = color.rgb_to_lab(pictures)
        noise = tf.random.stateless_normal([tf.shape(images)[0], noise_dims], [0, 0])
        fakes = generator([style_encoder(images), content_encoder(images), noise])
        return generation.reconstruction_loss(fakes, images)

    total, count = 0.0, 0.0
    for batch in batches:
        total += float(tf.reduce_sum(compute_errors(batch["image"]) * batch["mask"]))
        count += float(tf.reduce_sum(batch["mask"]))
    return total / count


def measure_figure_1(
    seen: Codes, accuracy: np.ndarray, pruning: Pruning
) -> tuple[dict[str, float], float]:
    """Compute figure 1's numbers, and the score by which the best weights are kept.

    The score is the mean accuracy over figure 1's numbers of dimensions: a rule that
    favors neither a method that is good with few dimensions nor one that needs many.

    Args:
        seen: raw style codes of the pictures that are evaluated.
        accuracy: float64 [dims], by every prefix.
        pruning: the pruning settings.
    """
    ratio = prefix.variance_ratio(seen.codes, seen.artist_ids)
    recommended = prefix.recommended_dims(accuracy, pruning.tolerance)
    # A classifier may have fewer dimensions than the style space keeps.
    dims = min(pruning.style_dims or recommended, len(accuracy))
    numbers = {
        f"accuracy_{dims}": float(accuracy[dims - 1]),
        f"variance_ratio_{dims}": float(ratio[dims - 1]),
        "recommended_dims": recommended,
    }
    curve = prefix.curve_dims(len(accuracy))
    for d in curve:
        numbers[f"accuracy_{d}"] = float(accuracy[d - 1])
    return numbers, float(np.mean([accuracy[d - 1] for d in curve]))


def measure_style_distances(
    seen: Codes,
    presumed_styles: np.ndarray,
    scales: np.ndarray,
    saturates: bool,
) -> tuple[dict[str, float], str | None]:
    """Measure distances by prefix, and whether a style space can learn from them.

    Args:
        seen: raw style codes of the pictures that are evaluated.
        presumed_styles: float [N, D].
        scales: float [D], h_d.
        saturates: see `style.describe_distances`.

    Returns:
        Numbers by name, and a warning or None.
    """
    dims = prefix.curve_dims(len(scales))
    same, different = prefix.style_distances(
        seen.codes, seen.artist_ids, presumed_styles, scales, dims
    )
    numbers: dict[str, float] = {}
    for k, d in enumerate(dims):
        numbers[f"same_distance_{d}"] = float(same[k])
        numbers[f"different_distance_{d}"] = float(different[k])
        numbers[f"prefix_scale_{d}"] = float(scales[d - 1])
    return numbers, describe_distances(same[-1], different[-1], saturates)
