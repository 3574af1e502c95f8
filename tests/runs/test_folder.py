"""A stage's folder: its files, its state, and errors that name the remedy."""

import dataclasses
import errno
import os
import pathlib
import shutil

import numpy as np
import pytest

from helpers import runs
from helpers.commands import list_files
from tfstyle.core.cli import UserError
from tfstyle.modeling import stages
from tfstyle.runs import folder as run_folder
from tfstyle.runs.folder import StageFolder, stage_lock


@pytest.fixture
def metric_folder(tiny_run, tmp_path) -> StageFolder:
    """A copy of the metric stage, to be changed."""
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    return StageFolder(run_dir, "metric")


def train_command(folder) -> str:
    return f"python -m tfstyle.train --gin_file=gin/{folder.stage}.gin --run_dir="


# The lock.


def test_a_second_process_cannot_train_the_same_stage(tmp_path):
    folder = StageFolder(tmp_path, "metric")
    with (
        stage_lock(folder),
        pytest.raises(UserError, match="another command is writing to .*metric"),
        stage_lock(folder),
    ):
        pass


def test_the_next_process_may_train_when_the_first_is_done(tmp_path):
    folder = StageFolder(tmp_path / "new" / "run", "metric")
    for _ in range(2):
        with stage_lock(folder):
            pass
    assert list(folder.run_dir.iterdir()) == []


def test_other_stages_may_be_trained_at_the_same_time(tmp_path):
    with (
        stage_lock(StageFolder(tmp_path, "metric")),
        stage_lock(StageFolder(tmp_path, "classifier")),
    ):
        pass


# The state.


def test_the_state_of_a_stage_is_that_of_its_files(metric_folder):
    assert metric_folder.exists and metric_folder.finished

    metric_folder.mark_unfinished()
    assert metric_folder.exists and not metric_folder.finished

    metric_folder.mark_finished(7)
    assert (metric_folder.path / "FINISHED").read_text() == "step 7\n"

    metric_folder.remove()
    assert not (metric_folder.exists or metric_folder.path.exists())
    assert metric_folder.final_weights is None


def test_a_stage_behind_a_link_is_not_deleted(metric_folder, tmp_path):
    """It may be another run's."""
    link = StageFolder(tmp_path / "other", "metric")
    link.run_dir.mkdir()
    link.path.symlink_to(metric_folder.path)
    before = list_files(metric_folder.path)

    with pytest.raises(UserError, match="remove the link, or choose another --run_dir"):
        link.remove()

    assert list_files(metric_folder.path) == before and link.path.is_symlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("part", ["previews", "checkpoints/best", "."])
def test_a_stage_of_which_a_part_cannot_be_deleted_stays_whole(part, metric_folder):
    before = list_files(metric_folder.path)
    (metric_folder.path / part).chmod(0o500)

    with pytest.raises(UserError, match="cannot be written: change its permissions"):
        metric_folder.remove()

    (metric_folder.path / part).chmod(0o700)
    assert list_files(metric_folder.path) == before


