"""Make pictures of pictures, with captions, and curves: what figures 1 to 7 are.

Files appear complete or not at all; folders are made as needed.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fitted
from tfstyle.core.files import replacing

Path = str | os.PathLike[str]
# By label: x and y, and if wanted the deviation of y, drawn as a bar at each point.
Curve = (
    tuple[Sequence[float], Sequence[float]]
    | tuple[Sequence[float], Sequence[float], Sequence[float]]
)
Series = Mapping[str, Curve]

_SMALLEST_TILE = 96  # pixels: below this captions do not fit and eyes do not see
_WIDEST_ROW_CAPTION = 2.0  # tiles
_NARROWEST_TITLE = 480  # pixels that a title may take even over a narrower grid
_EDGE, _PAPER = (216, 216, 216), (255, 255, 255)


def picture_grid(
    images: np.ndarray | Sequence[Sequence[np.ndarray | None]],
    row_captions: Sequence[str] | None = None,
    column_captions: Sequence[str] | None = None,
    title: str | None = None,
    gap: int = 4,
    row_breaks: Sequence[int] = (),
    column_breaks: Sequence[int] = (),
) -> Image.Image:
    """Lay pictures out in rows and columns on white.

    Small pictures are enlarged by a whole factor without smoothing, so that a sheet
    shows exactly the pixels that a network made. Captions too long for their place
    end in "...".

    Args:
        images: uint8 [rows, columns, height, width, 3], or nested sequences of
            uint8 [height, width, 3] with None for a hole.
        row_captions: a text for each row, at its left.
        column_captions: a text for each column, above it.
        title: a line above all.
        gap: pixels between pictures.
        row_breaks: rows that start a group, set apart from the row before by a
            wider gap: `[1]` sets apart a top row of real pictures.
        column_breaks: likewise for columns.

    Returns:
        An RGB picture.

    Raises:
        ValueError: no picture, rows of unequal length, pictures of unequal shape or
            not uint8, or captions that do not match the rows or columns.
    """
    height, width, rows, columns = _checked_grid(images)
    row_captions = _checked_captions(row_captions, rows, "row")
    column_captions = _checked_captions(column_captions, columns, "column")
    scale = -(-_SMALLEST_TILE // min(height, width))
    height, width = height * scale, width * scale

    # Text grows with the tiles: wide sheets are looked at scaled down.
    size = max(14, min(height, width) // 10)
    margin, line = size, round(1.5 * size)
    of_rows = [fitted(one, size, _WIDEST_ROW_CAPTION * width) for one in row_captions]
    of_columns = [fitted(one, size, width) for one in column_captions]

    left = margin
    if any(row_captions):
        left += round(max(one.width for one in of_rows)) + size // 2
    top = margin
    if title:
        top += 2 * line
    if any(column_captions):
        top += line
    lefts = _offsets(columns, left, width, gap, column_breaks)
    tops = _offsets(rows, top, height, gap, row_breaks)
    sheet_width = lefts[-1] + width + margin
    sheet_height = tops[-1] + height + margin
    room = max(sheet_width - 2 * margin, _NARROWEST_TITLE)
    heading = fitted(title or "", round(1.3 * size), room)
    sheet_width = max(sheet_width, round(heading.width) + 2 * margin)

    sheet = Image.new("RGB", (sheet_width, sheet_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    heading.draw(draw, (margin, margin), "la")
    for x, caption in zip(lefts, of_columns, strict=True):
        caption.draw(draw, (x + width / 2, top - line * 2 // 3), "mm")
    for y, caption in zip(tops, of_rows, strict=True):
        caption.draw(draw, (left - size // 2, y + height / 2), "rm")
    for y, row in zip(tops, images, strict=True):
        for x, image in zip(lefts, row, strict=True):
            if image is not None:
                tile = Image.fromarray(np.ascontiguousarray(image))
                tile = tile.resize((width, height), Image.Resampling.NEAREST)
                if gap:  # pictures on white would have no edge
                    edge = (x - 1, y - 1, x + width, y + height)
                    draw.rectangle(edge, outline=_EDGE)
                sheet.paste(tile, (x, y))
    return sheet


def group_sheet(
    groups: np.ndarray | Sequence[Sequence[np.ndarray | None]],
    captions: Sequence[str],
    groups_per_row: int,
    title: str | None = None,
) -> Image.Image:
    """Lay out groups of pictures, several groups to a row.

    For figure 6 a group is (picture, reconstruction), for figure 7 (content, result,
    style), for figures 4 and 5 (-5, 0, 5).

    Args:
        groups: uint8 [groups, size, height, width, 3], or nested sequences with
            None for a hole.
        captions: [size], what each member of a group is.
        groups_per_row: at least 1.
        title: a line above all.

    Returns:
        An RGB picture.

    Raises:
        ValueError: as for `picture_grid`.
    """
    size = len(captions)
    if any(len(group) != size for group in groups):
        raise ValueError(f"{size} captions need groups of {size} pictures")
    across = min(groups_per_row, len(groups))
    rows = []
    for first in range(0, len(groups), groups_per_row):
        row = [image for group in groups[first : first + across] for image in group]
        rows.append(row + [None] * (across * size - len(row)))
    return picture_grid(
        rows,
        column_captions=list(captions) * across,
        title=title,
        column_breaks=range(size, across * size, size),
    )


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Put sheets one below the other, flush left on white.

    Args:
        sheets: at least one.

    Returns:
        An RGB picture.
    """
    width = max(sheet.width for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), _PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


