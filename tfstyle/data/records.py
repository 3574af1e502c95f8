"""Records: the description of a folder of examples, and checks of its files.

A records folder holds the shards `SPLIT-00000-of-000NN.tfrecord`, `skipped.tsv` (the
skipped files, with the reason) and `dataset.json`, which describes them all. The
latter is written last: a folder without it is incomplete.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tfstyle.core import files, typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import format_count
from tfstyle.core.paths import quote
from tfstyle.data.collections.splits import ARTIST_SPLITS, SPLITS, Artist
from tfstyle.data.examples import FORMATS, Example, read_example
from tfstyle.data.pictures import FITS

FORMAT_VERSION = 1
INDEX_FILE = "dataset.json"
SKIPPED_FILE = "skipped.tsv"
COLOR = re.compile("#[0-9a-fA-F]{6}")  # behind transparent pixels
_INVISIBLE = re.compile(r"[^\n -~]")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of a split.

    Attributes:
        file: its name.
        examples: the number of its examples.
        bytes: its size.
        first: sha256 of its first record, by which the file is recognized; None in
            older records.
    """

    file: str
    examples: int
    bytes: int
    first: str | None = None


@dataclasses.dataclass(frozen=True)
class Rights:
    """Pictures under one licence, by one creator; "" if a manifest does not tell."""

    licence: str
    creator: str
    pictures: int


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
        split_digest: sha256 over names and splits; None in older records.
        contents: what works show, by content label; empty if unknown.
        rights: licences and creators; empty if unknown.
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
    split_digest: str | None = None
    contents: tuple[str, ...] = ()
    rights: tuple[Rights, ...] = ()

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
        artists = self.artists_of(split)
        return np.array([getattr(artist, split) for artist in artists], np.int64)

    def artists_of(self, split: str) -> tuple[Artist, ...]:
        """Return the artists whose pictures are in `split`."""
        _check_split(split)
        return self.holdout_artists if split == "holdout" else self.artists

    def num_examples(self, *splits: str) -> int:
        """Return the number of examples in all of `splits`."""
        return sum(shard.examples for shard in self._shards_of(splits))

    def shard_paths(self, *splits: str) -> list[str]:
        """Return the paths of the files of `splits`, in order."""
        return [
            str(pathlib.Path(self.records_dir, shard.file))
            for shard in self._shards_of(splits)
        ]

    def describe_mismatch(self, split: str, example: Example) -> str | None:
        """Describe how an example contradicts this description; None if it does not."""
        artists = self.artists_of(split)
        names = {artist.label: artist.name for artist in artists}
        if example.label not in names:
            labels = f"{min(names)} to {max(names)}" if names else "none"
            return (
                f"its label is {example.label}, but those of the {split} split are"
                f" {labels}"
            )
        if example.artist != names[example.label]:
            return (
                f"its artist is {example.artist!r}, but that of its label"
                f" {example.label} is {names[example.label]!r}"
            )
        size = self.image_size
        if (example.height, example.width) != (size, size):
            return (
                f"its picture is {example.width}x{example.height} pixels, not"
                f" {size}x{size}"
            )
        if example.format not in FORMATS:
            return f"its format is {example.format!r}, not {' or '.join(FORMATS)}"
        return None

    def list_shards(self) -> list[tuple[str, Shard, str]]:
        """Return each file with its split and path."""
        return [
            (split, shard, str(pathlib.Path(self.records_dir, shard.file)))
            for split in SPLITS
            for shard in self.shards[split]
        ]

    def _shards_of(self, splits: Iterable[str]) -> list[Shard]:
        return [shard for split in splits for shard in self.shards[_check_split(split)]]


def format_shard_name(split: str, number: int, count: int) -> str:
    """Return the name of a file of a split that has `count` files."""
    return f"{split}-{number:05d}-of-{count:05d}.tfrecord"


def read_dataset(records_dir: str) -> Dataset:
    """Read the description of a records folder, and check that its files fit it.

    Of each file the size and the first example are checked; `inspection` checks all.

    Raises:
        UserError: the folder is missing, incomplete or corrupt, or its format is of
            another version.
    """
    dataset = read_description(records_dir)
    for _, problem in find_wrong_files(dataset):
        raise UserError(
            f"{problem}: copy it again, or {_advise(records_dir)} --overwrite"
        )
    return dataset


