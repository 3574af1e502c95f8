"""Properties of pictures that can be measured and have a word: what codes may mean.

NumPy only. All but `rgb_to_lab` and `measure_properties` take Lab pictures, float64
[n, size, size, 3], and give float64 [n].
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SMALLEST_SIZE = 16  # pixels: the widest box below must fit when it is mirrored

# Steps of lightness (0 to 100). A step of 10 is seen at once; ink is darker still.
_EDGE, _INK = 10.0, 20.0
# Pixels: a band of detail is what the next box blurs away.
_BOXES = (3, 9, 27)
# Pictures that are held as float64 at once.
_CHUNK = 32

# sRGB (IEC 61966-2-1) to XYZ, and the white point D65 of the 2 degree observer.
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
    """Mean L over the pixels: 0 is black, 100 white."""
    return lab[..., 0].mean(axis=(1, 2))


def lightness_spread(lab: np.ndarray) -> np.ndarray:
    """Standard deviation of L over the pixels: 0 is flat, 50 half black half white."""
    return lab[..., 0].std(axis=(1, 2))


def chroma(lab: np.ndarray) -> np.ndarray:
    """Mean of sqrt(a^2 + b^2) over the pixels: 0 is grey, pure red 105."""
    return np.hypot(lab[..., 1], lab[..., 2]).mean(axis=(1, 2))


def chroma_spread(lab: np.ndarray) -> np.ndarray:
    """Standard deviation of sqrt(a^2 + b^2) over the pixels."""
    return np.hypot(lab[..., 1], lab[..., 2]).std(axis=(1, 2))


def warmth(lab: np.ndarray) -> np.ndarray:
    """Mean b over the pixels: below 0 blue, above 0 yellow."""
    return lab[..., 2].mean(axis=(1, 2))


def redness(lab: np.ndarray) -> np.ndarray:
    """Mean a over the pixels: below 0 green, above 0 red."""
    return lab[..., 1].mean(axis=(1, 2))


def edge_density(lab: np.ndarray) -> np.ndarray:
    """Share of pixels that differ in L by 10 or more from the right or lower pixel.

    Of the pixels that have both neighbours. Stripes of width w have 1 / w of them.
    """
    light = lab[..., 0]
    across = np.abs(np.diff(light, axis=2))[:, :-1] >= _EDGE
    down = np.abs(np.diff(light, axis=1))[:, :, :-1] >= _EDGE
    return (across | down).mean(axis=(1, 2))


def stroke_width(lab: np.ndarray) -> np.ndarray:
    """Mean width of dark lines, as a share of the picture's side; NaN without any.

    Lines are the pixels that a morphological closing of L by a square of an eighth of
    the side (odd, at least 3 pixels) makes lighter by 20 or more: what is dark and
    narrower than that square. Their width is twice their area over their outline,
    counted in pixel sides: right for lines along the axes, up to sqrt(2) too small
    for diagonal ones.
    """
    light = lab[..., 0]
    square = max(3, light.shape[1] // 8 | 1)
    closed = _extreme(_extreme(light, square, np.maximum), square, np.minimum)
    lines = closed - light >= _INK
    area = lines.sum(axis=(1, 2))
    outline = sum(np.diff(lines, axis=axis).sum(axis=(1, 2)) for axis in (1, 2))
    width = 2 * area / np.where(outline, outline, 1) / light.shape[1]
    return np.where(outline > 0, width, np.nan)


def contrast(lab: np.ndarray) -> np.ndarray:
    """95th less 5th percentile of L over the pixels: 0 to 100."""
    flat = lab[..., 0].reshape(len(lab), -1)
    low, high = np.percentile(flat, [5, 95], axis=1)
    return high - low


def fine_detail(lab: np.ndarray) -> np.ndarray:
    """Root mean square of L less its mean over 3x3 pixels: lines a pixel wide."""
    light = lab[..., 0]
    return _rms(light - _box(light, _BOXES[0]))


def medium_detail(lab: np.ndarray) -> np.ndarray:
    """Root mean square of L's mean over 3x3 pixels less that over 9x9."""
    light = lab[..., 0]
    return _rms(_box(light, _BOXES[0]) - _box(light, _BOXES[1]))


