"""Source pictures: files found in folders, one folder per artist."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import walking
from tfstyle.data.collections.spellings import is_named
from tfstyle.data.collections.walking import SkippedFile
from tfstyle.data.pictures.faces import Face

EXCLUDED = "excluded_artist"  # the reason for all files of such an artist
INNER = "folder_of_excluded"  # inside the folder of another artist
COPIED = "copy_of_excluded"
# Notes on what is left out beside the files of artists, by reason.
_NOTES = {
    "beside_artists": "pictures beside the artist folders are skipped",
    "hidden": "hidden folders are left out",
    "system_folder": "folders of the system are left out",
    "unreadable_folder": "folders cannot be read",
    "repeated_folder": "links lead to folders that are counted already",
    "other_artists_folder": "links lead to folders of other artists, who keep them",
}

_NESTED_FRACTION = 0.9  # of the artist folders, to suspect another layout


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A picture file that may become an example.

    Attributes:
        path: where the file is.
        artist: the artist's name.
        name: the file's name in the records: its path below the input folder.
        group: pictures of an artist with the same non-empty group (variants of one
            work) stay on the same side of the train/test split.
        face: the part to use, or None for all of the picture.
        content: what the picture shows, for evaluation; "" if unknown.
        licence: under which it may be used; "" if unknown.
        creator: whom to name; "" if unknown.
    """

    path: str
    artist: str
    name: str
    group: str = ""
    face: Face | None = None
    content: str = ""
    licence: str = ""
    creator: str = ""


def list_artist_folders(input_dir: str) -> list[str]:
    """List the folders that count as artists, sorted.

    Raises:
        UserError: the input folder is missing or cannot be read, or has no such
            folders.
    """
    root = pathlib.Path(input_dir)
    shown = names.show(input_dir)
    if not root.is_dir():
        raise UserError(f"--input_dir={shown} is not a folder")
    try:
        artists = _list_folders(input_dir)
    except OSError as error:
        raise UserError(f"--input_dir={shown}: {error.strerror}") from None
    if not artists:
        loose = len(_list_loose_pictures(input_dir))
        content = f"{loose} pictures but no folders" if loose else "no folders"
        example = names.show(str(root / "ARTIST" / "picture.png"))
        raise UserError(
            f"{shown} holds {content}: put the pictures of each artist in a folder,"
            f" as in {example}"
        )
    return artists


def find_artist_root(folder: str) -> tuple[str, list[SkippedFile]]:
    """Find the folder of artist folders in an unpacked archive.

    An archive often holds a single folder that holds all others. One artist alone is
    no collection, so a single folder with folders in it is not an artist's.

    Returns:
        The folder, and what is left out beside and above it.
    """
    root, skipped = folder, list[SkippedFile]()
    while True:
        inner = _list_folders(root)
        if len(inner) != 1 or not _list_folders(os.path.join(root, *inner)):  # noqa: PTH118
            return root, skipped
        skipped += [(name, "beside_artists") for name in _list_loose_pictures(root)]
        skipped += _list_left_out_folders(root)
        root = os.path.join(root, *inner)  # noqa: PTH118


def scan_artist_folders(
    input_dir: str, exclude: Collection[str] = (), keys: Collection[str] = ()
) -> tuple[list[Source], list[SkippedFile]]:
    """List the pictures of a folder that holds one folder per artist.

    Folders inside an artist's folder, and folders that links lead to, belong to the
    artist; see `walking.walk` for what is left out. A link to another artist's folder
    is not followed: those pictures are the other artist's.

    Args:
        input_dir: the folder.
        exclude: folders of artists to leave out. Nothing of theirs is taken, whatever
            link leads there, nor a copy of one of their files in another folder.
        keys: of excluded names, by `spellings.fold`. Folders of these names inside
            other artists' are left out, too.

    Returns:
        The pictures, and what is left out with its reason.

    Raises:
        UserError: the folder is missing or has no artist folders, or these hold no
            pictures.
    """
    artists = list_artist_folders(input_dir)
    owners = _find_owners(input_dir, artists, exclude)
    sources: list[Source] = []
    skipped = [(name, "beside_artists") for name in _list_loose_pictures(input_dir)]
    skipped += _list_left_out_folders(input_dir)
    excluded_files: list[str] = []
    for artist in artists:
        root = os.path.join(input_dir, artist)  # noqa: PTH118 (walk takes text)
        reason = _refuse_artist(root, artist, owners, exclude)
        if reason == "repeated_folder" or artist not in owners.values():
            skipped.append((f"{names.from_path(artist)}/", reason or EXCLUDED))
            continue
        rule = functools.partial(_refuse_link, artist, owners, exclude)
        found, left_out = walking.walk(root, rule)
        if reason == EXCLUDED:
            excluded_files += found
            left_out += [(path, EXCLUDED) for path in found]
        else:
            for path in found:
                name = _name(path, input_dir)
                if keys and _find_inner(name, keys):
                    excluded_files.append(path)
                    skipped.append((name, INNER))
                else:
                    sources.append(Source(path, names.from_path(artist), name))
        skipped += [(_name(path, input_dir), reason) for path, reason in left_out]
    copies = find_copies(sources, excluded_files)
    skipped += [(source.name, COPIED) for source in copies]
    sources = [source for source in sources if source not in copies]
    if not sources:
        raise UserError(
            f"the artist folders of {names.show(input_dir)} hold no pictures"
            f" ({len(skipped)} other or excluded files)"
        )
    return sources, skipped


