"""Figure 1 over several runs: means and deviations of every method found in them."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfstyle.analysis.evaluation import run as measuring
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs import folder as runs

COMPARISON_FILE = "comparison.json"
CLASSIFIER = "classifier"
RETRAINED = "classifier trained per d"
# What figure 1 calls the metric stages, by their objective.
METRIC_METHODS = {
    "presumed": "metric learning",
    "pairwise": "pairwise",
    "triplet": "triplet",
}
CURVES = ("accuracy", "variance_ratio")

Numbers = dict[str, Any]


def check_comparable(run_dirs: Sequence[pathlib.Path]) -> None:
    """Refuse runs whose numbers mean different things; one alone is always right.

    Raises:
        UserError: if a run is given twice, records or style dimensions differ, or runs
            of one method differ by more than the seed.
    """
    if len(run_dirs) < 2:
        return
    resolved = [one.resolve() for one in run_dirs]
    for k, one in enumerate(resolved):
        if one in resolved[:k]:
            raise UserError(f"--run_dir={run_dirs[k]} is given twice")
    datasets = {one: runs.load_dataset(one) for one in run_dirs}
    if len({dataset.digest for dataset in datasets.values()}) > 1:
        raise UserError(
            "runs of different records cannot be compared: "
            + ", ".join(f"{one} of {d.records_dir}" for one, d in datasets.items())
        )
    dims = {
        folder.path: folder.read()["networks"]["style_encoder"]["config"]["dims"]
        for one in run_dirs
        for folder in (
            runs.StageFolder(one, "metric"),
            runs.StageFolder(one, CLASSIFIER),
        )
        if folder.finished
    }
    if len(set(dims.values())) > 1:
        raise UserError(
            "runs of different style dimensions cannot be compared: "
            + ", ".join(f"{path} has {d}" for path, d in dims.items())
        )
    _check_same_settings(run_dirs)


def _check_same_settings(run_dirs: Sequence[pathlib.Path]) -> None:
    """Refuse runs of a method that differ by more than the seed."""
    first: dict[str, tuple[pathlib.Path, Numbers]] = {}
    for run_dir in run_dirs:
        for stage in ("metric", CLASSIFIER):
            folder = runs.StageFolder(run_dir, stage)
            if not folder.finished:
                continue
            method = metric_method(run_dir) if stage == "metric" else CLASSIFIER
            described = folder.read()
            settings = {
                **{k: v for k, v in described["identity"].items() if k != "seed"},
                "steps": described["steps"],
                "init_from": described.get("init_from"),
            }
            other, expected = first.setdefault(method, (folder.path, settings))
            changed = runs.differences(expected, settings)
            if changed:
                raise UserError(
                    f"runs of {method} must differ by their seeds alone, but from "
                    f"{other} to {folder.path}: {'; '.join(changed)}"
                )


def compare_runs(
    run_dirs: Sequence[pathlib.Path], stages: Sequence[str] | None = None
) -> Numbers:
    """Bring the numbers of runs together and write them into the first one.

    A run that is not measured yet is measured.

    Args:
        run_dirs: the runs, which `check_comparable` accepts.
        stages: whose numbers are enough, all by default; see `measuring.measure_run`.

    Returns:
        What is written to comparison.json: {"runs", "methods", "leads",
        "recommended"}, see `methods_of`, `leading_dims` and `at_recommended_dims`.
    """
    styles = {
        one: (
            measuring.read_numbers(one, stages or runs.STAGES)
            or measuring.measure_run(one, stages=stages)
        ).get("style", {})
        for one in run_dirs
    }
    methods = methods_of(styles)
    compared: Numbers = {
        "runs": [str(one) for one in run_dirs],
        "methods": methods,
        "leads": leading_dims(methods),
        "recommended": at_recommended_dims(styles),
    }
    files.write_json(run_dirs[0] / COMPARISON_FILE, compared)
    return compared


def methods_of(styles: Mapping[pathlib.Path, Numbers]) -> dict[str, Numbers]:
    """Average figure 1's curves of each method over the runs that have it.

    Args:
        styles: "style" of each run's evaluation.

    Returns:
        {method: {"runs": paths, "dims": [n], "accuracy": {"mean": [n], "deviation":
        [n]}, "variance_ratio": the same}}, in the order in which they are drawn, at
        the dims that all runs of the method have. The deviation is the sample's, None
        for a single run.
    """
    found: dict[str, dict[pathlib.Path, Numbers]] = {
        name: {} for name in (*METRIC_METHODS.values(), CLASSIFIER, RETRAINED)
    }
    for run_dir, style in styles.items():
        if "metric" in style:
            found.setdefault(metric_method(run_dir), {})[run_dir] = style["metric"]
        if "classifier" in style:
            found[CLASSIFIER][run_dir] = style["classifier"]
        if "retrained" in style:
            found[RETRAINED][run_dir] = style["retrained"]
    methods: dict[str, Numbers] = {}
    for name, curves in found.items():
        if not curves:
            continue
        dims = [
            d
            for d in next(iter(curves.values()))["dims"]
            if all(d in one["dims"] for one in curves.values())
        ]
        if not dims:
            continue
        methods[name] = {"runs": [str(one) for one in curves], "dims": dims}
        for curve in CURVES:
            values = [
                [one[curve][one["dims"].index(d)] for d in dims]
                for one in curves.values()
            ]
            methods[name][curve] = mean_and_deviation(values)
    return methods


def metric_method(run_dir: pathlib.Path) -> str:
    """Name the method of a run's metric stage by its objective."""
    identity = runs.StageFolder(run_dir, "metric").read()["identity"]
    objective = identity["objective"].get("objective", "presumed")
    return METRIC_METHODS.get(objective, objective)


