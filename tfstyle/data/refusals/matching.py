"""Match the lines of lists with the names of folders."""

import collections
import csv
import operator
import os
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from tfstyle.core import names
from tfstyle.data.collections import walking
from tfstyle.data.collections.spellings import (
    LINE_BREAK,
    count_words,
    decode_variants,
    fold,
    is_named,
    reduce,
    simplify,
    spell_words,
    split_remarks,
)
from tfstyle.data.refusals.lists import Line, is_blank
from tfstyle.data.refusals.similarity import SimilarNames

_SIMILAR = 0.8  # likeness, of at most 1
_INSIDE = 0.75  # likeness of a name to a line that holds it, among other things
_REMARK_WORDS = 3  # beside a name, that no longer name also has
_MOST_WORDS = 200  # of a line, to find names in
_MAX_STEPS = 7  # of simplifying a line
_MAX_REPORTED = 5  # lines in an error, or that match nothing
_MAX_SIMILAR = 20  # lines in notes
_MAX_LENGTH = 5000  # characters; longer than any path
_MAX_PARTS = 20  # of a line, to suggest a name for


class Matcher:
    """Finds the folders that a text may mean.

    Args:
        folders: their names.
        input_dir: where they are; None for names of artists without folders.
        names_of_input: other names of `input_dir`.
        same: what each folder is, where several names are of one; without `input_dir`.
    """

    def __init__(
        self,
        folders: Iterable[str],
        input_dir: str | None,
        names_of_input: Iterable[str] = (),
        same: Mapping[str, str] | None = None,
    ) -> None:
        self._root = None if input_dir is None else os.path.realpath(input_dir)
        self._where = "artist of the manifest"
        self._root_names: set[str] = set()
        if input_dir is not None and self._root is not None:
            self._where = f"folder of {names.show(input_dir)}"
            self._root_names = {
                fold(pathlib.PurePath(path).name)
                for path in (
                    *(self._root, os.path.abspath(input_dir)),  # noqa: PTH100
                    *names_of_input,
                )
            }
        self._folders = sorted(folders)
        self._targets = {
            name: (same or {}).get(name, name)
            if self._root is None
            else os.path.realpath(f"{self._root}/{name}")
            for name in self._folders
        }
        self._by_target: dict[str, set[str]] = collections.defaultdict(set)
        for folder, target in self._targets.items():
            self._by_target[target].add(folder)
        self._by_key: dict[str, set[str]] = collections.defaultdict(set)
        self._by_words: dict[str, str] = {}
        for folder in self._folders:
            for reading in decode_variants(names.from_path(folder)):
                self._by_key[fold(reading)].add(folder)
                self._by_words.setdefault(spell_words(reading).strip(), folder)
        self._by_words.pop("", None)
        self._word_counts = {words.count(" ") + 1 for words in self._by_words}
        self._similar = SimilarNames([*map(names.from_path, self._folders)])

    def count_matched(self, lines: Sequence[Line]) -> float:
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

    def match_broken_lines(self, lines: Sequence[Line]) -> dict[int, str]:
        """Find folders with line breaks in their names, which `ls` writes as they are.

        Returns:
            The folder of each line that is part of such a name, by its index.
        """
        texts = [line.text.removeprefix("./").removesuffix("/") for line in lines]
        matches: dict[int, str] = {}
        for folder in self._folders:
            parts = [p for p in re.split(LINE_BREAK, folder) if not is_blank(p)]
            count = len(parts)
            if len(re.split(LINE_BREAK, folder)) > 1:
                for start in range(len(texts) - count + 1):
                    if texts[start : start + count] == parts:
                        matches |= dict.fromkeys(range(start, start + count), folder)
        return matches

    def describe_comments(self, lines: Sequence[Line]) -> list[str]:
        """Return notes on the comments that may mean a folder."""
        notes, others = [], []
        for line in lines:
            folders = self._match(line.text.lstrip().lstrip("#"))
            notes += [
                f"note: {line.place} is a comment, so '{names.show(folder)}' is not"
                f" left out (write \\{line.shown} if that is its name)"
                for folder in sorted(map(names.from_path, folders))
            ]
            if not folders:
                others.append(line)
        similar = [item for item in self._rank(others, _INSIDE) if item[1][0]]
        similar.sort(key=lambda item: -item[1][0])
        notes += [
            f"note: {line.place} is a comment: '{line.shown}'{_suggest(folder)}"
            for line, (_, folder) in similar[:_MAX_SIMILAR]
        ]
        if rest := len(similar[_MAX_SIMILAR:]):
            notes.append(f"note: {rest} more comments are less similar to folders")
        return notes

    def describe_allowed(self, lines: Sequence[Line]) -> list[str]:
        """Return notes on lines that match no folder, the most similar ones first."""
        ranked = self._rank(lines, _INSIDE)
        similar = [item for item in ranked if item[1][0]]
        others = [line for line, (score, _) in ranked if not score]
        similar.sort(key=lambda item: -item[1][0])
        notes = [
            f"note: {line.place}: '{line.shown}' matches no folder, so"
            f" '{names.show(names.from_path(folder))}' stays in; it is similar"
            for line, (_, folder) in similar[:_MAX_SIMILAR]
        ]
        if rest := len(similar) - len(notes):
            notes.append(f"note: {rest} more lines are less similar to folders")
        notes += [
            f"note: {line.place}: '{line.shown}' matches no folder"
            for line in others[:_MAX_REPORTED]
        ]
        if len(others) > _MAX_REPORTED:
            rest = len(others) - _MAX_REPORTED
            notes.append(f"note: {rest} more lines match no folder")
        return notes

    def has_remark(self, line: Line) -> bool:
        """Return whether a line is the name of a folder and a remark."""
        for text in decode_variants(line.text[:_MAX_LENGTH]):
            if any(
                spell_words(part).strip() in self._by_words
                for part in split_remarks(text)
            ):
                return True
            most = count_words(text) - _REMARK_WORDS
            for folder in self._find_inside(text):
                if count_words(names.from_path(folder)) <= most:
                    return True
        return False

    def list_keys(self, folders: set[str], unmatched: Sequence[Line]) -> frozenset[str]:
        """Return the keys of excluded folders, and of lines that match none."""
        texts = {
            text
            for folder in folders
            for text in decode_variants(names.from_path(folder))
        }
        for line in unmatched:
            if len(line.text) <= _MAX_LENGTH:
                texts.update(*self._simplify(line.text))
        return frozenset(map(fold, texts)) - {"", ".", ".."}

    def find_joint(self, keys: Collection[str]) -> set[str]:
        """Return the folders of several artists, one of whom has one of the keys."""
        return {
            folder
            for folder in self._folders
            if is_named(names.from_path(folder), keys)
        }

    def find_inner(self, lines: Sequence[Line]) -> set[Line]:
        """Return the lines that name a folder inside that of an artist."""
        if self._root is None or not lines:
            return set()
        inner: set[str] = set()
        for root, folders, _ in os.walk(self._root):
            if root != self._root:
                for folder in map(names.from_path, folders):
                    inner.update(map(fold, decode_variants(folder)))
        return {
            line
            for line in lines
            if len(line.text) <= _MAX_LENGTH
            and any(
                fold(reading) in inner
                for readings in self._simplify(line.text)
                for reading in readings
            )
        }

    def describe_unmatched(self, lines: Sequence[Line], allowed: bool) -> str:
        """Return the message for lines that match no folder.

        `allowed` says that other unmatched lines are.
        """
        texts = [
            f"{line.place}: '{line.shown}' matches no {self._where}{_suggest(folder)}"
            for line, (_, folder) in self._rank(lines[:_MAX_REPORTED])
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
        """Return notes on folders that resemble excluded ones or hold their names."""
        keys: dict[str, str] = {}
        for folder in sorted(excluded):
            keys.setdefault(reduce(names.from_path(folder)), names.from_path(folder))
        keys.pop("", None)
        resembling, holding = [], []
        for folder in self._folders if excluded else []:
            name = names.from_path(folder)
            if folder in excluded or walking.classify_folder(folder) is not None:
                continue
            start = f"note: '{names.show(name)}' stays in; it"
            if (key := reduce(name)) in keys:
                resembling.append(
                    f"{start} resembles '{names.show(keys[key])}', who is left out"
                )
            elif held := excluded.intersection(self._find_inside(name)):
                longest = names.from_path(max(held, key=len))
                holding.append(
                    f"{start} holds the name '{names.show(longest)}', which is left out"
                )
        notes = resembling + holding[:_MAX_SIMILAR]
        if rest := len(holding[_MAX_SIMILAR:]):
            notes.append(f"note: {rest} more names that stay in hold one left out")
        return notes

    def _find_inside(self, text: str) -> list[str]:
        """List the folders whose names are part of a text."""
        words = spell_words(text).split()[:_MOST_WORDS]
        parts = (
            " ".join(words[start : start + count])
            for count in self._word_counts
            for start in range(len(words) - count + 1)
        )
        return [self._by_words[part] for part in parts if part in self._by_words]

    def _rank(
        self, lines: Sequence[Line], least: float = 0
    ) -> list[tuple[Line, tuple[float, str]]]:
        """Find the nearest folder of each line.

        Args:
            lines: that match no folder.
            least: likeness; below it, the folder is "".

        Returns:
            Each line, with likeness and folder.
        """
        parts = [(line, part) for line in lines for part in _list_parts(line.text)]
        best = dict.fromkeys(lines, (0.0, ""))
        matches = self._similar.find([part for _, part in parts], least and _SIMILAR)
        for (line, _), (score, index) in zip(parts, matches, strict=True):
            if index is not None:
                match = (score, self._folders[index])
                best[line] = max(best[line], match, key=operator.itemgetter(0))
        for line in lines:
            for text in decode_variants(line.text[:_MAX_LENGTH]):
                if inside := self._find_inside(text):
                    held = max(inside, key=len)
                    match = (_INSIDE, held)
                    best[line] = max(best[line], match, key=operator.itemgetter(0))
        return [*best.items()]

    def _match(
        self, text: str, accept: Callable[[str], bool] = lambda _: True
    ) -> set[str]:
        """Return the folders that the least simplified reading of a text matches."""
        for readings in self._simplify(text):
            accepted = filter(accept, readings)
            folders = {name for r in accepted for name in self._by_key.get(fold(r), ())}
            if folders:
                return self._add_twins(folders)
        return set()

    def _simplify(self, text: str) -> Iterator[set[str]]:
        """Yield the readings of a text, and then simpler and simpler ones."""
        readings = set(decode_variants(text))
        seen = set(readings)
        for _ in range(_MAX_STEPS):
            if not readings:
                return
            yield readings
            readings = {
                simpler
                for reading in readings
                for simpler in (*simplify(reading), *self._strip_folder(reading))
            } - seen
            seen |= readings

    def _match_cells(self, text: str) -> set[str]:
        """Return the folders that all cells of a line mean; none if one has none."""
        for separator in set("\t;,").intersection(text):
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


def _list_parts(text: str) -> list[str]:
    """List the parts of a line that may be meant as a name."""
    stripped = text[:_MAX_LENGTH].strip().strip("\"'")
    parts = re.split(r"[/\\\t;,]", stripped)[-_MAX_PARTS:]
    return [*dict.fromkeys((stripped, *parts))]


def _suggest(folder: str) -> str:
    if not folder:
        return ""
    return f" (the nearest is '{names.show(names.from_path(folder))}')"