def coarse_detail(lab: np.ndarray) -> np.ndarray:
    """Root mean square of L's mean over 9x9 pixels less that over 27x27."""
    light = lab[..., 0]
    return _rms(_box(light, _BOXES[1]) - _box(light, _BOXES[2]))


def symmetry(lab: np.ndarray) -> np.ndarray:
    """Correlation of L with its mirror image, left and right swapped.

    1 is symmetric (a flat picture is), 0 unrelated, -1 the negative of its mirror.
    """
    light = lab[..., 0] - lab[..., 0].mean(axis=(1, 2), keepdims=True)
    variance = np.square(light).mean(axis=(1, 2))
    covariance = (light * light[:, :, ::-1]).mean(axis=(1, 2))
    flat = variance < 1e-12  # rounding of a flat picture
    return np.where(flat, 1.0, covariance / np.where(flat, 1.0, variance))


class Property(NamedTuple):
    """A property with the words for less and for more of it."""

    measure: Callable[[np.ndarray], np.ndarray]
    less: str
    more: str


PROPERTIES: dict[str, Property] = {
    "lightness": Property(lightness, "darker", "lighter"),
    "lightness spread": Property(
        lightness_spread, "evener lightness", "more varied lightness"
    ),
    "chroma": Property(chroma, "greyer", "more colorful"),
    "chroma spread": Property(chroma_spread, "evener color", "more varied color"),
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
    """Measure every property of pictures.

    Args:
        pictures: uint8 [n, size, size, 3], RGB.

    Returns:
        {name: float64 [n]}, in the order of `PROPERTIES`; finite but for the stroke
        width of pictures without strokes, which is NaN.

    Raises:
        ValueError: pictures of another type or shape, or too small.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise ValueError(
            "pictures must be uint8 [n, size, size, 3], got"
            f" {pictures.dtype} {list(pictures.shape)}"
        )
    if not len(pictures) or min(pictures.shape[1:3]) < SMALLEST_SIZE:
        raise ValueError(
            f"needs a picture, of {SMALLEST_SIZE} pixels or more, got"
            f" {list(pictures.shape)}"
        )
    chunks = []
    for start in range(0, len(pictures), _CHUNK):
        lab = rgb_to_lab(pictures[start : start + _CHUNK])
        chunks.append([one.measure(lab) for one in PROPERTIES.values()])
    return {
        name: np.concatenate(values)
        for name, values in zip(PROPERTIES, zip(*chunks, strict=True), strict=True)
    }


def _rms(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(values).mean(axis=(1, 2)))


def _box(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over width x width pixels (odd) of [n, height, width]; borders mirror."""
    for axis in (1, 2):
        padded = np.pad(values, _padding(axis, width), mode="reflect")
        sums = np.cumsum(padded, axis=axis)
        sums = np.insert(sums, 0, 0.0, axis=axis)
        count = values.shape[axis]
        upper = np.take(sums, range(width, width + count), axis=axis)
        values = (upper - np.take(sums, range(count), axis=axis)) / width
    return values


def _extreme(values: np.ndarray, width: int, extreme: Callable) -> np.ndarray:
    """Running maximum or minimum over width x width pixels; borders are repeated."""
    for axis in (1, 2):
        values = np.pad(values, _padding(axis, width), mode="edge")
        # values[i] is the extreme of `reach` pixels from i on; it doubles each time.
        reach = 1
        while reach < width:
            step = min(reach, width - reach)
            count = values.shape[axis] - step
            values = extreme(
                np.take(values, range(count), axis=axis),
                np.take(values, range(step, step + count), axis=axis),
            )
            reach += step
    return values


def _padding(axis: int, width: int) -> list[tuple[int, int]]:
    half = width // 2
    return [(half, half) if one == axis else (0, 0) for one in range(3)]
