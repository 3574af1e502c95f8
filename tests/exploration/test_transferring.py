"""`python -m tfstyle.transfer` gives what the networks give for the codes by hand."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tiny_run as tiny
from PIL import Image
from test_commands import error_line, module, run

from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import transferring
from tfstyle.exploration.transferring import Wanted
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.runs import folder as runs

TILE = 96  # of a 32x32 picture on a sheet


@pytest.fixture(scope="module")
def contents(portraits_dir) -> list[str]:
    return [
        f"{portraits_dir}/{name}" for name in ("micah/00000.png", "dylan/00000.png")
    ]


@pytest.fixture(scope="module")
def styles(portraits_dir) -> list[str]:
    return [f"{portraits_dir}/lorelei/0000{number}.png" for number in range(3)]


def encoded(encoder, *paths) -> np.ndarray:
    pictures = [np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in paths]
    return encoder(color.rgb_to_lab(np.stack(pictures))).numpy().astype(np.float64)


def noise(seed) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=tiny.NOISE_DIMS)


def by_hand(run_dir, content, style, seed=0) -> np.ndarray:
    """The picture of a content file and a style code, uint8."""
    generator = runs.load_network(runs.StageFolder(run_dir, "gan"), "generator_average")
    code = encoded(runs.load_content_encoder(run_dir), content)
    return decode_codes(generator, style[None], code, noise(seed)[None])[0]


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.size == (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE)
        return np.asarray(image.convert("RGB"), int)


def assert_same_picture(path, expected):
    """Up to the rounding of another batch size."""
    assert np.abs(read(path) - expected).max() <= 1
    assert np.ptp(expected) > 10  # not one flat color


def test_the_result_has_the_content_of_one_and_the_style_of_the_other(
    tiny_run, contents, styles, tmp_path
):
    output = str(tmp_path / "new" / "c.png")

    (result,), left_out = transferring.transfer(
        tiny_run, contents[:1], Wanted(styles[:1]), output
    )

    style = encoded(runs.load_style_encoder(tiny_run), styles[0])[0]
    assert (result.path, result.errors, left_out) == (output, None, [])
    assert_same_picture(output, by_hand(tiny_run, contents[0], style))
    assert os.listdir(tmp_path / "new") == ["c.png"]


def test_of_several_style_pictures_the_mean_code_counts(
    tiny_run, contents, styles, tmp_path
):
    output = str(tmp_path / "c.png")

    transferring.transfer(tiny_run, contents[:1], Wanted(styles), output)

    style = encoded(runs.load_style_encoder(tiny_run), *styles).mean(axis=0)
    assert_same_picture(output, by_hand(tiny_run, contents[0], style))


def test_an_artists_style_is_the_mean_and_a_mix_of_one_is_the_artist(
    tiny_run, contents, tmp_path
):
    metric = runs.StageFolder(tiny_run, "metric")
    name = metric.read()["dataset"]["artists"][1]
    mean = runs.load_statistics(metric).artist_means[1]
    by_artist, by_mix = str(tmp_path / "artist.png"), str(tmp_path / "mix.png")

    transferring.transfer(tiny_run, contents[:1], Wanted(artist=name), by_artist)
    transferring.transfer(tiny_run, contents[:1], Wanted(mix=f"{name}:1"), by_mix)

    assert_same_picture(by_artist, by_hand(tiny_run, contents[0], mean))
    np.testing.assert_array_equal(read(by_mix), read(by_artist))


def test_another_seed_is_another_noise(tiny_run, contents, styles, tmp_path):
    output = str(tmp_path / "c.png")

    transferring.transfer(
        tiny_run, contents[:1], Wanted(styles[:1]), output, noise_seed=7
    )

    style = encoded(runs.load_style_encoder(tiny_run), styles[0])[0]
    expected = by_hand(tiny_run, contents[0], style, seed=7)
    assert_same_picture(output, expected)
    assert (expected != by_hand(tiny_run, contents[0], style)).any()


@pytest.mark.parametrize(
    ("suffix", "format"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")]
)
def test_the_suffix_decides_the_format(
    suffix, format, tiny_run, contents, styles, tmp_path
):
    output = str(tmp_path / f"c.{suffix}")

    transferring.transfer(tiny_run, contents[:1], Wanted(styles[:1]), output)

    with Image.open(output) as image:
        assert image.format == format
    style = encoded(runs.load_style_encoder(tiny_run), styles[0])[0]
    expected = by_hand(tiny_run, contents[0], style)
    lossy = 20 if format == "JPEG" else 1
    assert np.abs(read(output) - expected).mean() < lossy


def test_a_picture_of_any_kind_and_size_is_converted_as_for_the_records(
    tiny_run, contents, styles, tmp_path
):
    with Image.open(contents[0]) as image:
        wide = Image.new("RGB", (90, 60))
        wide.paste(image.convert("RGB").resize((60, 60)), (15, 0))
        wide.save(tmp_path / "wide.webp", lossless=True)
    output = str(tmp_path / "c.png")

    transferring.transfer(
        tiny_run, [str(tmp_path / "wide.webp")], Wanted(styles[:1]), output
    )

    style = encoded(runs.load_style_encoder(tiny_run), styles[0])[0]
    assert_same_picture(output, by_hand(tiny_run, tmp_path / "wide.webp", style))


def test_several_contents_fill_a_folder_under_names_of_their_own(
    tiny_run, contents, styles, tmp_path
):
    """Both are 00000.png; a file given twice is made once; folders keep their order."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(contents[1], folder / "inner" / "A.png")
    shutil.copy(contents[0], folder / "a.png")
    (folder / "broken.png").write_bytes(b"nothing")
    output = tmp_path / "out"

    results, left_out = transferring.transfer(
        tiny_run,
        [*contents, contents[0], str(folder)],
        Wanted(styles[:1]),
        str(output),
    )

    assert [one.path for one in results] == [
        str(output / name)
        for name in ("00000.png", "00000-2.png", "a.png", "inner/A.png")
    ]
    assert [name for name, _ in left_out] == ["broken.png"]
    style = encoded(runs.load_style_encoder(tiny_run), styles[0])[0]
    for one, content in zip(results, [*contents, *contents], strict=True):
        assert_same_picture(one.path, by_hand(tiny_run, content, style))
    assert sum(path.is_file() for path in output.rglob("*")) == 4


