"""Batches from records: shuffled and endless for training, in order for evaluation.

Pictures stay uint8 RGB here; the graph of the training step converts them to Lab. A
training batch is a function of (seed, step) alone, so a resumed run sees exactly the
batches that an uninterrupted run would have seen.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import encode, format_count
from tfstyle.core.paths import for_tensorflow
from tfstyle.core.typed import OneOf, Range
from tfstyle.data import inspection
from tfstyle.data.examples import parse_example
from tfstyle.data.records import Dataset

EVAL_BATCH_SIZE = 32
# What TensorFlow raises for a corrupt record. Its message about a record that it cannot
# parse contains the record's bytes, which Python then fails to decode.
_DATA_ERRORS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,  # another number of records
    UnicodeDecodeError,
)
_MAX_OPEN_FILES = 8  # read in turn; affects the training order, so not a setting


@gin.configurable("train_batches")
@dataclasses.dataclass(frozen=True)
class PipelineSettings:
    """Settings of the training pipeline; bound in gin as `train_batches.NAME`.

    Attributes:
        shuffle_buffer: undecoded records to draw from. It affects the training order.
        parallelism: threads that decode; -1 lets tf.data choose.
    """

    shuffle_buffer: Annotated[int, Range(1, 1e9)] = 4096
    parallelism: Annotated[int, Range(1, 1024)] | Annotated[int, OneOf((-1,))] = (
        tf.data.AUTOTUNE
    )

    def __post_init__(self) -> None:
        typed.check_fields(self, "train_batches")


@dataclasses.dataclass(frozen=True)
class Share:
    """The rows of each training batch that a process trains on, in their order."""

    index: int = 0  # of the process
    count: int = 1  # number of processes
    devices: int = 1  # of the process; the share comes in a batch for each


def train_batches(
    dataset: Dataset,
    splits: Sequence[str],
    batch_size: int,
    seed: int,
    start_step: int = 0,
    images_per_artist: int | None = None,
    share: Share = Share(),
) -> tf.data.Dataset:
    """Make the endless training batches from step `start_step` on.

    Each epoch has `steps_per_epoch` batches in an order that depends on (seed, epoch)
    only; the remainder is dropped. `PipelineSettings` come from gin.

    Args:
        dataset: the records.
        splits: the splits to train on, such as ("train",).
        batch_size: pictures per step, over all replicas.
        seed: determines the order.
        start_step: the step of the first batch; the records of earlier steps of its
            epoch are skipped without decoding.
        images_per_artist: K, to compose batches of groups of K pictures by the same
            artist, for losses on pairs. Artists occur in proportion to their pictures,
            so an artist may fill several groups of a batch. In each epoch, the pictures
            of an artist that fill no group are skipped.
        share: of several processes that divide each batch, of equal shares; others'
            rows are not decoded.

    Returns:
        {"image": uint8 [rows, size, size, 3], "artist": int64 [rows]}; rows is
        batch_size, or what a device of a share takes of it.

    Raises:
        UserError: as `steps_per_epoch`.
    """
    settings = PipelineSettings()
    group_size = images_per_artist or 1
    epoch_steps = steps_per_epoch(dataset, splits, batch_size, images_per_artist)
    groups_per_step = batch_size // group_size
    first_epoch, first_step = divmod(start_step, epoch_steps)
    # Not in the function that TensorFlow traces, and warns about.
    paths = [for_tensorflow(path) for path in dataset.shard_paths(*splits)]
    total = dataset.num_examples(*splits)
    artists = _artists_by_label(dataset, splits)

    def read_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        examples = _shuffle_examples(paths, total, seed, epoch, settings.shuffle_buffer)
        if group_size > 1:
            examples = _group_by_artist(examples, group_size)
        num_seen = tf.where(epoch == first_epoch, first_step * groups_per_step, 0)
        examples = examples.take(epoch_steps * groups_per_step)
        examples = examples.skip(tf.cast(num_seen, tf.int64))
        return examples.unbatch() if group_size > 1 else examples

    def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        example = _decode(serialized, dataset.image_size, artists)
        return {"image": example["image"], "artist": example["artist"]}

    epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
    # cycle_length=1 keeps the epochs in order. Unlike flat_map, interleave fills the
    # next epoch's buffer before this epoch ends.
    examples = epochs.interleave(read_epoch, cycle_length=1, num_parallel_calls=1)
    rows = batch_size // share.count
    if share.count > 1:
        begin = share.index * rows
        whole = examples.batch(batch_size, drop_remainder=True)
        examples = whole.map(lambda batch: batch[begin : begin + rows]).unbatch()
    batches = examples.map(decode, num_parallel_calls=settings.parallelism)
    batches = batches.batch(rows // share.devices, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def steps_per_epoch(
    dataset: Dataset,
    splits: Sequence[str],
    batch_size: int,
    images_per_artist: int | None = None,
) -> int:
    """Return the number of batches per epoch; arguments as for `train_batches`.

    Raises:
        UserError: the splits hold less than one batch, or `batch_size` is not a
            multiple of `images_per_artist` or holds only one group.
    """
    group_size = images_per_artist or 1
    if group_size > 1 and (batch_size % group_size or batch_size == group_size):
        raise UserError(
            f"train.batch_size={batch_size} must be a multiple of"
            f" metric.images_per_artist={group_size}, at least twice that"
        )
    counts = np.sum([dataset.artist_counts(split) for split in splits], axis=0)
    steps = int((counts // group_size).sum()) // (batch_size // group_size)
    if not steps:
        groups = f" in groups of {group_size} by one artist" if group_size > 1 else ""
        pictures = format_count(
            dataset.num_examples(*splits), f"{' and '.join(splits)} picture"
        )
        raise UserError(
            f"{dataset.records_dir} holds {pictures}, fewer than one batch{groups}:"
            f" lower train.batch_size from {batch_size}"
        )
    return steps


def eval_batches(
    dataset: Dataset, *splits: str, batch_size: int = EVAL_BATCH_SIZE
) -> tf.data.Dataset:
    """Make batches that hold every example of `splits` once, in the records' order.

    The last batch is padded with black pictures.

    Returns:
        {"image": uint8 [batch_size, size, size, 3], "artist": int64 [batch_size],
        "filename": string [batch_size], "mask": float32 [batch_size]}; the mask is
        1 for an example and 0 for padding (artist 0, no filename).

    Raises:
        UserError: the splits hold no example.
    """
    num_examples = dataset.num_examples(*splits)
    if not num_examples:
        raise UserError(
            f"{dataset.records_dir} has no {' or '.join(splits)} pictures: make"
            " records that have some (see --test_fraction, --min_test_images and"
            " --holdout_artists of tools/make_tfrecords.py)"
        )
    padding = tf.data.Dataset.from_tensors(
        {
            "image": tf.zeros([dataset.image_size, dataset.image_size, 3], tf.uint8),
            "artist": tf.constant(0, tf.int64),
            "filename": tf.constant(""),
            "mask": tf.constant(0.0),
        }
    ).repeat(-num_examples % batch_size)
    examples = _read_examples(dataset, splits)
    batches = examples.concatenate(padding).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(_options())


def read_pictures(
    dataset: Dataset, splits: Sequence[str], positions: Sequence[int]
) -> np.ndarray:
    """Read a few pictures by their positions in `eval_batches`.

    Returns:
        uint8 [len(positions), size, size, 3], RGB.

    Raises:
        UserError: a record is corrupt.
    """
    shards = [shard for split in splits for shard in dataset.shards[split]]
    starts = np.cumsum([0, *(shard.examples for shard in shards)])
    paths = dataset.shard_paths(*splits)
    artists = _artists_by_label(dataset, splits)
    pictures = np.empty(
        [len(positions), dataset.image_size, dataset.image_size, 3], np.uint8
    )
    with report_bad_records(lambda: dataset):
        for row, position in enumerate(positions):
            number = int(np.searchsorted(starts, position, side="right")) - 1
            examples = tf.data.TFRecordDataset(for_tensorflow(paths[number]))
            (serialized,) = examples.skip(position - starts[number]).take(1)
            pictures[row] = _decode(serialized, dataset.image_size, artists)["image"]
    return pictures


def read_content_labels(dataset: Dataset, split: str) -> np.ndarray:
    """Read what the works of a split show, without decoding pictures.

    Returns:
        int64 [n], content labels in the order of `eval_batches`; -1 where unknown.

    Raises:
        UserError: a record is corrupt.
    """
    paths = [for_tensorflow(path) for path in dataset.shard_paths(split)]
    examples = tf.data.TFRecordDataset(paths)
    labels = examples.map(lambda serialized: parse_example(serialized)["content_label"])
    with report_bad_records(lambda: dataset):
        return np.fromiter(labels.as_numpy_iterator(), np.int64)


def check_image_size(dataset: Dataset, image_size: int) -> None:
    """Raise UserError unless the records' pictures have side `image_size`."""
    if dataset.image_size != image_size:
        raise UserError(
            f"the pictures of {dataset.records_dir} are {dataset.image_size} pixels"
            f" wide, the configuration expects {image_size}: set train.image_size ="
            f" {dataset.image_size}, or make records with tools/make_tfrecords.py"
            f" --image_size={image_size}"
        )


