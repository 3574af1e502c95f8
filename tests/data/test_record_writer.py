import collections
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.pictures import make_pictures
from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data import record_writer, records
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.conversion.spool import Spool
from tfstyle.data.examples import parse_example
from tfstyle.data.pictures import Conversion

RULE = SplitRule(min_images_per_artist=4, min_test_images=1)


def write(input_dir, records_dir, rule=RULE, size=8, **settings) -> records.Dataset:
    sources, skipped = scan_artist_folders(str(input_dir))
    return record_writer.write_dataset(
        str(records_dir), sources, Conversion(size), rule, skipped=skipped, **settings
    )


@pytest.fixture
def pictures(tmp_path) -> pathlib.Path:
    """Two artists with 6 pictures of 8x8 pixels."""
    return make_pictures(tmp_path / "in", ["a", "b"])


def names_in(dataset, *chosen) -> list[str]:
    return [
        parse_example(example)["filename"].numpy().decode()
        for example in tf.data.TFRecordDataset(dataset.shard_paths(*chosen))
    ]


def skipped_in(dataset) -> dict[str, str]:
    """Return the reasons by path, for ambiguous pictures with the other copy."""
    path = pathlib.Path(dataset.records_dir, "skipped.tsv")
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    assert head == ["path", "reason", "copy"]
    return {
        names.read(name): f"{reason} {copy}".rstrip() for name, reason, copy in rows
    }


def contents_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_what_is_read_is_what_was_written(portraits_records):
    dataset = records.read_dataset(portraits_records.records_dir)
    assert dataset == portraits_records
    assert dataset.artist_names == sorted(dataset.artist_names)
    assert len(dataset.artist_names) == 12
    np.testing.assert_array_equal(dataset.artist_counts("train"), [45] * 12)
    np.testing.assert_array_equal(dataset.artist_counts("validation"), [5] * 12)
    np.testing.assert_array_equal(dataset.artist_counts("test"), [10] * 12)
    assert dataset.num_examples("train", "validation", "test") == 720
    assert dataset.num_examples("holdout") == 0
    assert len(names_in(dataset, "train")) == 540
    assert dataset.skipped == {}  # files beside the artist folders do not count


def test_examples_are_shuffled_over_the_artists(portraits_records):
    artists = [name.split("/")[0] for name in names_in(portraits_records, "train")]
    repeats = np.mean([a == b for a, b in zip(artists, artists[1:], strict=False)])
    assert repeats < 0.15  # by chance 1 in 12


