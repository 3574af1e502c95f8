"""The style space in the report: figure 1 of a run, or of several together."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing.confusions import order_by_similarity, write_confusions
from tfstyle.analysis.drawing.curves import Curve, write_figure_1
from tfstyle.analysis.drawing.grids import draw_grid, write_picture
from tfstyle.analysis.drawing.page import Picture, Section, list_pictures
from tfstyle.analysis.evaluation.comparison import (
    CLASSIFIER,
    Comparison,
    Method,
    average_methods,
    name_method,
    tabulate_recommended,
)
from tfstyle.analysis.evaluation.confusions import Confusion
from tfstyle.analysis.evaluation.figure_1 import MEANS_LABEL, RETRAINED_LABEL, Curves
from tfstyle.analysis.evaluation.style import Style
from tfstyle.analysis.realism.samples import MAX_TEST_PICTURES, read_first_pictures
from tfstyle.analysis.results import tabulate
from tfstyle.core.names import show
from tfstyle.metrics.repeats import CurveSpread, format_curve_spread, format_run_count
from tfstyle.modeling.stages import metric
from tfstyle.runs.trained_run import TrainedRun

# Pairs of artists taken for each other in the table, and with pictures of each.
_MOST_CONFUSIONS = 20
_MOST_SHOWN, _WORKS_SHOWN = 5, 4


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
    intervals = {} if comparison else _list_intervals(run, style)
    accuracies, ratios = (
        {
            labels[name]: _make_curve(method, measure, intervals.get(name))
            for name, method in methods.items()
        }
        for measure in ("accuracy", "variance_ratio")
    )
    figure_1 = folder / "figure_1.png"
    write_figure_1(figure_1, accuracies, ratios, kept_dims=style.kept_dims)
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
    if MEANS_LABEL in methods:
        text += (
            " By the nearest mean code it is judged as the style space is, without the "
            "logits that the cut takes away."
        )
    text = " ".join([text, *style.diagnose()])
    return Section(
        "The style space",
        text,
        table=_tabulate_curves(methods, labels),
        more=tabulate(style.list_search_rows()),
        pictures=_list_pictures(run, folder, comparison),
    )


def confusions_section(
    run: TrainedRun, style: Style, folder: pathlib.Path
) -> Section | None:
    """Draw which artists are taken for each other; None if that was not measured."""
    confusions = style.confusions
    if confusions is None:
        return None
    names = run.collection.artists
    shares = np.zeros([len(names), len(names)])
    numbers = {name: k for k, name in enumerate(names)}
    test_counts = run.dataset.artist_counts(run.dataset.test_split)
    for pair in confusions.pairs:
        place = numbers[pair.artist], numbers[pair.taken_for]
        shares[place] = pair.pictures / pair.of
    np.fill_diagonal(shares, np.where(test_counts > 0, 1 - shares.sum(axis=1), 0))
    path = folder / "confusions.png"
    order = order_by_similarity(run.style_statistics.artist_means)
    write_confusions(path, shares, [*map(show, names)], order)
    captions = {
        path.name: "Rows: artists; columns: whose their test pictures are taken for. "
        "Similar artists are side by side."
    }
    sheet_path = folder / "confused_artists.png"
    sheet_path.unlink(missing_ok=True)  # there may be fewer mistakes than before
    if confusions.pairs:
        sheet = _draw_confused_artists(run, confusions.pairs[:_MOST_SHOWN])
        write_picture(sheet, sheet_path)
        captions[sheet_path.name] = (
            "Test pictures by the artists of the first pairs, the one who "
            "is taken for the other at the left."
        )
    head: list[object] = ["artist", "taken for", "pictures", "of"]
    rows = [
        [show(pair.artist), show(pair.taken_for), pair.pictures, pair.of]
        for pair in confusions.pairs[:_MOST_CONFUSIONS]
    ]
    return Section(
        "Artists taken for each other",
        f"By the {style.kept_dims} style dimensions kept, the artist of "
        f"{confusions.wrong} of {confusions.pictures} test pictures is not found.",
        table=[head, *rows] if rows else [],
        pictures=list_pictures(folder, captions),
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


def _draw_confused_artists(run: TrainedRun, pairs: Sequence[Confusion]) -> Image.Image:
    """Draw a row of test pictures for each pair of artists."""
    dataset = run.dataset
    pictures, artist_ids = read_first_pictures(
        dataset, dataset.test_split, MAX_TEST_PICTURES
    )
    rows = []
    for pair in pairs:
        row: list[np.ndarray | None] = []
        for name in (pair.artist, pair.taken_for):
            label = run.collection.artists.index(name)
            works = [*pictures[artist_ids == label][:_WORKS_SHOWN]]
            row += [*works, *[None] * (_WORKS_SHOWN - len(works))]
        rows.append(row)
    captions = [f"{show(pair.artist)} / {show(pair.taken_for)}" for pair in pairs]
    return draw_grid(rows, captions, column_breaks=[_WORKS_SHOWN])


def _list_intervals(run: TrainedRun, style: Style) -> dict[str, Curves]:
    """Return the curves of a run that have intervals, by method."""
    curves: dict[str, Curves | None] = {
        CLASSIFIER: style.classifier,
        MEANS_LABEL: style.classifier_means,
        RETRAINED_LABEL: style.retrained,
    }
    if style.metric:
        curves[name_method(run, metric.SPEC.name)] = style.metric
    return {
        name: curve
        for name, curve in curves.items()
        if curve and curve.accuracy_interval
    }


def _make_curve(method: Method, measure: str, intervals: Curves | None) -> Curve:
    """Return a curve with its deviations, or with intervals where these are given."""
    values: CurveSpread = getattr(method, measure)
    if values["deviation"] is not None:
        return method.dims, values["mean"], values["deviation"]
    if intervals is None:
        return method.dims, values["mean"]
    lower, upper = zip(*getattr(intervals, f"{measure}_interval"), strict=True)
    bars = (
        [max(0, y - low) for y, low in zip(values["mean"], lower, strict=True)],
        [max(0, high - y) for y, high in zip(values["mean"], upper, strict=True)],
    )
    return method.dims, values["mean"], bars


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
    if not comparison:
        caption += " Bars: 95 % of bootstrap samples of the artists."
    else:
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
