"""The end of a stage: which codes go on, and that later commands know it."""

import pathlib
import shutil

import gin
import numpy as np
import pytest
import tiny_run as tiny

from tfstyle.core.cli import UserError
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.training import finishing


@pytest.fixture(autouse=True)
def bind():
    """Bind settings of pruning as a gin file would, for one test."""
    gin.clear_config()
    tiny_dims = {"style_dims": tiny.STYLE_DIMS, "content_dims": tiny.CONTENT_DIMS}

    def bind(**settings):
        for name, value in {**tiny_dims, **settings}.items():
            gin.bind_parameter(f"pruning.{name}", value)

    bind()
    yield bind
    gin.clear_config()


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))


def vae_of(run_dir):
    return runs.StageFolder(run_dir, "vae")


def content_codes(encoder, dataset):
    batches = passes.split_batches(dataset, "train")
    return collect_codes(encoder, batches).codes.astype(np.float64)


def test_by_default_the_content_code_goes_on_as_the_encoder_gives_it(
    run_dir, small_records, capsys
):
    before = (run_dir / "vae" / "content_statistics.npz").read_bytes()

    finishing.renew_pruning(vae_of(run_dir), small_records, None)

    assert (run_dir / "vae" / "content_statistics.npz").read_bytes() == before
    assert capsys.readouterr().out == ""
    statistics = runs.load_statistics(vae_of(run_dir))
    assert not statistics.normalize_content
    whole = runs.load_network(vae_of(run_dir), "content_encoder")
    expected = content_codes(whole, small_records)[:, : tiny.CONTENT_DIMS]
    codes = content_codes(runs.load_content_encoder(run_dir), small_records)
    np.testing.assert_allclose(codes, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        statistics.deviation, expected.std(axis=0), rtol=1e-3, atol=1e-7
    )


def renewed_codes(run_dir, dataset):
    """Prune anew as bound; then encode as a command does that knows no such binding."""
    finishing.renew_pruning(vae_of(run_dir), dataset, None)
    gin.clear_config()
    return content_codes(runs.load_content_encoder(run_dir), dataset)


def test_normalized_content_has_mean_0_and_deviation_1_in_every_later_command(
    run_dir, small_records, bind, capsys
):
    """The choice is in the statistics: loading needs no gin."""
    bind(normalize_content=True)

    codes = renewed_codes(run_dir, small_records)

    said = capsys.readouterr().out
    assert f"vae: pruned to {tiny.CONTENT_DIMS} dimensions, normalized\n" in said
    assert codes.shape == (60, tiny.CONTENT_DIMS)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(codes.std(axis=0), 1, rtol=1e-3)


def test_content_given_the_style_is_alike_in_every_later_command(
    run_dir, small_records, bind, capsys
):
    """Least squares leave nothing that a linear function of the style code tells."""
    bind(normalize_content="given_style")

    codes = renewed_codes(run_dir, small_records)

    said = capsys.readouterr().out
    assert f"to {tiny.CONTENT_DIMS} dimensions, normalized given the style\n" in said
    assert codes.shape == (60, tiny.CONTENT_DIMS)
    np.testing.assert_allclose(codes.std(axis=0), 1, rtol=1e-2)
    styles = content_codes(runs.load_style_encoder(run_dir), small_records)
    plain = content_codes(
        runs.load_network(vae_of(run_dir), "content_encoder"), small_records
    )[:, : tiny.CONTENT_DIMS]

    def told(codes):  # share of the variance
        features = np.c_[np.ones(len(styles)), styles]
        fitted = features @ np.linalg.lstsq(features, codes, rcond=None)[0]
        return (fitted.var(axis=0) / codes.var(axis=0)).max()

    assert told(codes) < 0.1 * told(plain)
    statistics = runs.load_statistics(vae_of(run_dir))
    np.testing.assert_allclose(
        statistics.artist_means,
        [codes[artist_ids_of(small_records) == k].mean(axis=0) for k in range(3)],
        atol=1e-3,
    )


def artist_ids_of(dataset):
    batches = passes.split_batches(dataset, "train")
    return np.concatenate([one["artist"].numpy()[one["mask"] > 0] for one in batches])


def test_a_generator_of_other_contents_is_left_out_until_they_are_back(
    run_dir, small_records, bind, capsys
):
    bind(normalize_content=True)
    finishing.renew_pruning(vae_of(run_dir), small_records, None)
    assert list(runs.finished_stages(run_dir)) == ["metric", "classifier", "vae"]
    assert "the gan stage" in capsys.readouterr().out

    bind(normalize_content=False)
    finishing.renew_pruning(vae_of(run_dir), small_records, None)
    assert list(runs.finished_stages(run_dir)) == list(runs.STAGES)


def test_the_style_code_is_normalized_whatever_content_is(run_dir, small_records, bind):
    path = run_dir / "metric" / "style_statistics.npz"
    before = path.read_bytes()
    bind(normalize_content=True)

    finishing.renew_pruning(runs.StageFolder(run_dir, "metric"), small_records, None)

    assert path.read_bytes() == before


def test_normalized_dimensions_that_hardly_vary_are_said(
    run_dir, small_records, bind, capsys, monkeypatch
):
    """As if all but the two liveliest of the tiny run's dimensions were still."""
    deviation = sorted(runs.load_statistics(vae_of(run_dir)).deviation)
    border = (deviation[-2] ** 2 + deviation[-3] ** 2) / 2
    monkeypatch.setattr(passes, "ACTIVE_VARIANCE", border)
    still = tiny.CONTENT_DIMS - 2

    bind(normalize_content=True)
    finishing.finish(vae_of(run_dir), small_records)

    said = capsys.readouterr().out
    assert f"{still} of the {tiny.CONTENT_DIMS} content dimensions hardly vary" in said


def test_the_digest_tells_normalized_codes_from_plain_ones(tiny_run):
    """And it is that of runs from before there was a choice, where there is none."""
    import dataclasses
    import hashlib

    plain = runs.load_statistics(vae_of(tiny_run))
    with np.load(tiny_run / "vae" / "content_statistics.npz") as arrays:
        assert arrays.files == ["mean", "deviation", "artist_means"]
        whole = b"".join(arrays[name].tobytes() for name in arrays.files)
    assert plain.digest == hashlib.sha256(whole).hexdigest()
    normalized = dataclasses.replace(plain, normalize_content=True)
    given = dataclasses.replace(normalized, given_style=np.zeros([3, 2], np.float32))
    assert len({one.digest for one in (plain, normalized, given)}) == 3


def test_a_choice_that_is_none_is_refused(bind):
    bind(normalize_content="no")
    with pytest.raises(UserError, match="normalize_content must be .* got 'no'"):
        finishing.Pruning()
