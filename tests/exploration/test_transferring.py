"""`python -m tfstyle.transfer` writes what the networks generate from the codes."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import configuration as tiny
from helpers.commands import error_line, module, read_output, run
from helpers.pictures import load_images
from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import transferring
from tfstyle.exploration.transferring import TargetStyle
from tfstyle.modeling.networks.codes import decode_codes

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
    return encoder(load_images(paths)).numpy().astype(np.float64)


def noise(seed) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=tiny.NOISE_DIMS)


def expected_picture(trained, content, style, seed=0) -> np.ndarray:
    """Generate the picture of a content file and a style code, uint8."""
    generator = trained.network("gan", "generator_average")
    code = encoded(trained.content_encoder, content)
    return decode_codes(generator, style[None], code, noise(seed)[None])[0]


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.size == (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE)
        return np.asarray(image.convert("RGB"), int)


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same_picture(path, expected):
    """Up to the rounding of another batch size."""
    assert np.abs(read(path) - expected).max() <= 1
    assert np.ptp(expected) > 10  # not one flat color


def test_the_result_has_the_content_of_one_and_the_style_of_the_other(
    trained, contents, styles, tmp_path
):
    output = str(tmp_path / "new" / "c.png")

    (result,) = transferring.transfer(
        trained, contents[:1], TargetStyle(styles[:1]), output
    )

    style = encoded(trained.style_encoder, styles[0])[0]
    assert (result.path, result.errors) == (output, None)
    assert_same_picture(output, expected_picture(trained, contents[0], style))
    assert names_in(tmp_path / "new") == ["c.png"]


def test_of_several_style_pictures_the_mean_code_counts(
    trained, contents, styles, tmp_path
):
    output = str(tmp_path / "c.png")

    transferring.transfer(trained, contents[:1], TargetStyle(styles), output)

    style = encoded(trained.style_encoder, *styles).mean(axis=0)
    assert_same_picture(output, expected_picture(trained, contents[0], style))


def test_an_artists_style_is_the_mean_and_a_mix_of_one_is_the_artist(
    trained, contents, tmp_path
):
    name = trained.collection.artists[1]
    mean = trained.style_statistics.artist_means[1]
    by_artist, by_mix = str(tmp_path / "artist.png"), str(tmp_path / "mix.png")

    transferring.transfer(trained, contents[:1], TargetStyle(artist=name), by_artist)
    transferring.transfer(trained, contents[:1], TargetStyle(mix=f"{name}:1"), by_mix)

    assert_same_picture(by_artist, expected_picture(trained, contents[0], mean))
    np.testing.assert_array_equal(read(by_mix), read(by_artist))


def test_another_seed_is_another_noise(trained, contents, styles, tmp_path):
    output = str(tmp_path / "c.png")

    transferring.transfer(
        trained, contents[:1], TargetStyle(styles[:1]), output, noise_seed=7
    )

    style = encoded(trained.style_encoder, styles[0])[0]
    expected = expected_picture(trained, contents[0], style, seed=7)
    assert_same_picture(output, expected)
    assert (expected != expected_picture(trained, contents[0], style)).any()


@pytest.mark.parametrize(
    ("suffix", "format"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")]
)
def test_the_suffix_decides_the_format(
    suffix, format, trained, contents, styles, tmp_path
):
    output = str(tmp_path / f"c.{suffix}")

    transferring.transfer(trained, contents[:1], TargetStyle(styles[:1]), output)

    with Image.open(output) as image:
        assert image.format == format
    style = encoded(trained.style_encoder, styles[0])[0]
    expected = expected_picture(trained, contents[0], style)
    lossy = 20 if format == "JPEG" else 1
    assert np.abs(read(output) - expected).mean() < lossy


def test_a_picture_of_any_kind_and_size_is_converted_as_for_the_records(
    trained, contents, styles, tmp_path
):
    with Image.open(contents[0]) as image:
        wide = Image.new("RGB", (90, 60))
        wide.paste(image.convert("RGB").resize((60, 60)), (15, 0))
        wide.save(tmp_path / "wide.webp", lossless=True)
    output = str(tmp_path / "c.png")

    transferring.transfer(
        trained, [str(tmp_path / "wide.webp")], TargetStyle(styles[:1]), output
    )

    style = encoded(trained.style_encoder, styles[0])[0]
    assert_same_picture(
        output, expected_picture(trained, tmp_path / "wide.webp", style)
    )


def test_several_contents_fill_a_folder_under_names_of_their_own(
    trained, contents, styles, tmp_path, caplog
):
    """Both are 00000.png; a repeated file counts once; folders keep their order."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    shutil.copy(contents[1], folder / "inner" / "A.png")
    shutil.copy(contents[0], folder / "a.png")
    (folder / "broken.png").write_bytes(b"nothing")
    output = tmp_path / "out"

    with pytest.raises(transferring.IncompleteTransferError) as caught:
        transferring.transfer(
            trained,
            [*contents, contents[0], str(folder)],
            TargetStyle(styles[:1]),
            str(output),
        )

    assert str(caught.value) == "1 picture could not be used; see the output above"
    assert [result.path for result in caught.value.results] == [
        str(output / name)
        for name in ("00000.png", "00000-2.png", "a.png", "inner/A.png")
    ]
    assert caplog.messages[0].startswith("skipped broken.png: ")
    assert caplog.messages[1:] == ["1 file skipped"]
    style = encoded(trained.style_encoder, styles[0])[0]
    for result, content in zip(
        caught.value.results, [*contents, *contents], strict=True
    ):
        assert_same_picture(result.path, expected_picture(trained, content, style))
    assert sum(path.is_file() for path in output.rglob("*")) == 4


