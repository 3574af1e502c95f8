"""`python -m tfstyle.enrol` gives an artist a place; search, encode, export know it."""

import errno
import io
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image
from test_commands import error_line, module, run

from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import encoding, enrolling, searching
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs
from tfstyle.runs import style_space
from tfstyle.runs.statistics import CodeStatistics
from tfstyle.serving import exporting

NAME = "Zoé, new"


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    return tiny.keep_stages(tiny_run, tmp_path / "run", "metric")


@pytest.fixture
def works(portraits_dir) -> list[str]:
    """Pictures by a designer who is not in the small records."""
    return [f"{portraits_dir}/micah/0000{number}.png" for number in range(4)]


def style_codes(run_dir, paths) -> np.ndarray:
    pictures = [np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in paths]
    images = color.rgb_to_lab(np.stack(pictures))
    return runs.load_style_encoder(run_dir)(images).numpy().astype(np.float64)


def test_an_enrolled_artists_style_is_the_mean_code(run_dir, works):
    assert enrolling.enrol(run_dir, NAME, works) == (4, None, [])

    with np.load(run_dir / "metric" / "enrolled.npz") as stored:
        assert stored["names"].tolist() == [NAME]
        assert stored["counts"].tolist() == [4]
        assert stored["means"].dtype == np.float32
        np.testing.assert_allclose(
            stored["means"], style_codes(run_dir, works).mean(axis=0)[None], atol=1e-4
        )


def test_a_folder_stands_for_its_pictures(run_dir, works, tmp_path):
    folder = tmp_path / "works"
    folder.mkdir()
    for path in works[:2]:
        shutil.copy(path, folder)
    (folder / "broken.png").write_bytes(b"nothing")

    count, _, left_out = enrolling.enrol(run_dir, NAME, [str(folder), works[2]])

    assert count == 3
    assert [name for name, _ in left_out] == ["broken.png"]
    np.testing.assert_allclose(
        style_space.read_enrolled(run_dir).means,
        style_codes(run_dir, works[:3]).mean(axis=0)[None],
        atol=1e-4,
    )


def test_enrolling_again_replaces_and_says_what(run_dir, works):
    enrolling.enrol(run_dir, NAME, works[:1])
    enrolling.enrol(run_dir, "Other", works[1:2])

    assert enrolling.enrol(run_dir, NAME, works[2:]) == (2, 1, [])

    enrolled = style_space.read_enrolled(run_dir)
    assert sorted(zip(enrolled.names, enrolled.counts, strict=True)) == [
        ("Other", 1),
        (NAME, 2),
    ]
    means = dict(zip(enrolled.names, enrolled.means, strict=True))
    codes = style_codes(run_dir, works)
    np.testing.assert_allclose(means["Other"], codes[1], atol=1e-4)
    np.testing.assert_allclose(means[NAME], codes[2:].mean(axis=0), atol=1e-4)


def test_who_is_removed_is_gone_and_others_stay(run_dir, works):
    enrolling.enrol(run_dir, NAME, works[:1])
    enrolling.enrol(run_dir, "Other", works[1:])

    enrolling.remove(run_dir, NAME)

    assert style_space.read_enrolled(run_dir).names == ["Other"]
    with pytest.raises(UserError, match="not enrolled in .*; enrolled: Other"):
        enrolling.remove(run_dir, NAME)
    enrolling.remove(run_dir, "Other")
    assert not (run_dir / "metric" / "enrolled.npz").exists()


def test_search_and_encode_name_the_enrolled(run_dir, works, tmp_path):
    enrolling.enrol(run_dir, NAME, works[:1])

    (found,) = searching.search(run_dir, works[:1])
    shutil.copy(works[0], tmp_path / "one.png")
    collection, _ = encoding.encode_folder(run_dir, str(tmp_path))

    assert len(found.artists) == 4
    assert found.artists[0] == (NAME, pytest.approx(0, abs=1e-3))
    row = collection.filenames.index("one.png")
    assert collection.nearest_artists[row] == NAME
    assert {work.artist for work in found.works}.isdisjoint({NAME})


