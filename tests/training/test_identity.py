"""A stage depends on the codes and settings that it was trained with."""

import dataclasses
import json
import pathlib
import re
import shutil
import types

import gin
import numpy as np
import pytest
import tensorflow as tf

from helpers import configuration as tiny
from helpers.commands import list_files
from helpers.layers import assert_same
from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.modeling import stages
from tfstyle.runs.folder import StageFolder, stage_lock
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import identity
from tfstyle.training.settings import Paths


@pytest.fixture
def run_with_other_codes(run_dir):
    """A run whose metric stage was trained again after vae and gan."""
    folder = StageFolder(run_dir, "metric")
    statistics = folder.load_statistics()
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(
        folder.statistics_file
    )
    return run_dir


def make_paths(dataset, run_dir, **values) -> Paths:
    return Paths(dataset.records_dir, run_dir, pathlib.Path("my gin"), **values)


# Earlier stages.


def test_a_stage_is_trained_on_finished_and_current_stages(tiny_run, small_records):
    for spec in stages.specs():
        paths = make_paths(small_records, tiny_run)
        with identity.open_earlier_stages(spec, paths, small_records) as run:
            assert run.path == tiny_run


@pytest.mark.parametrize(
    ("state", "problem", "end"),
    [
        ("missing", "the gan stage needs a trained vae stage", ""),
        (
            "unfinished",
            "the vae stage in .* is unfinished; resume it",
            r" \(or pass .*",
        ),
        ("outdated", "the vae stage in .* older codes of an earlier", " --restart"),
    ],
)
def test_a_stage_is_not_trained_on_missing_unfinished_or_outdated_stages(
    state, problem, end, run_dir, small_records, request
):
    if state == "missing":
        shutil.rmtree(run_dir / "vae")
    elif state == "unfinished":
        StageFolder(run_dir, "vae").mark_unfinished()
    else:
        request.getfixturevalue("run_with_other_codes")
    command = (
        "python -m tfstyle.train --gin_file='my gin/vae.gin' "
        f"--records_dir={small_records.records_dir} --run_dir={run_dir}"
    )

    paths = make_paths(small_records, run_dir)
    with (
        pytest.raises(UserError, match=f"{problem}.*: {command}{end}$"),
        identity.open_earlier_stages(stages.spec("gan"), paths, small_records),
    ):
        pass


def test_a_stage_is_not_trained_on_other_records_than_the_earlier_stages(
    tiny_run, small_records, portraits_records
):
    other_splits = dataclasses.replace(small_records, split_digest="0" * 64)
    for dataset, problem in (
        (portraits_records, "holds other pictures"),
        (other_splits, "in other splits"),
    ):
        paths = make_paths(dataset, tiny_run)
        with (
            pytest.raises(UserError, match=f"the metric stage in .*: .*{problem}"),
            identity.open_earlier_stages(stages.spec("vae"), paths, dataset),
        ):
            pass


@pytest.mark.usefixtures("clean_gin")
def test_an_unfinished_stage_is_finished_as_it_is_if_allowed(run_dir, small_records):
    """By the pruning settings of the stage that is built on it."""
    folder = StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    folder.statistics_file.unlink()
    paths = make_paths(small_records, run_dir, allow_unfinished=True)
    spec = stages.spec("vae")

    with (
        pytest.raises(UserError, match="pruning.style_dims=32, .* has 16 dimensions"),
        identity.open_earlier_stages(spec, paths, small_records),
    ):
        pass
    gin.bind_parameter("pruning.style_dims", 3)
    with identity.open_earlier_stages(spec, paths, small_records) as run:
        assert run.path == run_dir

    assert folder.load_statistics().dims == 3
    assert not folder.finished


@pytest.mark.usefixtures("clean_gin")
@pytest.mark.parametrize("stage", ["vae", "gan"])
def test_a_dry_run_finishes_an_unfinished_stage_in_a_copy(
    stage, run_dir, small_records
):
    """It sees the codes that training would see, and writes nothing into the run."""
    gin.bind_parameter("pruning.style_dims", 3)
    folder = StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    folder.statistics_file.unlink()
    before = list_files(run_dir)
    paths = make_paths(small_records, run_dir, allow_unfinished=True, dry_run=True)

    spec = dataclasses.replace(stages.spec(stage), needs=("metric",))
    with identity.open_earlier_stages(spec, paths, small_records) as run:
        assert run.style_statistics.dims == 3
        copy = run.path

    assert list_files(run_dir) == before
    assert not copy.exists()


@pytest.mark.usefixtures("clean_gin")
def test_a_stage_that_is_trained_at_the_moment_is_not_finished_beside(
    run_dir, small_records
):
    gin.bind_parameter("pruning.style_dims", 3)
    folder = StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    before = list_files(run_dir)
    paths = make_paths(small_records, run_dir, allow_unfinished=True)

    with (
        stage_lock(folder),
        pytest.raises(UserError, match="another command"),
        identity.open_earlier_stages(stages.spec("vae"), paths, small_records),
    ):
        pass

    assert list_files(run_dir) == before


