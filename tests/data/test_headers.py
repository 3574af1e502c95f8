"""Pixels are counted from the header alone, as TensorFlow's decoders will allocate."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import encoders as write
from helpers.picture_table import ROWS
from tfstyle.data.headers import count_pixels

SERVED = [row for row in ROWS if row.name.split()[0] in ("png", "jpeg", "bmp")]


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.name)
def test_the_count_is_that_of_the_decoded_picture(row):
    try:
        pixels = tf.io.decode_image(row.data, expand_animations=True)
    except tf.errors.InvalidArgumentError:
        return

    assert count_pixels(row.data) >= np.prod(pixels.shape[-3:-1])


@pytest.mark.parametrize("name", ["png rgb 8 bits", "jpeg ycc", "bmp 24 bits"])
def test_a_square_of_16_pixels_has_256(name):
    (row,) = [row for row in ROWS if row.name == name]

    assert count_pixels(row.data) == 256


def make_huge(kind: str) -> bytes:
    """A header of 20000 x 20000 pixels, with little behind it."""
    size = (20000).to_bytes(4, "big") * 2
    if kind == "png":
        return b"\x89PNG\r\n\x1a\n" + write.png_chunk(b"IHDR", size + b"\x08\2\0\0\0")
    if kind == "jpeg":
        frame = b"\x08" + (20000).to_bytes(2, "big") * 2 + b"\1\1\x11\0"
        # A thumbnail in the metadata has a frame of its own.
        thumbnail = write.jpeg_segment(0xE1, write.write_jpeg(np.full([1, 1, 1], 9)))
        padding = b"\xff" * 5
        return b"\xff\xd8" + thumbnail + padding + write.jpeg_segment(0xC2, frame)
    return write.write_bmp(b"", 20000, -20000, 24)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp"])
def test_a_huge_picture_is_recognized_by_its_first_bytes(kind):
    assert count_pixels(make_huge(kind)) == 400_000_000


@pytest.mark.parametrize("data", [b"", b"no picture", b"II*\0", b"RIFF....WEBP"])
def test_other_files_have_no_count(data):
    assert count_pixels(data) is None


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.name)
def test_a_header_that_is_cut_off_raises_nothing(row):
    for size in range(2, min(len(row.data), 400), 7):
        count_pixels(row.data[:size])
