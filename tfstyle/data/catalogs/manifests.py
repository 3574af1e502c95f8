"""Manifests: works listed in a file, with artist, face, variants, content, and rights.

A manifest is JSON lines, a JSON list, CSV, or Parquet. Each row names a picture by
`path` and its `artist`. `metadata.jsonl` and `metadata.csv` of Hugging Face's
imagefolder, which name it by `file_name`, are read too. Faulty rows are listed, and
never end a command.
"""

import collections
import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from tfstyle.core import names, typed
from tfstyle.core.cli import UserError
from tfstyle.core.files import is_regular
from tfstyle.data.collections.sources import COPIED, EXCLUDED, Source, find_copies
from tfstyle.data.collections.walking import SkippedFile
from tfstyle.data.pictures.faces import Face

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_TEXTS = ("group", "content", "licence", "creator")
_KEYS = frozenset({"path", "artist", "box", "angle", "likelihood", *_TEXTS})
_OTHER_SPELLINGS = {"license": "licence"}
_FILE_NAME = "file_name"  # of imagefolder, instead of path
DECISIONS_FORMAT = 1
_BYTES_READ = 512  # to see how a file begins
_MOST_CHARACTERS = 10_000_000  # of a cell


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of a manifest.

    Attributes:
        row: its number; the first is 1.
        path: of the picture, as it is written.
        artist: who made it.
        face: the part of the picture to use, or None for all of it.
        likelihood: that it is a face, 0 to 1; None if unknown.
        group: works of an artist with the same group are variants of one work.
        content: what the picture shows, for evaluation.
        licence: under which the picture may be used.
        creator: whom to name.
    """

    row: int
    path: str
    artist: str
    face: Face | None = None
    likelihood: float | None = None
    group: str = ""
    content: str = ""
    licence: str = ""
    creator: str = ""

    @property
    def key(self) -> str:
        """Identify the entry by picture and face, whatever its row."""
        parts = [self.path, *(dataclasses.astuple(self.face) if self.face else ())]
        text = "\t".join(map(str, parts))
        return hashlib.sha256(names.encode(text)).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A row that cannot be used: its number, a reason such as "no_json", and why.

    `entry` is what can be read nevertheless: whose picture it is. None if nothing can.
    """

    row: int
    reason: str
    detail: str
    entry: Entry | None = dataclasses.field(default=None, compare=False)


