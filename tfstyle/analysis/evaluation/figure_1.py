"""Figure 1: accuracy and variance ratio by the first d style dimensions."""

import dataclasses
import functools
import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.data import input_pipeline
from tfstyle.metrics import prefix, repeats
from tfstyle.modeling.networks.codes import Codes, collect_codes
from tfstyle.modeling.objectives.passes import compute_artist_means
from tfstyle.modeling.stages import classifier
from tfstyle.runs import metrics_log, retrained
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun

MEANS_LABEL = "classifier, nearest mean code"
RETRAINED_LABEL = "classifier trained per d"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
    """Figure 1's curves of a method.

    Args:
        dims: numbers of dimensions.
        accuracy: share of test pictures whose artist is found, by each of dims.
        variance_ratio: of equation 10, by each of dims.
        accuracy_interval: 95 % of bootstrap samples of artists, by each of dims; None
            with few artists.
        variance_ratio_interval: likewise.
    """

    dims: list[int]
    accuracy: list[float]
    variance_ratio: list[float]
    accuracy_interval: list[list[float]] | None = None
    variance_ratio_interval: list[list[float]] | None = None

    def summarize(self, name: str) -> list[str]:
        """Format the curves as lines of text."""
        return [
            f"{name}: d, accuracy, variance ratio (equation 10)",
            *(
                f"  {d:4d}  {accuracy:>6}  {ratio}"
                for d, (accuracy, ratio) in zip(
                    self.dims, map(self.format_point, self.dims), strict=True
                )
            ),
        ]

    def format_point(self, d: int) -> tuple[str, str]:
        """Format accuracy and variance ratio by d dimensions, with their intervals."""
        k = self.dims.index(d)
        accuracy = f"{self.accuracy[k]:.1%}"
        ratio = repeats.format_number(self.variance_ratio[k], ".4f")
        if self.accuracy_interval and self.variance_ratio_interval:
            low, high = self.accuracy_interval[k]
            accuracy += f" ({low:.1%} to {high:.1%})"
            low, high = self.variance_ratio_interval[k]
            if not math.isnan(low):
                ratio += f" ({low:.4f} to {high:.4f})"
        return accuracy, ratio


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrefixCurves(Curves):
    """Curves of a code, by its first d dimensions.

    Args:
        every_accuracy: by 1, 2, 3, .. dimensions.
        every_variance_ratio: likewise.
        recommended_dims: the smallest prefix nearly as accurate as the full code, on
            validation pictures if there are any.
    """

    every_accuracy: list[float]
    every_variance_ratio: list[float]
    recommended_dims: int


@dataclasses.dataclass(frozen=True)
class Classified:
    """Pictures of a split with the artist that a stage finds for each."""

    codes: Codes  # raw
    predicted: np.ndarray  # int32 [n, dims], by every prefix

    @functools.cached_property
    def accuracy(self) -> np.ndarray:
        """The share of pictures whose artist is found, float64 [dims]."""
        return prefix.share_correct(self.predicted, self.codes.artist_ids)

    @functools.cached_property
    def variance_ratio(self) -> np.ndarray:
        """Of equation 10, float64 [dims]."""
        return prefix.variance_ratio(self.codes.codes, self.codes.artist_ids)


def measure_curves(
    run: TrainedRun, stage: str, tolerance: float
) -> tuple[PrefixCurves, Classified]:
    """Measure a stage's curves; also return the classified test pictures."""
    start = time.time()
    folder = run.folder(stage)
    encoder = run.network(stage, "style_encoder")
    dataset = run.dataset
    test = _classify_pictures(run, folder, encoder, dataset.test_split)
    chosen_by = test.accuracy
    if dataset.has_validation:
        split = dataset.validation_split
        chosen_by = _classify_pictures(run, folder, encoder, split).accuracy
    dims = prefix.curve_dims(len(test.accuracy))
    curves = PrefixCurves(
        **vars(compute_curves(test, dims)),
        every_accuracy=test.accuracy.tolist(),
        every_variance_ratio=test.variance_ratio.tolist(),
        recommended_dims=prefix.recommended_dims(chosen_by, tolerance),
    )
    _log_curves(folder, curves, "figure_1/", len(test.predicted), start)
    return curves, test


