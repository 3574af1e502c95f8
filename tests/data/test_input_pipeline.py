import collections
import dataclasses
import pathlib
import shutil

import gin
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.pictures import make_pictures, open_picture
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, pictures, record_writer
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.examples import parse_example, serialize_example
from tfstyle.data.input_pipeline import Share
from tfstyle.modeling.networks import color


def batches_from(dataset, start, count, **settings):
    settings = {"splits": ("train",), "batch_size": 16, "seed": 3, **settings}
    batches = input_pipeline.train_batches(dataset, start_step=start, **settings)
    return list(batches.take(count).as_numpy_iterator())


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a["artist"], b["artist"])
        np.testing.assert_array_equal(a["image"], b["image"])


def fingerprints(batches) -> collections.Counter:
    return collections.Counter(i.tobytes() for b in batches for i in b["image"])


@pytest.fixture
def corruptible(small_records, tmp_path):
    """A copy of the small records to corrupt, and the path of one train shard."""
    shutil.copytree(small_records.records_dir, tmp_path / "records")
    dataset = dataclasses.replace(small_records, records_dir=str(tmp_path / "records"))
    return dataset, dataset.shard_paths("train")[1]


@pytest.mark.parametrize("images_per_artist", [None, 4])
def test_shares_of_a_batch_are_its_rows_in_order(small_records, images_per_artist):
    """Of three processes with two devices each, over the end of an epoch."""
    settings = {"batch_size": 24, "images_per_artist": images_per_artist}
    whole = batches_from(small_records, 1, 3, **settings)
    parts = [
        batches_from(small_records, 1, 6, **settings, share=Share(index, 3, devices=2))
        for index in range(3)
    ]
    for step, batch in enumerate(whole):
        shares = [part[2 * step + device] for part in parts for device in range(2)]
        for name, rows in batch.items():
            np.testing.assert_array_equal(
                np.concatenate([share[name] for share in shares]), rows
            )


def test_shapes_and_types_are_static(small_records):
    spec = input_pipeline.train_batches(small_records, ("train",), 16, 0).element_spec
    assert spec == {
        "image": tf.TensorSpec([16, 32, 32, 3], tf.uint8),
        "artist": tf.TensorSpec([16], tf.int64),
    }
    spec = input_pipeline.eval_batches(small_records, "test", batch_size=5).element_spec
    assert spec == {
        "image": tf.TensorSpec([5, 32, 32, 3], tf.uint8),
        "artist": tf.TensorSpec([5], tf.int64),
        "filename": tf.TensorSpec([5], tf.string),
        "mask": tf.TensorSpec([5], tf.float32),
    }


# 60 train examples in batches of 16: 3 steps per epoch, 12 examples are dropped.
@pytest.mark.parametrize("start", [1, 2, 3, 4, 7, 9, 11])
def test_a_resumed_run_gets_the_batches_it_would_have_had(small_records, start):
    whole = batches_from(small_records, 0, 13)
    assert_same(batches_from(small_records, start, 13 - start), whole[start:])


# 3 artists x 20 pictures in groups of 3: 18 groups per epoch, 6 steps of 3 groups.
@pytest.mark.parametrize("start", [0, 1, 5, 6, 8, 13])
def test_groups_hold_one_artists_pictures_and_resume(small_records, start):
    settings = {"batch_size": 9, "images_per_artist": 3}
    whole = batches_from(small_records, 0, 14, **settings)
    assert_same(
        batches_from(small_records, start, 14 - start, **settings), whole[start:]
    )
    groups = np.concatenate([batch["artist"] for batch in whole]).reshape(-1, 3)
    assert (groups == groups[:, :1]).all()
    for epoch in (whole[:6], whole[6:12]):
        counts = fingerprints(epoch)
        assert len(counts) == 54 and set(counts.values()) == {1}
        artists = np.concatenate([batch["artist"] for batch in epoch])
        np.testing.assert_array_equal(np.bincount(artists), [18, 18, 18])


def test_a_batch_of_incomplete_groups_is_refused(small_records):
    with pytest.raises(UserError, match=r"multiple of metric\.images_per_artist=5"):
        batches_from(small_records, 0, 1, images_per_artist=5)


def test_a_batch_of_one_group_is_refused(small_records):
    """It would hold a single artist and no pairs of different artists."""
    with pytest.raises(UserError, match="at least twice that"):
        batches_from(small_records, 0, 1, images_per_artist=16)


def test_too_few_pictures_for_a_batch_of_groups_are_refused(small_records):
    """20 pictures per artist make one group of 12: three, but four are needed."""
    with pytest.raises(UserError, match="groups of 12 by one artist"):
        batches_from(small_records, 0, 1, batch_size=48, images_per_artist=12)


def test_the_order_ignores_tensorflows_global_seed(small_records):
    tf.random.set_seed(1)
    left = batches_from(small_records, 0, 5)
    tf.random.set_seed(2)
    assert_same(left, batches_from(small_records, 0, 5))


@pytest.fixture
def bind():
    """Bind a gin setting until the end of the test."""
    with gin.unlock_config():
        yield gin.bind_parameter
    gin.clear_config()


