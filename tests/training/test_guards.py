"""Mistakes that would cost a training are found before it, and never two at once."""

import math
import shutil
import subprocess
import sys
import types

import gin
import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs import folder as runs
from tfstyle.training import guards, identity, trainer
from tfstyle.training import settings as train_settings

SETTINGS = {"stage": "metric", "batch_size": 8, "steps": 10}


def test_a_second_process_is_kept_from_a_stage(tmp_path):
    folder = runs.StageFolder(tmp_path, "metric")
    with (
        guards.only_one(folder),
        pytest.raises(UserError, match="another process"),
        guards.only_one(folder),
    ):
        pass


def test_the_next_process_may_train_when_the_first_is_done(tmp_path):
    folder = runs.StageFolder(tmp_path, "metric")
    for _ in range(2):
        with guards.only_one(folder):
            pass


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"steps": 0}, "train.steps"),
        ({"steps": "x"}, "train.steps"),
        ({"steps": None}, "train.epochs"),
        ({"epochs": 2}, "train.epochs"),
        ({"batch_size": "8"}, "train.batch_size"),
        ({"eval_interval": 0}, "train.eval_interval"),
        ({"steps": True}, "train.steps"),
        ({"steps": None, "epochs": math.inf}, "train.epochs"),
        ({"steps": None, "epochs": math.nan}, "train.epochs"),
        ({"seed": -1}, "train.seed"),
        ({"seed": 2**32}, "train.seed"),
        ({"splits": "train"}, "train.splits"),
        ({"splits": ("trian",)}, "train.splits"),
        ({"checkpoint": "foo"}, "train.checkpoint"),
        ({"stage": "gan", "checkpoint": "best"}, "train.checkpoint"),
    ],
)
def test_a_wrong_setting_is_named_before_training(changed, named):
    with pytest.raises(UserError, match=named):
        train_settings.TrainSettings(**{**SETTINGS, **changed})


def test_an_unknown_precision_is_named():
    settings = train_settings.TrainSettings(**SETTINGS, precision="foo")
    with pytest.raises(UserError, match="train.precision.*mixed_bfloat16.*foo"):
        trainer.build_stage(settings, None, None)


@pytest.mark.parametrize("wanted", [0, 9, "8"])
def test_keeping_more_dimensions_than_there_are_is_refused(wanted):
    model = types.SimpleNamespace(name="metric", dims=8)
    try:
        gin.bind_parameter("pruning.style_dims", wanted)
        with pytest.raises(UserError, match="pruning.style_dims"):
            identity.check_pruning(model)
    finally:
        gin.clear_config()


def test_a_damaged_checkpoint_is_named(tmp_path):
    saved = tf.train.Checkpoint(one=tf.Variable(np.zeros(4)))
    prefix = saved.write(str(tmp_path / "step-1"))
    (tmp_path / "step-1.index").write_bytes(b"garbage")
    with pytest.raises(UserError, match="step-1 is damaged"):
        identity.restore(saved, prefix)


def test_training_never_begins_again_over_checkpoints_without_their_index(
    tiny_run, small_records, tmp_path
):
    run_dir = shutil.copytree(tiny_run, tmp_path / "run")
    (run_dir / "metric" / "FINISHED").unlink()
    (run_dir / "metric" / "checkpoints" / "checkpoint").unlink()
    before = (run_dir / "metric" / "metrics.jsonl").read_bytes()
    done = subprocess.run(
        [sys.executable, tiny.__file__, small_records.records_dir, str(run_dir)],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode != 0
    assert "names the newest is gone" in done.stderr
    assert (run_dir / "metric" / "metrics.jsonl").read_bytes() == before


def test_a_run_file_without_its_entries_is_said_to_be_damaged(tmp_path):
    folder = runs.StageFolder(tmp_path, "metric")
    files.write_json(folder.path / "run.json", {"format_version": 1})
    with pytest.raises(UserError, match="run.json is damaged"):
        folder.read()
