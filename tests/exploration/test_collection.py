"""Pictures are found once each, in order; tables of codes are written whole."""

import csv
import dataclasses
import os
import pathlib

import numpy as np
import pytest

from helpers.pictures import make_pictures
from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.exploration import collection
from tfstyle.exploration.collection import CollectionCodes, PictureFiles

NAME = "caf\udce9.png"  # Latin-1 bytes, which are not UTF-8


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """Three pictures of two artists, one beside them, and other files."""
    root = make_pictures(tmp_path / "pictures", ["b"], count=1)
    make_pictures(root / "a", ["", "inner"], count=1)
    make_pictures(root, [""], count=1)
    (root / "a" / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes(b"")
    return root


@pytest.fixture
def codes() -> CollectionCodes:
    rng = np.random.default_rng(0)
    style, content = (rng.normal(size=[4, dims]).astype(np.float32) for dims in (2, 3))
    return CollectionCodes(
        filenames=["a/0.png", "a/1.png", "b/0.png", NAME],
        artists=["a", "a", "b", ""],
        splits=["train", "test", "holdout", ""],
        style=style,
        content=content,
        nearest_artists=["a", "c", "b", "Smith, John"],
        nearest_distances=np.array([0.1, 2, 3, 1e-9], np.float32),
    )


def test_pictures_of_a_folder_are_named_by_their_path_and_first_folder(folder):
    pictures = PictureFiles.find([str(folder)])

    assert [(source.name, source.artist) for source in pictures.sources] == [
        ("0.png", ""),
        ("a/0.png", "a"),
        ("a/inner/0.png", "a"),
        ("b/0.png", "b"),
    ]
    for source in pictures.sources:
        assert source.path == str(folder / source.name)
    assert pictures.skipped == [
        (".hidden.png", "hidden"),
        ("a/notes.txt", "not_a_picture"),
    ]
    assert pictures.artists == ["", "a", "b"]


def test_a_file_is_taken_whatever_its_suffix(folder):
    path = str(folder / "a" / "notes.txt")

    pictures = PictureFiles.find([path])

    assert [(source.name, source.path) for source in pictures.sources] == [(path, path)]
    assert (pictures.artists, pictures.skipped) == ([""], [])


def test_a_picture_given_by_name_and_by_folder_is_listed_once(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    name = str(folder / "a" / "0.png")
    expected = PictureFiles.find([str(folder)])

    again = PictureFiles.find([str(folder), name, f"{tmp_path}/link"])

    assert again == expected
    first, *others = PictureFiles.find([name, name, str(folder)]).sources
    assert first.name == name
    assert [source for source in expected.sources if source.path != name] == others


def test_links_inside_of_one_folder_stay_pictures_of_their_own(folder, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "links" / name).symlink_to(folder / "0.png")

    assert len(PictureFiles.find([str(tmp_path / "links")]).sources) == 2


def test_a_missing_path_and_a_folder_without_pictures_are_errors(folder, tmp_path):
    with pytest.raises(UserError, match=f"no file or folder {tmp_path}/missing$"):
        PictureFiles.find([str(folder), f"{tmp_path}/missing"])

    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=f"no picture in {tmp_path}/empty$"):
        PictureFiles.find([f"{tmp_path}/empty"])

    assert PictureFiles.find([]) == PictureFiles([], [])


def test_npz_and_csv_hold_the_same(codes, tmp_path):
    codes.write(str(tmp_path / "codes.npz"))
    codes.write(str(tmp_path / "codes.csv"))

    with np.load(tmp_path / "codes.npz") as arrays:
        assert set(arrays.files) == set(vars(codes))
        for name, values in vars(codes).items():
            np.testing.assert_array_equal(arrays[name], np.asarray(values))
    with (tmp_path / "codes.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:5] == [
        *("filename", "artist", "split", "nearest_artist", "nearest_distance")
    ]
    assert header[5:] == [
        *("style_1", "style_2"),
        *("content_1", "content_2", "content_3"),
    ]
    assert [names.read(row[0]) for row in rows] == codes.filenames
    assert [row[1] for row in rows] == codes.artists
    assert [row[2] for row in rows] == codes.splits
    assert [row[3] for row in rows] == codes.nearest_artists
    numbers = np.array([row[4:] for row in rows], np.float32)
    np.testing.assert_array_equal(numbers[:, 0], codes.nearest_distances)
    np.testing.assert_array_equal(
        numbers[:, 1:], np.concatenate([codes.style, codes.content], axis=1)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "codes.csv",
        "codes.npz",
    ]


def test_an_interrupted_write_leaves_the_older_file(codes, tmp_path, monkeypatch):
    path = tmp_path / "codes.npz"
    path.write_bytes(b"older")
    monkeypatch.setattr(np, "savez", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        codes.write(str(path))

    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", [NAME, "a\nb/1.png", "a\tb", "\x1b[31m.png", "back\\slash", '"q",', "絵師"]
)
def test_any_name_is_one_line_of_a_csv_file_and_can_be_restored(codes, tmp_path, name):
    row = dataclasses.replace(codes, filenames=[name] * 4, artists=[name] * 4)
    row.write(str(tmp_path / "codes.csv"))

    lines = (tmp_path / "codes.csv").read_text("utf-8").splitlines()
    assert len(lines) == 5 and all(line.isprintable() for line in lines)
    for cells in csv.reader(lines[1:]):
        assert [names.read(cell) for cell in cells[:2]] == [name, name]


def test_a_pipe_is_refused_and_never_opened(folder):
    """Opening one waits for a writer, who never comes."""
    os.mkfifo(folder / "a" / "pipe.png")
    assert ("a/pipe.png", "not_a_regular_file") in PictureFiles.find(
        [str(folder)]
    ).skipped
    with pytest.raises(UserError, match=r"pipe\.png is not a file"):
        PictureFiles.find([str(folder / "a" / "pipe.png")])


def test_skipped_files_are_logged_with_their_reason_and_number(caplog):
    collection.log_skipped([])
    assert not caplog.messages
    collection.log_skipped([("a/b.txt", "not_a_picture"), (NAME, "too_small: 1x1")])

    assert caplog.messages == [
        "skipped a/b.txt: not_a_picture",
        r"skipped caf\xe9.png: too_small: 1x1",
        "2 files skipped",
    ]
