"""Faces cut out upright, against shapes drawn where they must come out."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tfstyle.data.pictures.faces import Face, cut_face

MARKS = {"red": (-0.25, -0.3), "lime": (0.25, -0.2), "blue": (0.1, 0.35)}


def draw_face(center, side, angle, size=(400, 300)):
    """Draw three dots on gray: a face of the given side, tilted counter-clockwise.

    Four times as large and reduced, so that their centers are exact.
    """
    image = Image.new("RGB", (4 * size[0], 4 * size[1]), "gray")
    draw = ImageDraw.Draw(image)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for color, (right, down) in MARKS.items():
        x = center[0] + side * (right * cosine + down * sine)
        y = center[1] + side * (down * cosine - right * sine)
        radius = 0.06 * side
        box = [4 * value for value in (x - radius, y - radius, x + radius, y + radius)]
        draw.ellipse(box, color)
    return image.reduce(4)


def find_mark(picture, color):
    """Return the center of a color's dot in pixels, weighted by how pure it is."""
    channels = {"red": (1, -1, -1), "lime": (-1, 1, -1), "blue": (-1, -1, 1)}[color]
    weights = np.maximum(np.asarray(picture, float) @ np.array(channels) / 255 + 0.5, 0)
    weights *= weights > 0.5
    rows, columns = np.indices(weights.shape) + 0.5
    total = weights.sum()
    return (columns * weights).sum() / total, (rows * weights).sum() / total


@pytest.mark.parametrize("angle", [0, 20, -35, 90, 180])
@pytest.mark.parametrize("side", [60, 100, 217.3])
def test_a_tilted_face_comes_out_upright_to_half_a_pixel(angle, side):
    center, size = (190.4, 151.7), 100
    picture = draw_face(center, side, angle)
    face = Face(center[0] - side / 2, center[1] - side / 2, side, side, angle)

    result = cut_face(picture, face, size)

    assert result.size == (size, size) and result.mode == "RGB"
    for color, (right, down) in MARKS.items():
        x, y = find_mark(result, color)
        assert x == pytest.approx(size * (0.5 + right), abs=0.5)
        assert y == pytest.approx(size * (0.5 + down), abs=0.5)


def test_a_box_that_is_not_square_is_widened_about_its_center():
    picture = draw_face((200, 150), 80, 0)
    narrow, whole = Face(190, 110, 20, 80), Face(160, 110, 80, 80)
    assert narrow.side == 80 and narrow.center == (200, 150)
    np.testing.assert_array_equal(
        cut_face(picture, narrow, 40), cut_face(picture, whole, 40)
    )


@pytest.mark.parametrize("angle", [0, 30])
def test_beyond_the_picture_the_result_is_black(angle):
    """A box around the upper left corner: three quarters lie outside, if upright."""
    white = Image.new("RGB", (100, 100), "white")
    result = np.asarray(cut_face(white, Face(-20, -20, 40, 40, angle), 64))
    assert (result > 250).mean() == pytest.approx(0.25, abs=0.01)
    assert (result < 5).mean() == pytest.approx(0.75, abs=0.05)


def test_a_box_far_outside_is_black():
    white = Image.new("RGB", (100, 100), "white")
    assert not np.asarray(cut_face(white, Face(500, 500, 40, 40), 32)).any()


def test_a_large_face_is_averaged_not_aliased():
    """Lines one pixel apart come out gray from a face eight times as large."""
    lines = np.zeros([512, 512, 3], np.uint8)
    lines[::2] = 255
    for angle in (0, 15):
        result = cut_face(Image.fromarray(lines), Face(64, 64, 384, 384, angle), 48)
        assert np.asarray(result, float).std() < 5
        assert np.asarray(result).mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0, 0, 10), "above 0, got 0 and 10"),
        ((0, 0, 10, -1), "above 0, got 10 and -1"),
        ((0, float("nan"), 10, 10), "finite"),
        ((0, 0, 10, 10, float("inf")), "finite"),
    ],
)
def test_an_impossible_face_is_an_error(values, message):
    with pytest.raises(ValueError, match=message):
        Face(*values)
