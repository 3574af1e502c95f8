"""Suggested commands use the records and configurations of the run."""

import json
import shlex

import pytest

from tfstyle.runs import advice


def describe(run_dir, stage, **entries):
    folder = run_dir / stage
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(entries))


@pytest.fixture
def gin_dir(tmp_path):
    folder = tmp_path / "gin" / "quick start"
    folder.mkdir(parents=True)
    (folder / "gan.gin").write_text("")
    return folder


def test_without_a_run_the_usual_configuration_is_suggested(tmp_path):
    run_dir = tmp_path / "run"
    assert advice.train_command("gan", run_dir) == (
        f"python -m tfstyle.train --gin_file=gin/gan.gin --run_dir={run_dir}"
    )


def test_records_and_configurations_are_those_of_another_stage(tmp_path, gin_dir):
    run_dir = tmp_path / "run"
    dataset = {"records_dir": "/my records"}
    describe(run_dir, "metric", dataset=dataset, gin_dir=str(gin_dir))
    assert advice.train_command("gan", run_dir) == (
        f"python -m tfstyle.train --gin_file='{gin_dir}/gan.gin' --run_dir={run_dir} "
        "--records_dir='/my records'"
    )
    # That folder has no configuration of this stage.
    assert "--gin_file=gin/vae.gin " in advice.train_command("vae", run_dir)


def test_the_stages_own_records_come_before_those_of_others(tmp_path):
    for stage in ("metric", "gan", "vae"):
        describe(tmp_path, stage, dataset={"records_dir": f"/of/{stage}"})
    for stage in ("metric", "gan", "vae"):
        assert f"--records_dir=/of/{stage}" in advice.train_command(stage, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"dataset": 1}', "\x00"])
def test_a_corrupt_run_file_does_not_prevent_advice(text, tmp_path):
    describe(tmp_path, "metric")
    (tmp_path / "metric" / "run.json").write_text(text)
    assert f"gin/vae.gin --run_dir={tmp_path}" in advice.train_command("vae", tmp_path)


def test_a_missing_run_differs_from_a_run_without_the_stage(tmp_path):
    problem = advice.describe_missing("vae", tmp_path / "no")
    assert problem.startswith(f"there is no folder {tmp_path / 'no'}; train it with: ")
    problem = advice.describe_missing("vae", tmp_path)
    assert problem.startswith(f"{tmp_path} has no vae stage; train it with: ")
    assert problem.endswith(advice.train_command("vae", tmp_path))


def test_unfinished_stages_are_resumed_and_outdated_ones_restarted(tmp_path):
    command = advice.train_command("vae", tmp_path)
    unfinished = advice.describe_unfinished("vae", tmp_path)
    assert unfinished.startswith(f"the vae stage in {tmp_path} is unfinished; resume")
    assert unfinished.endswith(command)
    assert advice.describe_outdated("vae", tmp_path).endswith(f"{command} --restart")


def test_a_stage_is_repaired_with_the_settings_that_it_was_trained_with(tmp_path):
    """And with records in their place, in a command that can be pasted."""
    run_dir = tmp_path / "my [run]"
    describe(run_dir, "vae", dataset={"records_dir": "/my records"})
    assert "gin/vae.gin" in advice.repair_command("vae", run_dir)
    gin_file = run_dir / "vae" / "operative_config.gin"
    gin_file.write_text("")

    command = advice.repair_command("vae", run_dir)

    assert shlex.split(command)[3:] == [
        f"--gin_file={gin_file}",
        f"--run_dir={run_dir}",
        "--records_dir=/my records",
    ]
