r"""Lists of artists to leave out, as people and tools write them.

One name per line. A name is that of a folder, alone or as a path; case, spaces,
Unicode compositions and encodings may differ, and all folders that match are meant. A
line that starts with # is a comment, unless a folder has that name; `\#name` and
`./#name` are never comments. Quotes, bullets, a slash or comma at the end, ` # ..`
behind a name, and the escapes of `core.names` and of `ls` are understood. A line that
matches no folder is an error: a wrong guess would leave an artist in who asked not to
be.
"""

import collections
import csv
import dataclasses
import difflib
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.core.files import is_regular
from tfstyle.data.collections import walking
from tfstyle.data.collections.spellings import (
    LINE_BREAK,
    decode_list,
    decode_variants,
    fold,
    reduce,
    simplify,
    spell_words,
)

_STREAM = re.compile("/dev/(stdin|null|fd/[0-9]+)")  # of shells: <(..)
_INSIDE = 0.75  # likeness of a name to a line that holds it, among other things
_MAX_STEPS = 7  # of simplifying a line
_MAX_REPORTED = 5  # lines in an error
_MAX_LENGTH = 5000  # characters; longer than any path
_MAX_PARTS = 20  # of a line, to suggest a name for
_MAX_SHOWN = 100  # characters of a line


@dataclasses.dataclass(frozen=True)
class Exclusions:
    """Folders to leave out, and what to tell about the lists.

    Attributes:
        folders: the names of the folders.
        notes: lines about comments that name folders, and similar folders that stay.
    """

    folders: frozenset[str]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of a list."""

    path: str
    number: int
    text: str

    @property
    def shown(self) -> str:
        """The text, cut to a length that is read at once."""
        text = names.show(self.text.strip())
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}.."

    @property
    def place(self) -> str:
        return f"{names.show(self.path)}, line {self.number}"


def read_exclusions(
    paths: Sequence[str], input_dir: str, allow_unmatched: bool = False
) -> Exclusions:
    """Find the folders that lists of artists name.

    Args:
        paths: the lists.
        input_dir: the folder that holds one folder per artist.
        allow_unmatched: whether a line that matches no folder, not even nearly, is a
            note rather than an error.

    Raises:
        UserError: a list cannot be read or is empty, or a line matches no folder; with
            the line and the nearest name.
    """
    if not paths:
        return Exclusions(frozenset(), ())
    root = pathlib.Path(os.path.realpath(input_dir))
    folders = [path.name for path in root.iterdir() if path.is_dir()]
    return _read(paths, _Matcher(folders, input_dir), allow_unmatched)


def exclude_names(
    paths: Sequence[str], artists: Iterable[str], allow_unmatched: bool = False
) -> Exclusions:
    """Find the artists that lists name, among those of a manifest.

    As `read_exclusions`, with names of artists instead of folders.
    """
    if not paths:
        return Exclusions(frozenset(), ())
    return _read(paths, _Matcher([*map(names.to_path, artists)], None), allow_unmatched)


def _read(
    paths: Sequence[str], matcher: "_Matcher", allow_unmatched: bool
) -> Exclusions:
    excluded: set[str] = set()
    notes: list[str] = []
    unmatched: list[_Line] = []
    for path in paths:
        lines = max(_list_readings(path), key=matcher.count_matched, default=[])
        if not lines:
            raise UserError(
                f"--exclude_artists={names.show(path)} names nobody: write the name of"
                " a folder on each line"
            )
        broken = matcher.match_broken_lines(lines)
        excluded |= set(broken.values())
        for number, line in enumerate(lines):
            folders = matcher.match_line(line.text)
            excluded |= folders
            if not folders and line.text.lstrip().startswith("#"):
                notes += matcher.describe_comment(line)
            elif not folders and number not in broken:
                unmatched.append(line)
    if not excluded and not unmatched:
        shown = ", ".join(map(names.show, paths))
        notes.append(f"note: {shown}: all lines are comments, so nobody is left out")
    refused = [
        line for line in unmatched if not allow_unmatched or matcher.is_near(line)
    ]
    if refused:
        raise UserError(matcher.describe_unmatched(refused, allow_unmatched))
    notes += [
        f"note: {line.place}: '{line.shown}' matches no folder" for line in unmatched
    ]
    notes += matcher.describe_similar(excluded)
    return Exclusions(frozenset(excluded), tuple(notes))


class _Matcher:
    """Finds the folders that a text may mean.

    Args:
        folders: their names.
        input_dir: where they are; None for names of artists without folders.
    """

    def __init__(self, folders: Iterable[str], input_dir: str | None) -> None:
        self._root = None if input_dir is None else os.path.realpath(input_dir)
        self._where = "artist of the manifest"
        self._root_names: set[str] = set()
        if input_dir is not None and self._root is not None:
            self._where = f"folder of {names.show(input_dir)}"
            self._root_names = {
                fold(pathlib.PurePath(path).name)
                for path in (self._root, os.path.abspath(input_dir))  # noqa: PTH100
            }
        self._folders = sorted(folders)
        self._targets = {
            name: name
            if self._root is None
            else os.path.realpath(f"{self._root}/{name}")
            for name in self._folders
        }
        self._by_target: dict[str, set[str]] = collections.defaultdict(set)
        for folder, target in self._targets.items():
            self._by_target[target].add(folder)
        self._reduced = {reduce(names.from_path(name)) for name in self._folders}
        self._by_key: dict[str, set[str]] = collections.defaultdict(set)
        self._spelled: list[tuple[str, str]] = []
        for folder in self._folders:
            for reading in decode_variants(names.from_path(folder)):
                self._by_key[fold(reading)].add(folder)
                self._spelled.append((spell_words(reading), folder))

    def count_matched(self, lines: Sequence[_Line]) -> float:
        """Return the share of lines that mean a folder."""
        return sum(bool(self.match_line(line.text)) for line in lines) / len(lines)

    def match_line(self, text: str) -> set[str]:
        """Return the folders that a line means; none for a comment."""
        if len(text) > _MAX_LENGTH:
            return set()
        if text.lstrip().startswith("#"):
            return self._match(text, lambda reading: reading.startswith("#"))
        folders = self._match(text)
        return folders or self._match_cells(text)

    def match_broken_lines(self, lines: Sequence[_Line]) -> dict[int, str]:
        """Find folders with line breaks in their names, which `ls` writes as they are.

        Returns:
            The folder of each line that is part of such a name, by its index.
        """
        texts = [line.text.removeprefix("./").removesuffix("/") for line in lines]
        matches: dict[int, str] = {}
        for folder in self._folders:
            parts = [p for p in re.split(LINE_BREAK, folder) if not _is_blank(p)]
            count = len(parts)
            if len(re.split(LINE_BREAK, folder)) > 1:
                for start in range(len(texts) - count + 1):
                    if texts[start : start + count] == parts:
                        matches |= dict.fromkeys(range(start, start + count), folder)
        return matches

    def describe_comment(self, line: _Line) -> list[str]:
        """Return a note on a comment that may mean a folder, else nothing."""
        folders = self._match(line.text.lstrip().lstrip("#"))
        if not folders and self.is_near(line):
            return [
                f"note: {line.place} is a comment: '{line.shown}'{self._suggest(line)}"
            ]
        return [
            f"note: {line.place} is a comment, so '{names.show(folder)}' is not left"
            f" out (write \\{line.shown} if that is its name)"
            for folder in sorted(map(names.from_path, folders))
        ]

    def is_near(self, line: _Line) -> bool:
        """Return whether a line holds the name of a folder, or nearly is one."""
        return bool(self._find_inside(line)) or any(
            difflib.get_close_matches(form(part), known, n=1, cutoff=0.8)
            for form, known in ((reduce, self._reduced), (fold, self._by_key))
            for part in _list_parts(line.text)
            if form(part)
        )

    def describe_unmatched(self, lines: Sequence[_Line], allowed: bool) -> str:
        """Return the message for lines that match no folder.

        `allowed` says that other unmatched lines are.
        """
        texts = [
            f"{line.place}: '{line.shown}' matches no {self._where}"
            f"{self._suggest(line)}"
            for line in lines[:_MAX_REPORTED]
        ]
        rest = len(lines) - len(texts)
        return "; ".join(
            [
                f"--exclude_artists={texts[0]}",
                *texts[1:],
                *([f"and {rest} more lines"] if rest else []),
                "write the name of a folder on each line"
                + (", and nothing else" if allowed else ", or add")
                + " --allow_unmatched_exclusions" * (not allowed),
            ]
        )

    def describe_similar(self, excluded: set[str]) -> list[str]:
        """Return notes on folders that resemble excluded ones but do not match them."""
        keys: dict[str, str] = {}
        for folder in sorted(excluded):
            keys.setdefault(reduce(names.from_path(folder)), names.from_path(folder))
        keys.pop("", None)
        return [
            f"note: '{names.show(names.from_path(folder))}' stays in; it resembles"
            f" '{names.show(keys[key])}', who is left out"
            for folder in self._folders
            if folder not in excluded
            and walking.classify_folder(folder) is None
            and (key := reduce(names.from_path(folder))) in keys
        ]

    def _find_inside(self, line: _Line) -> list[str]:
        """List the folders whose names are part of a line."""
        texts = [spell_words(t) for t in decode_variants(line.text[:_MAX_LENGTH])]
        return [
            folder
            for words, folder in self._spelled
            if words.strip() and any(words in text for text in texts)
        ]

    def _suggest(self, line: _Line) -> str:
        known = {fold(names.from_path(name)): name for name in self._folders[::-1]}
        ranked = [
            (difflib.SequenceMatcher(None, part, key).ratio(), name)
            for part in {fold(part) for part in _list_parts(line.text)} - {""}
            for key, name in known.items()
        ]
        if inside := self._find_inside(line):
            ranked.append((_INSIDE, max(inside, key=len)))
        if not ranked:
            return ""
        return f" (the nearest is '{names.show(names.from_path(max(ranked)[1]))}')"

    def _match(
        self, text: str, accept: Callable[[str], bool] = lambda _: True
    ) -> set[str]:
        """Return the folders that the least simplified reading of a text matches."""
        readings = set(decode_variants(text))
        seen = set(readings)
        for _ in range(_MAX_STEPS):
            accepted = filter(accept, readings)
            folders = {name for r in accepted for name in self._by_key.get(fold(r), ())}
            if folders:
                return self._add_twins(folders)
            readings = {
                simpler
                for reading in readings
                for simpler in (*simplify(reading), *self._strip_folder(reading))
            } - seen
            seen |= readings
        return set()

    def _match_cells(self, text: str) -> set[str]:
        """Return the folders that all cells of a line mean; none if one has none."""
        for separator in "\t;,":
            try:
                cells = next(csv.reader([text], delimiter=separator))
            except csv.Error:  # a line break in a cell
                continue
            matches = [self._match(cell) for cell in cells if cell.strip()]
            if len(matches) > 1 and all(matches):
                return set().union(*matches)
        return set()

    def _add_twins(self, folders: set[str]) -> set[str]:
        """Add folders of the same name, and links to the same folder."""
        keys = {
            fold(reading)
            for folder in folders
            for reading in decode_variants(names.from_path(folder))
        }
        twins = folders.union(*(self._by_key.get(key, set()) for key in keys))
        return twins.union(*(self._by_target[self._targets[name]] for name in twins))

    def _strip_folder(self, text: str) -> Iterator[str]:
        """Yield the last part of a path, if the path leads into the input folder."""
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if len(parts) < 2:
            yield from parts
            return
        *parents, last = parts
        parent = os.path.expanduser(text.rstrip("/").rpartition("/")[0])  # noqa: PTH111
        if "\0" not in text and os.path.realpath(parent or "/") == self._root:
            yield last
        elif fold(parents[-1]) in self._by_key:
            return  # a folder or picture of an artist
        elif text.startswith(("/", "~", "..")) or re.match("[a-zA-Z]:", text):
            yield last  # of another system or an older place
        elif fold(parents[-1]) in self._root_names:
            yield last


def _list_readings(path: str) -> list[list[_Line]]:
    """Return the lines of a list; several times if its encoding is not certain."""
    shown = names.show(path)
    if not path:
        raise UserError("--exclude_artists is empty: pass a file")
    if not is_regular(path) and not _STREAM.fullmatch(path):
        raise UserError(f"--exclude_artists={shown} is not a file")
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"--exclude_artists={shown}: {error.strerror} (it must be a text file with"
            " a name on each line)"
        ) from None
    readings = [
        [
            _Line(path, number, text)
            for number, text in enumerate(texts, 1)
            if not _is_blank(text)
        ]
        for texts in decode_list(data)
    ]
    return [lines for lines in readings if lines]


def _is_blank(text: str) -> bool:
    return not text.strip("\ufeff \t\u3000")


def _list_parts(text: str) -> list[str]:
    """List the parts of a line that may be meant as a name."""
    stripped = text[:_MAX_LENGTH].strip().strip("\"'")
    return [stripped, *re.split(r"[/\\\t;,]", stripped)[-_MAX_PARTS:]]
