"""`python -m tfstyle.encode` gives the codes that the networks of the run give."""

import csv
import dataclasses
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image
from test_commands import error_line, module, run

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import encoding
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs


@pytest.fixture(scope="module")
def pictures(portraits_dir, tmp_path_factory) -> pathlib.Path:
    """40 pictures of two artists (two batches), odd ones, and files that are none."""
    folder = tmp_path_factory.mktemp("collection")
    for artist in ("dylan", "lorelei"):
        (folder / artist / "inner").mkdir(parents=True)
        for number in range(20):
            inner = "inner/" * (number % 2)
            shutil.copy(
                f"{portraits_dir}/{artist}/{number:05d}.png",
                folder / artist / f"{inner}{number:05d}.png",
            )
    Image.new("L", (50, 80), 200).save(folder / "grey.webp")
    (folder / "dylan" / "broken.png").write_bytes(b"\x89PNG nothing")
    (folder / "dylan" / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def encoded(tiny_run, pictures):
    return encoding.encode_folder(tiny_run, str(pictures))


def expected_codes(run_dir, paths) -> tuple[np.ndarray, np.ndarray]:
    images = color.rgb_to_lab(
        np.stack([np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in paths])
    )
    return (
        runs.load_style_encoder(run_dir)(images).numpy(),
        runs.load_content_encoder(run_dir)(images).numpy(),
    )


def test_every_picture_is_encoded_once_and_named_by_its_path(encoded, pictures):
    collection, _ = encoded

    assert len(collection.filenames) == 41
    found = {
        str(path.relative_to(pictures))
        for path in pictures.rglob("*.*")
        if path.suffix in (".png", ".webp") and path.name[0] not in ".b"
    }
    assert set(collection.filenames) == found
    assert collection.artists == [
        name.split("/")[0] if "/" in name else "" for name in collection.filenames
    ]


def test_codes_are_those_of_the_networks_picture_by_picture(
    encoded, pictures, tiny_run
):
    collection, _ = encoded
    style, content = expected_codes(
        tiny_run, [pictures / name for name in collection.filenames]
    )

    np.testing.assert_allclose(collection.style, style, atol=1e-4)
    np.testing.assert_allclose(collection.content, content, atol=1e-4)
    assert np.ptp(style, axis=0).min() > 0.1  # else any order would do


def test_the_nearest_artist_is_that_of_the_smallest_distance_as_learned(
    encoded, tiny_run
):
    collection, _ = encoded
    metric = runs.StageFolder(tiny_run, "metric")
    statistics = runs.load_statistics(metric)
    names = metric.read()["dataset"]["artists"]

    for row, code in enumerate(collection.style):
        distances = [
            np.linalg.norm((code - mean) * statistics.deviation)
            for mean in statistics.artist_means
        ]
        assert collection.nearest_artists[row] == names[np.argmin(distances)]
        assert collection.nearest_distances[row] == pytest.approx(
            min(distances), rel=1e-4
        )


def test_what_cannot_be_used_is_named_with_the_reason_and_counted(encoded):
    _, left_out = encoded

    lines = encoding.left_out_lines(left_out)

    assert sorted(lines[:-1]) == [
        "skipped dylan/broken.png: not_a_picture: no known picture format",
        "skipped dylan/notes.txt: not_a_picture",
    ]
    assert lines[-1] == "2 files skipped"


def test_records_are_encoded_in_their_order_whatever_the_split(
    tiny_run, small_records, tmp_path
):
    collection = encoding.encode_records(tiny_run, small_records.records_dir)

    assert len(set(collection.filenames)) == len(collection.filenames) == 72
    assert collection.artists == [name.split("/")[0] for name in collection.filenames]
    assert collection.splits == ["train"] * 60 + ["test"] * 12
    in_test = {
        records.parse_example(example)["filename"].numpy().decode()
        for example in tf.data.TFRecordDataset(small_records.shard_paths("test"))
    }
    assert set(collection.filenames[60:]) == in_test
    assert collection.style.shape == (72, tiny.STYLE_DIMS)
    # The training pictures come first, and normalize to mean 0 and deviation 1.
    np.testing.assert_allclose(collection.style[:60].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(collection.style[:60].std(axis=0), 1, atol=1e-4)


def test_npz_and_csv_hold_the_same(encoded, tmp_path):
    collection, _ = encoded
    assert collection.splits == [""] * 41  # a folder has none
    splits = ["train", "test", "holdout"] + [""] * 38
    collection = dataclasses.replace(collection, splits=splits)
    collection.write(str(tmp_path / "codes.npz"))
    collection.write(str(tmp_path / "codes.csv"))

    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["filenames"].tolist() == collection.filenames
        assert arrays["splits"].tolist() == splits
        np.testing.assert_array_equal(arrays["style"], collection.style)
        np.testing.assert_array_equal(arrays["content"], collection.content)
    with open(tmp_path / "codes.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:7] == [
        "filename",
        "artist",
        "split",
        "nearest_artist",
        "nearest_distance",
        "style_1",
        "style_2",
    ]
    assert header[-1] == f"content_{tiny.CONTENT_DIMS}"
    assert [row[0] for row in rows] == collection.filenames
    assert [row[2] for row in rows] == collection.splits
    assert [row[3] for row in rows] == collection.nearest_artists
    codes = np.array([row[5:] for row in rows], np.float32)
    np.testing.assert_array_equal(
        codes, np.concatenate([collection.style, collection.content], axis=1)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "codes.csv",
        "codes.npz",
    ]


def test_an_interrupted_write_leaves_the_older_file(encoded, tmp_path, monkeypatch):
    collection, _ = encoded
    path = tmp_path / "codes.npz"
    path.write_bytes(b"older")
    monkeypatch.setattr(np, "savez", lambda *_, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        collection.write(str(path))

    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_vae_there_are_style_codes_alone(tiny_run, pictures, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")

    collection, _ = encoding.encode_folder(run_dir, str(pictures / "lorelei"))

    assert collection.content is None
    assert len(collection.style) == 20
    collection.write(str(tmp_path / "codes.npz"))
    with np.load(tmp_path / "codes.npz") as arrays:
        assert "content" not in arrays.files


def test_a_name_that_is_no_text_survives(tiny_run, portraits_dir, tmp_path):
    name = b"caf\xe9.png"
    shutil.copy(
        f"{portraits_dir}/dylan/00000.png".encode(), bytes(tmp_path) + b"/" + name
    )

    collection, _ = encoding.encode_folder(tiny_run, str(tmp_path))

    assert collection.filenames == ["caf\udce9.png"]
    collection.write(str(tmp_path / "codes.csv"))
    assert name in (tmp_path / "codes.csv").read_bytes()
    assert encoding.printable("caf\udce9.png") == "caf\ufffd.png"


def test_a_folder_without_a_usable_picture_is_one_line(tiny_run, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")

    with pytest.raises(UserError) as caught:
        encoding.encode_folder(tiny_run, str(tmp_path))

    assert "no usable picture" in str(caught.value)
    assert "broken.png" in str(caught.value)
    (tmp_path / "broken.png").rename(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=f"no picture in {tmp_path} .*png"):
        encoding.encode_folder(tiny_run, str(tmp_path))


def test_records_of_another_size_are_refused(tiny_run, portraits_records):
    with pytest.raises(UserError, match="64 pixels wide, the run's networks take 32"):
        encoding.encode_records(tiny_run, portraits_records.records_dir)


def test_a_picture_given_by_name_and_by_folder_is_listed_once(pictures, tmp_path):
    (tmp_path / "link").symlink_to(pictures)
    name = str(pictures / "dylan" / "00000.png")
    folder, _ = encoding.find_pictures([str(pictures)])
    again, left_out = encoding.find_pictures([str(pictures), name, f"{tmp_path}/link"])
    assert again == folder
    assert [one for one, _ in left_out] == ["dylan/notes.txt"]
    first, *others = encoding.find_pictures([name, name, str(pictures)])[0]
    assert first.name == name
    assert [one for one in folder if one.path != name] == others


def test_links_inside_of_one_folder_stay_pictures_of_their_own(pictures, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).symlink_to(pictures / "grey.webp")
    assert len(encoding.find_pictures([str(tmp_path)])[0]) == 2


def test_the_command_writes_and_says_so(tiny_run, pictures, tmp_path):
    done = run(
        module("encode"),
        f"--run_dir={tiny_run}",
        f"--input_dir={pictures}",
        f"--output={tmp_path / 'new' / 'codes.npz'}",
    )

    assert done.returncode == 0, done.stderr
    assert "style and content codes of 41 pictures" in done.stdout
    assert "2 files skipped" in done.stdout
    assert "encoding [" in done.stderr and "41/41" not in done.stdout
    assert (tmp_path / "new" / "codes.npz").is_file()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "either --input_dir or --records_dir"),
        (["--input_dir=a", "--records_dir=b"], "either --input_dir or --records_dir"),
        (["--input_dir=a", "--output=codes.txt"], ".npz or .csv file, got codes.txt"),
        (["--input_dir=a", "--output=/dev/null/a.csv"], "check /dev/null"),
        (["--input_dir=a", "--output=/proc/new/a.csv"], "cannot be written"),
        (["--input_dir=a", f"--output=new/{'a' * 300}.csv"], "cannot be written"),
        (["--input_dir=a"], "--input_dir=a is not a folder"),
        (["--input_dir=."], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(flags, said, tmp_path):
    assert said in error_line(run(module("encode"), *flags, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
