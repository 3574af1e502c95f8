"""Mistakes in the settings of training are found before it, and named."""

import dataclasses
import math

import gin
import pytest

from tfstyle.core.cli import UserError
from tfstyle.training.settings import TrainSettings, read_settings

SETTINGS = {"stage": "metric", "batch_size": 8, "steps": 10}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"stage": "metrik"}, "train.stage"),
        ({"steps": 0}, "train.steps"),
        ({"steps": "x"}, "train.steps"),
        ({"steps": None}, "train.epochs"),
        ({"epochs": 2}, "train.epochs"),
        ({"batch_size": "8"}, "train.batch_size"),
        ({"image_size": 0}, "train.image_size"),
        ({"accumulation_steps": 0}, "train.accumulation_steps"),
        ({"checkpoints_kept": 0}, "train.checkpoints_kept"),
        ({"eval_interval": 0}, "train.eval_interval"),
        ({"log_interval": 0.5}, "train.log_interval"),
        ({"preview_interval": -1}, "train.preview_interval"),
        ({"checkpoint_interval": None}, "train.checkpoint_interval"),
        ({"steps": True}, "train.steps"),
        ({"steps": None, "epochs": math.inf}, "train.epochs"),
        ({"steps": None, "epochs": math.nan}, "train.epochs"),
        ({"seed": -1}, "train.seed"),
        ({"seed": 2**32}, "train.seed"),
        ({"splits": "train"}, "train.splits"),
        ({"splits": ("trian",)}, "train.splits"),
        ({"precision": "foo"}, "train.precision.*mixed_bfloat16.*foo"),
        ({"jit_compile": "yes"}, "train.jit_compile must be .* None, got 'yes'"),
        ({"checkpoint": "foo"}, "train.checkpoint"),
        ({"stage": "gan", "checkpoint": "best"}, "train.checkpoint"),
    ],
)
def test_a_wrong_setting_is_named(changed, name):
    with pytest.raises(UserError, match=name):
        TrainSettings(**{**SETTINGS, **changed})


@pytest.mark.parametrize(
    ("values", "last_step"),
    [
        ({"steps": 10}, 10),
        ({"steps": None, "epochs": 2}, 14),
        ({"steps": None, "epochs": 0.5}, 4),  # 3.5, rounded up
    ],
)
def test_training_ends_after_steps_or_epochs(values, last_step):
    assert TrainSettings(**{**SETTINGS, **values}).last_step(7) == last_step


@pytest.mark.parametrize(
    ("values", "keeps_best"),
    [
        ({}, True),
        ({"checkpoint": "best"}, True),
        ({"checkpoint": "last"}, False),
        ({"splits": ("train", "test")}, True),
        ({"splits": ("train", "validation")}, False),
        ({"stage": "gan"}, False),
    ],
)
def test_the_best_weights_are_kept_if_validation_pictures_are_unseen(
    values, keeps_best, small_records
):
    """Unless the stage has no score, as the gan."""
    settings = TrainSettings(**{**SETTINGS, **values})
    assert settings.keeps_best(small_records) == keeps_best


def test_without_validation_pictures_the_last_weights_are_kept(small_records):
    old = dataclasses.replace(
        small_records, shards={**small_records.shards, "validation": ()}
    )

    assert not TrainSettings(**SETTINGS).keeps_best(old)
    with pytest.raises(UserError, match="needs validation pictures .* has 0"):
        TrainSettings(**SETTINGS, checkpoint="best").keeps_best(old)
    trained_on = TrainSettings(
        **SETTINGS, checkpoint="best", splits=("train", "validation")
    )
    with pytest.raises(UserError, match="train.splits is .'train', 'validation'."):
        trained_on.keeps_best(small_records)


@pytest.mark.usefixtures("clean_gin")
def test_settings_are_read_from_gin():
    gin.parse_config('train.stage = "vae"\ntrain.batch_size = 4\ntrain.epochs = 1.5')

    assert read_settings() == TrainSettings(stage="vae", batch_size=4, epochs=1.5)


@pytest.mark.usefixtures("clean_gin")
def test_a_setting_without_a_default_that_is_missing_is_one_line():
    gin.parse_config('train.stage = "vae"')

    with pytest.raises(UserError, match="configuration: .*batch_size") as caught:
        read_settings()

    assert "\n" not in str(caught.value)
