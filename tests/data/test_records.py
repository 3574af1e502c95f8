import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfstyle.core.cli import UserError
from tfstyle.data import records, splits
from tfstyle.data.pictures import Conversion
from tfstyle.data.splits import Source, SplitRule, plan_splits

RULE = SplitRule(min_images_per_artist=4, min_test_images=1)


def make_pictures(folder, artists, count=6, size=8) -> pathlib.Path:
    """Write `count` different noise pictures for each artist."""
    for artist in artists:
        os.makedirs(folder / artist, exist_ok=True)
        generator = np.random.default_rng(list(artist.encode()))
        for i in range(count):
            values = generator.integers(0, 256, [size, size, 3], np.uint8)
            Image.fromarray(values).save(folder / artist / f"{i}.png")
    return folder


def write(input_dir, records_dir, rule=RULE, **settings) -> records.Dataset:
    sources, skipped = splits.scan_artist_folders(str(input_dir))
    return records.write_dataset(
        str(records_dir), sources, Conversion(8), rule, skipped=skipped, **settings
    )


def names_in(dataset, *chosen) -> list[str]:
    return [
        records.parse_example(example)["filename"].numpy().decode()
        for example in tf.data.TFRecordDataset(dataset.shard_paths(*chosen))
    ]


def skipped_in(dataset) -> dict[str, str]:
    """Reasons by path; that of a copy with the other copy."""
    path = pathlib.Path(dataset.records_dir, "skipped.tsv")
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    assert head == ["path", "reason", "copy"]
    return {name: f"{reason} {copy}".rstrip() for name, reason, copy in rows}


def contents_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def make_sources(counts: dict[str, int]) -> list[Source]:
    return [
        Source("", artist, f"{artist}/{i}")
        for artist, count in counts.items()
        for i in range(count)
    ]


def plan(sources, rule=RULE, contents=None):
    return plan_splits(sources, contents or [s.name for s in sources], rule)


def test_what_is_read_is_what_was_written(portraits_records):
    dataset = records.read_dataset(portraits_records.records_dir)
    assert dataset == portraits_records
    assert dataset.artist_names == sorted(dataset.artist_names)
    assert len(dataset.artist_names) == 12
    np.testing.assert_array_equal(dataset.artist_counts("train"), [50] * 12)
    np.testing.assert_array_equal(dataset.artist_counts("test"), [10] * 12)
    assert dataset.num_examples("train", "test") == 720
    assert dataset.num_examples("holdout") == 0
    assert len(names_in(dataset, "train")) == 600
    assert dataset.skipped == {}  # LICENSES.tsv and MANIFEST.tsv are no pictures


def test_dataset_json_has_the_documented_fields(portraits_records):
    path = pathlib.Path(portraits_records.records_dir, "dataset.json")
    index = json.loads(path.read_text())
    assert index["format_version"] == 1
    assert index["image_size"] == 64
    assert index["fit"] == "crop" and index["background"] == "#ffffff"
    expected = {"name": "adventurer", "label": 0, "train": 50, "test": 10}
    assert index["artists"][0] == expected
    assert index["shards"]["train"][0]["file"] == "train-00000-of-00001.tfrecord"
    assert index["shards"]["train"][0]["examples"] == 600
    assert len(index["digest"]) == 64


def test_examples_follow_tensorflows_image_conventions(portraits_records):
    path = portraits_records.shard_paths("train")[0]
    example = records.parse_example(next(iter(tf.data.TFRecordDataset(path))))
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


def test_examples_are_shuffled_over_the_artists(portraits_records):
    artists = [name.split("/")[0] for name in names_in(portraits_records, "train")]
    neighbours = np.mean([a == b for a, b in zip(artists, artists[1:], strict=False)])
    assert neighbours < 0.15  # by chance 1 in 12


