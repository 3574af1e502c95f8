"""Manifests: works listed in a file, with artist, face, variants, content, and rights.

A manifest is JSON lines, a JSON list, CSV, or Parquet. Each row names a picture by
`path` and its `artist`. `metadata.jsonl` and `metadata.csv` of Hugging Face's
imagefolder, which name it by `file_name`, are read too. Faulty rows are listed, and
never end a command.
"""

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from tfstyle.core import names, typed
from tfstyle.core.cli import UserError
from tfstyle.core.files import is_regular
from tfstyle.data.catalogs.tables import FILE_NAME, READERS, RowError
from tfstyle.data.collections.sources import COPIED, EXCLUDED, Source, find_copies
from tfstyle.data.collections.walking import SkippedFile
from tfstyle.data.pictures.faces import Face

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_TEXTS = ("group", "content", "licence", "creator")
_KEYS = frozenset({"path", "artist", "box", "angle", "likelihood", *_TEXTS})
_OTHER_SPELLINGS = {"license": "licence"}
DECISIONS_FORMAT = 1
_MOST_FAULTS_SHOWN = 10  # of a reason


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
        linked_folders: where links in the path lead to, see `follow_links`.
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
    linked_folders: tuple[str, ...] = dataclasses.field(default=(), compare=False)

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
    reader = READERS.get(file.suffix.lower())
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
            except RowError as error:
                reason, detail = error.args
                faults.append(Fault(row, reason, detail, _read_owner(row, values)))
    except OSError as error:
        raise UserError(f"--manifest={path}: {error.strerror or error}") from None
    return entries, faults, ignored


def describe_faults(path: str, faults: Iterable[Fault]) -> list[str]:
    """Return a line for each faulty row, and a count of all but a few for a reason."""
    shown = names.show(path)
    by_reason: dict[str, list[Fault]] = collections.defaultdict(list)
    for fault in faults:
        by_reason[fault.reason].append(fault)
    lines = []
    for reason, members in by_reason.items():
        lines += [
            f"{shown}, row {fault.row}: {reason}, {names.show(fault.detail)}"
            for fault in members[:_MOST_FAULTS_SHOWN]
        ]
        left = len(members) - _MOST_FAULTS_SHOWN
        if left > 0:
            lines.append(f"{shown}: {reason} in {left} more rows")
    return lines


