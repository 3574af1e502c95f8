"""metrics.jsonl and TensorBoard scalars of a stage."""

import json
import math
import time
from collections.abc import Mapping

import tensorflow as tf

from tfstyle.core import files
from tfstyle.runs.folder import StageFolder


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
            lines = folder.metrics_file.read_text().splitlines(keepends=True)
            valid = [line for line in lines if _step_of(line) <= step]
            files.write_text(folder.metrics_file, "".join(valid))

    def write(
        self,
        kind: str,
        step: int,
        values: Mapping[str, float],
        count: int,
        seconds: float,
    ) -> None:
        """Append numbers.

        Args:
            kind: "train" or "eval".
            step: steps done.
            values: by name.
            count: number of pictures that each value averages.
            seconds: time that computing them took.
        """
        if kind not in self._writers:
            folder = self._folder.path / "tensorboard" / kind
            self._writers[kind] = tf.summary.create_file_writer(str(folder))
        writer = self._writers[kind]
        with self._folder.metrics_file.open("a") as file, writer.as_default(step=step):
            for name, value in values.items():
                line = {
                    "kind": kind,
                    "stage": self._folder.stage,
                    "step": step,
                    "name": name,
                    "value": float(value),
                    "count": count,
                    "seed": self._seed,
                    "seconds": round(seconds, 3),
                    "time": round(time.time(), 3),
                }
                file.write(f"{json.dumps(line)}\n")
                tf.summary.scalar(name, value)
        writer.flush()


def log_evaluation(
    folder: StageFolder, values: Mapping[str, float], count: int, start: float
) -> None:
    """Append numbers of a trained stage, as `MetricsLog.write`.

    `start` is `time.time()` when measuring began.
    """
    run = folder.read()
    log = MetricsLog(folder, run.steps, run.identity["seed"])
    log.write("eval", run.steps, values, count, time.time() - start)


def _step_of(line: str) -> float:
    """Return a log line's step; a corrupt line counts as past every step."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return math.inf
