"""Noise in a graph is where the records' reader puts it, in plain files alone."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.pictures import encode_picture
from tfstyle.data.formats import jpeg
from tfstyle.data.in_graph.jpeg_scans import Scans, add_noise
from tfstyle.data.in_graph.reading import Reader

VALUES = np.random.default_rng(0).integers(0, 256, [40, 50, 3], np.uint8)
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "progressive restarts": {"restart_marker_blocks": 2, "progressive": True},
}
END = b"\xff\xd9"


def make_jpeg(kind: str) -> bytes:
    return encode_picture(Image.fromarray(VALUES), "JPEG", **KINDS[kind])


def read(data: bytes) -> Scans:
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    interval = int.from_bytes(data.partition(b"\xff\xdd\0\4")[2][:2], "big")
    places = tf.constant([frame, data.index(b"\xff\xda"), interval])
    return add_noise(tf.constant(data), Reader(tf.constant(data)), *places)


def add(data: bytes) -> tuple[bytes, bool]:
    scans = read(data)
    return scans.noisy.numpy(), bool(scans.are_plain)


def is_whole(data: bytes) -> bool:
    return bool(read(data).are_whole)


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


@pytest.mark.parametrize("kind", ["restarts", "progressive restarts"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_restart_must_be_in_its_place(kind, mode):
    image = Image.fromarray(VALUES).convert(mode)
    whole = encode_picture(image, "JPEG", **KINDS[kind])
    places = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xd0"]
    assert is_whole(whole) and places
    for place in places:
        assert not is_whole(whole[:place] + whole[place + 2 :])
        assert not is_whole(whole[:place] + b"\xff\xd3" + whole[place + 2 :])


def test_zeros_are_a_hole_in_files_of_the_usual_codes():
    whole = make_jpeg("baseline")
    place = len(whole) // 2
    even = Image.new("L", [900, 900], 255)

    assert not is_whole(whole[:place] + bytes(200) + whole[place + 200 :])
    for options in ({}, {"optimize": True}, {"progressive": True}):
        assert is_whole(encode_picture(even, "JPEG", **options))


def test_too_many_restarts_are_not_plain_for_the_client_either():
    image = Image.new("L", [8 * 40, 8 * 40])
    data = encode_picture(image, "JPEG", restart_marker_blocks=1)

    assert add(data) == (b"", False)
    assert not jpeg.has_plain_scans(jpeg.read_jpeg(data))