def test_threads_do_not_change_the_batches(small_records, bind):
    left = batches_from(small_records, 0, 8)
    bind("train_batches.parallelism", 1)
    assert_same(left, batches_from(small_records, 0, 8))


def test_the_shuffle_buffer_changes_the_order(small_records, bind):
    """A buffer of one record reads the files in their order."""
    bind("train_batches.shuffle_buffer", 1)
    left = batches_from(small_records, 0, 3)
    bind("train_batches.shuffle_buffer", 60)
    right = batches_from(small_records, 0, 3)
    assert any(
        (a["artist"] != b["artist"]).any() for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("name", ["shuffle_buffer", "parallelism"])
@pytest.mark.parametrize("value", [0, -2, 2.5, True])
def test_pipeline_settings_must_be_whole_numbers_above_0(name, value):
    with pytest.raises(UserError, match=rf"train_batches\.{name} .* got {value}"):
        input_pipeline.PipelineSettings(**{name: value})


def test_an_epoch_repeats_nothing_and_epochs_differ(portraits_records):
    batches = batches_from(portraits_records, 0, 24, batch_size=45)
    first, second = batches[:12], batches[12:]
    assert fingerprints(first) == fingerprints(second)  # 12 x 45 is all of them
    artists = [np.concatenate([b["artist"] for b in e]) for e in (first, second)]
    # 1 in 12 agrees by chance.
    assert np.mean(artists[0] == artists[1]) < 0.2


def test_seeds_differ(small_records):
    left, right = (batches_from(small_records, 0, 3, seed=s) for s in (3, 4))
    assert any(
        (a["artist"] != b["artist"]).any() for a, b in zip(left, right, strict=True)
    )


def test_several_splits_are_mixed(small_records):
    batches = batches_from(small_records, 0, 9, splits=("train", "test"), batch_size=8)
    test_batches = list(
        input_pipeline.eval_batches(small_records, "test", batch_size=12)
    )
    test_images = {i.tobytes() for b in test_batches for i in b["image"].numpy()}
    in_test = [
        sum(i.tobytes() in test_images for i in batch["image"]) for batch in batches
    ]
    assert sum(in_test) == 12 and max(in_test) < 8


def test_images_and_labels_are_those_of_the_files(small_records, portraits_dir):
    for batch in input_pipeline.eval_batches(
        small_records, "train", "test", batch_size=8
    ):
        for image, artist, filename in zip(
            batch["image"], batch["artist"], batch["filename"].numpy(), strict=True
        ):
            path = pathlib.Path(portraits_dir, filename.decode())
            assert path.parent.name == small_records.artist_names[artist]
            np.testing.assert_array_equal(image, pictures.load_picture(path, 32))


def test_jpeg_records_decode_exactly_as_pillow_decodes_them(tmp_path):
    folder = make_pictures(tmp_path / "in", ["a", "b"])
    sources, _ = scan_artist_folders(str(folder))
    conversion = pictures.Conversion(64, format="jpeg")  # smooth: 8 times enlarged
    rule = SplitRule(4, min_test_images=1)
    dataset = record_writer.write_dataset(
        str(tmp_path / "out"), sources, conversion, rule
    )
    (batch,) = input_pipeline.eval_batches(
        dataset, "train", "validation", "test", batch_size=12
    )
    for image, filename in zip(batch["image"], batch["filename"].numpy(), strict=True):
        encoded = conversion.encode_file(folder / filename.decode())
        np.testing.assert_array_equal(image, open_picture(encoded))


def test_evaluation_reads_every_example_once_in_order(small_records):
    # 12 test examples in batches of 5: the last batch has 2 and 3 black pictures.
    batches = list(input_pipeline.eval_batches(small_records, "test", batch_size=5))
    mask = np.concatenate([b["mask"] for b in batches])
    np.testing.assert_array_equal(mask, [1.0] * 12 + [0.0] * 3)
    names = np.concatenate([b["filename"] for b in batches])
    stored = [
        parse_example(example)["filename"].numpy()
        for example in tf.data.TFRecordDataset(small_records.shard_paths("test"))
    ]
    assert names.tolist() == stored + [b""] * 3
    assert len(set(stored)) == 12
    assert not batches[-1]["image"][2:].numpy().any()


def test_a_full_last_batch_is_not_padded(small_records):
    batches = list(input_pipeline.eval_batches(small_records, "test", batch_size=6))
    assert [b["mask"].numpy().sum() for b in batches] == [6, 6]


def test_an_empty_split_is_refused_with_the_flags_that_fill_it(small_records):
    with pytest.raises(UserError, match="no holdout pictures.*--holdout_artists"):
        input_pipeline.eval_batches(small_records, "holdout", batch_size=4)


def test_too_few_pictures_for_a_batch_are_refused_with_both_numbers(small_records):
    with pytest.raises(UserError, match="60 train.*train.batch_size from 64") as error:
        input_pipeline.train_batches(small_records, ("train",), 64, 0)
    assert "\n" not in str(error.value)


def test_another_image_size_is_refused_with_the_setting_to_change(small_records):
    input_pipeline.check_image_size(small_records, 32)
    with pytest.raises(UserError) as error:
        input_pipeline.check_image_size(small_records, 64)
    assert "train.image_size = 32" in str(error.value)
    assert "--image_size=64" in str(error.value)
    assert small_records.records_dir in str(error.value)


def test_sharding_goes_by_example(small_records):
    for batches in (
        input_pipeline.train_batches(small_records, ("train",), 4, 0),
        input_pipeline.eval_batches(small_records, "test", batch_size=4),
    ):
        policy = batches.options().experimental_distribute.auto_shard_policy
        assert policy == tf.data.experimental.AutoShardPolicy.DATA


def flip_bytes(path):
    content = bytearray(pathlib.Path(path).read_bytes())
    content[len(content) // 2] ^= 0xFF
    pathlib.Path(path).write_bytes(content)


def cut_off(path):
    content = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(content[: len(content) // 2])


def write_no_example(path):
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"\xff\xff not an example")


def write_picture(path, encoded):
    source = Source("", "someone", "someone/1.png")
    example = serialize_example(encoded, source, 0, pictures.Conversion(32))
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(30):
            writer.write(example)


def write_no_picture(path):
    write_picture(path, b"\x89PNG\r\n\x1a\n but no picture")


def write_another_size(path):
    write_picture(path, pictures.encode_picture(Image.new("RGB", (16, 16)), "png"))


def change_examples(path, change):
    """Write the examples of a file again, each after `change`."""
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    with tf.io.TFRecordWriter(path) as writer:
        for record in serialized:
            example = tf.train.Example.FromString(record)
            change(example.features.feature)
            writer.write(example.SerializeToString())


def write_an_unknown_label(path):
    change_examples(
        path,
        lambda feature: feature["image/class/label"].int64_list.value.__setitem__(0, 7),
    )


def write_a_negative_label(path):
    change_examples(
        path,
        lambda feature: feature["image/class/label"].int64_list.value.__setitem__(
            0, feature["image/class/label"].int64_list.value[0] - 3
        ),
    )


def write_a_known_but_wrong_label(path):
    change_examples(
        path,
        lambda feature: feature["image/class/label"].int64_list.value.__setitem__(
            0, (feature["image/class/label"].int64_list.value[0] + 1) % 3
        ),
    )


def lose_a_record(path):
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    with tf.io.TFRecordWriter(path) as writer:
        for record in serialized[:-1]:
            writer.write(record)


def repeat_a_record(path):
    serialized = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    with tf.io.TFRecordWriter(path) as writer:
        for record in [*serialized, serialized[0]]:
            writer.write(record)


def delete(path):
    pathlib.Path(path).unlink()


CORRUPTIONS = [
    flip_bytes,
    cut_off,
    write_no_example,
    write_no_picture,
    write_another_size,
    write_an_unknown_label,
    write_a_negative_label,
    write_a_known_but_wrong_label,
    lose_a_record,
    repeat_a_record,
    delete,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_a_corrupt_record_in_fit_names_its_shard(corruptible, corrupt):
    dataset, path = corruptible
    corrupt(path)
    model = tf.keras.Sequential([tf.keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse", run_eagerly=False)
    batches = input_pipeline.train_batches(dataset, ("train",), 8, 0)
    batches = batches.map(lambda b: (color.rgb_to_lab(b["image"]), b["artist"]))
    with (
        pytest.raises(UserError) as error,
        input_pipeline.report_bad_records(lambda: dataset),
    ):
        model.fit(batches, steps_per_epoch=20, verbose=0)
    assert path in str(error.value)
    assert not any(noise in str(error.value) for noise in ("\n", "{{", "[Op"))


def test_another_error_passes_when_the_records_are_intact(small_records):
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="of the model"),
        input_pipeline.report_bad_records(lambda: small_records),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "an error of the model")


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_a_corrupt_record_in_evaluation_names_its_shard(corruptible, corrupt):
    dataset, path = corruptible
    corrupt(path)
    with (
        pytest.raises(UserError) as error,
        input_pipeline.report_bad_records(lambda: dataset),
    ):
        for _ in input_pipeline.eval_batches(dataset, "train"):
            pass
    assert path in str(error.value)
    assert "--verify" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("corrupt", [flip_bytes, cut_off, write_no_picture, delete])
def test_a_corrupt_record_among_a_few_pictures_names_its_shard(corruptible, corrupt):
    dataset, path = corruptible
    corrupt(path)
    with pytest.raises(UserError) as error:
        input_pipeline.read_pictures(dataset, ["train"], range(30, 60))
    assert path in str(error.value)


def test_content_labels_are_read_in_the_order_of_pictures(
    labeled_records, small_records
):
    for split in ("train", "test"):
        names = [
            name
            for batch in input_pipeline.eval_batches(labeled_records, split)
            for name in batch["filename"].numpy()
            if name
        ]
        labels = input_pipeline.read_content_labels(labeled_records, split)
        assert labels.tolist() == [int(name[-9:-4]) % 13 for name in names]
        unknown = input_pipeline.read_content_labels(small_records, split)
        assert unknown.tolist() == [-1] * len(names)
