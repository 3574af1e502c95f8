"""metrics.jsonl and TensorBoard scalars of a stage."""

import json
import math
import time
from collections.abc import Mapping

import tensorflow as tf

from tfstyle.core import files
from tfstyle.runs import folder as runs


class MetricsLog:
    """metrics.jsonl and TensorBoard of one stage.

    Args:
        folder: of the stage.
        step: where training (re)starts; later lines of an earlier attempt are dropped.
        seed: of the run.
    """

    def __init__(self, folder: runs.StageFolder, step: int, seed: int):
        self._folder = folder
        self._seed = seed
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        if folder.metrics_file.exists():
            lines = folder.metrics_file.read_text().splitlines(keepends=True)
            kept = [line for line in lines if _step_of(line) <= step]
            files.write_text(folder.metrics_file, "".join(kept))

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
            count: pictures that each value averages.
            seconds: that computing them took.
        """
        lines = [
            json.dumps(
                {
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
            )
            for name, value in values.items()
        ]
        with self._folder.metrics_file.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))
        with self._writer(kind).as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer(kind).flush()

    def _writer(self, kind: str):
        if kind not in self._writers:
            folder = self._folder.path / "tensorboard" / kind
            self._writers[kind] = tf.summary.create_file_writer(str(folder))
        return self._writers[kind]


def log_evaluation(
    folder: runs.StageFolder, values: Mapping[str, float], count: int, began: float
) -> None:
    """Append what was measured of a trained stage.

    Args:
        folder: of the stage.
        values: by name.
        count: pictures that each value averages.
        began: `time.time()` when measuring began.
    """
    run = folder.read()
    log = MetricsLog(folder, run["steps"], run["identity"]["seed"])
    log.write("eval", run["steps"], values, count, time.time() - began)


def _step_of(line: str) -> float:
    """Give a log line's step; a damaged line counts as past every step."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        return math.inf