def test_refined_codes_rebuild_the_content_better_and_take_the_style(
    trained, contents, styles, tmp_path
):
    """The reported errors are those of G with the encoder's and the refined codes."""
    results = transferring.transfer(
        trained, contents, TargetStyle(styles[:1]), str(tmp_path), refine_steps=20
    )

    generator = trained.network("gan", "generator_average")
    own = encoded(trained.style_encoder, *contents)
    codes = encoded(trained.content_encoder, *contents)
    target = load_images(contents).numpy()
    inputs = [own, codes, np.tile(noise(0), [2, 1])]
    generated = generator([code.astype(np.float32) for code in inputs]).numpy()
    before = np.square(generated - target).sum(axis=(1, 2, 3))
    for result, error in zip(results, before, strict=True):
        assert result.errors[0] == pytest.approx(error, rel=1e-3)
        assert result.errors[1] < 0.98 * result.errors[0]
        read(result.path)
    lines = transferring.format_results(results)
    assert f"{results[0].errors[0]:.1f} -> {results[0].errors[1]:.1f}" in lines[0]


@pytest.mark.parametrize("by", ["pictures", "artist"])
def test_the_sheet_shows_content_result_and_the_pictures_of_the_style(
    by, trained, contents, styles, tmp_path
):
    target = TargetStyle(artist=trained.collection.artists[0])
    if by == "pictures":
        target = TargetStyle(styles[:2])
    sheet = tmp_path / "sheet.png"

    transferring.transfer(
        trained, contents, target, str(tmp_path / "out"), sheet=str(sheet)
    )

    columns = 2 + len(target.pictures)
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


def test_nothing_is_overwritten_without_the_flag(trained, contents, styles, tmp_path):
    (tmp_path / "00000-2.png").write_bytes(b"older")
    arguments = (trained, contents, TargetStyle(styles[:1]), str(tmp_path))

    with pytest.raises(UserError, match="00000-2.png already exists.*--overwrite"):
        transferring.transfer(*arguments)
    assert names_in(tmp_path) == ["00000-2.png"]

    transferring.transfer(*arguments, overwrite=True)
    assert names_in(tmp_path) == ["00000-2.png", "00000.png"]
    read(tmp_path / "00000-2.png")


@pytest.mark.parametrize("clash", ["content", "style", "sheet", "sheet by a link"])
def test_inputs_and_other_outputs_are_never_overwritten(
    clash, trained, contents, styles, tmp_path
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
            trained,
            [str(content)],
            TargetStyle([str(style)]),
            str(output),
            sheet=str(sheet) if sheet else None,
            overwrite=True,
        )

    for path, content in before.items():
        assert pathlib.Path(path).read_bytes() == content
    assert len(list((tmp_path / "folder").iterdir())) == 2


