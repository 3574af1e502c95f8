"""What to type next: the commands that train a stage, or make its files again."""

import pathlib
from typing import NamedTuple

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.paths import quote


def train_command(stage: str, run_dir: pathlib.Path | str) -> str:
    """Return the command that trains a stage.

    Records and folder of configurations are those of the stage itself, or of another
    stage of the run if there is one.
    """
    gin_file, records_dir = pathlib.Path("gin", f"{stage}.gin"), None
    stage_file = pathlib.Path(run_dir, stage, "run.json")
    # Later files override earlier ones; the stage's own comes last.
    for path in [*sorted(pathlib.Path(run_dir).glob("*/run.json")), stage_file]:
        described = _read(path)
        records_dir = described.records_dir or records_dir
        if described.gin_dir is not None:
            candidate = pathlib.Path(described.gin_dir, f"{stage}.gin")
            gin_file = candidate if candidate.is_file() else gin_file
    return _format_command(gin_file, run_dir, records_dir)


def repair_command(stage: str, run_dir: pathlib.Path | str) -> str:
    """Return the command that makes what is missing or corrupt of a trained stage.

    It repeats the settings that the stage was trained with.
    """
    folder = pathlib.Path(run_dir, stage)
    gin_file = folder / "operative_config.gin"
    if not gin_file.is_file():
        return train_command(stage, run_dir)
    described, copy = _read(folder / "run.json"), _read(folder / "checkpoints/run.json")
    records_dir = described.records_dir or copy.records_dir
    return _format_command(gin_file, run_dir, records_dir)


def describe_remedy(stage: str, run_dir: pathlib.Path | str) -> str:
    """Return the end of an error about a corrupt file that can be made again."""
    return f"; make it again with: {repair_command(stage, run_dir)}"


def describe_missing(stage: str, run_dir: pathlib.Path | str) -> str:
    """Describe a run that lacks a stage, or does not exist, and how to train it."""
    problem = f"{run_dir} has no {stage} stage"
    if not pathlib.Path(run_dir).is_dir():
        problem = f"there is no folder {run_dir}"
    return f"{problem}; train it with: {train_command(stage, run_dir)}"


def describe_unfinished(
    stage: str, run_dir: pathlib.Path | str, command: str | None = None
) -> str:
    """Describe a stage whose training is not complete, and how to resume it."""
    return (
        f"the {stage} stage in {run_dir} is unfinished; resume it with: "
        f"{command or train_command(stage, run_dir)}"
    )


def describe_outdated(
    stage: str, run_dir: pathlib.Path | str, command: str | None = None
) -> str:
    """Describe a stage trained on older codes, and how to train it again."""
    return (
        f"the {stage} stage in {run_dir} was trained on older codes of an earlier "
        f"stage; train it again with: {command or train_command(stage, run_dir)} "
        "--restart"
    )


def _format_command(
    gin_file: pathlib.Path, run_dir: pathlib.Path | str, records_dir: str | None
) -> str:
    flags = {"gin_file": gin_file, "run_dir": run_dir, "records_dir": records_dir}
    arguments = [
        f"--{flag}={quote(value)}" for flag, value in flags.items() if value is not None
    ]
    return " ".join(["python -m tfstyle.train", *arguments])


class _Described(NamedTuple):
    """What advice needs of a run.json; None for what cannot be read."""

    records_dir: str | None = None
    gin_dir: str | None = None


def _read(path: pathlib.Path) -> _Described:
    """Read what can be read of a run.json: advice must not fail."""
    try:
        run = files.read_json(path)
    except (OSError, UserError):
        return _Described()
    run = run if isinstance(run, dict) else {}
    dataset = run.get("dataset")
    records_dir = dataset.get("records_dir") if isinstance(dataset, dict) else None
    texts = (
        v if isinstance(v, str) else None
        for v in (records_dir, run.get("gin_dir", "gin"))
    )
    return _Described(*texts)
