"""Styles are asked for by name or as a mixture; a generator must be there."""

import pathlib
import shutil

import numpy as np
import pytest
import tiny_run as tiny

from tfstyle.core.cli import UserError
from tfstyle.exploration import enrolling, synthesizing
from tfstyle.runs import folder as runs

NAMES = ["Ann", "Bob", "Smith, John", "Re:Zero", "Smith"]
ARTISTS = synthesizing.Artists(
    NAMES, np.array([[1.0, 0], [0, 1], [4, 4], [-1, 2], [8, 8]], np.float32)
)


def test_an_artists_style_is_their_mean():
    np.testing.assert_array_equal(ARTISTS.style("Bob"), [0, 1])


@pytest.mark.parametrize(
    ("wanted", "nearest"), [("bobb", "Bob"), ("ann", "Ann"), ("ReZero", "Re:Zero")]
)
def test_an_unknown_artist_is_told_the_nearest_first(wanted, nearest):
    with pytest.raises(UserError) as caught:
        ARTISTS.style(wanted)

    assert f"named '{wanted}'; the nearest names are: {nearest}, " in str(caught.value)


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        ("Ann:1", [1, 0]),
        ("Ann:0.6,Bob:0.4", [0.6, 0.4]),
        ("Ann:3, Bob : 1", [0.75, 0.25]),  # (3 a + b) / 4
        ("Ann:1e-1,Bob:.3", [0.25, 0.75]),
        ("Ann:1,Ann:1,Bob:2", [0.5, 0.5]),
        ("Smith, John:1,Ann:1", [2.5, 2]),
        ("Ann:1,Re:Zero:1", [0, 1]),
        ("Ann:1,", [1, 0]),
        ("Ann:1e308,Bob:1e308", [0.5, 0.5]),
    ],
)
def test_a_mix_is_the_weighted_mean_whatever_the_sum_of_weights(mix, expected):
    style = ARTISTS.mixed(mix)

    assert style.dtype == np.float32
    np.testing.assert_allclose(style, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("mix", "got"),
    [
        ("", "''"),
        ("Ann", "'Ann'"),
        ("Ann:", "'Ann:'"),
        (":1", "':1'"),
        ("Ann:much", "'Ann:much'"),
        ("Ann:1,Bob", "'Bob'"),
        ("Ann:0,Bob:1", "'Ann:0,Bob:1'"),
        ("Ann:1,Bob:-1", "'Bob:-1'"),
        ("Ann:-1,Bob:2", "'Ann:-1,Bob:2'"),
        ("Ann:-.5e0,Bob:2", "'Ann:-.5e0,Bob:2'"),
        ("Ann:1.2.3", "'Ann:1.2.3'"),
        ("Ann:1e999", "'Ann:1e999'"),
    ],
)
def test_what_is_no_mix_is_shown_from_where_it_goes_wrong(mix, got):
    with pytest.raises(UserError) as caught:
        ARTISTS.mixed(mix)

    assert "NAME:WEIGHT,NAME:WEIGHT" in str(caught.value)
    assert str(caught.value).endswith(f"got {got}")


def test_an_unknown_artist_in_a_mix_is_told_the_nearest():
    with pytest.raises(UserError, match="named 'Bo'; the nearest names are: Bob"):
        ARTISTS.mixed("Ann:1,Bo:1")


@pytest.mark.parametrize("mix", ["Ann:x,Bob:2", "Ann:half,Smith, John:1"])
def test_an_unknown_name_with_a_colon_is_told_what_a_mix_looks_like(mix):
    with pytest.raises(UserError, match="no artist .*NAME:WEIGHT,NAME:WEIGHT"):
        ARTISTS.mixed(mix)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ann,Bob", ["Ann", "Bob"]),
        (" Bob , Ann ", ["Bob", "Ann"]),
        ("Smith, John,Smith,Re:Zero", ["Smith, John", "Smith", "Re:Zero"]),
        ("Smith", ["Smith"]),
    ],
)
def test_listed_names_may_hold_commas(text, names):
    assert ARTISTS.listed(text) == names


def test_an_unknown_artist_in_a_list_is_named():
    with pytest.raises(UserError, match="named 'John'"):
        ARTISTS.listed("Ann,John,Bob")


def test_enrolled_artists_can_be_asked_for(tiny_run, portraits_dir, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")
    enrolling.enrol(run_dir, "New", [f"{portraits_dir}/micah/00000.png"])

    artists = synthesizing.Artists.load(run_dir)

    trained = runs.load_statistics(runs.StageFolder(run_dir, "metric")).artist_means
    np.testing.assert_array_equal(artists.style(artists.names[1]), trained[1])
    with np.load(run_dir / "metric" / "enrolled.npz") as enrolled:
        np.testing.assert_array_equal(artists.style("New"), enrolled["means"][0])


def test_the_generator_is_its_moving_average(tiny_run):
    generator, code_dims = synthesizing.load_generator(tiny_run)

    assert code_dims == (tiny.STYLE_DIMS, tiny.CONTENT_DIMS, tiny.NOISE_DIMS)
    folder = runs.StageFolder(tiny_run, "gan")
    average = runs.load_network(folder, "generator_average")
    latest = runs.load_network(folder, "generator")
    weights = generator.get_weights()
    for one, other in zip(weights, average.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(
        (one != other).any()
        for one, other in zip(weights, latest.get_weights(), strict=True)
    )


@pytest.mark.parametrize("state", ["missing", "unfinished", "stale"])
def test_without_a_generator_the_command_that_makes_it_is_given(
    state, tiny_run, tmp_path
):
    run_dir = pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))
    if state == "missing":
        shutil.rmtree(run_dir / "gan")
    elif state == "unfinished":
        (run_dir / "gan" / "FINISHED").unlink()
    else:
        shutil.copy(
            run_dir / "vae" / "content_statistics.npz",
            run_dir / "metric" / "style_statistics.npz",
        )

    with pytest.raises(UserError) as caught:
        synthesizing.load_generator(run_dir)

    assert runs.train_command("gan", run_dir) in str(caught.value)
    assert ("--restart" in str(caught.value)) == (state == "stale")
