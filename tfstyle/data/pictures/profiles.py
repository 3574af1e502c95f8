"""Convert pictures to sRGB by their color profiles.

Conversion is perceptual, by littleCMS. Pictures without a profile are taken to be sRGB,
except CMYK and Lab. A profile that is corrupt, or of another color space than its
picture, is ignored, as viewers do.
"""

import functools
import io
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tfstyle.data.formats import png
from tfstyle.data.formats.errors import PictureError

# Chromaticities x, y of white, red, green and blue.
Chromaticities = tuple[float, ...]

_SRGB_CHROMATICITIES = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_SRGB_GAMMA = 0.45455  # its exponent as PNG files state it
_MIN_GAMMA, _MAX_GAMMA = 0.00016, 6250.0  # as libpng
_SAME_GAMMA = 0.05  # relative; as libpng
_SAME_CHROMATICITY = 0.002
# Code points of ITU-T H.273, which PNG's cICP and AVIF's nclx hold.
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB_CHROMATICITIES,
    5: (0.3127, 0.329, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.329, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_UNSPECIFIED = 2
# What displays show unchanged: BT.709, BT.601, sRGB and BT.2020. None: sRGB's curve.
_GAMMAS: dict[int, float | None] = dict.fromkeys((1, 2, 6, 13, 14, 15))
_GAMMAS |= {4: 2.2, 5: 2.8, 8: 1.0}
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_MAX_XYZ = 16.0  # white has 1
_SPACES = {"RGB": ("RGB ",), "L": ("GRAY", "RGB "), "CMYK": ("CMYK",), "LAB": ()}
_CORRUPT = (ImageCms.PyCMSError, OSError)
# Instead of by tables, which near black are off by 8 levels.
_EXACT = ImageCms.Flags.NOOPTIMIZE


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an opaque picture to RGB in sRGB.

    Args:
        image: L, RGB, CMYK or LAB.
        profile: an ICC profile; None if there is none.
    """
    space = _read_space(profile)
    if profile is None or space not in _SPACES[image.mode]:
        if image.mode == "LAB":
            return _apply(_make_lab_transform(), image)
        return image.convert("RGB")
    if space == "RGB ":
        image = image.convert("RGB")
    try:
        transform = _make_transform(profile, image.mode)
    except _CORRUPT:
        return image.convert("RGB")
    if transform is None:
        return image.convert("RGB")
    if image.mode == "L":
        # A table of all levels is as exact, and faster.
        levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        return Image.fromarray(np.asarray(_apply(transform, levels))[0][image])
    return _apply(transform, image)


def is_plain(profile: bytes | None, mode: str) -> bool:
    """Return whether a profile changes nothing in pictures of a mode, L or RGB."""
    space = _read_space(profile)
    if profile is None or space not in _SPACES[mode]:
        return True
    if space == "RGB ":
        mode = "RGB"
    try:
        return _make_transform(profile, mode) is None
    except _CORRUPT:
        return True


def find_png_profile(picture: png.Png) -> bytes | None:
    """Return the profile that a PNG file states in any way; None if it is sRGB.

    Raises:
        PictureError: the picture has a high dynamic range.
    """
    if picture.code_points is not None:
        primaries, transfer = picture.code_points
        transfers = _GAMMAS.keys() | _HIGH_DYNAMIC_RANGE.keys()
        if primaries in _PRIMARIES and transfer in transfers - {_UNSPECIFIED}:
            return make_video_profile(primaries, transfer)
    if picture.profile is not None:
        return picture.profile
    if picture.is_srgb:
        return None
    return make_png_profile(picture.gamma, picture.chromaticities)


def make_png_profile(
    gamma: float | None, chromaticities: Chromaticities | None
) -> bytes | None:
    """Make the profile that PNG's gAMA and cHRM describe.

    None if it is sRGB, or if no display can have such colors.
    """
    primaries = chromaticities or _SRGB_CHROMATICITIES
    differences = np.abs(np.subtract(primaries, _SRGB_CHROMATICITIES))
    is_srgb = differences.max() <= _SAME_CHROMATICITY
    if gamma is None or (is_srgb and abs(gamma / _SRGB_GAMMA - 1) <= _SAME_GAMMA):
        return None
    if not (_MIN_GAMMA <= gamma <= _MAX_GAMMA and _are_possible(primaries)):
        return None
    return _make_profile(primaries, 1 / gamma)


def make_video_profile(primaries: int, transfer: int) -> bytes | None:
    """Make the profile of code points of ITU-T H.273; None if it is sRGB.

    Raises:
        PictureError: the picture has a high dynamic range.
    """
    if transfer in _HIGH_DYNAMIC_RANGE:
        raise PictureError(
            "unsupported",
            f"a picture of high dynamic range ({_HIGH_DYNAMIC_RANGE[transfer]})",
        )
    gamma = _GAMMAS.get(transfer)
    if primaries in (1, _UNSPECIFIED) and gamma is None:
        return None
    return _make_profile(_PRIMARIES.get(primaries, _SRGB_CHROMATICITIES), gamma)


def _read_space(profile: bytes | None) -> str:
    """Return the color space of an ICC profile, "" if it is none."""
    if profile is None or len(profile) < 128 or profile[36:40] != b"acsp":
        return ""
    return profile[16:20].decode("latin-1")


@functools.lru_cache(maxsize=16)
def _make_transform(profile: bytes, mode: str) -> Any | None:
    """Make the transform of a profile to sRGB; None if it changes nothing.

    Raises:
        PyCMSError, OSError: the profile is corrupt.
    """
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        opened,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        flags=_EXACT if mode == "L" else ImageCms.Flags.NONE,
    )
    if mode == "RGB":
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        colors = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        colors = colors.reshape(1, -1, 3)
        converted = np.asarray(_apply(transform, Image.fromarray(colors)))
        if np.abs(converted.astype(int) - colors).max() <= 1:
            return None
    return transform


@functools.cache
def _make_lab_transform() -> Any:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"),
        ImageCms.createProfile("sRGB"),
        "LAB",
        "RGB",
        flags=_EXACT,
    )


def _apply(transform: Any, image: Image.Image) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # it is not in place
    return result


@functools.lru_cache(maxsize=16)
def _make_profile(chromaticities: Chromaticities, gamma: float | None) -> bytes:
    """Make an ICC profile; without a gamma, its curve is sRGB's."""
    primaries = _compute_primaries(np.array(chromaticities).reshape(4, 2))
    if gamma is None:
        numbers = [round(n * 65536) for n in (2.4, 1 / 1.055, 0.055 / 1.055)]
        numbers += [round(n * 65536) for n in (1 / 12.92, 0.04045)]
        curve = b"para" + struct.pack(">IHH5i", 0, 3, 0, *numbers)
    else:
        curve = b"para" + struct.pack(">IHHi", 0, 0, 0, round(gamma * 65536))
    tags = {b"wtpt": _pack_xyz(_D50)}
    for name, primary in zip((b"r", b"g", b"b"), primaries.T, strict=True):
        tags |= {name + b"XYZ": _pack_xyz(primary), name + b"TRC": curve}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI", start + len(body), b"\0" * 4, 0x04000000)
    header += b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    header += _pack_xyz(_D50)[8:]
    return header.ljust(128, b"\0") + table + body


def _compute_primaries(chromaticities: np.ndarray) -> np.ndarray:
    """Return XYZ under D50 of red, green and blue, as columns."""
    x, y = chromaticities.T
    white, *colors = np.stack([x / y, np.ones(4), (1 - x - y) / y], axis=1)
    primaries = np.stack(colors, axis=1)
    primaries = primaries * np.linalg.solve(primaries, white)
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ primaries)


def _are_possible(chromaticities: Chromaticities) -> bool:
    """Return whether some light of each primary makes white."""
    x, y = np.array(chromaticities).reshape(4, 2).T
    if (x < 0).any() or (y <= 0).any() or (x + y > 1).any():
        return False
    white, *colors = np.stack([x, y, 1 - x - y], axis=1)
    try:
        shares = np.linalg.solve(np.stack(colors, axis=1), white)
    except np.linalg.LinAlgError:  # they are on a line
        return False
    if (shares <= 0).any():
        return False
    primaries = _compute_primaries(np.stack([x, y], axis=1))
    return bool((np.abs(primaries) < _MAX_XYZ).all())


def _pack_xyz(values: np.ndarray) -> bytes:
    numbers = [round(float(value) * 65536) for value in values]
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *numbers)
