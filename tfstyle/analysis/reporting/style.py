"""Figure 1 and what belongs to it in a report: of one run, or of several together."""

import itertools
import pathlib

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.evaluation import comparison
from tfstyle.runs import folder as runs


def style_section(
    style: comparison.Numbers,
    folder: pathlib.Path,
    run_dir: pathlib.Path,
    compared: comparison.Numbers | None = None,
) -> Section:
    """Draw figure 1 and describe the style space.

    Args:
        style: "style" of the run's evaluation.
        folder: of the figures.
        run_dir: the run.
        compared: of `comparison.compare_runs`, to be shown instead of the run alone.
    """
    methods = (compared or {}).get("methods") or comparison.methods_of({run_dir: style})
    labels = {
        name: comparison.counted(name, method) if compared else name
        for name, method in methods.items()
    }
    accuracy, ratio = (
        {labels[name]: _series(one, curve) for name, one in methods.items()}
        for curve in comparison.CURVES
    )
    grids.figure_1(
        folder / "figure_1.png", accuracy, ratio, kept=style.get("kept_dims")
    )
    over = (
        f" Means over the runs {', '.join(compared['runs'])}; bars are a sample "
        "deviation to either side."
        if compared
        else ""
    )
    pictures = [
        Picture(
            "figures/figure_1.png",
            "Figure 1. Left: test pictures whose artist is found from the first "
            "dimensions alone. Right: spread within artists over distance between "
            f"artists (equation 10).{over}",
        )
    ]
    preview = _latest_preview(run_dir, "metric")
    if preview:
        pictures.append(
            Picture(
                preview,
                "Each picture at the left with the test pictures nearest to it in the "
                "style space.",
            )
        )
    per_d = (
        " One that is trained per d has d dimensions from the start, and is not cut."
        if comparison.RETRAINED in methods
        else ""
    )
    return Section(
        "The style space",
        "Works by one artist should lie close, works by different artists apart, and "
        "the first dimensions should matter most. The classifier is the same network "
        f"trained to name the artist.{per_d}",
        table=_curve_rows(methods, labels),
        more=search_rows(style),
        pictures=pictures,
    )


def comparison_section(compared: comparison.Numbers) -> Section:
    """Set metric learning against the classifier, run by run."""
    leads = [
        f"More accurate than the classifier: {name} at d = {', '.join(map(str, dims))}."
        for name, dims in compared["leads"].items()
        if dims
    ]
    return Section(
        "The runs compared",
        "At each run's recommended number of dimensions D', against the classifier: "
        "the run's own, else the mean of the others'. The paper reports a "
        "variance ratio of about half the classifier's. " + " ".join(leads),
        table=comparison.recommended_rows(compared["recommended"]),
    )


def search_rows(style) -> list[list[object]]:
    """Table of how well codes find works and artists, as far as it was measured."""
    rows: list[list[object]] = []
    found = style.get("retrieval") or {}
    rows += [
        [f"search among test pictures for the same artist: {name}", f"{value:.1%}"]
        for name, value in found.items()
        if name != "queries"
    ]
    unseen = style.get("unseen_artists") or {}
    for known, one in unseen.items():
        if known == "chance":
            continue
        chance = one.get("chance", unseen.get("chance"))
        said = f"{one['accuracy']:.1%} +- {one['deviation']:.1%}"
        rows.append(
            [
                f"artist never trained on, known by {known} of the works",
                said if chance is None else f"{said} (chance {chance:.1%})",
            ]
        )
    return [["style codes as search keys", "value"], *rows] if rows else []


def _series(method: comparison.Numbers, curve: str) -> grids.Curve:
    """Give a method's curve as `sheets.figure_1` takes it."""
    values = method[curve]
    if values["deviation"] is None:
        return method["dims"], values["mean"]
    return method["dims"], values["mean"], values["deviation"]


def _curve_rows(methods, labels) -> list[list[object]]:
    """Table of all curves, with empty cells where a method has no such d."""
    rows: list[list[object]] = [["style dimensions"]]
    cells = {}
    for name, method in methods.items():
        rows[0] += [f"{labels[name]}: accuracy", f"{labels[name]}: variance ratio"]
        cells[name] = dict(
            zip(
                method["dims"],
                zip(
                    comparison.curve_said(method["accuracy"], ".1%"),
                    comparison.curve_said(method["variance_ratio"], ".4f"),
                    strict=True,
                ),
                strict=True,
            )
        )
    every_d = {d for method in methods.values() for d in method["dims"]}
    rows += [
        [
            d,
            *itertools.chain.from_iterable(
                one.get(d, (None, None)) for one in cells.values()
            ),
        ]
        for d in sorted(every_d)
    ]
    return rows


def _latest_preview(run_dir, stage) -> str | None:
    previews = sorted(runs.StageFolder(run_dir, stage).previews.glob("step-*.png"))
    return str(previews[-1].relative_to(run_dir)) if previews else None