def test_the_number_of_workers_does_not_change_a_byte(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"], count=70)
    serial = write(pictures, tmp_path / "serial", num_workers=1)
    parallel = write(pictures, tmp_path / "parallel", num_workers=2)
    assert contents_of(serial.records_dir) == contents_of(parallel.records_dir)
    assert serial.digest == parallel.digest


def test_shards_share_the_examples_evenly(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"], count=8)
    dataset = write(pictures, tmp_path / "out", num_shards=3)
    assert [shard.examples for shard in dataset.shards["train"]] == [4, 4, 4]
    # There are only two validation and two test pictures, so two files.
    assert [shard.examples for shard in dataset.shards["validation"]] == [1, 1]
    assert [shard.examples for shard in dataset.shards["test"]] == [1, 1]
    assert len(set(names_in(dataset, "train", "validation", "test"))) == 16


def test_unusable_pictures_are_listed_with_the_reason(pictures, tmp_path):
    make_pictures(tmp_path / "in", ["few"], count=2)
    (pictures / "a" / "broken.png").write_bytes(b"")
    (pictures / "a" / "notes.txt").write_text("notes")
    (pictures / "a" / ".hidden.png").write_bytes(b"")
    (pictures / ".cache").mkdir()
    cut = (pictures / "b" / "0.png").read_bytes()[:-60]
    (pictures / "b" / "tab\tname.png").write_bytes(cut)
    (pictures / "b" / "gone.png").symlink_to("nowhere")
    dataset = write(pictures, tmp_path / "out", max_skipped_fraction=0.3)
    assert skipped_in(dataset) == {
        "a/broken.png": "not_a_picture",
        "a/notes.txt": "not_a_picture",
        "b/gone.png": "unreadable",
        "b/tab\tname.png": "truncated",
        "a/.hidden.png": "hidden",
        ".cache/": "hidden",
        "few/0.png": "artist_under_minimum",
        "few/1.png": "artist_under_minimum",
    }
    assert dataset.skipped == dict(
        collections.Counter(sorted(skipped_in(dataset).values()))
    )
    assert dataset.artist_names == ["a", "b"]


def test_names_in_any_script_and_encoding_survive(tmp_path):
    undecodable = os.fsdecode(b"not-utf8-\xff")
    pictures = make_pictures(tmp_path / "in", ["絵師", "b c"])
    (pictures / "b c").rename(pictures / undecodable)
    dataset = write(pictures, tmp_path / "out")
    assert records.read_dataset(dataset.records_dir) == dataset
    assert set(dataset.artist_names) == {"絵師", undecodable}


def test_nested_folders_belong_to_their_artist(pictures, tmp_path):
    make_pictures(pictures / "a", ["2019"], count=3)
    dataset = write(pictures, tmp_path / "out")
    assert dataset.artist_names == ["a", "b"]
    assert "a/2019/0.png" in names_in(dataset, "train", "test")


def test_identical_pixels_under_two_artists_are_ambiguous(pictures, tmp_path):
    Image.open(pictures / "a" / "0.png").save(pictures / "b" / "copy.bmp")
    dataset = write(pictures, tmp_path / "out")
    assert skipped_in(dataset) == {
        "a/0.png": "ambiguous b/copy.bmp",
        "b/copy.bmp": "ambiguous a/0.png",
    }
    assert dataset.skipped == {"ambiguous": 2}


def make_works(folder, artist, first, count):
    """Write different works of 128x128 pixels, of soft shapes."""
    (folder / artist).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        soft = Image.fromarray(rng.integers(0, 256, [5, 5, 3], np.uint8))
        work = soft.resize((128, 128), Image.Resampling.BICUBIC)
        work.save(folder / artist / f"{number:03}.png")


def splits_of(dataset):
    """Return the split of each picture by its name."""
    return {
        name: split
        for split in ("train", "validation", "test")
        for name in names_in(dataset, split)
    }


def test_other_versions_of_a_work_stay_in_its_split(tmp_path):
    """Each work of a also as a thumbnail; so half of the works in each split."""
    root = tmp_path / "in"
    make_works(root, "a", 0, 20)
    make_works(root, "b", 20, 40)
    for path in sorted((root / "a").iterdir()):
        thumbnail = Image.open(path).resize((48, 48), Image.Resampling.LANCZOS)
        thumbnail.save(path.with_name(f"thumb-{path.stem}.jpg"), quality=90)
    rule = SplitRule(4, 0.25, 1)
    other_rule = dataclasses.replace(rule, join_near_duplicates=False)
    joined = splits_of(write(root, tmp_path / "joined", rule, size=32))
    apart = splits_of(write(root, tmp_path / "apart", other_rule, size=32))

    pairs = [(f"a/{k:03}.png", f"a/thumb-{k:03}.jpg") for k in range(20)]
    assert all(joined[work] == joined[thumbnail] for work, thumbnail in pairs)
    assert not all(apart[work] == apart[thumbnail] for work, thumbnail in pairs)
    assert {n: s for n, s in joined.items() if n[0] == "b"} == {
        n: s for n, s in apart.items() if n[0] == "b"
    }
    head, *rows = (tmp_path / "joined" / "near_duplicates.tsv").read_text().splitlines()
    assert head.split("\t") == ["path", "near", "relation", "split", "near_split"]
    assert [row.split("\t")[:3] for row in rows] == [
        [*pair, "same_artist"] for pair in pairs
    ]
    assert not (tmp_path / "apart" / "near_duplicates.tsv").exists()
    settings = records.read_dataset(str(tmp_path / "apart")).settings
    assert settings["join_near_duplicates"] is False


def test_near_works_of_two_artists_stay_and_are_pointed_out(tmp_path, caplog):
    root = tmp_path / "in"
    make_works(root, "a", 0, 6)
    make_works(root, "b", 6, 6)
    work = Image.open(root / "a" / "000.png")
    work.resize((50, 50), Image.Resampling.LANCZOS).save(root / "b" / "re\npost.png")
    with caplog.at_level("INFO", "tfstyle"):
        dataset = write(root, tmp_path / "out", size=32)

    assert dataset.num_examples("train", "validation", "test") == 13
    assert any("2 pictures are nearly identical to one by another" in m
               for m in caplog.messages)  # fmt: skip
    rows = (tmp_path / "out" / "near_duplicates.tsv").read_text().splitlines()
    assert rows[1].split("\t")[:3] == ["a/000.png", r"b/re\npost.png", "other_artist"]
    assert records.read_dataset(dataset.records_dir) == dataset


def test_names_are_utf_8_in_every_file(tmp_path):
    undecodable = os.fsdecode("漫画".encode("cp932"))
    pictures = make_pictures(tmp_path / "in", [undecodable, "\x9b2J\u202e", "é"])
    dataset = write(pictures, tmp_path / "out")

    text = (tmp_path / "out" / "dataset.json").read_bytes().decode("utf-8")
    assert all(line.isprintable() for line in text.splitlines())
    assert '"é"' in text
    assert json.loads(text)["artists"][2]["name"] == undecodable
    assert records.read_dataset(dataset.records_dir) == dataset


def test_records_of_older_versions_are_read(tmp_path):
    """They hold bytes that are not UTF-8, and no setting for near duplicates."""
    undecodable = os.fsdecode("漫画".encode("cp932"))
    dataset = write(make_pictures(tmp_path / "in", [undecodable, "b"]), tmp_path / "o")
    path = tmp_path / "o" / "dataset.json"
    index = json.loads(path.read_text("utf-8"))
    del index["settings"]["join_near_duplicates"]
    text = json.dumps(index, ensure_ascii=False)
    path.write_text(text, "utf-8", "surrogateescape")

    assert records.read_dataset(dataset.records_dir).artists == dataset.artists


def test_more_shards_than_pictures_are_refused(pictures, tmp_path):
    with pytest.raises(UserError, match="there are 12: lower --num_shards=13"):
        write(pictures, tmp_path / "out", num_shards=13)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ['{"name": "mnist"}', "[1]", "not JSON"])
def test_a_foreign_dataset_json_is_never_replaced(pictures, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text(content)
    for overwrite in (False, True):
        with pytest.raises(
            UserError, match="is corrupt or not a .* is never overwritten"
        ):
            write(pictures, tmp_path / "out", overwrite=overwrite)
    assert contents_of(tmp_path / "out") == {"dataset.json": content.encode()}


def test_foreign_shards_are_replaced_only_with_overwrite(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train-00000-of-00009.tfrecord").write_bytes(b"theirs")
    with pytest.raises(UserError, match=r"other files \(train-00000-of-00009"):
        write(pictures, tmp_path / "out")
    assert len(contents_of(tmp_path / "out")) == 1
    dataset = write(pictures, tmp_path / "out", overwrite=True)
    assert len(contents_of(dataset.records_dir)) == 5


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of \d+ pictures unusable"):
        write(pictures, tmp_path / "out", max_skipped_fraction=0)
    assert not (tmp_path / "out").exists()


def count_conversions(monkeypatch) -> list[str]:
    """Return a list to which the name of each picture that is converted is added."""
    converted = []
    convert = Conversion.convert_file

    def convert_file(conversion, path, face=None):
        converted.append(pathlib.Path(path).relative_to(path.split("/in/")[0] + "/in"))
        return convert(conversion, path, face)

    monkeypatch.setattr(Conversion, "convert_file", convert_file)
    return converted


def fail_after(monkeypatch, count: int, error: BaseException) -> None:
    """Make the spool fail at the picture after so many."""
    add = Spool.add

    def add_or_fail(spool, *arguments):
        if len(spool) == count:
            monkeypatch.setattr(Spool, "add", add)
            raise error
        add(spool, *arguments)

    monkeypatch.setattr(Spool, "add", add_or_fail)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left on device")]
)
def test_a_call_goes_on_with_the_pictures_of_an_interrupted_one(
    pictures, tmp_path, monkeypatch, caplog, error
):
    (pictures / "b" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    expected = contents_of(write(pictures, tmp_path / "expected").records_dir)
    converted = count_conversions(monkeypatch)
    for count in (3, 7):
        fail_after(monkeypatch, count, error)
        with pytest.raises(type(error)):
            write(pictures, tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".converted"]
    caplog.set_level("INFO")
    dataset = write(pictures, tmp_path / "out")
    assert "resuming with 7 converted pictures, 6 left to convert" in caplog.text
    assert contents_of(dataset.records_dir) == expected
    # The one at which each call failed is converted again.
    repeated = {"a/3.png": 2, "b/1.png": 2}
    counts = collections.Counter(map(str, converted))
    assert counts == {name: repeated.get(name, 1) for name in counts}
    assert len(counts) == 13


def test_what_changed_after_an_interruption_is_converted_again(
    pictures, tmp_path, monkeypatch
):
    fail_after(monkeypatch, 10, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out")
    (pictures / "a" / "0.png").unlink()
    shutil.copy(pictures / "b" / "5.png", pictures / "a" / "1.png")
    (pictures / "b" / "5.png").unlink()
    (pictures / "a" / "2.png").rename(pictures / "a" / "9.png")
    os.utime(pictures / "a" / "3.png", (0, 0))
    expected = contents_of(write(pictures, tmp_path / "expected").records_dir)
    converted = count_conversions(monkeypatch)
    dataset = write(pictures, tmp_path / "out")
    assert contents_of(dataset.records_dir) == expected
    assert sorted(map(str, converted)) == ["a/1.png", "a/3.png", "a/9.png", "b/4.png"]


def test_other_splits_go_on_but_another_conversion_starts_over(
    pictures, tmp_path, monkeypatch, caplog
):
    fail_after(monkeypatch, 10, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out")
    converted = count_conversions(monkeypatch)
    fail_after(monkeypatch, 11, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", dataclasses.replace(RULE, seed=1))
    assert len(converted) == 2
    caplog.set_level("INFO")
    dataset = write(pictures, tmp_path / "out", size=7)
    assert "converted with other settings are converted again" in caplog.text
    assert len(converted) == 2 + 12
    assert contents_of(dataset.records_dir) == contents_of(
        write(pictures, tmp_path / "expected", size=7).records_dir
    )


def test_copies_of_excluded_works_leave_what_was_converted_before(
    pictures, tmp_path, monkeypatch
):
    path = tmp_path / "excluded.png"
    with Image.open(pictures / "a" / "1.png") as image:
        image.save(path, compress_level=0)
    excluded = [Source(str(path), "x", "x/excluded.png")]
    fail_after(monkeypatch, 10, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out")
    dataset = write(pictures, tmp_path / "out", excluded=excluded)
    assert skipped_in(dataset) == {"a/1.png": "copy_of_excluded x/excluded.png"}
    assert (
        dataset.digest
        == write(pictures, tmp_path / "expected", excluded=excluded).digest
    )


def test_too_many_unusable_pictures_are_counted_over_interruptions(
    pictures, tmp_path, monkeypatch
):
    for name in ("a/0.png", "b/5.png"):
        (pictures / name).write_bytes(b"")
    fail_after(monkeypatch, 4, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", max_skipped_fraction=0.1)
    with pytest.raises(UserError, match="2 of 12 pictures unusable .*; the f"):
        write(pictures, tmp_path / "out", max_skipped_fraction=0.1)
    dataset = write(pictures, tmp_path / "out", max_skipped_fraction=0.2)
    assert sum(dataset.skipped.values()) == 2


def test_an_interrupted_overwrite_leaves_the_old_records(
    pictures, tmp_path, monkeypatch
):
    dataset = write(pictures, tmp_path / "out")
    before = contents_of(dataset.records_dir)

    examples = []

    def interrupt(writer, example):
        examples.append(example)
        if len(examples) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(make_pictures(tmp_path / "in", ["c"]), tmp_path / "out", overwrite=True)
    kept = tmp_path / "out" / ".converted"
    assert kept.is_dir()
    shutil.rmtree(kept)
    assert contents_of(dataset.records_dir) == before


def test_overwriting_removes_old_shards_but_nothing_else(pictures, tmp_path):
    dataset = write(pictures, tmp_path / "out", num_shards=3)
    (tmp_path / "out" / "README").write_text("mine")
    with pytest.raises(UserError, match="--overwrite"):
        write(pictures, tmp_path / "out", num_shards=1)
    dataset = write(pictures, tmp_path / "out", num_shards=1, overwrite=True)
    assert sorted(contents_of(dataset.records_dir)) == [
        "README",
        "dataset.json",
        "skipped.tsv",
        "test-00000-of-00001.tfrecord",
        "train-00000-of-00001.tfrecord",
        "validation-00000-of-00001.tfrecord",
    ]
    assert records.read_dataset(dataset.records_dir) == dataset


def test_files_of_a_killed_run_are_replaced(pictures, tmp_path):
    (tmp_path / "out" / ".partial").mkdir(parents=True)
    (tmp_path / "out" / ".partial" / "test-00000-of-00001.tfrecord").write_bytes(b"")
    (tmp_path / "out" / "train-00000-of-00009.tfrecord").write_bytes(b"half")
    dataset = write(pictures, tmp_path / "out")
    assert len(contents_of(dataset.records_dir)) == 5


def test_held_out_examples_have_labels_after_the_others(tmp_path):
    pictures = make_pictures(tmp_path / "in", list("abcd"))
    rule = SplitRule(4, 0.1, 1, holdout_artists=1)
    dataset = write(pictures, tmp_path / "out", rule)
    assert records.read_dataset(dataset.records_dir) == dataset
    np.testing.assert_array_equal(dataset.artist_counts("holdout"), [6])
    assert len(dataset.artist_names) == 3
    path = dataset.shard_paths("holdout")[0]
    for example in tf.data.TFRecordDataset(path):
        assert parse_example(example)["label"] == 3
