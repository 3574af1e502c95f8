import collections
import dataclasses
import pathlib
import shutil

import gin
import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, pictures, records
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
def damaged_records(small_records, tmp_path):
    """A copy of the small records to damage, and the path of one train shard."""
    shutil.copytree(small_records.records_dir, tmp_path / "records")
    dataset = dataclasses.replace(small_records, records_dir=str(tmp_path / "records"))
    return dataset, dataset.shard_paths("train")[1]


def test_shapes_and_types_are_static(small_records):
    spec = input_pipeline.train_batches(small_records, ("train",), 16, 0).element_spec
    assert spec == {
        "image": tf.TensorSpec([16, 32, 32, 3], tf.uint8),
        "artist": tf.TensorSpec([16], tf.int64),
    }
    spec = input_pipeline.eval_batches(small_records, ("test",), 5).element_spec
    assert spec == {
        "image": tf.TensorSpec([5, 32, 32, 3], tf.uint8),
        "artist": tf.TensorSpec([5], tf.int64),
        "filename": tf.TensorSpec([5], tf.string),
        "mask": tf.TensorSpec([5], tf.float32),
    }


# 60 train examples in batches of 16: 3 steps an epoch, 12 examples left over.
@pytest.mark.parametrize("start", [1, 2, 3, 4, 7, 9, 11])
def test_a_resumed_run_gets_the_batches_it_would_have_had(small_records, start):
    whole = batches_from(small_records, 0, 13)
    assert_same(batches_from(small_records, start, 13 - start), whole[start:])


# 3 artists x 20 pictures: in groups of 3, 18 groups an epoch, 6 steps of 3 groups.
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


def test_a_batch_that_is_no_number_of_groups_is_refused(small_records):
    with pytest.raises(UserError, match=r"multiple of metric\.images_per_artist=5"):
        batches_from(small_records, 0, 1, images_per_artist=5)


def test_a_batch_of_one_group_is_refused(small_records):
    """It would hold one artist, whom nobody differs from."""
    with pytest.raises(UserError, match="at least twice that"):
        batches_from(small_records, 0, 1, images_per_artist=16)


def test_too_few_pictures_for_a_batch_of_groups_are_refused(small_records):
    """20 pictures make one group of 12: three groups in all, four are wanted."""
    with pytest.raises(UserError, match="groups of 12 by one artist"):
        batches_from(small_records, 0, 1, batch_size=48, images_per_artist=12)


def test_the_order_ignores_tensorflows_global_seed(small_records):
    tf.random.set_seed(1)
    left = batches_from(small_records, 0, 5)
    tf.random.set_seed(2)
    assert_same(left, batches_from(small_records, 0, 5))


def test_threads_do_not_change_the_batches(small_records):
    left = batches_from(small_records, 0, 8)
    with gin.unlock_config():
        gin.bind_parameter("train_batches.parallelism", 1)
    try:
        assert_same(left, batches_from(small_records, 0, 8))
    finally:
        gin.clear_config()


def test_an_epoch_repeats_nothing_and_epochs_differ(portraits_records):
    batches = batches_from(portraits_records, 0, 24, batch_size=50)
    first, second = batches[:12], batches[12:]
    assert fingerprints(first) == fingerprints(second)  # 12 x 50 is all of them
    artists = [np.concatenate([b["artist"] for b in e]) for e in (first, second)]
    # By chance, 1 in 12 agrees.
    assert np.mean(artists[0] == artists[1]) < 0.2


def test_seeds_differ(small_records):
    left, right = (batches_from(small_records, 0, 3, seed=s) for s in (3, 4))
    assert any(
        (a["artist"] != b["artist"]).any() for a, b in zip(left, right, strict=True)
    )


def test_several_splits_are_mixed(small_records):
    batches = batches_from(small_records, 0, 9, splits=("train", "test"), batch_size=8)
    test_batches = list(input_pipeline.eval_batches(small_records, ("test",), 12))
    test_images = {i.tobytes() for b in test_batches for i in b["image"].numpy()}
    in_test = [
        sum(i.tobytes() in test_images for i in batch["image"]) for batch in batches
    ]
    assert sum(in_test) == 12 and max(in_test) < 8


def test_images_and_labels_are_those_of_the_files(small_records, portraits_dir):
    for batch in input_pipeline.eval_batches(small_records, ("train", "test"), 8):
        for image, artist, filename in zip(
            batch["image"], batch["artist"], batch["filename"].numpy(), strict=True
        ):
            path = pathlib.Path(portraits_dir, filename.decode())
            assert path.parent.name == small_records.artist_names[artist]
            np.testing.assert_array_equal(image, pictures.load_picture(path, 32))


