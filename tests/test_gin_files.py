"""Every shipped configuration trains, and the paper's files have its numbers."""

import dataclasses
import json
import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf

from helpers.commands import ROOT, module
from helpers.pictures import list_portraits
from helpers.stages import UntrainedCodes
from tfstyle.core import gin_config
from tfstyle.data import input_pipeline, record_writer, records
from tfstyle.data.collections import splits
from tfstyle.data.pictures import Conversion
from tfstyle.modeling import stages
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.stages import factories, optimizers
from tfstyle.modeling.stages.gan import GANSettings
from tfstyle.modeling.stages.vae import VAESettings
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import trainer
from tfstyle.training.settings import TrainSettings, read_settings

# Folders of smaller configurations than the paper's.
RECIPES = ("quickstart", "portraits64")
STAGES = stages.names()
# Table 1: features of each level, blocks of each level.
TABLE_1 = {
    "style_encoder": ((64, 128, 256, 384, 512), (1, 1, 1, 1, 1)),
    # The table lists five blocks for these six levels; one each is meant.
    "content_encoder": ((64, 128, 192, 256, 384, 512), (1, 1, 1, 1, 1, 1)),
    "content_decoder": ((64, 128, 192, 256, 384, 512), (1, 1, 1, 1, 1, 1)),
    "generator": ((64, 128, 192, 256, 384, 512), (2, 2, 2, 2, 2, 2)),
    "discriminators": ((64, 128, 256, 512), (1, 1, 1, 1)),
}
# Table 2: algorithm, learning rate, batch size, t. The classifier is section 6.1's
# "same network".
TABLE_2 = {
    "metric": ("Adam", 1e-4, 32, 0.995),
    "classifier": ("Adam", 1e-4, 32, 0.995),
    "vae": ("RMSprop", 5e-5, 16, 0.995),
    "gan": ("RMSprop", 2e-5, 8, None),
}
NETWORKS = {
    "metric": ["style_encoder"],
    "classifier": ["style_encoder"],
    "vae": ["content_encoder", "content_decoder"],
    "gan": ["generator", "discriminators"],
}
# What the gan stage adds to the paper.
ADDITIONS_OFF = {
    "reconstruction_share": 0,
    "transfer_share": 0,
    "reconstruction_weight": 0,
    "style_prior": "normal",
    "feature_weight": 0,
    "decoder_weight": 0,
    "r1_weight": 0,
    "start": "random",
}
GIBIBYTE = 2**30

pytestmark = pytest.mark.usefixtures("clean_gin")


def parse(*names) -> TrainSettings:
    files = [str(ROOT / "gin" / name) for name in names]
    gin_config.parse(files, [], trainer.list_configurables())
    return read_settings()


def copy_weights(model) -> dict[str, list[np.ndarray]]:
    return {
        name: [variable.numpy() for variable in network.trainable_variables]
        for name, network in model.networks.items()
        if network.trainable
    }


def list_changed(before, after) -> set[str]:
    return {
        name
        for name, values in before.items()
        if any(
            not np.array_equal(value, other)
            for value, other in zip(values, after[name], strict=True)
        )
    }


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_recipes_stage_builds_and_takes_a_step(stage, recipe, portraits_records):
    # Each stage's dimensions, as its own file says, and the earlier stages' networks.
    needs = stages.spec(stage).needs
    settings = parse(*(f"{recipe}/{name}.gin" for name in [*needs, stage]))
    codes = UntrainedCodes(settings.image_size, Pruning())

    model = trainer.build_stage(settings, codes, portraits_records)

    assert settings.stage == stage
    batches = input_pipeline.train_batches(
        portraits_records, settings.splits, settings.batch_size, settings.seed
    )

    def draw_mean_codes():  # of each artist, to start a style space from
        shape = [len(portraits_records.artists), model.dims]
        return np.random.default_rng(0).normal(size=shape)

    # A step of each phase: the first one, and the one after its end.
    for start in [0, *model.phase_ends()]:
        before = copy_weights(model)
        model.reset_metrics()
        model.set_phase(start, draw_mean_codes)
        history = model.fit(batches, steps_per_epoch=1, verbose=0).history

        losses = {
            name: value
            for name, (value,) in history.items()
            if not name.startswith("eval_")
        }
        assert losses and np.isfinite(list(losses.values())).all(), losses
        assert list_changed(before, copy_weights(model)) == set(before)
    assert model.steps_done == 1 + len(model.phase_ends())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_64_pixels_wide_and_shares_its_style_encoder(recipe):
    configurations = []
    for stage in STAGES:
        settings = parse(f"{recipe}/{stage}.gin")
        encoder = factories.style_encoder().get_config()
        configurations.append((settings.image_size, encoder))
        gin.clear_config()

    first = configurations[0]
    assert first[0] == 64
    assert all(configuration == first for configuration in configurations)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_judged_on_unseen_pictures(recipe):
    for stage in STAGES:
        assert parse(f"{recipe}/{stage}.gin").splits == ("train",)
        gin.clear_config()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipes_content_is_free_of_style(recipe):
    parse(f"{recipe}/vae.gin")
    assert Pruning().content_normalization == "given_style"


def make_networks() -> dict[str, tf.keras.Model]:
    return {
        "style_encoder": factories.style_encoder(),
        "content_encoder": factories.content_encoder(),
        "content_decoder": factories.content_decoder(256),
        "generator": factories.generator(256),
        "discriminators": factories.discriminators(256, 32),
    }


