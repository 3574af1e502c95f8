import numpy as np
import pytest

from tfstyle.data.formats import samples
from tfstyle.data.formats.errors import PictureError


@pytest.mark.parametrize("bits", range(1, 33))
def test_integers_are_scaled_by_their_white(bits):
    white = 2**bits - 1
    values = np.unique(np.linspace(0, white, 50).astype(np.int64))
    expected = [(2 * int(v) * 255 + white) // (2 * white) for v in values]  # rounded

    scaled = samples.scale_integers(values, bits)

    assert scaled.dtype == np.uint8
    assert abs(scaled.astype(int) - expected).max() <= (0 if bits <= 16 else 1)


@pytest.mark.parametrize("bits", range(1, 33))
def test_packed_samples_are_unpacked(bits):
    rng = np.random.default_rng(bits)
    values = rng.integers(0, 2**bits, [3, 11], dtype=np.int64)
    text = ["".join(f"{v:0{bits}b}" for v in row) for row in values]
    text = [row + "0" * (-len(row) % 8) for row in text]
    rows = np.array(
        [[int(row[i : i + 8], 2) for i in range(0, len(row), 8)] for row in text]
    )

    np.testing.assert_array_equal(
        samples.unpack_bits(rows.astype(np.uint8), bits, 11), values
    )


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 0.25], [0, 64]),  # a dark picture stays dark
        ([0, 127.5, 255], [0, 128, 255]),
        ([0, 32767.5, 65535], [0, 128, 255]),
        ([1e-5, 100, 255], [0, 100, 255]),
        ([0, 0, 0], [0, 0, 0]),
        ([0.2, 0.4, 0.6, 50, 400], [51, 102, 153, 255, 255]),  # most are below 1
        ([-0.5, 0.6, 1.0, 1.5], [0, 153, 255, 255]),
        ([0, np.nan, np.inf, -np.inf, 1], [0, 0, 255, 0, 255]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_scaled_by_an_estimate_of_white(values, expected, dtype):
    scaled = samples.scale_floats(np.array(values, dtype))

    assert scaled.tolist() == expected


@pytest.mark.parametrize(
    "values",
    [
        [0, 2.5e5, 1e6],  # above all known whites
        [0.5, 3, 8, 20],  # a high dynamic range
        [0.5, 3, 8, 200, 4000],
        [100, 200, 255, 300],
        [0, 5, 9, 30],  # nothing bright, if white is 255
        [500, 900, 4095],
        [1e-9, 1e-4],  # all black if white is 1
        [np.nan, np.nan],
        [-1, np.nan, np.inf, np.inf],
    ],
)
def test_floats_of_unknown_white_are_refused(values):
    """They would come out black or white as a whole."""
    with pytest.raises(PictureError, match="unsupported: floating-point samples"):
        samples.scale_floats(np.array(values))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.45])
def test_lights_do_not_darken_the_rest(share):
    values = np.linspace(0.01, 1, 2000).reshape(20, 100)
    expected = samples.scale_floats(values)
    is_light = np.random.default_rng(0).random(values.shape) < share
    values[is_light] = 40

    scaled = samples.scale_floats(values)

    np.testing.assert_array_equal(scaled, np.where(is_light, 255, expected))


def test_parts_of_large_pictures_have_the_same_white():
    values = np.zeros([3000, 1000], np.float32)
    values[-1] = 255

    assert np.unique(samples.scale_floats(values)).tolist() == [0, 255]


@pytest.mark.parametrize("brightest", [1.0001, 1.01, 2, 100, 1e9])
def test_a_few_pixels_above_white_change_nothing(brightest):
    values = np.linspace(0, 1, 1000)
    expected = samples.scale_floats(values)
    values[-3:] = brightest

    np.testing.assert_array_equal(samples.scale_floats(values)[:-3], expected[:-3])


def test_signed_numbers_are_rounded_not_floored():
    stored = np.arange(2**16, dtype=np.uint16)
    signed = stored.view(np.int16)

    rounded = samples.round_signed(stored)

    expected = np.clip(np.floor(signed / 256 + 0.5), -128, 127)
    np.testing.assert_array_equal(rounded.view(np.int8), expected)
