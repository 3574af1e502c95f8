"""Write one static HTML page that explains itself: text, numbers and pictures."""

import html
import numbers
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard
from urllib.parse import quote

from tfstyle.core.files import write_text


@dataclass(frozen=True)
class Picture:
    """A picture file of a report.

    Attributes:
        path: the file, absolute or relative to the report's folder.
        caption: what there is to see, shown below it.
        alt: what replaces the picture for those who do not see it; else the caption.
    """

    path: str
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report, shown in the order of its attributes.

    Attributes:
        heading: one line.
        text: paragraphs of plain text, divided by empty lines.
        table: rows of cells, the first row its column headings; None is an empty cell.
        more: a second table below the first, of other columns.
        pictures: figures, each with its caption.
    """

    heading: str
    text: str = ""
    table: Sequence[Sequence[object]] = ()
    more: Sequence[Sequence[object]] = ()
    pictures: Sequence[Picture] = ()


def write_report(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section]
) -> None:
    """Write the report as one HTML file, complete or not at all.

    The page loads nothing but its pictures, by relative links: the folder that holds
    both can be moved, sent and served as it is.

    Args:
        path: of the HTML file.
        title: of the page.
        sections: shown in this order; with more than one, links to them come first.

    Raises:
        FileNotFoundError: a picture is not there.
        ValueError: a table has rows of unequal length.
    """
    folder = os.path.dirname(os.path.abspath(path))
    parts = [_HEAD.format(title=html.escape(title), style=_STYLE)]
    if len(sections) > 1:
        parts += ["<nav><ul>"]
        for number, section in enumerate(sections, 1):
            heading = html.escape(section.heading)
            parts += [f'<li><a href="#section-{number}">{heading}</a></li>']
        parts += ["</ul></nav>"]
    for number, section in enumerate(sections, 1):
        parts += [f'<section id="section-{number}">']
        parts += [f"<h2>{html.escape(section.heading)}</h2>"]
        parts += [
            f"<p>{html.escape(paragraph.strip())}</p>"
            for paragraph in section.text.split("\n\n")
            if paragraph.strip()
        ]
        parts += _table(section.table, section.heading)
        parts += _table(section.more, section.heading)
        parts += [_figure(picture, folder) for picture in section.pictures]
        parts += ["</section>"]
    parts += ["</main>", "</body>", "</html>", ""]
    write_text(path, "\n".join(parts))


def _table(table: Sequence[Sequence[object]], heading: str) -> list[str]:
    if not table:
        return []
    lengths = {len(row) for row in table}
    if len(lengths) > 1:
        raise ValueError(
            f"table of {heading!r}: rows must be of one length, got {sorted(lengths)}"
        )
    head, *body = table
    # A column of numbers, some of which may be missing, is set flush right.
    kinds = [
        ' class="number"' if all(c is None or _is_number(c) for c in column) else ""
        for column in zip(*body, strict=True)
    ] or [""] * len(head)
    return [
        # A wide table scrolls by itself, so that the page does not; tabindex lets
        # the keyboard scroll it.
        '<div class="table" tabindex="0"><table>',
        f"<thead>{_row(head, kinds, 'th', _SCOPE)}</thead>",
        "<tbody>",
        *(_row(row, kinds, "td") for row in body),
        "</tbody></table></div>",
    ]


def _row(
    cells: Sequence[object], kinds: Sequence[str], tag: str, scope: str = ""
) -> str:
    inner = "".join(
        f"<{tag}{scope}{kind}>{_text(cell)}</{tag}>"
        for cell, kind in zip(cells, kinds, strict=True)
    )
    return f"<tr>{inner}</tr>"


def _text(value: object) -> str:
    if value is None or value != value:  # only NaN differs from itself
        return "&ndash;"
    if not _is_number(value):
        return html.escape(str(value))
    if isinstance(value, numbers.Integral) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _figure(picture: Picture, folder: str) -> str:
    file = os.path.join(folder, picture.path)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"picture of a report is not there: {file}")
    link = quote(os.path.relpath(file, folder).replace(os.sep, "/"))
    alt = html.escape(picture.alt or picture.caption)
    return (
        f'<figure><a href="{link}"><img src="{link}" alt="{alt}"></a>'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
    )


_SCOPE = ' scope="col"'

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>"""

_STYLE = """\
:root {
  color-scheme: light dark;
  --ink: #1c1c1e; --soft: #5f6068; --paper: #fdfdfc; --line: #dcdcd8; --link: #0a58a8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8e8e6; --soft: #a2a3aa; --paper: #18191b; --line: #38393d;
    --link: #7db8f0;
  }
}
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; }
h2 {
  font-size: 1.3rem; margin: 2.75rem 0 .5rem; padding-top: 1.25rem;
  border-top: 1px solid var(--line);
}
p { max-width: 42rem; margin: .75rem 0; white-space: pre-line; }
a { color: var(--link); }
nav ul { margin: 0; padding: 0; list-style: none; }
nav li { display: inline-block; margin-right: 1.25rem; }
.table { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; }
th, td {
  padding: .35rem .9rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
th { color: var(--soft); font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.5rem 0; }
img {
  display: block; max-width: 100%; height: auto;
  border-radius: 4px; background: #fff;
}
figcaption {
  max-width: 42rem; margin-top: .5rem; color: var(--soft); font-size: .9rem;
}
@media print { nav { display: none; } section { break-inside: avoid-page; } }
"""
