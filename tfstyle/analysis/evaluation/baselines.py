"""What is achieved without a style space, and what a style space knows by heart."""

import dataclasses
import math

import numpy as np

from tfstyle.analysis import results
from tfstyle.analysis.realism.samples import (
    MAX_TEST_PICTURES,
    read_first_batches,
    read_first_pictures,
)
from tfstyle.analysis.results import measured
from tfstyle.metrics import prefix, probes, texture
from tfstyle.modeling.networks.codes import encode_pictures
from tfstyle.modeling.stages import metric
from tfstyle.runs.trained_run import TrainedRun

# Training pictures at most: enough for any artist to have some among them.
_MOST_TRAINING_PICTURES = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baselines(results.Result):
    """Test pictures classified by their pixels, and training pictures by their codes.

    Args:
        pictures: number of test pictures.
        train_pictures: number of training pictures.
    """

    pictures: int
    train_pictures: int
    nearest_pixels: float = measured(
        "accuracy of the most similar training picture by pixels",
        ".1%",
        "How often the training picture with the smallest squared difference, at 32x32 "
        "pixels, is by the artist of a test picture. No training is needed for it.",
    )
    discriminants: float = measured(
        f"accuracy of linear discriminants on {probes.COMPONENTS} principal components",
        ".1%",
        "The same for a linear classifier of the pixels.",
    )
    train_accuracy: float = measured(
        "accuracy on training pictures by the kept style dimensions",
        ".1%",
        "Much more than on test pictures means that the style space has learned its "
        "training pictures by heart.",
    )
    # None without test pictures.
    test_accuracy: float | None = results.reference("test pictures", "train_accuracy")
    train_variance_ratio: float = measured(
        "variance ratio of training pictures by the kept style dimensions",
        ".4f",
        "Much less than that of test pictures means the same.",
    )
    test_variance_ratio: float | None = results.reference(
        "test pictures", "train_variance_ratio"
    )


def measure_baselines(
    run: TrainedRun, test_accuracy: float, test_variance_ratio: float
) -> Baselines:
    """Compare the style space of a run with what pixels tell, and with training.

    Args:
        run: the run.
        test_accuracy: by the kept style dimensions.
        test_variance_ratio: likewise.
    """
    encoder = run.network(metric.SPEC.name, "style_encoder")
    pixels, codes, train_ids = [], [], []
    # Pictures themselves, all at once, would fill the memory.
    for batch in read_first_batches(run.dataset, "train", _MOST_TRAINING_PICTURES):
        pixels.append(_flatten_small(batch["image"]))
        codes.append(encode_pictures(encoder, batch["image"]))
        train_ids.append(batch["artist"])
    style_codes, ids = np.concatenate(codes), np.concatenate(train_ids)
    test, test_ids = read_first_pictures(
        run.dataset, run.dataset.test_split, MAX_TEST_PICTURES
    )
    compared = (np.concatenate(pixels), ids, _flatten_small(test), test_ids)
    read_array = run.folder(metric.SPEC.name).read_array
    kept = run.style_statistics.dims - 1
    predicted = metric.classify(read_array, style_codes)[:, kept]
    ratio = prefix.variance_ratio(style_codes, ids)
    has_test = run.dataset.test_split == "test"
    return Baselines(
        pictures=len(test),
        train_pictures=len(ids),
        # Training pictures would be found among themselves.
        nearest_pixels=probes.nearest_accuracy(*compared) if has_test else math.nan,
        discriminants=(
            probes.discriminant_accuracy(*compared) if has_test else math.nan
        ),
        train_accuracy=float(np.mean(predicted == ids)),
        test_accuracy=test_accuracy if has_test else None,
        train_variance_ratio=float(ratio[kept]),
        test_variance_ratio=test_variance_ratio if has_test else None,
    )


def _flatten_small(pictures: np.ndarray) -> np.ndarray:
    """Return the pixels of pictures at 32x32 or less, float32 [n, values]."""
    small = texture.shrink(pictures).astype(np.float32)
    return small.reshape(len(small), -1)
