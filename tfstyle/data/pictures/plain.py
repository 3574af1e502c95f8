"""Detect files that TensorFlow's decoders read as `conversion` does."""

import io

from PIL import Image

from tfstyle.data.formats import bmp, jpeg, png
from tfstyle.data.pictures import profiles
from tfstyle.data.pictures.opening import find_turn

_COLORS = {
    b"iCCP",
    b"cICP",
    b"gAMA",
    b"cHRM",
}  # chunks that state other colors than sRGB


def make_plain(data: bytes) -> bytes | None:
    """Return a file that TensorFlow reads like the records, or None.

    It is unchanged, but for a JPEG's color profile that changes nothing.
    """
    if data.startswith(jpeg.MAGIC):
        return _make_plain_jpeg(data)
    if data.startswith(png.MAGIC):
        return data if _is_plain_png(data) else None
    if data.startswith(bmp.MAGIC):
        return data if bmp.is_plain(data) else None
    return None


def _make_plain_jpeg(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            mode, profile = image.mode, image.info.get("icc_profile")
            turn = find_turn(image)
    except Exception:  # Pillow raises nearly any for damaged files
        return None
    is_plain = mode in ("L", "RGB") and profiles.is_plain(profile, mode)
    is_plain &= turn is None and jpeg.is_ended(data)
    return jpeg.drop_profile(data) if is_plain else None


def _is_plain_png(data: bytes) -> bool:
    chunks = {}
    for chunk in png.read_chunks(io.BytesIO(data)):
        if not chunk.is_whole:
            return False
        chunks[chunk.kind] = chunk
    if not chunks.keys() >= {b"IHDR", b"IEND"}:
        return False
    bits, color_type = (chunks[b"IHDR"].data or b"").ljust(10)[8:10]
    if b"tRNS" in chunks and color_type != png.PALETTE and bits != 8:
        return False
    return not (_COLORS | {b"eXIf"}) & chunks.keys()
