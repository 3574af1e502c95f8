"""Files that are whole or not there: written under a temporary name, then renamed."""

import contextlib
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfstyle.core.cli import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a temporary name beside `path`; what is written there becomes `path`.

    After an exception nothing is left behind and an older `path` stays as it was.

    Raises:
        OSError: of the writing, with the name of the file.
    """
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # A full disk has no name of its own, and the temporary one helps nobody.
        error.filename = path if error.filename in (None, temporary) else error.filename
        raise
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 under a temporary name, then rename it."""
    with replacing(path) as temporary:
        pathlib.Path(temporary).write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write indented JSON under a temporary name, then rename it."""
    write_text(path, json.dumps(value, indent=2, default=plain) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Read JSON.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def write_npz(path: str | os.PathLike[str], **arrays: np.ndarray) -> None:
    """Write an .npz file under a temporary name, then rename it."""
    # On a full disk an archive that is written to a file at once complains again when
    # it is collected; and given a name alone, NumPy changes the suffix.
    archive = io.BytesIO()
    np.savez(archive, **arrays)
    with replacing(path) as temporary:
        pathlib.Path(temporary).write_bytes(archive.getbuffer())


def plain(value: Any) -> Any:
    """Turn NumPy values and paths into JSON's types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
