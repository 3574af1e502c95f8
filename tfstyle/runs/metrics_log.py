"""metrics.jsonl and TensorBoard scalars of a stage."""

import json
import logging
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, TypedDict

import tensorflow as tf

from tfstyle.core import files, typed
from tfstyle.core.names import format_count
from tfstyle.core.paths import for_tensorflow
from tfstyle.runs.folder import StageFolder

logger = logging.getLogger(__name__)


class _Entry(TypedDict):
    """A line, as far as it is read."""

    step: int
    name: str
    value: float | None


class MetricsLog:
    """Appends numbers to metrics.jsonl and TensorBoard.

    Args:
        folder: of the stage.
        step: where training starts or resumes; later lines of an earlier attempt are
            deleted.
        seed: of the run.
    """

    def __init__(self, folder: StageFolder, step: int, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        if folder.metrics_file.exists():
            _drop_lines(folder.metrics_file, step)

    def write(
        self,
        kind: str,
        step: int,
        values: Mapping[str, float | None],
        count: int,
        seconds: float,
    ) -> None:
        """Append numbers.

        Args:
            kind: "train" or "eval".
            step: steps done.
            values: by name; those that are None or not finite are stored as null.
            count: number of pictures that each value averages.
            seconds: time that computing them took.
        """
        if kind not in self._writers:
            folder = self._folder.tensorboard / kind
            self._writers[kind] = tf.summary.create_file_writer(for_tensorflow(folder))
        writer = self._writers[kind]
        with self._folder.metrics_file.open("a") as file, writer.as_default(step=step):
            for name, value in values.items():
                number = math.nan if value is None else float(value)
                defined = math.isfinite(number)
                line = {
                    "kind": kind,
                    "stage": self._folder.stage,
                    "step": step,
                    "name": name,
                    "value": number if defined else None,
                    "count": count,
                    "seed": self._seed,
                    "seconds": round(seconds, 3),
                    "time": round(time.time(), 3),
                }
                file.write(f"{json.dumps(line)}\n")
                if defined:
                    tf.summary.scalar(name, number)
        writer.flush()


def log_evaluation(
    folder: StageFolder, values: Mapping[str, float | None], count: int, start: float
) -> None:
    """Append numbers of a trained stage, as `MetricsLog.write`.

    `start` is `time.time()` when measuring began.
    """
    run = folder.read()
    log = MetricsLog(folder, run.steps, run.identity["seed"])
    log.write("eval", run.steps, values, count, time.time() - start)


def read_numbers(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl; those that are damaged are skipped."""
    lines = map(_parse, files.read_bytes(path).split(b"\n"))
    return [line for line in lines if line is not None]


def find_last_step(path: pathlib.Path) -> int:
    """Return the last step of a metrics.jsonl; 0 without one."""
    try:
        return max((entry["step"] for entry in read_numbers(path)), default=0)
    except FileNotFoundError:
        return 0


def _drop_lines(path: pathlib.Path, last_step: int) -> None:
    """Delete damaged lines, with a message, and lines of later steps."""
    content = files.read_bytes(path)
    lines = [line for line in content.split(b"\n") if line]
    numbers = list(map(_parse, lines))
    whole = [
        line
        for line, number in zip(lines, numbers, strict=True)
        if number is not None and number["step"] <= last_step
    ]
    damaged = numbers.count(None)
    if damaged:
        count = format_count(damaged, "damaged line")
        logger.warning("warning: %s deleted from %s", count, path)
    rest = b"".join(line + b"\n" for line in whole)
    if rest != content:
        with files.atomic_file(path) as temporary:
            temporary.write_bytes(rest)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None if it is damaged."""
    try:
        number: dict[str, Any] = typed.convert(_Entry, json.loads(line))
    except (ValueError, RecursionError):
        return None
    return number