def write_picture(image: Image.Image, path: Path) -> None:
    """Write a picture as PNG."""
    with replacing(path) as temporary:
        image.save(temporary, format="PNG")


def curves(
    path: Path,
    series: Series,
    xlabel: str,
    ylabel: str,
    title: str,
    log_x: bool = True,
    kept: int | None = None,
) -> None:
    """Write one graph as PNG.

    Args:
        path: of the PNG.
        series: {label: (x, y)}, x and y of equal length; NaN leaves a gap.
        xlabel: text under the graph.
        ylabel: text at its left.
        title: text above it.
        log_x: x doubles from mark to mark, as in figure 1.
        kept: an x to mark as the number of dimensions kept.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    _draw_curves(figure.add_subplot(), series, xlabel, ylabel, title, log_x, kept)
    _write_figure(figure, path)


def figure_1(
    path: Path,
    accuracy_series: Series,
    ratio_series: Series,
    kept: int | None = None,
) -> None:
    """Write figure 1 as PNG: accuracy at the left, variance ratio at the right.

    Args:
        path: of the PNG.
        accuracy_series: {method: (dims, accuracy)}, or with the deviation of each
            accuracy (dims, accuracy, deviation).
        ratio_series: {method: (dims, ratio)}, likewise.
        kept: number of dimensions to mark as kept.
    """
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, series, ylabel, title in (
        (
            left,
            accuracy_series,
            "share of images classified correctly",
            "Classification accuracy (more is better)",
        ),
        (
            right,
            ratio_series,
            "squared distance: within / between artists",
            "Variance ratio, equation 10 (less is better)",
        ),
    ):
        _draw_curves(axes, series, "style dimensions used", ylabel, title, True, kept)
    _write_figure(figure, path)


def _checked_grid(images) -> tuple[int, int, int, int]:
    """Return height and width of a picture, rows and columns of the grid."""
    lengths = {len(row) for row in images}
    if len(lengths) != 1:
        raise ValueError(f"rows must be of one length, got {sorted(lengths)}")
    pictures = [image for row in images for image in row if image is not None]
    kinds = {(image.shape, str(image.dtype)) for image in pictures}
    if len(kinds) != 1:
        raise ValueError(
            f"pictures must be there and of one shape and type, got {sorted(kinds)}"
        )
    (shape, dtype), *_ = kinds
    if len(shape) != 3 or shape[2] != 3 or not min(shape) or dtype != "uint8":
        raise ValueError(
            f"pictures must be uint8 [height, width, 3], got {dtype} {list(shape)}"
        )
    return shape[0], shape[1], len(images), lengths.pop()


def _checked_captions(
    captions: Sequence[str] | None, count: int, where: str
) -> list[str]:
    if captions is None:
        return [""] * count
    if len(captions) != count:
        raise ValueError(f"{count} {where}s need as many captions, got {len(captions)}")
    return [str(caption) for caption in captions]


def _offsets(
    count: int, start: int, size: int, gap: int, breaks: Sequence[int]
) -> list[int]:
    wide = size // 8 + gap
    return [
        start + i * (size + gap) + wide * sum(0 < b <= i for b in breaks)
        for i in range(count)
    ]


def _draw_curves(axes, series: Series, xlabel, ylabel, title, log_x, kept) -> None:
    # Markers and dashes tell curves apart where colours do not: in print, and to eyes
    # that see few of them. The colours are Okabe and Ito's.
    styles = [
        ("#0072b2", "o", "-"),
        ("#d55e00", "s", "--"),
        ("#009e73", "^", "-."),
        ("#cc79a7", "D", ":"),
        ("#56b4e9", "v", (0, (6, 2, 1, 2, 1, 2))),
    ]
    for i, (label, (x, y, *deviation)) in enumerate(series.items()):
        color, marker, dashes = styles[i % len(styles)]
        axes.errorbar(
            x,
            y,
            *deviation,
            color=color,
            linestyle=dashes,
            marker=marker if len(x) <= 16 else "",
            markersize=5,
            elinewidth=1,
            capsize=3,
            label=label,
        )
    if kept is not None:
        axes.axvline(kept, color="0.4", linewidth=1, zorder=1, label=f"kept: {kept}")
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=20))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    # Markers at the highest values need room.
    axes.set_ylim(0, 1.03 * axes.get_ylim()[1])
    axes.set_axisbelow(True)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    # Many curves leave no room for it among them.
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2}
    axes.legend(frameon=False, **(below if len(series) > 2 else {}))


def _write_figure(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=144)
