"""`python -m tfstyle.search` finds what brute force finds; its index keeps up."""

import errno
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image
from test_commands import error_line, module, run

from tfstyle.analysis.drawing import grids
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import searching
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs
from tfstyle.runs.style_space import StyleSpace


@pytest.fixture(scope="module")
def run_dir(tiny_run, tmp_path_factory) -> pathlib.Path:
    """A run with its index."""
    folder = tmp_path_factory.mktemp("searched") / "run"
    copy = tiny.keep_stages(tiny_run, folder, "metric")
    searching.load_index(copy, StyleSpace.load(copy))
    return copy


@pytest.fixture
def index_file(run_dir, tmp_path) -> pathlib.Path:
    """The index of a run that a test may change; the run is two folders above."""
    shutil.copytree(run_dir, tmp_path / "run")
    return tmp_path / "run" / "metric" / "index.npz"


@pytest.fixture(scope="module")
def collection(small_records):
    """Filename, label and uint8 picture of every training and test record."""
    examples = []
    for path in small_records.shard_paths("train", "test"):
        for record in tf.data.TFRecordDataset(path):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            (name,) = feature["image/filename"].bytes_list.value
            (label,) = feature["image/class/label"].int64_list.value
            (data,) = feature["image/encoded"].bytes_list.value
            picture = tf.io.decode_image(data, 3).numpy()
            examples.append((name.decode(), label, picture))
    return examples


def refuse_to_write(_, path):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def learned_codes(run_dir, pictures) -> np.ndarray:
    """The encoder's own first dimensions, not normalized."""
    encoder = runs.load_network(runs.StageFolder(run_dir, "metric"), "style_encoder")
    images = color.rgb_to_lab(np.stack(pictures))
    return encoder(images).numpy()[:, : tiny.STYLE_DIMS].astype(np.float64)


def test_artists_and_works_are_those_of_the_smallest_distances(
    run_dir, collection, portraits_dir
):
    paths = [f"{portraits_dir}/lorelei/00007.png", f"{portraits_dir}/dylan/00059.png"]
    queries = learned_codes(
        run_dir, [np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in paths]
    )
    works = learned_codes(run_dir, [picture for _, _, picture in collection])
    labels = np.array([label for _, label, _ in collection])
    names = runs.StageFolder(run_dir, "metric").read()["dataset"]["artists"]
    # An artist's style is the mean of the training pictures, the first 60.
    means = [works[:60][labels[:60] == artist].mean(axis=0) for artist in range(3)]

    found = searching.search(run_dir, paths, count=10)

    for one, query in zip(found, queries, strict=True):
        to_artists = np.linalg.norm(means - query, axis=1)
        assert [name for name, _ in one.artists] == [
            names[artist] for artist in to_artists.argsort()
        ]
        np.testing.assert_allclose(
            [distance for _, distance in one.artists], np.sort(to_artists), rtol=1e-3
        )
        to_works = np.linalg.norm(works - query, axis=1)
        assert len(one.works) == 10
        np.testing.assert_allclose(
            [work.distance for work in one.works],
            np.sort(to_works)[:10],
            rtol=1e-3,
            atol=1e-4,
        )
        for work in one.works:
            assert to_works[work.position] == pytest.approx(
                work.distance, rel=1e-3, abs=1e-4
            )
            name, label, _ = collection[work.position]
            assert (work.filename, work.artist) == (name, names[label])


def test_a_picture_of_the_collection_finds_itself_first(run_dir, collection, tmp_path):
    name, _, picture = collection[65]
    Image.fromarray(picture).save(tmp_path / "same.png")

    (found,) = searching.search(run_dir, [str(tmp_path / "same.png")], count=1)

    assert [work.filename for work in found.works] == [name]
    assert found.works[0].distance < 1e-3


def test_more_are_wanted_than_there_are(run_dir, portraits_dir):
    (found,) = searching.search(run_dir, [f"{portraits_dir}/micah/00000.png"], 1000)

    assert (len(found.artists), len(found.works)) == (3, 72)
    assert {work.position for work in found.works} == set(range(72))


def test_pictures_are_read_by_their_place_in_the_records(small_records, collection):
    positions = [71, 0, 33, 60, 59, 0]

    pictures = input_pipeline.read_pictures(small_records, ("train", "test"), positions)

    for picture, position in zip(pictures, positions, strict=True):
        np.testing.assert_array_equal(picture, collection[position][2])


def test_the_index_is_made_once(index_file, portraits_dir, capsys):
    before = index_file.stat().st_mtime_ns

    searching.search(index_file.parents[1], [f"{portraits_dir}/micah/00000.png"])

    assert index_file.stat().st_mtime_ns == before
    assert "making the index" not in capsys.readouterr().out


def test_a_run_that_cannot_be_written_is_searched_without_an_index(
    index_file, run_dir, portraits_dir, capsys, monkeypatch
):
    paths = [f"{portraits_dir}/micah/00000.png"]
    expected = searching.table(searching.search(run_dir, paths))
    index_file.unlink()
    monkeypatch.setattr(os, "replace", refuse_to_write)

    found = searching.search(index_file.parents[1], paths)

    assert searching.table(found) == expected
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("note: ") and "(Read-only file system)" in said
    assert not list(index_file.parent.glob("index*"))