def test_a_stage_whose_folder_cannot_be_renamed_stays_whole(metric_folder, monkeypatch):
    before = list_files(metric_folder.path)

    def refuse(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(pathlib.Path, "rename", refuse)
    with pytest.raises(UserError, match="cannot delete .*: Device or resource busy"):
        metric_folder.remove()

    assert list_files(metric_folder.path) == before


# Damage.


@pytest.mark.parametrize(
    "content", [b"", b"null\n", b"{}", b"[1]", b"\xff\0", b'{"identity": 3}', None]
)
def test_a_damaged_description_is_read_from_its_copy(content, metric_folder, caplog):
    description = metric_folder.read()
    path = metric_folder.path / "run.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    assert metric_folder.exists
    assert metric_folder.read() == description
    assert "its copy" in caplog.text and str(path) in caplog.text
    metric_folder.write(description)
    path.with_name("checkpoints").joinpath("run.json").unlink()
    assert metric_folder.read() == description


def test_a_description_that_is_damaged_twice_is_an_error(metric_folder):
    for path in (metric_folder.path, metric_folder.checkpoints):
        (path / "run.json").write_text("null")
    copy = metric_folder.checkpoints / "run.json"
    for _ in range(2):
        message = f"run.json is corrupt: .*, and {copy} cannot be read either: put back"
        with pytest.raises(UserError, match=f"{message} .* train.* --restart$"):
            metric_folder.read()
        copy.unlink(missing_ok=True)


def test_final_weights_are_found_where_an_interruption_left_them(metric_folder):
    expected = metric_folder.load_network("style_encoder").get_weights()
    digest = metric_folder.digest
    (metric_folder.checkpoints / "final").rename(
        metric_folder.checkpoints / "final.old"
    )

    assert metric_folder.digest == digest
    weights = metric_folder.load_network("style_encoder").get_weights()
    np.testing.assert_array_equal(weights[0], expected[0])


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"\xff", b'{"style_dims": null}']
)
def test_a_damaged_recommendation_is_made_again(content, tmp_path):
    (tmp_path / "recommendation.json").write_bytes(content)

    assert isinstance(run_folder.read_recommendation(tmp_path), dict)
    run_folder.update_recommendation(tmp_path, style_dims=8)

    assert run_folder.read_recommendation(tmp_path)["style_dims"] == 8


def test_only_stages_with_a_code_have_statistics():
    names = {}
    for stage in stages.names():
        path = StageFolder(pathlib.Path("run"), stage).statistics_file
        names[stage] = path and str(path)
    assert names == {
        "metric": "run/metric/style_statistics.npz",
        "classifier": None,
        "vae": "run/vae/content_statistics.npz",
        "gan": None,
    }


def test_the_digest_identifies_weights_and_codes(metric_folder, tiny_run):
    digests = [StageFolder(tiny_run, "metric").digest, metric_folder.digest]
    runs.change_weights(metric_folder.run_dir, "metric")
    digests.append(metric_folder.digest)
    statistics = metric_folder.load_statistics()
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(
        metric_folder.statistics_file
    )
    digests.append(metric_folder.digest)

    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


# Loading.


def test_a_network_is_rebuilt_as_described(tiny_run):
    for stage in ("vae", "gan"):
        folder = StageFolder(tiny_run, stage)
        for name, described in folder.read().networks.items():
            network = folder.load_network(name)
            assert type(network).__name__ == described["class"]
            assert network.get_config() == described["config"]
            assert network.count_params() == described["parameters"]


def test_a_network_has_the_final_weights(metric_folder):
    before = metric_folder.load_network("style_encoder").get_weights()
    runs.change_weights(metric_folder.run_dir, "metric")  # a kernel, by 0.1

    after = metric_folder.load_network("style_encoder").get_weights()

    moves = [
        np.abs(value - old).max() for value, old in zip(after, before, strict=True)
    ]
    assert sorted(moves)[-2:] == [0, pytest.approx(0.1)]


def test_a_plain_variable_is_read_by_its_path(tiny_run):
    folder = StageFolder(tiny_run, "metric")
    assert folder.read_array("presumed_styles/styles").shape == (3, 16)
    logits = StageFolder(tiny_run, "classifier").read_array("artist_logits/kernel")
    assert logits.shape == (16, 3)


def test_a_missing_stage_is_one_line_with_the_command(tmp_path):
    folder = StageFolder(tmp_path, "vae")
    for read in (folder.read, folder.load_statistics):
        with pytest.raises(UserError, match=f"no vae stage.*: {train_command(folder)}"):
            read()
    with pytest.raises(UserError, match="no vae stage"):
        folder.load_network("content_encoder")


def test_a_stage_without_final_weights_is_unfinished(metric_folder):
    shutil.rmtree(metric_folder.checkpoints / "final")
    with pytest.raises(UserError, match="is unfinished; resume it with: .*metric.gin"):
        metric_folder.load_network("style_encoder")


def test_a_stage_without_statistics_is_unfinished(metric_folder):
    metric_folder.statistics_file.unlink()
    with pytest.raises(UserError, match="resume it with: .*metric.gin") as caught:
        metric_folder.load_statistics()
    assert "--allow_unfinished" not in str(caught.value)  # a flag of train alone


