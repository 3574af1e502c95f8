"""Damage that matters is found in TIFF files, and no other; nor is memory wasted."""

import io
import struct
import zlib

import numpy as np
import pytest

from helpers import encoders as write
from helpers.picture_table import COLOR, GRAY
from tfstyle.data.pictures import PictureError, read_picture


def read(data: bytes) -> np.ndarray:
    return np.asarray(read_picture(io.BytesIO(data)))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tag", [282, 305, 700, 34665])
def test_a_damaged_tag_without_meaning_hides_no_other_tag(tag, big, order):
    """Floats, which tag 339 alone tells from integers of 32 bits."""
    marker = b"value of the tag"
    tags = {tag: (7, marker)}
    data = write.write_tiff(
        GRAY / 255, 1, 32, write.FLOAT, order, big=big, tags=tags, rows_per_strip=5
    )
    name = {"<": "little", ">": "big"}[order]
    size = 8 if big else 4
    place = data.index(marker).to_bytes(size, name)
    damaged = data.replace(place, b"\x7f" * size)
    assert damaged != data

    np.testing.assert_array_equal(read(damaged)[..., 0], GRAY)


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 339])
def test_a_tag_that_is_needed_must_be_whole(tag):
    """Its value is said to be 2**28 numbers, which the file does not hold."""
    data = write.write_tiff(COLOR, 2, rows_per_strip=5, compression=write.DEFLATE)
    entry = data.index(tag.to_bytes(2, "little"), 10)
    damaged = data[: entry + 4] + b"\0\0\0\x10" + data[entry + 8 :]

    with pytest.raises(PictureError, match="incomplete"):
        read(damaged)


@pytest.mark.parametrize("cut", [3, 9, 60])
def test_a_directory_that_is_cut_off_is_incomplete(cut):
    with pytest.raises(PictureError, match="incomplete"):
        read(write.write_tiff(COLOR, 2)[:cut].ljust(4, b"\0"))


@pytest.mark.parametrize("compression", [write.DEFLATE, write.LZMA])
def test_a_wrong_checksum_of_pixels_is_an_error(compression):
    data = write.write_tiff(COLOR, 2, compression=compression)
    np.testing.assert_array_equal(read(data), COLOR)
    end = -3 if compression == write.DEFLATE else -40

    damaged = bytearray(data)
    damaged[end] ^= 1

    with pytest.raises(PictureError, match="block 0 is damaged"):
        read(bytes(damaged))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_block_of_which_a_part_is_lost_is_damaged(share):
    """Zeros decompress to something too, here to more than is needed."""
    y, x = np.mgrid[:200, :160].astype(np.uint8)
    data = write.write_tiff(np.stack([x, y, 255 - x], -1), 2, compression=write.DEFLATE)
    length = round(share * len(data))

    with pytest.raises(PictureError, match="block 0"):
        read(data[:length].ljust(len(data), b"\0"))


@pytest.mark.parametrize("compression", [write.DEFLATE, write.LZMA])
def test_a_last_strip_may_have_more_rows_than_the_picture(compression):
    tags = {257: (4, (10,)), 278: (4, (16,))}
    data = write.write_tiff(COLOR, 2, compression=compression, tags=tags)

    np.testing.assert_array_equal(read(data), COLOR[:10])


def make_huge(width, height, channels, bits) -> bytes:
    """A header without pixels."""
    sizes = {256: (4, (width,)), 257: (4, (height,)), 258: (3, (bits,) * channels)}
    sizes[278] = (4, (height,))
    values = np.zeros([1, 1, channels])
    return write.write_tiff(values, 1, extra=(0,) * (channels - 1), tags=sizes)


@pytest.mark.parametrize(
    "width, height, channels, bits",
    [
        (9000, 9000, 17, 32),
        (9000, 9000, 3, 32),
        (9459, 9459, 5, 16),
        (3000, 3000, 17, 64),
        (9460, 9460, 1, 1),  # too many pixels
    ],
)
def test_pictures_that_need_much_memory_are_refused_by_their_header(
    width, height, channels, bits
):
    with pytest.raises(PictureError, match=f"too_large: {width}x{height}"):
        read(make_huge(width, height, channels, bits))


def test_as_large_pictures_of_fewer_bytes_are_read():
    with pytest.raises(PictureError, match="truncated"):
        read(make_huge(9459, 9459, 4, 16))


@pytest.mark.parametrize("compression", [write.NONE, 7])
def test_tiles_that_need_much_memory_are_refused(compression):
    tags = {322: (4, (30000,)), 323: (4, (30000,))}
    data = write.write_tiff(COLOR, 2, tile=16, tags=tags | {259: (3, (compression,))})

    with pytest.raises(PictureError, match="too_large: 30000x30000"):
        read(data)


def test_a_small_picture_in_a_large_tile_is_small():
    with pytest.raises(PictureError, match="too_small: 8x8"):
        read_picture(io.BytesIO(write.write_tiff(COLOR[:8, :8], 2, tile=32)), 16)


def write_sharing(width: int, height: int, data: bytes, tile: int = 0) -> bytes:
    """A gray Deflate TIFF of strips of a row, or of tiles, that share their data."""
    count = width * height // tile**2 if tile else height
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 1)]
    tags += [(322, tile), (323, tile)] if tile else [(278, 1)]
    lists = 8 + 2 + 12 * (len(tags) + 2) + 4
    start = lists + 8 * count
    entries = [(tag, 1, value) for tag, value in tags]
    entries += [(324 if tile else 273, count, lists)]
    entries += [(325 if tile else 279, count, lists + 4 * count)]
    header = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, length, value in sorted(entries):
        header += struct.pack("<HHII", tag, 4, length, value)
    places = struct.pack("<I", start) * count + struct.pack("<I", len(data)) * count
    return header + b"\0" * 4 + places + data


def test_blocks_may_share_their_data():
    data = zlib.compress(bytes(range(16)))

    shared = read(write_sharing(16, 20, data))[..., 0]

    np.testing.assert_array_equal(shared, np.tile(np.arange(16), [20, 1]))


def test_strips_that_share_a_long_stream_are_refused_soon():
    data = zlib.compress(bytes(2**27), 9)

    with pytest.raises(PictureError, match="block 0 is damaged"):
        read(write_sharing(16, 64, data))


def test_strips_that_share_much_of_the_file_are_refused():
    data = bytes(2**21)

    with pytest.raises(PictureError, match="too_large: 600 blocks"):
        read(write_sharing(16, 600, data))


def test_very_many_blocks_are_refused():
    with pytest.raises(PictureError, match="too_large: 160000 blocks"):
        read(write_sharing(400, 400, b"", tile=1))
