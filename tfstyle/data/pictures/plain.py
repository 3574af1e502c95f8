"""Detect files that TensorFlow's decoders read as `conversion` does."""

import io

from tfstyle.data.formats import bmp, jpeg, png
from tfstyle.data.pictures import profiles
from tfstyle.data.pictures.opening import check_pixels
from tfstyle.data.pictures.orientation import find_turn


def make_plain(data: bytes) -> bytes | None:
    """Return a file that TensorFlow reads like the records, or None.

    It is unchanged, but for what does not change the pixels of a JPEG or PNG file.

    Raises:
        PictureError: the file is damaged.
    """
    if data.startswith(jpeg.MAGIC):
        return _make_plain_jpeg(jpeg.read_jpeg(data))
    if data.startswith(png.MAGIC):
        return _make_plain_png(png.read_png(io.BytesIO(data), check_pixels))
    if data.startswith(bmp.MAGIC):
        return data if bmp.is_plain(data) else None
    return None


def _make_plain_jpeg(picture: jpeg.Jpeg) -> bytes | None:
    is_plain = picture.frame in jpeg.HUFFMAN_FRAMES and picture.bits == 8
    is_plain &= picture.is_ended and picture.components in (1, 3)
    is_plain &= find_turn(picture.exif) is None and jpeg.has_plain_scans(picture)
    mode = "L" if picture.components == 1 else "RGB"
    is_plain = is_plain and profiles.is_plain(picture.profile, mode)
    return picture.data if is_plain else None


def _make_plain_png(picture: png.Png) -> bytes | None:
    # TensorFlow misreads transparent colors of other than 8 bits.
    is_key = picture.has_transparency and picture.color_type != png.PALETTE
    is_plain = picture.is_ended and (picture.bits == 8 or not is_key)
    is_plain &= find_turn([picture.exif]) is None
    mode = "L" if picture.color_type in (png.GRAY, png.GRAY_ALPHA) else "RGB"
    profile = profiles.find_png_profile(picture)
    return picture.data if is_plain and profiles.is_plain(profile, mode) else None
