"""Convert a picture file of any format to a square RGB picture.

Records, commands and serving clients all use `to_square_rgb`. Nothing here imports
TensorFlow, so worker processes start fast.
"""

import dataclasses
import io
import os
from typing import Any

from PIL import Image, ImageColor

from tfstyle.data.formats.errors import PictureError
from tfstyle.data.pictures.faces import Face, cut_face
from tfstyle.data.pictures.opening import (
    name_errors,
    normalize,
    open_file,
    read_picture,
)

FITS = ("crop", "pad", "stretch")
FORMATS = ("png", "jpeg")  # of pictures in records
# Formats of output files, by suffix.
RESULT_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # Half the time of the default (6), for files that are 1 % larger.
    "png": {"compress_level": 4},
    "jpeg": {"quality": 95, "subsampling": 0},  # 4:4:4: color is much of style
    "webp": {"lossless": True},
}


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

    def encode_file(
        self, path: str | os.PathLike[str], face: Face | None = None
    ) -> bytes:
        """Load, convert and encode a picture, or a face in it, as `convert_file`."""
        return encode_picture(self.convert_file(path, face), self.format)

    def convert_file(
        self, path: str | os.PathLike[str], face: Face | None = None
    ) -> Image.Image:
        """Load and convert a picture, or a face in it; see `encode_picture`.

        Raises:
            PictureError: as `load_picture`; the face must have `min_size` too, and be
                in the picture ("face_outside").
        """
        if face is None:
            return load_picture(
                path, self.image_size, self.fit, self.background, self.min_size
            )
        whole = load_upright(path, self.background, self.min_size)
        self._check_face(face, whole)
        return cut_face(whole, face, self.image_size)

    def _check_face(self, face: Face, picture: Image.Image) -> None:
        if face.side < self.min_size:
            raise PictureError(
                "too_small", f"a face of {face.side:g} pixels, needs {self.min_size}"
            )
        x, y = face.center
        if not (0 <= x <= picture.width and 0 <= y <= picture.height):
            raise PictureError(
                "face_outside",
                f"the center of its box, ({x:g}, {y:g}), is outside the picture of"
                f" {picture.width}x{picture.height}",
            )


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
    with name_errors(), open_file(path) as file:
        picture = read_picture(file, min_size)
        return _fit_square(picture, image_size, fit, background)


def load_upright(
    path: str | os.PathLike[str], background: str = "#ffffff", min_size: int = 1
) -> Image.Image:
    """Read a picture file, upright and opaque, in its own size.

    Raises:
        PictureError: as `load_picture`.
    """
    with name_errors(), open_file(path) as file:
        return _composite(read_picture(file, min_size), background)


def to_square_rgb(
    image: Image.Image, image_size: int, fit: str = "crop", background: str = "#ffffff"
) -> Image.Image:
    """Convert a picture to upright, opaque, square RGB.

    Applies the EXIF orientation and the color profile, composites over `background`,
    makes the picture square by `fit`, and resizes with LANCZOS (antialiased).

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
    return _fit_square(normalize(image), image_size, fit, background)


def encode_picture(image: Image.Image, format: str) -> bytes:
    """Encode an RGB picture as "png", "jpeg" (quality 95) or "webp" (lossless)."""
    buffer = io.BytesIO()
    image.save(buffer, format, **_SAVE_OPTIONS[format])
    return buffer.getvalue()


def _fit_square(
    image: Image.Image, image_size: int, fit: str, background: str
) -> Image.Image:
    """Composite an upright picture over the background, and make it square."""
    if fit not in FITS:
        raise ValueError(f"fit must be one of {FITS}, got {fit!r}")
    image = _composite(image, background)
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        if width != height:  # cropping copies a picture
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


def _composite(image: Image.Image, background: str) -> Image.Image:
    """Put an RGBA picture on the background; return RGB as it is."""
    if image.mode != "RGBA":
        return image
    backdrop = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(backdrop, image).convert("RGB")
