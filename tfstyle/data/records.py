"""Records: what an example holds, and how a folder of records is written and read.

A records folder holds the shards `SPLIT-00000-of-000NN.tfrecord`, `skipped.tsv` (the
pictures left out, with the reason) and `dataset.json`, which describes them all. That
file is written last: a folder without it is unfinished.
"""

import collections
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.core import folders
from tfstyle.core.cli import UserError
from tfstyle.data.conversion_pool import Progress, convert_all
from tfstyle.data.pictures import Conversion
from tfstyle.data.splits import (
    SPLITS,
    Artist,
    Source,
    SplitPlan,
    SplitRule,
    plan_splits,
    require_enough_pictures,
    sign_sources,
)

FORMAT_VERSION = 1

_INDEX_FILE = "dataset.json"
_SKIPPED_FILE = "skipped.tsv"
_OWN_FILE = re.compile(
    rf"({'|'.join(SPLITS)})-\d+-of-\d+\.tfrecord|{_INDEX_FILE}|{_SKIPPED_FILE}"
)
_EXAMPLES_PER_SHARD = 2048  # about 80 MB at 256x256


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of a split: its name, its number of examples and its size."""

    file: str
    examples: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A finished records folder; its fields, but the first, are dataset.json's.

    Attributes:
        records_dir: the folder.
        image_size: side of every picture.
        fit: how source pictures were made square (`pictures.to_square_rgb`).
        background: "#rrggbb" behind transparent pixels.
        artists: those of train and test; artists[i].label is i.
        holdout_artists: those of holdout; their labels go on from there.
        shards: the files of each split.
        skipped: how many pictures were left out for each reason.
        settings: what the records were made with.
        digest: sha256 over names, labels and encoded pictures.
    """

    records_dir: str
    image_size: int
    fit: str
    background: str
    artists: tuple[Artist, ...]
    holdout_artists: tuple[Artist, ...]
    shards: dict[str, tuple[Shard, ...]]
    skipped: dict[str, int]
    settings: dict[str, Any]
    digest: str

    @property
    def artist_names(self) -> list[str]:
        """Names of the artists of train and test, by label."""
        return [artist.name for artist in self.artists]

    def artist_counts(self, split: str) -> np.ndarray:
        """Return int64 [N]: the pictures per artist in `split`.

        N counts the artists of train and test, or those held out for "holdout".
        """
        _check_split(split)
        artists = self.holdout_artists if split == "holdout" else self.artists
        return np.array([getattr(artist, split) for artist in artists], np.int64)

    def num_examples(self, *splits: str) -> int:
        """Return the number of examples in all of `splits`."""
        return sum(shard.examples for shard in self._shards_of(splits))

    def shard_paths(self, *splits: str) -> list[str]:
        """Return the paths of the files of `splits`, in order."""
        return [
            os.path.join(self.records_dir, shard.file)
            for shard in self._shards_of(splits)
        ]

    def _shards_of(self, splits: Iterable[str]) -> list[Shard]:
        return [shard for split in splits for shard in self.shards[_check_split(split)]]


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parse one record without decoding its picture.

    Args:
        serialized: string [], a tf.train.Example.

    Returns:
        Scalars: `encoded` (string, JPEG or PNG bytes), `format` (string), `height`
        and `width` (int64), `filename` (string), `label` (int64), `text` (string,
        the artist's name).
    """
    string = tf.io.FixedLenFeature([], tf.string)
    integer = tf.io.FixedLenFeature([], tf.int64)
    features = tf.io.parse_single_example(
        serialized,
        {
            "image/encoded": string,
            "image/format": string,
            "image/height": integer,
            "image/width": integer,
            "image/filename": string,
            "image/class/label": integer,
            "image/class/text": string,
        },
    )
    return {name.rsplit("/", 1)[1]: value for name, value in features.items()}


def read_dataset(records_dir: str) -> Dataset:
    """Read the description of a finished records folder and check its files.

    Args:
        records_dir: the folder.

    Raises:
        UserError: the folder is missing, unfinished, incomplete or of an unknown
            version.
    """
    path = os.path.join(records_dir, _INDEX_FILE)
    make_it = (
        "make records with `python tools/make_tfrecords.py --input_dir=PICTURES"
        f" --output_dir={records_dir}`"
    )
    if not os.path.isdir(records_dir):
        raise UserError(f"there is no records folder {records_dir}: {make_it}")
    if not os.path.isfile(path):
        raise UserError(
            f"{records_dir} has no {_INDEX_FILE}, so it is unfinished or holds"
            f" something else: {make_it}"
        )
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            index = json.load(file)
        version = index.pop("format_version")
        dataset = _from_json(records_dir, index) if version == FORMAT_VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged or of something else ({error!r}): choose another"
            f" folder, or delete it and {make_it} --overwrite"
        ) from None
    if dataset is None:
        raise UserError(
            f"{path} has format_version {version!r}, this tfstyle reads"
            f" {FORMAT_VERSION}: {make_it} --overwrite"
        )
    for shard in dataset._shards_of(SPLITS):
        path = os.path.join(records_dir, shard.file)
        size = os.path.getsize(path) if os.path.isfile(path) else None
        if size != shard.bytes:
            found = "is missing" if size is None else f"has {size} bytes"
            raise UserError(
                f"{path} {found}, should have {shard.bytes}: copy it again, or"
                f" {make_it} --overwrite"
            )
    return dataset


def make_settings(
    sources: Sequence[Source], conversion: Conversion, rule: SplitRule, num_shards: int
) -> dict[str, Any]:
    """Return what decides the content of the records, for `dataset.json`."""
    return {
        **dataclasses.asdict(conversion),
        **dataclasses.asdict(rule),
        "num_shards": num_shards,
        "sources": sign_sources(sources),
    }


def find_dataset(records_dir: str, settings: dict[str, Any]) -> Dataset | None:
    """Return the finished dataset of `records_dir` if it was made with `settings`."""
    try:
        dataset = read_dataset(records_dir)
    except UserError:
        return None
    return dataset if dataset.settings == settings else None


def write_dataset(
    records_dir: str,
    sources: Sequence[Source],
    conversion: Conversion,
    rule: SplitRule | None = None,
    *,
    num_shards: int = 0,
    num_workers: int = 1,
    max_skipped_fraction: float = 0.1,
    skipped: Iterable[tuple[str, str]] = (),
    overwrite: bool = False,
    progress: Progress = lambda activity, done, total: None,
) -> Dataset:
    """Convert pictures, divide them into splits and write them as records.

    The same sources and settings give the same bytes, whatever `num_workers`. On
    any failure `records_dir` is left as it was.

    Args:
        records_dir: the folder to write, made if necessary.
        sources: the pictures.
        conversion: how they become the pictures of the records.
        rule: how they are divided; default `SplitRule()`.
        num_shards: files per split, not more than it has examples; 0 makes one for
            every 2,048 examples.
        num_workers: processes that convert pictures; 1 converts in this one. With
            more, the calling script needs a `__name__ == "__main__"` guard.
        max_skipped_fraction: the write fails when more of the pictures than this
            cannot be used.
        skipped: (name, reason) of files that were left out before.
        overwrite: replace the records that `records_dir` holds. A dataset.json that
            is none of records is never replaced.
        progress: called as progress(activity, done, total).

    Raises:
        UserError: `records_dir` cannot be written or holds something else, too many
            pictures cannot be used, too few artists are left, or `num_shards` exceeds
            the pictures.
    """
    rule = rule or SplitRule()
    if num_shards > len(sources):
        raise UserError(
            f"a shard holds at least a picture, but there are {len(sources)}: lower"
            f" --num_shards={num_shards}"
        )
    _refuse_foreign_index(records_dir)
    settings = make_settings(sources, conversion, rule, num_shards)
    left_out = list(skipped)
    require_enough_pictures(sources, rule)
    counts = collections.Counter(source.artist for source in sources)
    candidates = []
    for source in sorted(sources, key=lambda source: source.name):
        if counts[source.artist] >= rule.min_images_per_artist:
            candidates.append(source)
        else:  # however many of them turn out to be usable
            left_out.append((source.name, "artist_under_minimum"))

    with folders.written_whole(
        records_dir, own_files=_OWN_FILE, last=_INDEX_FILE, overwrite=overwrite
    ) as partial_dir:
        # The pictures wait in one file between the two passes: what an example is
        # depends on all pictures (duplicates, counts), and decoding the originals
        # twice takes far longer than reading this back in another order.
        spool_path = os.path.join(partial_dir, "spool")
        usable, extents, contents = [], [0], []
        with open(spool_path, "wb") as spool:
            for source, encoded in convert_all(
                candidates, conversion, num_workers, max_skipped_fraction, progress
            ):
                if isinstance(encoded, bytes):
                    usable.append(source)
                    extents.append(extents[-1] + spool.write(encoded))
                    contents.append(hashlib.sha256(encoded).hexdigest())
                else:
                    left_out.append((source.name, encoded.reason))
        reasons = [reason for _, reason in left_out]
        plan = plan_splits(usable, contents, rule, reasons)
        left_out += [(usable[index].name, reason) for index, reason in plan.dropped]
        copies = {usable[i].name: usable[j].name for i, j in plan.copies.items()}

        labels = {a.name: a.label for a in (*plan.artists, *plan.holdout_artists)}
        with open(spool_path, "rb") as spooled:

            def read_example(index: int) -> bytes:
                spooled.seek(extents[index])
                return _serialize(
                    spooled.read(extents[index + 1] - extents[index]),
                    usable[index],
                    labels[usable[index].artist],
                    conversion,
                )

            shards = _write_shards(
                partial_dir, plan, num_shards, read_example, progress
            )
        os.remove(spool_path)
        digest = _digest(
            (usable[index].name, labels[usable[index].artist], contents[index])
            for split in SPLITS
            for index in plan.examples[split]
        )
        dataset = Dataset(
            records_dir=records_dir,
            image_size=conversion.image_size,
            fit=conversion.fit,
            background=conversion.background,
            artists=plan.artists,
            holdout_artists=plan.holdout_artists,
            shards=shards,
            skipped=dict(sorted(collections.Counter(r for _, r in left_out).items())),
            settings=settings,
            digest=digest,
        )
        _write_skipped(os.path.join(partial_dir, _SKIPPED_FILE), left_out, copies)
        _write_index(os.path.join(partial_dir, _INDEX_FILE), dataset)
    return dataset


def _refuse_foreign_index(records_dir: str) -> None:
    path = os.path.join(records_dir, _INDEX_FILE)
    if not os.path.lexists(path):
        return
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            index = json.load(file)
    except (OSError, ValueError):
        index = None
    if not (isinstance(index, dict) and {"format_version", "shards"} <= index.keys()):
        raise UserError(
            f"{path} is damaged or of something else, and is left alone: choose another"
            " folder, or delete it"
        )


def _check_split(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    return split


def _write_shards(
    folder: str,
    plan: SplitPlan,
    num_shards: int,
    read_example: Callable[[int], bytes],
    progress: Progress,
) -> dict[str, tuple[Shard, ...]]:
    shards: dict[str, tuple[Shard, ...]] = {}
    total = sum(map(len, plan.examples.values()))
    done = 0
    for split, examples in plan.examples.items():
        wanted = num_shards or -(-len(examples) // _EXAMPLES_PER_SHARD)
        number = min(wanted, len(examples))
        written = []
        for shard in range(number):
            file = f"{split}-{shard:05d}-of-{number:05d}.tfrecord"
            path = os.path.join(folder, file)
            begin = shard * len(examples) // number
            end = (shard + 1) * len(examples) // number
            try:
                with tf.io.TFRecordWriter(path) as writer:
                    for index in examples[begin:end]:
                        writer.write(read_example(index))
                        done += 1
                        progress("writing", done, total)
            except tf.errors.OpError as error:
                raise UserError(f"cannot write {path}: {error.message}") from None
            written.append(Shard(file, end - begin, os.path.getsize(path)))
        shards[split] = tuple(written)
    return shards


def _serialize(
    encoded: bytes, source: Source, label: int, conversion: Conversion
) -> bytes:
    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    def string(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    features = {
        "image/encoded": string(encoded),
        "image/format": string(conversion.format.encode()),
        "image/height": integer(conversion.image_size),
        "image/width": integer(conversion.image_size),
        "image/filename": string(os.fsencode(source.name)),
        "image/class/label": integer(label),
        "image/class/text": string(os.fsencode(source.artist)),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _digest(examples: Iterable[tuple[str, int, str]]) -> str:
    digest = hashlib.sha256()
    for name, label, content in sorted(examples):
        digest.update(os.fsencode(f"{name}\t{label}\t{content}\n"))
    return digest.hexdigest()


def _write_skipped(
    path: str, left_out: Sequence[tuple[str, str]], copies: Mapping[str, str]
) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("path\treason\tcopy\n")
        for name, reason in sorted(left_out):
            cells = (name, reason, copies.get(name, ""))
            file.write("\t".join(re.sub(r"[\t\r\n]", " ", one) for one in cells))
            file.write("\n")


def _write_index(path: str, dataset: Dataset) -> None:
    index = {"format_version": FORMAT_VERSION, **dataclasses.asdict(dataset)}
    del index["records_dir"]
    for artist in index["artists"]:
        del artist["holdout"]
    for artist in index["holdout_artists"]:
        del artist["train"], artist["test"]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(index, file, ensure_ascii=False, indent=1)


def _from_json(records_dir: str, index: dict[str, Any]) -> Dataset:
    return Dataset(
        records_dir=records_dir,
        **{
            **index,
            "artists": tuple(Artist(**a) for a in index["artists"]),
            "holdout_artists": tuple(Artist(**a) for a in index["holdout_artists"]),
            "shards": {
                split: tuple(Shard(**s) for s in index["shards"].get(split, ()))
                for split in SPLITS
            },
        },
    )
