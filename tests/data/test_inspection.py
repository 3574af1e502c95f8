"""Every fault of a records folder is found, and named with its file and place."""

import dataclasses
import json
import pathlib
import shutil
import struct

import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from helpers.pictures import make_pictures
from tfstyle.core.cli import UserError
from tfstyle.data import inspection, record_writer, records
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.examples import serialize_example
from tfstyle.data.pictures import Conversion

RULE = SplitRule(4, min_test_images=2, validation_fraction=0.25)


def make_records(folder: pathlib.Path, seed: int = 0) -> records.Dataset:
    """Write records whose files all have the same size: noise does not compress.

    Each artist has 4 pictures to train, 2 to validate and 2 to test.
    """
    pictures = make_pictures(folder.parent / f"pictures{seed}", "ab", count=8)
    sources, _ = scan_artist_folders(str(pictures))
    rule = dataclasses.replace(RULE, seed=seed)
    return record_writer.write_dataset(str(folder), sources, Conversion(8), rule)


@pytest.fixture
def dataset(tmp_path) -> records.Dataset:
    return make_records(tmp_path / "records")


def split_file(path: str | pathlib.Path) -> list[bytes]:
    """Return the frames of a TFRecord file, by the lengths in it."""
    content = pathlib.Path(path).read_bytes()
    frames = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        frames.append(content[: length + 16])
        content = content[length + 16 :]
    return frames


def change_byte(path: str, position: int) -> None:
    content = bytearray(pathlib.Path(path).read_bytes())
    content[position] ^= 1
    pathlib.Path(path).write_bytes(content)


def rewrite(path: str, change) -> None:
    """Write the examples of a file again, each after `change`."""
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    with tf.io.TFRecordWriter(path) as writer:
        for record in serialized:
            example = tf.train.Example.FromString(record)
            change(example.features.feature)
            writer.write(example.SerializeToString(deterministic=True))


def verify(dataset: records.Dataset) -> list[str]:
    verification = inspection.Verification(dataset)
    for _ in verification.records():
        pass
    return verification.problems


def test_intact_records_have_no_faults(dataset, small_records):
    assert verify(dataset) == []
    assert verify(small_records) == []
    assert inspection.find_fault(dataset) is None


def test_records_are_read_with_their_places(dataset):
    path = dataset.shard_paths("train")[0]
    frames = split_file(path)

    found = list(inspection.read_records(path))

    assert [record.number for record in found] == list(range(8))
    starts = [sum(map(len, frames[:number])) for number in range(8)]
    assert [record.offset for record in found] == starts
    names = {record.example.filename for record in found}
    assert len(names) == 8 and all(name[:2] in ("a/", "b/") for name in names)


@pytest.mark.parametrize("part", ["length", "length checksum", "data", "checksum"])
@pytest.mark.parametrize("number", [0, 3, 7])
def test_a_changed_byte_is_found_wherever_it_is(dataset, part, number):
    path = dataset.shard_paths("train")[0]
    frames = split_file(path)
    start = sum(map(len, frames[:number]))
    place = {"length": 0, "length checksum": 9, "data": 60, "checksum": -2}[part]
    change_byte(path, start + place % len(frames[number]))

    found = list(inspection.read_records(path))

    bad = [record for record in found if record.fault]
    assert [(record.number, record.offset) for record in bad] == [(number, start)]
    # Records after it are read unless its length is unknown.
    assert len(found) == (number + 1 if part.startswith("length") else 8)
    fault = f"record {number} (from byte {start}) of {path} is corrupt: "
    assert any(problem.startswith(fault) for problem in verify(dataset))
    assert path in inspection.find_fault(dataset)


def test_all_of_several_faults_are_found(dataset):
    train, test = (dataset.shard_paths(split)[0] for split in ("train", "test"))
    size = len(split_file(train)[0])
    for number in (1, 2, 6):
        change_byte(train, number * size + 100)
    change_byte(test, 100)

    faults = [problem for problem in verify(dataset) if "checksum is wrong" in problem]

    assert [fault.split(" (")[0] for fault in faults] == [
        "record 1",
        "record 2",
        "record 6",
        "record 0",
    ]


