"""Classifiers trained for few dimensions: the fair reference of figure 1.

A classifier trained whole and cut to its first d features is judged by less than it
was made for. Here one is trained for each d alone, otherwise as the run's own:
`python -m tfstyle.evaluate --retrain=1,2,4`.
"""

import copy
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from tfstyle import runs
from tfstyle.analysis import metrics
from tfstyle.command import UserError

ALL = "all"
_STOPPED = 130  # exit code of a command stopped by a signal


def retrained_folder(run_dir: pathlib.Path, d: int) -> runs.StageFolder:
    """Give the folder of the classifier trained for d dimensions."""
    return runs.StageFolder(run_dir / "retrained" / str(d), "classifier")


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
        return metrics.curve_dims(largest)
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
        if is_current(run_dir, d):
            print(f"{where}: done already in {retrained_folder(run_dir, d).path}")
            continue
        changed = _changes(run_dir, d)
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
        if not is_current(run_dir, d):
            raise UserError(
                f"the {where} has other settings than the classifier stage: "
                f"{'; '.join(_changes(run_dir, d)) or 'other steps'}; train the "
                "classifier stage again with --restart"
            )


def finished_dims(run_dir: pathlib.Path) -> list[int]:
    """Find the numbers of dimensions for which a classifier is trained.

    Those that are of other settings than the classifier stage are left out and said.
    """
    found = []
    names = [path.name for path in (run_dir / "retrained").glob("*")]
    for d in sorted(int(name) for name in names if name.isdigit()):
        if not retrained_folder(run_dir, d).finished:
            continue
        if is_current(run_dir, d):
            found.append(d)
        else:
            print(
                f"{retrained_folder(run_dir, d).path} is not trained as the classifier "
                f"stage is, so it is left out; --retrain={d} trains it again"
            )
    return found


def is_current(run_dir: pathlib.Path, d: int) -> bool:
    """Tell whether a finished classifier for d is trained as the run's own."""
    folder = retrained_folder(run_dir, d)
    if not folder.exists or not folder.finished or _changes(run_dir, d):
        return False
    return folder.read()["steps"] == _own(run_dir)["steps"]


def _changes(run_dir: pathlib.Path, d: int) -> list[str]:
    """List what would keep a training for d from being continued."""
    folder = retrained_folder(run_dir, d)
    if not folder.exists:
        return []
    own, there = _own(run_dir), folder.read()
    expected = copy.deepcopy(own["identity"])
    expected["objective"]["t"] = None
    expected["networks"]["style_encoder"]["dims"] = d
    changed = runs.differences(there["identity"], expected)
    if there["steps"] > own["steps"]:
        changed.append(f"steps: {there['steps']} -> {own['steps']}")
    return changed


def _own(run_dir: pathlib.Path) -> dict[str, Any]:
    return runs.StageFolder(run_dir, "classifier").read()


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
        f"--run_dir={retrained_folder(run_dir, d).run_dir}",
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