@contextlib.contextmanager
def report_bad_records(open_dataset: Callable[[], Dataset]) -> Iterator[None]:
    """Replace TensorFlow's error about a corrupt record by one that names its shard.

    tf.data names neither file nor example when it cannot read, parse or decode a
    record. After such an error the dataset is opened and all its files are searched; if
    they are intact, the error passes unchanged.

    Raises:
        UserError: a record is corrupt.
    """
    try:
        yield
    except _DATA_ERRORS as error:
        fault = inspection.find_fault(open_dataset())
        if fault is None:
            raise
        raise UserError(
            f"{fault}: copy that file again, or make the records again with"
            " tools/make_tfrecords.py --overwrite (tools/inspect_tfrecords.py --verify"
            " lists all faults)"
        ) from error


def _shuffle_examples(
    paths: Sequence[str], total: int, seed: int, epoch: tf.Tensor, shuffle_buffer: int
) -> tf.data.Dataset:
    """Read all records of an epoch, serialized, in the epoch's order."""
    # tf.data mixes the graph's seed into its own seeds. Fixing it in the graph of the
    # calling tf.data function keeps tf.random.set_seed from changing the order.
    tf.compat.v1.get_default_graph().seed = 1
    seeds = tf.random.experimental.stateless_split([seed, epoch], 2)
    files = tf.data.Dataset.from_tensor_slices(
        tf.random.experimental.stateless_shuffle(paths, seeds[0])
    )
    # The records of each file are a random sample already (`splits.plan_splits`).
    examples = files.interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(_MAX_OPEN_FILES, len(paths)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    examples = examples.apply(tf.data.experimental.assert_cardinality(total))
    return examples.shuffle(
        shuffle_buffer, seed=seeds[1, 0], reshuffle_each_iteration=False
    )


def _group_by_artist(examples: tf.data.Dataset, group_size: int) -> tf.data.Dataset:
    """Batch serialized records in groups of one artist; drop incomplete groups."""
    return examples.group_by_window(
        lambda example: parse_example(example)["label"],
        lambda _, window: window.batch(group_size, drop_remainder=True),
        window_size=group_size,
    )


def _read_examples(dataset: Dataset, splits: Sequence[str]) -> tf.data.Dataset:
    """Read and decode the records of splits, in order."""
    artists = _artists_by_label(dataset, splits)
    total = dataset.num_examples(*splits)
    paths = [for_tensorflow(path) for path in dataset.shard_paths(*splits)]
    examples = tf.data.TFRecordDataset(paths)
    return examples.apply(tf.data.experimental.assert_cardinality(total)).map(
        lambda serialized: _decode(serialized, dataset.image_size, artists),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _artists_by_label(dataset: Dataset, splits: Sequence[str]) -> tf.Tensor:
    """Return the artist's name of each label; labels of other splits have no name."""
    names = [b"\0"] * (len(dataset.artists) + len(dataset.holdout_artists))
    for split in splits:
        for artist in dataset.artists_of(split):
            names[artist.label] = encode(artist.name)
    return tf.constant(names)


def _decode(
    serialized: tf.Tensor, image_size: int, artists: tf.Tensor
) -> dict[str, tf.Tensor]:
    example = parse_example(serialized)
    # A wrong label would train a wrong artist, or none, in silence.
    label = example["label"]
    matches = tf.reduce_any(artists[tf.maximum(label, 0) :][:1] == example["text"])
    right = tf.debugging.Assert(tf.logical_and(label >= 0, matches), [label])
    with tf.control_dependencies([right]):
        encoded = tf.identity(example["encoded"])
    # decode_jpeg decodes PNG as well. TensorFlow's default for JPEG, and the only
    # choice of decode_image, is a coarse transform with errors of up to 20 gray levels.
    image = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
    return {
        "image": tf.ensure_shape(image, [image_size, image_size, 3]),
        "artist": example["label"],
        "filename": example["filename"],
        "mask": tf.constant(1.0),
    }


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Sharding by file would give the machines unequal numbers of examples.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return options