def test_an_unknown_artist_is_an_error_with_the_closest_names(
    trained, contents, tmp_path
):
    artist = trained.collection.artists[2]
    wrong = artist[:-1]

    with pytest.raises(UserError, match=f"closest names are: {artist}, "):
        transferring.transfer(
            trained, contents[:1], TargetStyle(artist=wrong), str(tmp_path / "c.png")
        )

    assert list(tmp_path.iterdir()) == []


def test_a_content_that_cannot_be_used_is_one_line(trained, styles, tmp_path):
    for name in ("broken.png", "style.png"):
        (tmp_path / name).write_bytes(b"nothing")

    with pytest.raises(UserError, match="no picture of 1 is usable.*broken.png"):
        transferring.transfer(
            trained,
            [str(tmp_path / "broken.png")],
            TargetStyle([str(tmp_path / "style.png"), styles[0]]),
            str(tmp_path / "c.png"),
        )

    assert names_in(tmp_path) == ["broken.png", "style.png"]


@pytest.mark.parametrize("kind", ["content", "style"])
def test_a_misspelled_path_is_an_error_before_anything_is_written(
    kind, trained, contents, styles, tmp_path
):
    paths = {"content": contents, "style": styles}
    missing = str(tmp_path / "misspelled.png")
    paths[kind] = [*paths[kind], missing]

    with pytest.raises(UserError, match=f"^there is no file or folder {missing}$"):
        transferring.transfer(
            trained,
            paths["content"],
            TargetStyle(paths["style"]),
            str(tmp_path / "out"),
        )

    assert list(tmp_path.iterdir()) == []


def test_the_command_lists_its_results_and_does_not_repeat_itself(
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

    first, second, last = read_output(done).splitlines()
    assert first.startswith(
        f"{contents[0]}: {tmp_path / 'out' / '00000.png'} (reconstruction error"
    )
    assert second.startswith(
        f"{contents[1]}: {tmp_path / 'out' / '00000-2.png'} (reconstruction"
    )
    assert last == f"sheet: {tmp_path / 'sheet.png'}"
    assert "refining [====================] 2/2" in done.stderr
    assert "already exists" in error_line(run(module("transfer"), *arguments))
    read_output(run(module("transfer"), *arguments, "--overwrite"))


GIVEN = ["--content=a.png", "--style=b.png", "--output=c.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (GIVEN[1:], "pass a picture as --content"),
        ([GIVEN[0], GIVEN[2]], "one of --style, --style_artist and --style_mix"),
        ([*GIVEN, "--style_artist=A"], "one of --style, --style_artist and"),
        (["--style_artist=A", "--style_mix=A:1", *GIVEN[::2]], "pass one of --style"),
        (GIVEN[:2], "--output is missing"),
        ([*GIVEN[:2], "--output=c.gif"], ".webp file, got c.gif"),
        ([*GIVEN, "second.png"], "must be a folder for several contents, got c.png"),
        ([*GIVEN[:2], "--output=there.png"], "there.png already exists"),
        ([*GIVEN, "--sheet=c.jpg"], "--sheet must be a .png file, got c.jpg"),
        ([*GIVEN, "--sheet=there.png"], "--sheet=there.png already exists"),
        ([*GIVEN[:2], "d.png", "--output=there.txt"], "must be a folder"),
        ([f"--content={'a' * 300}", *GIVEN[1:]], "there is no file or folder aaa"),
        (GIVEN, "tfstyle.train --gin_file=gin/gan.gin --run_dir=runs/default"),
    ],
)
def test_misuse_is_one_line(arguments, message, tmp_path):
    names = ["a.png", "b.png", "d.png", "there.png", "there.txt"]
    existing = {tmp_path / name for name in names}
    for path in existing:
        path.touch()

    assert message in error_line(run(module("transfer"), *arguments, cwd=tmp_path))

    assert set(pathlib.Path(tmp_path).iterdir()) == existing
