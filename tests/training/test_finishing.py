"""The end of a stage: its final weights and codes, which all later commands know."""

import shutil

import gin
import numpy as np
import pytest

from helpers import configuration as tiny
from helpers.commands import list_files
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.modeling import stages
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.networks.frozen_codes import ContentNormalization
from tfstyle.runs.folder import StageFolder, read_recommendation
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import finishing


@pytest.fixture(autouse=True)
def bind(clean_gin):
    """Bind pruning settings as a gin file would, for one test."""
    tiny_dims = {"style_dims": tiny.STYLE_DIMS, "content_dims": tiny.CONTENT_DIMS}

    def bind(**settings):
        gin.clear_config()
        for name, value in {**tiny_dims, **settings}.items():
            gin.bind_parameter(f"pruning.{name}", value)

    bind()
    return bind


@pytest.fixture
def vae(run_dir) -> StageFolder:
    return StageFolder(run_dir, "vae")


def collect_train_codes(encoder, dataset):
    train = collect_codes(encoder, input_pipeline.eval_batches(dataset, "train"))
    assert len(train.codes) == 60
    return train.codes.astype(np.float64), train.artist_ids


def renew_codes(vae, dataset):
    """Prune again as bound, then encode as a command that knows no such binding."""
    finishing.renew_pruning(vae, dataset, None)
    gin.clear_config()
    return collect_train_codes(TrainedRun(vae.run_dir).content_encoder, dataset)


# The final weights.


@pytest.mark.parametrize(
    ("checkpoint", "folder_name"), [("last", "."), ("best", "best"), (None, "best")]
)
def test_the_best_weights_are_final_unless_others_are_asked_for(
    checkpoint, folder_name, run_dir, small_records
):
    folder = StageFolder(run_dir, "classifier")
    shutil.rmtree(folder.checkpoints / "final")

    finishing.finish(folder, small_records, checkpoint)

    *_, source = sorted((folder.checkpoints / folder_name).glob("step-*.data*"))
    (final,) = (folder.checkpoints / "final").glob("weights.data*")
    assert final.read_bytes() == source.read_bytes()
    folder.load_network("style_encoder")


def test_without_test_numbers_the_last_weights_are_final(run_dir, small_records):
    folder = StageFolder(run_dir, "gan")
    before = {path.name: path.read_bytes() for path in folder.checkpoints.glob("*/*")}

    finishing.finish(folder, small_records)

    after = {path.name: path.read_bytes() for path in folder.checkpoints.glob("*/*")}
    assert after == before
    with pytest.raises(UserError, match="gan has no best checkpoint yet"):
        finishing.finish(folder, small_records, "best")


def test_a_stage_without_a_checkpoint_cannot_be_finished(tmp_path, small_records):
    folder = StageFolder(tmp_path, "metric")
    with pytest.raises(UserError, match="metric has no step checkpoint yet"):
        finishing.finish(folder, small_records)


def test_the_recommendation_is_updated_with_each_stage(run_dir, vae, small_records):
    before = read_recommendation(run_dir)
    assert before.keys() == {"style_dims", "content_dims"}
    (run_dir / "recommendation.json").unlink()

    finishing.finish(vae, small_records)

    assert read_recommendation(run_dir) == {"content_dims": before["content_dims"]}


