"""A stage answers to the codes that it was trained on."""

import dataclasses
import shutil

import pytest

from tfstyle import lineage, runs
from tfstyle.code_statistics import CodeStatistics
from tfstyle.command import UserError
from tfstyle.data import records


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
        lineage.require_earlier_stages(
            "gan", run_with_other_codes, dataset, False, "make-{}"
        )


def test_differences_name_single_settings_inside_lists():
    old = {"optimizers": [{"rate": 1, "rho": 0.9}], "seed": 0}
    new = {"optimizers": [{"rate": 2, "rho": 0.9}], "seed": 0}
    assert runs.differences(old, new) == ["optimizers[0].rate: 1 -> 2"]
