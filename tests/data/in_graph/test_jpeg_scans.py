"""Noise in a graph is where the records' reader puts it, in plain files alone."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.pictures import encode_picture
from tfstyle.data.formats import jpeg
from tfstyle.data.in_graph.jpeg_scans import add_noise
from tfstyle.data.in_graph.reading import Reader

VALUES = np.random.default_rng(0).integers(0, 256, [40, 50, 3], np.uint8)
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
}
END = b"\xff\xd9"


def make_jpeg(kind: str) -> bytes:
    return encode_picture(Image.fromarray(VALUES), "JPEG", **KINDS[kind])


def add(data: bytes) -> tuple[bytes, bool]:
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    places = tf.constant([frame, data.index(b"\xff\xda")])
    noisy, is_plain = add_noise(tf.constant(data), Reader(tf.constant(data)), *places)
    return noisy.numpy(), bool(is_plain)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_follows_every_scan(kind):
    data = make_jpeg(kind)

    expected = jpeg.add_noise(data), True
    assert add(data) == expected
    assert add(data + b"more") == expected


def test_a_scan_after_one_of_a_sequential_file_is_not_plain():
    data = make_jpeg("progressive").replace(b"\xff\xc2", b"\xff\xc0")

    assert add(data) == (b"", False)


def test_a_progressive_file_without_some_of_its_scans_is_not_plain():
    data = make_jpeg("progressive")
    scans = [place for place in range(len(data)) if data[place:][:2] == b"\xff\xda"]
    assert len(scans) > 3
    for place in scans[1:]:
        assert add(data[:place] + END) == (b"", False)


@pytest.mark.parametrize(
    "tail",
    [b"", b"\xff", b"\xff\xff\xd9", b"\xff\xe1\0\2" + END, b"\xff\xd8" + END],
    ids=["no end", "half an end", "a fill byte", "a segment", "a start"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_other_ends_are_not_plain(kind, tail):
    data = make_jpeg(kind).removesuffix(END)

    assert add(data + tail) == (b"", False)


def test_a_table_that_hides_a_scan_is_not_plain():
    """Decoders skip as many bytes as a table says that it has."""
    data = bytearray(make_jpeg("progressive"))
    table = data.rindex(b"\xff\xc4")
    data[table + 3] += 4

    assert add(bytes(data)) == (b"", False)
