"""Random changes of training pictures that leave their style as it is."""

import dataclasses
import math
from typing import Annotated

import gin
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.core.typed import Range
from tfstyle.modeling.objectives.draws import BatchDraws

# Uniform numbers that the geometry of a picture takes: flip, shift in x and y, scale,
# rotation.
_GEOMETRY = 5


@gin.configurable(name_or_fn="augmentation")
@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What changes at random in each training picture; bound as `augmentation.NAME`.

    All off by default, as in the paper. Colors are style and never change. Strokes are
    style too: flips and shifts, which are by whole pixels, leave them as they are;
    scale and rotation interpolate, and soften them a little.

    Raises:
        UserError: if a value is out of its range.
    """

    flip: bool = False  # left and right, in half of the pictures
    # Largest, along each axis, as a share of the side.
    shift: Annotated[float, Range(0, 0.5)] = 0.0
    # Largest enlargement or reduction, .1 is by 10 %.
    scale: Annotated[float, Range(0, 0.9)] = 0.0
    # Largest, in degrees, either way.
    rotation: Annotated[float, Range(0, 180)] = 0.0
    # Side of a gray square, as a share of the side.
    cutout: Annotated[float, Range(0, 0.9)] = 0.0

    def __post_init__(self) -> None:
        typed.check_fields(self, "augmentation")

    def apply(self, images: tf.Tensor, draws: BatchDraws) -> tf.Tensor:
        """Change pictures, each in its own way.

        What a change brings in from outside repeats the nearest pixel of the edge.

        Args:
            images: float32 [rows, size, size, 3], scaled Lab.
            draws: of these rows.

        Returns:
            float32 [rows, size, size, 3].
        """
        if self.flip or self.shift or self.scale or self.rotation:
            size = images.shape[1]
            images = tf.raw_ops.ImageProjectiveTransformV3(
                images=images,
                transforms=self._draw_transforms(size, draws),
                output_shape=[size, size],
                interpolation="BILINEAR",
                fill_mode="NEAREST",
                fill_value=0.0,
            )
        if self.cutout:
            images *= self._draw_mask(images.shape[1], draws)
        return images

    def _draw_transforms(self, size: int, draws: BatchDraws) -> tf.Tensor:
        """Draw maps of output pixels to input pixels, float32 [rows, 8].

        Each row (a, b, c, d, e, f, 0, 0) maps (x, y) to (a x + b y + c, d x + e y + f).
        """
        uniforms = draws.uniform("augmentation", _GEOMETRY)
        signed = 2 * uniforms - 1
        mirror = tf.where(uniforms[:, 0] < 0.5 * self.flip, -1.0, 1.0)
        shift_x, shift_y = (tf.round(signed[:, k] * self.shift * size) for k in (1, 2))
        # As often smaller as larger, by the same factor.
        scale = tf.exp(signed[:, 3] * math.log1p(self.scale))
        angle = signed[:, 4] * math.radians(self.rotation)
        cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
        a, b, d, e = cosine * mirror, -sine, sine * mirror, cosine
        center = (size - 1) / 2
        c = center - a * center - b * center + shift_x
        f = center - d * center - e * center + shift_y
        zeros = tf.zeros_like(a)
        return tf.stack([a, b, c, d, e, f, zeros, zeros], axis=1)

    def _draw_mask(self, size: int, draws: BatchDraws) -> tf.Tensor:
        """Draw float32 [rows, size, size, 1], 0 in a square that lies inside."""
        side = round(self.cutout * size)
        corners = tf.floor(draws.uniform("cutout", 2) * (size - side + 1))
        pixels = tf.range(size, dtype=tf.float32)
        inside_x, inside_y = (
            (pixels >= corners[:, k, None]) & (pixels < corners[:, k, None] + side)
            for k in (0, 1)
        )
        inside = inside_y[:, :, None] & inside_x[:, None, :]
        return 1 - tf.cast(inside, tf.float32)[..., None]
