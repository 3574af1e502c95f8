"""Checkpoints step-N in a folder: written, found again when some are damaged, read.

What a folder holds follows from the files themselves; there is no list of checkpoints
that could be damaged or contradict them.
"""

import dataclasses
import glob
import logging
import pathlib
import re
import shutil

import numpy as np
import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError, summarize_error
from tfstyle.core.paths import for_tensorflow

logger = logging.getLogger(__name__)

# A checkpoint's index and data, and the folder that a killed process leaves.
_FILE = re.compile(r"step-(\d+)(\.index|\.data-.*|_temp)")
# What reading a damaged checkpoint raises; messages without a known type of error
# become plain exceptions.
_READ_ERRORS = (tf.errors.OpError, IndexError, ValueError, RuntimeError, SystemError)


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints step-N in a folder, which need not exist yet."""

    folder: pathlib.Path

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, rising; some may be damaged."""
        names = (path.name for path in self._list_files())
        return sorted(
            int(match[1])
            for match in map(_FILE.fullmatch, names)
            if match and match[2] == ".index"
        )

    def prefix(self, step: int) -> pathlib.Path:
        """Return the path of a checkpoint, without the endings of its files."""
        return self.folder / f"step-{step}"

    def find_newest_whole(self) -> int | None:
        """Return the step of the newest checkpoint that can be read to its end.

        Newer ones that are damaged are skipped with a message.
        """
        for step in reversed(self.steps):
            problem = find_damage(self.prefix(step))
            if problem is None:
                return step
            logger.warning(
                "warning: the checkpoint %s is damaged and not used (%s)",
                *(self.prefix(step), problem),
            )
        return None

    def save(self, checkpoint: tf.train.Checkpoint, step: int, keep: int) -> None:
        """Write a checkpoint, then delete all but the newest `keep` up to its step.

        Those of later steps are leftovers that could not be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint.write(for_tensorflow(self.prefix(step)))
        kept = [other for other in self.steps if other <= step][-keep:]
        for path in self._list_files():
            match = _FILE.fullmatch(path.name)
            if match and match[2] == "_temp":
                shutil.rmtree(path, ignore_errors=True)
            elif match and int(match[1]) not in kept:
                path.unlink(missing_ok=True)
        # Older versions listed the checkpoints in this file.
        (self.folder / "checkpoint").unlink(missing_ok=True)

    def copy(self, step: int, prefix: pathlib.Path) -> None:
        """Copy a checkpoint to another folder, under another name."""
        for path in self._list_files():
            match = _FILE.fullmatch(path.name)
            if match and int(match[1]) == step and match[2] != "_temp":
                shutil.copyfile(path, prefix.with_name(prefix.name + match[2]))

    def _list_files(self) -> list[pathlib.Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []


def restore(
    checkpoint: tf.train.Checkpoint,
    prefix: pathlib.Path,
    problem: str,
    remedy: str = "",
) -> None:
    """Restore everything that a checkpoint object holds now.

    Raises:
        UserError: "PROBLEM (REASON)REMEDY", if the file is damaged or lacks something.
    """
    try:
        _refuse_other_files(prefix)
        status = checkpoint.read(for_tensorflow(prefix))
        status.assert_existing_objects_matched().expect_partial()
    except (*_READ_ERRORS, AssertionError) as error:
        reason = _shorten(error, prefix)
        raise UserError(f"{problem} ({reason}){remedy}") from error


def read_array(prefix: pathlib.Path, name: str) -> np.ndarray | None:
    """Read a variable of a whole checkpoint by its path; None if it is not there."""
    reader = tf.train.load_checkpoint(for_tensorflow(prefix))
    key = f"{name}/.ATTRIBUTES/VARIABLE_VALUE"
    if not reader.has_tensor(key):
        return None
    values: np.ndarray = reader.get_tensor(key)
    return values


def find_damage(prefix: pathlib.Path) -> str | None:
    """Return why a checkpoint cannot be read to its end; None if it can.

    Reading compares the checksum of each variable.
    """
    try:
        _refuse_other_files(prefix)
        reader = tf.train.load_checkpoint(for_tensorflow(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except _READ_ERRORS as error:
        return _shorten(error, prefix)
    return None


def _refuse_other_files(prefix: pathlib.Path) -> None:
    """Raise ValueError for a folder, pipe, or device in the place of a file."""
    for path in prefix.parent.glob(f"{glob.escape(prefix.name)}.*"):
        if not files.is_regular(path):
            raise ValueError(f"{path.name} is not a file")


def _shorten(error: Exception, prefix: pathlib.Path) -> str:
    of_tensorflow = isinstance(error, tf.errors.OpError)
    text = summarize_error(error) if of_tensorflow else str(error)
    text = text.replace(for_tensorflow(prefix), prefix.name)
    return " ".join(text.split())[:100]
