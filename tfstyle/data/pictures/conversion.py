"""Convert a picture file of any format to a square RGB picture.

Records, commands and serving clients all use `to_square_rgb`. Nothing here imports
TensorFlow, so worker processes start fast.
"""

import contextlib
import dataclasses
import io
import os
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

FITS = ("crop", "pad", "stretch")
FORMATS = ("png", "jpeg")  # of pictures in records
# Formats of output files, by suffix.
RESULT_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {},
    "jpeg": {"quality": 95, "subsampling": 0},  # 4:4:4: color is much of style
    "webp": {"lossless": True},
}

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".tga", ".ppm", ".pgm"}
)
# Pillow detects the format from the content. Only these are allowed, because some of
# its other readers are unsafe for untrusted files (EPS runs Ghostscript).
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "TGA", "PPM")
_MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb


class PictureError(ValueError):
    """An unusable picture.

    Attributes:
        reason: "not_a_picture", "too_small", "too_large", "truncated" or "unreadable".
        detail: an explanation of the reason.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Conversion:
    """How source pictures are converted to the pictures of records.

    Attributes:
        image_size: side of the square result, in pixels.
        fit: "crop" (center square), "pad" (black bars) or "stretch".
        background: "#rrggbb", the color behind transparent pixels.
        min_size: pictures with a shorter side below this are skipped.
        format: "png" (exact) or "jpeg" (quality 95, full color resolution).
    """

    image_size: int
    fit: str = "crop"
    background: str = "#ffffff"
    min_size: int = 1
    format: str = "png"

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {FITS}, got {self.fit!r}")
        if self.format not in FORMATS:
            raise ValueError(f"format must be one of {FORMATS}, got {self.format!r}")

    def encode_file(self, path: str | os.PathLike[str]) -> bytes:
        """Load, convert and encode a picture; raise PictureError as `load_picture`."""
        picture = load_picture(
            path, self.image_size, self.fit, self.background, self.min_size
        )
        return encode_picture(picture, self.format)


def normalize_color(color: str) -> str:
    """Return a color that Pillow knows, such as "white", as "#rrggbb".

    Raises:
        ValueError: the color is unknown.
    """
    return "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(color)[:3])


def load_picture(
    path: str | os.PathLike[str],
    image_size: int,
    fit: str = "crop",
    background: str = "#ffffff",
    min_size: int = 1,
) -> Image.Image:
    """Read a picture file and convert it with `to_square_rgb`, which has the arguments.

    Any format is read; of an animation, the first frame.

    Raises:
        PictureError: the file is unusable, or a side is shorter than `min_size` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each picture with odd metadata warns
            with Image.open(path, formats=_PILLOW_FORMATS) as image:
                width, height = image.size
                if min(width, height) < min_size:
                    raise PictureError(
                        "too_small", f"{width}x{height}, needs {min_size}x{min_size}"
                    )
                if width * height > _MAX_PIXELS:
                    raise PictureError("too_large", f"{width}x{height}")
                image.load()
                return to_square_rgb(image, image_size, fit, background)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not_a_picture", "no known picture format") from None
    except Image.DecompressionBombError as error:
        raise PictureError("too_large", str(error)) from None
    except Exception as error:
        # Corrupt files make Pillow's readers raise nearly any exception, and a single
        # one must not stop a conversion of 400,000 pictures.
        reason = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise PictureError(reason, f"{type(error).__name__}: {error}") from None


def to_square_rgb(
    image: Image.Image, image_size: int, fit: str = "crop", background: str = "#ffffff"
) -> Image.Image:
    """Convert a picture to upright, opaque, square RGB.

    Applies the EXIF orientation, composites over `background`, makes the picture
    square by `fit`, and resizes with LANCZOS (antialiased).

    Args:
        image: a picture of any mode; 16-bit and floating-point grayscale is scaled to
            8 bits.
        image_size: side of the result, in pixels.
        fit: "crop" cuts out the center square; "pad" scales the longer side to
            `image_size` and adds black bars on both sides; "stretch" ignores the
            aspect ratio.
        background: a color that Pillow knows, such as "#ffffff".

    Returns:
        RGB, [image_size, image_size].
    """
    if fit not in FITS:
        raise ValueError(f"fit must be one of {FITS}, got {fit!r}")
    with contextlib.suppress(Exception):  # corrupt metadata does not matter
        image = ImageOps.exif_transpose(image)
    image = _flatten(image, background)
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif fit == "pad":
        longer = max(width, height)
        inner_width, inner_height = (
            max(1, (2 * side * image_size + longer) // (2 * longer))  # rounded
            for side in (width, height)
        )
        inner = image.resize((inner_width, inner_height), Image.Resampling.LANCZOS)
        image = Image.new("RGB", (image_size, image_size))
        left, top = (image_size - inner_width) // 2, (image_size - inner_height) // 2
        image.paste(inner, (left, top))
    return image.resize((image_size, image_size), Image.Resampling.LANCZOS)


def encode_picture(image: Image.Image, format: str) -> bytes:
    """Encode an RGB picture as "png", "jpeg" (quality 95) or "webp" (lossless)."""
    buffer = io.BytesIO()
    image.save(buffer, format, **_SAVE_OPTIONS[format])
    return buffer.getvalue()


def _flatten(image: Image.Image, background: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scale_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(backdrop, image).convert("RGB")
    return image.convert("RGB")


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale a 16-bit or floating-point picture, which Pillow would clip."""
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    # Integers have 16 bits in all of Pillow's modes. Files of floats do not define
    # white: it is the first of 1, 255 and 65535 that is not below the maximum.
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    brightest = values.max()
    white = next((white for white in whites if brightest <= white), brightest)
    levels = np.rint(np.clip(values, 0.0, white) * (255.0 / white))
    return Image.fromarray(levels.astype(np.uint8))
