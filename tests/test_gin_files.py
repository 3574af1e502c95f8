"""Every shipped configuration trains, and the paper's files hold its numbers."""

import json
import os
import pathlib
import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core import gin_config
from tfstyle.data import input_pipeline, records, splits
from tfstyle.data.pictures import Conversion
from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.stages import factories, optimizers
from tfstyle.runs import folder as runs
from tfstyle.training import finishing, trainer
from tfstyle.training import settings as train_settings

ROOT = pathlib.Path(__file__).parents[1]
# Folders of smaller configurations than the paper's.
RECIPES = ("quickstart", "portraits64")
STAGES = ("metric", "classifier", "vae", "gan")
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
GIBIBYTE = 2**30


@pytest.fixture(autouse=True)
def _unbound(monkeypatch):
    """Leave neither bindings, search paths nor a precision behind."""
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", [""])
    gin.clear_config()
    yield
    gin.clear_config()
    tf.keras.mixed_precision.set_global_policy("float32")


def parse(*names) -> train_settings.TrainSettings:
    files = [str(ROOT / "gin" / name) for name in names]
    gin_config.parse(files, [], trainer.CONFIGURABLES)
    return train_settings.read_settings()


def encoder_on(image_size, network, dims) -> frozen_codes.NormalizedEncoder:
    """A random frozen encoder, pruned, in place of an earlier stage's."""
    network(tf.zeros([1, image_size, image_size, 3]))
    return frozen_codes.NormalizedEncoder(network, np.zeros(dims), np.ones(dims))


def code_decoder(decoder, style_dims, content_dims) -> frozen_codes.CodeDecoder:
    """A random frozen decoder, in place of the vae stage's."""
    decoder([tf.zeros([1, style_dims]), tf.zeros([1, content_dims])])
    scale = np.zeros(content_dims), np.ones(content_dims)
    return frozen_codes.CodeDecoder(decoder, *scale, None, content_dims)


def weights_of(model) -> dict[str, list[np.ndarray]]:
    return {
        name: [variable.numpy() for variable in network.trainable_variables]
        for name, network in model.networks.items()
        if network.trainable
    }


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_recipes_stage_builds_and_takes_a_step(
    stage, recipe, portraits_records, monkeypatch, tmp_path
):
    # Each stage's dimensions, as its own file says, and the earlier stages' networks.
    earlier = {"vae": ["metric"], "gan": ["metric", "vae"]}.get(stage, [])
    settings = parse(*(f"{recipe}/{one}.gin" for one in [*earlier, stage]))
    size = settings.image_size
    pruning = finishing.Pruning()
    monkeypatch.setattr(
        runs,
        "load_style_encoder",
        lambda _: encoder_on(size, factories.style_encoder(), pruning.style_dims),
    )
    monkeypatch.setattr(
        runs,
        "load_content_encoder",
        lambda _: encoder_on(size, factories.content_encoder(), pruning.content_dims),
    )

    monkeypatch.setattr(
        runs,
        "load_code_decoder",
        lambda _: code_decoder(
            factories.content_decoder(size), pruning.style_dims, pruning.content_dims
        ),
    )

    model = trainer.build_stage(settings, tmp_path, portraits_records)

    assert settings.stage == stage
    batches = input_pipeline.train_batches(
        portraits_records, settings.splits, settings.batch_size, settings.seed
    )

    def mean_codes():  # of each artist, to start a style space from
        shape = [len(portraits_records.artists), model.dims]
        return np.random.default_rng(0).normal(size=shape)

    # A step of each phase: the first one, and what follows its end.
    for start in [0, *model.phase_ends()]:
        before = weights_of(model)
        model.reset_metrics()
        model.set_phase(start, mean_codes)
        history = model.fit(batches, steps_per_epoch=1, verbose=0).history
        after = weights_of(model)

        losses = {
            name: value
            for name, (value,) in history.items()
            if not name.startswith("test_")
        }
        assert losses and np.isfinite(list(losses.values())).all(), losses
        changed = {
            name
            for name, old in before.items()
            if any(
                not np.array_equal(*one) for one in zip(old, after[name], strict=True)
            )
        }
        # The gan's first phase trains the generator alone.
        warm_start = start < max(model.phase_ends(), default=0)
        assert changed == ({"generator"} if warm_start else set(before))
    assert model.steps_done == 1 + len(model.phase_ends())


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_64_pixels_wide_and_shares_its_style_encoder(recipe):
    found = []
    for stage in STAGES:
        settings = parse(f"{recipe}/{stage}.gin")
        found.append((settings.image_size, factories.style_encoder().get_config()))
        gin.clear_config()

    assert found[0][0] == 64
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_judged_on_unseen_pictures(recipe):
    for stage in STAGES:
        assert parse(f"{recipe}/{stage}.gin").splits == ("train",)
        gin.clear_config()


def configured_networks() -> dict[str, tf.keras.Model]:
    return {
        "style_encoder": factories.style_encoder(),
        "content_encoder": factories.content_encoder(),
        "content_decoder": factories.content_decoder(256),
        "generator": factories.generator(256),
        "discriminators": factories.discriminators(256),
    }


