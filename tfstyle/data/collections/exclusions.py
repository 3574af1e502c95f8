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
import html
import json
import os
import pathlib
import re
import shlex
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import walking
from tfstyle.data.collections.spellings import decode_variants, fold, reduce

_QUOTES = ('""', "''", "``", "“”", "„“", "‘’", "«»", "‹›", "「」", "『』", "<>")
_BULLET = re.compile(r"(?:[-*+•‣·–—>]|\d+[.)]|\[[ xX]\]|[│├└─|`\s-]*[─-])\s+")
_ANSI_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)  # of bash and ls
_COMMENT_BEHIND = re.compile(r"\s+#\s.*$")
_MAX_STEPS = 7  # of simplifying a line
_MAX_REPORTED = 5  # lines in an error
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
        lines = _read_lines(path)
        if not lines:
            raise UserError(
                f"--exclude_artists={names.show(path)} names nobody: write the name of"
                " a folder on each line"
            )
        for line in lines:
            folders = matcher.match_line(line.text)
            excluded |= folders
            if not folders and line.text.lstrip().startswith("#"):
                notes += matcher.describe_comment(line)
            elif not folders:
                unmatched.append(line)
    if not excluded and not unmatched:
        shown = ", ".join(map(names.show, paths))
        notes.append(f"note: {shown}: all lines are comments, so nobody is left out")
    refused = [
        line for line in unmatched if not allow_unmatched or matcher.is_near(line)
    ]
    if refused:
        raise UserError(matcher.describe_unmatched(refused))
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
        self._by_key: dict[str, set[str]] = collections.defaultdict(set)
        for folder in self._folders:
            for reading in decode_variants(names.from_path(folder)):
                self._by_key[fold(reading)].add(folder)

    def match_line(self, text: str) -> set[str]:
        """Return the folders that a line means; none for a comment."""
        if text.lstrip().startswith("#"):
            return self._match(text, lambda reading: reading.startswith("#"))
        folders = self._match(text)
        return folders or self._match_cells(text)

    def describe_comment(self, line: _Line) -> list[str]:
        """Return a note on a comment that names a folder, else nothing."""
        folders = self._match(line.text.lstrip().lstrip("#"))
        return [
            f"note: {line.place} is a comment, so '{names.show(folder)}' is not left"
            f" out (write \\{line.shown} if that is its name)"
            for folder in sorted(map(names.from_path, folders))
        ]

    def is_near(self, line: _Line) -> bool:
        """Return whether a line differs little from the name of a folder."""
        return any(
            difflib.SequenceMatcher(None, key, known).ratio() > 0.8
            for key in {reduce(part) for part in _list_parts(line.text)} - {""}
            for known in {reduce(names.from_path(name)) for name in self._folders}
        )

    def describe_unmatched(self, lines: Sequence[_Line]) -> str:
        """Return the message for lines that match no folder."""
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
                "write the name of a folder on each line, or add"
                " --allow_unmatched_exclusions",
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

    def _suggest(self, line: _Line) -> str:
        known = {fold(names.from_path(name)): name for name in self._folders[::-1]}
        ranked = [
            (difflib.SequenceMatcher(None, part, key).ratio(), name)
            for part in {fold(part) for part in _list_parts(line.text)} - {""}
            for key, name in known.items()
        ]
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
                for simpler in (*_simplify(reading), *self._strip_folder(reading))
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
        if self._root is None:
            return twins
        real = {os.path.realpath(pathlib.Path(self._root, name)) for name in twins}
        return twins | {
            name
            for name in self._folders
            if os.path.realpath(pathlib.Path(self._root, name)) in real
        }

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


def _read_lines(path: str) -> list[_Line]:
    shown = names.show(path)
    if not path:
        raise UserError("--exclude_artists is empty: pass a file")
    if not walking.is_regular(path) and not path.startswith("/dev/"):
        raise UserError(f"--exclude_artists={shown} is not a file")
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"--exclude_artists={shown}: {error.strerror} (it must be a text file with"
            " a name on each line)"
        ) from None
    return [
        _Line(path, number, text)
        for number, text in enumerate(_split_lines(data), 1)
        if text.strip("\ufeff \t\u3000")
    ]


def _split_lines(data: bytes) -> list[str]:
    """Decode a list: UTF-8, UTF-16 or UTF-32, JSON, or names that end in zero bytes.

    Bytes that are not UTF-8 become surrogates; `decode_variants` reads them.
    """
    for mark, encoding in (
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            text = data.decode(encoding, "replace")
            break
    else:
        zeros = [data[start::2].count(0) for start in (0, 1)]
        if max(zeros) > len(data) / 8 and not min(zeros):
            text = data.decode("utf-16-le" if zeros[1] else "utf-16-be", "replace")
        elif any(zeros):  # of find -print0: names may hold line breaks
            return names.decode(data).split("\0")
        else:
            text = names.decode(data.removeprefix(b"\xef\xbb\xbf"))
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except ValueError:
            entries = None
        if isinstance(entries, list) and all(isinstance(e, str) for e in entries):
            return [str(entry) for entry in entries]
    return re.split(r"\r\n|[\r\n]", text)


def _simplify(text: str) -> Iterator[str]:
    """Yield readings of a text without one of its decorations."""
    yield text.strip()
    yield text.rstrip("/")
    yield text.rstrip(",;")
    yield _COMMENT_BEHIND.sub("", text)
    yield _BULLET.sub("", text, count=1) if _BULLET.match(text) else text
    if text.endswith(("@", "/@")):  # of ls -F, for links
        yield text[:-1]
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        yield text[1:-1]
        yield text[1:-1].replace(text[-1] * 2, text[-1])  # of CSV
    if "'" in text or '"' in text or "\\" in text:
        plain = _ANSI_QUOTED.sub(lambda m: shlex.quote(names.read(m[1])), text)
        try:
            words = shlex.split(plain)
        except ValueError:
            words = []
        if len(words) == 1:
            yield words[0]
    if "\\" in text:
        yield names.read(text)
        if not re.search(r"\\\s", text):  # an escaped space is no path of Windows
            yield text.replace("\\", "/").rstrip("/")
    if text.startswith("file:"):
        yield urllib.parse.unquote(text[5:], errors="surrogateescape")
    if "%" in text:
        yield urllib.parse.unquote(text, errors="surrogateescape")
    if "&" in text:
        yield html.unescape(text)


def _list_parts(text: str) -> list[str]:
    """List the parts of a line that may be meant as a name."""
    stripped = text.strip().strip("\"'")
    return [stripped, *re.split(r"[/\\\t;,]", stripped)]