def measure_by_means(run: TrainedRun, stage: str, test: Codes) -> Curves:
    """Measure test pictures, given their raw codes, by the nearest mean code.

    Means are of each artist's training pictures. A classifier's logits, cut to the
    first d features, lack what the others would add; distances to means do not.
    """
    start = time.time()
    means = compute_artist_means(run.network(stage, "style_encoder"), run.dataset)
    classified = Classified(test, prefix.nearest_styles(test.codes, means))
    dims = prefix.curve_dims(test.codes.shape[1])
    curves = compute_curves(classified, dims)
    _log_curves(run.folder(stage), curves, "figure_1/means_", len(test.codes), start)
    return curves


def measure_retrained(run: TrainedRun) -> Curves | None:
    """Measure classifiers trained per d by all their dimensions."""
    start = time.time()
    folders = retrained.find_current(run.path)
    if not folders:
        return None
    parts = []
    for d, folder in folders.items():
        encoder = folder.load_network("style_encoder")
        test = _classify_pictures(run, folder, encoder, run.dataset.test_split)
        parts.append(compute_curves(test, [d]))
    curves = _join_points(parts)
    count = run.dataset.num_examples(run.dataset.test_split)
    folder = run.folder(classifier.SPEC.name)
    _log_curves(folder, curves, "figure_1/retrained_", count, start)
    return curves


def compute_curves(test: Classified, dims: list[int]) -> Curves:
    """Compute curves, with intervals over artists.

    Args:
        test: classified test pictures.
        dims: numbers of dimensions.
    """
    points = np.array(dims) - 1
    artist_ids = test.codes.artist_ids
    weights = repeats.draw_artist_weights(len(np.unique(artist_ids)))
    ratio = test.variance_ratio
    intervals = {}
    if weights is not None:
        moments = prefix.Moments.of_codes(test.codes.codes, artist_ids)
        _, artists = np.unique(artist_ids, return_inverse=True)
        hits = np.zeros([len(moments.counts), len(dims)])
        np.add.at(hits, artists, test.predicted[:, points] == artist_ids[:, None])
        accuracies = weights @ hits / (weights @ moments.counts)[:, None]
        within, between = (part[:, points] for part in moments.variances(weights))
        ratios = np.where(np.isnan(ratio[points]), np.nan, within / between)
        intervals = {
            "accuracy_interval": repeats.compute_intervals(accuracies),
            "variance_ratio_interval": repeats.compute_intervals(ratios),
        }
    return Curves(
        dims=dims,
        accuracy=[float(test.accuracy[k]) for k in points],
        variance_ratio=[float(ratio[k]) for k in points],
        **intervals,
    )


def _classify_pictures(
    run: TrainedRun, folder: StageFolder, encoder: tf.keras.Model, split: str
) -> Classified:
    classify = folder.spec.classify
    assert classify is not None, f"{folder.stage} does not classify"
    batches = input_pipeline.eval_batches(run.dataset, split)
    seen = collect_codes(encoder, batches)
    return Classified(seen, classify(folder.read_array, seen.codes))


def _join_points(parts: list[Curves]) -> Curves:
    """Join curves of one point each; without intervals where a part has none."""
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Curves):
        points = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if None in points else [k for (k,) in points]
    return Curves(**joined)


def _log_curves(
    folder: StageFolder, curves: Curves, group: str, count: int, start: float
) -> None:
    values = {
        f"{group}{name}_{d}": value
        for name in ("accuracy", "variance_ratio")
        for d, value in zip(curves.dims, getattr(curves, name), strict=True)
    }
    metrics_log.log_evaluation(folder, values, count, start)