def test_the_number_of_workers_does_not_change_a_byte(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"], count=70)
    one = write(pictures, tmp_path / "one", num_workers=1)
    two = write(pictures, tmp_path / "two", num_workers=2)
    assert contents_of(one.records_dir) == contents_of(two.records_dir)
    assert one.digest == two.digest


def test_workers_do_not_load_tensorflow():
    check = (
        "import sys, tfstyle.data.conversion_pool; 'tensorflow' in sys.modules and 1/0"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_shards_share_the_examples_evenly(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"], count=8)
    dataset = write(pictures, tmp_path / "out", num_shards=3)
    assert [shard.examples for shard in dataset.shards["train"]] == [4, 5, 5]
    # There are only two test pictures, so two files.
    assert [shard.examples for shard in dataset.shards["test"]] == [1, 1]
    assert len(set(names_in(dataset, "train", "test"))) == 16


def test_unusable_pictures_are_listed_with_the_reason(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
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
        "b/tab name.png": "truncated",
        "few/0.png": "artist_under_minimum",
        "few/1.png": "artist_under_minimum",
    }
    assert dataset.skipped == dict(
        collections.Counter(sorted(skipped_in(dataset).values()))
    )
    assert dataset.artist_names == ["a", "b"]


def test_names_in_any_script_and_encoding_survive(tmp_path):
    odd = os.fsdecode(b"not-utf8-\xff")
    pictures = make_pictures(tmp_path / "in", ["絵師", "b c"])
    os.rename(pictures / "b c", pictures / odd)
    dataset = write(pictures, tmp_path / "out")
    assert records.read_dataset(dataset.records_dir) == dataset
    assert set(dataset.artist_names) == {"絵師", odd}


def test_nested_folders_belong_to_their_artist(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    make_pictures(pictures / "a", ["2019"], count=3)
    dataset = write(pictures, tmp_path / "out")
    assert dataset.artist_names == ["a", "b"]
    assert "a/2019/0.png" in names_in(dataset, "train", "test")


def test_identical_pixels_under_two_artists_are_ambiguous(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    Image.open(pictures / "a" / "0.png").save(pictures / "b" / "copy.bmp")
    dataset = write(pictures, tmp_path / "out")
    assert skipped_in(dataset) == {
        "a/0.png": "ambiguous b/copy.bmp",
        "b/copy.bmp": "ambiguous a/0.png",
    }
    assert dataset.skipped == {"ambiguous": 2}


def test_the_copy_of_an_ambiguous_picture_is_another_artists():
    """Contents x, x by a; x by b; x by c: the first copy by name, not one's own."""
    sources = [Source("", name[0], name) for name in ("c/0", "a/1", "b/0", "a/0")]
    others = make_sources({"d": 6, "e": 6})

    plan = plan_splits([*sources, *others], list("xxxx0123456789AB"), RULE)

    names = [source.name for source in sources]
    assert {names[i]: names[j] for i, j in plan.copies.items()} == {
        "a/0": "b/0",
        "a/1": "b/0",
        "b/0": "a/0",
        "c/0": "a/0",
    }


def test_more_shards_than_pictures_are_refused(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    with pytest.raises(UserError, match="there are 12: lower --num_shards=13"):
        write(pictures, tmp_path / "out", num_shards=13)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ['{"name": "mnist"}', "[1]", "not JSON"])
def test_a_description_of_something_else_is_never_replaced(tmp_path, content):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text(content)
    for overwrite in (False, True):
        with pytest.raises(UserError, match="of something else, and is left alone"):
            write(pictures, tmp_path / "out", overwrite=overwrite)
    assert contents_of(tmp_path / "out") == {"dataset.json": content.encode()}


def test_shards_of_something_else_are_replaced_only_when_asked(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train-00000-of-00009.tfrecord").write_bytes(b"theirs")
    with pytest.raises(UserError, match=r"something else \(train-00000-of-00009"):
        write(pictures, tmp_path / "out")
    assert len(contents_of(tmp_path / "out")) == 1
    dataset = write(pictures, tmp_path / "out", overwrite=True)
    assert len(contents_of(dataset.records_dir)) == 4


@pytest.mark.parametrize(
    "folders, nested",
    [
        (["old/a", "old/b", "new/c", "new/d"], True),
        (["old/a", "old/b/inner", "new/c", "new/d"], True),
        ([f"{k}/{one}" for k in range(9) for one in "ab"] + ["9/a"], True),
        (["old/a", "old/b", "new/c"], False),  # one work folder is no group
        (["old/a", "old/b", "new/c", "new/d", "new"], False),
        (["a", "b"], False),
    ],
)
def test_folders_of_artists_folders_are_noted(tmp_path, folders, nested):
    for folder in folders:
        make_pictures(tmp_path / "in put", [folder], count=1)
    sources, _ = splits.scan_artist_folders(str(tmp_path / "in put"))

    note = splits.nesting_note(str(tmp_path / "in put"), sources)

    assert (note is not None) == nested
    if note:
        assert "The outer folders are taken for the artists" in note
        assert f"cp -r '{tmp_path}/in put'/*/* FLAT" in note


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a"])
    with pytest.raises(UserError):
        write(pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_overwrite_leaves_the_old_records(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    dataset = write(pictures, tmp_path / "out")
    before = contents_of(dataset.records_dir)

    def interrupt(activity, done, total):
        if activity == "writing" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(
            make_pictures(tmp_path / "in", ["c"]),
            tmp_path / "out",
            overwrite=True,
            progress=interrupt,
        )
    assert contents_of(dataset.records_dir) == before


def test_overwriting_removes_old_shards_but_nothing_else(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
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
    ]
    assert records.read_dataset(dataset.records_dir) == dataset


def test_leftovers_of_a_killed_run_are_no_obstacle(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    (tmp_path / "out" / ".partial").mkdir(parents=True)
    (tmp_path / "out" / ".partial" / "spool").write_bytes(b"half")
    (tmp_path / "out" / "train-00000-of-00009.tfrecord").write_bytes(b"half")
    dataset = write(pictures, tmp_path / "out")
    assert len(contents_of(dataset.records_dir)) == 4


def test_a_changed_picture_makes_records_out_of_date(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["a", "b"])
    dataset = write(pictures, tmp_path / "out")

    def find():
        sources, _ = splits.scan_artist_folders(str(pictures))
        settings = records.make_settings(sources, Conversion(8), RULE, 0)
        return records.find_dataset(dataset.records_dir, settings)

    assert find() == dataset
    os.utime(pictures / "a" / "0.png", (1, 1))
    assert find() is None


def test_test_pictures_are_a_share_but_at_least_the_minimum():
    rule = SplitRule(min_images_per_artist=20, min_test_images=5)
    artists = plan(make_sources({"a": 20, "b": 54, "c": 55, "d": 200}), rule).artists
    assert [artist.test for artist in artists] == [5, 5, 6, 20]
    assert [artist.train for artist in artists] == [15, 49, 49, 180]


def test_groups_and_identical_pixels_stay_on_one_side():
    sources = make_sources({"a": 40, "b": 40})
    sources = [
        # Pairs, of which neighbours are chained to fours by equal pixels.
        Source("", s.artist, s.name, group=f"{s.artist}{i // 2}")
        for i, s in enumerate(sources)
    ]
    contents = [s.name for s in sources]
    for i in range(0, 80, 4):
        contents[i + 1] = contents[i + 2]
    for seed in range(5):
        rule = SplitRule(4, test_fraction=0.25, min_test_images=1, seed=seed)
        test = set(plan(sources, rule, contents).examples["test"])
        assert len(test) == 16  # 10 are wanted of each; 12 is no nearer than 8
        for i in range(0, 80, 4):
            assert len(test & {i, i + 1, i + 2, i + 3}) in (0, 4)


def test_a_new_artist_does_not_move_the_pictures_of_others():
    before = make_sources({"a": 40, "c": 40})
    after = make_sources({"a": 40, "b": 40, "c": 40})
    names_before = {before[i].name for i in plan(before).examples["test"]}
    names_after = {after[i].name for i in plan(after).examples["test"]}
    assert names_before == {n for n in names_after if not n.startswith("b/")}


def test_the_seed_changes_the_split():
    sources = make_sources({"a": 40, "b": 40})
    left, right = (
        set(plan(sources, SplitRule(4, 0.1, 1, seed=seed)).examples["test"])
        for seed in (0, 1)
    )
    assert left != right


@pytest.mark.parametrize("holdout, count", [(2, 2), (0.2, 1), (0.5, 3)])
def test_held_out_artists_come_after_the_others(holdout, count):
    sources = make_sources(dict.fromkeys("abcde", 6))
    rule = SplitRule(4, 0.1, 1, holdout_artists=holdout)
    result = plan(sources, rule)
    assert len(result.holdout_artists) == count
    labels = [a.label for a in (*result.artists, *result.holdout_artists)]
    assert labels == list(range(5))
    held_out = {artist.name for artist in result.holdout_artists}
    assert {sources[i].artist for i in result.examples["holdout"]} == held_out
    for split in ("train", "test"):
        assert not held_out & {sources[i].artist for i in result.examples[split]}


def test_held_out_records_carry_their_labels(tmp_path):
    pictures = make_pictures(tmp_path / "in", list("abcd"))
    rule = SplitRule(4, 0.1, 1, holdout_artists=1)
    dataset = write(pictures, tmp_path / "out", rule)
    assert records.read_dataset(dataset.records_dir) == dataset
    np.testing.assert_array_equal(dataset.artist_counts("holdout"), [6])
    assert len(dataset.artist_names) == 3
    path = dataset.shard_paths("holdout")[0]
    for example in tf.data.TFRecordDataset(path):
        assert records.parse_example(example)["label"] == 3


def test_artists_without_a_training_picture_are_dropped():
    sources = make_sources({"a": 9, "b": 20, "c": 20})
    result = plan(sources, SplitRule(4, 0.1, min_test_images=10))
    assert [artist.name for artist in result.artists] == ["b", "c"]
    assert result.dropped == [(i, "artist_without_training") for i in range(9)]


@pytest.mark.parametrize(
    "counts, rule, words",
    [
        ({"a": 5, "b": 7}, SplitRule(8), ["8 usable", "is 7", "--min_images_per"]),
        ({"a": 5, "b": 7}, SplitRule(5), ["more than 10", "is 7", "--min_test_im"]),
        ({"a": 9, "b": 3}, RULE, ["1 artist left", "(a, 9 pictures)", "of 2 found"]),
        ({"a": 9, "b": 9}, SplitRule(4, 0.1, 1, 1), ["1 artist", "--holdout_artists"]),
    ],
)
def test_too_little_says_what_there_is_and_which_flag_to_change(counts, rule, words):
    with pytest.raises(UserError) as error:
        plan(make_sources(counts), rule)
    assert all(word in str(error.value) for word in words)


@pytest.fixture
def copied(small_records, tmp_path) -> pathlib.Path:
    """A folder of records to damage."""
    return pathlib.Path(shutil.copytree(small_records.records_dir, tmp_path / "r"))


def refusal(records_dir) -> str:
    with pytest.raises(UserError) as error:
        records.read_dataset(str(records_dir))
    assert str(records_dir) in str(error.value)
    assert "tools/make_tfrecords.py" in str(error.value)
    return str(error.value)


def test_a_missing_folder_is_named(tmp_path):
    assert "there is no records folder" in refusal(tmp_path / "none")


def test_an_unfinished_folder_is_named(copied):
    (copied / "dataset.json").unlink()
    assert "has no dataset.json" in refusal(copied)


def test_a_missing_shard_is_named(copied):
    (copied / "test-00001-of-00002.tfrecord").unlink()
    assert "test-00001-of-00002.tfrecord is missing" in refusal(copied)


def test_a_shard_of_the_wrong_length_is_named(copied):
    with open(copied / "test-00001-of-00002.tfrecord", "ab") as file:
        file.write(b"more")
    assert "test-00001-of-00002.tfrecord has" in refusal(copied)


def test_a_later_format_is_refused(copied):
    index = json.loads((copied / "dataset.json").read_text())
    (copied / "dataset.json").write_text(json.dumps({**index, "format_version": 2}))
    assert "format_version 2, this tfstyle reads 1" in refusal(copied)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 1}'])
def test_a_damaged_description_is_refused(copied, content):
    (copied / "dataset.json").write_text(content)
    assert "is damaged or of something else" in refusal(copied)


def test_an_unknown_split_is_refused(small_records):
    with pytest.raises(ValueError, match="got 'valid'"):
        small_records.num_examples("valid")
