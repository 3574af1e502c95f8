"""Locks of folders, so that two commands never write to the same one.

A lock is one of the operating system (flock) on an empty, hidden file. It ends with the
process that holds it, however that ends, so a lock file that was left behind blocks
nobody.
"""

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import pathlib
import stat
import time
from collections.abc import Iterator

from tfstyle.core.cli import UserError
from tfstyle.core.paths import PathLike, find_obstacle

logger = logging.getLogger(__name__)

LOCK_FILE = ".tfstyle.lock"
# How long a command waits for a lock that others hold for a moment only.
WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.05
# What file systems without locks answer, such as NFS without its lock service.
_UNSUPPORTED = {
    *(errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
    *(errno.EINVAL, errno.EBADF, errno.EIO),
}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def folder_lock(
    folder: PathLike, *, name: str = LOCK_FILE, wait: bool = False
) -> Iterator[None]:
    """Hold the lock of a folder that is about to be written.

    Missing folders are created, and removed at the end if they are still empty.

    Args:
        folder: the folder.
        name: the lock file in it. Parts of a folder that are written apart have locks
            of their own.
        wait: wait up to `WAIT_SECONDS` for another process that holds the lock, instead
            of failing at once.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    target = pathlib.Path(folder)
    with contextlib.ExitStack() as stack:
        try:
            if obstacle := find_obstacle(target):
                raise UserError(f"cannot write to {folder}: {obstacle}")
            descriptor = _create_and_acquire(target, name, wait, stack)
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}") from None
        if descriptor is not None:
            stack.callback(_release, target / name, descriptor)
        yield


@contextlib.contextmanager
def sibling_lock(folder: PathLike) -> Iterator[None]:
    """Hold the lock of a folder that may be deleted while it is held.

    The lock file is beside the folder, and beside what it points to if it is a symbolic
    link, so that two links to one folder have one lock. Missing parents are created.

    Raises:
        UserError: another process holds the lock.
        OSError: the parent folder cannot be created.
    """
    link = pathlib.Path(os.path.abspath(folder))
    link.parent.mkdir(parents=True, exist_ok=True)
    target = pathlib.Path(os.path.realpath(folder))
    if not os.access(target.parent, os.W_OK):
        target = link
    path = target.with_name(f".{target.name}.lock")
    try:
        descriptor = _acquire(path, folder, wait=False)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        _note_missing_lock(folder, error)
        descriptor = None
    try:
        yield
    finally:
        if descriptor is not None:
            _release(path, descriptor)


def _create_and_acquire(
    folder: pathlib.Path, name: str, wait: bool, stack: contextlib.ExitStack
) -> int | None:
    """Create a folder and acquire its lock; `stack` removes what was created."""
    while True:
        missing = itertools.takewhile(
            lambda path: not path.is_dir(), [folder, *folder.parents]
        )
        for path in reversed(list(missing)):
            # Another process may create it at the same moment.
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                stack.callback(_remove_if_empty, path)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with contextlib.suppress(FileNotFoundError):
            return _acquire(folder / name, folder, wait)
        # The process that created the folder has just removed it.


def _acquire(path: pathlib.Path, folder: PathLike, wait: bool) -> int | None:
    """Lock a file and return its descriptor; None if the disk offers no locks.

    Raises:
        UserError: another process holds the lock, or `path` is no lock file.
        OSError: the file cannot be created.
    """
    deadline = time.monotonic() + (WAIT_SECONDS if wait else 0)
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise UserError(
                    f"another command is writing to {folder}: wait until it ends, or"
                    " choose another folder"
                ) from None
            time.sleep(_PAUSE_SECONDS)
            continue
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _UNSUPPORTED:
                raise
            _note_missing_lock(folder, error)
            return None
        # Its last holder may have deleted the file between the two calls above.
        if _is_same_file(path, descriptor):
            return descriptor
        os.close(descriptor)


def _open(path: pathlib.Path) -> int:
    # Whatever a symbolic link of this name points to is not ours. Without O_NONBLOCK,
    # opening a pipe of this name would wait for its other end.
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        except PermissionError:
            # Left behind by another user. Most disks lock what can only be read.
            if not os.path.lexists(path):
                raise
            descriptor = os.open(path, os.O_RDONLY | flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _refuse(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refuse(path)
    return descriptor


def _refuse(path: pathlib.Path) -> UserError:
    return UserError(
        f"{path} is no lock file but a link, a folder or a device: delete it"
    )


def _is_same_file(path: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _release(path: pathlib.Path, descriptor: int) -> None:
    # Deleted while the lock is held: a process that opened the file before this will
    # notice, and open the next one. A file with content was never ours.
    try:
        if _is_same_file(path, descriptor) and not os.fstat(descriptor).st_size:
            path.unlink()
    except OSError:
        pass  # an empty file stays behind, which blocks nobody
    finally:
        os.close(descriptor)


def _remove_if_empty(folder: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _note_missing_lock(folder: PathLike, error: OSError) -> None:
    logger.info(
        "note: %s cannot be locked (%s): make sure that no other command writes there",
        *(folder, error.strerror),
    )
