"""What every command shares: user errors as one line, exit codes, interrupts.

A command module defines its flags with absl and ends in::

    if __name__ == "__main__":
        command.run(main)  # or command.run(main, positional=True)
"""

import errno
import os
import sys
from collections.abc import Callable

from absl import app, logging

# The last two: a file is where a folder should be.
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR)


class UserError(ValueError):
    """A mistake that the user can mend; the message says what it is and how."""


def run(main: Callable[..., None], positional: bool = False) -> None:
    """Parse flags, run `main`, and turn expected failures into one clear line.

    Args:
        main: the command, called once flags are parsed: without arguments, or with the
            list of the positional ones.
        positional: the command takes positional arguments; otherwise they are refused.

    Raises:
        SystemExit: always; 0 on success and for `--help`, 1 for a `UserError` or
            a full disk, 130 when interrupted.
    """
    try:
        app.run(lambda argv: _guarded(main, argv, positional))
    except SystemExit as exit_:
        # absl ends --help with 1; asking for help is no failure.
        asked_for_help = any(
            arg in ("--help", "-help", "--helpfull", "--helpshort")
            for arg in sys.argv[1:]
        )
        raise SystemExit(0 if asked_for_help else exit_.code) from None


def check_output(
    path: str, *suffixes: str, flag: str = "output", overwrite: bool = True
) -> None:
    """Refuse, before any work, an --output that could not be written in the end.

    Args:
        path: the file; missing folders above it will be made.
        suffixes: of which it must have one.
        flag: by which it was given.
        overwrite: an older file may be replaced.

    Raises:
        UserError: with what is wrong.
    """
    if not path.endswith(suffixes) or os.path.isdir(path):
        raise UserError(
            f"--{flag} must be a {' or '.join(suffixes)} file, got {path or 'nothing'}"
        )
    if not overwrite and os.path.lexists(path):
        raise UserError(
            f"--{flag}={path} is there already: choose another file, or add --overwrite"
        )
    folder, missing = os.path.dirname(os.path.abspath(path)), []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UserError(f"--{flag}={path} cannot be written: check {folder}")
    try:
        _try_to_write(path, missing[::-1])
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be written: {error.strerror}"
        ) from None


def _try_to_write(path: str, missing: list[str]) -> None:
    """Write a file beside a path, in folders made for it, and leave no trace."""
    made = []
    probe = f"{path}.{os.getpid()}.tmp"
    try:
        for folder in missing:
            os.mkdir(folder)
            made.append(folder)
        with open(probe, "wb"):
            pass
        os.remove(probe)
    finally:
        for folder in reversed(made):
            os.rmdir(folder)


def _guarded(main: Callable[..., None], argv: list[str], positional: bool) -> None:
    logging.set_verbosity(logging.WARNING)
    try:
        if positional:
            main(argv[1:])
            return
        if len(argv) > 1:
            raise UserError(
                f"unexpected argument {argv[1]!r}: settings are given as --name=value"
                " (see --help)"
            )
        main()
    except UserError as error:
        # gin appends lines about the function that it called.
        message = str(error).split("\n  In call to configurable")[0]
        _fail(f"error: {message}", 1)
    except KeyboardInterrupt as interrupt:
        _fail(str(interrupt) or "interrupted", 130)
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno == errno.ENOSPC:
            where = f" while writing {error.filename}" if error.filename else ""
            _fail(f"error: no space left on the disk{where}", 1)
        if error.errno not in _NOT_WRITABLE:
            raise
        _fail(f"error: {error.filename}: {error.strerror}", 1)
    except Exception as error:
        # TensorFlow's own error for a full disk; this module does not import it.
        if "No space left on device" not in str(error):
            raise
        _fail(f"error: no space left on the disk: {str(error)[:200]}", 1)


def _fail(line: str, code: int) -> None:
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)
