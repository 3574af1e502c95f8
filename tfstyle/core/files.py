"""Write files and folders whole: under a temporary name first, then renamed."""

import contextlib
import ctypes
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfstyle.core.cli import UserError
from tfstyle.core.paths import PathLike, find_obstacle

# Arguments of Linux' renameat2.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_PARTIAL_FOLDER = ".partial"  # holds the files of a folder until all are complete


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path` that is renamed to `path` at the end.

    After an exception the temporary file is deleted and an existing `path` is
    unchanged. Missing parent folders are created.

    Raises:
        OSError: writing failed; `filename` is `path`.
    """
    target = pathlib.Path(os.path.abspath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Short, and of the name's hash: the name alone may be as long as names can be.
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    temporary = target.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        # An error about a full disk has no file name, and users do not know the
        # temporary one.
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename = str(target)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def temporary_folder(path: PathLike) -> Iterator[pathlib.Path]:
    """Yield a new, empty folder that is deleted at the end unless it was renamed.

    A folder of the same name that a killed process left behind is deleted first.
    """
    folder = pathlib.Path(path)
    _make_empty(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def atomic_folder(
    folder: PathLike, *, own_files: re.Pattern[str], last: str, overwrite: bool
) -> Iterator[pathlib.Path]:
    """Yield a temporary folder whose files move into `folder` at the end.

    After an exception `folder` is unchanged, and is not created if it was missing.

    Args:
        folder: the final place of the files. It may hold files of others, which are
            never touched.
        own_files: matches the names of all files that a call may write. Existing ones
            are replaced as a group.
        last: the file that marks `folder` as complete. It is deleted first and
            written last.
        overwrite: whether to replace a complete folder, or to write beside files of
            others.

    Raises:
        UserError: `folder` cannot be created, or is not empty and `overwrite` is
            false.
        OSError: writing failed; `filename` is set.
    """
    target = pathlib.Path(folder)
    if target.is_dir() and not overwrite:
        _refuse_occupied(target, own_files, last)
    partial = target / _PARTIAL_FOLDER
    with _new_parents(partial):
        try:
            if obstacle := find_obstacle(target):
                raise UserError(f"cannot write to {folder}: {obstacle}")
            _make_empty(partial)
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}") from None
        try:
            yield partial
            _publish(partial, target, own_files, last)
        except OSError as error:
            # A full disk has no file name.
            error.filename = error.filename or str(folder)
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def replace_folder(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Put a new folder in the place of an older one, which is deleted.

    At every moment there is a whole `target`. Where the system cannot exchange two
    folders, it is called `old_name(target)` for a moment.
    """
    old = old_name(target)
    if not target.exists():
        folder.rename(target)
    elif _exchange(folder, target):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def old_name(target: pathlib.Path) -> pathlib.Path:
    """Return where `replace_folder` keeps an older folder, if it is interrupted."""
    return target.with_name(f"{target.name}.old")


def write_text(path: PathLike, text: str) -> None:
    """Write UTF-8 text to a file, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: PathLike, value: Any) -> None:
    """Write indented JSON, with NumPy values as numbers and lists, paths as text."""
    write_text(path, json.dumps(value, indent=2, default=to_plain) + "\n")


def is_regular(path: PathLike) -> bool:
    """Return whether a path is a file that can be read without waiting for a writer.

    A file that cannot be examined counts as regular: opening it raises the error.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (the name may be too long)
    except OSError:
        return True
    return stat.S_ISREG(mode)


def read_bytes(path: PathLike) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: the path is a folder, a pipe, or a device.
        FileNotFoundError: there is no such file.
    """
    if not is_regular(path):
        raise UserError(f"{path} is not a file")
    return pathlib.Path(path).read_bytes()


def read_json(path: PathLike) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: the path is no file, or the file is not JSON.
        FileNotFoundError: there is no such file.
    """
    content = read_bytes(path)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is corrupt: {error}") from None


def write_npz(path: PathLike, **arrays: np.ndarray) -> None:
    """Write arrays as an .npz file, whole or not at all."""
    # Built in memory: np.savez appends ".npz" to file names, and its archive raises
    # again when it is garbage collected after an error about a full disk.
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    with atomic_file(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def read_npz(path: PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name.

    Raises:
        UserError: the path is no file, the file is no such archive, or damaged.
        FileNotFoundError: there is no such file.
    """
    content = read_bytes(path)
    try:
        with np.load(io.BytesIO(content)) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # many kinds, of NumPy, zipfile, and zlib
        raise UserError(f"{path} is corrupt (no whole .npz file)") from error


def to_plain(value: Any) -> Any:
    """Convert NumPy values to numbers and lists, anything else to text, for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)


def _exchange(folder: pathlib.Path, other: pathlib.Path) -> bool:
    """Exchange the names of two folders in one step; False where that is impossible."""
    try:
        rename = ctypes.CDLL(None).renameat2  # of Linux
    except (OSError, AttributeError):
        return False
    paths = [os.fsencode(os.path.abspath(path)) for path in (folder, other)]
    failed: int = rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE)
    return not failed


@contextlib.contextmanager
def _new_parents(path: pathlib.Path) -> Iterator[None]:
    """Delete, at the end, the folders above `path` that are new and empty."""
    missing = list(
        # Not pathlib, which raises an error for names that are too long.
        itertools.takewhile(lambda folder: not os.path.lexists(folder), path.parents)
    )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty: the files are complete
            for folder in missing:
                folder.rmdir()


def _make_empty(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _refuse_occupied(
    folder: pathlib.Path, own_files: re.Pattern[str], last: str
) -> None:
    names = sorted(
        path.name for path in folder.iterdir() if not path.name.startswith(".")
    )
    # A killed process leaves its partial folder, and files without the last one.
    unfinished = (folder / _PARTIAL_FOLDER).is_dir()
    foreign = [name for name in names if not (unfinished and own_files.fullmatch(name))]
    if last in names:
        content = "the complete output of an earlier command"
    elif foreign:
        content = f"other files ({foreign[0]})"
    else:
        return
    raise UserError(
        f"{folder} already holds {content}: choose another folder, or add --overwrite"
        " to write there anyway"
    )


def _publish(
    partial: pathlib.Path, folder: pathlib.Path, own_files: re.Pattern[str], last: str
) -> None:
    old = [path for path in folder.iterdir() if own_files.fullmatch(path.name)]
    for path in sorted(old, key=lambda path: path.name != last):
        path.unlink()
    for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
        path.replace(folder / path.name)
