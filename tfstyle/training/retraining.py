"""Classifiers trained for few dimensions: the fair reference of figure 1.

A classifier trained whole and cut to its first d features is judged by less than it
was made for. Here one is trained for each d alone, otherwise as the run's own:
`python -m tfstyle.evaluate --retrain=1,2,4`.
"""

import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from tfstyle.core.cli import UserError
from tfstyle.metrics import prefix
from tfstyle.runs import folder as runs
from tfstyle.runs import retrained

ALL = "all"
_STOPPED = 130  # exit code of a command stopped by a signal


def wanted_dims(run_dir: pathlib.Path, wanted: str) -> list[int]:
    """Read what `--retrain` was given.

    Args:
        run_dir: the run, with a finished classifier stage.
        wanted: numbers of dimensions, such as "1,2,4", or "all" of figure 1's.

    Returns:
        The numbers, in order, each once.

    Raises:
        UserError: if there is no finished classifier, its records have changed, or a
            number is none or out of its range.
    """
    folder = runs.StageFolder(run_dir, "classifier")
    largest = folder.read()["networks"]["style_encoder"]["config"]["dims"]
    if not folder.finished:
        raise UserError(
            f"--retrain takes its settings from the classifier stage in {run_dir}, "
            "which is unfinished; finish it with: "
            f"{runs.train_command('classifier', run_dir)}"
        )
    source = folder.read().get("init_from")
    if source:
        raise UserError(
            f"the classifier stage in {run_dir} began from {source}: for other "
            "dimensions there are no such weights to begin from"
        )
    runs.load_stage_dataset(folder)
    if wanted == ALL:
        return prefix.curve_dims(largest)
    words = [word.strip() for word in wanted.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit() and 1 <= int(word) <= largest):
            raise UserError(
                f"--retrain must be {ALL} or numbers from 1 to {largest}, the "
                f"dimensions of the classifier in {run_dir}, such as --retrain=1,2,4; "
                f"got {word!r} in {wanted!r}"
            )
    return sorted({int(word) for word in words})


def retrain(run_dir: pathlib.Path, dims: Sequence[int]) -> None:
    """Train a classifier for each number of dimensions, as far as not done yet.

    Each is trained by a process of its own, which goes on where it was stopped. One
    that is of other settings or pictures than the classifier stage begins again.

    Args:
        run_dir: the run.
        dims: from `wanted_dims`.

    Raises:
        UserError: if a training fails.
        KeyboardInterrupt: if stopped by a signal, after a checkpoint.
    """
    for number, d in enumerate(dims, 1):
        where = f"classifier trained for d={d} ({number} of {len(dims)})"
        if retrained.is_current(run_dir, d):
            folder = retrained.stage_folder(run_dir, d)
            print(f"{where}: done already in {folder.path}")
            continue
        changed = retrained.changes(run_dir, d)
        if changed:
            print(
                f"{where}: begins again, for it has other settings: {changed[0]}",
                flush=True,
            )
        else:
            print(where, flush=True)
        code = _run(_train_command(run_dir, d, restart=bool(changed)))
        if code in (_STOPPED, -signal.SIGINT, -signal.SIGTERM):
            raise KeyboardInterrupt(
                f"stopped at the {where}; the same command goes on from there"
            )
        if code:
            raise UserError(f"the {where} failed; what is wrong is said above")
        if not retrained.is_current(run_dir, d):
            changed = retrained.changes(run_dir, d) or ["other steps"]
            raise UserError(
                f"the {where} has other settings than the classifier stage: "
                f"{'; '.join(changed)}; train the classifier stage again with --restart"
            )


def _train_command(run_dir: pathlib.Path, d: int, restart: bool) -> list[str]:
    own = runs.StageFolder(run_dir, "classifier")
    described = own.read()
    bindings = [
        f"style_encoder.dims = {d}",
        "classifier.t = None",
        # The best weights are those that classify best from all d features.
        f"pruning.style_dims = {d}",
        # It may have gone further than its configuration says by now.
        f"train.steps = {described['steps']}",
        "train.epochs = None",
    ]
    return [
        *(sys.executable, "-m", "tfstyle.train"),
        f"--gin_file={own.path / 'operative_config.gin'}",
        *(f"--gin_param={binding}" for binding in bindings),
        f"--records_dir={described['dataset']['records_dir']}",
        f"--run_dir={retrained.stage_folder(run_dir, d).run_dir}",
        *(["--restart"] if restart else []),
    ]


def _run(command: Sequence[str]) -> int:
    """Run a command to its end, passing on the signals that should stop it.

    It gets a session of its own: a terminal's Ctrl-C would reach it a second time,
    and a second one stops a training without a checkpoint. It gets SIGTERM for
    whatever comes, which it answers with a checkpoint.

    Returns:
        Its exit code, or that of a stopped training if a signal came too late for it.
    """
    came: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    with subprocess.Popen(command, start_new_session=True) as process:

        def pass_on(number, frame):
            if not came:
                process.send_signal(signal.SIGTERM)
            came.append(number)

        handlers = {number: signal.signal(number, pass_on) for number in numbers}
        try:
            # A signal just before a wait without end would be noticed at its end.
            while (code := process.poll()) is None:
                time.sleep(0.1)
            return _STOPPED if came else code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
