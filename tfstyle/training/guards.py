"""What stands around training: one process at a time, failures explained."""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.runs import folder as runs


@contextlib.contextmanager
def only_one(folder: runs.StageFolder) -> Iterator[None]:
    """Hold a lock, so that two processes never train one stage.

    Raises:
        UserError: if another process holds it.
    """
    folder.run_dir.mkdir(parents=True, exist_ok=True)
    path = folder.run_dir / f".{folder.stage}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another process is training {folder.path} at this moment"
            ) from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def explained_failures(
    dataset: records.Dataset,
    splits: Sequence[str],
    batch_size: int,
    accumulation_steps: int,
) -> Iterator[None]:
    """Say which setting or file is behind TensorFlow's errors.

    Raises:
        UserError: for a full disk, exhausted memory or a damaged record.
    """
    try:
        with input_pipeline.naming_bad_records(dataset, *splits):
            yield
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" in str(error):
            raise UserError(f"the disk is full: {error.message[:200]}") from error
        raise UserError(
            f"out of memory: lower train.batch_size={batch_size}, or raise "
            f"train.accumulation_steps={accumulation_steps} (same result, "
            "less memory)"
        ) from error
