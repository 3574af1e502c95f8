"""Colors are those of the profile's formulas; sRGB is unchanged."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers import icc
from tfstyle.data.pictures import PictureError, profiles

LEVELS = np.array([0, 1, 16, 60, 128, 200, 254, 255])
COLORS = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), axis=-1).reshape(8, 64, 3)
PRIMARIES = {
    "sRGB": icc.SRGB_D50,
    "Adobe RGB": icc.ADOBE_RGB_D50,
    "Display P3": icc.P3_D50,
}


def convert(levels: np.ndarray, profile: bytes | None) -> np.ndarray:
    image = Image.fromarray(levels.astype(np.uint8))
    return np.asarray(profiles.convert_to_srgb(image, profile)).astype(int)


@pytest.mark.parametrize("gamma", [1.0, 1.80078125, 2.19921875])
@pytest.mark.parametrize("name", PRIMARIES)
def test_matrix_profiles_are_applied(name, gamma):
    profile = icc.matrix_profile(PRIMARIES[name], gamma)
    expected = icc.convert_rgb(COLORS, PRIMARIES[name], gamma)

    # Near black sRGB is steep: two levels there are less than 0.1 % of white.
    assert abs(convert(COLORS, profile) - expected).max() <= 2


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.5])
def test_gray_profiles_are_applied(gamma):
    profile = icc.gray_profile(gamma)

    assert (
        abs(
            convert(LEVELS[None], profile) - icc.convert_gray(LEVELS[None], gamma)
        ).max()
        <= 2
    )


@pytest.mark.parametrize(
    "profile",
    [
        None,
        icc.matrix_profile(icc.SRGB_D50, None),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profiles._make_profile(profiles._SRGB_CHROMATICITIES, None),
    ],
    ids=["none", "a table", "littleCMS", "a formula"],
)
def test_srgb_is_unchanged_to_the_last_level(profile):
    np.testing.assert_array_equal(convert(COLORS, profile), COLORS)
    assert profiles.is_plain(profile, "RGB")


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"short",
        b"\0" * 500,
        icc.matrix_profile(icc.P3_D50, 2.2)[:200],
        icc.gray_profile(1.0),
        icc.cmyk_profile(np.zeros([16, 3])),
    ],
    ids=["empty", "short", "zeros", "cut", "of grays", "of inks"],
)
def test_a_profile_that_does_not_fit_is_ignored(profile):
    np.testing.assert_array_equal(convert(COLORS, profile), COLORS)


@pytest.mark.parametrize("name", ["Adobe RGB", "Display P3"])
def test_described_primaries_are_those_of_the_profile(name):
    chromaticities = {
        "Adobe RGB": (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
        "Display P3": (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    }[name]
    profile = profiles.make_png_profile(1 / 2.2, chromaticities)
    expected = icc.convert_rgb(COLORS, PRIMARIES[name], 2.2)

    assert abs(convert(COLORS, profile) - expected).max() <= 2


def test_video_code_points_of_srgb_need_no_profile():
    assert profiles.make_video_profile(1, 13) is None
    assert profiles.make_video_profile(2, 2) is None


def test_display_p3_as_video_code_points_is_converted():
    profile = profiles.make_video_profile(12, 13)
    light = icc.srgb_curve(COLORS / 255)
    expected = np.rint(icc.to_srgb(light @ icc.P3_D50.T))

    assert abs(convert(COLORS, profile) - expected).max() <= 2


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_a_high_dynamic_range_is_refused_by_name(transfer, name):
    with pytest.raises(PictureError, match=f"unsupported.*{name}"):
        profiles.make_video_profile(9, transfer)


def test_a_profile_of_colors_is_not_plain_for_gray():
    adobe = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)

    assert not profiles.is_plain(adobe, "L")
    assert profiles.is_plain(icc.matrix_profile(icc.SRGB_D50, None), "L")


SRGB = profiles._SRGB_CHROMATICITIES


@pytest.mark.parametrize("gamma", [0.0, 0.00015, 6250.1, float("inf")])
def test_a_gamma_that_libpng_ignores_makes_no_profile(gamma):
    assert profiles.make_png_profile(gamma, None) is None


@pytest.mark.parametrize(
    "chromaticities",
    [(0.0,) * 8, (0.0, 0.0, *SRGB[2:]), (0.3, 0.3) * 4, (0.9, 0.05, *SRGB[2:])]
    + [(*SRGB[:2], 0.8, 0.3, 0.8, 0.3, 0.1, 0.1), (20000.0,) * 8],
)
def test_impossible_primaries_make_no_profile(chromaticities):
    assert profiles.make_png_profile(1.0, chromaticities) is None


def test_the_primaries_of_wide_color_spaces_are_possible():
    prophoto = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)

    assert profiles.make_png_profile(1 / 1.8, prophoto) is not None
