"""`python -m tfstyle.generate` draws codes from a seed and decodes them."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import error_line, module, read_output, run
from tfstyle.core.cli import UserError
from tfstyle.exploration import generating
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.runs.trained_run import TrainedRun

DIMS = (tiny.STYLE_DIMS, tiny.CONTENT_DIMS, tiny.NOISE_DIMS)


@pytest.fixture(scope="module")
def generated(trained, tmp_path_factory) -> pathlib.Path:
    """34 pictures: two batches."""
    folder = tmp_path_factory.mktemp("generated") / "new" / "folder"
    generating.generate(trained, str(folder), count=34, seed=5)
    return folder


@pytest.fixture(scope="module")
def artists(trained) -> dict[str, np.ndarray]:
    """Mean styles by name."""
    means = trained.style_statistics.artist_means
    return dict(zip(trained.collection.artists, means, strict=True))


def codes_of(folder) -> dict[str, np.ndarray]:
    with np.load(folder / "codes.npz") as arrays:
        return dict(arrays)


def pictures_of(folder) -> np.ndarray:
    names = codes_of(folder)["filenames"]
    return np.stack([np.asarray(Image.open(folder / name)) for name in names])


def test_the_folder_holds_pictures_codes_and_a_sheet(generated):
    codes = codes_of(generated)

    names = [f"{number:05d}.png" for number in range(34)]
    written = sorted(path.name for path in generated.iterdir())
    assert written == [*names, "codes.npz", "sheet.png"]
    assert codes.pop("filenames").tolist() == names
    assert {name: (code.dtype, code.shape) for name, code in codes.items()} == {
        name: (np.dtype(np.float32), (34, dims))
        for name, dims in zip(("style", "content", "noise"), DIMS, strict=True)
    }
    # Eight to a row make five rows, in tiles of 96 pixels.
    with Image.open(generated / "sheet.png") as sheet:
        assert 8 * 96 <= sheet.width <= 9 * 96
        assert 5 * 96 <= sheet.height <= 6 * 96


def test_pictures_are_those_of_their_codes(generated, trained):
    generator = trained.network("gan", "generator_average")
    codes = codes_of(generated)

    expected = decode_codes(
        generator, *(codes[name] for name in ("style", "content", "noise"))
    )

    pictures = pictures_of(generated)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, expected)
    assert len(np.unique(pictures.reshape(34, -1), axis=0)) == 34


def test_codes_are_those_of_the_seed_and_independent_of_the_count(
    generated, trained, tmp_path
):
    drawn = np.random.default_rng(5).normal(size=[34, sum(DIMS)])
    codes = codes_of(generated)
    np.testing.assert_allclose(
        np.concatenate([codes["style"], codes["content"], codes["noise"]], axis=1),
        drawn,
        rtol=1e-6,
    )

    generating.generate(trained, str(tmp_path / "few"), count=3, seed=5)

    few = pictures_of(tmp_path / "few").astype(int)
    assert np.abs(few - pictures_of(generated)[:3]).max() <= 1  # another batch size


def test_styles_of_the_artists_prior_are_independent_of_the_count(tiny_run, tmp_path):
    """A picture's style depends on the seed and its number alone; the rest stays."""
    copy = runs.keep_stages(tiny_run, tmp_path / "run", *tiny.STEPS)
    runs.change_objective(copy, "gan", style_prior="artists")
    for count in (3, 7):
        generating.generate(TrainedRun(copy), str(tmp_path / str(count)), count, seed=5)
    few, many = codes_of(tmp_path / "3"), codes_of(tmp_path / "7")
    generating.generate(TrainedRun(tiny_run), str(tmp_path / "normal"), 7, seed=5)
    normal = codes_of(tmp_path / "normal")

    np.testing.assert_array_equal(few["style"], many["style"][:3])
    assert np.abs(many["style"] - normal["style"]).min() > 0
    for name in ("content", "noise"):
        np.testing.assert_array_equal(many[name], normal[name])


def test_the_same_seed_repeats_every_byte_and_another_does_not(trained, tmp_path):
    for name, seed in [("a", 0), ("b", 0), ("c", 1)]:
        generating.generate(trained, str(tmp_path / name), count=2, seed=seed)

    for path in (tmp_path / "a").iterdir():
        if path.suffix == ".png":  # zip files hold the time
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
            assert path.read_bytes() != (tmp_path / "c" / path.name).read_bytes()