def test_an_export_names_the_enrolled_and_is_written_anew_for_them(
    run_dir, works, tmp_path
):
    folder = tmp_path / "export"

    def export():
        return exporting.export_run(run_dir, folder, pathlib.PurePosixPath("/models"))

    assert export()[0] == 1
    enrolling.enrol(run_dir, NAME, works[:1])
    assert export()[0] == 2
    assert export()[0] == 2

    model = tf.saved_model.load(str(folder / "style_encoder" / "2"))
    # As the serving clients send it: converted as for the records.
    buffer = io.BytesIO()
    load_picture(works[0], tiny.IMAGE_SIZE).save(buffer, "PNG")
    answer = model.signatures["serving_default"](
        image_bytes=tf.constant([buffer.getvalue()])
    )
    assert answer["nearest_artists"].shape == (1, 4)
    assert answer["nearest_artists"].numpy()[0, 0].decode() == NAME
    assert answer["nearest_distances"].numpy()[0, 0] < 1e-2

    enrolling.enrol(run_dir, NAME, works[1:])
    assert export()[0] == 3
    enrolling.remove(run_dir, NAME)
    assert export()[0] == 4


def test_codes_of_earlier_weights_are_left_out_and_said(run_dir, works, capsys):
    enrolling.enrol(run_dir, NAME, works)
    path = run_dir / "metric" / runs.STATISTICS_FILES["metric"]
    statistics = CodeStatistics.read(path)
    CodeStatistics(
        statistics.mean + 1, statistics.deviation, statistics.artist_means
    ).write(path)
    capsys.readouterr()

    names, means = style_space.artist_styles(run_dir)

    assert len(names) == len(means) == 3
    said = capsys.readouterr().out
    assert said.startswith("note: the metric stage was trained on") and NAME in said
    assert enrolling.enrol(run_dir, "Other", works)[0] == 4
    assert style_space.read_enrolled(run_dir).names == ["Other"]


def test_a_damaged_file_is_one_line(run_dir, works):
    enrolling.enrol(run_dir, NAME, works[:1])
    path = run_dir / "metric" / "enrolled.npz"
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(UserError, match="enrolled.npz is damaged"):
        style_space.artist_styles(run_dir)


def test_nobody_is_enrolled_by_pictures_that_cannot_be_used(run_dir, works, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    enrolling.enrol(run_dir, NAME, works)

    with pytest.raises(UserError, match="no usable picture.*broken.png"):
        enrolling.enrol(run_dir, NAME, [str(tmp_path / "broken.png")])

    assert style_space.read_enrolled(run_dir).counts.tolist() == [4]


def test_a_run_that_cannot_be_written_is_one_line(run_dir, works, monkeypatch):
    enrolling.enrol(run_dir, NAME, works[:1])

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(np, "savez", refuse)
    monkeypatch.setattr(pathlib.Path, "unlink", refuse)

    said = r"enrolled.npz, which cannot be written \(Read-only file system\)"
    with pytest.raises(UserError, match=said):
        enrolling.enrol(run_dir, "Other", works)
    with pytest.raises(UserError, match=said):
        enrolling.remove(run_dir, NAME)
    assert style_space.read_enrolled(run_dir).names == [NAME]


def test_names_that_cannot_be_taken_are_refused(run_dir, works):
    trained = runs.StageFolder(run_dir, "metric").read()["dataset"]["artists"][1]

    for name, said in [
        (trained, "was trained on"),
        (" ", "a name"),
        ("a\nb", "a name"),
    ]:
        with pytest.raises(UserError, match=said):
            enrolling.enrol(run_dir, name, works)

    assert not (run_dir / "metric" / "enrolled.npz").exists()


def test_the_command_enrols_replaces_and_removes(run_dir, works):
    flags = [f"--run_dir={run_dir}", "--name=New"]

    first = run(module("enrol"), *flags, *works)
    second = run(module("enrol"), *works[:1], *flags)
    third = run(module("enrol"), *flags, "--remove")

    assert first.stdout == "New enrolled by 4 pictures\n"
    assert second.stdout == "New enrolled by 1 picture (replacing an enrolment by 4)\n"
    assert third.stdout == f"New removed from {run_dir}\n"
    assert {done.returncode for done in (first, second, third)} == {0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.png"], "--name is missing"),
        (["--name=New", "--remove", "a.png"], "--remove takes no pictures"),
        (["--name=New", "a.png"], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(arguments, said, tmp_path):
    assert said in error_line(run(module("enrol"), *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_in_any_format_is_taken(run_dir, works, tmp_path):
    with Image.open(works[0]) as image:
        image.convert("RGB").save(tmp_path / "work.webp", lossless=True)

    assert enrolling.enrol(run_dir, NAME, [str(tmp_path / "work.webp")])[0] == 1
