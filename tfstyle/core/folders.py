"""Write a folder whole or not at all."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator

from tfstyle.core.cli import UserError

_PARTIAL_DIR = ".partial"  # holds everything until it is complete


@contextlib.contextmanager
def written_whole(
    folder: str, *, own_files: re.Pattern[str], last: str, overwrite: bool
) -> Iterator[str]:
    """Give a temporary folder whose files move into `folder` if all goes well.

    Otherwise `folder` stays as it was, and is not made if it was not there.

    Args:
        folder: where the files go in the end.
        own_files: the names that such a folder's files may have. Those that are
            there are removed in favor of the new ones; others are never touched.
        last: the file without which the folder counts as unfinished. It goes first
            and comes last.
        overwrite: replace a finished folder, or write beside files of others.

    Raises:
        UserError: `folder` cannot be made, or holds something and `overwrite` is
            not given.
    """
    existed = os.path.isdir(folder)
    if existed and not overwrite:
        _refuse_occupied(folder, own_files, last)
    partial_dir = os.path.join(folder, _PARTIAL_DIR)
    try:
        # One may be left by a run that was killed.
        shutil.rmtree(partial_dir, ignore_errors=True)
        os.makedirs(partial_dir)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from None
    try:
        yield partial_dir
        _publish(partial_dir, folder, own_files, last)
    except OSError as error:
        error.filename = error.filename or folder  # a full disk has no name of its own
        raise
    finally:
        shutil.rmtree(partial_dir, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):  # not empty: all went well
                os.rmdir(folder)


def _refuse_occupied(folder: str, own_files: re.Pattern[str], last: str) -> None:
    found = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    # A run that was killed leaves files without the last one, beside this folder.
    unfinished = os.path.isdir(os.path.join(folder, _PARTIAL_DIR))
    foreign = [name for name in found if not (unfinished and own_files.fullmatch(name))]
    if last in found:
        what = "the finished outcome of an earlier call"
    elif foreign:
        what = f"something else ({foreign[0]})"
    else:
        return
    raise UserError(
        f"{folder} holds {what}: choose another folder, or add --overwrite to write"
        " there all the same"
    )


def _publish(
    partial_dir: str, folder: str, own_files: re.Pattern[str], last: str
) -> None:
    old = [name for name in os.listdir(folder) if own_files.fullmatch(name)]
    for name in sorted(old, key=lambda name: name != last):
        os.remove(os.path.join(folder, name))
    for name in sorted(os.listdir(partial_dir), key=lambda name: name == last):
        os.replace(os.path.join(partial_dir, name), os.path.join(folder, name))
