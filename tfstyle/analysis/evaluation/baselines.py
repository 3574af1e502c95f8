"""What is achieved without a style space, and what a style space knows by heart."""

import dataclasses

import numpy as np

from tfstyle.analysis import results
from tfstyle.analysis.realism.samples import MAX_TEST_PICTURES, read_first_pictures
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
    test_accuracy: float = results.reference("test pictures", "train_accuracy")
    train_variance_ratio: float = measured(
        "variance ratio of training pictures by the kept style dimensions",
        ".4f",
        "Much less than that of test pictures means the same.",
    )
    test_variance_ratio: float = results.reference(
        "test pictures", "train_variance_ratio"
    )


def measure_baselines(run: TrainedRun) -> Baselines:
    """Compare the style space of a run with what pixels tell, and with training."""
    dataset = run.dataset
    train, train_ids = read_first_pictures(dataset, "train", _MOST_TRAINING_PICTURES)
    test, test_ids = read_first_pictures(dataset, dataset.test_split, MAX_TEST_PICTURES)
    pixels = [
        texture.shrink(pictures).reshape(len(pictures), -1).astype(np.float32)
        for pictures in (train, test)
    ]
    compared = (pixels[0], train_ids, pixels[1], test_ids)
    stage = metric.SPEC.name
    folder, encoder = run.folder(stage), run.network(stage, "style_encoder")
    kept = run.style_statistics.dims - 1
    judged: dict[str, float] = {}
    for name, pictures, ids in (("train", train, train_ids), ("test", test, test_ids)):
        codes = encode_pictures(encoder, pictures)
        accuracy = metric.classify(folder.read_array, codes, ids)
        judged[f"{name}_accuracy"] = float(accuracy[kept])
        ratio = prefix.variance_ratio(codes, ids)
        judged[f"{name}_variance_ratio"] = float(ratio[kept])
    return Baselines(
        pictures=len(test),
        train_pictures=len(train),
        nearest_pixels=probes.nearest_accuracy(*compared),
        discriminants=probes.discriminant_accuracy(*compared),
        **judged,
    )
