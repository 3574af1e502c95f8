"""What training does to what is there already; tiny networks, a process for each."""

import shutil

import pytest
import train_command as resume

from tfstyle.runs import advice
from tfstyle.runs import folder as runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(small_records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("training") / "run"
    resume.succeed("metric", small_records, run_dir)
    return run_dir


@pytest.fixture
def run_dir(trained, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_restart_from_a_run_that_is_not_there_deletes_nothing(run_dir, small_records):
    before = resume.files_of(run_dir)
    line = resume.refuse(
        "metric", small_records, run_dir, "--restart", "--init_from=../typo"
    )
    assert "--init_from=../typo holds no metric stage" in line
    assert resume.files_of(run_dir) == before


def test_fewer_steps_than_were_trained_end_at_those_that_were(run_dir, small_records):
    folder = runs.StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    done = resume.succeed("metric", small_records, run_dir, train__steps=3)
    trained = f"already at step {resume.STEPS}, beyond train.steps=3"
    assert trained in done.stdout
    assert (folder.path / "FINISHED").read_text() == f"step {resume.STEPS}\n"
    assert folder.read()["steps"] == resume.STEPS


def test_pruning_anew_names_what_was_trained_on_the_codes_before(
    run_dir, small_records
):
    vae = runs.StageFolder(run_dir, "vae")
    digests = runs.earlier_digests("vae", run_dir)
    vae.write({"identity": {"earlier_stages": digests}, "dataset": {}})
    vae.mark_finished(1)
    note = "stages to train again with --restart: vae"
    done = resume.succeed("metric", small_records, run_dir)
    assert note not in done.stdout
    done = resume.succeed("metric", small_records, run_dir, pruning__style_dims=3)
    assert note in done.stdout


def test_the_next_stage_is_suggested_with_the_configurations_of_the_last(
    trained, small_records, monkeypatch
):
    monkeypatch.chdir(resume.ROOT)
    assert advice.train_command("gan", trained) == (
        f"python -m tfstyle.train --gin_file=gin/quickstart/gan.gin --run_dir={trained}"
        f" --records_dir={small_records.records_dir}"
    )
