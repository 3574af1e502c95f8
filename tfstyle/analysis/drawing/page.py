"""A static HTML page of text, tables and pictures, rendered from a template."""

import dataclasses
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard
from urllib.parse import quote

import jinja2

from tfstyle.core.files import write_text
from tfstyle.core.names import clean

Table = Sequence[Sequence[object]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture file of a report.

    Attributes:
        path: the file, absolute or relative to the report's folder.
        caption: text below the picture.
        alt: text for readers who do not see the picture; by default the caption.
    """

    path: str
    caption: str
    alt: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report, shown in the order of its attributes.

    Attributes:
        heading: one line.
        text: paragraphs of plain text, separated by empty lines.
        table: rows of cells, the column headings first; None is an empty cell.
        more: a second table below the first, with other columns.
        pictures: figures with captions.
    """

    heading: str
    text: str = ""
    table: Table = ()
    more: Table = ()
    pictures: Sequence[Picture] = ()


def list_pictures(folder: Path, captions: Mapping[str, str]) -> list[Picture]:
    """List files of a folder beside the report, with their captions."""
    return [Picture(f"{folder.name}/{name}", text) for name, text in captions.items()]


def write_report(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section]
) -> None:
    """Write a report as one HTML file, complete or not at all.

    The page loads nothing but its pictures, by relative links: the folder that contains
    both can be moved, sent and served unchanged.

    Args:
        path: of the HTML file.
        title: of the page.
        sections: in order; several sections are listed as links at the top.

    Raises:
        FileNotFoundError: if a picture is missing.
        ValueError: if the rows of a table have unequal lengths.
    """
    folder = Path(path).absolute().parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Names are shown already; nothing else invisible reaches the page either.
        finalize=lambda value: clean(value) if isinstance(value, str) else value,
    )
    environment.filters["cell_text"] = _format_cell
    environment.filters["are_numbers"] = _are_numbers
    environment.filters["url"] = lambda picture: _url(picture, folder)
    for section in sections:
        for table in (section.table, section.more):
            lengths = sorted({len(row) for row in table})
            if len(lengths) > 1:
                raise ValueError(
                    f"table of {section.heading!r}: rows must have equal lengths, got "
                    f"{lengths}"
                )
    page = environment.get_template("page.html.jinja").render(
        title=title, sections=sections
    )
    write_text(path, page)


def _are_numbers(table: Table) -> list[bool]:
    """Find the columns of numbers, some of which may be missing."""
    head, *body = table
    return [
        bool(body) and all(row[k] is None or _is_number(row[k]) for row in body)
        for k in range(len(head))
    ]


def _format_cell(value: object) -> str:
    if value is None or value != value:  # only NaN differs from itself
        return "–"
    if not _is_number(value):
        return str(value)
    if isinstance(value, numbers.Integral) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _url(picture: Picture, folder: Path) -> str:
    file = folder / picture.path
    if not file.is_file():
        raise FileNotFoundError(f"a picture of the report is missing: {file}")
    return quote(os.path.relpath(file, folder).replace(os.sep, "/"))
