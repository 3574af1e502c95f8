"""Figure 1 over several runs: mean and deviation of each method."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfstyle.analysis.evaluation.figure_1 import (
    MEANS_LABEL,
    RETRAINED_LABEL,
    Curves,
)
from tfstyle.analysis.evaluation.run import load_or_evaluate
from tfstyle.analysis.evaluation.style import Style
from tfstyle.analysis.results import Result, list_labels, measured, to_json
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.metrics import repeats
from tfstyle.metrics.repeats import CurveSpread, Spread
from tfstyle.modeling import stages as registry
from tfstyle.modeling.stages import classifier, metric
from tfstyle.runs import description
from tfstyle.runs.description import list_differences
from tfstyle.runs.trained_run import TrainedRun

COMPARISON_FILE = "comparison.json"
CLASSIFIER = classifier.SPEC.name
# What figure 1 calls the metric stages, by their objective.
METRIC_METHODS = {
    "presumed": "metric learning",
    "softmax": "softmax",
    "pairwise": "pairwise",
    "triplet": "triplet",
}


# What metric methods are compared with, in figure 1.
REFERENCES = (CLASSIFIER, MEANS_LABEL, RETRAINED_LABEL)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """Curves of a method over the runs that have it.

    Args:
        runs: paths of the runs.
        dims: numbers of dimensions that all of these runs have.
        accuracy: by each of dims.
        variance_ratio: by each of dims.
    """

    runs: list[str]
    dims: list[int]
    accuracy: CurveSpread
    variance_ratio: CurveSpread


@dataclasses.dataclass(frozen=True, kw_only=True)
class _AtRecommendedDims(Result):
    """Numbers at a metric run's recommended number of dimensions D'.

    Args:
        dims: D'.
        accuracy: by the first D' dimensions.
        classifier_accuracy: by all dimensions of the run's classifier, else the mean
            of those of the other runs; None without any.
        ratio_of_ratios: the metric's variance ratio over the classifier's, both by the
            first D' dimensions; None likewise.
    """

    dims: int | Spread = measured("recommended D'", ".3g")
    accuracy: float | Spread = measured("accuracy at D'", ".1%")
    classifier_accuracy: float | Spread | None = measured(
        "classifier, all dimensions", ".1%", default=None
    )
    ratio_of_ratios: float | Spread | None = measured(
        "variance ratio at D' / classifier's", ".2f", default=None
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecommendedRun(_AtRecommendedDims):
    """A metric run at D'; `run` is its path."""

    run: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommended(_AtRecommendedDims):
    """The runs of a method at D', and means over them."""

    runs: list[RecommendedRun]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What comparison.json holds.

    Args:
        runs: paths of the runs.
        methods: by name, in the order in which they are drawn.
        leads: by metric method, the dims at which it is more accurate than the
            classifier.
        recommended: by metric method.
    """

    runs: list[str]
    methods: dict[str, Method]
    leads: dict[str, list[int]]
    recommended: dict[str, Recommended]

    def describe_leads(self) -> list[str]:
        """Describe where metric methods are more accurate than the classifier."""
        return [
            f"{name} is more accurate than the classifier at d = "
            + (", ".join(map(str, dims)) or "none")
            for name, dims in self.leads.items()
        ]

    def summarize(self) -> list[str]:
        """Format the comparison as lines of text."""
        lines = [f"over {len(self.runs)} runs, mean +- sample deviation:"]
        for name, method in self.methods.items():
            label = repeats.format_run_count(name, len(method.runs))
            lines.append(f"{label}: d, accuracy, variance ratio")
            lines += [
                f"  {d:4d}  {accuracy:>16}  {ratio}"
                for d, accuracy, ratio in zip(
                    method.dims,
                    repeats.format_curve_spread(method.accuracy, ".1%"),
                    repeats.format_curve_spread(method.variance_ratio, ".4f"),
                    strict=True,
                )
            ]
        rows = tabulate_recommended(self.recommended)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            *lines,
            *self.describe_leads(),
            *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows),
        ]


def check_comparable(runs: Sequence[TrainedRun]) -> None:
    """Check that the numbers of several runs mean the same.

    Raises:
        UserError: if a run is given twice, records or style dimensions differ, or runs
            of a method differ by more than the seed.
    """
    if len(runs) < 2:
        return
    resolved = [run.path.resolve() for run in runs]
    for k, path in enumerate(resolved):
        if path in resolved[:k]:
            raise UserError(f"--run_dir={runs[k].path} is given twice")
    first, *others = (description.Collection.of_dataset(run.dataset) for run in runs)
    if any(map(first.describe_difference, others)):
        raise UserError(
            "runs of different records cannot be compared: "
            + ", ".join(f"{run.path} of {run.dataset.records_dir}" for run in runs)
        )
    classifying = [
        (run, spec.name)
        for run in runs
        for spec in registry.specs()
        if spec.classify and run.folder(spec.name).finished
    ]
    dims = {}
    for run, stage in classifying:
        networks = run.description(stage).networks
        dims[run.folder(stage).path] = networks["style_encoder"]["config"]["dims"]
    if len(set(dims.values())) > 1:
        raise UserError(
            "runs of different style dimensions cannot be compared: "
            + ", ".join(f"{path} has {d}" for path, d in dims.items())
        )
    _check_same_settings(classifying)


def compare_runs(
    runs: Sequence[TrainedRun], stages: Collection[str] | None = None
) -> Comparison:
    """Compare runs, and write the comparison into the first one.

    The runs must pass `check_comparable`. They are evaluated if results of `stages`, by
    default all, are missing or out of date.
    """
    evaluations = [load_or_evaluate(run, stages) for run in runs]
    styles = {
        run: evaluation.style or Style()
        for run, evaluation in zip(runs, evaluations, strict=True)
    }
    methods = average_methods(styles)
    comparison = Comparison(
        runs=[str(run.path) for run in runs],
        methods=methods,
        leads=find_leads(methods),
        recommended=compare_at_recommended_dims(styles),
    )
    files.write_json(runs[0].path / COMPARISON_FILE, to_json(comparison))
    return comparison


def average_methods(styles: Mapping[TrainedRun, Style]) -> dict[str, Method]:
    """Average figure 1's curves of each method over the runs that have it."""
    curves: dict[str, dict[TrainedRun, Curves]] = {
        name: {} for name in (*METRIC_METHODS.values(), *REFERENCES)
    }
    for run, style in styles.items():
        if style.metric:
            name = name_method(run, metric.SPEC.name)
            curves.setdefault(name, {})[run] = style.metric
        if style.classifier:
            curves[CLASSIFIER][run] = style.classifier
        if style.classifier_means:
            curves[MEANS_LABEL][run] = style.classifier_means
        if style.retrained:
            curves[RETRAINED_LABEL][run] = style.retrained
    methods = {name: _average(by_run) for name, by_run in curves.items() if by_run}
    return {name: method for name, method in methods.items() if method.dims}


