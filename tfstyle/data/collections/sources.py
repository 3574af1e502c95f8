"""Source pictures: files found in folders, one folder per artist.

Nothing here opens a picture; files count by name and suffix only.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import shlex
from collections.abc import Collection, Iterable, Sequence

from tfstyle.core.cli import UserError
from tfstyle.data import pictures

SkippedFile = tuple[str, str]  # name and reason

_NESTED_FRACTION = 0.9  # of the artist folders, to suspect another layout


@dataclasses.dataclass(frozen=True)
class Source:
    """A picture file that may become an example.

    Attributes:
        path: where the file is.
        artist: the artist's name.
        name: the file's name in the records: its path below the input folder.
        group: pictures of an artist with the same non-empty group (variants of one
            work) stay on the same side of the train/test split.
    """

    path: str
    artist: str
    name: str
    group: str = ""


def scan_artist_folders(
    input_dir: str, exclude: Collection[str] = ()
) -> tuple[list[Source], list[SkippedFile]]:
    """List the pictures of a folder that holds one folder per artist.

    Files beside the artist folders and hidden files are ignored. Folders inside an
    artist's folder are searched too. The artists in `exclude` are skipped.

    Returns:
        The pictures, sorted by name; and the skipped files.

    Raises:
        UserError: the folder is missing or has no artist folders, or these hold no
            pictures.
    """
    root = pathlib.Path(input_dir)
    if not root.is_dir():
        raise UserError(f"--input_dir={input_dir} is not a folder")
    entries = _list_visible(root)
    artists = sorted(entry.name for entry in entries if entry.is_dir())
    if not artists:
        loose = sum(is_picture(entry.name) for entry in entries)
        content = f"{loose} pictures but no folders" if loose else "no folders"
        raise UserError(
            f"{input_dir} holds {content}: put the pictures of each artist in a folder,"
            f" as in {root / 'ARTIST' / 'picture.png'}"
        )
    sources, skipped = [], []
    for artist in artists:
        for path in walk(root / artist):
            name = os.path.relpath(path, input_dir).replace(os.sep, "/")
            if artist in exclude:
                skipped.append((name, "excluded_artist"))
            elif not is_picture(path):
                skipped.append((name, "not_a_picture"))
            else:
                sources.append(Source(path, artist, name))
    if not sources:
        raise UserError(
            f"the artist folders of {input_dir} hold no pictures"
            f" ({len(skipped)} other or excluded files)"
        )
    return sources, skipped


def describe_nesting(input_dir: str, sources: Iterable[Source]) -> str | None:
    """Return a note if the folders look like GROUP/ARTIST/picture.png, else None.

    They do if nearly all artist folders of `input_dir` hold several folders of pictures
    and no pictures beside them.
    """
    subfolders: dict[str, set[str]] = collections.defaultdict(set)
    for source in sources:
        folder, slash, _ = source.name.partition("/")[2].partition("/")
        subfolders[source.artist].add(folder if slash else "")
    nested = [
        names for names in subfolders.values() if len(names) > 1 and "" not in names
    ]
    if len(nested) < _NESTED_FRACTION * len(subfolders):
        return None
    return (
        f"note: {len(nested)} of the {len(subfolders)} folders of {input_dir} hold all"
        f" their pictures in subfolders, {sum(map(len, nested))} in total. Each outer"
        " folder counts as one artist. If the subfolders are the artists, point"
        " --input_dir one level down, or copy them into one folder: mkdir FLAT &&"
        f" cp -r {shlex.quote(input_dir)}/*/* FLAT"
    )


def describe_ignored(
    input_dir: str, sources: Iterable[Source], exclude: Collection[str] = ()
) -> list[str]:
    """Return notes on what `scan_artist_folders` ignored.

    These are pictures beside the artist folders, and folders without pictures.
    """
    entries = _list_visible(pathlib.Path(input_dir))
    loose = sum(entry.is_file() and is_picture(entry.name) for entry in entries)
    artists = {source.artist for source in sources}.union(exclude)
    empty = sorted(e.name for e in entries if e.is_dir() and e.name not in artists)
    notes = []
    if loose:
        notes.append(f"note: {loose} pictures beside the artist folders are skipped")
    if empty:
        names = ", ".join(empty[:5]) + ", .." * (len(empty) > 5)
        notes.append(f"note: {len(empty)} folders hold no pictures: {names}")
    return notes


def sign_sources(sources: Sequence[Source]) -> str:
    """Return a digest that changes when a file is added, removed or modified.

    It covers the name, artist, group, size and modification time of each file, not
    its content.
    """
    digest = hashlib.sha256()
    for source in sorted(sources, key=lambda source: source.name):
        try:
            status = pathlib.Path(source.path).stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:  # a dangling link; the conversion skips it as unreadable
            state = (0, 0)
        fields = (source.name, source.artist, source.group, *state)
        digest.update(repr(fields).encode())
    return digest.hexdigest()


def walk(folder: str | os.PathLike[str]) -> list[str]:
    """Return the paths of all files below a folder, sorted, without hidden files."""
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = sorted(name for name in files if not name.startswith("."))
        paths += [str(pathlib.Path(parent, name)) for name in visible]
    return paths


def is_picture(path: str) -> bool:
    """Return whether a file's suffix is that of a picture format."""
    return pathlib.PurePath(path).suffix.lower() in pictures.SUFFIXES


def _list_visible(folder: pathlib.Path) -> list[pathlib.Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
