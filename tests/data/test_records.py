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
        "content_label": "int64",
        "content_text": "string",
    }
    assert example["content_label"] == -1 and example["content_text"] == b""
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


def swap(index, split, other):
    index["shards"][split], index["shards"][other] = (
        index["shards"][other],
        index["shards"][split],
    )


CONTRADICTIONS = {
    "two splits exchanged": (
        lambda index: swap(index, "train", "test"),
        "its train split has a file 'test-00000-of-00002.tfrecord'",
    ),
    "a file outside": (
        lambda index: index["shards"]["test"][0].update(file="../test"),
        "its test split has a file '../test'",
    ),
    "a file twice": (
        lambda index: index["shards"]["test"].append(index["shards"]["test"][0]),
        "its test split has a file 'test-00000-of-00002.tfrecord'",
    ),
    "a missing file": (
        lambda index: index["shards"]["test"].pop(),
        "its test split has a file 'test-00000-of-00002.tfrecord'",
    ),
    "no files": (
        lambda index: index["shards"]["test"].clear(),
        "its artists have 12 test pictures, but its test files 0",
    ),
    "other examples": (
        lambda index: index["shards"]["train"][1].update(examples=31),
        "its artists have 60 train pictures, but its train files 61",
    ),
    "no examples": (
        lambda index: [
            index["shards"]["train"][k].update(examples=count)
            for k, count in enumerate((0, 60))
        ],
        "its artists have 60 train pictures",
    ),
    "an artist's count": (
        lambda index: index["artists"][2].update(validation=3),
        "its artists have 7 validation pictures, but its validation files 6",
    ),
    "two labels exchanged": (
        lambda index: index["artists"].reverse(),
        "its labels are not 0, 1, .. in order",
    ),
    "a label twice": (
        lambda index: index["artists"][1].update(label=0),
        "its labels are not 0, 1, .. in order",
    ),
    "a missing artist": (
        lambda index: index["artists"].pop(),
        "its artists have 40 train pictures, but its train files 60",
    ),
    "an artist twice": (
        lambda index: index["artists"][1].update(name=index["artists"][0]["name"]),
        "it lists an artist twice",
    ),
}


@pytest.mark.parametrize(
    ("change", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS
)
def test_a_description_that_contradicts_itself_is_refused(copied, change, message):
    path = copied / "dataset.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))

    assert f"{path} is corrupt ({message}" in refusal(copied)


@pytest.mark.parametrize("field", ["name", "label", "train", "test"])
def test_artists_that_were_exchanged_are_refused(copied, field):
    """All but their order is as it was: the files tell."""
    path = copied / "dataset.json"
    index = json.loads(path.read_text())
    first, second = index["artists"][:2]
    first[field], second[field] = second[field], first[field]
    path.write_text(json.dumps(index))

    if first[field] == second[field]:  # the counts are the same
        records.read_dataset(str(copied))
    elif field == "label":
        assert "its labels are not 0, 1, .. in order" in refusal(copied)
    else:
        assert "is another file (its first record: its artist is" in refusal(copied)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "{}", '{"format_version": 1, "shards": 5}', "\0" * 50],
)
def test_something_else_in_place_of_the_description_is_refused(copied, text):
    (copied / "dataset.json").write_text(text)

    assert "is corrupt or not a tfstyle dataset.json" in refusal(copied)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("artists", None),
        ("artists", [{"name": "a"}]),
        ("artists", "abc"),
        ("shards", {"train": [{"file": "a"}]}),
        ("shards", {"train": None}),
        ("holdout_artists", 5),
        ("image_size", "32"),
        ("image_size", -32),
        ("fit", "squeeze"),
        ("background", "white"),
        ("background", None),
        ("skipped", {"hidden": "1"}),
        ("settings", []),
        ("contents", [1]),
        ("split_digest", 1),
        ("digest", None),
    ],
)
def test_fields_of_other_types_are_refused(copied, field, value):
    path = copied / "dataset.json"
    index = json.loads(path.read_text())
    index[field] = value
    path.write_text(json.dumps(index))

    assert "is corrupt" in refusal(copied)
