"""What happens around training steps: progress, log, previews, checkpoints, stops."""

import json
import logging
import math
import pathlib
import signal
import time
from collections.abc import Mapping
from types import FrameType

import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.progress import progress_bar
from tfstyle.modeling.stages.stage import Stage
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.metrics_log import MetricsLog
from tfstyle.training.monitoring import Monitor
from tfstyle.training.settings import TrainSettings

logger = logging.getLogger(__name__)

# Numbers of an evaluation that are shown; metrics.jsonl has them all.
_SHOWN_NUMBERS = 4


class Housekeeping(tf.keras.callbacks.Callback):
    """Does everything that is due after a step, in a fixed order.

    Args:
        folder: of the stage.
        settings: of training.
        model: the stage, at the step that training starts or resumes from.
        steps: the step where it ends, at which everything is due.
        manager: of the checkpoints to resume from.
        monitor: evaluates and writes previews.
        keeps_best: whether the weights with the highest score are kept.
    """

    def __init__(
        self,
        folder: StageFolder,
        settings: TrainSettings,
        model: Stage,
        steps: int,
        manager: tf.train.CheckpointManager,
        monitor: Monitor,
        keeps_best: bool,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._settings = settings
        self._steps = steps
        self._manager = manager
        self._monitor = monitor
        self._best_manager = None
        if keeps_best:
            self._best_manager = tf.train.CheckpointManager(
                tf.train.Checkpoint(**model.networks),
                str(folder.checkpoints / "best"),
                max_to_keep=1,
                checkpoint_name="step",
            )
        start = self._step = self._logged_step = model.steps_done
        self._logged_time = time.time()
        self._log = MetricsLog(folder, start, settings.seed)
        self.progress = progress_bar(steps, folder.stage, start)
        self._recorded: set[str] | None = None
        self._stop_requested = False
        self._best_file = folder.checkpoints / "best.json"

    def listen_for_signals(self) -> None:
        """Let Ctrl-C and SIGTERM end training after the current step."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request_stop)

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        self._recorded = None

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        self._step += 1
        losses = self._losses_of(logs or {})
        self._check_finite(losses)
        self.progress.set_postfix_str(_format_numbers(losses), refresh=False)
        self.progress.update()
        settings = self._settings
        if self._is_due(settings.log_interval) or self._is_due(settings.eval_interval):
            self._write_losses(losses)
        if self._is_due(settings.eval_interval):
            self._run_evaluation()
        if self._is_due(settings.preview_interval):
            self._monitor.preview(self.model, self._step)
        if self._is_due(settings.checkpoint_interval) or self._stop_requested:
            self._manager.save(checkpoint_number=self._step)
        if self._stop_requested:
            raise KeyboardInterrupt(
                f"stopped after step {self._step} of {self._steps}; run the same "
                "command again, without --restart, to resume"
            )

    def _is_due(self, interval: int) -> bool:
        return self._step % interval == 0 or self._step == self._steps

    def _losses_of(self, logs: Mapping) -> dict[str, float]:
        """Return the running means that this phase of training records."""
        if self._recorded is None:
            # A phase may leave some means untouched; they would show as zeros.
            self._recorded = {
                mean.name
                for mean in self.model.metrics
                if tf.keras.backend.get_value(mean.count) > 0
            }
        return {
            name: float(value) for name, value in logs.items() if name in self._recorded
        }

    def _write_losses(self, losses: dict[str, float]) -> None:
        now = time.time()
        seconds = now - self._logged_time
        steps = self._step - self._logged_step
        rate = tf.keras.backend.get_value(self.model.optimizer[0].learning_rate)
        values = {
            **losses,
            "steps_per_second": steps / max(seconds, 1e-9),
            "learning_rate": float(rate),
        }
        count = steps * self._settings.batch_size
        self._log.write("train", self._step, values, count, seconds)
        self._logged_step, self._logged_time = self._step, now
        self.model.reset_metrics()

    def _run_evaluation(self) -> None:
        start = time.time()
        seen = self._monitor.evaluate(self.model)
        self.model.reset_metrics()
        count, seconds = self._monitor.count, time.time() - start
        self._log.write("eval", self._step, seen.numbers, count, seconds)
        shown = dict(list(seen.numbers.items())[:_SHOWN_NUMBERS])
        logger.info(
            "%s step %d: %s", self._folder.stage, self._step, _format_numbers(shown)
        )
        if seen.warning:
            logger.warning("warning: %s", seen.warning)
        score = seen.score
        if self._best_manager and score is not None and score >= self._best_score():
            self._best_manager.save(checkpoint_number=self._step)
            files.write_json(self._best_file, {"step": self._step, "score": score})
        self._logged_time = time.time()

    def _best_score(self) -> float:
        try:
            return json.loads(self._best_file.read_text())["score"]
        except FileNotFoundError:
            return -math.inf

    def _check_finite(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                latest = self._manager.latest_checkpoint
                saved = pathlib.Path(latest).name if latest else "none yet"
                raise UserError(
                    f"{self._folder.stage}: {name} became {value} at step "
                    f"{self._step}; training stopped (last checkpoint: {saved}). Lower "
                    "the learning rate, or look at the pictures of that step"
                )

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop_requested:
            raise KeyboardInterrupt
        self._stop_requested = True


def _format_numbers(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
