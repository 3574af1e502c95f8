"""Every kind of file, sent raw and by the client, gives the picture of the records.

What the served graph cannot decode so is an invalid argument, 400 for who sent it.
"""

import numpy as np
import pytest
import tensorflow as tf

from helpers.picture_table import BACKGROUND, ROWS, Row
from tfstyle.data.pictures import PictureError, load_picture
from tfstyle.modeling.networks import color
from tfstyle.serving.client import convert_picture
from tfstyle.serving.pictures_in_graph import decode_pictures

SIZE = 16  # that of most pictures; `test_pictures_in_graph` is about resizing
COLOR = "#{:02x}{:02x}{:02x}".format(*BACKGROUND)
RAW_FORMATS = ("png", "jpeg", "bmp", "gif")
# Kinds that people send raw most; that all others are refused would do as well.
DECODED_RAW = (
    ["png rgb 8 bits", "png rgba 8 bits", "png gray 8 bits", "png palette 8 bits"]
    + ["png gray 4 bits tRNS", "png rgb 16 bits", "png rgb 8 bits interlaced"]
    + ["png gray alpha 8 bits", "png palette 4 bits tRNS", "png sRGB profile"]
    + ["png gAMA of sRGB", "jpeg ycc", "jpeg gray", "jpeg cmyk by Adobe"]
    + ["jpeg sRGB profile", "bmp 24 bits", "bmp 24 bits top-down", "bmp 32 bits"]
    + ["gif", "gif animated, disposal 2", "png rotated by EXIF before the pixels"]
    + [f"jpeg orientation {orientation}" for orientation in range(1, 9)]
)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
def decode_batch(encoded):
    lab = decode_pictures(encoded, SIZE, "stretch", BACKGROUND)
    return color.lab_to_rgb(lab)


def decode(data: bytes) -> np.ndarray:
    return decode_batch(tf.constant([data]))[0].numpy().astype(int)


def load_like_the_records(row: Row, folder) -> np.ndarray | None:
    (folder / "picture").write_bytes(row.data)
    try:
        picture = load_picture(folder / "picture", SIZE, "stretch", COLOR)
    except PictureError:
        return None
    return np.asarray(picture).astype(int)


def tolerance_of(row: Row) -> int:
    """A level for Lab and resizing, one more where 16 bits are cut before it."""
    return 2 if "16 bits" in row.name else 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_raw_picture_is_that_of_the_records_or_refused(row, tmp_path):
    expected = load_like_the_records(row, tmp_path)
    try:
        decoded = decode(row.data)
    except tf.errors.InvalidArgumentError:
        assert row.name not in DECODED_RAW
        return

    assert expected is not None, "the records refuse it"
    assert abs(decoded - expected).max() <= tolerance_of(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_picture_sent_by_the_client_is_that_of_the_records(row, tmp_path):
    expected = load_like_the_records(row, tmp_path)
    if expected is None:
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            decode(convert_picture(row.data))
        return

    decoded = decode(convert_picture(row.data))

    assert abs(decoded - expected).max() <= tolerance_of(row)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("png AdobeRGB profile", "color profile"),
        ("png linear gAMA", "color profile"),
        ("png corrupt profile", "color profile"),
        ("jpeg P3 profile in two parts", "color profile"),
        ("jpeg linear profile named sRGB", "color profile"),
        ("jpeg cmyk", "Adobe segment"),
        ("bmp 8 bits", "palette"),
        ("bmp 8 bits gray", "palette"),
        ("bmp 24 bits OS/2", "BMP"),
        ("bmp V5 with a profile", "color profile"),
        ("gif transparency", "transparency"),
        ("gif partial first frame", "transparency"),
        ("tiff rgb 8 bits, little", "JPEG, PNG, GIF, BMP required"),
    ],
)
def test_a_refusal_says_why(name, reason):
    (row,) = [row for row in ROWS if row.name == name]

    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decode(row.data)