def test_outdated_stages_are_skipped_with_a_message(run_with_other_codes, caplog):
    finished = TrainedRun(run_with_other_codes).finished

    assert list(finished) == ["metric", "classifier"]
    for message, stage in zip(caplog.messages, ["vae", "gan"], strict=True):
        assert message.startswith(f"skipped: the {stage} stage")
        assert message.endswith("--restart")


# What depends on a stage.


def enrol_ada(run_dir):
    run = TrainedRun(run_dir)
    mean = np.zeros(run.style_statistics.dims)
    run.save_enrolled(run.enrolled.add("Ada", mean, 3))


def test_what_depends_on_the_codes_of_each_stage_is_listed(run_dir):
    enrol_ada(run_dir)

    dependents = {
        stage: identity.list_dependents(StageFolder(run_dir, stage))
        for stage in stages.names()
    }

    assert dependents == {
        "metric": [
            "stages to train again with --restart: vae, gan",
            "artists to enrol again: Ada",
        ],
        "classifier": [],
        "vae": ["stages to train again with --restart: gan"],
        "gan": [],
    }


def test_outdated_stages_no_longer_depend_on_a_stage(run_with_other_codes):
    enrol_ada(run_with_other_codes)

    folder = StageFolder(run_with_other_codes, "metric")

    assert identity.list_dependents(folder) == ["artists to enrol again: Ada"]


def test_artists_enrolled_with_older_codes_depend_on_nothing_and_are_not_mentioned(
    run_dir, request, caplog
):
    enrol_ada(run_dir)
    folder = StageFolder(request.getfixturevalue("run_with_other_codes"), "metric")

    assert identity.list_dependents(folder) == []
    assert caplog.messages == []


def test_unfinished_stages_depend_on_nothing(run_dir):
    StageFolder(run_dir, "vae").mark_unfinished()

    folder = StageFolder(run_dir, "metric")

    (line,) = identity.list_dependents(folder)
    assert line == "stages to train again with --restart: gan"


def test_nothing_depends_on_a_missing_or_corrupt_stage(tmp_path, run_dir):
    assert identity.list_dependents(StageFolder(tmp_path, "metric")) == []
    folder = StageFolder(run_dir, "metric")
    folder.statistics_file.write_bytes(b"?")

    assert identity.list_dependents(folder) == []


# Folders, pruning and checkpoints.


def test_first_weights_from_the_run_itself_are_refused(tmp_path):
    with pytest.raises(UserError, match="--init_from=.* is the run itself"):
        identity.check_folders(tmp_path / "run", f"{tmp_path}/other/../run")
    identity.check_folders(tmp_path / "run", f"{tmp_path}/other")


