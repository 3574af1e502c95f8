"""Graphs of measures by the number of dimensions, such as figure 1 of the paper."""

import os
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from tfstyle.core.files import atomic_file

# x and y, and optionally bars at each point: the deviation of y, or the lengths below
# and above it.
Bars = Sequence[float] | tuple[Sequence[float], Sequence[float]]
Curve = (
    tuple[Sequence[float], Sequence[float]]
    | tuple[Sequence[float], Sequence[float], Bars]
)
Series = Mapping[str, Curve]  # by label

# Markers and dashes tell curves apart where colors do not: in print, and for readers
# with impaired color vision. The colors are Okabe and Ito's.
_STYLES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", "--"),
    ("#009e73", "^", "-."),
    ("#cc79a7", "D", ":"),
    ("#56b4e9", "v", (0, (6, 2, 1, 2, 1, 2))),
)
_MOST_MARKERS = 16  # per curve; longer curves are plain lines
_DPI = 144


def write_curves(
    path: str | os.PathLike[str],
    series: Series,
    xlabel: str,
    ylabel: str,
    title: str,
    log_x: bool = True,
    log_y: bool = False,
    kept_dims: int | None = None,
) -> None:
    """Write one graph as PNG.

    Args:
        path: of the PNG.
        series: {label: (x, y)} or {label: (x, y, bars)}, of equal lengths; NaN leaves
            a gap.
        xlabel: text below the graph.
        ylabel: text at its left.
        title: text above it.
        log_x: whether x doubles from tick to tick, as in figure 1.
        log_y: whether y is logarithmic; it starts at 0 otherwise.
        kept_dims: the x to mark as the number of dimensions kept.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, series, kept_dims, log_x, log_y)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    _write_figure(figure, path)


def write_figure_1(
    path: str | os.PathLike[str],
    accuracies: Series,
    ratios: Series,
    kept_dims: int | None = None,
) -> None:
    """Write figure 1 as PNG: accuracy at the left, variance ratio at the right.

    Args:
        path: of the PNG.
        accuracies: {method: (dims, accuracy)}, or (dims, accuracy, bars).
        ratios: {method: (dims, ratio)}, likewise.
        kept_dims: the number of dimensions to mark as kept.
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set(
        ylabel="share of images classified correctly",
        title="Classification accuracy (more is better)",
    )
    right.set(
        ylabel="squared distance: within / between artists",
        title="Variance ratio, equation 10 (less is better)",
    )
    for axes, series in ((left, accuracies), (right, ratios)):
        axes.set_xlabel("style dimensions used")
        _draw_curves(axes, series, kept_dims)
    _write_figure(figure, path)


def _draw_curves(
    axes: Axes,
    series: Series,
    kept_dims: int | None,
    log_x: bool = True,
    log_y: bool = False,
) -> None:
    for i, (label, (x, y, *bars)) in enumerate(series.items()):
        color, marker, dashes = _STYLES[i % len(_STYLES)]
        axes.errorbar(
            x,
            y,
            yerr=bars[0] if bars else None,
            color=color,
            linestyle=dashes,
            marker=marker if len(x) <= _MOST_MARKERS else "",
            markersize=5,
            elinewidth=1,
            capsize=3,
            label=label,
        )
    if kept_dims is not None:
        label = f"kept: {kept_dims}"
        axes.axvline(kept_dims, color="0.4", linewidth=1, zorder=1, label=label)
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=20))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if log_y:
        axes.set_yscale("log")
    else:
        # Room for the highest markers.
        axes.set_ylim(0, 1.03 * axes.get_ylim()[1])
    axes.set_axisbelow(True)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 2:  # no room for the legend between the curves
        below = (0.5, -0.13)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=below, ncols=2)
    else:
        axes.legend(frameon=False)


def _write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