# Damage to a finished stage.


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "gone"])
@pytest.mark.parametrize(
    "name",
    [
        "content_statistics.npz",
        "checkpoints/final/weights.index",
        "checkpoints/final/weights.data-00000-of-00001",
    ],
)
def test_what_is_damaged_of_a_finished_stage_is_made_again(
    name, damage, vae, small_records, caplog
):
    """Exactly: later stages find the codes that they were trained on."""
    path = vae.path / name
    expected = vae.load_statistics().digest
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        contents = {"cut": whole[: len(whole) // 2], "empty": b"", "zeros": bytes(99)}
        path.write_bytes(contents[damage])

    finishing.repair(vae, small_records, None)

    assert caplog.text.count("warning: ") == 1 and str(vae.path) in caplog.text
    assert vae.load_statistics().digest == expected
    if "final" in name:
        assert path.read_bytes() == whole


def test_what_is_whole_of_a_finished_stage_is_left_alone(vae, small_records, caplog):
    before = list_files(vae.path)

    finishing.repair(vae, small_records, None)

    assert list_files(vae.path) == before and not caplog.messages


def test_damaged_best_weights_are_not_made_final(run_dir, small_records, caplog):
    folder = StageFolder(run_dir, "classifier")
    (step,) = folder.best.steps
    folder.best.prefix(step).with_suffix(".index").write_bytes(b"")

    with pytest.raises(
        UserError, match=f"no checkpoint is whole of .*best/step-{step}"
    ):
        finishing.finish(folder, small_records, "best")
    finishing.finish(folder, small_records)

    assert f"best/step-{step} is damaged and not used" in caplog.text
    folder.load_network("style_encoder")


def test_final_weights_survive_what_cannot_be_finished(run_dir, small_records):
    folder = StageFolder(run_dir, "classifier")
    before = list_files(folder.checkpoints / "final")
    for checkpoints in (folder.best, folder.resumable):
        for step in checkpoints.steps:
            checkpoints.prefix(step).with_suffix(".index").write_bytes(b"")

    with pytest.raises(UserError, match="no checkpoint is whole"):
        finishing.finish(folder, small_records)

    assert list_files(folder.checkpoints / "final") == before


# The content code.


def test_by_default_the_content_code_is_that_of_the_encoder(vae, small_records, caplog):
    before = vae.statistics_file.read_bytes()

    finishing.renew_pruning(vae, small_records, None)

    assert vae.statistics_file.read_bytes() == before
    assert caplog.messages == []
    statistics = vae.load_statistics()
    assert statistics.normalization is ContentNormalization.NONE
    codes, _ = collect_train_codes(vae.load_network("content_encoder"), small_records)
    expected = codes[:, : tiny.CONTENT_DIMS]
    codes, _ = collect_train_codes(
        TrainedRun(vae.run_dir).content_encoder, small_records
    )
    np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        statistics.deviation, expected.std(axis=0), rtol=1e-3, atol=1e-7
    )


def test_other_dimensions_are_kept_after_pruning_again(
    vae, small_records, bind, caplog
):
    bind(content_dims=3)

    codes, _ = renew_codes(vae, small_records)

    assert codes.shape == (60, 3)
    message = "vae: pruned to 3 dimensions, normalization 'none'"
    assert message in caplog.messages


def test_the_recommended_number_of_dimensions_may_be_kept(vae, small_records, bind):
    recommended = read_recommendation(vae.run_dir)["content_dims"]
    bind(content_dims=None)

    codes, _ = renew_codes(vae, small_records)

    assert codes.shape == (60, recommended)


def test_normalized_content_has_mean_0_and_deviation_1_in_every_later_command(
    vae, small_records, bind
):
    """The choice is in the statistics: loading needs no gin."""
    bind(content_normalization="standard")

    codes, _ = renew_codes(vae, small_records)

    assert vae.load_statistics().normalization is ContentNormalization.STANDARD
    assert codes.shape == (60, tiny.CONTENT_DIMS)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(codes.std(axis=0), 1, rtol=1e-3)


def test_content_given_the_style_is_free_of_it_in_every_later_command(
    vae, small_records, bind
):
    """Least squares leave nothing that a linear function of the style code predicts."""
    bind(content_normalization="given_style")

    codes, artist_ids = renew_codes(vae, small_records)

    assert codes.shape == (60, tiny.CONTENT_DIMS)
    np.testing.assert_allclose(codes.std(axis=0), 1, rtol=1e-2)
    style_encoder = TrainedRun(vae.run_dir).style_encoder
    styles, _ = collect_train_codes(style_encoder, small_records)
    raw, _ = collect_train_codes(vae.load_network("content_encoder"), small_records)

    def predicted_share(codes):  # largest share of a dimension's variance
        features = np.c_[np.ones(len(styles)), styles]
        fitted = features @ np.linalg.lstsq(features, codes, rcond=None)[0]
        return (fitted.var(axis=0) / codes.var(axis=0)).max()

    raw_share = predicted_share(raw[:, : tiny.CONTENT_DIMS])
    assert predicted_share(codes) < 0.1 * raw_share
    statistics = vae.load_statistics()
    assert statistics.normalization is ContentNormalization.GIVEN_STYLE
    np.testing.assert_allclose(
        statistics.artist_means,
        [codes[artist_ids == artist].mean(axis=0) for artist in range(3)],
        atol=1e-3,
    )


def test_a_generator_of_other_contents_is_skipped_until_they_are_back(
    vae, small_records, bind, caplog
):
    bind(content_normalization="standard")
    finishing.renew_pruning(vae, small_records, None)
    finished = TrainedRun(vae.run_dir).finished
    assert list(finished) == ["metric", "classifier", "vae"]
    assert "skipped: the gan stage" in caplog.text

    bind(content_normalization="none")
    finishing.renew_pruning(vae, small_records, None)
    assert tuple(TrainedRun(vae.run_dir).finished) == stages.names()


def test_the_style_code_is_normalized_whatever_content_is(run_dir, small_records, bind):
    folder = StageFolder(run_dir, "metric")
    before = folder.statistics_file.read_bytes()
    bind(content_normalization="standard")

    finishing.renew_pruning(folder, small_records, None)

    assert folder.statistics_file.read_bytes() == before


def test_normalized_dimensions_that_are_inactive_are_a_note(
    vae, small_records, bind, caplog, monkeypatch
):
    """As if all but the two most varied of the tiny run's dimensions were inactive."""
    deviation = sorted(vae.load_statistics().deviation)
    border = (deviation[-2] ** 2 + deviation[-3] ** 2) / 2
    monkeypatch.setattr(finishing, "ACTIVE_VARIANCE", border)
    bind(content_normalization="standard")

    finishing.finish(vae, small_records)

    inactive = tiny.CONTENT_DIMS - 2
    assert (
        f"inactive content dimensions: {inactive} of {tiny.CONTENT_DIMS};"
        in caplog.text
    )
    caplog.clear()
    bind()
    finishing.finish(vae, small_records)
    assert caplog.messages == []
