"""What happens around training steps: progress, log, previews, checkpoints, stops."""

import logging
import math
import pathlib
import time
from collections.abc import Mapping
from types import FrameType
from typing import TypedDict

import tensorflow as tf

from tfstyle.core import cli, files, typed
from tfstyle.core.cli import UserError
from tfstyle.core.progress import progress_bar
from tfstyle.metrics.repeats import format_number
from tfstyle.modeling.stages.stage import EvalNumbers, Stage
from tfstyle.runs.checkpoints import read_array
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.metrics_log import MetricsLog
from tfstyle.training.monitoring import Monitor
from tfstyle.training.settings import TrainSettings
from tfstyle.training.workers.group import Alone

logger = logging.getLogger(__name__)

# Numbers of an evaluation that are shown; metrics.jsonl has them all.
_SHOWN_NUMBERS = 4


class Housekeeping(tf.keras.callbacks.Callback):
    """Does everything that is due after a step, in a fixed order.

    Of several workers, only the chief writes. All evaluate together, in the same order.

    Args:
        folder: of the stage.
        settings: of training.
        model: the stage, at the step that training starts or resumes from.
        steps: the step where it ends, at which everything is due.
        saved: what a checkpoint to resume from holds.
        monitor: evaluates and writes previews.
        keeps_best: whether the weights with the highest score are kept.
        group: of the workers that train together.
    """

    def __init__(
        self,
        folder: StageFolder,
        settings: TrainSettings,
        model: Stage,
        steps: int,
        saved: tf.train.Checkpoint,
        monitor: Monitor,
        keeps_best: bool,
        group: Alone,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._settings = settings
        self._steps = steps
        self._saved = saved
        self._monitor = monitor
        self._group = group
        self._best = None
        if keeps_best and group.is_chief:
            self._best = BestWeights(folder, model)
        start = self._step = self._logged_step = model.steps_done
        self._logged_time = time.time()
        self._log = None
        if group.is_chief:
            self._log = MetricsLog(folder, start, settings.seed)
        self.progress = progress_bar(steps, folder.stage, start, group.is_chief)
        self._recorded: set[str] | None = None
        self._stop_requested = False

    def listen_for_signals(self) -> None:
        """Let Ctrl-C, SIGTERM, and SIGHUP end training after the current step."""
        cli.on_stop(self._request_stop)

    def on_train_begin(self, logs: Mapping | None = None) -> None:
        self._recorded = None

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        self._step += 1
        losses = self._losses_of(logs or {})
        self._check_finite(losses)
        self.progress.set_postfix_str(format_numbers(losses), refresh=False)
        self.progress.update()
        settings = self._settings
        intervals = (
            *(settings.log_interval, settings.eval_interval),
            *(settings.preview_interval, settings.checkpoint_interval),
        )
        stops = self._group.agree_to_stop(self._stop_requested)
        is_chief = self._group.is_chief
        if is_chief and (any(map(self._is_due, intervals)) or stops):
            # Otherwise a part of it would be made again, where it was.
            self._folder.check_presence()
        if self._is_due(settings.log_interval) or self._is_due(settings.eval_interval):
            self._write_losses(losses)
        if self._is_due(settings.eval_interval):
            self._run_evaluation()
        if is_chief and self._is_due(settings.preview_interval):
            self._monitor.preview(self.model, self._step)
        if is_chief and (self._is_due(settings.checkpoint_interval) or stops):
            self._folder.resumable.save(
                self._saved, self._step, settings.checkpoints_kept
            )
        if stops:
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
        if self._log:
            self._log.write("train", self._step, values, count, seconds)
        self._logged_step, self._logged_time = self._step, now
        self.model.reset_metrics()

    def _run_evaluation(self) -> None:
        start = time.time()
        seen = self._monitor.evaluate(self.model)
        self.model.reset_metrics()
        if self._log:
            seconds = time.time() - start
            count = self._monitor.count
            self._log.write("eval", self._step, seen.numbers, count, seconds)
            self._report_evaluation(seen)
        self._logged_time = time.time()

    def _report_evaluation(self, seen: EvalNumbers) -> None:
        shown = dict(list(seen.numbers.items())[:_SHOWN_NUMBERS])
        logger.info(
            "%s step %d: %s", self._folder.stage, self._step, format_numbers(shown)
        )
        if seen.warning:
            logger.warning("warning: %s", seen.warning)
        if self._best and seen.score is not None:
            self._best.offer(self._step, seen.score)

    def _check_finite(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            if not math.isfinite(value):
                steps = self._folder.resumable.steps
                saved = f"step-{steps[-1]}" if steps else "none yet"
                raise UserError(
                    f"{self._folder.stage}: {name} became {value} at step "
                    f"{self._step}; training stopped (last checkpoint: {saved}). Lower "
                    "the learning rate, or look at the pictures of that step"
                )

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop_requested:
            raise KeyboardInterrupt
        self._stop_requested = True


class _Best(TypedDict):
    """What best.json holds, as far as it is read."""

    score: float


class BestWeights:
    """Keeps the weights with the highest score, in checkpoints/best.

    The score is stored with the weights, so that a damaged file loses both or none.

    Args:
        folder: of the stage.
        model: the stage.
    """

    def __init__(self, folder: StageFolder, model: Stage) -> None:
        self._folder = folder
        self._score = tf.Variable(-math.inf, dtype=tf.float64)
        self._saved = tf.train.Checkpoint(**model.networks, score=self._score)
        self._score.assign(self._read_score())

    def offer(self, step: int, score: float) -> None:
        """Keep the weights of now if their score is not below that of the kept ones."""
        if score < self._score:
            return
        self._score.assign(score)
        self._folder.best.save(self._saved, step, keep=1)
        files.write_json(self._json_file, {"step": step, "score": score})

    @property
    def _json_file(self) -> pathlib.Path:
        """The same for people; older versions stored the score only here."""
        return self._folder.checkpoints / "best.json"

    def _read_score(self) -> float:
        step = self._folder.best.find_newest_whole()
        if step is None:
            return -math.inf
        score = read_array(self._folder.best.prefix(step), "score")
        if score is not None:
            return float(score)
        try:
            best = typed.convert(_Best, files.read_json(self._json_file))
            return float(best["score"])
        except (OSError, ValueError):
            logger.warning(
                "warning: %s is corrupt, so the next weights count as the best",
                self._json_file,
            )
            return -math.inf


def format_numbers(numbers: Mapping[str, float]) -> str:
    """Format numbers for a line of the log."""
    return "  ".join(
        f"{name} {format_number(value, '.4g')}" for name, value in numbers.items()
    )
