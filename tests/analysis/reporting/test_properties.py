"""Properties have the values that can be told by looking at the picture."""

import numpy as np
import pytest
from skimage import color

from tfstyle.analysis.reporting import properties
from tfstyle.analysis.reporting.properties import PROPERTIES, measure_properties

SIZE = 64


def grey(levels):
    """[height, width] of 0 to 1 -> uint8 [1, height, width, 3]."""
    picture = np.round(255 * np.asarray(levels, float)).astype(np.uint8)
    return np.repeat(picture[None, ..., None], 3, axis=3)


def flat(*rgb):
    return np.full([1, SIZE, SIZE, 3], rgb, np.uint8)


def measured(picture):
    return {
        name: float(values[0]) for name, values in measure_properties(picture).items()
    }


def stripes(width, period, size=SIZE):
    """Black upright stripes on white, none at the picture's border."""
    levels = np.ones([size, size])
    for left in range(period // 2, size - width - 1, period):
        levels[:, left : left + width] = 0
    return grey(levels)


HALF = grey(np.tile(np.arange(SIZE) >= SIZE // 2, [SIZE, 1]))
NOISE = np.random.default_rng(0).integers(0, 256, [5, SIZE, SIZE, 3], np.uint8)


def test_lab_is_scikit_images():
    pixels = np.random.default_rng(1).integers(0, 256, [40, 50, 3], np.uint8)
    pixels[0, :3] = [[0, 0, 0], [255, 255, 255], [1, 0, 2]]

    np.testing.assert_allclose(
        properties.rgb_to_lab(pixels), color.rgb2lab(pixels), atol=1e-3
    )


@pytest.mark.parametrize("level, lightness", [(0, 0), (255, 100)])
def test_a_flat_grey_picture_has_lightness_and_nothing_else(level, lightness):
    found = measured(flat(level, level, level))

    assert found.pop("lightness") == pytest.approx(lightness, abs=1e-3)
    assert found.pop("symmetry") == 1
    assert np.isnan(found.pop("stroke width"))
    assert found == pytest.approx(dict.fromkeys(found, 0), abs=0.01)


def test_half_black_half_white():
    """Mean and deviation of 0 and 100 are 50; one column of 63 is an edge."""
    found = measured(HALF)

    assert found["lightness"] == pytest.approx(50, abs=1e-3)
    assert found["lightness spread"] == pytest.approx(50, abs=1e-3)
    assert found["contrast"] == pytest.approx(100, abs=1e-3)
    assert found["edge density"] == pytest.approx(1 / (SIZE - 1))
    assert found["symmetry"] == pytest.approx(-1)
    assert np.isnan(found["stroke width"])  # half a picture is no stroke


@pytest.mark.parametrize(
    "rgb, warm, red",
    [((255, 0, 0), 1, 1), ((0, 0, 255), -1, 1), ((0, 255, 0), 1, -1)],
)
def test_hue_balance_and_chroma_of_a_flat_color_are_its_own(rgb, warm, red):
    _, a, b = color.rgb2lab(np.array(rgb, np.uint8)[None, None])[0, 0]
    found = measured(flat(*rgb))

    assert found["redness"] == pytest.approx(a, abs=0.01) and a * red > 0
    assert found["warmth"] == pytest.approx(b, abs=0.01) and b * warm > 0
    assert found["chroma"] == pytest.approx(np.hypot(a, b), abs=0.01)
    assert found["chroma spread"] == pytest.approx(0, abs=1e-6)


def test_chroma_spreads_where_color_meets_grey():
    """Half of chroma c and half of 0 have mean and deviation c / 2."""
    picture = flat(255, 0, 0)
    whole = measured(picture)["chroma"]
    picture[:, : SIZE // 2] = 128
    found = measured(picture)

    assert found["chroma"] == pytest.approx(whole / 2, abs=0.01)
    assert found["chroma spread"] == pytest.approx(whole / 2, abs=0.01)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_stripes_have_their_width_across_and_down(width):
    upright = stripes(width, 16)

    for picture in (upright, upright.transpose(0, 2, 1, 3)):
        assert measured(picture)["stroke width"] == pytest.approx(width / SIZE)


def test_stroke_width_is_a_share_of_the_side():
    small, large = stripes(2, 16), stripes(4, 32, 2 * SIZE)

    assert measured(small)["stroke width"] == measured(large)["stroke width"]


def test_light_lines_and_broad_areas_are_no_strokes():
    assert np.isnan(measured(255 - stripes(2, 16))["stroke width"])
    assert np.isnan(measured(stripes(20, 40))["stroke width"])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_stripes_have_an_edge_at_each_side(width):
    picture = grey(np.tile(np.arange(SIZE) // width % 2, [SIZE, 1]))

    # Of the 63 pairs of neighbours in a row, each width-th changes.
    pairs = sum((x + 1) % width == 0 for x in range(SIZE - 1))
    assert measured(picture)["edge density"] == pytest.approx(pairs / (SIZE - 1))


def test_faint_steps_are_no_edges():
    """Grey 120 and 136 are 6 apart in lightness, less than 10."""
    faint = np.where(np.arange(SIZE) % 2, 120 / 255, 136 / 255)

    assert measured(grey(np.tile(faint, [SIZE, 1])))["edge density"] == 0


def test_contrast_leaves_out_the_extreme_twentieths():
    """One black row of 64 is under 5 %, eight are over."""
    levels = np.ones([SIZE, SIZE])
    levels[0] = 0
    assert measured(grey(levels))["contrast"] == pytest.approx(0, abs=1e-6)
    levels[:8] = 0
    assert measured(grey(levels))["contrast"] == pytest.approx(100, abs=1e-3)


def test_a_chessboard_of_pixels_is_fine_detail():
    """+-50 about its mean; 3x3 pixels hold 5 of one and 4 of the other: +-50 / 9."""
    board = np.indices([SIZE, SIZE]).sum(axis=0) % 2
    found = measured(grey(board))

    assert found["fine detail"] == pytest.approx(50 * 8 / 9, rel=1e-4)
    assert found["medium detail"] == pytest.approx(50 / 9 - 50 / 81, rel=1e-4)
    assert found["coarse detail"] == pytest.approx(50 / 81 - 50 / 729, rel=1e-4)


@pytest.mark.parametrize(
    "width, strongest",
    [(1, "fine detail"), (4, "medium detail"), (11, "coarse detail")],
)
def test_detail_is_found_at_its_scale(width, strongest):
    found = measured(grey(np.tile(np.arange(SIZE) // width % 2, [SIZE, 1])))
    bands = ("fine detail", "medium detail", "coarse detail")

    assert max(bands, key=found.__getitem__) == strongest


def test_mirrored_pictures_are_symmetric_and_noise_is_not():
    mirrored = np.concatenate([NOISE[:1], NOISE[:1, :, ::-1]], axis=2)[:, :, 32:96]

    assert measured(mirrored)["symmetry"] == pytest.approx(1)
    assert abs(measured(NOISE)["symmetry"]) < 0.1


def test_mirroring_a_picture_changes_no_property():
    found, mirrored = measure_properties(NOISE), measure_properties(NOISE[:, :, ::-1])
    found.pop("edge density")  # of a pixel and its right neighbour; nearly the same

    for name, values in found.items():
        np.testing.assert_allclose(mirrored[name], values, err_msg=name)


def test_pictures_are_measured_each_alone(monkeypatch):
    together = measure_properties(NOISE)
    monkeypatch.setattr(properties, "_CHUNK", 2)

    assert list(together) == list(PROPERTIES)
    for name, values in measure_properties(NOISE).items():
        assert (values.shape, values.dtype) == ((5,), np.float64)
        np.testing.assert_allclose(values, together[name])
    alone = measured(NOISE[3:4])
    assert alone == pytest.approx({name: v[3] for name, v in together.items()})


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_says_what_it_is_and_has_two_words(name):
    one = PROPERTIES[name]

    assert one.measure.__doc__ and one.less and one.more and one.less != one.more


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros([1, SIZE, SIZE, 3]),
        np.zeros([SIZE, SIZE, 3], np.uint8),
        np.zeros([1, 8, 8, 3], np.uint8),
        np.zeros([0, SIZE, SIZE, 3], np.uint8),
    ],
)
def test_other_arrays_are_refused_with_their_shape(pictures):
    with pytest.raises(ValueError, match=r"got .*\[.*\d"):
        measure_properties(pictures)
