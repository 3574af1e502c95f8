"""Records to batches: shuffled without end for training, in order for evaluation.

Pictures stay uint8 RGB here; they become Lab in the graph of the step. A training
batch is a function of (seed, step) alone, so a resumed run goes on with exactly the
batches that it would have had.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.data.records import Dataset

# What TensorFlow raises for a damaged record. Its message about one that it cannot
# parse holds the record's bytes, which Python then fails to decode.
_DATA_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    UnicodeDecodeError,
)
_SHUFFLE_BUFFER = 4096  # undecoded records
_FILES_AT_ONCE = 8  # read in turn; part of the order of training, so not tuned


def train_batches(
    dataset: Dataset,
    splits: Sequence[str],
    batch_size: int,
    seed: int,
    start_step: int = 0,
    images_per_artist: int | None = None,
) -> tf.data.Dataset:
    """Make the endless training batches from step `start_step` on.

    Each epoch has `num_examples // batch_size` batches and an order of its own that
    depends on (seed, epoch) only; what is left over at its end is dropped. Two gin
    settings tune it: `train_batches.shuffle_buffer`, the undecoded records to draw
    from (another value is another order), and `train_batches.parallelism`, the
    threads that decode.

    Args:
        dataset: the records.
        splits: the splits to train on, such as ("train",).
        batch_size: pictures per step, over all replicas.
        seed: decides the order.
        start_step: the first step wanted; the records of earlier steps of its epoch
            are skipped undecoded.
        images_per_artist: K, to make batches of groups of K pictures by one artist,
            for losses on pairs. Artists are met as often as they have pictures, so
            that one may fill two groups of a batch; the rest of an artist's pictures
            that fill no group of an epoch are left out of it.

    Returns:
        {"image": uint8 [batch_size, size, size, 3], "artist": int64 [batch_size]}.

    Raises:
        UserError: as `steps_per_epoch`.
    """
    steps_per_epoch(dataset, splits, batch_size, images_per_artist)  # at least one
    group = images_per_artist or 1
    return endless_batches(dataset, splits, batch_size, seed, start_step, group)


def steps_per_epoch(
    dataset: Dataset,
    splits: Sequence[str],
    batch_size: int,
    images_per_artist: int | None = None,
) -> int:
    """Count the batches of an epoch, for arguments as of `train_batches`.

    Raises:
        UserError: there is not one, or the batch is no number of groups.
    """
    group = images_per_artist or 1
    if group > 1 and (batch_size % group or batch_size == group):
        raise UserError(
            f"train.batch_size={batch_size} must be a multiple of "
            f"metric.images_per_artist={group}, at least twice that"
        )
    counts = np.sum([dataset.artist_counts(split) for split in splits], axis=0)
    steps = int((counts // group).sum()) // (batch_size // group)
    if not steps:
        groups = f" in groups of {group} by one artist" if group > 1 else ""
        raise UserError(
            f"{dataset.records_dir} holds {dataset.num_examples(*splits)} "
            f"{' and '.join(splits)} pictures, fewer than one batch{groups}: lower "
            f"train.batch_size from {batch_size}"
        )
    return steps


def shuffle_buffer() -> int:
    """Return the size of the shuffle buffer, a part of the order of training."""
    try:
        return gin.query_parameter("train_batches.shuffle_buffer")
    except ValueError:  # not bound
        return _SHUFFLE_BUFFER


def eval_batches(
    dataset: Dataset, splits: Sequence[str], batch_size: int
) -> tf.data.Dataset:
    """Make batches with every example once, in the order of the records.

    Args:
        dataset: the records.
        splits: the splits to read, one after the other.
        batch_size: pictures per batch; the last batch is filled up with black ones.

    Returns:
        {"image": uint8 [batch_size, size, size, 3], "artist": int64 [batch_size],
        "filename": string [batch_size], "mask": float32 [batch_size]}; the mask is
        1 for an example and 0 for filling (artist 0, no filename).

    Raises:
        UserError: the splits hold no example.
    """
    num_examples = dataset.num_examples(*splits)
    if not num_examples:
        raise UserError(
            f"{dataset.records_dir} has no {' or '.join(splits)} pictures: make"
            " records with some (see --test_fraction, --min_test_images and"
            " --holdout_artists of tools/make_tfrecords.py)"
        )
    examples = tf.data.TFRecordDataset(dataset.shard_paths(*splits)).map(
        lambda example: _decode(example, dataset.image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    filling = tf.data.Dataset.from_tensors(
        {
            "image": tf.zeros([dataset.image_size, dataset.image_size, 3], tf.uint8),
            "artist": tf.constant(0, tf.int64),
            "filename": tf.constant(""),
            "mask": tf.constant(0.0),
        }
    ).repeat(-num_examples % batch_size)
    batches = examples.concatenate(filling).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def read_pictures(
    dataset: Dataset, splits: Sequence[str], positions: Sequence[int]
) -> np.ndarray:
    """Read a few pictures by their place among those of `eval_batches`.

    Args:
        dataset: the records.
        splits: as given to `eval_batches`.
        positions: places, from 0 on, in any order.

    Returns:
        uint8 [len(positions), size, size, 3], RGB.
    """
    shards = [shard for split in splits for shard in dataset.shards[split]]
    ends = np.cumsum([shard.examples for shard in shards])
    paths = dataset.shard_paths(*splits)
    pictures = np.empty(
        [len(positions), dataset.image_size, dataset.image_size, 3], np.uint8
    )
    for row, position in enumerate(positions):
        number = int(np.searchsorted(ends, position, side="right"))
        offset = position - (ends[number] - shards[number].examples)
        examples = tf.data.TFRecordDataset(paths[number]).skip(offset).take(1)
        (serialized,) = examples
        pictures[row] = _decode(serialized, dataset.image_size)["image"]
    return pictures


def check_image_size(dataset: Dataset, image_size: int) -> None:
    """Raise UserError unless the records' pictures have the size wanted.

    Args:
        dataset: the records.
        image_size: what the networks are configured for.
    """
    if dataset.image_size != image_size:
        raise UserError(
            f"the pictures of {dataset.records_dir} are {dataset.image_size} pixels"
            f" wide, the configuration wants {image_size}: set train.image_size ="
            f" {dataset.image_size}, or make records with tools/make_tfrecords.py"
            f" --image_size={image_size}"
        )


@contextlib.contextmanager
def naming_bad_records(dataset: Dataset, *splits: str) -> Iterator[None]:
    """Turn TensorFlow's error about a damaged record into one that names its shard.

    tf.data says neither file nor example when a record cannot be read, parsed or
    decoded. Only then are the shards of `splits` searched; another error passes.

    Args:
        dataset: the records that the code inside reads.
        *splits: those of its splits that are read.

    Raises:
        UserError: in place of the error, when there is such a record.
    """
    try:
        yield
    except _DATA_ERRORS as error:
        bad = find_bad_record(dataset, *splits)
        if bad is None:
            raise
        raise UserError(bad) from error


def find_bad_record(dataset: Dataset, *splits: str) -> str | None:
    """Return what is wrong with the first damaged record of `splits`, or None."""
    for path in dataset.shard_paths(*splits):
        examples = tf.data.TFRecordDataset(path).map(
            lambda example: _decode(example, dataset.image_size),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        number = 0
        try:
            for _ in examples.with_options(_options()):
                number += 1
        except _DATA_ERRORS as error:
            if isinstance(error, UnicodeDecodeError):
                reason = "not a tf.train.Example"
            else:
                # Without the names of graph nodes around it.
                message = error.message.split("\n")[0]
                reason = re.sub(r"\{\{.*?\}\}|\[(Op:|\[).*", "", message).strip()
            return (
                f"record {number} of {path} is damaged ({reason}): copy that file"
                " again, or make the records again with tools/make_tfrecords.py"
                " --overwrite"
            )
    return None


# Apart from `train_batches`, because gin lengthens the errors raised inside.
@gin.configurable("train_batches", allowlist=["shuffle_buffer", "parallelism"])
def endless_batches(
    dataset: Dataset,
    splits: Sequence[str],
    batch_size: int,
    seed: int,
    start_step: int,
    group: int,
    shuffle_buffer: int = _SHUFFLE_BUFFER,
    parallelism: int = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    """Do what `train_batches` says; bound in gin by that name."""
    paths = dataset.shard_paths(*splits)
    epoch_steps = steps_per_epoch(dataset, splits, batch_size, group)
    first_epoch, first_step = divmod(start_step, epoch_steps)

    def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # tf.data mixes the graph's seed into its own seeds. Fixed here, in the graph
        # of this function, it keeps tf.random.set_seed from changing the order.
        tf.compat.v1.get_default_graph().seed = 1
        seeds = tf.random.experimental.stateless_split([seed, epoch], 2)
        files = tf.data.Dataset.from_tensor_slices(
            tf.random.experimental.stateless_shuffle(paths, seeds[0])
        )
        # Examples were shuffled over all files when they were written.
        examples = files.interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(_FILES_AT_ONCE, len(paths)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        examples = examples.shuffle(
            shuffle_buffer, seed=seeds[1, 0], reshuffle_each_iteration=False
        )
        if group > 1:
            examples = examples.group_by_window(
                lambda example: records.parse_example(example)["label"],
                lambda _, examples: examples.batch(group, drop_remainder=True),
                window_size=group,
            )
        per_step = batch_size // group
        seen = tf.where(epoch == first_epoch, first_step * per_step, 0)
        examples = examples.take(epoch_steps * per_step)
        examples = examples.skip(tf.cast(seen, tf.int64))
        return examples.unbatch() if group > 1 else examples

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    # One epoch at a time keeps their order; unlike flat_map, interleave fills the
    # next epoch's buffer before this epoch ends.
    examples = epochs.interleave(read_epoch, cycle_length=1, num_parallel_calls=1)

    def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = _decode(serialized, dataset.image_size)
        return {"image": example["image"], "artist": example["artist"]}

    batches = examples.map(decode, num_parallel_calls=parallelism)
    batches = batches.batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def _decode(serialized: tf.Tensor, image_size: int) -> dict[str, tf.Tensor]:
    example = records.parse_example(serialized)
    # It decodes PNG as well. TensorFlow's default for JPEG, and the only choice of
    # decode_image, is a coarse transform that is off by up to 20 grey levels.
    image = tf.io.decode_jpeg(example["encoded"], 3, dct_method="INTEGER_ACCURATE")
    return {
        "image": tf.ensure_shape(image, [image_size, image_size, 3]),
        "artist": example["label"],
        "filename": example["filename"],
        "mask": tf.constant(1.0),
    }


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # By file, replicas of several machines would get unequal numbers of examples.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return options
