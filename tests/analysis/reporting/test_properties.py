"""Properties have the values that follow from what a picture shows."""

import numpy as np
import pytest
from skimage import color

from tfstyle.analysis.reporting import properties
from tfstyle.analysis.reporting.properties import PROPERTIES, measure_properties

SIZE = 64


def gray(levels):
    """Convert levels [height, width] of 0 to 1 to uint8 [1, height, width, 3]."""
    picture = np.round(255 * np.asarray(levels, float)).astype(np.uint8)
    return np.repeat(picture[None, ..., None], 3, axis=3)


def flat(*rgb):
    return np.full([1, SIZE, SIZE, 3], rgb, np.uint8)


def measured(picture):
    return {
        name: float(values[0]) for name, values in measure_properties(picture).items()
    }


def stripes(width, period, size=SIZE):
    """Draw vertical black stripes on white, none at the border of the picture."""
    levels = np.ones([size, size])
    for left in range(period // 2, size - width - 1, period):
        levels[:, left : left + width] = 0
    return gray(levels)


HALF = gray(np.tile(np.arange(SIZE) >= SIZE // 2, [SIZE, 1]))
NOISE = np.random.default_rng(0).integers(0, 256, [5, SIZE, SIZE, 3], np.uint8)


def test_lab_equals_that_of_scikit_image():
    pixels = np.random.default_rng(1).integers(0, 256, [40, 50, 3], np.uint8)
    pixels[0, :3] = [[0, 0, 0], [255, 255, 255], [1, 0, 2]]

    np.testing.assert_allclose(
        properties.rgb_to_lab(pixels), color.rgb2lab(pixels), atol=1e-3
    )


@pytest.mark.parametrize("level, lightness", [(0, 0), (255, 100)])
def test_a_uniform_gray_picture_has_lightness_and_nothing_else(level, lightness):
    values = measured(flat(level, level, level))

    assert values.pop("lightness") == pytest.approx(lightness, abs=1e-3)
    assert values.pop("symmetry") == 1
    assert np.isnan(values.pop("stroke width"))
    assert values == pytest.approx(dict.fromkeys(values, 0), abs=0.01)


def test_half_black_half_white():
    """Mean and deviation of 0 and 100 are 50; one column of 63 is an edge."""
    values = measured(HALF)

    assert values["lightness"] == pytest.approx(50, abs=1e-3)
    assert values["lightness spread"] == pytest.approx(50, abs=1e-3)
    assert values["contrast"] == pytest.approx(100, abs=1e-3)
    assert values["edge density"] == pytest.approx(1 / (SIZE - 1))
    assert values["symmetry"] == pytest.approx(-1)
    assert np.isnan(values["stroke width"])  # half a picture is not a stroke


@pytest.mark.parametrize(
    "rgb, warm, red",
    [((255, 0, 0), 1, 1), ((0, 0, 255), -1, 1), ((0, 255, 0), 1, -1)],
)
def test_a_uniform_color_has_its_own_warmth_redness_and_chroma(rgb, warm, red):
    _, a, b = color.rgb2lab(np.array(rgb, np.uint8)[None, None])[0, 0]
    values = measured(flat(*rgb))

    assert values["redness"] == pytest.approx(a, abs=0.01) and a * red > 0
    assert values["warmth"] == pytest.approx(b, abs=0.01) and b * warm > 0
    assert values["chroma"] == pytest.approx(np.hypot(a, b), abs=0.01)
    assert values["chroma spread"] == pytest.approx(0, abs=1e-6)


def test_chroma_spreads_where_color_meets_gray():
    """Half of chroma c and half of 0 have mean and deviation c / 2."""
    picture = flat(255, 0, 0)
    whole = measured(picture)["chroma"]
    picture[:, : SIZE // 2] = 128
    values = measured(picture)

    assert values["chroma"] == pytest.approx(whole / 2, abs=0.01)
    assert values["chroma spread"] == pytest.approx(whole / 2, abs=0.01)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_stripes_have_their_width_in_both_directions(width):
    vertical = stripes(width, 16)

    for picture in (vertical, vertical.transpose(0, 2, 1, 3)):
        assert measured(picture)["stroke width"] == pytest.approx(width / SIZE)


def test_stroke_width_is_relative_to_the_side():
    small, large = stripes(2, 16), stripes(4, 32, 2 * SIZE)

    assert measured(small)["stroke width"] == measured(large)["stroke width"]


def test_light_lines_and_wide_areas_are_not_strokes():
    assert np.isnan(measured(255 - stripes(2, 16))["stroke width"])
    assert np.isnan(measured(stripes(20, 40))["stroke width"])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_stripes_have_an_edge_at_each_side(width):
    picture = gray(np.tile(np.arange(SIZE) // width % 2, [SIZE, 1]))

    # Of the 63 pairs of neighbors in a row, every width-th changes.
    pairs = sum((x + 1) % width == 0 for x in range(SIZE - 1))
    assert measured(picture)["edge density"] == pytest.approx(pairs / (SIZE - 1))


def test_faint_steps_are_not_edges():
    """Gray 120 and 136 are 6 apart in lightness, less than 10."""
    faint = np.where(np.arange(SIZE) % 2, 120 / 255, 136 / 255)

    assert measured(gray(np.tile(faint, [SIZE, 1])))["edge density"] == 0


def test_contrast_ignores_the_extreme_twentieths():
    """One black row of 64 is under 5 %, eight are over."""
    levels = np.ones([SIZE, SIZE])
    levels[0] = 0
    assert measured(gray(levels))["contrast"] == pytest.approx(0, abs=1e-6)
    levels[:8] = 0
    assert measured(gray(levels))["contrast"] == pytest.approx(100, abs=1e-3)


def test_a_checkerboard_of_pixels_is_fine_detail():
    """+-50 around its mean; 3x3 pixels hold 5 of one and 4 of the other: +-50 / 9."""
    board = np.indices([SIZE, SIZE]).sum(axis=0) % 2
    values = measured(gray(board))

    assert values["fine detail"] == pytest.approx(50 * 8 / 9, rel=1e-4)
    assert values["medium detail"] == pytest.approx(50 / 9 - 50 / 81, rel=1e-4)
    assert values["coarse detail"] == pytest.approx(50 / 81 - 50 / 729, rel=1e-4)


@pytest.mark.parametrize(
    "width, strongest",
    [(1, "fine detail"), (4, "medium detail"), (11, "coarse detail")],
)
def test_detail_is_found_at_its_scale(width, strongest):
    values = measured(gray(np.tile(np.arange(SIZE) // width % 2, [SIZE, 1])))
    bands = ("fine detail", "medium detail", "coarse detail")

    assert max(bands, key=values.__getitem__) == strongest


def test_mirrored_pictures_are_symmetric_and_noise_is_not():
    mirrored = np.concatenate([NOISE[:1], NOISE[:1, :, ::-1]], axis=2)[:, :, 32:96]

    assert measured(mirrored)["symmetry"] == pytest.approx(1)
    assert abs(measured(NOISE)["symmetry"]) < 0.1


def test_mirroring_a_picture_changes_no_property():
    expected, mirrored = (
        measure_properties(NOISE),
        measure_properties(NOISE[:, :, ::-1]),
    )
    expected.pop("edge density")  # of a pixel and its right neighbour; nearly the same

    for name, values in expected.items():
        np.testing.assert_allclose(mirrored[name], values, err_msg=name)


def test_pictures_are_measured_independently_of_chunks(monkeypatch):
    together = measure_properties(NOISE)
    monkeypatch.setattr(properties, "PICTURES_PER_CHUNK", 2)

    assert list(together) == list(PROPERTIES)
    for name, values in measure_properties(NOISE).items():
        assert (values.shape, values.dtype) == ((5,), np.float64)
        np.testing.assert_allclose(values, together[name])
    alone = measured(NOISE[3:4])
    assert alone == pytest.approx({name: v[3] for name, v in together.items()})


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_is_documented_and_has_two_words(name):
    kind = PROPERTIES[name]

    assert kind.measure.__doc__ and kind.less and kind.more and kind.less != kind.more


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros([1, SIZE, SIZE, 3]),
        np.zeros([SIZE, SIZE, 3], np.uint8),
        np.zeros([1, 8, 8, 3], np.uint8),
        np.zeros([0, SIZE, SIZE, 3], np.uint8),
    ],
)
def test_other_arrays_are_rejected_with_their_shape(pictures):
    with pytest.raises(ValueError, match=r"got .*\[.*\d"):
        measure_properties(pictures)