def test_refined_codes_rebuild_the_content_better_and_take_the_style(
    tiny_run, contents, styles, tmp_path
):
    """What is shown is G(style, v, w) of the codes that give the error told."""
    results, _ = transferring.transfer(
        tiny_run, contents, Wanted(styles[:1]), str(tmp_path), refine_steps=20
    )

    generator = runs.load_network(
        runs.StageFolder(tiny_run, "gan"), "generator_average"
    )
    own = encoded(runs.load_style_encoder(tiny_run), *contents)
    codes = encoded(runs.load_content_encoder(tiny_run), *contents)
    target = color.rgb_to_lab(
        np.stack([np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in contents])
    ).numpy()
    inputs = [own, codes, np.tile(noise(0), [2, 1])]
    made = generator([one.astype(np.float32) for one in inputs]).numpy()
    before = np.square(made - target).sum(axis=(1, 2, 3))
    for one, error in zip(results, before, strict=True):
        assert one.errors[0] == pytest.approx(error, rel=1e-3)
        assert one.errors[1] < 0.98 * one.errors[0]
        read(one.path)
    lines = transferring.result_lines(results)
    assert f"{results[0].errors[0]:.1f} -> {results[0].errors[1]:.1f}" in lines[0]


@pytest.mark.parametrize("by", ["pictures", "artist"])
def test_the_sheet_shows_content_result_and_the_pictures_of_the_style(
    by, tiny_run, contents, styles, tmp_path
):
    artist = runs.StageFolder(tiny_run, "metric").read()["dataset"]["artists"][0]
    wanted = Wanted(styles[:2]) if by == "pictures" else Wanted(artist=artist)
    sheet = tmp_path / "sheet.png"

    transferring.transfer(
        tiny_run, contents, wanted, str(tmp_path / "out"), sheet=str(sheet)
    )

    columns = 2 + len(wanted.pictures)
    with Image.open(sheet) as image:
        assert columns * TILE <= image.width <= (columns + 1.5) * TILE
        assert 2 * TILE <= image.height <= 3 * TILE
        if by == "pictures":  # the last of all stands at the right, thrice as large
            style = load_picture(styles[1], tiny.IMAGE_SIZE).resize(
                (TILE, TILE), Image.Resampling.NEAREST
            )
            right = image.width - TILE - 14
            box = (right, image.height - TILE - 14, right + TILE, image.height - 14)
            np.testing.assert_array_equal(np.asarray(image.crop(box)), style)