def read_manifest(path: str) -> tuple[list[Entry], list[Fault], dict[str, int]]:
    """Read a manifest.

    Args:
        path: its suffix tells the format.

    Returns:
        The entries; the faulty rows; and the first row of each key that is ignored,
        which metadata of imagefolder may have.

    Raises:
        UserError: the file is missing or of no known format, or Parquet is not
            installed.
    """
    file = pathlib.Path(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise UserError(f"--manifest={path} must end in one of {', '.join(SUFFIXES)}")
    if not is_regular(path):
        raise UserError(f"--manifest={names.show(path)} is not a file")
    entries: list[Entry] = []
    faults: list[Fault] = []
    ignored: dict[str, int] = {}
    try:
        for row, values in reader(file):
            try:
                entries.append(_parse_row(row, values, ignored))
            except _RowError as error:
                reason, detail = error.args
                faults.append(Fault(row, reason, detail, _read_owner(row, values)))
    except OSError as error:
        raise UserError(f"--manifest={path}: {error.strerror or error}") from None
    return entries, faults, ignored


def list_sources(
    entries: Iterable[Entry],
    input_dir: str,
    exclude: Collection[str] = (),
    dropped: Collection[str] = (),
) -> tuple[list[Source], list[SkippedFile]]:
    """List the works of a manifest.

    Faces of one picture stay in one split, as variants of one work do.

    Args:
        entries: of `read_manifest`.
        input_dir: that relative paths start from.
        exclude: names to leave out: of artists, creators, and folders in paths.
        dropped: keys of entries to leave out.

    Returns:
        The works, and what is left out with its reason.
    """
    sources: list[Source] = []
    skipped: list[SkippedFile] = []
    counts: collections.Counter[str] = collections.Counter()
    entries = list(entries)
    excluded_files: list[str] = []
    pictures = collections.Counter(entry.path for entry in entries)
    for entry in entries:
        counts[entry.path] += 1
        number = counts[entry.path]
        name = entry.path if number == 1 else f"{entry.path}#{number}"
        path = os.path.join(input_dir, names.to_path(entry.path))  # noqa: PTH118
        if find_excluded(entry, exclude):
            skipped.append((name, EXCLUDED))
            excluded_files.append(path)
        elif entry.key in dropped:
            skipped.append((name, "dropped_in_review"))
        elif not _is_file(path):
            skipped.append((name, "missing_file"))
        else:
            shared = f"faces of {entry.path}" if pictures[entry.path] > 1 else ""
            sources.append(
                Source(
                    path=path,
                    artist=entry.artist,
                    name=name,
                    group=entry.group or shared,
                    face=entry.face,
                    content=entry.content,
                    licence=entry.licence,
                    creator=entry.creator,
                )
            )
    copies = find_copies(sources, excluded_files)
    skipped += [(source.name, COPIED) for source in copies]
    return [source for source in sources if source not in copies], skipped


def list_names(entries: Iterable[Entry]) -> set[str]:
    """Return all names that may tell whose works are listed: see `find_excluded`."""
    return {name for entry in entries for name in _list_names(entry)}


def find_excluded(entry: Entry, exclude: Collection[str]) -> str:
    """Return the excluded artist, creator, or folder of a work; "" if it has none."""
    return next((name for name in _list_names(entry) if name in exclude), "")


def _list_names(entry: Entry) -> Iterator[str]:
    yield entry.artist
    if entry.creator:
        yield entry.creator
    for part in entry.path.replace("\\", "/").split("/")[:-1]:
        if part not in ("", ".", ".."):
            yield part


def read_decisions(path: str) -> set[str]:
    """Read the keys of entries that were dropped in tools/review_faces.py's page.

    Raises:
        UserError: the file is missing or something else.
    """
    if not is_regular(path):
        raise UserError(f"--decisions={names.show(path)} is not a file")
    try:
        decisions = json.loads(pathlib.Path(path).read_text("utf-8"))
        if decisions["format"] != DECISIONS_FORMAT:
            raise ValueError
        return set(typed.convert(list[str], decisions["dropped"]))
    except OSError as error:
        raise UserError(f"--decisions={path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"--decisions={path} was not saved by the page of tools/review_faces.py"
        ) from None


def _is_file(path: str) -> bool:
    try:
        return pathlib.Path(path).is_file()
    except OSError:  # the name is too long
        return False


class _RowError(ValueError):
    """Reason and detail of a `Fault`."""


def _parse_row(row: int, values: Any, ignored: dict[str, int]) -> Entry:
    if isinstance(values, _RowError):
        raise values
    if not isinstance(values, Mapping):
        raise _RowError("no_object", f"must be an object, got {values!r:.80}")
    values = {_OTHER_SPELLINGS.get(key, key): value for key, value in values.items()}
    values = {k: v for k, v in values.items() if v is not None and v != ""}
    if _FILE_NAME in values and "path" not in values:
        values["path"] = values.pop(_FILE_NAME)
        # Other columns are common there: captions, labels.
        for key in [key for key in values if key not in _KEYS]:
            ignored.setdefault(str(key), row)
            del values[key]
    unknown = sorted(str(key) for key in values if key not in _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise _RowError("unknown_key", f"{', '.join(unknown)} is none of {known}")
    path = _read_text(values, "path")
    artist = _read_text(values, "artist") or pathlib.PurePosixPath(path).parent.name
    for name, value in (("path", path), ("artist", artist)):
        if not value:
            raise _RowError(f"no_{name}", f"{name} is missing")
    likelihood = values.get("likelihood")
    return Entry(
        row=row,
        path=path,
        artist=artist,
        face=_read_face(values),
        likelihood=None if likelihood is None else _read_number(likelihood),
        **{name: _read_text(values, name) for name in _TEXTS},
    )


def _read_owner(row: int, values: Any) -> Entry | None:
    """Read whose picture a faulty row names, if it tells."""
    if not isinstance(values, Mapping):
        return None
    owner = {}
    for key in ("path", _FILE_NAME, "artist", "creator"):
        with contextlib.suppress(_RowError):
            if values.get(key) is not None:
                owner[key] = _read_text(values, key)
    with contextlib.suppress(_RowError):
        return _parse_row(row, owner, {})
    return None


def _read_text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, "")
    if isinstance(value, bool | list | dict):
        raise _RowError(f"bad_{key}", f"{key} must be text, got {value!r:.80}")
    text = str(value)
    try:
        names.encode(text)
    except UnicodeEncodeError:
        raise _RowError(f"bad_{key}", f"{key} holds half a character") from None
    if "\0" in text:
        raise _RowError(f"bad_{key}", f"{key} holds a zero character")
    return text


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _RowError("bad_number", f"must be a number, got {value!r:.80}") from None


def _read_face(values: Mapping[str, Any]) -> Face | None:
    """Read box and angle; in CSV, the box is text, as in "[0, 0, 9, 9]"."""
    box, angle = values.get("box"), values.get("angle", 0)
    if box is None:
        if angle not in (0, "0"):
            raise _RowError("bad_box", "an angle needs a box")
        return None
    if isinstance(box, str):
        box = box.strip("[]() ").replace(",", " ").split()
    try:
        left, top, width, height = (_read_number(value) for value in box)
    except (TypeError, ValueError) as error:
        if isinstance(error, _RowError):
            raise
        raise _RowError(
            "bad_box", f"box must be [x, y, width, height], got {box!r:.80}"
        ) from None
    try:
        return Face(left, top, width, height, _read_number(angle))
    except ValueError as error:
        if isinstance(error, _RowError):
            raise
        raise _RowError("bad_box", str(error)) from None


def _read_json(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    """Read a list of objects, or lines of one object each."""
    with path.open("rb") as file:
        start = file.read(_BYTES_READ).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        with contextlib.suppress(ValueError, RecursionError):
            values = json.loads(path.read_text("utf-8-sig"))
            return enumerate(values, 1)
    return _read_json_lines(path)


def _read_json_lines(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    # Bytes: a line that is not UTF-8 is one faulty row, not the end of the file.
    with path.open("rb") as file:
        for row, line in enumerate(file, 1):
            if row == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                yield row, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield row, _RowError("no_json", str(error))


def _read_csv(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(_MOST_CHARACTERS)
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file, strict=True)
        while True:
            first = max(rows.line_num, 1) + 1  # behind the head
            try:
                values = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # What follows a quote that is not closed is lost in one cell.
                if rows.reader.line_num > first:
                    shown = names.show(str(path))
                    raise UserError(
                        f"--manifest={shown}, row {first}: a quote is not closed there"
                    ) from None
                yield first, _RowError("no_table", str(error))
                continue
            # More cells than columns have the key None.
            if None in values:
                yield first, _RowError("no_table", "has too many cells")
            else:
                yield first, values


def _read_parquet(path: pathlib.Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError:
        raise UserError(
            f"--manifest={path}: Parquet needs the package pyarrow: pip install"
            " '.[parquet]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            row = 0
            for batch in file.iter_batches():
                for values in batch.to_pylist():
                    row += 1
                    yield row, values
    except ArrowInvalid as error:
        raise UserError(f"--manifest={path} is no Parquet file: {error}") from None


_READERS: dict[str, Callable[[pathlib.Path], Iterator[tuple[int, Any]]]] = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
