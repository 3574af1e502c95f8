"""Numbers, blocks, and checksums in a graph are those of plain Python."""

import zlib

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.data.in_graph.reading import Reader, compute_crc, to_number, walk

DATA = bytes(range(250, 256)) + b"name" + bytes(range(20))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("big", [True, False])
def test_numbers_are_read_at_any_places(size, big):
    reader = Reader(tf.constant(DATA))
    places = [0, 5, 11]

    numbers = reader.number(tf.constant(places), size, big)

    order = "big" if big else "little"
    for place, number in zip(places, numbers.numpy(), strict=True):
        signed = size == 4  # int32 has no others
        expected = int.from_bytes(DATA[place : place + size], order, signed=signed)
        assert number == expected


def test_beyond_the_file_are_zeros():
    reader = Reader(tf.constant(b"\xff\xff"))

    assert reader.number(tf.constant([1, 2, 10**9])).numpy().tolist() == [0xFF00, 0, 0]


def test_names_are_found():
    reader = Reader(tf.constant(DATA))

    assert reader.starts_with(b"name", 6) and not reader.starts_with(b"name", 5)
    assert reader.number(6, 4).numpy() == to_number("name")


@pytest.mark.parametrize("size", [0, 1, 4, 260])
def test_a_checksum_is_that_of_zlib(size):
    data = np.random.default_rng(size).bytes(size)

    crc = compute_crc(tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32))

    assert crc.numpy() == np.uint32(zlib.crc32(data)).astype(np.int32)


def test_a_walk_counts_blocks_and_tells_where_the_first_is():
    # Blocks of a kind, a size, and as many bytes; 0 is the last one.
    reader = Reader(tf.constant(b"a\2xxb\0b\1xa\0\0\0"))

    def step(place):
        kind = reader.number(place, 1)
        kinds = {name: kind == ord(name) for name in "abc"}
        return place + 2 + reader.number(place + 1, 1), kind == 0, kinds

    found, is_done = walk(0, step, "abc")

    assert is_done
    places = {name: blocks.place.numpy() for name, blocks in found.items()}
    counts = {name: blocks.count.numpy() for name, blocks in found.items()}
    assert places == {"a": 0, "b": 4, "c": 0}
    assert counts == {"a": 2, "b": 2, "c": 0}


def test_a_walk_that_does_not_advance_ends():
    _, is_done = walk(3, lambda place: (place, tf.constant(False), {}), "")

    assert is_done
