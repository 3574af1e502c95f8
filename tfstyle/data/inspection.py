"""Read records one by one: what they hold, and where they are corrupt.

`tf.data` stops at the first corrupt record and names neither its file nor its place.
This module goes on, and names both.
"""

import collections
import dataclasses
import pathlib
import re
import struct
from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf

from tfstyle.core.cli import summarize_error
from tfstyle.core.names import format_count
from tfstyle.core.paths import for_tensorflow
from tfstyle.data.collections.splits import SPLITS
from tfstyle.data.examples import (
    Example,
    compute_digest,
    compute_split_digest,
    read_example,
)
from tfstyle.data.records import INDEX_FILE, Dataset, find_wrong_files

# A record of n bytes takes 16 more: its length (8) with a checksum (4), then the bytes
# with a checksum (4).
_HEAD_BYTES, _FRAME_BYTES = 12, 16
_CRC32C = 0x82F63B78  # Castagnoli's polynomial, reflected


@dataclasses.dataclass(frozen=True)
class Record:
    """A record of a file.

    Attributes:
        path: the file.
        number: of the record, from 0 on.
        offset: byte of the file where the record begins.
        example: what it holds; None if it cannot be read.
        fault: what is wrong with it; None if nothing is known.
    """

    path: str
    number: int
    offset: int
    example: Example | None
    fault: str | None = None

    def describe_fault(self) -> str:
        """Describe the fault and its place."""
        return (
            f"record {self.number} (from byte {self.offset}) of {self.path} is corrupt:"
            f" {self.fault}"
        )


def read_records(path: str) -> Iterator[Record]:
    """Read every record of a file, in order, without decoding pictures.

    A record whose length cannot be read is the last.
    """
    for number, offset, serialized in _read_serialized(path):
        example, fault = None, None
        if isinstance(serialized, str):
            fault = serialized
        else:
            try:
                example = read_example(serialized)
            except ValueError as error:
                fault = str(error)
        yield Record(path, number, offset, example, fault)


def check_records(path: str, dataset: Dataset | None, split: str) -> Iterator[Record]:
    """Read every record of a file as `read_records`, and decode its picture.

    Args:
        path: the file.
        dataset: the description to compare each record with, if there is one.
        split: that the file belongs to.
    """
    for record in read_records(path):
        fault = record.fault
        if record.example:
            if dataset:
                fault = dataset.describe_mismatch(split, record.example)
            fault = fault or _describe_bad_picture(record.example)
        yield dataclasses.replace(record, fault=fault)


class Verification:
    """Compares all records of a dataset with its description.

    Iterate over `records`, which reads them; `problems` are complete afterwards.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.problems = [problem for _, problem in find_wrong_files(dataset)]

    def records(self) -> Iterator[Record]:
        """Read and check each record; faults are added to `problems`."""
        counts: collections.Counter[tuple[str, int]] = collections.Counter()
        contents: dict[str, tuple[str, int, str]] = {}
        splits: dict[str, str] = {}
        for split, shard, path in self.dataset.list_shards():
            if not pathlib.Path(path).is_file():
                continue
            total = 0
            for record in check_records(path, self.dataset, split):
                total += 1
                example = record.example
                if record.fault:
                    self.problems.append(record.describe_fault())
                elif example:
                    name = example.filename
                    if name in contents:
                        self.problems.append(f"{path} holds {name!r} a second time")
                    contents[name] = (name, example.label, example.content)
                    splits[name] = split
                    counts[split, example.label] += 1
                yield record
            if total != shard.examples:
                self.problems.append(
                    f"{path} holds {format_count(total, 'record')}, expected"
                    f" {shard.examples}"
                )
        if not self.problems:  # otherwise these would follow from the others
            self.problems += self._compare(counts, contents.values(), splits)

    def _compare(
        self,
        counts: collections.Counter[tuple[str, int]],
        contents: Iterable[tuple[str, int, str]],
        splits: Mapping[str, str],
    ) -> Iterator[str]:
        index = pathlib.Path(self.dataset.records_dir, INDEX_FILE)
        for artist in (*self.dataset.artists, *self.dataset.holdout_artists):
            for split in SPLITS:
                expected, found = getattr(artist, split), counts[split, artist.label]
                if found != expected:
                    yield (
                        f"{index} says that {artist.name!r} has"
                        f" {format_count(expected, f'{split} picture')}, but the files"
                        f" hold {found}"
                    )
        if compute_digest(contents) != self.dataset.digest:
            yield f"{index} has the digest of other records"
        if self.dataset.split_digest not in (
            None,
            compute_split_digest(splits.items()),
        ):
            yield f"{index} has the split_digest of other splits"


def find_fault(dataset: Dataset) -> str | None:
    """Describe the first fault of a dataset's files; None if all are intact."""
    for _, problem in find_wrong_files(dataset):
        return problem
    verification = Verification(dataset)
    for _ in verification.records():
        if verification.problems:
            break
    return next(iter(verification.problems), None)


def list_shards(records_dir: str) -> list[tuple[str, str]]:
    """Return split and path of each file of records, by their names alone."""
    names = re.compile(rf"({'|'.join(SPLITS)})-\d+-of-\d+\.tfrecord")
    found = [
        (match[1], str(path))
        for path in sorted(pathlib.Path(records_dir).iterdir())
        if (match := names.fullmatch(path.name)) and path.is_file()
    ]
    return sorted(found, key=lambda shard: SPLITS.index(shard[0]))


def _describe_bad_picture(example: Example) -> str | None:
    try:
        # As for training: decode_jpeg decodes PNG as well.
        shape = tf.io.decode_jpeg(example.encoded, 3).shape
    except tf.errors.OpError as error:
        return f"its picture cannot be decoded ({summarize_error(error)})"
    if tuple(shape[:2]) != (example.height, example.width):
        return (
            f"its picture is {shape[1]}x{shape[0]} pixels, but the record says"
            f" {example.width}x{example.height}"
        )
    return None


def _read_serialized(path: str) -> Iterator[tuple[int, int, bytes | str]]:
    """Yield number, offset, and bytes of each record, or what is wrong with it."""
    size = pathlib.Path(path).stat().st_size
    number = offset = 0
    while offset < size:
        try:
            # Skipped records are not checked, so reading goes on after a bad one.
            rest = tf.data.TFRecordDataset(for_tensorflow(path)).skip(number)
            for serialized in rest.as_numpy_iterator():
                yield number, offset, serialized
                number += 1
                offset += _FRAME_BYTES + len(serialized)
        except tf.errors.OpError:
            pass
        if offset >= size:
            return
        length = _read_length(path, offset)
        end = offset + _FRAME_BYTES + (length or 0)
        if length is None:
            yield number, offset, "its length is damaged, so the rest cannot be read"
            return
        if end > size:
            missing = format_count(end - size, "byte")
            yield number, offset, f"the file ends {missing} too early"
            return
        yield number, offset, "its checksum is wrong"
        number, offset = number + 1, end


def _read_length(path: str, offset: int) -> int | None:
    """Return the length of the record at an offset; None if it is damaged."""
    with pathlib.Path(path).open("rb") as file:
        file.seek(offset)
        head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return None
    length, checksum = struct.unpack("<QI", head)
    return int(length) if checksum == _mask(_crc32c(head[:8])) else None


def _crc32c(data: bytes) -> int:
    """Return the CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC32C if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _mask(crc: int) -> int:
    """Mask a checksum as TFRecord files do."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