@pytest.mark.parametrize("run_dir", ["file", "file/run"])
def test_a_run_that_is_a_file_or_inside_one_is_refused(run_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--run_dir=.*/file is not a folder"):
        identity.check_folders(tmp_path / run_dir, None)


@pytest.mark.parametrize("run_dir", ["dangling", "dangling/run"])
def test_a_run_behind_a_link_that_leads_nowhere_is_refused(run_dir, tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match="--run_dir=.*/dangling is a link that leads"):
        identity.check_folders(tmp_path / run_dir, None)


@pytest.mark.usefixtures("clean_gin")
@pytest.mark.parametrize("dims", [0, 9, "8"])
def test_more_dimensions_than_the_encoder_has_are_refused(dims):
    model = types.SimpleNamespace(dims=8)
    gin.bind_parameter("pruning.style_dims", dims)
    with pytest.raises(UserError, match="pruning.style_dims"):
        identity.check_pruning(stages.spec("metric"), model)


def test_pruning_concerns_only_the_stages_own_code():
    model = types.SimpleNamespace(dims=40)  # the paper's 32 style, 128 content
    identity.check_pruning(stages.spec("metric"), model)
    identity.check_pruning(stages.spec("classifier"), model)
    with pytest.raises(UserError, match="pruning.content_dims=128, .* 40 dimensions"):
        identity.check_pruning(stages.spec("vae"), model)


# Resuming and first weights.


def test_a_stage_is_resumed_only_with_its_settings(tiny_run, tmp_path):
    folder = StageFolder(tiny_run, "metric")
    description = folder.read()
    identity.check_identity(folder, description)
    identity.check_identity(StageFolder(tmp_path, "metric"), description)
    changed = {**description.identity, "seed": 7, "batch_size": 4}

    with pytest.raises(UserError, match=r"\(batch_size: 8 -> 4; seed: 0 -> 7\).*") as e:
        identity.check_identity(
            folder, dataclasses.replace(description, identity=changed)
        )

    assert "--restart" in str(e.value) and "--run_dir" in str(e.value)


def test_other_pictures_and_codes_are_described_without_their_digests(tiny_run):
    folder = StageFolder(tiny_run, "vae")
    description = folder.read()
    changed = {
        **description.identity,
        "dataset": "f" * 64,
        "earlier_stages": {"metric": "e" * 64},
    }

    with pytest.raises(UserError) as caught:
        identity.check_identity(
            folder, dataclasses.replace(description, identity=changed)
        )

    text = str(caught.value)
    assert "dataset: other pictures" in text
    assert "the metric stage has other codes now" in text
    assert not re.search("[0-9a-f]{40}", text)


@pytest.fixture
def fine_tuned(tiny_run):
    """A stage that is about to start from another run, and its description."""
    folder = StageFolder(tiny_run, "classifier")
    description = folder.read()
    network = folder.load_network("style_encoder")
    for weight in network.weights:
        weight.assign(tf.zeros_like(weight))
    return types.SimpleNamespace(networks={"style_encoder": network}), description


def test_first_weights_are_the_final_weights_of_the_other_run(fine_tuned, tiny_run):
    model, description = fine_tuned

    identity.initialize_from(model, description, tiny_run)

    expected = StageFolder(tiny_run, "classifier").load_network("style_encoder")
    weights = model.networks["style_encoder"].get_weights()
    assert_same(weights, expected.get_weights())


def test_first_weights_that_cannot_be_used_are_one_line(fine_tuned, run_dir, tmp_path):
    model, description = fine_tuned
    flag = f"--init_from={run_dir}"
    final = run_dir / "classifier" / "checkpoints" / "final"

    with pytest.raises(UserError, match="--init_from=.*/no has no classifier stage"):
        identity.initialize_from(model, description, tmp_path / "no")
    other = {"style_encoder": {**description.identity["networks"]["style_encoder"]}}
    other["style_encoder"]["dims"] = 3
    changed = {**description.identity, "networks": other}
    with pytest.raises(UserError, match=f"{flag} has other networks: .*dims: 16 -> 3"):
        identity.initialize_from(
            model, dataclasses.replace(description, identity=changed), run_dir
        )
    (final / "weights.index").write_bytes(b"garbage")
    with pytest.raises(UserError, match=f"{flag}: .*final/weights is corrupt"):
        identity.initialize_from(model, description, run_dir)
    shutil.rmtree(final)
    with pytest.raises(UserError, match=f"{flag}: its classifier stage is unfinished"):
        identity.initialize_from(model, description, run_dir)


def test_a_trained_stage_describes_its_records_networks_and_codes(
    tiny_run, small_records
):
    """As the tiny run was trained: by `describe_stage`."""
    described = StageFolder(tiny_run, "gan").read()

    assert described.code_sizes == [
        *(tiny.STYLE_DIMS, tiny.CONTENT_DIMS, tiny.NOISE_DIMS)
    ]
    assert described.steps == tiny.STEPS["gan"]
    assert described.dataset.digest == described.identity["dataset"]
    dataset = records.read_dataset(small_records.records_dir)
    assert described.dataset.digest == dataset.digest
    assert described.dataset.artists == dataset.artist_names
    assert described.networks.keys() == {
        "generator",
        "generator_average",
        "discriminators",
    }
    assert described.identity["earlier_stages"] == {
        stage: StageFolder(tiny_run, stage).load_statistics().digest
        for stage in ("metric", "vae")
    }


def test_a_stage_is_resumed_after_its_classes_moved(tiny_run):
    """Its identity holds no module, so none of a schedule in an optimizer."""
    for stage in stages.names():
        described = StageFolder(tiny_run, stage).read().identity["optimizers"]
        assert [optimizer["name"] for optimizer in described]
        assert "module" not in json.dumps(described)


@pytest.fixture
def stopped(run_dir) -> StageFolder:
    """A stage whose log goes to step 40, without FINISHED and checkpoints."""
    folder = StageFolder(run_dir, "metric")
    folder.mark_unfinished()
    for path in folder.checkpoints.glob("step-*"):
        path.unlink()
    shutil.rmtree(folder.final_folder)
    return folder


def test_a_training_whose_checkpoints_are_lost_does_not_start_over(stopped):
    """Its log tells that there were some."""
    with pytest.raises(UserError) as error:
        identity.find_step(stopped, 80, checkpoint_interval=40)

    message = str(error.value)
    assert f"training of {stopped.path} cannot be resumed from step 40" in message
    assert "put back a copy, or pass --restart" in message


def test_a_training_stopped_before_its_first_checkpoint_starts_over(stopped, caplog):
    assert identity.find_step(stopped, 80, checkpoint_interval=41) == (0, False)
    assert "was trained to step 40, but has no checkpoint yet" in caplog.text
    caplog.clear()
    stopped.metrics_file.unlink()
    assert identity.find_step(stopped, 80, checkpoint_interval=41) == (0, False)
    assert not caplog.messages
