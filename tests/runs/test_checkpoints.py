"""Checkpoints are found by their files, and read only if they are whole."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.runs import checkpoints
from tfstyle.runs.checkpoints import Checkpoints


@pytest.fixture
def saved() -> tf.train.Checkpoint:
    values = np.random.default_rng(0).normal(size=[200])
    return tf.train.Checkpoint(values=tf.Variable(values), step=tf.Variable(0))


@pytest.fixture
def folder(saved, tmp_path) -> Checkpoints:
    """Checkpoints of the steps 20 and 30; that of step 10 was deleted."""
    folder = Checkpoints(tmp_path / "checkpoints")
    for step in (10, 20, 30):
        saved.step.assign(step)
        folder.save(saved, step, keep=2)
    return folder


INDEX, DATA = ".index", ".data-00000-of-00001"


def file_of(folder: Checkpoints, step: int, end: str) -> pathlib.Path:
    prefix = folder.prefix(step)
    return prefix.with_name(prefix.name + end)


def test_the_newest_are_kept(folder, saved):
    assert folder.steps == [20, 30]
    names = sorted(path.name for path in folder.folder.iterdir())
    assert names == [f"step-{step}{end}" for step in (20, 30) for end in (DATA, INDEX)]
    checkpoints.restore(saved, folder.prefix(20), "problem")
    assert saved.step.numpy() == 20


def test_a_folder_that_does_not_exist_has_no_checkpoint(tmp_path):
    empty = Checkpoints(tmp_path / "none")
    assert empty.steps == [] and empty.find_newest_whole() is None


@pytest.mark.parametrize("end", [INDEX, DATA])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_skipped_with_a_message(end, share, folder, caplog):
    path = file_of(folder, 30, end)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    assert folder.find_newest_whole() == 20
    assert f"{folder.prefix(30)} is damaged and not used" in caplog.text


@pytest.mark.parametrize("position", [0.0, 0.3, 0.6, 0.99])
def test_a_flipped_bit_of_the_data_is_found(position, folder, caplog):
    path = file_of(folder, 30, DATA)
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1
    path.write_bytes(content)

    assert folder.find_newest_whole() == 20


@pytest.mark.parametrize("end", [INDEX, DATA])
def test_a_checkpoint_without_one_of_its_files_is_not_used(end, folder):
    file_of(folder, 30, end).unlink()
    assert folder.find_newest_whole() == 20


def test_without_a_whole_checkpoint_there_is_none(folder):
    for step in folder.steps:
        file_of(folder, step, INDEX).write_bytes(b"")
    assert folder.find_newest_whole() is None


def test_leftovers_of_later_steps_and_of_killed_processes_are_deleted(folder, saved):
    file_of(folder, 30, INDEX).write_bytes(b"")
    file_of(folder, 40, DATA).write_bytes(b"")  # killed before its index
    temporary = folder.folder / "step-40_temp"
    temporary.mkdir()
    (temporary / "part").touch()
    (folder.folder / "checkpoint").touch()
    (folder.folder / "step-notes.txt").touch()

    folder.save(saved, 25, keep=2)

    assert folder.steps == [20, 25]
    names = {path.name for path in folder.folder.iterdir()}
    others = names - {f"step-{step}{end}" for step in (20, 25) for end in (INDEX, DATA)}
    assert others == {"step-notes.txt"}


def test_a_copy_has_another_name_and_the_same_content(folder, saved, tmp_path):
    (tmp_path / "final").mkdir()

    folder.copy(20, tmp_path / "final" / "weights")

    checkpoints.restore(saved, tmp_path / "final" / "weights", "problem")
    assert saved.step.numpy() == 20


def test_a_checkpoint_of_something_else_is_a_user_error(folder):
    other = tf.train.Checkpoint(other=tf.Variable(1.0))
    with pytest.raises(UserError, match="^it does not fit .*; do this$"):
        checkpoints.restore(other, folder.prefix(20), "it does not fit", "; do this")


def test_checkpoints_that_tensorflow_manages_are_read_too(saved, tmp_path):
    """Those of earlier versions."""
    manager = tf.train.CheckpointManager(
        saved, str(tmp_path), 2, checkpoint_name="step"
    )
    manager.save(checkpoint_number=7)

    folder = Checkpoints(tmp_path)

    assert folder.find_newest_whole() == 7
    checkpoints.restore(saved, folder.prefix(7), "problem")


def test_a_variable_is_read_by_its_path(folder):
    assert checkpoints.read_array(folder.prefix(20), "step") == 20
    assert checkpoints.read_array(folder.prefix(20), "score") is None
