"""What to type next: the command that trains a stage of a run."""

import json
import pathlib
import shlex
from typing import Any


def train_command(stage: str, run_dir: pathlib.Path | str) -> str:
    """Give the command that trains a stage.

    Records, and the folder of configurations, are those of the stage itself or of
    another one of the run, where there is one.
    """
    gin_file, records_dir = pathlib.Path("gin", f"{stage}.gin"), None
    own = pathlib.Path(run_dir, stage, "run.json")
    # Whatever is read first is overruled by what is read later: the stage's own.
    for path in [*sorted(pathlib.Path(run_dir).glob("*/run.json")), own]:
        run = _read(path)
        records_dir = run.get("dataset", {}).get("records_dir", records_dir)
        beside = pathlib.Path(run.get("gin_dir", "gin"), f"{stage}.gin")
        if run and beside.is_file():
            gin_file = beside
    flags = {"gin_file": gin_file, "run_dir": run_dir, "records_dir": records_dir}
    given = [
        f" --{flag}={shlex.quote(str(value))}"
        for flag, value in flags.items()
        if value is not None
    ]
    return f"python -m tfstyle.train{''.join(given)}"


def missing(stage: str, run_dir: pathlib.Path | str) -> str:
    """Say that a run lacks a stage, or is not there at all, and how to make it."""
    what = f"{run_dir} has no {stage} stage"
    if not pathlib.Path(run_dir).is_dir():
        what = f"there is no folder {run_dir}"
    return f"{what}; make it with: {train_command(stage, run_dir)}"


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Read a run.json as far as it can be read: advice must not fail."""
    try:
        run = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    sound = isinstance(run, dict) and isinstance(run.get("dataset", {}), dict)
    return run if sound else {}
