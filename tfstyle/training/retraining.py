"""Classifiers trained for few dimensions: the fair reference of figure 1.

A classifier that is trained with all its features and cut to the first d is judged by
less than it was trained for. Here a classifier is trained for each d alone, otherwise
like the run's own: `python -m tfstyle.evaluate --retrain=1,2,4`.
"""

import logging
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from tfstyle.core import cli
from tfstyle.core.cli import UserError
from tfstyle.core.paths import keep_literal
from tfstyle.metrics import prefix
from tfstyle.modeling.stages import classifier
from tfstyle.runs import advice, retrained
from tfstyle.runs.trained_run import TrainedRun

logger = logging.getLogger(__name__)

ALL = "all"
_STOPPED = 130  # exit code of a command stopped by a signal


def parse_dims(run: TrainedRun, text: str) -> list[int]:
    """Parse the value of `--retrain`: "1,2,4", or "all" for the numbers of figure 1.

    Returns:
        Numbers of dimensions, sorted, without repetition.

    Raises:
        UserError: if there is no finished classifier, its records have changed, or a
            number is malformed or out of its range.
    """
    stage = classifier.SPEC.name
    described = run.description(stage)
    largest: int = described.networks["style_encoder"]["config"]["dims"]
    if not run.folder(stage).finished:
        raise UserError(
            "--retrain takes its settings from the classifier stage, but "
            f"{advice.describe_unfinished(stage, run.path)}"
        )
    if described.init_from:
        raise UserError(
            f"the classifier stage in {run.path} started from {described.init_from}: "
            "there are no such weights for other dimensions to start from"
        )
    run.open_records(stage)
    if text == ALL:
        return prefix.curve_dims(largest)
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= largest):
            raise UserError(
                f"--retrain must be {ALL} or numbers from 1 to {largest}, the "
                f"dimensions of the classifier in {run.path}, such as --retrain=1,2,4; "
                f"got {word!r} in {text!r}"
            )
    return sorted({int(word) for word in words})


def retrain(
    run_dir: pathlib.Path, dims: Sequence[int], records_dir: str | None = None
) -> None:
    """Train a classifier for each number of dimensions that has none yet.

    `records_dir` is where the run's records are now, if they were moved.

    Each is trained by a process of its own, which resumes a stopped training. A
    classifier with other settings or pictures than the classifier stage starts over.

    Raises:
        UserError: if a training fails.
        KeyboardInterrupt: if stopped by a signal, after a checkpoint.
    """
    for number, d in enumerate(dims, 1):
        name = f"classifier trained for d={d} ({number} of {len(dims)})"
        if retrained.is_current(run_dir, d):
            folder = retrained.stage_folder(run_dir, d)
            logger.info("%s: already trained in %s", name, folder.path)
            continue
        changes = retrained.list_changes(run_dir, d)
        reason = ""
        if changes:
            reason = f": starts over because of other settings: {changes[0]}"
        logger.info("%s%s", name, reason)
        code = _run(_train_command(run_dir, d, bool(changes), records_dir))
        if code in (_STOPPED, -signal.SIGINT, -signal.SIGTERM):
            raise KeyboardInterrupt(
                f"stopped at the {name}; run the same command again to resume"
            )
        if code:
            raise UserError(f"the {name} failed; see the output above")
        if not retrained.is_current(run_dir, d):
            changes = retrained.list_changes(run_dir, d) or ["other steps"]
            raise UserError(
                f"the {name} has other settings than the classifier stage: "
                f"{'; '.join(changes)}; train the classifier stage again with --restart"
            )


def _train_command(
    run_dir: pathlib.Path, d: int, restart: bool, records_dir: str | None
) -> list[str]:
    folder = TrainedRun(run_dir).folder(classifier.SPEC.name)
    described = folder.read()
    bindings = [
        f"style_encoder.dims = {d}",
        "classifier.t = None",
        # The best weights are those that classify best from all d features.
        f"pruning.style_dims = {d}",
        # Training may have gone beyond the configuration by now.
        f"train.steps = {described.steps}",
        "train.epochs = None",
    ]
    if described.strategy == "multi_worker":  # the others wait for no command
        bindings.append('train.strategy = "mirrored"')
    return [
        *(sys.executable, "-m", "tfstyle.train"),
        f"--gin_file={keep_literal(folder.path / 'operative_config.gin')}",
        *(f"--gin_param={binding}" for binding in bindings),
        f"--records_dir={keep_literal(records_dir or described.dataset.records_dir)}",
        f"--run_dir={keep_literal(retrained.stage_folder(run_dir, d).run_dir)}",
        *(["--restart"] if restart else []),
    ]


def _run(command: Sequence[str]) -> int:
    """Run a command to its end and pass on the signals that should stop it.

    The command gets a session of its own: a terminal's Ctrl-C would otherwise reach it
    a second time, and a second one stops a training without a checkpoint. It always
    gets SIGTERM, which it answers with a checkpoint.

    Returns:
        Its exit code, or that of a stopped training if a signal came too late for it.
    """
    received: list[int] = []
    with subprocess.Popen(command, start_new_session=True) as process:

        def pass_on(number: int, frame: FrameType | None) -> None:
            if not received:
                process.send_signal(signal.SIGTERM)
            received.append(number)

        handlers = cli.on_stop(pass_on)
        try:
            # A signal just before a wait without end would be noticed at its end.
            while (code := process.poll()) is None:
                time.sleep(0.1)
            return _STOPPED if received else code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
