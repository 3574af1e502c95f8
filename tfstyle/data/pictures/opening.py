"""Open picture files of any format, and convert what they hold to upright sRGB."""

import contextlib
import io
import os
import pathlib
import stat
import warnings
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from tfstyle.data.formats import bmp, gif, jpeg, png, samples, tiff
from tfstyle.data.formats.errors import PictureError
from tfstyle.data.pictures import profiles
from tfstyle.data.pictures.orientation import find_turn, find_turn_of

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".tga", ".ppm", ".pgm"}
)
MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb
# Pillow detects the format from the content. Only these are allowed, because some of
# its other readers are unsafe for untrusted files (EPS runs Ghostscript).
_PILLOW_FORMATS = ("WEBP", "BMP", "TIFF", "AVIF", "TGA", "PPM")
# Formats that Pillow does not know, by bytes and their place.
_OTHER_FORMATS = {
    "HEIC": (4, b"ftypheic"),
    "HEIF": (4, b"ftypmif1"),
    "JPEG XL": (0, b"\xff\x0a"),
    "JPEG XL (ISO)": (4, b"JXL "),
    "PAM": (0, b"P7\n"),
    "PFM of colors": (0, b"PF\n"),
    "PFM of colors (CR)": (0, b"PF\r"),
    "SVG": (0, b"<svg"),
}
_MAGIC_SIZE = 32
_NCLX = b"colrnclx"
_AVIF_HEADER = 4096

SizeCheck = Callable[[int, int], None]


@contextlib.contextmanager
def name_errors() -> Iterator[None]:
    """Turn whatever reading a picture raises into a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each picture with odd metadata warns
            yield
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_large", str(error)) from None
    except Exception as error:
        # Corrupt files make Pillow's readers raise nearly any exception, and a single
        # one must not stop a conversion of 400,000 pictures.
        if "truncated" in str(error).lower():
            raise PictureError("truncated", str(error)) from None
        if isinstance(error, UnidentifiedImageError):
            raise PictureError("unreadable", "its header is damaged") from None
        if "when reading image file" in str(error):  # of Pillow's decoders
            raise PictureError("unreadable", "its pixels are damaged") from None
        raise PictureError("unreadable", f"{type(error).__name__}: {error}") from None


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file unless opening it could wait, as a pipe does."""
    if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
        raise PictureError("unreadable", "it is no regular file")
    return pathlib.Path(path).open("rb")


def check_pixels(width: int, height: int) -> None:
    """Raise PictureError if a picture has more than MAX_PIXELS pixels."""
    if width * height > MAX_PIXELS:
        raise PictureError("too_large", f"{width}x{height}")


def read_picture(file: IO[bytes], min_size: int = 1) -> Image.Image:
    """Read the first picture of a file: upright RGB or RGBA with 8 bits, in sRGB.

    Raises:
        PictureError: the file is unusable, or a side is shorter than `min_size` pixels.
    """

    def check_size(width: int, height: int) -> None:
        if min(width, height) < min_size:
            raise PictureError(
                "too_small", f"{width}x{height}, needs {min_size}x{min_size}"
            )
        check_pixels(width, height)

    with name_errors():
        file.seek(0)
        magic = file.read(_MAGIC_SIZE)
        if magic.startswith(bmp.MAGIC):
            return convert(bmp.read_bmp(file, check_size))
        if magic.startswith(tiff.MAGIC):
            image = tiff.read_tiff(file, check_size)
            if image is not None:
                return convert(image)
        if magic.startswith(png.MAGIC):
            return _read_png(file, check_size)
        if magic.startswith(jpeg.MAGIC):
            return _read_jpeg(file, check_size)
        if magic.startswith(gif.MAGIC):
            return _read_gif(file, check_size)
        return _read_by_pillow(file, check_size)


def normalize(image: Image.Image) -> Image.Image:
    """Convert a picture of Pillow's to upright RGB or RGBA with 8 bits, in sRGB.

    One that is not loaded yet is read from its file again, by `read_picture`.
    """
    file = getattr(image, "fp", None)
    if file is not None and getattr(image, "tile", None) and image.tell() == 0:
        return read_picture(file)
    return convert(image)


