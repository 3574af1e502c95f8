"""What is achieved without a style space, and what a style space knows by heart."""

import dataclasses

import numpy as np

from tfstyle.analysis import results
from tfstyle.analysis.realism.samples import MAX_TEST_PICTURES
from tfstyle.analysis.results import measured
from tfstyle.data import input_pipeline
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
    train = _Split.read(run, "train", _MOST_TRAINING_PICTURES)
    test = _Split.read(run, run.dataset.test_split, MAX_TEST_PICTURES)
    compared = (train.pixels, train.artist_ids, test.pixels, test.artist_ids)
    read_array = run.folder(metric.SPEC.name).read_array
    kept = run.style_statistics.dims - 1
    judged: dict[str, float] = {}
    for name, split in (("train", train), ("test", test)):
        accuracy = metric.classify(read_array, split.codes, split.artist_ids)
        judged[f"{name}_accuracy"] = float(accuracy[kept])
        ratio = prefix.variance_ratio(split.codes, split.artist_ids)
        judged[f"{name}_variance_ratio"] = float(ratio[kept])
    return Baselines(
        pictures=len(test.codes),
        train_pictures=len(train.codes),
        nearest_pixels=probes.nearest_accuracy(*compared),
        discriminants=probes.discriminant_accuracy(*compared),
        **judged,
    )


@dataclasses.dataclass(frozen=True)
class _Split:
    """The first pictures of a split, each as small pixels and as a code."""

    pixels: np.ndarray  # float32 [n, values]
    codes: np.ndarray  # float32 [n, D], raw
    artist_ids: np.ndarray  # int64 [n]

    @classmethod
    def read(cls, run: TrainedRun, split: str, count: int) -> "_Split":
        encoder = run.network(metric.SPEC.name, "style_encoder")
        pixels, codes, artist_ids = [], [], []
        for batch in input_pipeline.eval_batches(run.dataset, split):
            mask = batch["mask"].numpy() > 0
            pictures = batch["image"].numpy()[mask]
            # Pictures themselves would fill the memory.
            small = texture.shrink(pictures).astype(np.float32)
            pixels.append(small.reshape(len(small), -1))
            codes.append(encode_pictures(encoder, pictures))
            artist_ids.append(batch["artist"].numpy()[mask])
            if sum(map(len, codes)) >= count:
                break
        parts = (pixels, codes, artist_ids)
        return cls(*(np.concatenate(part)[:count] for part in parts))