def test_jpeg_records_decode_exactly_as_pillow_decodes_them():
    values = np.random.default_rng(0).integers(0, 256, [32, 32, 3], np.uint8)
    values = np.asarray(pictures.Image.fromarray(values).resize([64, 64]))
    encoded = pictures.encode_picture(pictures.Image.fromarray(values), "jpeg")
    expected = pictures.Image.open(pictures.io.BytesIO(encoded))
    example = records._serialize(
        encoded,
        records.Source("", "someone", "name"),
        0,
        pictures.Conversion(64, format="jpeg"),
    )
    image = input_pipeline._decode(tf.constant(example), 64)["image"]
    np.testing.assert_array_equal(image, expected)


def test_evaluation_reads_every_example_once_in_order(small_records):
    # 12 test examples in batches of 5: the last one has 2 and 3 black ones.
    batches = list(input_pipeline.eval_batches(small_records, ("test",), 5))
    mask = np.concatenate([b["mask"] for b in batches])
    np.testing.assert_array_equal(mask, [1.0] * 12 + [0.0] * 3)
    names = np.concatenate([b["filename"] for b in batches])
    stored = [
        records.parse_example(example)["filename"].numpy()
        for example in tf.data.TFRecordDataset(small_records.shard_paths("test"))
    ]
    assert names.tolist() == stored + [b""] * 3
    assert len(set(stored)) == 12
    assert not batches[-1]["image"][2:].numpy().any()


def test_a_full_last_batch_is_not_filled_up(small_records):
    batches = list(input_pipeline.eval_batches(small_records, ("test",), 6))
    assert [b["mask"].numpy().sum() for b in batches] == [6, 6]


def test_an_empty_split_says_how_to_get_one(small_records):
    with pytest.raises(UserError, match="no holdout pictures.*--holdout_artists"):
        input_pipeline.eval_batches(small_records, ("holdout",), 4)


def test_too_few_pictures_for_a_batch_names_both_numbers(small_records):
    with pytest.raises(UserError, match="60 train.*train.batch_size from 64") as error:
        input_pipeline.train_batches(small_records, ("train",), 64, 0)
    assert "\n" not in str(error.value)


def test_another_image_size_names_both_and_what_to_set(small_records):
    input_pipeline.check_image_size(small_records, 32)
    with pytest.raises(UserError) as error:
        input_pipeline.check_image_size(small_records, 64)
    assert "train.image_size = 32" in str(error.value)
    assert "--image_size=64" in str(error.value)


def test_sharding_goes_by_example(small_records):
    for batches in (
        input_pipeline.train_batches(small_records, ("train",), 4, 0),
        input_pipeline.eval_batches(small_records, ("test",), 4),
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


def replace_with_no_example(path):
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"\xff\xff not an example")


def replace_picture(path, encoded):
    source = records.Source("", "someone", "someone/1.png")
    conversion = pictures.Conversion(32)
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(30):
            writer.write(records._serialize(encoded, source, 0, conversion))


def replace_with_no_picture(path):
    replace_picture(path, b"\x89PNG\r\n\x1a\n but no picture")


def replace_with_another_size(path):
    image = pictures.Image.new("RGB", (16, 16))
    replace_picture(path, pictures.encode_picture(image, "png"))


DAMAGES = [
    flip_bytes,
    cut_off,
    replace_with_no_example,
    replace_with_no_picture,
    replace_with_another_size,
    lambda path: pathlib.Path(path).unlink(),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_in_fit_names_its_shard(damaged_records, damage):
    dataset, path = damaged_records
    damage(path)
    model = tf.keras.Sequential([tf.keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse", run_eagerly=False)
    batches = input_pipeline.train_batches(dataset, ("train",), 8, 0)
    batches = batches.map(lambda b: (color.rgb_to_lab(b["image"]), b["artist"]))
    with (
        pytest.raises(UserError) as error,
        input_pipeline.naming_bad_records(dataset, "train"),
    ):
        model.fit(batches, steps_per_epoch=20, verbose=0)
    assert path in str(error.value)
    assert not any(noise in str(error.value) for noise in ("\n", "{{", "[Op"))


def test_another_error_passes_when_the_records_are_sound(small_records):
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="of the model"),
        input_pipeline.naming_bad_records(small_records, "train", "test"),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "a fault of the model")
