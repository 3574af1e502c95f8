"""Measurements of the style space: figure 1, search, and artists never trained on."""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from tfstyle.analysis import results
from tfstyle.analysis.evaluation.baselines import Baselines, measure_baselines
from tfstyle.analysis.results import measured, reference
from tfstyle.data import input_pipeline
from tfstyle.metrics import prefix, retrieval
from tfstyle.metrics.repeats import Spread, format_number
from tfstyle.modeling.networks.codes import Codes, collect_codes
from tfstyle.modeling.stages import classifier, metric
from tfstyle.runs import metrics_log, retrained
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun

# Pictures with which artists of the holdout split are enrolled, and random draws.
ENROLLED_PICTURES = (1, 5, 10)
ENROLLMENTS = 10
SEED = 0
RETRAINED_LABEL = "classifier trained per d"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
    """Figure 1's curves of a method.

    Args:
        dims: numbers of dimensions.
        accuracy: share of test pictures whose artist is found, by each of dims.
        variance_ratio: of equation 10, by each of dims.
    """

    dims: list[int]
    accuracy: list[float]
    variance_ratio: list[float]

    def summarize(self, name: str) -> list[str]:
        """Format the curves as lines of text."""
        rows = zip(self.dims, self.accuracy, self.variance_ratio, strict=True)
        return [
            f"{name}: d, accuracy, variance ratio (equation 10)",
            *(
                f"  {d:4d}  {accuracy:6.1%}  {format_number(ratio, '.4f')}"
                for d, accuracy, ratio in rows
            ),
        ]


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retrieval(results.Result):
    """Search among test pictures for works by the artist of each."""

    queries: int
    recall_at_1: float = measured(
        "recall@1 of search among test pictures",
        ".1%",
        "How often the nearest test picture is by the same artist.",
        key="recall@1",
    )
    recall_at_5: float = measured(
        "recall@5 of search among test pictures",
        ".1%",
        "How often at least one of the 5 nearest test pictures is by the same artist.",
        key="recall@5",
    )
    recall_at_10: float = measured(
        "recall@10 of search among test pictures",
        ".1%",
        "The same for the 10 nearest.",
        key="recall@10",
    )
    map_at_r: float = measured(
        "MAP@R of search among test pictures",
        ".1%",
        "How close to the top all test pictures by the same artist are ranked.",
        key="map@r",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnseenArtists(results.Result):
    """Classification of artists that were never trained on, enrolled with pictures."""

    accuracy: float = measured(
        "accuracy for artists never trained on",
        ".1%",
        "How often the nearest mean code of the enrolled pictures is the artist's own; "
        "+- is the deviation over random choices of these pictures.",
    )
    deviation: float
    artists: int
    chance: float = reference("chance", "accuracy")

    def get_spread(self, name: str) -> Spread:
        """Return the accuracy with its deviation."""
        return {"mean": self.accuracy, "deviation": self.deviation}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style(results.Result):
    """What is measured of the metric and the classifier stage.

    Args:
        metric: of the metric stage.
        kept_dims: style dimensions that later stages see.
        baselines: what pixels tell, and what training pictures do.
        retrieval: by the kept dimensions; None if no artist has two test pictures.
        unseen_artists: by the number of enrolled pictures; None without a holdout.
        classifier: of the classifier stage.
        retrained: of classifiers trained for each d alone.
    """

    metric: PrefixCurves | None = None
    kept_dims: int | None = None
    baselines: Baselines | None = None
    retrieval: Retrieval | None = None
    unseen_artists: dict[str, UnseenArtists] | None = None
    classifier: PrefixCurves | None = None
    retrained: Curves | None = None

    def list_search_rows(self) -> list[results.Row]:
        """List how well pixels and codes find works and artists."""
        rows = self.baselines.list_rows() if self.baselines else []
        rows += self.retrieval.list_rows() if self.retrieval else []
        for count, unseen in (self.unseen_artists or {}).items():
            (row,) = unseen.list_rows()
            pictures = "1 picture" if count == "1" else f"{count} pictures"
            label = f"{row.label}, enrolled with {pictures}"
            rows.append(dataclasses.replace(row, label=label))
        return rows

    def summarize(self) -> list[str]:
        """Format the result as lines of text."""
        lines = []
        if self.metric:
            lines += self.metric.summarize(metric.SPEC.name)
            lines.append(
                f"style dimensions: {self.kept_dims} kept, "
                f"{self.metric.recommended_dims} recommended"
            )
        lines += [f"{metric.SPEC.name}: {row}" for row in self.list_search_rows()]
        if self.classifier:
            lines += self.classifier.summarize(classifier.SPEC.name)
        if self.retrained:
            lines += self.retrained.summarize(RETRAINED_LABEL)
        return lines


def measure_metric(run: TrainedRun, options: results.Options) -> Style:
    """Measure the metric stage on the test pictures."""
    folder = run.folder(metric.SPEC.name)
    kept_dims = run.style_statistics.dims
    curves, test = _measure_curves(run, folder.stage, options.tolerance)
    return Style(
        metric=curves,
        kept_dims=kept_dims,
        baselines=measure_baselines(
            run,
            test_accuracy=curves.every_accuracy[kept_dims - 1],
            test_variance_ratio=curves.every_variance_ratio[kept_dims - 1],
        ),
        retrieval=_measure_retrieval(folder, test, kept_dims),
        unseen_artists=_measure_unseen_artists(run, kept_dims),
    )


def measure_classifier(run: TrainedRun, options: results.Options) -> Style:
    """Measure the classifier stage on the test pictures."""
    curves, _ = _measure_curves(run, classifier.SPEC.name, options.tolerance)
    return Style(classifier=curves, retrained=_measure_retrained(run))


METRIC = results.Part(
    stage=metric.SPEC.name,
    place="style",
    depends_on=(metric.SPEC.name,),
    measure=measure_metric,
    fields=("metric", "kept_dims", "baselines", "retrieval", "unseen_artists"),
)
CLASSIFIER = results.Part(
    stage=classifier.SPEC.name,
    place="style",
    depends_on=(classifier.SPEC.name,),
    measure=measure_classifier,
    fields=("classifier", "retrained"),
)


def _classify_pictures(
    run: TrainedRun, folder: StageFolder, encoder: tf.keras.Model, split: str
) -> tuple[Codes, np.ndarray]:
    """Return raw codes of a split, and accuracy by prefix, float64 [dims]."""
    classify = folder.spec.classify
    assert classify is not None, f"{folder.stage} does not classify"
    batches = input_pipeline.eval_batches(run.dataset, split)
    seen = collect_codes(encoder, batches)
    return seen, classify(folder.read_array, seen.codes, seen.artist_ids)


def _measure_curves(
    run: TrainedRun, stage: str, tolerance: float
) -> tuple[PrefixCurves, Codes]:
    """Measure a stage's curves; also return the raw codes of the test pictures."""
    start = time.time()
    folder = run.folder(stage)
    encoder = run.network(stage, "style_encoder")
    dataset = run.dataset
    test, accuracy = _classify_pictures(run, folder, encoder, dataset.test_split)
    chosen_by = accuracy
    if dataset.has_validation:
        split = dataset.validation_split
        _, chosen_by = _classify_pictures(run, folder, encoder, split)
    ratio = prefix.variance_ratio(test.codes, test.artist_ids)
    dims = prefix.curve_dims(len(accuracy))
    curves = PrefixCurves(
        dims=dims,
        accuracy=[float(accuracy[d - 1]) for d in dims],
        variance_ratio=[float(ratio[d - 1]) for d in dims],
        every_accuracy=accuracy.tolist(),
        every_variance_ratio=ratio.tolist(),
        recommended_dims=prefix.recommended_dims(chosen_by, tolerance),
    )
    _log_curves(folder, curves, "figure_1/", len(test.codes), start)
    return curves, test


def _measure_retrained(run: TrainedRun) -> Curves | None:
    """Measure classifiers trained per d by all their dimensions."""
    start = time.time()
    folders = retrained.find_current(run.path)
    if not folders:
        return None
    accuracies, ratios = [], []
    for folder in folders.values():
        encoder = folder.load_network("style_encoder")
        test, accuracy = _classify_pictures(
            run, folder, encoder, run.dataset.test_split
        )
        ratio = prefix.variance_ratio(test.codes, test.artist_ids)
        accuracies.append(float(accuracy[-1]))
        ratios.append(float(ratio[-1]))
    curves = Curves(dims=[*folders], accuracy=accuracies, variance_ratio=ratios)
    count = run.dataset.num_examples(run.dataset.test_split)
    folder = run.folder(classifier.SPEC.name)
    _log_curves(folder, curves, "figure_1/retrained_", count, start)
    return curves


def _measure_retrieval(
    folder: StageFolder, test: Codes, kept_dims: int
) -> Retrieval | None:
    """Measure search in the learned metric by the kept dimensions."""
    start = time.time()
    queries = len(retrieval.find_queries(test.artist_ids))
    if not queries:
        return None
    values = retrieval.measure_retrieval(test.codes[:, :kept_dims], test.artist_ids)
    logged = {f"retrieval/{name}": value for name, value in values.items()}
    metrics_log.log_evaluation(folder, logged, queries, start)
    return results.from_json(Retrieval, {"queries": queries, **values})


def _measure_unseen_artists(
    run: TrainedRun, kept_dims: int
) -> dict[str, UnseenArtists] | None:
    """Measure how well artists of the holdout split are found."""
    if not run.dataset.num_examples("holdout"):
        return None
    start = time.time()
    encoder = run.network(metric.SPEC.name, "style_encoder")
    batches = input_pipeline.eval_batches(run.dataset, "holdout")
    holdout = collect_codes(encoder, batches)
    unseen, logged = {}, {}
    for count in ENROLLED_PICTURES:
        artists = len(retrieval.enrollable_artists(holdout.artist_ids, count))
        if artists < 2:
            continue
        accuracy, deviation = retrieval.enrolled_accuracy(
            holdout.codes[:, :kept_dims], holdout.artist_ids, count, SEED, ENROLLMENTS
        )
        unseen[str(count)] = UnseenArtists(
            accuracy=accuracy, deviation=deviation, artists=artists, chance=1 / artists
        )
        logged[f"unseen_artists/accuracy_{count}"] = accuracy
    folder = run.folder(metric.SPEC.name)
    metrics_log.log_evaluation(folder, logged, len(holdout.codes), start)
    return unseen


def _log_curves(
    folder: StageFolder, curves: Curves, group: str, count: int, start: float
) -> None:
    values = {
        f"{group}{name}_{d}": value
        for name in ("accuracy", "variance_ratio")
        for d, value in zip(curves.dims, getattr(curves, name), strict=True)
    }
    metrics_log.log_evaluation(folder, values, count, start)