@pytest.mark.parametrize("change", ["statistics", "dataset", "damage", "removal"])
def test_the_index_is_made_again_when_it_is_of_something_else(
    change, index_file, capsys
):
    run_dir = index_file.parents[1]
    with np.load(index_file) as arrays:
        old = dict(arrays)
    if change == "damage":
        index_file.write_bytes(index_file.read_bytes()[:100])
    elif change == "removal":
        index_file.unlink()
    else:
        # As if it had been made for other weights, or for other records.
        old["digests"][0 if change == "statistics" else 1] = "0" * 64
        np.savez(index_file, **{**old, "codes": old["codes"] + 1})

    index = searching.load_index(run_dir, StyleSpace.load(run_dir))

    assert "making the index" in capsys.readouterr().out
    np.testing.assert_allclose(index.codes[:60].mean(axis=0), 0, atol=1e-4)
    again = searching.load_index(run_dir, StyleSpace.load(run_dir))
    np.testing.assert_array_equal(again.codes, index.codes)
    assert again.filenames == index.filenames
    assert "making the index" not in capsys.readouterr().out


def test_searching_does_not_need_the_records_once_there_is_an_index(
    index_file, portraits_dir
):
    folder = runs.StageFolder(index_file.parents[1], "metric")
    description = folder.read()
    description["dataset"]["records_dir"] = "/nowhere"
    folder.write(description)
    paths = [f"{portraits_dir}/micah/00000.png"]

    found = searching.search(folder.run_dir, paths)

    assert len(found[0].works) == 10
    with pytest.raises(UserError, match="/nowhere"):
        searching.draw_sheet(folder.run_dir, found)


def test_the_sheet_shows_the_picture_and_the_works_found(
    run_dir, collection, portraits_dir
):
    paths = [f"{portraits_dir}/micah/0000{number}.png" for number in range(2)]
    found = searching.search(run_dir, paths, count=4)

    sheet = np.asarray(searching.draw_sheet(run_dir, found))

    for one in found:
        shown = [one.picture, *(collection[work.position][2] for work in one.works)]
        # 32x32 pictures are enlarged three times.
        for picture in shown:
            tile = picture.repeat(3, axis=0).repeat(3, axis=1)
            corners = np.argwhere((sheet == tile[0, 0]).all(axis=-1))
            assert any(
                np.array_equal(sheet[y : y + 96, x : x + 96], tile) for y, x in corners
            )


@pytest.mark.parametrize(("count", "rows"), [(10, 1), (11, 2), (20, 2), (72, 3)])
def test_a_sheet_has_ten_works_to_a_row_and_no_end_of_them(
    count, rows, run_dir, portraits_dir, monkeypatch, capsys
):
    """At most 30 here; the picture itself stands beside those of the first row."""
    monkeypatch.setattr(searching, "_SHOWN", 30)
    found = searching.search(run_dir, [f"{portraits_dir}/micah/00000.png"], count)

    sheet = searching.draw_sheet(run_dir, found)

    row = grids.picture_grid(np.zeros([1, 11, 32, 32, 3], np.uint8), None, ["a"] * 11)
    assert row.width <= sheet.width < row.width + 96
    assert rows * row.height <= sheet.height < rows * row.height + 96
    said = "note: the sheet shows the nearest 30 of 72 works" in capsys.readouterr().out
    assert said == (count == 72)


def test_the_command_prints_a_table_and_draws(run_dir, portraits_dir, tmp_path):
    paths = [f"{portraits_dir}/micah/0000{number}.png" for number in range(2)]
    sheet = tmp_path / "new" / "found.png"

    # Settings may come before and after pictures.
    done = run(
        module("search"),
        f"--run_dir={run_dir}",
        *paths,
        "--count=2",
        f"--output={sheet}",
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *searching.table(searching.search(run_dir, paths, 2)),
        f"sheet: {sheet}",
    ]
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    empty = grids.picture_grid(np.zeros([1, 3, 32, 32, 3], np.uint8))
    assert image.width >= empty.width and image.height > 2 * empty.height


def test_a_table_names_what_was_found_line_by_line():
    works = [searching.Work(0, "a/caf\udce9.png", "a", 0.25)]
    found = searching.Found("q.png", np.zeros([1, 1, 3]), [("a", 1.5)], works)

    assert searching.table([found]) == [
        "q.png",
        "  distance  nearest artists",
        "    1.5000  a",
        "  distance  nearest works",
        "    0.2500  a/caf\ufffd.png  (a)",
    ]


def test_a_picture_that_cannot_be_used_is_named(run_dir, tmp_path):
    with pytest.raises(UserError, match="missing.png cannot be used: unreadable"):
        searching.search(run_dir, [str(tmp_path / "missing.png")])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one or more pictures"),
        (["a.png", "--output=sheet.gif"], "--output must be a .png file"),
        (["a.png", "--output="], "--output must be a .png file, got nothing"),
        (["a.png"], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(arguments, said, tmp_path):
    assert said in error_line(run(module("search"), *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
