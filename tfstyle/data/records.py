"""Records: the schema of an example, and the description of a records folder.

A records folder holds the shards `SPLIT-00000-of-000NN.tfrecord`, `skipped.tsv` (the
skipped files, with the reason) and `dataset.json`, which describes them all. The
latter is written last: a folder without it is incomplete.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.core.paths import quote
from tfstyle.data.collections.sources import Source
from tfstyle.data.collections.splits import ARTIST_SPLITS, SPLITS, Artist
from tfstyle.data.pictures import Conversion

FORMAT_VERSION = 1
INDEX_FILE = "dataset.json"
SKIPPED_FILE = "skipped.tsv"

# The names are TensorFlow's conventions for image examples.
_FEATURES = {
    "image/encoded": tf.string,
    "image/format": tf.string,
    "image/height": tf.int64,
    "image/width": tf.int64,
    "image/filename": tf.string,
    "image/class/label": tf.int64,
    "image/class/text": tf.string,
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of a split: its name, number of examples and size in bytes."""

    file: str
    examples: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A complete records folder; all fields but the first are those of dataset.json.

    Attributes:
        records_dir: the folder.
        image_size: side of every picture, in pixels.
        fit: how source pictures became square (`pictures.to_square_rgb`).
        background: "#rrggbb", the color behind transparent pixels.
        artists: the artists of train and test; artists[i].label is i.
        holdout_artists: the held-out artists; their labels continue after `artists`.
        shards: the files of each split.
        skipped: number of skipped files by reason.
        settings: what the records were made from (`record_writer.make_settings`).
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
        """The names of the artists of train and test, by label."""
        return [artist.name for artist in self.artists]

    @property
    def test_split(self) -> str:
        """The split to measure on: "test", or "train" if there are no test pictures."""
        return "test" if self.num_examples("test") else "train"

    @property
    def has_validation(self) -> bool:
        """Whether choices can be made without looking at test pictures."""
        return self.num_examples("validation") > 0

    @property
    def validation_split(self) -> str:
        """The split to choose by; `test_split` in records without validation."""
        return "validation" if self.has_validation else self.test_split

    def artist_counts(self, split: str) -> np.ndarray:
        """Return int64 [N], the number of pictures per artist in `split`.

        N is the number of held-out artists for "holdout", otherwise that of `artists`.
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
            str(pathlib.Path(self.records_dir, shard.file))
            for shard in self._shards_of(splits)
        ]

    def _shards_of(self, splits: Iterable[str]) -> list[Shard]:
        return [shard for split in splits for shard in self.shards[_check_split(split)]]


def serialize_example(
    encoded: bytes, source: Source, label: int, conversion: Conversion
) -> bytes:
    """Serialize one record as a tf.train.Example.

    Args:
        encoded: the converted picture as a JPEG or PNG file.
        source: where it comes from.
        label: the artist's label.
        conversion: how it was converted.
    """
    size, image_format = conversion.image_size, conversion.format.encode()
    filename, artist = os.fsencode(source.name), os.fsencode(source.artist)
    values = (encoded, image_format, size, size, filename, label, artist)
    example = tf.train.Example()
    for (name, dtype), value in zip(_FEATURES.items(), values, strict=True):
        feature = example.features.feature[name]
        kind = feature.bytes_list if dtype == tf.string else feature.int64_list
        kind.value.append(value)
    return example.SerializeToString(deterministic=True)


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parse one serialized record (string []) without decoding its picture.

    Returns:
        Scalars: `encoded` (string, a JPEG or PNG file), `format` (string), `height`
        and `width` (int64), `filename` (string), `label` (int64), `text` (string,
        the artist's name).
    """
    features = tf.io.parse_single_example(
        serialized,
        {name: tf.io.FixedLenFeature([], dtype) for name, dtype in _FEATURES.items()},
    )
    return {name.rsplit("/", 1)[1]: value for name, value in features.items()}


def read_dataset(records_dir: str) -> Dataset:
    """Read the description of a records folder and check that its files are complete.

    Raises:
        UserError: the folder is missing, incomplete or corrupt, or its format is of
            another version.
    """
    path = pathlib.Path(records_dir, INDEX_FILE)
    advice = (
        "make records with: python tools/make_tfrecords.py --input_dir=PICTURES"
        f" --output_dir={quote(records_dir)}"
    )
    if not path.parent.is_dir():
        raise UserError(f"there is no records folder {records_dir}: {advice}")
    if not path.is_file():
        raise UserError(
            f"{records_dir} has no {INDEX_FILE}, so it is incomplete or not a records"
            f" folder: {advice}"
        )
    try:
        index = load_index(path)
        version = index.pop("format_version")
        dataset = _from_json(records_dir, index) if version == FORMAT_VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is corrupt or not a tfstyle {INDEX_FILE} ({error!r}): choose"
            f" another folder, or delete it and {advice} --overwrite"
        ) from None
    if dataset is None:
        raise UserError(
            f"{path} has format_version {version!r}, this tfstyle reads"
            f" {FORMAT_VERSION}: {advice} --overwrite"
        )
    for shard in dataset._shards_of(SPLITS):
        path = pathlib.Path(records_dir, shard.file)
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            state = "is missing" if size is None else f"has {size} bytes"
            raise UserError(
                f"{path} {state}, expected {shard.bytes} bytes: copy it again, or"
                f" {advice} --overwrite"
            )
    return dataset


def find_dataset(records_dir: str, settings: Mapping[str, Any]) -> Dataset | None:
    """Return the complete dataset in `records_dir` if it was made with `settings`."""
    try:
        dataset = read_dataset(records_dir)
    except UserError:
        return None
    return dataset if dataset.settings == settings else None


def load_index(path: pathlib.Path) -> dict[str, Any]:
    """Return the content of a dataset.json.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not describe records.
    """
    index = json.loads(path.read_text("utf-8", "surrogateescape"))
    if not (isinstance(index, dict) and {"format_version", "shards"} <= index.keys()):
        raise ValueError("no format_version or no shards")
    return index


def write_index(path: pathlib.Path, dataset: Dataset) -> None:
    """Write the dataset.json of a dataset."""
    index = {"format_version": FORMAT_VERSION, **dataclasses.asdict(dataset)}
    del index["records_dir"]
    for artist in index["artists"]:
        del artist["holdout"]
    for artist in index["holdout_artists"]:
        for split in ARTIST_SPLITS:
            del artist[split]
    text = json.dumps(index, ensure_ascii=False, indent=1)
    path.write_text(text, "utf-8", "surrogateescape")


def _from_json(records_dir: str, index: Mapping[str, Any]) -> Dataset:
    fields = dict(index)
    for name in ("artists", "holdout_artists"):
        fields[name] = tuple(Artist(**artist) for artist in index[name])
    fields["shards"] = {
        split: tuple(Shard(**shard) for shard in index["shards"].get(split, ()))
        for split in SPLITS
    }
    return Dataset(records_dir=records_dir, **fields)


def _check_split(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    return split