def list_excluded(input_dir: str, skipped: Iterable[SkippedFile]) -> list[Source]:
    """List the excluded works among what `scan_artist_folders` left out."""
    return [
        Source(os.path.join(input_dir, names.to_path(name)), "", name)  # noqa: PTH118
        for name, reason in skipped
        if reason in (EXCLUDED, INNER) and not name.endswith("/")
    ]


def describe_inner(skipped: Iterable[SkippedFile], keys: Collection[str]) -> list[str]:
    """Return a note on folders of excluded names inside those of other artists."""
    inner = [_find_inner(name, keys) for name, reason in skipped if reason == INNER]
    if not inner:
        return []
    folders = _list_some([*dict.fromkeys(inner)])
    return [
        f"note: {len(inner)} pictures are in folders of excluded names inside those of"
        f" other artists, and left out: {folders}"
    ]


def describe_nesting(input_dir: str, sources: Iterable[Source]) -> str | None:
    """Return a note if the folders look like GROUP/ARTIST/picture.png, else None.

    They do if nearly all artist folders of `input_dir` hold several folders of pictures
    and no pictures beside them. `input_dir` may be an archive.
    """
    subfolders: dict[str, set[str]] = collections.defaultdict(set)
    for source in sources:
        folder, slash, _ = source.name.partition("/")[2].partition("/")
        subfolders[source.artist].add(folder if slash else "")
    nested = [
        inner for inner in subfolders.values() if len(inner) > 1 and "" not in inner
    ]
    if len(nested) < _NESTED_FRACTION * len(subfolders):
        return None
    is_folder = pathlib.Path(input_dir).is_dir()
    first, folder = ("", names.quote(input_dir)) if is_folder else ("unpack it, ", ".")
    return (
        f"note: {len(nested)} of the {len(subfolders)} folders of"
        f" {names.show(input_dir)} hold all"
        f" their pictures in subfolders, {sum(map(len, nested))} in total. Each outer"
        f" folder counts as one artist. If the subfolders are the artists, {first}point"
        " --input_dir one level down, or copy them into one folder: mkdir FLAT &&"
        f" cp -r {folder}/*/* FLAT"
    )


def describe_left_out(
    input_dir: str, sources: Iterable[Source], skipped: Iterable[SkippedFile]
) -> list[str]:
    """Return notes on folders and loose pictures that `scan_artist_folders` left out.

    These are pictures beside the artist folders, folders without pictures, and folders
    that are hidden, the system's, unreadable, or reached by links more than once.
    """
    by_reason: dict[str, list[str]] = collections.defaultdict(list)
    for name, reason in skipped:
        if name.endswith("/") or reason == "beside_artists":
            by_reason[reason].append(name)
    notes = []
    for reason, text in _NOTES.items():
        members = by_reason[reason]
        if members:
            notes.append(f"note: {len(members)} {text}: {_list_some(members)}")
    explained = {source.artist for source in sources}
    for name, reason in skipped:
        artist, _, inner = name.partition("/")
        if reason in (EXCLUDED, INNER, COPIED) or not inner:
            explained.add(artist)
    folders = map(names.from_path, list_artist_folders(input_dir))
    empty = [name for name in folders if name not in explained]
    if empty:
        some = _list_some(empty)
        notes.append(f"note: {len(empty)} folders hold no pictures: {some}")
    return notes


def sign_sources(sources: Sequence[Source]) -> str:
    """Return a digest that changes when a file is added, removed or modified.

    It covers the name, artist, group, description, size and modification time of each
    file, not its content.
    """
    digest = hashlib.sha256()
    for source in sorted(sources, key=lambda source: source.name):
        described = (source.face, source.content, source.licence, source.creator)
        state = _read_state(source)
        fields: tuple[object, ...] = (source.name, source.artist, source.group, *state)
        # Most pictures have no description, and older digests none at all.
        fields += described if any(described) else ()
        digest.update(repr(fields).encode())
    return digest.hexdigest()


def sign_source(source: Source) -> str:
    """Return a digest that changes when a file or the part to use of it does."""
    fields = (source.name, source.face, *_read_state(source))
    return hashlib.sha256(repr(fields).encode()).hexdigest()[:32]


