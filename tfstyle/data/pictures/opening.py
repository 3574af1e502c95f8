"""Open picture files of any format, and convert what they hold to upright sRGB."""

import contextlib
import io
import os
import pathlib
import re
import stat
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tfstyle.data.formats import bmp, gif, jpeg, png, samples, tiff
from tfstyle.data.formats.errors import PictureError, SizeCheck
from tfstyle.data.pictures import profiles, recognition, targa
from tfstyle.data.pictures.orientation import find_turn, find_turn_of

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".tga", ".ppm", ".pgm"}
)
MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb
MAX_BYTES = 8 * MAX_PIXELS  # decoded: that many pixels of four channels of 16 bits
# Pillow detects the format from the content. Only these are allowed, because some of
# its other readers are unsafe for untrusted files (EPS runs Ghostscript).
_PILLOW_FORMATS = ("WEBP", "BMP", "TIFF", "AVIF", "TGA", "PPM")
_NCLX = b"colrnclx"
_AVIF_HEADER = 4096
_MAX_BOXES = 1000  # of an AVIF file


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
        # Of Pillow's decoders, and of WebP's.
        if re.search("when reading image file|decode next frame", str(error)):
            raise PictureError("unreadable", "its pixels are damaged") from None
        raise PictureError("unreadable", f"{type(error).__name__}: {error}") from None


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file unless opening it could wait, as a pipe does."""
    if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
        raise PictureError("unreadable", "it is no regular file")
    return pathlib.Path(path).open("rb")


def read_source(picture: Any) -> bytes:
    """Read the content of a picture file: a path, bytes, or an open file.

    Raises:
        TypeError: it is something else.
        PictureError: it is no regular file.
        OSError: the file cannot be opened.
    """
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture)
    if isinstance(picture, (str, os.PathLike)):
        with open_file(picture) as file:
            return file.read()
    if not hasattr(picture, "read"):
        raise TypeError(
            "a picture must be a path, bytes, an open file, an array or a picture of"
            f" Pillow's, got {type(picture).__name__}"
        )
    if picture.seekable():
        picture.seek(0)
    data = picture.read()
    if not isinstance(data, bytes):
        raise TypeError(
            f"{describe_source(picture)} must be opened for reading bytes ('rb')"
        )
    return data


def make_picture(array: np.ndarray) -> Image.Image:
    """Make a picture of uint8 [height, width], [.., 3] RGB or [.., 4] RGBA.

    Raises:
        ValueError: the array is another.
    """
    is_known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_known or array.dtype != np.uint8 or not array.size:
        raise ValueError(
            "an array must be uint8 [height, width], [height, width, 3] or [height,"
            f" width, 4], got {array.dtype} {list(array.shape)}"
        )
    return Image.fromarray(array)


def describe_source(picture: Any) -> str:
    """Describe in messages what a picture is read from."""
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return f"picture of {len(picture)} bytes"
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if hasattr(picture, "shape"):
        return f"array of shape {tuple(picture.shape)}"
    return f"{getattr(picture, 'name', picture)!s:.80}"


def check_pixels(width: int, height: int, bits: int) -> None:
    """Raise PictureError if there are more than MAX_PIXELS pixels or MAX_BYTES bytes.

    `bits` are those of a pixel.
    """
    if width * height > MAX_PIXELS:
        raise PictureError("too_large", f"{width}x{height}")
    if width * height * bits > 8 * MAX_BYTES:
        raise PictureError(
            "too_large",
            f"{width}x{height} pixels of {bits} bits, more than {MAX_BYTES} bytes",
        )


def read_picture(file: IO[bytes], min_size: int = 1) -> Image.Image:
    """Read the first picture of a file: upright RGB or RGBA with 8 bits, in sRGB.

    Raises:
        PictureError: the file is unusable, or a side is shorter than `min_size` pixels.
    """

    def check_size(width: int, height: int, bits: int) -> None:
        if min(width, height) < min_size:
            raise PictureError(
                "too_small", f"{width}x{height}, needs {min_size}x{min_size}"
            )
        check_pixels(width, height, bits)

    with name_errors():
        file.seek(0)
        magic = file.read(recognition.BYTES_NEEDED)
        if magic.startswith(bmp.MAGIC):
            return convert(bmp.read_bmp(file, check_size))
        if magic.startswith(tiff.MAGIC):
            picture = tiff.read_tiff(file, check_size)
            if picture is not None:
                return convert(picture[0], alpha=picture[1])
        if magic.startswith(png.MAGIC):
            return _read_png(file, check_size)
        if magic.startswith(jpeg.MAGIC):
            return _read_jpeg(file, check_size)
        if magic.startswith(gif.MAGIC):
            return _read_gif(file, check_size)
        return _read_by_pillow(file, check_size)


def normalize(image: Image.Image) -> Image.Image:
    """Convert a picture of Pillow's to upright RGB or RGBA with 8 bits, in sRGB.

    One that is not loaded yet, or is as its file, is read from its file again by
    `read_picture`.

    Raises:
        PictureError: the file is unusable, or it cannot be told what samples of more
            than 8 bits stand for.
    """
    file = getattr(image, "fp", None)
    if file is not None and getattr(image, "tile", None) and image.tell() == 0:
        return read_picture(file)
    if isinstance(image, ImageFile.ImageFile) and _equals_file(image):
        with name_errors(), open_file(os.fsdecode(image.filename)) as original:
            return read_picture(original)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        _check_samples(image)
    return convert(image)


def _equals_file(image: ImageFile.ImageFile) -> bool:
    """Return whether a loaded picture is what Pillow reads from its file."""
    if not image.filename:
        return False
    formats = [image.format or ""]
    try:
        with name_errors(), Image.open(image.filename, formats=formats) as original:
            original.load()
            return original == image
    except PictureError:  # the file may be another by now
        return False


def _check_samples(image: Image.Image) -> None:
    """Raise PictureError unless samples of more than 8 bits have a known meaning."""
    if getattr(image, "format", None) == "TIFF":
        raise PictureError(
            "unsupported",
            f"a TIFF file that was loaded as {image.mode}, without its tags; pass the"
            " file, or the picture before it is loaded",
        )
    if image.mode != "I":
        return
    values = np.asarray(image)
    if values.any() and (values.min() < 0 or not 256 <= values.max() < 65536):
        raise PictureError(
            "unsupported",
            f"a picture of mode I with samples from {values.min()} to {values.max()};"
            " they are read as 16 bits: convert it to L or I;16",
        )


def convert(image: Image.Image, alpha: Image.Image | None = None) -> Image.Image:
    """Convert a picture of any mode to upright RGB or RGBA with 8 bits, in sRGB.

    16 bits and floating-point gray are scaled. What the picture's `info` says of its
    profile and orientation is applied; `alpha` replaces its own channel.
    """
    return _convert(image, image.info.get("icc_profile"), find_turn_of(image), alpha)


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
        check_size(image.width, image.height, 32)
        if not jpeg.is_whole(picture, image):
            raise PictureError("truncated", "the file ends before the picture does")
        return _convert(image, picture.profile, find_turn(picture.exif))


def _read_gif(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    file.seek(0)
    picture = gif.read_gif(file.read())
    with Image.open(io.BytesIO(picture.data), formats=["GIF"]) as image:
        check_size(image.width, image.height, 32)
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
    except OSError as error:
        is_webp = "could not create decoder" in str(error)
        if not (is_webp or isinstance(error, UnidentifiedImageError)):
            raise
        if _is_cut_off(file):
            raise PictureError(
                "truncated", "the file ends before the picture does"
            ) from None
        file.seek(0)
        raise _explain(file.read(recognition.BYTES_NEEDED)) from None
    with image:
        check_size(image.width, image.height, 32)
        if image.format == "TGA":
            return convert(targa.read_targa(image, file))
        profile = _find_profile(image, file)
        image.load()  # also metadata that follow the pixels
        return _convert(image, profile, find_turn_of(image))


def _is_cut_off(file: IO[bytes]) -> bool:
    """Return whether a WebP or AVIF file ends before its parts do."""
    size, place = file.seek(0, os.SEEK_END), 0
    file.seek(0)
    start = file.read(12)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        return size < 8 + int.from_bytes(start[4:8], "little")
    if start[4:8] != b"ftyp":
        return False
    has_pixels = False
    for _ in range(_MAX_BOXES):
        file.seek(place)
        header = file.read(16)
        if len(header) < 8:
            return len(header) > 0 or place > size or not has_pixels
        has_pixels |= header[4:8] == b"mdat"
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # the last box, or no box
            break
        place += length
    return False


def _explain(start: bytes) -> PictureError:
    """Explain why a file is not read, by its first bytes."""
    kind = recognition.recognize(start)
    if kind is None:
        return PictureError("not_a_picture", "no known picture format")
    if kind.is_read:
        return PictureError("unreadable", f"a damaged {kind.name} file")
    return PictureError(
        "unsupported", f"{kind.name} files are not read; convert it to PNG or JPEG"
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
