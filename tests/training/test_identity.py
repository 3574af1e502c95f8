"""A stage answers to the codes that it was trained on."""

import dataclasses
import shutil

import numpy as np
import pytest

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.runs import folder as runs
from tfstyle.runs import style_space
from tfstyle.runs.statistics import CodeStatistics
from tfstyle.training import identity


@pytest.fixture
def run_with_other_codes(tiny_run, tmp_path):
    """A run whose metric stage was trained again after vae and gan."""
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    path = run_dir / "metric" / runs.STATISTICS_FILES["metric"]
    statistics = CodeStatistics.read(path)
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(path)
    return run_dir


def test_all_stages_of_a_whole_run_are_found(tiny_run):
    assert list(runs.finished_stages(tiny_run)) == list(runs.STAGES)


def test_stages_of_codes_that_are_gone_are_left_out_and_said(
    run_with_other_codes, capsys
):
    assert list(runs.finished_stages(run_with_other_codes)) == ["metric", "classifier"]
    said = capsys.readouterr().out
    assert "the vae stage" in said
    assert "the gan stage" in said
    assert "--restart" in said


def test_training_on_a_stage_of_codes_that_are_gone_is_refused(
    run_with_other_codes, small_records
):
    dataset = records.read_dataset(small_records.records_dir)
    with pytest.raises(UserError, match="make-vae --restart"):
        identity.require_earlier_stages(
            "gan", run_with_other_codes, dataset, False, "make-{}"
        )


def enrol_ada(run_dir):
    nobody = style_space.read_enrolled(run_dir)
    mean = np.zeros(nobody.means.shape[1])
    style_space.write_enrolled(run_dir, nobody.plus("Ada", mean, 3))


def test_what_answers_to_the_codes_of_each_stage_is_named(tiny_run, tmp_path):
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    enrol_ada(run_dir)
    told = {
        stage: identity.dependents(runs.StageFolder(run_dir, stage))
        for stage in runs.STAGES
    }
    assert told == {
        "metric": [
            "stages to train again with --restart: vae, gan",
            "artists to enrol again: Ada",
        ],
        "classifier": [],
        "vae": ["stages to train again with --restart: gan"],
        "gan": [],
    }


def test_what_answers_to_codes_that_are_gone_is_not_named_again(run_with_other_codes):
    enrol_ada(run_with_other_codes)
    folder = runs.StageFolder(run_with_other_codes, "metric")
    assert identity.dependents(folder) == ["artists to enrol again: Ada"]


def test_nothing_answers_to_a_stage_that_is_not_there(tmp_path):
    assert identity.dependents(runs.StageFolder(tmp_path, "metric")) == []


@pytest.mark.parametrize("damage", ["no archive", "half an archive", "lacks an array"])
def test_damaged_statistics_are_said_with_the_way_to_make_them_again(
    damage, tiny_run, tmp_path
):
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    path = run_dir / "metric" / runs.STATISTICS_FILES["metric"]
    if damage == "lacks an array":
        np.savez(path, mean=np.zeros(4))
    else:
        whole = path.read_bytes()
        path.write_bytes(b"?" if damage == "no archive" else whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"is damaged: delete it.*metric\.gin"):
        runs.load_statistics(runs.StageFolder(run_dir, "metric"))
    with pytest.raises(UserError, match="is damaged"):
        runs.earlier_digests("gan", run_dir)
    assert identity.dependents(runs.StageFolder(run_dir, "metric")) == []


def test_first_weights_out_of_the_run_itself_are_refused(tmp_path):
    with pytest.raises(UserError, match="--init_from=.* is the run itself"):
        identity.check_folders(tmp_path / "run", f"{tmp_path}/other/../run")
    identity.check_folders(tmp_path / "run", f"{tmp_path}/other")


@pytest.mark.parametrize("run_dir", ["file", "file/run"])
def test_a_run_that_is_a_file_or_inside_of_one_is_refused(run_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--run_dir=.*/file is not a folder"):
        identity.check_folders(tmp_path / run_dir, None)


def test_differences_name_single_settings_inside_lists():
    old = {"optimizers": [{"rate": 1, "rho": 0.9}], "seed": 0}
    new = {"optimizers": [{"rate": 2, "rho": 0.9}], "seed": 0}
    assert runs.differences(old, new) == ["optimizers[0].rate: 1 -> 2"]
