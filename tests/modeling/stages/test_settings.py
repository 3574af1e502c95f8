"""Settings of the stages: errors name the setting, and all are part of the identity."""

import dataclasses
import json

import pytest

from helpers.stages import make_tiny_stage
from tfstyle.core.cli import UserError
from tfstyle.modeling import stages


@pytest.mark.parametrize(
    ("stage", "values", "message"),
    [
        (
            "metric",
            {"t": 0.0},
            "metric.t must be .* above 0 and at most 1, got 0.0",
        ),
        (
            "metric",
            {"t": 1.01},
            "metric.t must be .* above 0 and at most 1, got 1.01",
        ),
        (
            "metric",
            {"objective": "contrastive"},
            r"metric.objective must be one of \('presumed', .* got 'contrastive'",
        ),
        (
            "metric",
            {"start": "zeros"},
            r"metric.start must be one of \('random', 'mean_codes'\), got 'zeros'",
        ),
        (
            "metric",
            {"start_distance": 0},
            "metric.start_distance must be .* above 0",
        ),
        (
            "metric",
            {"start_distance": -1.2},
            "metric.start_distance must be .* above 0",
        ),
        (
            "metric",
            {"attraction_weight": -0.1},
            "metric.attraction_weight must be .* from 0 to 1000000, got -0.1",
        ),
        (
            "metric",
            {"warm_start_steps": -1},
            "metric.warm_start_steps must be a whole number from 0 to 1e15, got -1",
        ),
        (
            "metric",
            {"warm_start_steps": 0.5},
            "metric.warm_start_steps must be a whole number from 0 to 1e15, got 0.5",
        ),
        (
            "metric",
            {"objective": "pairwise", "images_per_artist": 1},
            "metric.images_per_artist must be at least 2, got 1: .* 'pairwise' needs",
        ),
        ("classifier", {"t": 0.0}, "classifier.t must be .* or None, got 0.0"),
        ("classifier", {"t": 2}, "classifier.t must be .* or None, got 2"),
        ("vae", {"t": -0.5}, "vae.t must be .* above 0 and at most 1, got -0.5"),
        (
            "vae",
            {"style_source": "work"},
            r"vae.style_source must be one of \('picture', 'artist'\), got 'work'",
        ),
        (
            "gan",
            {"style_source": "work"},
            r"gan.style_source must be one of \('picture', 'artist'\), got 'work'",
        ),
        (
            "vae",
            {"kl_weight": -1},
            "vae.kl_weight must be .* from 0 to 1000000, got -1",
        ),
        (
            "gan",
            {"start": "zeros"},
            r"gan.start must be one of \('random', 'decoder'\), got 'zeros'",
        ),
        (
            "gan",
            {"reconstruction_share": 1.5},
            "gan.reconstruction_share must be .* from 0 to 1, got 1.5",
        ),
        (
            "gan",
            {"style_prior": "uniform"},
            r"gan.style_prior must be one of \('normal', 'artists'\), got 'uniform'",
        ),
        (
            "gan",
            {"r1_weight": -1.0},
            "gan.r1_weight must be .* from 0 to 1000000, got -1.0",
        ),
        (
            "gan",
            {"decoder_weight": -1},
            "gan.decoder_weight must be .* from 0 to 1000000",
        ),
        (
            "gan",
            {"feature_weight": -1},
            "gan.feature_weight must be .* from 0 to 1000000",
        ),
        (
            "gan",
            {"r1_interval": 0},
            "gan.r1_interval must be a whole number from 1 to 1e15, got 0",
        ),
        (
            "gan",
            {"r1_interval": 1.5},
            "gan.r1_interval must be a whole number from 1 to 1e15, got 1.5",
        ),
    ],
)
def test_a_setting_out_of_its_range_is_an_error_that_names_it(stage, values, message):
    with pytest.raises(UserError, match=message):
        stages.spec(stage).settings(**values)


@pytest.mark.parametrize(
    ("stage", "values"),
    [
        ("metric", {"t": 1.0, "start_distance": None}),
        ("metric", {"objective": "presumed", "images_per_artist": 1}),
        ("classifier", {"t": None}),
        ("vae", {"kl_weight": 0}),
        ("gan", {"reconstruction_share": 1, "feature_weight": 0}),
    ],
)
def test_the_ends_of_a_range_are_allowed(stage, values):
    settings = stages.spec(stage).settings(**values)
    assert {name: getattr(settings, name) for name in values} == values


def test_gin_binds_settings_by_the_name_of_the_stage():
    model = make_tiny_stage("vae", "vae.kl_weight = 0.25", "vae.t = 0.9")

    assert model.objective["kl_weight"] == 0.25
    assert model.objective["t"] == 0.9


@pytest.mark.parametrize("stage", stages.names())
def test_all_settings_except_the_optimizers_are_part_of_the_identity(stage):
    """As JSON values; the optimizers' configurations are there beside them."""
    objective = make_tiny_stage(stage).objective

    names = {field.name for field in dataclasses.fields(stages.spec(stage).settings)}
    assert objective.keys() == {name for name in names if "optimizer" not in name}
    assert json.loads(json.dumps(objective)) == objective
