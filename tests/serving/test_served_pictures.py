"""Every kind of file, sent raw and by the client, gives the picture of the records.

What the served graph cannot decode so is an invalid argument, 400 for who sent it.
"""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.picture_table import BACKGROUND, ROWS, Row
from helpers.pictures import encode_picture
from tfstyle.data.pictures import PictureError, load_picture
from tfstyle.modeling.networks import color
from tfstyle.serving.client import convert_picture
from tfstyle.serving.pictures_in_graph import decode_pictures

SIZE = 16  # that of most pictures; `test_pictures_in_graph` is about resizing
_Y, _X = np.mgrid[:SIZE, :SIZE]
COLOR = "#{:02x}{:02x}{:02x}".format(*BACKGROUND)
# Kinds that people send raw most; that all others are refused would do as well.
DECODED_RAW = (
    ["png rgb 8 bits", "png rgba 8 bits", "png gray 8 bits", "png palette 8 bits"]
    + ["png rgb 16 bits", "png rgb 8 bits interlaced"]
    + ["png gray alpha 8 bits", "png palette 4 bits tRNS", "png sRGB profile"]
    + ["png gAMA of sRGB", "jpeg ycc", "jpeg gray", "jpeg cmyk by Adobe"]
    + ["jpeg sRGB profile", "bmp 24 bits", "bmp 24 bits top-down", "bmp 32 bits"]
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
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError):
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


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip a bit, replace, delete or insert bytes, or cut a file and end it."""
    place, kind = rng.integers(4, len(data)), rng.integers(5)
    if kind == 0:
        return (
            data[:place]
            + bytes([data[place] ^ 1 << rng.integers(8)])
            + data[place + 1 :]
        )
    if kind == 1:
        return data[:place] + rng.bytes(1) + data[place + 1 :]
    if kind == 2:
        return data[:place] + data[place + rng.integers(1, 9) :]
    if kind == 3:
        return data[:place] + rng.bytes(3) + data[place:]
    return data[:place] + (b"\xff\xd9" if data[:1] == b"\xff" else b"\0;")


@pytest.mark.parametrize("encoding", ["JPEG", "progressive JPEG", "PNG", "GIF"])
def test_a_damaged_picture_is_shown_alike_or_refused(encoding, tmp_path):
    rng = np.random.default_rng(0)
    values = np.stack([17 * _X, 17 * _Y, rng.integers(0, 256, [16, 16])], -1)
    *options, name = encoding.split()
    data = encode_picture(
        Image.fromarray(values.astype(np.uint8)), name, progressive=bool(options)
    )
    for _ in range(80):
        row = Row(encoding, mutate(data, rng), None)
        expected = load_like_the_records(row, tmp_path)
        for make_sent in (bytes, convert_picture):
            try:
                decoded = decode(make_sent(row.data))
            except (ValueError, tf.errors.InvalidArgumentError):
                assert expected is None or make_sent is bytes, row.data
            else:
                assert expected is not None, row.data
                assert abs(decoded - expected).max() <= 4, row.data


@pytest.mark.parametrize(
    "name, reason",
    [
        ("png AdobeRGB profile", "color profile"),
        ("png linear gAMA", "color profile"),
        ("png corrupt profile", "color profile"),
        ("jpeg P3 profile in two parts", "color profile"),
        ("jpeg linear profile named sRGB", "color profile"),
        ("png gray 4 bits tRNS", "gray PNG of less than 8 bits with transparency"),
        ("png rotated by EXIF after the pixels", "EXIF orientation"),
        ("jpeg cmyk", "Adobe segment"),
        ("bmp 8 bits", "palette"),
        ("bmp 8 bits gray", "palette"),
        ("bmp 24 bits OS/2", "BMP"),
        ("bmp V5 with a profile", "color profile"),
        ("gif", "only JPEG, PNG, and BMP are decoded; the Python client"),
        ("tiff rgb 8 bits, little", "only JPEG, PNG, and BMP are decoded"),
    ],
)
def test_a_refusal_says_why(name, reason):
    (row,) = [row for row in ROWS if row.name == name]

    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decode(row.data)
