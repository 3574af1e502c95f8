"""`python -m tfstyle.search` finds what brute force finds; its index stays valid."""

import dataclasses
import errno
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import error_line, module, read_output, run
from helpers.pictures import load_images, open_picture, read_records
from tfstyle.analysis.drawing import grids
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.exploration import searching
from tfstyle.modeling.networks import color
from tfstyle.runs.trained_run import TrainedRun

SEARCHED = ("train", "validation", "test")


@pytest.fixture(scope="module")
def trained(tiny_run, tmp_path_factory) -> TrainedRun:
    """A run with its index."""
    folder = tmp_path_factory.mktemp("searched") / "run"
    copy = TrainedRun(runs.keep_stages(tiny_run, folder, "metric"))
    searching.load_index(copy)
    return copy


@pytest.fixture
def changeable(trained, tmp_path) -> TrainedRun:
    """The same, for a test to change."""
    return TrainedRun(shutil.copytree(trained.path, tmp_path / "run"))


@pytest.fixture
def index_file(changeable) -> pathlib.Path:
    return changeable.path / "metric" / "index.npz"


@pytest.fixture(scope="module")
def collection(small_records):
    """Filename, label and uint8 picture of every record that is searched."""
    return [
        (name, label, np.asarray(open_picture(data)))
        for name, label, data in read_records(small_records.shard_paths(*SEARCHED))
    ]


def refuse_to_write(_, path):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def learned_codes(trained, images) -> np.ndarray:
    """Return the encoder's first dimensions, not normalized."""
    encoder = trained.network("metric", "style_encoder")
    return encoder(images).numpy()[:, : tiny.STYLE_DIMS].astype(np.float64)


def test_artists_and_works_are_those_of_the_smallest_distances(
    trained, collection, portraits_dir
):
    paths = [f"{portraits_dir}/lorelei/00007.png", f"{portraits_dir}/dylan/00059.png"]
    queries = learned_codes(trained, load_images(paths))
    pictures = np.stack([picture for _, _, picture in collection])
    works = learned_codes(trained, color.rgb_to_lab(pictures))
    labels = np.array([label for _, label, _ in collection])
    names = trained.collection.artists
    # An artist's style is the mean of the training pictures, the first 60.
    means = [works[:60][labels[:60] == artist].mean(axis=0) for artist in range(3)]

    results = searching.search(trained, paths, count=10)

    for result, query in zip(results, queries, strict=True):
        to_artists = np.linalg.norm(means - query, axis=1)
        assert [name for name, _ in result.artists] == [
            names[artist] for artist in to_artists.argsort()
        ]
        np.testing.assert_allclose(
            [distance for _, distance in result.artists], np.sort(to_artists), rtol=1e-3
        )
        to_works = np.linalg.norm(works - query, axis=1)
        assert len(result.works) == 10
        np.testing.assert_allclose(
            [work.distance for work in result.works],
            np.sort(to_works)[:10],
            rtol=1e-3,
            atol=1e-4,
        )
        for work in result.works:
            assert to_works[work.position] == pytest.approx(
                work.distance, rel=1e-3, abs=1e-4
            )
            name, label, _ = collection[work.position]
            assert (work.filename, work.artist) == (name, names[label])


def test_a_picture_of_the_collection_finds_itself_first(trained, collection, tmp_path):
    name, _, picture = collection[65]
    Image.fromarray(picture).save(tmp_path / "same.png")

    (result,) = searching.search(trained, [str(tmp_path / "same.png")], count=1)

    assert [work.filename for work in result.works] == [name]
    assert result.works[0].distance < 1e-3


def test_a_count_above_all_finds_all(trained, portraits_dir):
    (result,) = searching.search(trained, [f"{portraits_dir}/micah/00000.png"], 1000)

    assert (len(result.artists), len(result.works)) == (3, 78)
    assert {work.position for work in result.works} == set(range(78))


def test_pictures_are_read_by_their_place_in_the_records(small_records, collection):
    positions = [77, 0, 33, 66, 65, 60, 59, 0]

    pictures = input_pipeline.read_pictures(small_records, SEARCHED, positions)

    for picture, position in zip(pictures, positions, strict=True):
        np.testing.assert_array_equal(picture, collection[position][2])


def test_the_index_is_made_once(changeable, index_file, portraits_dir, caplog):
    before = index_file.stat().st_mtime_ns

    searching.search(changeable, [f"{portraits_dir}/micah/00000.png"])

    assert index_file.stat().st_mtime_ns == before
    assert not caplog.messages


def test_a_run_that_cannot_be_written_is_searched_without_an_index(
    changeable, index_file, trained, portraits_dir, caplog, monkeypatch
):
    paths = [f"{portraits_dir}/micah/00000.png"]
    expected = searching.format_results(searching.search(trained, paths))
    index_file.unlink()
    monkeypatch.setattr(pathlib.Path, "replace", refuse_to_write)

    results = searching.search(changeable, paths)

    assert searching.format_results(results) == expected
    message = caplog.messages[-1]
    assert message.startswith("note: ") and "(Read-only file system)" in message
    assert not list(index_file.parent.glob("index*"))