def name_method(run: TrainedRun, stage: str) -> str:
    """Name the method of a stage: by its objective, if it has a choice of them."""
    objective: str = run.description(stage).objective.get("objective", stage)
    return METRIC_METHODS.get(objective, objective)


def find_leads(methods: Mapping[str, Method]) -> dict[str, list[int]]:
    """Find where metric methods lead (see `Comparison`); empty without a classifier."""
    if CLASSIFIER not in methods:
        return {}
    reference = methods[CLASSIFIER].accuracy["mean"]
    return {
        name: [
            d
            for d, accuracy, other in zip(
                method.dims, method.accuracy["mean"], reference, strict=True
            )
            if accuracy > other
        ]
        for name, method in methods.items()
        if name not in REFERENCES
    }


def compare_at_recommended_dims(
    styles: Mapping[TrainedRun, Style],
) -> dict[str, Recommended]:
    """Compare each metric run with the classifier at its D', by metric method."""
    classifiers = [style.classifier for style in styles.values() if style.classifier]
    by_method: dict[str, list[RecommendedRun]] = {}
    for run, style in styles.items():
        if style.metric is None:
            continue
        d = style.metric.recommended_dims
        references = [style.classifier] if style.classifier else classifiers
        accuracy = ratio = None
        if references:
            accuracies = [curves.every_accuracy[-1] for curves in references]
            ratios = [curves.every_variance_ratio[d - 1] for curves in references]
            accuracy = float(np.mean(accuracies))
            metric_ratio = style.metric.every_variance_ratio[d - 1]
            ratio = float(metric_ratio / np.mean(ratios))
        by_method.setdefault(name_method(run, metric.SPEC.name), []).append(
            RecommendedRun(
                run=str(run.path),
                dims=d,
                accuracy=style.metric.every_accuracy[d - 1],
                classifier_accuracy=accuracy,
                ratio_of_ratios=ratio,
            )
        )
    return {name: _average_recommended(rows) for name, rows in by_method.items()}


def tabulate_recommended(recommended: Mapping[str, Recommended]) -> list[list[str]]:
    """Return a table with a row per run, and means of several runs; empty if none."""
    if not recommended:
        return []
    rows = [["metric run", *list_labels(_AtRecommendedDims).values()]]
    for name, method in recommended.items():
        results: dict[str, Result] = {run.run: run for run in method.runs}
        if len(method.runs) > 1:
            results[f"mean, {name}"] = method
        rows += [
            [label, *map(result.format_value, list_labels(_AtRecommendedDims))]
            for label, result in results.items()
        ]
    return rows


def _check_same_settings(classifying: Sequence[tuple[TrainedRun, str]]) -> None:
    """Refuse runs of a method that differ by more than the seed."""
    first: dict[str, tuple[pathlib.Path, dict[str, Any]]] = {}
    for run, stage in classifying:
        method = name_method(run, stage)
        description = run.description(stage)
        settings = {
            **description.identity,
            "seed": None,
            "steps": description.steps,
            "init_from": description.init_from,
        }
        path = run.folder(stage).path
        other, expected = first.setdefault(method, (path, settings))
        changes = list_differences(expected, settings)
        if changes:
            raise UserError(
                f"runs of {method} must differ by their seeds alone, but from {other} "
                f"to {path}: {'; '.join(changes)}"
            )


def _average(curves: Mapping[TrainedRun, Curves]) -> Method:
    """Average the curves of a method at the dims that all runs have."""
    first, *others = curves.values()
    dims = [d for d in first.dims if all(d in other.dims for other in others)]

    def average(name: str) -> CurveSpread:
        return repeats.compute_curve_spread(
            [
                [getattr(curve, name)[curve.dims.index(d)] for d in dims]
                for curve in curves.values()
            ]
        )

    return Method(
        runs=[str(run.path) for run in curves],
        dims=dims,
        accuracy=average("accuracy"),
        variance_ratio=average("variance_ratio"),
    )


def _average_recommended(runs: list[RecommendedRun]) -> Recommended:
    spreads: dict[str, Any] = {}
    for name in list_labels(_AtRecommendedDims):
        values = [getattr(run, name) for run in runs]
        spreads[name] = None if None in values else repeats.compute_spread(values)
    return Recommended(runs=runs, **spreads)