def read_description(records_dir: str) -> Dataset:
    """Read the description of a records folder without looking at its other files.

    Raises:
        UserError: as `read_dataset`.
    """
    path = pathlib.Path(records_dir, INDEX_FILE)
    advice = _advise(records_dir)
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
    except ValueError as error:
        raise UserError(
            f"{path} is corrupt or not a tfstyle {INDEX_FILE} ({error}): choose"
            f" another folder, or delete it and {advice} --overwrite"
        ) from None
    if dataset is None:
        raise UserError(
            f"{path} has format_version {version!r}, this tfstyle reads"
            f" {FORMAT_VERSION}: {advice} --overwrite"
        )
    contradiction = _find_contradiction(dataset)
    if contradiction:
        raise UserError(
            f"{path} is corrupt ({contradiction}): copy it again, or {advice}"
            " --overwrite"
        )
    return dataset


def describe_shard(path: pathlib.Path, examples: int) -> Shard:
    """Return the description of a file of so many examples."""
    first = hashlib.sha256(_read_first_record(path)).hexdigest()
    return Shard(path.name, examples, path.stat().st_size, first)


def find_wrong_files(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Find files that are not those of the description, by size and first record.

    Yields:
        The path of a file, and what is wrong with it, path included.
    """
    for split, shard, path in dataset.list_shards():
        if not pathlib.Path(path).is_file():
            yield path, f"{path} is missing"
            continue
        size = pathlib.Path(path).stat().st_size
        if size != shard.bytes:
            yield (
                path,
                f"{path} has {format_count(size, 'byte')}, expected {shard.bytes}",
            )
            continue
        try:
            first = _read_first_record(path)
            example = read_example(first)
        except (OSError, ValueError) as error:
            yield path, f"{path} is corrupt (its first record: {error})"
            continue
        mismatch = dataset.describe_mismatch(split, example)
        if shard.first not in (None, hashlib.sha256(first).hexdigest()):
            mismatch = f"{example.filename!r} is not the expected one"
        if mismatch:
            yield path, f"{path} is another file (its first record: {mismatch})"


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
    content = files.read_bytes(path).decode("utf-8", "surrogateescape")
    try:
        index = json.loads(content)
    except RecursionError as error:
        raise ValueError(str(error)) from None
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
    # Readable names, but escapes for bytes that are not UTF-8 and invisible characters.
    text = json.dumps(index, ensure_ascii=False, indent=1)
    path.write_text(_INVISIBLE.sub(_escape, text), "utf-8")


def _escape(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


def _advise(records_dir: str) -> str:
    return (
        "make records with: python tools/make_tfrecords.py --input_dir=PICTURES"
        f" --output_dir={quote(records_dir)}"
    )


def _find_contradiction(dataset: Dataset) -> str | None:
    """Describe what in a description cannot be true."""
    if dataset.image_size < 1:
        return f"its image_size is {dataset.image_size!r}"
    if dataset.fit not in FITS:
        return f"its fit is {dataset.fit!r}"
    if not COLOR.fullmatch(dataset.background):
        return f"its background is {dataset.background!r}"
    artists = [*dataset.artists, *dataset.holdout_artists]
    if [artist.label for artist in artists] != list(range(len(artists))):
        return "its labels are not 0, 1, .. in order"
    if len({artist.name for artist in artists}) < len(artists):
        return "it lists an artist twice"
    for split in SPLITS:
        if (dataset.artist_counts(split) < 0).any():
            return f"an artist has fewer than 0 {split} pictures"
        shards = dataset.shards[split]
        for number, shard in enumerate(shards):
            if shard.file != format_shard_name(split, number, len(shards)):
                return f"its {split} split has a file {shard.file!r}"
        pictures = int(dataset.artist_counts(split).sum())
        examples = dataset.num_examples(split)
        if pictures != examples or any(shard.examples < 1 for shard in shards):
            counted = format_count(pictures, f"{split} picture")
            return f"its artists have {counted}, but its {split} files {examples}"
    return None


def _read_first_record(path: str | os.PathLike[str]) -> bytes:
    with pathlib.Path(path).open("rb") as file:
        # The length of the record, with a checksum.
        (length,) = struct.unpack("<Q4x", file.read(12).ljust(12, b"\0"))
        if not 0 < length < os.fstat(file.fileno()).st_size:
            raise ValueError("not a record")
        return file.read(length)


def _from_json(records_dir: str, index: Mapping[str, Any]) -> Dataset:
    dataset = typed.convert(Dataset, {**index, "records_dir": records_dir})
    shards = {split: dataset.shards.get(split, ()) for split in SPLITS}
    return dataclasses.replace(dataset, shards=shards)


def _check_split(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    return split