@pytest.mark.parametrize("source", ["gin files", "defaults"])
def test_networks_are_table_1s(source):
    if source == "gin files":
        parse("metric.gin", "vae.gin", "gan.gin")

    configured = configured_networks()

    found = {
        name: (tuple(config["features"]), tuple(config["blocks"]))
        for name, config in (
            (name, network.get_config()) for name, network in configured.items()
        )
    }
    assert found == TABLE_1
    # Section 5.2.
    assert configured["style_encoder"].get_config()["dims"] == 512
    assert configured["content_encoder"].get_config()["dims"] == 512
    assert configured["discriminators"].get_config()["patch_size"] == 64
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
        assert gin.query_parameter(f"{stage}.t") == t


def test_codes_are_pruned_and_weighted_as_in_section_5_2():
    parse("metric.gin", "vae.gin", "gan.gin")

    pruning = finishing.Pruning()
    assert (pruning.style_dims, pruning.content_dims) == (32, 128)
    assert not pruning.normalize_content
    assert gin.query_parameter("gan.code_dims") == 512
    assert gin.query_parameter("gan.style_weight") == 0.5
    assert gin.query_parameter("gan.content_weight") == 0.05
    assert gin.query_parameter("vae.kl_weight") == 1.0
    assert gin.query_parameter("vae.kl_warmup_steps") == 0
    assert gin.query_parameter("vae.free_bits") == 0
    # What the paper does not have stays off.
    with pytest.raises(ValueError):
        gin.query_parameter("gan.reconstruction_share")


def test_vae_and_gan_train_on_all_pictures_as_in_section_5_1():
    found = {}
    for stage in STAGES:
        found[stage] = parse(f"{stage}.gin").splits
        gin.clear_config()

    assert found["metric"] == found["classifier"] == ("train",)
    assert found["vae"] == found["gan"] == ("train", "test")


@pytest.mark.parametrize(
    "file", sorted((ROOT / "gin").glob("*.gin")), ids=lambda one: one.name
)
def test_the_papers_files_open_with_their_command(file):
    comments = [line for line in file.read_text().splitlines() if line.startswith("#")]

    command = f"python -m tfstyle.train --gin_file=gin/{file.name}"
    assert any(command in line for line in comments[:6])


@pytest.fixture(scope="module")
def full_size_records(portraits_dir, tmp_path_factory) -> records.Dataset:
    """2 artists x 20 portraits, enlarged to 256x256: 36 train, 4 test."""
    sources, _ = splits.scan_artist_folders(portraits_dir)
    artists = sorted({source.artist for source in sources})[:2]
    few = [
        source
        for artist in artists
        for source in [one for one in sources if one.artist == artist][:20]
    ]
    rule = splits.SplitRule(min_images_per_artist=10, min_test_images=2)
    folder = tmp_path_factory.mktemp("full_size") / "records"
    dataset = records.write_dataset(
        str(folder), few, Conversion(256, format="jpeg"), rule
    )
    assert (dataset.num_examples("train"), dataset.num_examples("test")) == (36, 4)
    return dataset


def train_at_full_size(stage, records_dir, run_dir) -> float:
    """Run the real command for a step; returns the peak of its memory in GiB."""
    command = [sys.executable, "-m", "tfstyle.train", f"--gin_file=gin/{stage}.gin"]
    command += ["--gin_param=train.steps=1", f"--records_dir={records_dir}"]
    log = run_dir.parent / f"{stage}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, f"--run_dir={run_dir}"],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, log.read_text()[-3000:]
    return usage.ru_maxrss * 1024 / GIBIBYTE


@pytest.mark.slow
def test_the_papers_four_files_train_at_full_size_one_after_the_other(
    full_size_records, tmp_path
):
    run_dir = tmp_path / "run"
    for stage in STAGES:
        peak = train_at_full_size(stage, full_size_records.records_dir, run_dir)

        algorithm, _, batch_size, t = TABLE_2[stage]
        folder = runs.StageFolder(run_dir, stage)
        run = folder.read()
        identity = run["identity"]
        assert folder.finished and run["steps"] == 1
        assert (identity["image_size"], identity["batch_size"]) == (256, batch_size)
        assert {one["name"] for one in identity["optimizers"]} == {algorithm}
        if t is not None:
            assert identity["objective"]["t"] == t
        for name in NETWORKS[stage]:
            config = run["networks"][name]["config"]
            assert (tuple(config["features"]), tuple(config["blocks"])) == (
                TABLE_1[name]
            )
        lines = [json.loads(one) for one in folder.metrics_file.open()]
        assert np.isfinite([one["value"] for one in lines]).all()
        # A workstation's graphics card, or a laptop, has 8.
        assert peak < 8, f"{stage}: {peak:.1f} GiB"

    assert runs.StageFolder(run_dir, "gan").read()["code_dims"] == [32, 128, 352]
    assert runs.load_style_encoder(run_dir).dims == 32
    assert runs.load_content_encoder(run_dir).dims == 128
