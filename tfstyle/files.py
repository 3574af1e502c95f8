"""Files that are whole or not there: written under a temporary name, then renamed."""

import contextlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from tfstyle.command import UserError


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


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


def write_npz(path: pathlib.Path, **arrays: np.ndarray) -> None:
    """Write an .npz file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.stem + ".tmp.npz")
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def plain(value: Any) -> Any:
    """Turn NumPy values and paths into JSON's types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
