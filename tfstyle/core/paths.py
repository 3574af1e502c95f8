"""Paths as users type them, as shells read them, and as TensorFlow takes them."""

import functools
import os
import pathlib
import tempfile

from tfstyle.core import names

PathLike = str | os.PathLike[str]

# TensorFlow takes the names of checkpoints and saved models for patterns.
_PATTERN = frozenset("*?[]\\")
# Of systems, should TMPDIR have such a name.
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


def expand(path: str) -> str:
    """Expand a leading `~`, which shells leave alone in `--flag=~/folder`."""
    return os.path.expanduser(path)  # noqa: PTH111 (pathlib fails for unknown users)


def keep_literal(path: PathLike) -> str:
    """Return a path of the same file that `expand` leaves as it is."""
    text = str(path)
    return f"./{text}" if text.startswith("~") else text


def quote(path: PathLike) -> str:
    """Quote a path, so that it can be pasted into a command as the value of a flag."""
    return names.quote(keep_literal(path))


def find_obstacle(folder: PathLike) -> str | None:
    """Return what keeps a folder from being created, if it does not exist yet.

    Raises:
        OSError: the name is too long, or a folder above it cannot be searched.
    """
    path = pathlib.Path(folder)
    # A link that leads nowhere does not exist, by `exists`.
    nearest = next(p for p in (path, *path.parents) if p.is_symlink() or p.exists())
    if not nearest.exists():
        return f"{nearest} is a link that leads nowhere"
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    if nearest != path and not os.access(nearest, os.W_OK):
        return f"{nearest} cannot be written"
    return None


def for_tensorflow(path: PathLike) -> str:
    """Return a path of the same file or folder that TensorFlow takes literally.

    TensorFlow reads `[`, `*`, `?`, and backslashes in some paths as patterns, which
    find nothing or other folders' files, and takes no names that are not UTF-8. Such a
    folder, which must exist, is reached through a link in the system's folder of
    temporary files. Other paths become absolute.
    """
    absolute = pathlib.Path(os.path.abspath(path))
    parts = absolute.parts
    odd = [number for number, part in enumerate(parts, 1) if not _is_plain(part)]
    if not odd:
        return str(absolute)
    folder = pathlib.Path(*parts[: odd[-1]])
    return str(_link_to(folder).joinpath(*parts[odd[-1] :]))


def _is_plain(name: str) -> bool:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    return encoded == os.fsencode(name) and not _PATTERN.intersection(name)


@functools.cache
def _link_to(folder: pathlib.Path) -> pathlib.Path:
    """Make a link with a plain name to a folder, for the life of this process."""
    links = pathlib.Path(_links_folder().name)
    link = links / str(len(list(links.iterdir())))
    link.symlink_to(folder)
    return link


@functools.cache
def _links_folder() -> tempfile.TemporaryDirectory[str]:
    # The folder that the user chose may have an odd name itself.
    plain = [
        folder
        for folder in (tempfile.gettempdir(), *_TEMPORARY)
        if all(map(_is_plain, pathlib.Path(folder).parts))
        and os.access(folder, os.W_OK)
    ]
    parent = plain[0] if plain else None
    return tempfile.TemporaryDirectory(prefix="tfstyle-", dir=parent)  # deleted at exit
