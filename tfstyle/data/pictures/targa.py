"""Read the alpha channel of TGA files, which Pillow takes for its opposite or as it is.

The extension area of TGA 2.0 tells what it stands for.
"""

import io
from typing import IO

import numpy as np
from PIL import Image, ImageFile, ImageOps

from tfstyle.data.formats import samples
from tfstyle.data.formats.errors import PictureError

_HEADER = 18
_FOOTER, _SIGNATURE = 26, b"TRUEVISION-XFILE."
_EXTENSION, _ATTRIBUTES = 495, 494  # size, and the place of the kind of alpha
_NO_ALPHA, _IGNORED, _RETAINED, _MULTIPLIED = 0, 1, 2, 4  # kinds of alpha


def read_targa(image: ImageFile.ImageFile, file: IO[bytes]) -> Image.Image:
    """Read a picture that Pillow opened but did not load yet.

    Args:
        image: the picture.
        file: the file it was opened from.

    Returns:
        A picture with the right alpha channel, or without one.

    Raises:
        PictureError: the file is of a kind that Pillow does not read.
    """
    file.seek(0)
    header = file.read(_HEADER)
    has_palette, depth, alpha_bits = header[1], header[16], header[17] & 15
    if not image.tile:
        raise PictureError("unsupported", f"TGA of type {header[2]} and {depth} bits")
    if image.palette and header[7] == 32:
        image.palette.mode = "RGBA"  # Pillow lacks this, and could not load it
    image.load()
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    colors, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    kind = _read_kind(file)
    is_undefined = kind in (_IGNORED, _RETAINED) or (
        kind == _NO_ALPHA and not alpha_bits
    )
    if image.mode != "LA" and (header[7] if has_palette else depth) == 16:
        # Pillow takes the one bit of alpha for its opposite.
        alpha = ImageOps.invert(alpha)
        is_undefined |= not alpha_bits
    # Writers that know nothing of alpha leave it 0.
    if is_undefined or not alpha.getbbox():
        return colors
    if kind == _MULTIPLIED:
        opacity = np.asarray(alpha)[..., None]
        colors = Image.fromarray(samples.divide_by_alpha(np.asarray(colors), opacity))
    colors.putalpha(alpha)
    return colors


def _read_kind(file: IO[bytes]) -> int | None:
    """Return what alpha stands for, if the file tells."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _FOOTER))
    footer = file.read()
    place = int.from_bytes(footer[:4], "little")
    if not footer[8:].startswith(_SIGNATURE) or not place:
        return None
    file.seek(place)
    extension = file.read(_EXTENSION)
    return extension[_ATTRIBUTES] if len(extension) == _EXTENSION else None
