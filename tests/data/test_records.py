import dataclasses
import json
import os
import pathlib
import shutil

import pytest
import tensorflow as tf

from helpers.pictures import make_pictures
from tfstyle.core.cli import UserError
from tfstyle.data import record_writer, records
from tfstyle.data.collections.sources import scan_artist_folders
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.examples import parse_example
from tfstyle.data.pictures import Conversion


@pytest.fixture
def copied(small_records, tmp_path) -> pathlib.Path:
    """A copy of the small records to corrupt."""
    return pathlib.Path(shutil.copytree(small_records.records_dir, tmp_path / "r"))


def refusal(records_dir) -> str:
    """Return the error of reading a folder, which names it and the tool."""
    with pytest.raises(UserError) as error:
        records.read_dataset(str(records_dir))
    assert str(records_dir) in str(error.value)
    assert "tools/make_tfrecords.py" in str(error.value)
    return str(error.value)


def test_dataset_json_has_the_documented_fields(portraits_records):
    path = pathlib.Path(portraits_records.records_dir, "dataset.json")
    index = json.loads(path.read_text())
    assert index["format_version"] == 1
    assert index["image_size"] == 64
    assert index["fit"] == "crop" and index["background"] == "#ffffff"
    expected = {"name": "adventurer", "label": 0, "train": 45}
    assert index["artists"][0] == {**expected, "validation": 5, "test": 10}
    assert index["shards"]["train"][0]["file"] == "train-00000-of-00001.tfrecord"
    assert index["shards"]["train"][0]["examples"] == 540
    assert len(index["digest"]) == 64


def test_examples_follow_tensorflows_image_conventions(portraits_records):
    path = portraits_records.shard_paths("train")[0]
    example = parse_example(next(iter(tf.data.TFRecordDataset(path))))
    assert {name: value.dtype.name for name, value in example.items()} == {
        "encoded": "string",
        "format": "string",
        "height": "int64",
        "width": "int64",
        "filename": "string",
        "label": "int64",
        "text": "string",
    }
    assert example["height"] == example["width"] == 64
    assert example["format"] == b"png"
    artist = example["text"].numpy().decode()
    assert portraits_records.artist_names[example["label"]] == artist
    assert example["filename"].numpy().decode().startswith(f"{artist}/")


def test_a_modified_picture_makes_records_out_of_date(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    conversion, rule = Conversion(8), SplitRule(4, min_test_images=1)
    records_dir = str(tmp_path / "out")

    def scan():
        return scan_artist_folders(str(pictures))[0]

    def find():
        settings = record_writer.make_settings(scan(), conversion, rule, 0)
        return records.find_dataset(records_dir, settings)

    assert find() is None
    dataset = record_writer.write_dataset(records_dir, scan(), conversion, rule)
    assert find() == dataset
    os.utime(pictures / "a" / "0.png", (1, 1))
    assert find() is None


def test_a_missing_folder_is_named(tmp_path):
    assert "there is no records folder" in refusal(tmp_path / "none")


def test_an_incomplete_folder_is_named(copied):
    (copied / "dataset.json").unlink()
    assert "has no dataset.json" in refusal(copied)


def test_a_missing_shard_is_named(copied):
    (copied / "test-00001-of-00002.tfrecord").unlink()
    assert "test-00001-of-00002.tfrecord is missing" in refusal(copied)


def test_a_shard_of_the_wrong_length_is_named(copied):
    with (copied / "test-00001-of-00002.tfrecord").open("ab") as file:
        file.write(b"more")
    assert "test-00001-of-00002.tfrecord has" in refusal(copied)


def test_a_later_format_is_refused(copied):
    index = json.loads((copied / "dataset.json").read_text())
    (copied / "dataset.json").write_text(json.dumps({**index, "format_version": 2}))
    assert "format_version 2, this tfstyle reads 1" in refusal(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 1}'])
def test_a_corrupt_description_is_refused(copied, content):
    (copied / "dataset.json").write_text(content)
    assert "is corrupt or not a tfstyle dataset.json" in refusal(copied)


def test_numbers_come_from_train_where_there_is_no_test_split(small_records):
    assert small_records.test_split == "test"
    shards = {**small_records.shards, "test": ()}
    assert dataclasses.replace(small_records, shards=shards).test_split == "train"


def test_an_unknown_split_is_refused(small_records):
    with pytest.raises(ValueError, match="got 'valid'"):
        small_records.num_examples("valid")