def test_all_pictures_have_a_given_style_and_the_rest_stays(
    generated, trained, artists, tmp_path
):
    (first, a), (second, b), *_ = artists.items()

    generating.generate(trained, str(tmp_path / "a"), 3, 5, artist=first)
    generating.generate(trained, str(tmp_path / "one"), 3, 5, mix=f"{first}:1")
    generating.generate(
        trained, str(tmp_path / "mix"), 3, 5, mix=f"{first}:3,{second}:1"
    )

    expected = {"a": a, "one": a, "mix": 0.75 * a + 0.25 * b}
    unstyled = codes_of(generated)
    for name, style in expected.items():
        codes = codes_of(tmp_path / name)
        np.testing.assert_allclose(codes["style"], np.tile(style, [3, 1]), rtol=1e-5)
        np.testing.assert_array_equal(codes["content"], unstyled["content"][:3])
        np.testing.assert_array_equal(codes["noise"], unstyled["noise"][:3])
    np.testing.assert_array_equal(
        pictures_of(tmp_path / "a"), pictures_of(tmp_path / "one")
    )


def test_an_animation_leads_through_the_artists_with_the_first_content(
    trained, artists, tmp_path
):
    """Frames 0, 3 and 6 of 9 have the styles of the three artists themselves."""
    folder = tmp_path / "new"

    generating.generate(
        trained, str(folder), count=2, interpolate=",".join(artists), frames=9
    )

    codes = codes_of(folder)
    generator = trained.network("gan", "generator_average")
    rest = (np.repeat(codes[name][:1], 3, axis=0) for name in ("content", "noise"))
    expected = decode_codes(generator, np.stack(list(artists.values())), *rest)
    with Image.open(folder / "interpolation.gif") as gif:
        assert gif.n_frames == 9
        for number, picture in zip((0, 3, 6), expected, strict=True):
            gif.seek(number)
            frame = np.asarray(gif.convert("RGB"), int)[4:256:8, 4:256:8]
            assert np.abs(frame - picture).mean() < 4  # of 256 colors


def test_a_folder_of_others_is_left_alone_and_an_earlier_one_replaced_on_demand(
    generated, trained, tmp_path
):
    folder = pathlib.Path(shutil.copytree(generated, tmp_path / "folder"))
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(UserError, match="--overwrite"):
        generating.generate(trained, str(folder), count=2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    generating.generate(trained, str(folder), count=2, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000.png",
        "00001.png",
        "codes.npz",
        "notes.txt",
        "sheet.png",
    ]


def test_a_failure_leaves_no_folder(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(generating.grids, "write_picture", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        generating.generate(trained, str(tmp_path / "folder"), count=2)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"artist": "Nobody"}, "no artist of the run is named 'Nobody'; the closest"),
        ({"mix": "Nobody"}, "--style_mix must be NAME:WEIGHT"),
        ({"interpolate": "{0}"}, "must name at least two artists"),
        ({"interpolate": "{0},{1},{2}", "frames": 2}, "at most --frames=2"),
        ({"interpolate": ""}, "no artist of the run is named ''"),
        ({"interpolate": "{0},Nobody"}, "named 'Nobody'"),
    ],
)
def test_impossible_settings_are_errors_before_anything_is_written(
    settings, message, trained, artists, tmp_path
):
    if "interpolate" in settings:
        interpolate = settings["interpolate"].format(*artists)
        settings = {**settings, "interpolate": interpolate}

    with pytest.raises(UserError) as caught:
        generating.generate(trained, str(tmp_path / "folder"), **settings)

    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_generates_and_names_the_folder(tiny_run, artists, tmp_path):
    folder = tmp_path / "new"
    first, second, _ = artists

    done = run(
        module("generate"),
        f"--run_dir={tiny_run}",
        f"--output_dir={folder}",
        "--count=3",
        f"--style_mix={first}:1,{second}:2",
        f"--interpolate={first},{second}",
        "--frames=4",
    )

    assert read_output(done) == f"3 pictures, their sheet and codes: {folder}\n"
    assert len(list(folder.iterdir())) == 3 + 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--output_dir is missing"),
        (
            ["--output_dir=a", "--style_artist=A", "--style_mix=A:1"],
            "--style_artist or --style_mix, not both",
        ),
        (
            ["--output_dir=a"],
            "tfstyle.train --gin_file=gin/gan.gin --run_dir=runs/default",
        ),
    ],
)
def test_misuse_is_one_line(flags, message, tmp_path):
    assert message in error_line(run(module("generate"), *flags, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
