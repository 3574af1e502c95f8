r"""Lists of artists to leave out, as people and tools write them.

One name per line. A name is that of a folder, alone or as a path; case, spaces,
Unicode compositions and encodings may differ, and all folders that match are meant. A
line that starts with # is a comment, unless a folder has that name; `\#name` and
`./#name` are never comments. Quotes, bullets, a slash or comma at the end, ` # ..`
behind a name, and the escapes of `core.names` and of `ls` are understood. A line that
matches no folder is an error: a wrong guess would leave an artist in who asked not to
be. In a list for several collections, most lines match none. There, an error is only a
line that means a folder beyond doubt: its words and a remark, apart by punctuation, a
date, or many words.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from absl import flags

from tfstyle.core import cli, names
from tfstyle.core.cli import UserError
from tfstyle.data.refusals.lists import Line, read_list
from tfstyle.data.refusals.matching import Matcher

# So that --help lists flags defined by a function of this module as the tool's.
flags.disclaim_key_flags()


@dataclasses.dataclass(frozen=True)
class Exclusions:
    """Folders to leave out, and what to tell about the lists.

    Attributes:
        folders: the names of the folders.
        notes: lines about comments that name folders, and similar folders that stay.
        keys: of `spellings.fold`; a folder inside another artist's is left out if its
            name has one of them. Lines that match no folder have keys, too.
    """

    folders: frozenset[str]
    notes: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """The folders' names as text, as a manifest spells its artists."""
        return frozenset(map(names.from_path, self.folders))


def define_flags() -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """Define --exclude_artists and --allow_unmatched_exclusions for a tool."""
    lists = cli.define_paths(
        "exclude_artists",
        None,
        "File of artists to leave out, one per line, by the rules of"
        " tools/make_tfrecords.py.",
    )
    allow = flags.DEFINE_bool(
        "allow_unmatched_exclusions",
        False,
        "Accept lines of --exclude_artists that match no artist.",
    )
    return lists, allow


def read_exclusions(
    paths: Sequence[str],
    input_dir: str,
    allow_unmatched: bool = False,
    names_of_input: Iterable[str] = (),
) -> Exclusions:
    """Find the folders that lists of artists name.

    Args:
        paths: the lists.
        input_dir: the folder that holds one folder per artist.
        allow_unmatched: whether a line that matches no folder is a note rather than an
            error, unless it is the name of a folder with a remark.
        names_of_input: other names of the input folder, that paths in lists may have.

    Raises:
        UserError: a list cannot be read or is empty, or a line matches no folder; with
            the line and the nearest name.
    """
    if not paths:
        return Exclusions(frozenset())
    root = pathlib.Path(os.path.realpath(input_dir))
    folders = [path.name for path in root.iterdir() if path.is_dir()]
    matcher = Matcher(folders, input_dir, names_of_input)
    return _read(paths, matcher, allow_unmatched)


def exclude_names(
    paths: Sequence[str],
    artists: Iterable[str],
    allow_unmatched: bool = False,
    same: Mapping[str, str] | None = None,
) -> Exclusions:
    """Find the artists that lists name, among those of a manifest.

    As `read_exclusions`, with names of artists instead of folders. `same` tells which
    names are of one artist: those with equal values.
    """
    if not paths:
        return Exclusions(frozenset())
    matcher = Matcher([*map(names.to_path, artists)], None, same=same)
    return _read(paths, matcher, allow_unmatched)


def _read(
    paths: Sequence[str], matcher: "Matcher", allow_unmatched: bool
) -> Exclusions:
    excluded: set[str] = set()
    notes: list[str] = []
    comments: list[Line] = []
    unmatched: list[Line] = []
    for path in paths:
        readings = read_list(path)
        if not readings:
            raise UserError(
                f"--exclude_artists={names.show(path)} names nobody: write the name of"
                " a folder on each line"
            )
        lines = readings[0]
        if len(readings) > 1:  # matching takes a while
            lines = max(readings, key=matcher.count_matched)
        broken = matcher.match_broken_lines(lines)
        excluded |= set(broken.values())
        for number, line in enumerate(lines):
            folders = matcher.match_line(line.text)
            excluded |= folders
            if not folders and line.text.lstrip().startswith("#"):
                comments.append(line)
            elif not folders and number not in broken:
                unmatched.append(line)
    if not excluded and not unmatched:
        shown = ", ".join(map(names.show, paths))
        notes.append(f"note: {shown}: all lines are comments, so nobody is left out")
    keys = matcher.list_keys(excluded, unmatched)
    joint = matcher.find_joint(keys) - excluded
    excluded |= joint
    inner = matcher.find_inner(unmatched)
    unmatched = [line for line in unmatched if line not in inner]
    refused = [
        line for line in unmatched if not allow_unmatched or matcher.has_remark(line)
    ]
    if refused:
        raise UserError(matcher.describe_unmatched(refused, allow_unmatched))
    notes += matcher.describe_comments(comments)
    notes += matcher.describe_allowed(unmatched)
    notes += [
        f"note: '{names.show(names.from_path(folder))}' is left out, too: one of these"
        " artists is"
        for folder in sorted(joint)
    ]
    notes += matcher.describe_similar(excluded)
    return Exclusions(frozenset(excluded), tuple(notes), keys)
