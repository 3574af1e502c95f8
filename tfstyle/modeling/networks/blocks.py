"""The residual blocks of reference [13], and the networks' operations on pixels.

Source: arXiv 1704.03971v4 ("[13]"), the residual networks that Table 1 uses.
"""

from typing import Any

import tensorflow as tf

from tfstyle.modeling.networks import weight_norm
from tfstyle.modeling.networks.weight_norm import TPReLU, WNAdd, WNConv2D

NORMALIZATIONS = ("strict", "learned")
UPSAMPLINGS = ("transposed", "smooth")


class EncoderBlock(tf.keras.layers.Layer):
    """A residual block; [batch, h, w, in] -> [batch, h/stride, w/stride, filters].

    Args:
        filters: output channels.
        stride: 1 or 2; with 2 the shortcut is average-pooled.
        normalization: see `make_conv`.
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        normalization: str = "strict",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride
        self.normalization = normalization

    def build(self, input_shape: tf.TensorShape) -> None:
        self.first = make_conv(
            self.normalization, self.filters, self.stride + 2, self.stride
        )
        self.inner = TPReLU()
        self.second = make_conv(self.normalization, self.filters, 3)
        self.project = None
        if input_shape[-1] != self.filters:
            self.project = make_conv(self.normalization, self.filters, 1)
        self.add = WNAdd()
        self.outer = TPReLU()
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        residual = self.second(self.inner(self.first(inputs)))
        shortcut = inputs
        if self.stride > 1:
            shortcut = tf.nn.avg_pool2d(shortcut, self.stride, self.stride, "VALID")
        if self.project is not None:
            shortcut = self.project(shortcut)
        return self.outer(self.add([residual, shortcut]))


class DecoderBlock(tf.keras.layers.Layer):
    """A residual block; [batch, h, w, in] -> [batch, h*stride, w*stride, filters].

    Args:
        filters: output channels.
        stride: 1 or 2; with 2 the shortcut is enlarged.
        last: end with a per-channel affine map instead of TPReLU, to output an image.
        upsampling: how pictures are enlarged: "transposed" as in [13], where the
            shortcut repeats pixels; "smooth" filters the transposed kernel (see
            `WNConv2DTranspose`) and interpolates the shortcut bilinearly.
        modulated: the style scales and shifts the channels before each activation (see
            `StyleModulation`).

    Raises:
        ValueError: if upsampling is neither of these.
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        last: bool = False,
        upsampling: str = "transposed",
        modulated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if upsampling not in UPSAMPLINGS:
            raise ValueError(
                f"upsampling must be one of {UPSAMPLINGS}, got {upsampling!r}"
            )
        self.filters = filters
        self.stride = stride
        self.last = last
        self.upsampling = upsampling
        self.modulated = modulated

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        conv = weight_norm.WNConv2DTranspose
        smooth = self.upsampling == "smooth" and self.stride > 1
        self.first = conv(channels, 3)
        self.second = conv(self.filters, self.stride + 2, self.stride, smooth=smooth)
        self.inner = TPReLU()
        if self.modulated:
            self.modulate_inner = weight_norm.StyleModulation()
            self.modulate_outer = weight_norm.StyleModulation()
        self.project = None
        if channels != self.filters:
            # A 1x1 convolution and its transpose are the same map.
            self.project = WNConv2D(self.filters, 1)
        self.add = WNAdd()
        self.outer = weight_norm.ChannelAffine() if self.last else TPReLU()
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, styles: tf.Tensor | None = None) -> tf.Tensor:
        """Compute the block's output.

        Args:
            inputs: float [batch, h, w, in].
            styles: float [batch, dims]; used only if the block is modulated.
        """
        residual = self.first(inputs)
        if self.modulated:
            residual = self.modulate_inner([residual, styles])
        residual = self.second(self.inner(residual))
        shortcut = inputs
        if self.project is not None:
            shortcut = self.project(shortcut)
        if self.stride > 1:
            is_smooth = self.upsampling == "smooth"
            enlarge = interpolate_pixels if is_smooth else repeat_pixels
            shortcut = enlarge(shortcut, self.stride)
        outputs = self.add([residual, shortcut])
        if self.modulated:
            outputs = self.modulate_outer([outputs, styles])
        return self.outer(outputs)


def make_conv(
    normalization: str, filters: int, kernel_size: int, strides: int = 1
) -> tf.keras.layers.Layer:
    """Make a convolution without bias.

    The normalization is "strict" as in [13], or "learned" for comparison: the weight
    normalization of tensorflow-addons, whose gain is learned.

    Raises:
        ValueError: for another normalization, or "learned" under mixed precision.
    """
    if normalization == "strict":
        return WNConv2D(filters, kernel_size, strides)
    if normalization != "learned":
        raise ValueError(
            f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}"
        )
    # Imported lazily: tensorflow-addons is slow to import.
    from tfstyle.modeling.networks.addons import make_learned_conv

    return make_learned_conv(filters, kernel_size, strides)


def repeat_pixels(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Repeat each pixel; [batch, h, w, c] -> [batch, h*factor, w*factor, c]."""
    batch, height, width, _ = tf.unstack(tf.shape(images))
    channels = images.shape[-1]
    tiled = tf.tile(images[:, :, None, :, None, :], [1, 1, factor, 1, factor, 1])
    return tf.reshape(tiled, [batch, height * factor, width * factor, channels])


def interpolate_pixels(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Interpolate bilinearly; [batch, h, w, c] -> [batch, h*factor, w*factor, c]."""
    size = [factor * side for side in images.shape[1:3]]
    # The op returns float32, whatever the precision of the layer.
    return tf.cast(tf.image.resize(images, size), images.dtype)


def extract_patches(
    images: tf.Tensor, offsets: tf.Tensor, patch_size: int
) -> tf.Tensor:
    """Cut square patches, at different positions of each image.

    Args:
        images: float [batch, size, size, channels].
        offsets: float32 [batch, patches, 2] in [0, 1): row and column, as fractions of
            the size - patch_size + 1 positions where a patch can start.
        patch_size: side of the patches in pixels.

    Returns:
        float [batch * patches, patch_size, patch_size, channels].
    """
    size, channels = images.shape[1], images.shape[3]
    if size == patch_size:
        return images
    positions = size - patch_size + 1
    # Rounding may lift a product just below `positions` up to it.
    starts = tf.minimum(tf.cast(offsets * positions, tf.int32), positions - 1)
    steps = tf.range(patch_size)
    rows = starts[..., 0, None] + steps
    columns = starts[..., 1, None] + steps
    pixels = rows[..., :, None] * size + columns[..., None, :]
    flat = tf.reshape(images, [-1, size * size, channels])
    patches = tf.gather(flat, pixels, axis=1, batch_dims=1)
    return tf.reshape(patches, [-1, patch_size, patch_size, channels])
