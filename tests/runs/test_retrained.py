"""Classifiers for few dimensions count if they are trained like the run's own."""

import dataclasses
import pathlib

import pytest

from helpers import configuration as tiny
from helpers import runs
from tfstyle.core.cli import UserError
from tfstyle.runs import retrained


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    return runs.keep_stages(tiny_run, tmp_path / "run", "classifier")


def test_folders_are_those_of_finished_classifiers_in_order(run_dir):
    assert retrained.find_folders(run_dir) == {}
    for d in (16, 1, 2, 4):
        runs.pretend_retrained(run_dir, d)
    retrained.stage_folder(run_dir, 2).mark_unfinished()
    (run_dir / "retrained" / "notes").mkdir()

    folders = retrained.find_folders(run_dir)

    assert list(folders) == [1, 4, 16]
    assert folders[4].path == run_dir / "retrained" / "4" / "classifier"


def test_only_classifiers_of_the_same_settings_are_current(run_dir, caplog):
    for d in (1, 4, 8):
        runs.pretend_retrained(run_dir, d)
    runs.change_identity(retrained.stage_folder(run_dir, 8), seed=7)

    current = retrained.find_current(run_dir)

    assert list(current) == [1, 4]
    (message,) = caplog.messages
    assert message.startswith(f"skipped {run_dir}/retrained/8/classifier: ")
    assert "--retrain=8 trains it again" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"seed": 7}, ["seed: 7 -> 0"]),
        ({"batch_size": 4}, ["batch_size: 4 -> 8"]),
    ],
)
def test_changes_are_differences_other_than_those_of_its_dimensions(
    change, expected, run_dir
):
    runs.change_identity(runs.pretend_retrained(run_dir, 2), **change)

    assert retrained.list_changes(run_dir, 2) == expected
    assert retrained.is_current(run_dir, 2) == (not expected)


def test_more_steps_are_a_change_and_fewer_are_resumed(run_dir):
    folder = runs.pretend_retrained(run_dir, 2)
    steps = tiny.STEPS["classifier"]
    folder.write(dataclasses.replace(folder.read(), steps=steps + 1))
    assert retrained.list_changes(run_dir, 2) == [f"steps: {steps + 1} -> {steps}"]
    assert not retrained.is_current(run_dir, 2)

    folder.write(dataclasses.replace(folder.read(), steps=steps - 1))
    assert retrained.list_changes(run_dir, 2) == []
    assert not retrained.is_current(run_dir, 2)


def test_what_was_never_trained_is_not_current(run_dir, tmp_path):
    assert not retrained.is_current(run_dir, 2)
    assert retrained.list_changes(run_dir, 2) == []
    with pytest.raises(UserError, match="no folder .*train it with: .*classifier.gin"):
        retrained.describe_classifier(tmp_path / "no")