def test_nothing_is_overwritten_unless_wanted(tiny_run, contents, styles, tmp_path):
    (tmp_path / "00000-2.png").write_bytes(b"older")
    arguments = (tiny_run, contents, Wanted(styles[:1]), str(tmp_path))

    with pytest.raises(UserError, match="00000-2.png is there already.*--overwrite"):
        transferring.transfer(*arguments)
    assert os.listdir(tmp_path) == ["00000-2.png"]

    transferring.transfer(*arguments, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["00000-2.png", "00000.png"]
    read(tmp_path / "00000-2.png")


@pytest.mark.parametrize("clash", ["content", "style", "sheet", "sheet by a link"])
def test_nothing_is_written_over_what_is_read_or_made(
    clash, tiny_run, contents, styles, tmp_path
):
    """However it is named, and even with --overwrite."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    content = shutil.copy(contents[0], tmp_path / "folder" / "content.png")
    style = shutil.copy(styles[0], tmp_path / "folder" / "style.png")
    before = {path: pathlib.Path(path).read_bytes() for path in (content, style)}
    output = (
        tmp_path / "link" / f"{clash if clash in ('content', 'style') else 'c'}.png"
    )
    sheet = {
        "sheet": tmp_path / "link" / ".." / "folder" / "c.png",
        "sheet by a link": tmp_path / "folder" / "c.png",
    }.get(clash)

    with pytest.raises(UserError, match="choose another"):
        transferring.transfer(
            tiny_run,
            [str(content)],
            Wanted([str(style)]),
            str(output),
            sheet=str(sheet) if sheet else None,
            overwrite=True,
        )

    for path, content in before.items():
        assert pathlib.Path(path).read_bytes() == content
    assert len(list((tmp_path / "folder").iterdir())) == 2


def test_an_unknown_artist_is_told_the_nearest_and_nothing_is_written(
    tiny_run, contents, tmp_path
):
    artists = runs.StageFolder(tiny_run, "metric").read()["dataset"]["artists"]
    wrong = artists[2][:-1]

    with pytest.raises(UserError, match=f"nearest names are: {artists[2]}, "):
        transferring.transfer(
            tiny_run, contents[:1], Wanted(artist=wrong), str(tmp_path / "c.png")
        )

    assert list(tmp_path.iterdir()) == []


def test_a_content_that_cannot_be_used_is_one_line(tiny_run, styles, tmp_path):
    for name in ("broken.png", "style.png"):
        (tmp_path / name).write_bytes(b"nothing")

    with pytest.raises(UserError, match="no usable picture.*broken.png"):
        transferring.transfer(
            tiny_run,
            [str(tmp_path / "broken.png")],
            Wanted([str(tmp_path / "style.png"), styles[0]]),
            str(tmp_path / "c.png"),
        )

    assert sorted(os.listdir(tmp_path)) == ["broken.png", "style.png"]


@pytest.mark.parametrize("kind", ["content", "style"])
def test_a_misspelt_name_is_said_before_anything_is_made(
    kind, tiny_run, contents, styles, tmp_path
):
    given = {"content": contents, "style": styles}
    missing = str(tmp_path / "misspelt.png")
    given[kind] = [*given[kind], missing]

    with pytest.raises(UserError, match=f"^there is no file or folder {missing}$"):
        transferring.transfer(
            tiny_run, given["content"], Wanted(given["style"]), str(tmp_path / "out")
        )

    assert list(tmp_path.iterdir()) == []


def test_the_command_transfers_says_so_and_refuses_to_do_it_again(
    tiny_run, contents, styles, tmp_path
):
    arguments = [
        f"--run_dir={tiny_run}",
        f"--content={contents[0]}",
        contents[1],
        *(f"--style={style}" for style in styles),
        f"--output={tmp_path / 'out'}",
        f"--sheet={tmp_path / 'sheet.png'}",
        "--refine_steps=2",
    ]

    done = run(module("transfer"), *arguments)

    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first.startswith(f"{contents[0]}: {tmp_path / 'out' / '00000.png'} (error")
    assert second.startswith(f"{contents[1]}: {tmp_path / 'out' / '00000-2.png'} (err")
    assert last == f"sheet: {tmp_path / 'sheet.png'}"
    assert "refining [====================] 2/2" in done.stderr
    assert "is there already" in error_line(run(module("transfer"), *arguments))
    again = run(module("transfer"), *arguments, "--overwrite")
    assert again.returncode == 0, again.stderr


GIVEN = ["--content=a.png", "--style=b.png", "--output=c.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (GIVEN[1:], "give a picture as --content"),
        ([GIVEN[0], GIVEN[2]], "one of --style, --style_artist and --style_mix"),
        ([*GIVEN, "--style_artist=A"], "one of --style, --style_artist and"),
        (["--style_artist=A", "--style_mix=A:1", *GIVEN[::2]], "give one of --style"),
        (GIVEN[:2], "--output is missing"),
        ([*GIVEN[:2], "--output=c.gif"], ".webp file, got c.gif"),
        ([*GIVEN, "second.png"], "must be a folder for several contents, got c.png"),
        ([*GIVEN[:2], "--output=there.png"], "there.png is there already"),
        ([*GIVEN, "--sheet=c.jpg"], "--sheet must be a .png file, got c.jpg"),
        ([*GIVEN, "--sheet=there.png"], "--sheet=there.png is there already"),
        ([*GIVEN[:2], "d.png", "--output=there.txt"], "must be a folder"),
        (GIVEN, "tfstyle.train --gin_file=gin/gan.gin --run_dir=runs/default"),
    ],
)
def test_misuse_is_one_line(arguments, said, tmp_path):
    names = ["a.png", "b.png", "d.png", "there.png", "there.txt"]
    there = {tmp_path / name for name in names}
    for path in there:
        path.touch()

    assert said in error_line(run(module("transfer"), *arguments, cwd=tmp_path))

    assert set(pathlib.Path(tmp_path).iterdir()) == there
