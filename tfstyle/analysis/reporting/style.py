"""The style space in the report: figure 1 of a run, or of several together."""

import pathlib
from collections.abc import Mapping

from tfstyle.analysis.drawing.curves import Curve, write_figure_1
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.evaluation.comparison import (
    CLASSIFIER,
    Comparison,
    Method,
    average_methods,
    tabulate_recommended,
)
from tfstyle.analysis.evaluation.style import RETRAINED_LABEL, Style
from tfstyle.analysis.results import tabulate
from tfstyle.core.names import show
from tfstyle.metrics.repeats import CurveSpread, format_curve_spread, format_run_count
from tfstyle.modeling.stages import metric
from tfstyle.runs.trained_run import TrainedRun


def style_section(
    run: TrainedRun,
    style: Style,
    folder: pathlib.Path,
    comparison: Comparison | None = None,
) -> Section:
    """Draw figure 1, of several runs if they are compared; describe the style space."""
    methods = comparison.methods if comparison else average_methods({run: style})
    labels = {
        name: format_run_count(name, len(method.runs)) if comparison else name
        for name, method in methods.items()
    }
    write_figure_1(
        folder / "figure_1.png",
        {labels[name]: _curve(m, m.accuracy) for name, m in methods.items()},
        {labels[name]: _curve(m, m.variance_ratio) for name, m in methods.items()},
        kept_dims=style.kept_dims,
    )
    text = (
        "Works by the same artist should be close, works by different artists far "
        "apart, and the first dimensions should matter most."
    )
    if CLASSIFIER in methods:
        text += " The classifier is the same network, trained to classify artists."
    if RETRAINED_LABEL in methods:
        text += (
            " A classifier trained per d has d dimensions from the start instead of "
            "being cut to the first d."
        )
    return Section(
        "The style space",
        text,
        table=_tabulate_curves(methods, labels),
        more=tabulate(style.list_search_rows()),
        pictures=_list_pictures(run, folder, comparison),
    )


def comparison_section(comparison: Comparison) -> Section:
    """Compare metric learning with the classifier, run by run."""
    leads = "".join(f" {line}." for line in comparison.describe_leads())
    return Section(
        "The runs compared",
        "Each run at its recommended number of dimensions D', compared with its own "
        "classifier, or else with the mean of the other runs' classifiers. The paper "
        f"reports a variance ratio of about half the classifier's.{leads}",
        table=tabulate_recommended(comparison.recommended),
    )


def _curve(method: Method, values: CurveSpread) -> Curve:
    if values["deviation"] is None:
        return method.dims, values["mean"]
    return method.dims, values["mean"], values["deviation"]


def _tabulate_curves(
    methods: Mapping[str, Method], labels: Mapping[str, str]
) -> list[list[object]]:
    """Tabulate all curves, with empty cells where a method lacks d."""
    head: list[object] = ["style dimensions"]
    rows: dict[int, list[object]] = {
        d: [d] for d in sorted({d for method in methods.values() for d in method.dims})
    }
    for name, method in methods.items():
        for curve, values, spec in (
            ("accuracy", method.accuracy, ".1%"),
            ("variance ratio", method.variance_ratio, ".4f"),
        ):
            head.append(f"{labels[name]}: {curve}")
            texts = format_curve_spread(values, spec)
            cells = dict(zip(method.dims, texts, strict=True))
            for d, row in rows.items():
                row.append(cells.get(d))
    return [head, *rows.values()]


def _list_pictures(
    run: TrainedRun, folder: pathlib.Path, comparison: Comparison | None
) -> list[Picture]:
    caption = (
        "Figure 1. Left: test pictures whose artist is found by the first dimensions "
        "alone. Right: spread within artists over distance between artists (equation "
        "10)."
    )
    if comparison:
        caption += (
            f" Means over the runs {', '.join(map(show, comparison.runs))}; bars are a"
            " sample deviation to either side."
        )
    pictures = [Picture(f"{folder.name}/figure_1.png", caption)]
    previews = run.folder(metric.SPEC.name).previews
    for path in sorted(previews.glob("step-*.png"))[-1:]:
        pictures.append(
            Picture(
                str(path.relative_to(run.path)),
                "Test pictures, at the left, and the test pictures nearest to each in "
                "the style space.",
            )
        )
    return pictures
