"""One picture: from a file of any kind to a square RGB picture of the records.

`to_square_rgb` is the conversion itself; serving clients use the same one. Nothing
here imports TensorFlow, so worker processes start fast.
"""

import dataclasses
import io
import os
import warnings

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

FITS = ("crop", "pad", "stretch")
FORMATS = ("png", "jpeg")  # of the records
# Formats that results can be written in, by the suffix of the file.
RESULT_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
    | {".avif", ".tga", ".ppm", ".pgm"}
)
# Pillow decides by content. It is held to these so that no file can start one of
# its stranger readers (EPS runs Ghostscript).
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "TGA", "PPM")
_MAX_PIXELS = 89_478_485  # Pillow's own threshold for a decompression bomb


class PictureError(ValueError):
    """A picture that cannot be used; `reason` is one of a few short words."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclasses.dataclass(frozen=True)
class Conversion:
    """How source pictures become the pictures of the records.

    Attributes:
        image_size: side of the square result, in pixels.
        fit: "crop" (centre square), "pad" (black bars) or "stretch".
        background: "#rrggbb", what shows through transparent pixels.
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

    def encode_file(self, path: str | os.PathLike) -> bytes:
        """Return the picture at `path` converted and encoded, or raise PictureError."""
        picture = load_picture(
            path, self.image_size, self.fit, self.background, self.min_size
        )
        return encode_picture(picture, self.format)


def normalize_color(color: str) -> str:
    """Return a color name or code as "#rrggbb"; ValueError when it is none."""
    return "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(color)[:3])


def load_picture(
    path: str | os.PathLike,
    image_size: int,
    fit: str = "crop",
    background: str = "#ffffff",
    min_size: int = 1,
) -> Image.Image:
    """Read a picture file and convert it with `to_square_rgb`.

    Args:
        path: a file of any kind; of an animation, the first frame is taken.
        image_size: side of the result.
        fit: see `to_square_rgb`.
        background: see `to_square_rgb`.
        min_size: the least length of the picture's shorter side.

    Returns:
        RGB, [image_size, image_size].

    Raises:
        PictureError: with reason `not_a_picture`, `too_small`, `too_large`,
            `truncated` or `unreadable`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, one line per picture
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
        # Broken files make Pillow's readers raise nearly anything, and one of them
        # must not end a run over 400,000 pictures.
        reason = "truncated" if "truncated" in str(error).lower() else "unreadable"
        raise PictureError(reason, f"{type(error).__name__}: {error}") from None


def to_square_rgb(
    image: Image.Image, image_size: int, fit: str = "crop", background: str = "#ffffff"
) -> Image.Image:
    """Make a picture upright, opaque, RGB and square.

    It is turned as its EXIF orientation says, laid over `background`, made square
    by `fit`, and resized with LANCZOS (antialiased).

    Args:
        image: of any mode; 16-bit and floating-point greys are scaled to 8 bits.
        image_size: side of the result.
        fit: "crop" takes the centre square; "pad" makes the longer side
            `image_size` and centres it between black bars; "stretch" ignores the
            aspect ratio.
        background: a color that Pillow knows, such as "#ffffff".

    Returns:
        RGB, [image_size, image_size].
    """
    if fit not in FITS:
        raise ValueError(f"fit must be one of {FITS}, got {fit!r}")
    image = _to_rgb(_upright(image), background)
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
    """Encode an RGB picture as "png", "jpeg" or "webp"."""
    buffer = io.BytesIO()
    if format == "jpeg":
        # 4:4:4, because color is half of what a style is.
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    elif format == "webp":
        image.save(buffer, "WEBP", lossless=True)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # broken metadata does not make the picture unusable
        return image


def _to_rgb(image: Image.Image, background: str) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _scale_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(backdrop, image).convert("RGB")
    return image.convert("RGB")


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """Scale a grey picture of 16 or 32 bits, which Pillow itself would clip."""
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0.0, neginf=0.0)
    # Integers are 16 bits, in whatever mode Pillow keeps them. What is white in a
    # file of floats is not said anywhere: 1, 255 or 65535, whichever holds them all.
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    brightest = values.max()
    white = next((white for white in whites if brightest <= white), brightest)
    levels = np.rint(np.clip(values, 0.0, white) * (255.0 / white))
    return Image.fromarray(levels.astype(np.uint8))