def _read_state(source: Source) -> tuple[int, int]:
    """Return the size and the modification time of a file."""
    try:
        status = os.stat(source.path)  # noqa: PTH116 (half the time of pathlib)
    except OSError:  # a dangling link; the conversion skips it as unreadable
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _list_folders(folder: str) -> list[str]:
    """List the folders in a folder, without hidden ones and the system's, sorted."""
    return sorted(
        path.name
        for path in pathlib.Path(folder).iterdir()
        if path.is_dir() and walking.classify_folder(path.name) is None
    )


def _list_loose_pictures(input_dir: str) -> list[str]:
    """List the pictures beside the artist folders."""
    with os.scandir(input_dir) as entries:
        files = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(
        names.from_path(entry.name)
        for entry in files
        if not os.path.isdir(entry.path)  # noqa: PTH112 (a link to itself is none)
        and walking.classify_file(entry.path) is None
    )


def _list_left_out_folders(input_dir: str) -> list[SkippedFile]:
    """List the folders beside the artists' that are hidden or the system's."""
    return [
        (f"{names.from_path(path.name)}/", reason)
        for path in sorted(pathlib.Path(input_dir).iterdir())
        if (reason := walking.classify_folder(path.name)) and path.is_dir()
    ]


def _find_owners(
    input_dir: str, artists: Sequence[str], exclude: Collection[str]
) -> dict[str, str]:
    """Map the real path of each artist's folder to the artist.

    Of several entries that are the same folder, an excluded one owns it, else the
    folder itself rather than a link. A link that leads back to the input folder or
    above owns nothing.
    """
    root = pathlib.Path(input_dir)
    real_root = pathlib.PurePath(os.path.realpath(root))
    owners: dict[str, str] = {}
    for artist in sorted(
        artists, key=lambda name: (name not in exclude, (root / name).is_symlink())
    ):
        folder = os.path.realpath(root / artist)
        if pathlib.PurePath(folder) not in (real_root, *real_root.parents):
            owners.setdefault(folder, artist)
    return owners


def _list_owners(target: str, owners: Mapping[str, str]) -> list[str]:
    """List the artists in whose folders a real path is, the outermost last."""
    path = pathlib.PurePath(target)
    folders = map(str, (path, *path.parents))
    return [owners[folder] for folder in folders if folder in owners]


def _refuse_artist(
    root: str, artist: str, owners: Mapping[str, str], exclude: Collection[str]
) -> str | None:
    """Return why the folder of an artist is left out, None if it is not."""
    belongs_to = _list_owners(os.path.realpath(root), owners)
    if exclude and not {artist, *belongs_to}.isdisjoint(exclude):
        return EXCLUDED
    # Otherwise the same folder as another, or inside one, or around all of them.
    return None if belongs_to[-1:] == [artist] else "repeated_folder"


def _refuse_link(
    artist: str, owners: Mapping[str, str], exclude: Collection[str], target: str
) -> str | None:
    """Return why a link inside an artist's folder is not followed."""
    belongs_to = _list_owners(target, owners)
    if artist not in exclude and not set(belongs_to).isdisjoint(exclude):
        return EXCLUDED
    if not belongs_to or artist in belongs_to:
        return None
    return "other_artists_folder" if pathlib.Path(target).is_dir() else None


def find_copies(sources: Sequence[Source], excluded: Sequence[str]) -> set[Source]:
    """Return the pictures whose files equal one of the excluded files."""
    by_size: dict[int, set[bytes]] = collections.defaultdict(set)
    for path in excluded:
        with contextlib.suppress(OSError):
            by_size[pathlib.Path(path).stat().st_size].add(_hash_file(path))
    copies = set()
    for source in sources if by_size else ():
        with contextlib.suppress(OSError):
            hashes = by_size.get(pathlib.Path(source.path).stat().st_size)
            if hashes and _hash_file(source.path) in hashes:
                copies.add(source)
    return copies


def _hash_file(path: str) -> bytes:
    digest = hashlib.sha256()
    with pathlib.Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _find_inner(name: str, keys: Collection[str]) -> str:
    """Return the outermost folder of an excluded name below an artist's; "" if none."""
    parts = name.split("/")
    for depth in range(1, len(parts) - 1):
        if is_named(parts[depth], keys):
            return "/".join([*parts[: depth + 1], ""])
    return ""


def _name(path: str, input_dir: str) -> str:
    """Return the name of a path below the input folder; "/" at the end is kept."""
    name = os.path.relpath(path, input_dir).replace(os.sep, "/")
    return names.from_path(f"{name}/" if path.endswith("/") else name)


def _list_some(members: Sequence[str]) -> str:
    shown = [names.show(member) for member in members[:5]]
    return ", ".join(shown) + ", .." * (len(members) > 5)
