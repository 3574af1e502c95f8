"""Pages on which a person drops the detections that are no faces."""

import functools
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import jinja2

from tfstyle.core.files import write_text
from tfstyle.core.names import show, to_path
from tfstyle.data import pictures
from tfstyle.data.catalogs.manifests import DECISIONS_FORMAT, Entry
from tfstyle.data.collections.conversion_pool import map_in_processes
from tfstyle.data.pictures.faces import cut_face

INDEX = "index.html"
_SIZE = 112  # of a crop, in pixels
_JPEG_QUALITY = 85
_UNKNOWN_LIKELIHOOD = 1.0
_MIN_PER_WORKER = 16


def sort_for_review(entries: Sequence[Entry]) -> list[Entry]:
    """Sort by artist, and each artist's least likely faces first."""

    def rank(entry: Entry) -> tuple[str, float, int]:
        likelihood = entry.likelihood
        if likelihood is None:
            likelihood = _UNKNOWN_LIKELIHOOD
        return entry.artist, likelihood, entry.row

    return sorted(entries, key=rank)


def write_crops(
    entries: Sequence[Entry], input_dir: str, folder: pathlib.Path, workers: int
) -> Iterator[str | None]:
    """Write the crop of each entry as 00000.jpg, 00001.jpg, ..

    Yields:
        For each entry, None or why its picture cannot be used.
    """
    crops = [
        (entry, folder / f"{number:05d}.jpg") for number, entry in enumerate(entries)
    ]
    yield from map_in_processes(
        functools.partial(_write_crop, input_dir),
        crops,
        min(workers, len(entries) // _MIN_PER_WORKER),
        lambda crop: crop[0].path,
    )


def write_pages(
    entries: Sequence[Entry],
    crops: Sequence[str | None],
    folder: pathlib.Path,
    store: str,
    per_page: int,
) -> list[str]:
    """Write pages of faces; an artist stays on one page.

    Args:
        entries: sorted by `sort_for_review`.
        crops: of each entry, relative to the folder; None for an unusable picture,
            which is left out.
        folder: of the pages; the first is `INDEX`.
        store: under which the browser keeps decisions.
        per_page: faces per page, more if an artist has more.

    Returns:
        Names of the pages.
    """
    sections = []
    shown = [pair for pair in zip(entries, crops, strict=True) if pair[1] is not None]
    for artist, group in itertools.groupby(shown, key=lambda pair: pair[0].artist):
        faces = [
            {
                "key": entry.key,
                "path": show(entry.path),
                "crop": crop,
                "likelihood": _UNKNOWN_LIKELIHOOD
                if entry.likelihood is None
                else entry.likelihood,
                "caption": ""
                if entry.likelihood is None
                else f"{entry.likelihood:.3f}",
            }
            for entry, crop in group
        ]
        sections.append((show(artist), faces))
    parts = _divide(sections, per_page)
    names = [INDEX, *(f"page-{k}.html" for k in range(2, len(parts) + 1))]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.get_template("review.html.jinja")
    for name, part in zip(names, parts, strict=True):
        page = template.render(
            title="Which of these are faces?",
            name=name,
            pages=names,
            sections=part,
            store=store,
            size=_SIZE,
            format=DECISIONS_FORMAT,
        )
        write_text(folder / name, page)
    return names


def _write_crop(input_dir: str, crop: tuple[Entry, pathlib.Path]) -> str | None:
    entry, path = crop
    source = os.path.join(input_dir, to_path(entry.path))  # noqa: PTH118 (may be absolute)
    try:
        if entry.face is None:
            picture = pictures.load_picture(source, _SIZE)
        else:
            picture = cut_face(pictures.load_upright(source), entry.face, _SIZE)
    except pictures.PictureError as error:
        return str(error)
    picture.save(path, quality=_JPEG_QUALITY)
    return None


def _divide(sections: list, per_page: int) -> list[list]:
    """Put sections on pages of about so many faces; at least one page."""
    pages: list[list] = [[]]
    count = 0
    for section in sections:
        if count and count + len(section[1]) > per_page:
            pages.append([])
            count = 0
        pages[-1].append(section)
        count += len(section[1])
    return pages