def list_sources(
    entries: Iterable[Entry],
    input_dir: str,
    exclude: Collection[str] = (),
    dropped: Collection[str] = (),
) -> tuple[list[Source], list[SkippedFile]]:
    """List the works of a manifest.

    Works of one file, such as its faces, have the same path in any spelling, so that
    they stay in one split.

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
    taken = {entry.path for entry in entries}
    first_paths: dict[tuple[int, int], str] = {}
    for entry in entries:
        counts[entry.path] += 1
        number = counts[entry.path]
        name = entry.path if number == 1 else f"{entry.path}#{number}"
        while number > 1 and name in taken:  # a file of that name is listed, too
            name += "#"
        path = os.path.join(input_dir, names.to_path(entry.path))  # noqa: PTH118
        file = _identify(path)
        if find_excluded(entry, exclude):
            skipped.append((name, EXCLUDED))
            excluded_files.append(path)
        elif entry.key in dropped:
            skipped.append((name, "dropped_in_review"))
        elif file is None:
            skipped.append((name, "missing_file"))
        else:
            sources.append(
                Source(
                    path=first_paths.setdefault(file, path),
                    artist=entry.artist,
                    name=name,
                    group=entry.group,
                    face=entry.face,
                    content=entry.content,
                    licence=entry.licence,
                    creator=entry.creator,
                )
            )
    copies = find_copies(sources, excluded_files)
    skipped += [(source.name, COPIED) for source in copies]
    return [source for source in sources if source not in copies], skipped


def follow_links(entries: Iterable[Entry], input_dir: str) -> list[Entry]:
    """Return entries with the folders that links in their paths lead to.

    These are folders below `input_dir`, or else the one that holds the picture.
    """
    root = os.path.realpath(input_dir)
    real_folders: dict[str, tuple[str, ...]] = {}
    followed = []
    for entry in entries:
        path = os.path.join(root, names.to_path(entry.path))  # noqa: PTH118
        if os.path.islink(path):  # noqa: PTH114 (half the time of pathlib)
            path = os.path.realpath(path)
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in real_folders:
            real_folders[folder] = _list_real_folders(folder, root)
        shown = real_folders[folder]
        if not set(shown).issubset(_split_folders(entry.path)):
            entry = dataclasses.replace(entry, linked_folders=shown)
        followed.append(entry)
    return followed


def _list_real_folders(folder: str, root: str) -> tuple[str, ...]:
    """Return the real names of a folder below `root`, else the last of its names."""
    real = pathlib.PurePath(os.path.realpath(folder))
    inside = real.is_relative_to(root)
    parts = real.relative_to(root).parts if inside else real.parts[-1:]
    return tuple(map(names.from_path, parts))


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
    yield from _split_folders(entry.path)
    yield from entry.linked_folders


def _split_folders(path: str) -> list[str]:
    parts = path.replace("\\", "/").split("/")[:-1]
    return [part for part in parts if part not in ("", ".", "..")]


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


def _identify(path: str) -> tuple[int, int] | None:
    """Return what a file has in common with all its paths; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 (half the time of pathlib)
    except OSError:  # or the name is too long
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _parse_row(row: int, values: Any, ignored: dict[str, int]) -> Entry:
    if isinstance(values, RowError):
        raise values
    if not isinstance(values, Mapping):
        raise RowError("no_object", f"must be an object, got {values!r:.80}")
    values = {_OTHER_SPELLINGS.get(key, key): value for key, value in values.items()}
    values = {k: v for k, v in values.items() if not _is_missing(v)}
    if FILE_NAME in values and "path" not in values:
        values["path"] = values.pop(FILE_NAME)
        # Other columns are common there: captions, labels.
        for key in [key for key in values if key not in _KEYS]:
            ignored.setdefault(str(key), row)
            del values[key]
    unknown = sorted(str(key) for key in values if key not in _KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS))
        raise RowError("unknown_key", f"{', '.join(unknown)} is none of {known}")
    path = _read_text(values, "path")
    artist = _read_text(values, "artist") or pathlib.PurePosixPath(path).parent.name
    for name, value in (("path", path), ("artist", artist)):
        if not value:
            raise RowError(f"no_{name}", f"{name} is missing")
    likelihood = values.get("likelihood")
    texts: dict[str, Any] = {name: _read_text(values, name) for name in _TEXTS}
    return Entry(
        row=row,
        path=path,
        artist=artist,
        face=_read_face(values),
        likelihood=None if likelihood is None else _read_number(likelihood),
        **texts,
    )


def _is_missing(value: Any) -> bool:
    """Return whether a value is what programs write for none; pandas writes NaN."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def _read_owner(row: int, values: Any) -> Entry | None:
    """Read whose picture a faulty row names, if it tells."""
    if not isinstance(values, Mapping):
        return None
    owner = {}
    for key in ("path", FILE_NAME, "artist", "creator"):
        with contextlib.suppress(RowError):
            if not _is_missing(values.get(key)):
                owner[key] = _read_text(values, key)
    with contextlib.suppress(RowError):
        return _parse_row(row, owner, {})
    return None


def _read_text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, "")
    if isinstance(value, bool | list | dict):
        raise RowError(f"bad_{key}", f"{key} must be text, got {value!r:.80}")
    text = str(value)
    try:
        names.encode(text)
    except UnicodeEncodeError:
        raise RowError(f"bad_{key}", f"{key} holds half a character") from None
    if "\0" in text:
        raise RowError(f"bad_{key}", f"{key} holds a zero character")
    return text


def _read_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise RowError("bad_number", f"must be a number, got {value!r:.80}") from None


def _read_face(values: Mapping[str, Any]) -> Face | None:
    """Read box and angle; in CSV, the box is text, as in "[0, 0, 9, 9]"."""
    box, angle = values.get("box"), values.get("angle", 0)
    if box is None:
        if _read_number(angle):
            raise RowError("bad_box", "an angle needs a box")
        return None
    if isinstance(box, str):
        box = box.strip("[]() ").replace(",", " ").split()
    try:
        left, top, width, height = (_read_number(value) for value in box)
    except (TypeError, ValueError) as error:
        if isinstance(error, RowError):
            raise
        raise RowError(
            "bad_box", f"box must be [x, y, width, height], got {box!r:.80}"
        ) from None
    try:
        return Face(left, top, width, height, _read_number(angle))
    except ValueError as error:
        if isinstance(error, RowError):
            raise
        raise RowError("bad_box", str(error)) from None