@pytest.mark.parametrize("source", ["gin files", "defaults"])
def test_networks_are_table_1s(source):
    if source == "gin files":
        parse("metric.gin", "vae.gin", "gan.gin")

    configured = make_networks()

    configurations = {name: net.get_config() for name, net in configured.items()}
    levels = {
        name: (tuple(config["features"]), tuple(config["blocks"]))
        for name, config in configurations.items()
    }
    assert levels == TABLE_1
    # Section 5.2.
    assert configurations["style_encoder"]["dims"] == 512
    assert configurations["content_encoder"]["dims"] == 512
    assert configurations["discriminators"]["patch_size"] == 64
    assert configured["discriminators"].patch_counts == [1, 4, 16]
    assert networks.HIDDEN_FEATURES == 512


@pytest.mark.parametrize("stage", STAGES)
def test_training_is_table_2s(stage):
    algorithm, rate, batch_size, t = TABLE_2[stage]

    settings = parse(f"{stage}.gin")

    assert (settings.stage, settings.image_size) == (stage, 256)
    assert settings.batch_size == batch_size
    assert gin.query_parameter(f"{algorithm.lower()}.learning_rate") == rate
    optimizer = getattr(optimizers, algorithm.lower())()
    config = optimizer.get_config()
    assert config["name"] == algorithm
    # The full rate, once the ramp of the first 100 steps is over.
    assert float(optimizer._learning_rate(0)) == pytest.approx(rate / 100)
    assert float(optimizer._learning_rate(99)) == pytest.approx(rate)
    assert float(optimizer._learning_rate(10**6)) == pytest.approx(rate)
    if algorithm == "Adam":
        assert (config["beta_1"], config["beta_2"]) == (0.9, 0.999)
        assert config["epsilon"] == 1e-8
    else:
        assert (config["rho"], config["epsilon"]) == (0.9, 1e-16)
        assert not config["centered"] and not config["momentum"]
    if t is not None:
        assert stages.spec(stage).settings().t == t
        assert gin.query_parameter(f"{stage}.t") == t


@pytest.mark.parametrize("source", ["gin files", "defaults"])
def test_codes_are_pruned_and_weighted_as_in_section_5_2(source):
    if source == "gin files":
        parse("metric.gin", "vae.gin", "gan.gin")

    pruning, gan = Pruning(), GANSettings()
    assert (pruning.style_dims, pruning.content_dims) == (32, 128)
    assert pruning.content_normalization == "none"
    assert (gan.code_dims, gan.style_weight, gan.content_weight) == (512, 0.5, 0.05)
    assert VAESettings() == VAESettings(t=0.995, kl_weight=1.0)
    assert dataclasses.asdict(gan) | ADDITIONS_OFF == dataclasses.asdict(gan)


def test_vae_and_gan_train_on_all_pictures_as_in_section_5_1():
    splits_of = {}
    for stage in STAGES:
        splits_of[stage] = parse(f"{stage}.gin").splits
        gin.clear_config()

    assert splits_of["metric"] == splits_of["classifier"] == ("train",)
    assert splits_of["vae"] == splits_of["gan"] == splits.SPLITS[:3]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "gin").glob("*.gin")), ids=lambda path: path.name
)
def test_the_papers_files_open_with_their_command(file):
    comments = [line for line in file.read_text().splitlines() if line.startswith("#")]

    command = f"python -m tfstyle.train --gin_file=gin/{file.name}"
    assert any(command in line for line in comments[:6])


@pytest.fixture(scope="module")
def full_size_records(tmp_path_factory) -> records.Dataset:
    """2 artists x 20 portraits, enlarged to 256x256: 32, 4, and 4."""
    sources = list_portraits(artists=range(2), count=20)
    rule = splits.SplitRule(min_images_per_artist=10, min_test_images=2)
    folder = tmp_path_factory.mktemp("full_size") / "records"
    dataset = record_writer.write_dataset(
        str(folder), sources, Conversion(256, format="jpeg"), rule
    )
    counts = [dataset.num_examples(split) for split in splits.SPLITS[:3]]
    assert counts == [32, 4, 4]
    return dataset


# A process' peak starts with that of the process which started it, and pytest's own
# may be larger than what is measured: a small process in between starts the command.
MEASURE_PEAK = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def train_at_full_size(stage, records_dir, run_dir) -> float:
    """Run the real command for a step; return the peak of its memory in GiB."""
    command = [*module("train"), f"--gin_file=gin/{stage}.gin"]
    command += ["--gin_param=train.steps=1", f"--records_dir={records_dir}"]
    result = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAK, *command, f"--run_dir={run_dir}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return int(result.stdout) * 1024 / GIBIBYTE


@pytest.mark.slow
def test_the_papers_four_files_train_at_full_size_one_after_the_other(
    full_size_records, tmp_path
):
    run_dir = tmp_path / "run"
    for stage in STAGES:
        peak = train_at_full_size(stage, full_size_records.records_dir, run_dir)

        algorithm, _, batch_size, t = TABLE_2[stage]
        folder = StageFolder(run_dir, stage)
        description = folder.read()
        identity = description.identity
        assert folder.finished and description.steps == 1
        assert (identity["image_size"], identity["batch_size"]) == (256, batch_size)
        names = {optimizer["name"] for optimizer in identity["optimizers"]}
        assert names == {algorithm}
        if t is not None:
            assert identity["objective"]["t"] == t
        for name in NETWORKS[stage]:
            config = description.networks[name]["config"]
            levels = (tuple(config["features"]), tuple(config["blocks"]))
            assert levels == TABLE_1[name]
        lines = [json.loads(line) for line in folder.metrics_file.open()]
        assert np.isfinite([line["value"] for line in lines]).all()
        # A workstation's graphics card, or a laptop, has 8.
        assert peak < 8, f"{stage}: {peak:.1f} GiB"

    run = TrainedRun(run_dir)
    assert run.code_sizes == [32, 128, 352]
    assert run.style_encoder.dims == 32
    assert run.content_encoder.dims == 128