@pytest.mark.parametrize("kept", [0, 5, 11, 12, 40, 250, 260, 2000])
def test_a_file_that_was_cut_off_is_named(dataset, kept):
    path = pathlib.Path(dataset.shard_paths("train")[0])
    path.write_bytes(path.read_bytes()[:kept])

    assert any(str(path) in problem for problem in verify(dataset))
    with pytest.raises(UserError, match=f"{path} has {kept} bytes, expected"):
        records.read_dataset(dataset.records_dir)


def test_bytes_after_the_last_record_are_a_fault(dataset):
    path = dataset.shard_paths("train")[0]
    with pathlib.Path(path).open("ab") as file:
        file.write(b"more")

    *_, last = inspection.read_records(path)
    assert last.number == 8 and last.fault.startswith("its length is damaged")


# A file in the place of another one.


def equal_sizes(*paths):
    return len({pathlib.Path(path).stat().st_size for path in paths}) == 1


def test_a_file_of_another_split_is_refused_whatever_its_size(dataset):
    validation, test = (dataset.shard_paths(s)[0] for s in ("validation", "test"))
    assert equal_sizes(validation, test)  # so the size tells nothing
    shutil.copy(test, validation)

    with pytest.raises(UserError, match=f"{validation} is another file"):
        records.read_dataset(dataset.records_dir)
    assert f"{validation} is another file" in verify(dataset)[0]


def test_a_file_of_other_records_is_refused_whatever_its_size(dataset, tmp_path):
    other = make_records(tmp_path / "other", seed=1)
    mine, theirs = dataset.shard_paths("test")[0], other.shard_paths("test")[0]
    assert equal_sizes(mine, theirs)
    shutil.copy(theirs, mine)

    with pytest.raises(UserError, match=f"{mine} is another file"):
        records.read_dataset(dataset.records_dir)


def test_a_file_of_other_pictures_with_the_same_names_is_refused(dataset, tmp_path):
    pictures = make_pictures(tmp_path / "others", "ab", count=8)
    for path in pictures.glob("*/*.png"):
        with Image.open(path) as image:
            ImageOps.invert(image).save(path)
    sources, _ = scan_artist_folders(str(pictures))
    other = record_writer.write_dataset(
        str(tmp_path / "other"), sources, Conversion(8), RULE
    )
    for split in ("train", "validation", "test"):
        mine, theirs = dataset.shard_paths(split)[0], other.shard_paths(split)[0]
        assert equal_sizes(mine, theirs)
        kept = pathlib.Path(mine).read_bytes()
        shutil.copy(theirs, mine)
        with pytest.raises(UserError, match=f"{mine} is another file"):
            records.read_dataset(dataset.records_dir)
        pathlib.Path(mine).write_bytes(kept)
    records.read_dataset(dataset.records_dir)


def test_a_file_of_another_split_is_refused(dataset):
    train, test = (dataset.shard_paths(split)[0] for split in ("train", "test"))
    shutil.copy(test, train)

    with pytest.raises(UserError, match=f"{train} has .* bytes, expected"):
        records.read_dataset(dataset.records_dir)


def test_records_without_digests_of_first_records_are_checked_by_the_rest(dataset):
    """As older versions wrote them."""
    path = pathlib.Path(dataset.records_dir, "dataset.json")
    index = json.loads(path.read_text())
    for shards in index["shards"].values():
        for shard in shards:
            del shard["first"]
    path.write_text(json.dumps(index))

    assert records.read_dataset(dataset.records_dir).digest == dataset.digest

    train = dataset.shard_paths("train")[0]
    rewrite(train, lambda feature: feature["image/class/label"].int64_list.Clear())
    index["shards"]["train"][0]["bytes"] = pathlib.Path(train).stat().st_size
    path.write_text(json.dumps(index))
    with pytest.raises(UserError, match="no feature image/class/label of one int64"):
        records.read_dataset(dataset.records_dir)


# Examples that contradict dataset.json.


