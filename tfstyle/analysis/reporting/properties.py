"""Measurable properties of pictures with words for less and more of them.

They describe what style dimensions mean. All functions but `rgb_to_lab` and
`measure_properties` take Lab pictures, float64 [n, size, size, 3], and return float64
[n].
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

SMALLEST_SIZE = 16  # pixels; smaller pictures have no coarse detail

# Steps of lightness (0 to 100). A step of 10 is clearly visible; ink is darker still.
_EDGE, _INK = 10.0, 20.0
# Widths of averaging boxes in pixels; each band of detail lies between two of them.
_FINE, _MEDIUM, _COARSE = 3, 9, 27
# Pictures held as float64 at a time.
PICTURES_PER_CHUNK = 32

# From sRGB (IEC 61966-2-1) to XYZ, and the white point D65 of the 2 degree observer.
_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_D65 = np.array([0.95047, 1.0, 1.08883])


def rgb_to_lab(pictures: np.ndarray) -> np.ndarray:
    """Convert sRGB to CIE Lab under D65.

    Args:
        pictures: uint8 [..., 3].

    Returns:
        float64 [..., 3]: L in [0, 100], a in [-87, 99], b in [-108, 95].
    """
    levels = np.arange(256) / 255
    linear = np.where(
        levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
    )
    t = linear[pictures] @ (_XYZ / _D65[:, None]).T
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lightness(lab: np.ndarray) -> np.ndarray:
    """Compute the mean L of the pixels: 0 is black, 100 white."""
    return lab[..., 0].mean(axis=(1, 2))


def lightness_spread(lab: np.ndarray) -> np.ndarray:
    """Compute the deviation of L: 0 is uniform, 50 is half black and half white."""
    return lab[..., 0].std(axis=(1, 2))


def chroma(lab: np.ndarray) -> np.ndarray:
    """Compute the mean of sqrt(a^2 + b^2): 0 is gray, pure red 105."""
    return np.hypot(lab[..., 1], lab[..., 2]).mean(axis=(1, 2))


def chroma_spread(lab: np.ndarray) -> np.ndarray:
    """Compute the standard deviation of sqrt(a^2 + b^2)."""
    return np.hypot(lab[..., 1], lab[..., 2]).std(axis=(1, 2))


def warmth(lab: np.ndarray) -> np.ndarray:
    """Compute the mean b: negative is blue, positive yellow."""
    return lab[..., 2].mean(axis=(1, 2))


def redness(lab: np.ndarray) -> np.ndarray:
    """Compute the mean a: negative is green, positive red."""
    return lab[..., 1].mean(axis=(1, 2))


def edge_density(lab: np.ndarray) -> np.ndarray:
    """Compute the share of pixels with an L step of 10 to the right or lower pixel.

    Only pixels with both neighbors count. The share is 1 / w for stripes of width w.
    """
    light = lab[..., 0]
    across = np.abs(np.diff(light, axis=2))[:, :-1] >= _EDGE
    down = np.abs(np.diff(light, axis=1))[:, :, :-1] >= _EDGE
    return (across | down).mean(axis=(1, 2))


def stroke_width(lab: np.ndarray) -> np.ndarray:
    """Compute the mean width of dark lines relative to the side; NaN without lines.

    Lines are the pixels whose L increases by 20 or more in a morphological closing by a
    square of an eighth of the side (odd, at least 3 pixels), that is, dark areas
    narrower than the square. The width is twice their area divided by their outline
    in pixel sides. This is exact for lines along the axes, and up to sqrt(2) too small
    for diagonal ones.
    """
    light = lab[..., 0]
    square = max(3, light.shape[1] // 8 | 1)
    closed = ndimage.grey_closing(light, (1, square, square), mode="nearest")
    lines = closed - light >= _INK
    area = lines.sum(axis=(1, 2))
    outline = sum(np.diff(lines, axis=axis).sum(axis=(1, 2)) for axis in (1, 2))
    width = 2 * area / np.where(outline, outline, 1) / light.shape[1]
    return np.where(outline > 0, width, np.nan)


def contrast(lab: np.ndarray) -> np.ndarray:
    """Compute the 95th minus the 5th percentile of L: 0 to 100."""
    flat = lab[..., 0].reshape(len(lab), -1)
    low, high = np.percentile(flat, [5, 95], axis=1)
    return high - low


def fine_detail(lab: np.ndarray) -> np.ndarray:
    """Compute the RMS of L minus its mean over 3x3 pixels: lines one pixel wide."""
    return _rms(lab[..., 0] - _box_mean(lab, _FINE))


def medium_detail(lab: np.ndarray) -> np.ndarray:
    """Compute the RMS of the mean of L over 3x3 pixels minus that over 9x9."""
    return _rms(_box_mean(lab, _FINE) - _box_mean(lab, _MEDIUM))


def coarse_detail(lab: np.ndarray) -> np.ndarray:
    """Compute the RMS of the mean of L over 9x9 pixels minus that over 27x27."""
    return _rms(_box_mean(lab, _MEDIUM) - _box_mean(lab, _COARSE))


def symmetry(lab: np.ndarray) -> np.ndarray:
    """Compute the correlation of L with its mirror image, left and right swapped.

    1 is symmetric (also a uniform picture), 0 unrelated, -1 the mirror's negative.
    """
    light = lab[..., 0] - lab[..., 0].mean(axis=(1, 2), keepdims=True)
    variance = np.square(light).mean(axis=(1, 2))
    covariance = (light * light[:, :, ::-1]).mean(axis=(1, 2))
    uniform = variance < 1e-12  # but for rounding
    return np.where(uniform, 1.0, covariance / np.where(uniform, 1.0, variance))


class Property(NamedTuple):
    """A property with words for less and for more of it."""

    measure: Callable[[np.ndarray], np.ndarray]
    less: str
    more: str


PROPERTIES: dict[str, Property] = {
    "lightness": Property(lightness, "darker", "lighter"),
    "lightness spread": Property(
        lightness_spread, "more uniform lightness", "more varied lightness"
    ),
    "chroma": Property(chroma, "grayer", "more colorful"),
    "chroma spread": Property(chroma_spread, "more uniform color", "more varied color"),
    "warmth": Property(warmth, "cooler", "warmer"),
    "redness": Property(redness, "greener", "redder"),
    "edge density": Property(edge_density, "fewer edges", "more edges"),
    "stroke width": Property(stroke_width, "thinner strokes", "thicker strokes"),
    "contrast": Property(contrast, "less contrast", "more contrast"),
    "fine detail": Property(fine_detail, "less fine detail", "more fine detail"),
    "medium detail": Property(
        medium_detail, "less medium detail", "more medium detail"
    ),
    "coarse detail": Property(
        coarse_detail, "less coarse detail", "more coarse detail"
    ),
    "symmetry": Property(symmetry, "less symmetric", "more symmetric"),
}


def measure_properties(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Measure all properties of pictures.

    Args:
        pictures: uint8 [n, size, size, 3], RGB.

    Returns:
        {name: float64 [n]} in the order of `PROPERTIES`; finite except for the stroke
        width of pictures without strokes, which is NaN.

    Raises:
        ValueError: if pictures have another type or shape, or are too small.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise ValueError(
            "pictures must be uint8 [n, size, size, 3], got"
            f" {pictures.dtype} {list(pictures.shape)}"
        )
    if not len(pictures) or min(pictures.shape[1:3]) < SMALLEST_SIZE:
        raise ValueError(
            f"needs pictures of at least {SMALLEST_SIZE} pixels, got"
            f" {list(pictures.shape)}"
        )
    chunks = []
    for start in range(0, len(pictures), PICTURES_PER_CHUNK):
        lab = rgb_to_lab(pictures[start : start + PICTURES_PER_CHUNK])
        chunks.append([kind.measure(lab) for kind in PROPERTIES.values()])
    return {
        name: np.concatenate(values)
        for name, values in zip(PROPERTIES, zip(*chunks, strict=True), strict=True)
    }


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(values).mean(axis=(1, 2)))


def _box_mean(lab: np.ndarray, width: int) -> np.ndarray:
    """Average L over width x width pixels; borders are mirrored."""
    return ndimage.uniform_filter(lab[..., 0], (1, width, width), mode="mirror")
