"""Pictures changed at random, against plain loops over pixels."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.modeling.objectives.augmentation import Augmentation
from tfstyle.modeling.objectives.draws import BatchDraws

ROWS, SIZE = 12, 8


def make_draws(step=0, start=0, rows=ROWS):
    return BatchDraws(3, tf.constant(step, tf.int64), tf.constant(start), rows, ROWS)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, [ROWS, SIZE, SIZE, 3]).astype(np.float32)


def sample(picture, x, y):
    """Interpolate linearly between the four pixels around (x, y); edges repeat."""
    left, top = math.floor(x), math.floor(y)
    value = 0
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = 1 - abs(x - left - column)
        weight *= 1 - abs(y - top - row)
        inside = (min(max(k, 0), SIZE - 1) for k in (top + row, left + column))
        value = value + weight * picture[tuple(inside)]
    return value


def test_without_settings_pictures_stay_as_they_are(images):
    assert Augmentation().apply(images, make_draws()) is images


def test_a_flip_mirrors_about_half_of_the_pictures(images):
    flipped = Augmentation(flip=True).apply(images, make_draws()).numpy()

    mirrored = [
        np.array_equal(a, b[:, ::-1]) for a, b in zip(flipped, images, strict=True)
    ]
    same = [np.array_equal(a, b) for a, b in zip(flipped, images, strict=True)]
    assert sum(mirrored) + sum(same) == ROWS
    assert 2 <= sum(mirrored) <= ROWS - 2


def test_a_shift_moves_by_whole_pixels_and_repeats_the_edge(images):
    """By at most a quarter of 8 pixels, along both axes and in both directions."""
    shifted = Augmentation(shift=0.25).apply(images, make_draws()).numpy()

    shifts = set()
    for picture, original in zip(shifted, images, strict=True):
        padded = np.pad(original, [(2, 2), (2, 2), (0, 0)], "edge")
        candidates = [
            (x - 2, y - 2)
            for x in range(5)
            for y in range(5)
            if np.array_equal(picture, padded[y : y + SIZE, x : x + SIZE])
        ]
        assert len(candidates) == 1
        shifts.add(candidates[0])
    for axis in (0, 1):
        values = {shift[axis] for shift in shifts}
        assert min(values) < 0 < max(values)


def test_scale_and_rotation_turn_about_the_center(images):
    """An output pixel at r from the center shows the input at R(angle) r / scale."""
    settings = Augmentation(scale=0.5, rotation=40)
    changed = settings.apply(images, make_draws()).numpy()

    uniforms = make_draws().uniform("augmentation", 5).numpy()
    center = (SIZE - 1) / 2
    for row in range(ROWS):
        scale = 1.5 ** (2 * uniforms[row, 3] - 1)
        angle = math.radians(40) * (2 * uniforms[row, 4] - 1)
        for y in range(SIZE):
            for x in range(SIZE):
                right, down = (x - center) / scale, (y - center) / scale
                expected = sample(
                    images[row],
                    center + math.cos(angle) * right - math.sin(angle) * down,
                    center + math.sin(angle) * right + math.cos(angle) * down,
                )
                np.testing.assert_allclose(changed[row, y, x], expected, atol=1e-4)


def test_a_cutout_is_one_gray_square_inside_each_picture(images):
    cut = Augmentation(cutout=0.5).apply(images, make_draws()).numpy()

    corners = set()
    for picture, original in zip(cut, images, strict=True):
        gray = np.all(picture == 0, axis=-1)
        rows, columns = np.nonzero(gray)
        top, left = rows.min(), columns.min()
        assert gray.sum() == 16
        assert gray[top : top + 4, left : left + 4].all()
        np.testing.assert_array_equal(picture[~gray], original[~gray])
        corners.add((top, left))
    assert len(corners) > 4


def test_replicas_and_steps_draw_their_own(images):
    """Two replicas of half the batch see what one of all rows does."""
    settings = Augmentation(flip=True, shift=0.2, rotation=10, cutout=0.3)
    together = settings.apply(images, make_draws())
    half = ROWS // 2
    parts = [
        settings.apply(images[start : start + half], make_draws(0, start, half))
        for start in (0, half)
    ]

    np.testing.assert_array_equal(together, np.concatenate(parts))
    assert not np.array_equal(together, settings.apply(images, make_draws(step=1)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"shift": -0.1},
            "augmentation.shift must be .* from 0 to 0.5, got -0.1",
        ),
        ({"scale": 1.0}, "augmentation.scale must be .* from 0 to 0.9, got 1.0"),
        (
            {"rotation": 181},
            "augmentation.rotation must be .* from 0 to 180, got 181",
        ),
        ({"cutout": 1}, "augmentation.cutout must be .* from 0 to 0.9, got 1"),
    ],
)
def test_a_value_out_of_its_range_is_an_error(values, message):
    with pytest.raises(UserError, match=message):
        Augmentation(**values)
