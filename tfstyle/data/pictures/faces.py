"""Faces: rotated upright, cropped, padded, and resized in one step (section 5.1)."""

import dataclasses
import math

from PIL import Image


@dataclasses.dataclass(frozen=True)
class Face:
    """Where a face is in a picture.

    Attributes:
        left: of the box before it is rotated, in pixels, likewise the others.
        top: likewise.
        width: above 0.
        height: above 0.
        angle: by which the face is tilted, in degrees counter-clockwise.
    """

    left: float
    top: float
    width: float
    height: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        numbers = dataclasses.astuple(self)
        if not all(map(math.isfinite, numbers)):
            raise ValueError(
                f"a box and an angle must be finite numbers, got {numbers}"
            )
        if self.width <= 0 or self.height <= 0:
            raise ValueError(
                f"width and height of a box must be above 0, got {self.width:g} and"
                f" {self.height:g}"
            )

    @property
    def center(self) -> tuple[float, float]:
        """The point about which the face is rotated."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def side(self) -> float:
        """Side of the square to cut out: nothing of the box is lost."""
        return max(self.width, self.height)


def cut_face(image: Image.Image, face: Face, image_size: int) -> Image.Image:
    """Cut out a face, upright.

    Args:
        image: RGB.
        face: where it is; the square may extend beyond the picture, where the result
            is black.
        image_size: side of the result, in pixels.

    Returns:
        RGB, [image_size, image_size].
    """
    # The square is sampled about once per pixel of the picture, by its rotated axes,
    # and reduced from there: without this a large face would alias.
    factor = max(1, round(face.side / image_size))
    sampled = image_size * factor
    step = face.side / sampled
    angle = math.radians(face.angle)
    cosine, sine = step * math.cos(angle), step * math.sin(angle)
    (x, y), half = face.center, sampled / 2
    # Of the center of an output pixel (u, v): x = a u + b v + c, y = d u + e v + f.
    coefficients = (
        *(cosine, sine, x - half * (cosine + sine)),
        *(-sine, cosine, y - half * (cosine - sine)),
    )
    square = image.transform(
        (sampled, sampled),
        Image.Transform.AFFINE,
        coefficients,
        Image.Resampling.BICUBIC,
    )
    return square.reduce(factor) if factor > 1 else square