@pytest.mark.parametrize("change", ["statistics", "dataset", "damage", "removal"])
def test_a_missing_corrupt_or_outdated_index_is_made_again(
    change, changeable, index_file, caplog
):
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

    index = searching.load_index(changeable)

    *warnings, last = caplog.messages
    assert last == f"making the index {index_file}"
    assert len(warnings) == (change == "damage")
    assert all(f"{index_file} is corrupt (" in warning for warning in warnings)
    np.testing.assert_allclose(index.codes[:60].mean(axis=0), 0, atol=1e-4)
    again = searching.load_index(changeable)
    np.testing.assert_array_equal(again.codes, index.codes)
    assert again.filenames == index.filenames
    assert caplog.messages == [*warnings, last]


def test_searching_does_not_need_the_records_once_there_is_an_index(
    changeable, portraits_dir
):
    folder = changeable.folder("metric")
    description = folder.read()
    moved = dataclasses.replace(description.dataset, records_dir="/nowhere")
    folder.write(dataclasses.replace(description, dataset=moved))
    paths = [f"{portraits_dir}/micah/00000.png"]

    results = searching.search(changeable, paths)

    assert len(results[0].works) == 10
    with pytest.raises(UserError, match="/nowhere"):
        searching.draw_sheet(changeable, results)


def test_the_sheet_shows_the_picture_and_the_works_found(
    trained, collection, portraits_dir
):
    paths = [f"{portraits_dir}/micah/0000{number}.png" for number in range(2)]
    results = searching.search(trained, paths, count=4)

    sheet = np.asarray(searching.draw_sheet(trained, results))

    for result in results:
        works = [collection[work.position][2] for work in result.works]
        # 32x32 pictures are enlarged three times.
        for picture in [result.picture, *works]:
            tile = picture.repeat(3, axis=0).repeat(3, axis=1)
            corners = np.argwhere((sheet == tile[0, 0]).all(axis=-1))
            assert any(
                np.array_equal(sheet[y : y + 96, x : x + 96], tile) for y, x in corners
            )


@pytest.mark.parametrize(("count", "rows"), [(10, 1), (11, 2), (20, 2), (72, 3)])
def test_a_sheet_has_ten_works_to_a_row_up_to_a_limit(
    count, rows, trained, portraits_dir, monkeypatch, caplog
):
    """At most 30 here; the picture itself stands beside those of the first row."""
    monkeypatch.setattr(searching, "MAX_SHOWN", 30)
    results = searching.search(trained, [f"{portraits_dir}/micah/00000.png"], count)

    sheet = searching.draw_sheet(trained, results)

    row = grids.draw_grid(np.zeros([1, 11, 32, 32, 3], np.uint8), None, ["a"] * 11)
    assert row.width <= sheet.width < row.width + 96
    assert rows * row.height <= sheet.height < rows * row.height + 96
    note = "note: the sheet shows the nearest 30 of 72 works"
    assert caplog.messages == [note] * (count == 72)


def test_the_command_prints_a_table_and_draws(trained, portraits_dir, tmp_path):
    paths = [f"{portraits_dir}/micah/0000{number}.png" for number in range(2)]
    sheet = tmp_path / "new" / "found.png"

    # Settings may come before and after pictures.
    done = run(
        module("search"),
        f"--run_dir={trained.path}",
        *paths,
        "--count=2",
        f"--output={sheet}",
    )

    assert read_output(done).splitlines() == [
        *searching.format_results(searching.search(trained, paths, 2)),
        f"sheet: {sheet}",
    ]
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    empty = grids.draw_grid(np.zeros([1, 3, 32, 32, 3], np.uint8))
    assert image.width >= empty.width and image.height > 2 * empty.height


def test_a_table_lists_artists_and_works_line_by_line():
    works = [searching.Work(0, "a/caf\udce9.png", "a\nb", 0.25)]
    result = searching.SearchResult("q.png", np.zeros([1, 1, 3]), [("a", 1.5)], works)

    assert searching.format_results([result]) == [
        "q.png",
        "  distance  nearest artists",
        "    1.5000  a",
        "  distance  nearest works",
        r"    0.2500  a/caf\xe9.png  (a\nb)",
    ]


def test_a_picture_that_cannot_be_used_is_named(trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in (
        ("missing.png", "there is no file .*missing.png"),
        ("broken.png", "broken.png cannot be used: not_a_picture"),
        ("pipe.png", "pipe.png is not a file"),
    ):
        with pytest.raises(UserError, match=message):
            searching.search(trained, [str(tmp_path / name)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass one or more pictures"),
        (["a.png", "--output=sheet.gif"], "--output must be a .png file"),
        (["a.png", "--output="], "--output=: a path is missing after the equals sign"),
        (["a.png"], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(arguments, message, tmp_path):
    assert message in error_line(run(module("search"), *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
