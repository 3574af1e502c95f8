"""What all commands share: flags, log lines, user errors on one line, exit codes.

A command module defines its flags with absl and ends in::

    if __name__ == "__main__":
        cli.run(main)  # or cli.run(main, positional=True)
"""

import contextlib
import difflib
import errno
import io
import itertools
import logging
import os
import pathlib
import re
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn, TextIO

from absl import app, flags
from absl import logging as absl_logging

from tfstyle.core import names, paths

# The last three: a file exists where a folder is needed, or a folder for a file.
_NOT_WRITABLE = (
    *(errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
)
# So that --help lists flags defined by functions of this module as the command's.
flags.disclaim_key_flags()
_HELP_FLAGS = {"--help", "-help", "--helpfull", "--helpshort"}


class UserError(ValueError):
    """A mistake that the user can correct; the message describes it and the remedy."""


def define_path(name: str, default: str | None, help: str) -> flags.FlagHolder:
    """Define a flag that takes the path of a file or folder.

    A leading `~` is expanded, and an empty path is refused. All flags for paths are
    defined by this function or `define_paths`.
    """
    return flags.DEFINE(_PathParser(), name, default, help)


def define_paths(
    name: str, default: Sequence[str] | str | None, help: str
) -> flags.FlagHolder:
    """Define a flag that may be given several times, as `define_path`."""
    return flags.DEFINE_multi(
        _PathParser(), flags.ArgumentSerializer(), name, default, help
    )


def on_stop(
    handler: Callable[[int, FrameType | None], object],
) -> dict[signal.Signals, Any]:
    """Set what happens on Ctrl-C, on SIGTERM, and when the terminal is closed.

    What a closed terminal would have shown is dropped. A command that nohup has started
    goes on without its terminal.

    Returns:
        The handlers so far.
    """

    def hang_up(number: int, frame: FrameType | None) -> None:
        _drop_terminal_output()
        handler(number, frame)

    handlers = {signal.SIGINT: handler, signal.SIGTERM: handler}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handlers[signal.SIGHUP] = hang_up
    return {number: signal.signal(number, new) for number, new in handlers.items()}


@contextlib.contextmanager
def importing_extra(need: str, extra: str) -> Iterator[None]:
    """Turn a failing import of a package of an extra into an error that names it.

    Args:
        need: says what needs the package, such as "--cascade needs OpenCV".
        extra: of setup.cfg.

    Raises:
        UserError: the package is missing, or does not fit the others.
    """
    try:
        yield
    # AttributeError: packages that are made for another NumPy.
    except (ImportError, AttributeError) as error:
        raise UserError(f"{need} ({error}): {show_installation(extra)}") from None


def show_installation(extra: str) -> str:
    """Return the command that installs an extra of setup.cfg."""
    return f"pip install -c tools/constraints.txt '.[{extra}]'"


def run(main: Callable[..., None], positional: bool = False) -> None:
    """Parse flags, run `main`, and turn expected failures into one-line errors.

    Log messages of the package (INFO and above) appear on stdout as plain lines. What
    a terminal cannot show, or would obey, is escaped on it (see `core.names`).

    Args:
        main: the command; called with the list of positional arguments if `positional`.
        positional: whether the command takes such arguments or rejects them.

    Raises:
        SystemExit: always; 0 on success and for `--help`, 1 for a `UserError` or
            a full disk, 130 when interrupted.
    """
    # Like Ctrl-C, so that temporary files are deleted.
    on_stop(signal.default_int_handler)
    try:
        with _protect_terminal(), _log_to_stdout():
            app.run(
                lambda argv: _run_guarded(main, argv, positional),
                flags_parser=_parse_flags,
            )
    except SystemExit as exit_:
        # absl exits with 1 after --help, which is not a failure.
        help_requested = _HELP_FLAGS.intersection(sys.argv[1:])
        raise SystemExit(0 if help_requested else exit_.code) from None


def summarize_error(error: Exception | str) -> str:
    """Return the line of an error of TensorFlow, or its message, that describes it."""
    message = str(error)
    # It is the last line before the first graph node; tracebacks, if any, precede it.
    head = re.split(r"\s*\[\[\{\{(?:function_)?node", message, maxsplit=1)[0]
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    line = lines[-1] if lines else message.strip()
    line = re.sub(r"^(\(\d+\) [A-Z_]+:\s*)?(\{\{.*?\}\}\s*)?|\s*\[Op:.*$", "", line)
    return re.sub(r"^assertion failed: \[(.*)\]$", r"\1", line)


def check_output(
    path: str, *suffixes: str, flag: str = "output", overwrite: bool = True
) -> None:
    """Check, before any work, that an output file can be written at the end.

    Args:
        path: the file; missing parent folders are created when it is written.
        suffixes: the allowed endings of the name.
        flag: the flag that the path was passed with.
        overwrite: whether an existing file may be replaced.

    Raises:
        UserError: the file cannot be written.
    """
    target = pathlib.Path(os.path.abspath(path))
    if not path.endswith(suffixes) or os.path.isdir(target):  # noqa: PTH112
        raise UserError(
            f"--{flag} must be a {' or '.join(suffixes)} file, got"
            f" {names.show(path) or 'nothing'}"
        )
    if not overwrite and os.path.lexists(path):
        raise UserError(
            f"--{flag}={names.show(path)} already exists: choose another file, or add"
            " --overwrite"
        )
    parents = target.parents
    missing = list(itertools.takewhile(lambda path: not os.path.lexists(path), parents))
    existing = parents[len(missing)]
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(
            f"--{flag}={names.show(path)} cannot be written:"
            f" {paths.find_obstacle(existing) or f'check {existing}'}"
        )
    try:
        with contextlib.ExitStack() as created:
            for folder in reversed(missing):
                folder.mkdir()
                created.callback(folder.rmdir)
            # With the name itself, which may be too long for the file system.
            if not os.path.lexists(target):
                target.touch()
                target.unlink()
    except OSError as error:
        raise UserError(
            f"--{flag}={names.show(path)} cannot be written: {error.strerror}"
        ) from None


class _PathParser(flags.ArgumentParser[str]):
    """Parses the value of a flag for a path."""

    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        if not argument:
            raise ValueError("a path is missing after the equals sign")
        path = paths.expand(argument)
        if path.startswith("~"):
            user = path.split("/")[0]
            raise ValueError(
                f"there is no user {user[1:]!r}: write ./{path} for a path that begins "
                "with ~"
            )
        return path


def _parse_flags(arguments: list[str]) -> list[str]:
    """Parse flags as absl does, but with an error on one line."""
    try:
        remaining: list[str] = flags.FLAGS(arguments)
        return remaining
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        known = list(flags.FLAGS)
        similar = [flag for flag in known if name in flag.split("_")]
        similar = similar or difflib.get_close_matches(name, known)
        advice = f"did you mean --{' or --'.join(similar)}?" if similar else ""
        _fail(f"error: Unknown command line flag {name!r}: {advice or 'see --help'}", 1)
    except flags.Error as error:
        message = " ".join(str(error).removeprefix("flag ").split())
        _fail(f"error: {message}", 1)


def _run_guarded(main: Callable[..., None], argv: list[str], positional: bool) -> None:
    absl_logging.set_verbosity(absl_logging.WARNING)
    try:
        if positional:
            main(argv[1:])
            return
        if len(argv) > 1:
            raise UserError(
                f"unexpected argument {argv[1]!r}: pass settings as --name=value"
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
        # The reader closed the pipe, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno == errno.ENOSPC:
            place = f" while writing {_show_path(error)}" if error.filename else ""
            _fail(f"error: no space left on the disk{place}", 1)
        if error.errno not in _NOT_WRITABLE:
            raise
        _fail(f"error: {_show_path(error)}: {error.strerror}", 1)
    except Exception as error:
        # TensorFlow has its own error type for a full disk; it is not imported here.
        if "No space left on device" not in str(error):
            raise
        _fail(f"error: no space left on the disk: {summarize_error(error)[:200]}", 1)


def _show_path(error: OSError) -> str:
    return names.show(os.fsdecode(error.filename)) if error.filename else "None"


def _fail(line: str, code: int) -> NoReturn:
    sys.stdout.flush()
    _write_line(names.clean_line(line), sys.stderr)
    sys.exit(code)


@contextlib.contextmanager
def _protect_terminal() -> Iterator[None]:
    """Escape on stdout and stderr what the encoding lacks; on stdout, all controls.

    Progress bars and the libraries need control characters on stderr.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=names.STREAM_ERRORS)
    with contextlib.redirect_stdout(_CleanStream(sys.stdout)):  # type: ignore[type-var]
        yield


class _CleanStream:
    """A text stream that escapes what is not printable; see `names.clean`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(names.clean(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _log_to_stdout() -> Iterator[None]:
    """Show the package's log messages as lines on stdout, and nowhere else."""
    logger = logging.getLogger("tfstyle")
    handler = _LineHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


class _LineHandler(logging.Handler):
    """Writes each message to stdout as a line, whatever names it holds."""

    def emit(self, record: logging.LogRecord) -> None:
        _write_line(names.clean_line(self.format(record)), sys.stdout)


def _drop_terminal_output() -> None:
    """Let output to a terminal go nowhere: writing to a closed one is an error."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # it is not open
                if stat.S_ISCHR(os.fstat(descriptor).st_mode):
                    os.dup2(nowhere.fileno(), descriptor)


def _write_line(line: str, stream: TextIO) -> None:
    """Write a line above a progress bar, if the terminal shows one."""
    tqdm: Any = sys.modules.get("tqdm")  # no bar without this import
    if tqdm and sys.stderr.isatty():
        tqdm.tqdm.write(line, file=stream)
        stream.flush()
    else:
        print(line, file=stream, flush=True)
