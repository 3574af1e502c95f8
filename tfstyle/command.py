"""What every command shares: user errors as one line, exit codes, interrupts.

A command module defines its flags with absl and ends in::

    if __name__ == "__main__":
        command.run(main)
"""

import errno
import os
import sys
from collections.abc import Callable

from absl import app, logging


class UserError(ValueError):
    """A mistake that the user can mend; the message says what it is and how."""


def run(main: Callable[[], None]) -> None:
    """Parse flags, run `main`, and turn expected failures into one clear line.

    Args:
        main: the command, called without arguments once flags are parsed.

    Raises:
        SystemExit: always; 0 on success and for `--help`, 1 for a `UserError` or
            a full disk, 130 when interrupted.
    """
    try:
        app.run(lambda argv: _guarded(main, argv))
    except SystemExit as exit_:
        # absl ends --help with 1; asking for help is no failure.
        asked_for_help = any(
            arg in ("--help", "-help", "--helpfull", "--helpshort")
            for arg in sys.argv[1:]
        )
        raise SystemExit(0 if asked_for_help else exit_.code) from None


def _guarded(main: Callable[[], None], argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    try:
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
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or os.getcwd()
        _fail(f"error: no space left on the disk while writing {where}", 1)


def _fail(line: str, code: int) -> None:
    sys.stdout.flush()
    print(line, file=sys.stderr, flush=True)
    sys.exit(code)
