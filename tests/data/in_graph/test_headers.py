"""Headers are read in a graph: damaged and hostile ones end soon, with a reason."""

import time
import zlib

import numpy as np
import pytest
import tensorflow as tf

from helpers import encoders as write
from helpers import icc
from helpers.picture_table import COLOR
from tfstyle.data.in_graph import headers
from tfstyle.data.pictures.orientation import read_orientation


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def read(encoded):
    return headers.read_header(encoded)


def read_fault(data: bytes) -> str:
    return read(tf.constant(data)).fault.numpy().decode()


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

    assert header.orientation.numpy() == (orientation if 1 <= orientation <= 8 else 1)


@pytest.mark.parametrize("size", range(0, 22, 3))
def test_exif_data_that_are_cut_off_turn_nothing(size):
    data = b"Exif\0\0" + write.exif(6)[:size]

    header = read(tf.constant(jpeg_with(write.jpeg_segment(0xE1, data))))

    assert header.orientation.numpy() == 1


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
    assert faults == ["" if is_srgb else headers.PROFILE_FAULT] * 2


def test_alike_orientations_are_read_by_the_records():
    """The graph has its own reader."""
    six, eight = (0x112, 3, 1, b"\6\0\0\0"), (0x112, 3, 1, b"\10\0\0\0")
    long, twice = (0x112, 4, 1, b"\6\0\0\0"), (0x112, 3, 2, b"\6\0\6\0")
    bad = (0x10F, 99, 2**31, b"\xff" * 4)
    rng = np.random.default_rng(0)
    for _ in range(300):
        entries = rng.integers(0, 5, rng.integers(0, 6))
        structure = bytearray(
            write.exif_entries(*[(six, eight, long, twice, bad)[i] for i in entries])
        )
        for place in rng.integers(0, len(structure), rng.integers(0, 3)):
            structure[place] = rng.choice([0, 1, 8, 255])
        structure = bytes(structure[: rng.integers(len(structure) // 2, 90)])
        segment = write.jpeg_segment(0xE1, b"Exif\0\0" + structure)

        header = read(tf.constant(jpeg_with(segment)))

        expected = read_orientation(structure)
        is_valid = expected is not None and 1 <= expected <= 8
        assert header.orientation.numpy() == (expected if is_valid else 1), structure


REPEATED = {
    "Exif segments": jpeg_with(write.jpeg_segment(0xE1, b"Exif\0\0") * 2),
    "Adobe segments": jpeg_with(write.jpeg_segment(0xEE, b"Adobe" + bytes(7)) * 2),
    "profile segments": jpeg_with(write.jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1") * 2),
    "frames": jpeg_with(write.jpeg_segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0")),
    **{
        f"{name} chunks": png_with(write.png_chunk(name.encode(), b"data") * 2)
        for name in headers._PNG_CHUNKS
    },
}


@pytest.mark.parametrize("kind", REPEATED)
def test_what_is_repeated_is_refused(kind):
    assert read_fault(REPEATED[kind])


@pytest.mark.parametrize("marker", [0xC9, 0xC3, 0xCC, 0xD0, 0x01, 0xD8])
def test_markers_that_are_not_plain_are_refused(marker):
    assert read_fault(jpeg_with(write.jpeg_segment(marker, b"\0\0")))


HOSTILE = {
    "fill bytes": b"\xff\xd8" + b"\xff" * 10**6,
    "empty segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 10**5,
    "segments of no size": b"\xff\xd8" + b"\xff\xe0\0\0" * 10**5,
    "empty chunks": png_with(write.png_chunk(b"teSt") * 10**5),
    "a profile of gigabytes": png_with(profile_chunk(bytes(2**28))),
    "a profile without a name": png_with(profile_chunk(b"profile", b"n" * 200)),
    "an empty profile": png_with(write.png_chunk(b"iCCP", b"")),
    "many tags": png_with(profile_chunk(b"\xff" * 5000)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_refused_soon(kind):
    read(tf.constant(b""))  # traces
    start = time.process_time()

    assert read_fault(HOSTILE[kind])

    assert time.process_time() - start < 30


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG", b"BM"])
def test_a_header_that_is_cut_off_raises_nothing(data):
    read(tf.constant(data))
