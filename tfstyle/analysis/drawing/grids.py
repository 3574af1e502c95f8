"""Sheets of pictures in rows and columns with captions, and how they are written."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fit_text
from tfstyle.core.files import atomic_file

if TYPE_CHECKING:  # imports TensorFlow
    from tfstyle.modeling.networks.codes import PictureTable

Cells = np.ndarray | Sequence[Sequence[np.ndarray | None]]

_SMALLEST_TILE = 96  # pixels; captions do not fit below, and details are invisible
_WIDEST_ROW_CAPTION = 2.0  # tiles
_NARROWEST_TITLE = 480  # pixels that a title may take even above a narrower grid
_EDGE, _PAPER = (216, 216, 216), (255, 255, 255)


def draw_grid(
    images: Cells,
    row_captions: Sequence[str] | None = None,
    column_captions: Sequence[str] | None = None,
    title: str | None = None,
    gap: int = 4,
    row_breaks: Sequence[int] = (),
    column_breaks: Sequence[int] = (),
) -> Image.Image:
    """Draw pictures in rows and columns on white.

    Small pictures are enlarged by an integer factor without smoothing, so that a sheet
    shows the exact pixels that a network generated. Captions that are too long end in
    "...".

    Args:
        images: uint8 [rows, columns, height, width, 3], or nested sequences of
            uint8 [height, width, 3] with None for an empty cell.
        row_captions: a text at the left of each row.
        column_captions: a text above each column.
        title: a line above everything.
        gap: pixels between pictures.
        row_breaks: rows that start a group, with a wider gap above them: `[1]` sets
            apart a top row of real pictures.
        column_breaks: likewise for columns.

    Returns:
        An RGB picture.

    Raises:
        ValueError: if there is no picture, rows have unequal lengths, pictures have
            unequal shapes or are not uint8, or the number of captions is wrong.
    """
    height, width, rows, columns = _check_pictures(images)
    row_texts = _check_captions(row_captions, rows, "row")
    column_texts = _check_captions(column_captions, columns, "column")
    scale = -(-_SMALLEST_TILE // min(height, width))
    height, width = height * scale, width * scale
    # Text grows with the tiles: wide sheets are viewed scaled down.
    size = max(14, min(height, width) // 10)
    margin, line = size, round(1.5 * size)
    at_rows = [fit_text(text, size, _WIDEST_ROW_CAPTION * width) for text in row_texts]
    at_columns = [fit_text(text, size, width) for text in column_texts]

    left = margin
    if any(row_texts):
        left += round(max(caption.width for caption in at_rows)) + size // 2
    top = margin + (2 * line if title else 0) + (line if any(column_texts) else 0)
    lefts = _offsets(columns, left, width, gap, column_breaks)
    tops = _offsets(rows, top, height, gap, row_breaks)
    sheet_width = lefts[-1] + width + margin
    room = max(sheet_width - 2 * margin, _NARROWEST_TITLE)
    heading = fit_text(title or "", round(1.3 * size), room)
    sheet_width = max(sheet_width, round(heading.width) + 2 * margin)

    sheet = Image.new("RGB", (sheet_width, tops[-1] + height + margin), _PAPER)
    draw = ImageDraw.Draw(sheet)
    heading.draw(draw, (margin, margin), "la")
    for x, caption in zip(lefts, at_columns, strict=True):
        caption.draw(draw, (x + width / 2, top - line * 2 // 3), "mm")
    for y, caption in zip(tops, at_rows, strict=True):
        caption.draw(draw, (left - size // 2, y + height / 2), "rm")
    for y, row in zip(tops, images, strict=True):
        for x, image in zip(lefts, row, strict=True):
            if image is not None:
                _paste(sheet, image, (x, y, x + width, y + height), edge=gap > 0)
    return sheet


def draw_table(table: "PictureTable") -> Image.Image:
    """Draw a table of pictures as `draw_grid` does."""
    options = {**vars(table)}
    return draw_grid(options.pop("rows"), **options)


def draw_groups(
    groups: Cells, captions: Sequence[str], groups_per_row: int
) -> Image.Image:
    """Draw groups of pictures, several groups in a row.

    A group is (picture, reconstruction) in figure 6 and (content, result, style) in
    figure 7.

    Args:
        groups: uint8 [groups, size, height, width, 3], or nested sequences with
            None for an empty cell.
        captions: [size], of the members of each group.
        groups_per_row: at least 1.

    Returns:
        An RGB picture.

    Raises:
        ValueError: if groups do not match the captions; also see `draw_grid`.
    """
    size = len(captions)
    if any(len(group) != size for group in groups):
        raise ValueError(f"{size} captions need groups of {size} pictures")
    across = min(groups_per_row, len(groups))
    rows = []
    for first in range(0, len(groups), groups_per_row):
        row = [image for group in groups[first : first + across] for image in group]
        rows.append(row + [None] * (across * size - len(row)))
    return draw_grid(
        rows,
        column_captions=list(captions) * across,
        column_breaks=range(size, across * size, size),
    )


def stack_sheets(sheets: Sequence[Image.Image]) -> Image.Image:
    """Paste at least one sheet below the other, flush left on white."""
    width = max(sheet.width for sheet in sheets)
    stack = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)), _PAPER)
    top = 0
    for sheet in sheets:
        stack.paste(sheet, (0, top))
        top += sheet.height
    return stack


def write_picture(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """Write a picture as PNG, complete or not at all."""
    with atomic_file(path) as temporary:
        image.save(temporary, format="PNG")


def _check_pictures(images: Cells) -> tuple[int, int, int, int]:
    """Return height and width of the pictures, and rows and columns of the grid."""
    lengths = {len(row) for row in images}
    if len(lengths) != 1:
        raise ValueError(f"rows must have equal lengths, got {sorted(lengths)}")
    pictures = [image for row in images for image in row if image is not None]
    kinds = {(image.shape, str(image.dtype)) for image in pictures}
    if len(kinds) != 1:
        raise ValueError(
            f"needs pictures of a single shape and type, got {sorted(kinds)}"
        )
    ((shape, dtype),) = kinds
    if len(shape) != 3 or shape[2] != 3 or not min(shape) or dtype != "uint8":
        raise ValueError(
            f"pictures must be uint8 [height, width, 3], got {dtype} {list(shape)}"
        )
    return shape[0], shape[1], len(images), lengths.pop()


def _check_captions(
    captions: Sequence[str] | None, count: int, kind: str
) -> Sequence[str]:
    if captions is None:
        return [""] * count
    if len(captions) != count:
        raise ValueError(f"{count} {kind}s need as many captions, got {len(captions)}")
    return captions


def _offsets(
    count: int, start: int, size: int, gap: int, breaks: Sequence[int]
) -> list[int]:
    """Compute where each row or column starts, in pixels."""
    wide = size // 8 + gap
    return [
        start + i * (size + gap) + wide * sum(0 < b <= i for b in breaks)
        for i in range(count)
    ]


def _paste(
    sheet: Image.Image, image: np.ndarray, box: tuple[int, int, int, int], edge: bool
) -> None:
    """Paste a picture into a box, enlarged, with an outline around the box."""
    left, top, right, bottom = box
    if edge:  # a white picture would have no visible border
        outline = (left - 1, top - 1, right, bottom)
        ImageDraw.Draw(sheet).rectangle(outline, outline=_EDGE)
    tile = Image.fromarray(np.ascontiguousarray(image))
    size = (right - left, bottom - top)
    sheet.paste(tile.resize(size, Image.Resampling.NEAREST), (left, top))
