"""Measurements of the style space: figure 1, search, and artists never trained on."""

import dataclasses
import time

from tfstyle.analysis import results
from tfstyle.analysis.evaluation.baselines import Baselines, measure_baselines
from tfstyle.analysis.evaluation.confusions import Confusions, find_confusions
from tfstyle.analysis.evaluation.figure_1 import (
    MEANS_LABEL,
    RETRAINED_LABEL,
    Curves,
    PrefixCurves,
    measure_by_means,
    measure_curves,
    measure_retrained,
)
from tfstyle.analysis.results import measured, reference
from tfstyle.core.names import format_count, show
from tfstyle.data import input_pipeline
from tfstyle.metrics import retrieval
from tfstyle.metrics.repeats import Spread
from tfstyle.modeling.networks.codes import Codes, collect_codes
from tfstyle.modeling.stages import classifier, metric
from tfstyle.runs import metrics_log
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun

# Pictures with which artists of the holdout split are enrolled, and random draws.
ENROLLED_PICTURES = (1, 5, 10)
ENROLLMENTS = 10
SEED = 0
# When `Style.diagnose` speaks: accuracy lost from training to test pictures, accuracy
# gained over pixels, width of an interval, share of pictures taken for another's.
_BY_HEART = 0.1
_NEAR_CEILING = 0.05
_WIDE_INTERVAL = 0.1
_ALIKE = 0.3


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
        confusions: artists taken for each other, by the kept dimensions.
        classifier: of the classifier stage.
        classifier_means: of its features, by the nearest mean of training pictures.
        retrained: of classifiers trained for each d alone.
    """

    metric: PrefixCurves | None = None
    kept_dims: int | None = None
    baselines: Baselines | None = None
    retrieval: Retrieval | None = None
    unseen_artists: dict[str, UnseenArtists] | None = None
    confusions: Confusions | None = None
    classifier: PrefixCurves | None = None
    classifier_means: Curves | None = None
    retrained: Curves | None = None

    def list_search_rows(self) -> list[results.Row]:
        """List how well pixels and codes find works and artists."""
        rows = self.baselines.list_rows() if self.baselines else []
        rows += self.retrieval.list_rows() if self.retrieval else []
        for count, unseen in (self.unseen_artists or {}).items():
            (row,) = unseen.list_rows()
            pictures = format_count(int(count), "picture")
            label = f"{row.label}, enrolled with {pictures}"
            rows.append(dataclasses.replace(row, label=label))
        return rows

    def diagnose(self) -> list[str]:
        """Describe in sentences what the numbers of the metric stage suggest."""
        lines: list[str] = []
        base, curves = self.baselines, self.metric
        if base is None or curves is None or self.kept_dims is None:
            return lines
        if base.test_accuracy is None:
            return lines  # without test pictures, the numbers suggest nothing
        gap = base.train_accuracy - base.test_accuracy
        if gap > _BY_HEART:
            lines.append(
                f"The style space knows its training pictures by heart: it finds the "
                f"artist of {base.train_accuracy:.0%} of them, and of "
                f"{base.test_accuracy:.0%} of test pictures. More works per artist or "
                "augmentation (the settings augmentation.NAME) may help."
            )
        pixels = max(base.nearest_pixels, base.discriminants)
        if base.test_accuracy - pixels < _NEAR_CEILING:
            lines.append(
                f"Pixels alone find the artist of {pixels:.0%} of test pictures, the "
                f"style space of {base.test_accuracy:.0%}: accuracy says little about "
                "style here. Compare variance ratios and small numbers of dimensions."
            )
        if curves.accuracy_interval:
            low, high = curves.accuracy_interval[-1]
            if high - low > _WIDE_INTERVAL:
                lines.append(
                    f"Accuracies are uncertain by {(high - low) / 2:.0%}: there are "
                    "few artists, or they differ much."
                )
        if self.confusions and self.confusions.pairs:
            first = self.confusions.pairs[0]
            if first.pictures > _ALIKE * first.of:
                lines.append(
                    f"{show(first.artist)} and {show(first.taken_for)} are too alike "
                    f"to be told apart: {first.pictures} of {first.of} test pictures "
                    "by the first are taken for the second's."
                )
        return lines

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
        if self.confusions:
            lines += self.confusions.summarize()
        lines += self.diagnose()
        if self.classifier:
            lines += self.classifier.summarize(classifier.SPEC.name)
        if self.classifier_means:
            lines += self.classifier_means.summarize(MEANS_LABEL)
        if self.retrained:
            lines += self.retrained.summarize(RETRAINED_LABEL)
        return lines


def measure_metric(run: TrainedRun, options: results.Options) -> Style:
    """Measure the metric stage on the test pictures."""
    folder = run.folder(metric.SPEC.name)
    kept_dims = run.style_statistics.dims
    curves, test = measure_curves(run, folder.stage, options.tolerance)
    predicted = test.predicted[:, kept_dims - 1]
    return Style(
        metric=curves,
        kept_dims=kept_dims,
        baselines=measure_baselines(
            run,
            test_accuracy=curves.every_accuracy[kept_dims - 1],
            test_variance_ratio=curves.every_variance_ratio[kept_dims - 1],
        ),
        retrieval=_measure_retrieval(folder, test.codes, kept_dims),
        unseen_artists=_measure_unseen_artists(run, kept_dims),
        confusions=find_confusions(
            run.collection.artists, predicted, test.codes.artist_ids
        ),
    )


def measure_classifier(run: TrainedRun, options: results.Options) -> Style:
    """Measure the classifier stage on the test pictures."""
    curves, test = measure_curves(run, classifier.SPEC.name, options.tolerance)
    return Style(
        classifier=curves,
        classifier_means=measure_by_means(run, classifier.SPEC.name, test.codes),
        retrained=measure_retrained(run),
    )


METRIC = results.Part(
    stage=metric.SPEC.name,
    place="style",
    depends_on=(metric.SPEC.name,),
    measure=measure_metric,
    fields=(
        *("metric", "kept_dims", "baselines", "retrieval", "unseen_artists"),
        "confusions",
    ),
)
CLASSIFIER = results.Part(
    stage=classifier.SPEC.name,
    place="style",
    depends_on=(classifier.SPEC.name,),
    measure=measure_classifier,
    fields=("classifier", "classifier_means", "retrained"),
)


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
    return results.make_result(Retrieval, {"queries": queries, **values})


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