def convert(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to upright RGB or RGBA with 8 bits, in sRGB.

    16 bits and floating-point gray are scaled. What the picture's `info` says of its
    profile and orientation is applied.
    """
    return _convert(image, image.info.get("icc_profile"), find_turn_of(image))


def _convert(
    image: Image.Image,
    profile: bytes | None,
    turn: Image.Transpose | None,
    alpha: Image.Image | None = None,
) -> Image.Image:
    """Convert a picture; `alpha` replaces its own."""
    colors, own_alpha = _separate(image)
    colors = profiles.convert_to_srgb(colors, profile)
    if alpha is None:
        alpha = own_alpha
    colors.info = {}  # Pillow would write the profile into converted files
    if alpha is not None:
        colors.putalpha(alpha)
    return colors if turn is None else colors.transpose(turn)


def _read_png(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    picture = png.read_png(file, check_size)
    plain = io.BytesIO(picture.data)
    with Image.open(plain, formats=["PNG"]) as image:
        alpha = png.read_transparency(image, plain)
        profile = profiles.find_png_profile(picture)
        return _convert(image, profile, find_turn([picture.exif]), alpha)


def _read_jpeg(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    file.seek(0)
    picture = jpeg.read_jpeg(file.read())
    with Image.open(io.BytesIO(picture.data), formats=["JPEG"]) as image:
        check_size(*image.size)
        if not jpeg.is_whole(picture, image):
            raise PictureError("truncated", "the file ends before the picture does")
        return _convert(image, picture.profile, find_turn(picture.exif))


def _read_gif(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    file.seek(0)
    picture = gif.read_gif(file.read())
    with Image.open(io.BytesIO(picture.data), formats=["GIF"]) as image:
        check_size(*image.size)
        if not picture.is_whole(image):
            raise PictureError("truncated", "the file ends before the picture does")
        box = picture.place.box
        alpha = None
        if box != (0, 0, *image.size):
            # Pillow fills the rest of the screen with a color; viewers show nothing.
            alpha = Image.new("L", image.size)
            alpha.paste(image.convert("RGBA").getchannel("A").crop(box), box[:2])
        return _convert(image, picture.profile, None, alpha)


def _read_by_pillow(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    file.seek(0)
    try:
        image = Image.open(file, formats=_PILLOW_FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        raise _explain(file.read(_MAGIC_SIZE)) from None
    with image:
        check_size(*image.size)
        profile, alpha = _find_profile(image, file), _find_alpha(image, file)
        image.load()  # also metadata that follow the pixels
        return _convert(image, profile, find_turn_of(image), alpha)


def _explain(magic: bytes) -> PictureError:
    """Explain why a file is not read, by its first bytes."""
    for name, (place, signature) in _OTHER_FORMATS.items():
        if magic[place:].startswith(signature):
            return _unsupported(name)
    Image.init()
    for name, (_, accept) in Image.OPEN.items():
        with contextlib.suppress(Exception):
            if accept is not None and accept(magic):
                if name in _PILLOW_FORMATS:
                    return PictureError("unreadable", f"a damaged {name} file")
                return _unsupported(name)
    return PictureError("not_a_picture", "no known picture format")


def _unsupported(name: str) -> PictureError:
    return PictureError(
        "unsupported", f"{name} files are not read; convert it to PNG or JPEG"
    )


def _find_profile(image: Image.Image, file: IO[bytes]) -> bytes | None:
    """Return the profile that a file states in any way; None if it is sRGB's."""
    profile: bytes | None = image.info.get("icc_profile")
    if profile is None and image.format == "AVIF":
        file.seek(0)
        _, box, rest = file.read(_AVIF_HEADER).partition(_NCLX)
        if box:
            primaries, transfer = (
                int.from_bytes(rest[i : i + 2], "big") for i in (0, 2)
            )
            return profiles.make_video_profile(primaries, transfer)
    return profile


def _find_alpha(image: ImageFile.ImageFile, file: IO[bytes]) -> Image.Image | None:
    """Return the alpha channel where Pillow's is missing or wrong, else None.

    The picture, which is not loaded yet, may be loaded.
    """
    if image.format == "TGA" and image.has_transparency_data:
        file.seek(16)
        depth, flags = file.read(2)
        alpha = image.convert("RGBA").getchannel("A")
        if depth == 16:
            # Pillow takes the one bit of alpha for its opposite.
            alpha = ImageOps.invert(alpha) if flags & 15 else Image.new("L", image.size)
        # Writers that know nothing of alpha leave it 0.
        return alpha if alpha.getbbox() else Image.new("L", image.size, 255)
    return None


def _separate(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return colors (L, RGB, CMYK or LAB) and the alpha channel, if any."""
    if image.mode == "F":
        return Image.fromarray(samples.scale_floats(np.asarray(image))), None
    if image.mode.startswith("I"):
        # Integers have 16 bits in all of Pillow's modes.
        values = np.clip(np.asarray(image), 0, 65535)
        return Image.fromarray(samples.scale_integers(values, 16)), None
    if image.has_transparency_data:
        is_gray = image.mode in ("1", "L", "LA", "La")
        if image.mode == "La":
            image = image.convert("LA")
        rgba = image.convert("RGBA")
        colors = rgba.getchannel("R") if is_gray else rgba.convert("RGB")
        return colors, rgba.getchannel("A")
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image, None
