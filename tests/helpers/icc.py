"""ICC profiles, written by hand as ICC.1:2001 specifies them, and their colors."""

import struct

import numpy as np

# XYZ of the primaries under D50, as columns.
SRGB_D50 = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
ADOBE_RGB_D50 = np.array(
    [
        [0.6097559, 0.2052401, 0.1492240],
        [0.3111242, 0.6256560, 0.0632197],
        [0.0194811, 0.0608902, 0.7448387],
    ]
)
P3_D50 = np.array(
    [
        [0.5151187, 0.2919778, 0.1571035],
        [0.2411892, 0.6922441, 0.0665668],
        [-0.0010505, 0.0418791, 0.7840713],
    ]
)
D50 = np.array([0.9642, 1.0, 0.8249])


def matrix_profile(
    primaries: np.ndarray, gamma: float | None, name: str = "test"
) -> bytes:
    """Make an RGB profile; without a gamma, its curve is sRGB's, as a table."""
    curve = _curve(gamma)
    tags = {b"desc": _description(name), b"wtpt": _xyz(D50)}
    for i, channel in enumerate(b"rgb"):
        tags[bytes([channel]) + b"XYZ"] = _xyz(primaries[:, i])
        tags[bytes([channel]) + b"TRC"] = curve
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def gray_profile(gamma: float) -> bytes:
    """Make a profile of gray levels."""
    tags = {b"desc": _description("gray"), b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)}
    return _profile(b"mntr", b"GRAY", b"XYZ ", tags)


def cmyk_profile(corners: np.ndarray) -> bytes:
    """Make a CMYK profile from Lab [16, 3] where each ink is none or full.

    The colors of the last ink change fastest.
    """
    lightness = np.rint(corners[:, :1] * 255 / 100)
    levels = np.concatenate([lightness, np.rint(corners[:, 1:]) + 128], axis=1)
    identity = bytes(range(256))
    data = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    data += struct.pack(">9i", *(np.eye(3, dtype=int) * 65536).ravel())
    data += identity * 4 + levels.astype(np.uint8).tobytes() + identity * 3
    tags = {b"desc": _description("inks"), b"wtpt": _xyz(D50), b"A2B0": data}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def to_srgb(xyz: np.ndarray) -> np.ndarray:
    """Convert XYZ under D50 [.., 3], white 1, to sRGB levels, not rounded."""
    linear = np.clip(xyz @ np.linalg.inv(SRGB_D50).T, 0, 1)
    encoded = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return 255 * encoded


def convert_rgb(levels: np.ndarray, primaries: np.ndarray, gamma: float) -> np.ndarray:
    """Convert levels [.., 3] of a matrix profile to sRGB levels."""
    return np.rint(to_srgb((levels / 255.0) ** gamma @ primaries.T)).astype(np.uint8)


def convert_gray(levels: np.ndarray, gamma: float) -> np.ndarray:
    """Convert levels of a gray profile to sRGB levels [.., 3]."""
    light = (levels[..., None] / 255.0) ** gamma
    return np.rint(to_srgb(light * SRGB_D50.sum(axis=1))).astype(np.uint8)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert Lab under D50 [.., 3] to sRGB levels."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratios = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return np.rint(to_srgb(ratios * D50)).astype(np.uint8)


def srgb_curve(levels: np.ndarray) -> np.ndarray:
    """Return the light of sRGB levels from 0 to 1."""
    return np.where(
        levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
    )


def _curve(gamma: float | None) -> bytes:
    if gamma is None:
        table = np.rint(srgb_curve(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.tobytes()
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _xyz(values: np.ndarray) -> bytes:
    numbers = [round(float(value) * 65536) for value in values]
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *numbers)


def _description(name: str) -> bytes:
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for signature, data in tags.items():
        table += signature + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    header = struct.pack(">I4sI", start + len(body), b"none", 0x02400000)
    header += kind + space + pcs + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    header += b"\0" * 28 + struct.pack(">3i", *(round(v * 65536) for v in D50))
    return header + b"\0" * (128 - len(header)) + table + body
