"""What training does with an existing run; tiny networks, each in a process."""

import dataclasses
import shutil

import pytest

from helpers.commands import ROOT, STEPS, list_files, refuse_training, train
from tfstyle.core.cli import UserError
from tfstyle.runs import advice
from tfstyle.runs.description import StageDescription
from tfstyle.runs.folder import StageFolder, read_code_digests
from tfstyle.training import trainer
from tfstyle.training.settings import TrainSettings


@pytest.fixture(scope="module")
def trained(small_records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("training") / "run"
    train("metric", small_records, run_dir)
    return run_dir


@pytest.fixture
def run_dir(trained, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_batch_is_divided_into_equal_parts():
    settings = TrainSettings(
        stage="metric",
        batch_size=8,
        steps=1,
        accumulation_steps=3,
        strategy="one_device",
    )
    with pytest.raises(UserError, match="batch_size=8 must divide by 1 replicas x .*3"):
        trainer.build_stage(settings, None, None)


# Existing runs.


@pytest.mark.slow
def test_a_restart_from_a_missing_run_deletes_nothing(run_dir, small_records):
    before = list_files(run_dir)
    line = refuse_training(
        "metric", small_records, run_dir, "--restart", "--init_from=../typo"
    )
    assert "--init_from=../typo has no metric stage" in line
    assert list_files(run_dir) == before


@pytest.mark.slow
def test_fewer_steps_than_were_trained_end_at_those_that_were(run_dir, small_records):
    folder = StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    output = train("metric", small_records, run_dir, train__steps=3)
    trained = f"already at step {STEPS}, beyond train.steps=3"
    assert trained in output
    assert (folder.path / "FINISHED").read_text() == f"step {STEPS}\n"
    assert folder.read().steps == STEPS


@pytest.mark.slow
def test_pruning_again_names_the_stages_that_depend_on_the_codes(
    run_dir, small_records
):
    vae = StageFolder(run_dir, "vae")
    description = StageFolder(run_dir, "metric").read()
    description.identity["earlier_stages"] = read_code_digests(run_dir, ["metric"])
    vae.write(StageDescription(**{**vars(description), "stage": "vae"}))
    vae.mark_finished(1)
    note = "stages to train again with --restart: vae"
    output = train("metric", small_records, run_dir)
    assert note not in output
    output = train("metric", small_records, run_dir, pruning__style_dims=3)
    assert note in output


@pytest.mark.slow
def test_the_next_stage_is_suggested_with_the_configurations_of_the_last(
    trained, small_records, monkeypatch
):
    monkeypatch.chdir(ROOT)
    assert advice.train_command("gan", trained) == (
        f"python -m tfstyle.train --gin_file=gin/quickstart/gan.gin --run_dir={trained}"
        f" --records_dir={small_records.records_dir}"
    )


@pytest.mark.slow
def test_training_with_moved_records_keeps_their_new_place(
    run_dir, small_records, tmp_path
):
    moved = dataclasses.replace(
        small_records,
        records_dir=str(shutil.copytree(small_records.records_dir, tmp_path / "moved")),
    )

    output = train("metric", moved, run_dir)

    assert "already trained" in output
    described = StageFolder(run_dir, "metric").read()
    assert described.dataset.records_dir == moved.records_dir


@pytest.mark.slow
def test_training_never_starts_over_in_a_folder_of_damaged_checkpoints(
    run_dir, small_records
):
    checkpoints = StageFolder(run_dir, "metric").checkpoints
    (run_dir / "metric" / "FINISHED").unlink()
    for path in checkpoints.glob("step-*.index"):
        path.write_bytes(b"")
    before = list_files(run_dir)

    line = refuse_training("metric", small_records, run_dir)

    assert f"no checkpoint in {checkpoints} is whole" in line
    assert f"--init_from={run_dir}" in line and "--restart" not in line
    assert list_files(run_dir) == before
