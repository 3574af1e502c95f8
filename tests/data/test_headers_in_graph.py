"""Headers are read in a graph: damaged and hostile ones end soon, with a reason."""

import time
import zlib

import numpy as np
import pytest
import tensorflow as tf

from helpers import encoders as write
from helpers import icc
from helpers.picture_table import COLOR, INDEX, PALETTE
from tfstyle.data import headers_in_graph


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def read(encoded):
    return tuple(headers_in_graph.read_header(encoded))


def read_fault(data: bytes) -> str:
    return read(tf.constant(data))[2].numpy().decode()


GRAY_BLOCK = np.full([1, 1, 1], 9)


def jpeg_with(*segments: bytes) -> bytes:
    return write.write_jpeg(GRAY_BLOCK, segments=b"".join(segments))


def png_with(*chunks: bytes) -> bytes:
    return write.write_png(COLOR, write.RGB, before=b"".join(chunks))


def profile_chunk(profile: bytes, name: bytes = b"name") -> bytes:
    return write.png_chunk(b"iCCP", name + b"\0\0" + zlib.compress(profile))


@pytest.mark.parametrize("orientation", range(11))
@pytest.mark.parametrize("order", "<>")
def test_orientations_from_1_to_8_are_read(orientation, order):
    data = b"Exif\0\0" + write.exif(orientation, order)
    header = read(tf.constant(jpeg_with(write.jpeg_segment(0xE1, data))))

    assert header[0].numpy() == (orientation if 1 <= orientation <= 8 else 1)


@pytest.mark.parametrize("size", range(0, 22, 3))
def test_exif_data_that_are_cut_off_turn_nothing(size):
    data = b"Exif\0\0" + write.exif(6)[:size]

    assert read(tf.constant(jpeg_with(write.jpeg_segment(0xE1, data))))[0].numpy() == 1


@pytest.mark.parametrize("gamma", [None, 1.0, 1.8, 2.2])
@pytest.mark.parametrize("primaries", ["SRGB_D50", "ADOBE_RGB_D50", "P3_D50"])
def test_only_profiles_of_srgb_are_plain(gamma, primaries):
    profile = icc.matrix_profile(getattr(icc, primaries), gamma)
    segment = write.jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1" + profile)
    faults = [
        read_fault(jpeg_with(segment)),
        read_fault(png_with(profile_chunk(profile))),
    ]

    is_srgb = gamma is None and primaries == "SRGB_D50"
    assert faults == ["" if is_srgb else headers_in_graph.PROFILE_FAULT] * 2


HOSTILE = {
    "fill bytes": b"\xff\xd8" + b"\xff" * 10**6,
    "empty segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 10**5,
    "segments of no size": b"\xff\xd8" + b"\xff\xe0\0\0" * 10**5,
    "empty chunks": png_with(write.png_chunk(b"teSt") * 10**5),
    "a profile of gigabytes": png_with(profile_chunk(bytes(2**28))),
    "a profile without a name": png_with(profile_chunk(b"profile", b"n" * 200)),
    "an empty profile": png_with(write.png_chunk(b"iCCP", b"")),
    "many tags": png_with(profile_chunk(b"\xff" * 5000)),
    "many parts": b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xff" + b"\1a" * 10**5,
    "many extensions": b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xff\0" * 10**5,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_refused_soon(kind):
    read(tf.constant(b""))  # traces
    start = time.process_time()

    assert read_fault(HOSTILE[kind])

    assert time.process_time() - start < 30


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8"])
def test_a_header_that_is_cut_off_raises_nothing(data):
    read(tf.constant(data))


def test_every_cut_of_a_gif_is_read():
    data = write.write_gif(INDEX, PALETTE, transparent=3)
    for size in range(4, len(data), 9):
        read(tf.constant(data[:size]))