def set_value(name, value):
    def change(feature):
        kind = feature[name].WhichOneof("kind")
        getattr(feature[name], kind).value[:] = [value]

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_value("image/class/label", 2), "its label is 2, but those of the train"),
        (set_value("image/class/label", -1), "its label is -1"),
        (set_value("image/class/text", b"c"), "its artist is 'c', but that of its lab"),
        (set_value("image/height", 9), "its picture is 8x9 pixels, not 8x8"),
        (set_value("image/format", b"bmp"), "its format is 'bmp', not jpeg or png"),
        (set_value("image/encoded", b"no picture"), "its picture cannot be decoded"),
        (lambda feature: feature.pop("image/encoded"), "no feature image/encoded"),
        (lambda feature: feature.clear(), "no feature image/encoded"),
    ],
)
def test_an_example_that_contradicts_the_description_is_a_fault(
    dataset, change, reason
):
    path = dataset.shard_paths("train")[0]
    rewrite(path, change)

    problems = verify(dataset)

    assert sum(reason in problem for problem in problems) >= 8
    assert all(path in problem for problem in problems)


def test_a_picture_of_another_size_than_its_record_says_is_a_fault(dataset):
    picture = tf.io.encode_png(tf.zeros([4, 8, 3], tf.uint8)).numpy()
    rewrite(dataset.shard_paths("test")[0], set_value("image/encoded", picture))

    assert any(
        "its picture is 8x4 pixels, but the record says 8x8" in problem
        for problem in verify(dataset)
    )


def test_something_else_than_an_example_is_a_fault(tmp_path):
    path = str(tmp_path / "train-00000-of-00001.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"\xff\xff")
        writer.write(b"")

    found = list(inspection.read_records(path))

    assert found[0].fault == "not a tf.train.Example"
    assert found[1].fault.startswith("no feature ")


def replace_with_copy(dataset, split):
    """Put a second copy of the first record in the place of the second one."""
    path = pathlib.Path(dataset.shard_paths(split)[0])
    first, _, *others = split_file(path)
    path.write_bytes(b"".join([first, first, *others]))


def test_an_example_that_occurs_twice_is_a_fault(dataset):
    replace_with_copy(dataset, "train")

    assert any("a second time" in problem for problem in verify(dataset))


def test_another_picture_of_the_same_size_changes_the_digest(dataset):
    path = dataset.shard_paths("test")[0]
    sizes = pathlib.Path(path).stat().st_size
    *_, last = inspection.read_records(path)

    def change(feature):
        if (
            feature["image/filename"].bytes_list.value[0]
            == last.example.filename.encode()
        ):
            other = inspection.read_records(dataset.shard_paths("train")[0])
            value = next(iter(other)).example.encoded
            feature["image/encoded"].bytes_list.value[:] = [value]

    rewrite(path, change)
    assert pathlib.Path(path).stat().st_size == sizes

    (problem,) = verify(dataset)
    assert problem.endswith("dataset.json has the digest of other records")


def test_other_splits_of_the_same_pictures_change_the_split_digest(dataset, tmp_path):
    """Names and counts are those of the other records; only the splits differ."""
    other = make_records(tmp_path / "other", seed=1)
    assert other.split_digest != dataset.split_digest

    (problem,) = verify(dataclasses.replace(dataset, split_digest=other.split_digest))

    assert problem.endswith("dataset.json has the split_digest of other splits")


def test_a_missing_record_is_counted(dataset):
    path = pathlib.Path(dataset.shard_paths("train")[0])
    path.write_bytes(b"".join(split_file(path)[:-1]))

    assert f"{path} holds 7 records, expected 8" in verify(dataset)


def test_files_are_listed_by_split(dataset, tmp_path):
    (tmp_path / "records" / "train-notes.txt").touch()
    names = [
        (split, pathlib.Path(path).name)
        for split, path in inspection.list_shards(dataset.records_dir)
    ]
    assert names == [
        (split, f"{split}-00000-of-00001.tfrecord")
        for split in ("train", "validation", "test")
    ]


def test_an_example_is_read_as_it_was_written():
    source = Source("", "an artist", "an artist/1.png")
    serialized = serialize_example(b"encoded", source, 5, Conversion(32))
    example = inspection.read_example(serialized)

    assert dataclasses.asdict(example) == {
        "encoded": b"encoded",
        "format": "png",
        "height": 32,
        "width": 32,
        "filename": "an artist/1.png",
        "label": 5,
        "artist": "an artist",
        "content_label": -1,
        "content_text": "",
    }
