"""Read numbers and blocks of a file inside a graph."""

import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Zeros after the data, so that a header that is cut off can be read.
_PADDING = 256
_MAX_BLOCKS = 20_000  # damaged or hostile files have more
_CRC_TABLE = np.array(
    [zlib.crc32(bytes([i])) ^ zlib.crc32(b"\0") for i in range(256)], np.uint32
)


class Reader:
    """Reads numbers at places in a file; places may be tensors of any shape."""

    def __init__(self, encoded: tf.Tensor) -> None:
        padded = tf.strings.join([encoded, b"\0" * _PADDING])
        self.data = tf.io.decode_raw(padded, tf.uint8)
        self.size = tf.size(self.data) - _PADDING

    def starts_with(self, magic: bytes, place: int | tf.Tensor = 0) -> tf.Tensor:
        """Return whether bytes are at a place: bool []."""
        found = self.bytes_at(place + tf.range(len(magic)))
        return tf.reduce_all(found == tf.constant(list(magic)))

    def bytes_at(self, places: tf.Tensor | int) -> tf.Tensor:
        """Return bytes as int32; zeros beyond the file."""
        last = self.size + _PADDING - 1
        return tf.cast(
            tf.gather(self.data, tf.clip_by_value(places, 0, last)), tf.int32
        )

    def number(
        self, place: tf.Tensor | int, size: int = 2, big: bool | tf.Tensor = True
    ) -> tf.Tensor:
        """Return unsigned numbers of 1 to 4 bytes; those above 2**31 are negative."""
        places = tf.expand_dims(place, -1) + tf.range(size)
        rising = np.array([256**i for i in range(size)], np.int32)
        if isinstance(big, bool):
            weights = rising[::-1] if big else rising
        else:
            weights = tf.where(big, rising[::-1], rising)
        return tf.reduce_sum(self.bytes_at(places) * weights, -1)


class Blocks(NamedTuple):
    """The blocks of one kind.

    Attributes:
        place: int32 [], of the first one; 0 if there is none.
        count: int32 [].
    """

    place: tf.Tensor
    count: tf.Tensor


def walk(
    start: int | tf.Tensor,
    step: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]],
    names: Iterable[str],
) -> tuple[dict[str, Blocks], tf.Tensor]:
    """Walk from block to block of a file.

    `step` is from the place of a block to that of the next, whether this is the last
    one, and whether it is of a kind, by the names of all kinds.

    Returns:
        Blocks by name, and whether the walk reached an end.
    """
    names = list(names)

    def body(place: tf.Tensor, _: tf.Tensor, *found: Blocks) -> tuple:
        following, is_last, kinds = step(place)
        found = tuple(
            Blocks(
                tf.where(kinds[name] & (blocks.count == 0), place, blocks.place),
                blocks.count + tf.cast(kinds[name], tf.int32),
            )
            for name, blocks in zip(names, found, strict=True)
        )
        is_stuck = following <= place
        return tf.where(is_stuck, place, following), is_last | is_stuck, *found

    none = Blocks(tf.constant(0), tf.constant(0))
    _, is_done, *found = tf.while_loop(
        lambda place, is_done, *_: ~is_done,
        body,
        (tf.convert_to_tensor(start), tf.constant(False), *(none for _ in names)),
        maximum_iterations=_MAX_BLOCKS,
        parallel_iterations=1,
    )
    return dict(zip(names, found, strict=True)), is_done


def compute_crc(data: tf.Tensor) -> tf.Tensor:
    """Compute the CRC-32 of a few bytes, int32 [n]: int32 []."""
    table = tf.constant(_CRC_TABLE)

    def body(i: tf.Tensor, crc: tf.Tensor) -> tuple:
        byte = tf.bitwise.bitwise_and(crc, tf.constant(255, tf.uint32))
        index = tf.bitwise.bitwise_xor(tf.cast(byte, tf.int32), data[i])
        rest = tf.bitwise.right_shift(crc, tf.constant(8, tf.uint32))
        return i + 1, tf.bitwise.bitwise_xor(tf.gather(table, index), rest)

    ones = tf.constant(2**32 - 1, tf.uint32)
    _, crc = tf.while_loop(lambda i, _: i < tf.size(data), body, (tf.constant(0), ones))
    return tf.bitcast(tf.bitwise.invert(crc), tf.int32)


def to_number(name: str) -> int:
    """Return what `Reader.number` returns for these bytes."""
    return int.from_bytes(name.encode(), "big", signed=True)