@pytest.mark.parametrize("end", [".index", ".data-00000-of-00001"])
def test_corrupt_weights_are_named(end, metric_folder):
    path = metric_folder.final_weights.with_name(f"weights{end}")
    path.write_bytes(path.read_bytes()[:50])
    message = "final weights .*/weights are corrupt .*; make it again with: .*train"
    with pytest.raises(UserError, match=message):
        metric_folder.load_network("style_encoder")


def test_the_reason_of_corrupt_weights_has_no_names_of_graph_nodes(metric_folder):
    path = metric_folder.final_weights.with_name("weights.data-00000-of-00001")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"are corrupt \(\w[^{\[]*\); make"):
        metric_folder.load_network("style_encoder")


@pytest.mark.parametrize("damage", ["no archive", "half an archive", "lacks an array"])
def test_corrupt_statistics_are_one_line_with_the_way_to_make_them_again(
    damage, metric_folder
):
    path = metric_folder.statistics_file
    if damage == "lacks an array":
        np.savez(path, mean=np.zeros(4), normalization=np.array("none"))
    else:
        whole = path.read_bytes()
        path.write_bytes(b"?" if damage == "no archive" else whole[: len(whole) // 2])

    with pytest.raises(UserError, match="is corrupt.* again with: .*train"):
        metric_folder.load_statistics()
    with pytest.raises(UserError, match="is corrupt"):
        run_folder.read_code_digests(metric_folder.run_dir, ["metric", "vae"])


# Codes.


def test_codes_are_identified_by_their_digests(metric_folder):
    digests = run_folder.read_code_digests(metric_folder.run_dir, ["metric", "vae"])

    assert digests == {"metric": metric_folder.load_statistics().digest, "vae": None}


def test_a_stage_is_outdated_when_its_codes_have_changed(run_dir):
    folders = {stage: StageFolder(run_dir, stage) for stage in stages.names()}
    assert not any(run_folder.is_outdated(folder) for folder in folders.values())

    statistics = folders["vae"].load_statistics()
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(
        folders["vae"].statistics_file
    )

    outdated = [
        name for name, folder in folders.items() if run_folder.is_outdated(folder)
    ]
    assert outdated == ["gan"]


# The recommendation.


def test_entries_of_the_recommendation_are_updated_one_by_one(tmp_path):
    assert run_folder.read_recommendation(tmp_path) == {}
    run_folder.update_recommendation(tmp_path, style_dims=8)
    run_folder.update_recommendation(tmp_path, content_dims=16)
    run_folder.update_recommendation(tmp_path, style_dims=np.int64(9))

    assert run_folder.read_recommendation(tmp_path) == {
        "style_dims": 9,
        "content_dims": 16,
    }


@pytest.mark.parametrize("name", ["checkpoints", "previews", "tensorboard"])
def test_a_file_where_training_needs_a_folder_is_refused(name, metric_folder):
    metric_folder.check_parts()
    path = metric_folder.path / name
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("x")

    with pytest.raises(UserError, match=f"{path} is not a folder: move it"):
        metric_folder.check_parts()
    assert path.read_text() == "x"
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(UserError, match=f"{path} is a link that leads nowhere: move"):
        metric_folder.check_parts()


@pytest.mark.parametrize("name", ["previews", "tensorboard"])
def test_training_never_writes_into_a_folder_that_is_linked(
    name, metric_folder, tmp_path
):
    other = tmp_path / "other"
    other.mkdir()
    path = metric_folder.path / name
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(other)

    with pytest.raises(UserError, match=f"{path} links to {other}.*remove the link"):
        metric_folder.check_parts()


def test_a_folder_that_was_moved_is_said_to_have_vanished(metric_folder, tmp_path):
    metric_folder.check_presence()
    metric_folder.path.rename(tmp_path / "moved")

    with pytest.raises(UserError, match=f"{metric_folder.path} has vanished"):
        metric_folder.check_presence()