def leading_dims(methods: Mapping[str, Numbers]) -> dict[str, list[int]]:
    """List the d at which each metric method is more accurate than the classifier."""
    if CLASSIFIER not in methods:
        return {}
    reference = methods[CLASSIFIER]
    return {
        name: [
            d
            for d, accuracy, other in zip(
                one["dims"],
                one["accuracy"]["mean"],
                reference["accuracy"]["mean"],
                strict=True,
            )
            if accuracy > other
        ]
        for name, one in methods.items()
        if name not in (CLASSIFIER, RETRAINED)
    }


def at_recommended_dims(styles: Mapping[pathlib.Path, Numbers]) -> dict[str, Numbers]:
    """Compare each metric run with the classifier at its recommended dimensions D'.

    Args:
        styles: "style" of each run's evaluation.

    Returns:
        {method: {"runs": one {"run", "dims", "accuracy", "classifier_accuracy",
        "ratio_of_ratios"} per run, and mean and deviation of each of these}}. The
        classifier's accuracy is by all its dimensions; the ratio of ratios is the
        metric's variance ratio over the classifier's, both by the first D'. A run
        without a classifier is compared with the mean of the others'; where there is
        none, both entries are left out.
    """
    classifiers = [one["classifier"] for one in styles.values() if "classifier" in one]
    found: dict[str, list[Numbers]] = {}
    for run_dir, style in styles.items():
        if "metric" not in style:
            continue
        metric = style["metric"]
        d = metric["recommended_dims"]
        row: Numbers = {
            "run": str(run_dir),
            "dims": d,
            "accuracy": metric["every_accuracy"][d - 1],
        }
        references = [style["classifier"]] if "classifier" in style else classifiers
        if references:
            ratios = [one["every_variance_ratio"][d - 1] for one in references]
            row["classifier_accuracy"] = float(
                np.mean([one["every_accuracy"][-1] for one in references])
            )
            row["ratio_of_ratios"] = float(
                metric["every_variance_ratio"][d - 1] / np.mean(ratios)
            )
        found.setdefault(metric_method(run_dir), []).append(row)
    return {
        method: {
            "runs": rows,
            **{
                key: mean_and_deviation([row[key] for row in rows])
                for key in rows[0]
                if key != "run"
            },
        }
        for method, rows in found.items()
    }


def mean_and_deviation(values: Sequence) -> Numbers:
    """Give mean and sample deviation over the first axis; None for one value's."""
    table = np.asarray(values, np.float64)
    deviation = table.std(axis=0, ddof=1).tolist() if len(table) > 1 else None
    return {"mean": table.mean(axis=0).tolist(), "deviation": deviation}


def said(spec: str, mean: float, deviation: float | None) -> str:
    """Format a mean with its deviation, if there is one: "57.5% +- 1.2%"."""
    text = format(mean, spec)
    return text if deviation is None else f"{text} +- {format(deviation, spec)}"


def curve_said(curve: Numbers, spec: str) -> list[str]:
    """Format each point of a curve of `methods_of`."""
    deviations = curve["deviation"] or [None] * len(curve["mean"])
    return [
        said(spec, mean, deviation)
        for mean, deviation in zip(curve["mean"], deviations, strict=True)
    ]


def summary(compared: Numbers) -> list[str]:
    """Give a comparison as lines of text."""
    lines = [f"over {len(compared['runs'])} runs, mean +- sample deviation:"]
    for name, method in compared["methods"].items():
        lines.append(f"{counted(name, method)}: d, accuracy, variance ratio")
        lines += [
            f"  {d:4d}  {accuracy:>16}  {ratio}"
            for d, accuracy, ratio in zip(
                method["dims"],
                curve_said(method["accuracy"], ".1%"),
                curve_said(method["variance_ratio"], ".4f"),
                strict=True,
            )
        ]
    for name, dims in compared["leads"].items():
        where = ", ".join(map(str, dims)) or "none"
        lines.append(f"{name}: more accurate than the classifier at d = {where}")
    rows = recommended_rows(compared["recommended"])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows if compared["recommended"] else []:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def counted(name: str, method: Numbers) -> str:
    """Name a method with the number of its runs."""
    count = len(method["runs"])
    return f"{name}, {count} run{'s' if count > 1 else ''}"


def recommended_rows(recommended: Mapping[str, Numbers]) -> list[list[str]]:
    """Give `at_recommended_dims` as a table, the means of several runs last."""
    rows = [
        [
            "metric run",
            "recommended D'",
            "accuracy at D'",
            "classifier, all dimensions",
            "variance ratio at D' / classifier's",
        ]
    ]
    formats = {
        "dims": "g",
        "accuracy": ".1%",
        "classifier_accuracy": ".1%",
        "ratio_of_ratios": ".2f",
    }
    for method, one in recommended.items():
        for run in one["runs"]:
            cells = [format(run[k], f) if k in run else "-" for k, f in formats.items()]
            rows.append([run["run"], *cells])
        if len(one["runs"]) > 1:
            cells = [
                said(".1f" if k == "dims" else f, **one[k]) if k in one else "-"
                for k, f in formats.items()
            ]
            rows.append([f"mean, {method}", *cells])
    return rows
