"""Whatever file of a run is damaged, training goes on from what is whole, and says so.

Tiny networks, each training in a process of its own.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest

from helpers.commands import (
    ROOT,
    STEPS,
    error_line,
    interrupt_training,
    list_files,
    module,
    read_output,
    run,
    train,
    train_command,
)
from tfstyle.runs.folder import StageFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(small_records, tmp_path_factory):
    """A run whose metric stage is finished, with checkpoints of steps 35 and 40."""
    run_dir = tmp_path_factory.mktemp("damage") / "run"
    train("metric", small_records, run_dir)
    return run_dir


@pytest.fixture(scope="module")
def stopped(small_records, tmp_path_factory):
    """A run whose metric stage was stopped, with at least two checkpoints."""
    run_dir = tmp_path_factory.mktemp("damage") / "run"
    interrupt_training("metric", small_records, run_dir, after_step=15)
    return run_dir


@pytest.fixture
def folder(finished, tmp_path) -> StageFolder:
    """A copy of the finished stage, to be damaged."""
    return StageFolder(shutil.copytree(finished, tmp_path / "run"), "metric")


@pytest.fixture
def stopped_folder(stopped, tmp_path) -> StageFolder:
    """A copy of the stopped stage, to be damaged."""
    return StageFolder(shutil.copytree(stopped, tmp_path / "run"), "metric")


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


def fill(path: pathlib.Path) -> None:
    path.write_bytes(b"\0\xff\n" * 100)


def write_null(path: pathlib.Path) -> None:
    path.write_text("null\n")


def remove(path: pathlib.Path) -> None:
    path.unlink()


def read_weights(folder: StageFolder) -> list[np.ndarray]:
    return folder.load_network("style_encoder").get_weights()


def assert_same_weights(folder: StageFolder, run_dir: pathlib.Path) -> None:
    expected = read_weights(StageFolder(run_dir, folder.stage))
    for values, others in zip(read_weights(folder), expected, strict=True):
        np.testing.assert_array_equal(values, others)


@pytest.mark.parametrize(
    ("end", "damage"),
    [
        (".index", empty),
        (".index", remove),
        (".data-00000-of-00001", cut),
        (".data-00000-of-00001", remove),
    ],
)
def test_training_resumes_from_the_newest_whole_checkpoint(
    end, damage, stopped_folder, finished, small_records
):
    """And ends where it would have ended, bit for bit."""
    older, newest = stopped_folder.resumable.steps
    damage(stopped_folder.resumable.prefix(newest).with_suffix(end))

    output = train("metric", small_records, stopped_folder.run_dir)

    if (damage, end) != (remove, ".index"):  # that is no checkpoint at all
        assert f"step-{newest} is damaged and not used" in output
    assert f"resuming from step {older}" in output
    assert_same_weights(stopped_folder, finished)
    assert stopped_folder.resumable.steps == [STEPS - 5, STEPS]


@pytest.mark.parametrize("content", ['model_checkpoint_path: "step-999"\n', None])
def test_a_list_of_checkpoints_is_not_needed(
    content, stopped_folder, finished, small_records
):
    """Older versions and TensorFlow write it; a kill may come before."""
    if content is not None:
        (stopped_folder.checkpoints / "checkpoint").write_text(content)
    newest = stopped_folder.resumable.steps[-1]

    output = train("metric", small_records, stopped_folder.run_dir)

    assert f"resuming from step {newest}" in output
    assert_same_weights(stopped_folder, finished)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metrics.jsonl", fill),
        ("run.json", write_null),
        ("run.json", remove),
        ("checkpoints/best.json", empty),
    ],
)
def test_other_files_of_a_stopped_stage_are_not_needed(
    name, damage, stopped_folder, finished, small_records
):
    damage(stopped_folder.path / name)

    output = train("metric", small_records, stopped_folder.run_dir)

    assert "resuming from step" in output
    if name == "run.json":
        assert "run.json" in output and "its copy" in output
    assert_same_weights(stopped_folder, finished)
    best = json.loads((stopped_folder.checkpoints / "best.json").read_text())
    other = StageFolder(finished, "metric").checkpoints / "best.json"
    assert best == json.loads(other.read_text())
    stopped_folder.read()
    for line in stopped_folder.metrics_file.read_text().splitlines():
        assert json.loads(line)["step"] <= STEPS


def test_a_damaged_line_of_the_log_costs_that_line_alone(stopped_folder, small_records):
    lines = stopped_folder.metrics_file.read_bytes().splitlines(keepends=True)
    damaged = [*lines[:3], b"null\n", b'{"kind": "tr\n', b"\xff\xfe\0\n", *lines[3:]]
    stopped_folder.metrics_file.write_bytes(b"".join(damaged))

    output = train("metric", small_records, stopped_folder.run_dir)

    assert "3 damaged lines deleted from" in output
    whole = stopped_folder.metrics_file.read_bytes().splitlines(keepends=True)
    assert whole[: len(lines)] == lines


def test_what_a_finished_stage_has_computed_is_computed_again(
    folder, finished, small_records
):
    """By the command that the errors of other commands print."""
    cut(folder.final_weights.with_suffix(".data-00000-of-00001"))
    empty(folder.statistics_file)
    line = error_line(
        run([*module("search"), f"--run_dir={folder.run_dir}", _picture()], cwd=ROOT)
    )
    assert "--restart" not in line and "delete" not in line
    command = line.split("again with: ")[1]

    output = read_output(run(["bash", "-c", command], cwd=ROOT))

    assert "already trained" in output and "warning: " in output
    assert_same_weights(folder, finished)
    expected = StageFolder(finished, "metric").load_statistics().digest
    assert folder.load_statistics().digest == expected
    assert folder.finished


def test_a_damaged_checkpoint_of_the_best_weights_is_not_made_final(
    folder, small_records
):
    (step,) = folder.best.steps
    cut(folder.best.prefix(step).with_suffix(".data-00000-of-00001"))
    shutil.rmtree(folder.checkpoints / "final")

    output = train("metric", small_records, folder.run_dir)

    assert f"best/step-{step} is damaged and not used" in output
    read_weights(folder)


def test_a_finished_stage_without_checkpoints_stays_finished(
    folder, finished, small_records
):
    """Its final weights are all that later stages need."""
    for path in folder.checkpoints.glob("step-*"):
        path.unlink()

    output = train("metric", small_records, folder.run_dir)

    assert f"already trained to step {STEPS}" in output
    assert_same_weights(folder, finished)


def test_a_dry_run_shows_what_a_folder_holds_and_writes_nothing(
    folder, small_records, tmp_path
):
    before = list_files(tmp_path)
    plans = {}
    for name, (steps, *flags) in {
        "finished": (STEPS,),
        "more steps": (STEPS + 10,),
        "restart": (STEPS, "--restart"),
    }.items():
        command = train_command(
            "metric", small_records, folder.run_dir, "--dry_run", *flags,
            train__steps=steps,
        )  # fmt: skip
        plans[name] = read_output(run(command, cwd=ROOT))

    assert "trained already" in plans["finished"]
    assert f"resuming from step {STEPS}, where it was" in plans["more steps"]
    assert "deleting what it has trained so far" in plans["restart"]
    assert list_files(tmp_path) == before


def test_a_dry_run_refuses_other_settings(folder, small_records, tmp_path):
    before = list_files(tmp_path)

    done = run(
        train_command(
            "metric", small_records, folder.run_dir, "--dry_run", train__seed=5
        ),
        cwd=ROOT,
    )

    assert "seed: 0 -> 5" in error_line(done)
    assert list_files(tmp_path) == before


def test_a_dry_run_with_a_mistyped_run_leaves_nothing(small_records, tmp_path):
    for flags in ([], ["--dry_run"]):
        command = train_command(
            "metric", small_records, tmp_path / "new", "--init_from=typo", *flags
        )
        assert "--init_from=typo has no" in error_line(run(command, cwd=ROOT))
    assert not list(tmp_path.iterdir())


def _picture() -> str:
    return "tests/pictures/portraits-64/dylan/00000.png"
