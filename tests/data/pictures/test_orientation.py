"""Orientations are read from Exif data as browsers do, whatever else is in it."""

import pytest
from PIL import Image

from helpers.encoders import exif, exif_entries
from helpers.pictures import encode_picture, open_picture
from tfstyle.data.pictures.orientation import (
    find_turn,
    find_turn_of,
    read_orientation,
)

SHORT, LONG, SIGNED_SHORT, SIGNED_LONG, FLOAT = 3, 4, 8, 9, 11
SIX, EIGHT = (0x112, SHORT, 1, b"\6\0\0\0"), (0x112, SHORT, 1, b"\10\0\0\0")


@pytest.mark.parametrize("orientation", range(11))
@pytest.mark.parametrize("order", "<>")
def test_an_orientation_is_read_in_both_byte_orders(orientation, order):
    assert read_orientation(exif(orientation, order)) == orientation


@pytest.mark.parametrize("kind", [LONG, SIGNED_SHORT, SIGNED_LONG, FLOAT])
def test_other_types_do_not_count(kind):
    assert read_orientation(exif_entries((0x112, kind, 1, b"\6\0\0\0"))) is None
    assert read_orientation(exif_entries((0x112, kind, 1, b"\0\0\0\0"), SIX)) == 6


def test_the_first_orientation_counts_whatever_precedes_it():
    bad = (0x10F, 99, 2**31, b"\xff" * 4)

    assert read_orientation(exif_entries(bad, SIX, EIGHT)) == 6


def test_entries_before_a_cut_count():
    structure = exif_entries(SIX, (0x10F, SHORT, 1, b"\0" * 4))

    assert read_orientation(structure[:-8]) == 6
    assert read_orientation(structure[:21]) is None


@pytest.mark.parametrize(
    "structure",
    [b"", b"II*\0", b"Exif\0\0" + exif(6), b"II*\0\xff\xff\xff\xff" + bytes(20)],
    ids=["nothing", "a stub", "another prefix", "a directory far away"],
)
def test_what_is_no_tiff_structure_has_no_orientation(structure):
    assert read_orientation(structure) is None


def test_of_several_structures_the_first_with_an_orientation_counts():
    assert find_turn([b"", exif_entries(), exif(6), exif(8)]) == (
        Image.Transpose.ROTATE_270
    )
    assert find_turn([exif(0), exif(8)]) is None
    assert find_turn([]) is None


@pytest.mark.parametrize("encoding", ["JPEG", "WEBP", "PNG"])
def test_pictures_of_pillow_keep_their_structure(encoding):
    structure = b"Exif\0\0" * (encoding == "JPEG") + exif(6)
    data = encode_picture(Image.new("RGB", (4, 2)), encoding, exif=structure)

    with open_picture(data) as image:
        assert find_turn_of(image) == Image.Transpose.ROTATE_270
