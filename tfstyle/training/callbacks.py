"""What happens around training steps: progress, log, previews, checkpoints, stops."""

import dataclasses
import json
import math
import pathlib
import signal
import sys
import time
from collections.abc import Mapping

import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs import folder as runs
from tfstyle.runs.metrics_log import MetricsLog
from tfstyle.training.monitoring import Monitor

# Test numbers that are printed; metrics.jsonl holds them all.
_SHOWN_NUMBERS = 4


@dataclasses.dataclass(frozen=True)
class Intervals:
    """After how many steps something is done; the last step does it too.

    Args:
        log: write running means of the losses.
        evaluate: test numbers, and the best checkpoint.
        preview: pictures.
        checkpoint: what a stopped run resumes from.
    """

    log: int
    evaluate: int
    preview: int
    checkpoint: int


class Progress:
    """One line that is rewritten on a terminal, a line now and then elsewhere."""

    def __init__(self, stage: str, steps: int, start: int):
        self._stage = stage
        self._steps = steps
        self._start = start
        self._began = time.time()
        self._shown = 0.0
        self._terminal = sys.stdout.isatty()

    def show(self, step: int, losses: Mapping[str, float]) -> None:
        """Show the step, the time left and the running means."""
        now = time.time()
        last = step == self._steps
        if now - self._shown < (0.2 if self._terminal else 15) and not last:
            return
        self._shown = now
        rate = (step - self._start) / max(now - self._began, 1e-9)
        left = (self._steps - step) / max(rate, 1e-9)
        done = step / self._steps
        bar = "=" * int(20 * done)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        line = (
            f"{self._stage} [{bar:<20}] {step}/{self._steps}  {rate:.3g} steps/s  "
            f"{_clock(left)} left  {numbers}"
        )
        if self._terminal:
            print(f"\r\x1b[2K{line[:200]}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def note(self, text: str) -> None:
        """Print a line of its own."""
        print(f"\r\x1b[2K{text}" if self._terminal else text, flush=True)


class Housekeeping(tf.keras.callbacks.Callback):
    """Does everything that is due after a step, in a fixed order.

    Args:
        folder: of the stage.
        steps: where training ends.
        batch_size: global.
        seed: of the run.
        intervals: when what is due.
        manager: of the checkpoints to resume from.
        best_manager: of the best networks, None to keep none.
        monitor: evaluates (the highest score is the best) and writes previews.
        start: the step that training (re)starts from.
    """

    def __init__(
        self,
        folder: runs.StageFolder,
        steps: int,
        batch_size: int,
        seed: int,
        intervals: Intervals,
        manager: tf.train.CheckpointManager,
        best_manager: tf.train.CheckpointManager | None,
        monitor: Monitor,
        start: int,
    ):
        super().__init__()
        self._folder = folder
        self._steps = steps
        self._batch_size = batch_size
        self._intervals = intervals
        self._manager = manager
        self._best_manager = best_manager
        self._monitor = monitor
        self._step = self._logged_step = start
        self._logged_time = time.time()
        self._log = MetricsLog(folder, start, seed)
        self._progress = Progress(folder.stage, steps, start)
        self._recorded: set[str] | None = None
        self._stop_requested = False
        self._best_file = folder.checkpoints / "best.json"

    def listen_for_signals(self) -> None:
        """Let Ctrl-C and SIGTERM end training after the current step."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request_stop)

    def on_train_begin(self, logs=None):
        self._recorded = None

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        step, intervals = self._step, self._intervals
        if self._recorded is None:
            # A phase may leave some means untouched; they would show as zeros.
            self._recorded = {
                mean.name
                for mean in self.model.metrics
                if tf.keras.backend.get_value(mean.count) > 0
            }
        losses = {
            name: float(value)
            for name, value in (logs or {}).items()
            if name in self._recorded
        }
        self._check_finite(losses)
        self._progress.show(step, losses)
        due = {
            name: step % getattr(intervals, name) == 0 or step == self._steps
            for name in ("log", "evaluate", "preview", "checkpoint")
        }
        if due["log"] or due["evaluate"]:
            self._write_losses(losses)
        if due["evaluate"]:
            self._run_evaluation()
        if due["preview"]:
            self._monitor.preview(self.model, step)
        if due["checkpoint"] or self._stop_requested:
            self._manager.save(checkpoint_number=step)
        if self._stop_requested:
            raise KeyboardInterrupt(
                f"stopped after step {step} of {self._steps}; the same command "
                "continues from there, without --restart"
            )

    def _write_losses(self, losses):
        now = time.time()
        seconds = now - self._logged_time
        steps = self._step - self._logged_step
        values = {**losses, "steps_per_second": steps / max(seconds, 1e-9)}
        values["learning_rate"] = float(
            tf.keras.backend.get_value(self.model.optimizer[0].learning_rate)
        )
        self._log.write("train", self._step, values, steps * self._batch_size, seconds)
        self._logged_step, self._logged_time = self._step, now
        self.model.reset_metrics()

    def _run_evaluation(self):
        began = time.time()
        evaluation = self._monitor.evaluate(self.model)
        numbers, score = evaluation.numbers, evaluation.score
        self.model.reset_metrics()
        seconds = time.time() - began
        count = self._monitor.test_count
        self._log.write("eval", self._step, numbers, count, seconds)
        first = list(numbers.items())[:_SHOWN_NUMBERS]
        shown = "  ".join(f"{name} {value:.4g}" for name, value in first)
        self._progress.note(f"{self._folder.stage} step {self._step}: {shown}")
        if evaluation.warning:
            self._progress.note(f"warning: {evaluation.warning}")
        if self._best_manager and score is not None and score >= self._best_score():
            self._best_manager.save(checkpoint_number=self._step)
            files.write_json(self._best_file, {"step": self._step, "score": score})
        self._logged_time = time.time()

    def _best_score(self) -> float:
        try:
            best = json.loads(self._best_file.read_text())
        except FileNotFoundError:
            return -math.inf
        return best["score"]

    def _check_finite(self, losses):
        for name, value in losses.items():
            if not math.isfinite(value):
                saved = self._manager.latest_checkpoint
                kept = pathlib.Path(saved).name if saved else "none yet"
                raise UserError(
                    f"{self._folder.stage}: {name} became {value} at step "
                    f"{self._step}; training stopped (last checkpoint: {kept}). Lower "
                    "the learning rate, or look at the pictures of that step"
                )

    def _request_stop(self, number, frame):
        if self._stop_requested:
            raise KeyboardInterrupt
        self._stop_requested = True


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
