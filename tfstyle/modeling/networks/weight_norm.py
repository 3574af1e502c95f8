"""Strictly weight-normalized layers and the residual blocks of reference [13].

"Strict" means that a kernel is divided by its norm and that nothing else is learned:
no gain, no bias. Given unit-variance white noise, each output channel then has unit
variance, and a discriminator cannot win by growing its gains.

Source: arXiv 1704.03971v4 ("[13]"), the residual networks that Table 1 uses.
"""

from collections.abc import Sequence

import tensorflow as tf

NORM_EPSILON = 1e-8
NORMALIZATIONS = ("strict", "learned")
UPSAMPLINGS = ("transposed", "nearest", "bilinear")


class _WeightNormalized(tf.keras.layers.Layer):
    """A kernel normalized over all axes but its output channel's.

    Args:
        affine: add a learned gain (1) and bias (0) per output channel.
    """

    def __init__(self, affine: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine
        self._kernel_axes: Sequence[int] = ()
        self._kernel_scale = 1.0
        self._is_folded = False

    def fold(self) -> None:
        """Normalize the kernel in place, once and for all; for exports."""
        if not self._is_folded:
            self.kernel.assign(self._normalized_kernel())
            self._is_folded = True

    def _add_weights(self, kernel_shape: Sequence[int], fan_in: int, channels: int):
        # The magnitude does not change the output, but the gradient is proportional
        # to its inverse: it is [13]'s effective learning rate, so it is kept.
        bound = fan_in**-0.5
        self.kernel = self.add_weight(
            "kernel",
            kernel_shape,
            initializer=tf.keras.initializers.RandomUniform(-bound, bound),
            # Norms are taken in float32 under mixed precision too.
            experimental_autocast=False,
        )
        if self.affine:
            self.gain = self.add_weight("gain", [channels], initializer="ones")
            self.bias = self.add_weight("bias", [channels], initializer="zeros")

    def _normalized_kernel(self) -> tf.Tensor:
        """Divides by the norm over _kernel_axes, its square times _kernel_scale."""
        kernel = self.kernel
        if not self._is_folded:
            squares = tf.reduce_sum(tf.square(kernel), self._kernel_axes, keepdims=True)
            kernel = kernel / (tf.sqrt(self._kernel_scale * squares) + NORM_EPSILON)
        return tf.cast(kernel, self.compute_dtype)

    def _finish(self, outputs: tf.Tensor) -> tf.Tensor:
        return outputs * self.gain + self.bias if self.affine else outputs

    def get_config(self):
        return {**super().get_config(), "affine": self.affine}


class WNDense(_WeightNormalized):
    """A dense layer; float [batch, in] -> [batch, units]."""

    def __init__(self, units: int, affine: bool = False, **kwargs):
        super().__init__(affine, **kwargs)
        self.units = units
        self._kernel_axes = [0]

    def build(self, input_shape):
        channels = input_shape[-1]
        self._add_weights([channels, self.units], channels, self.units)
        super().build(input_shape)

    def call(self, inputs):
        return self._finish(tf.matmul(inputs, self._normalized_kernel()))

    def take_linear(self, other: "WNDense", kernel: tf.Tensor, bias: tf.Tensor) -> None:
        """Do from now on what another layer does with inputs @ kernel + bias.

        Args:
            other: built, affine, of as many units.
            kernel: float32 [in, other's in].
            bias: float32 [other's in].
        """
        own = other._normalized_kernel() * other.gain
        kernel = tf.matmul(kernel, own)
        length = tf.norm(kernel, axis=0) + NORM_EPSILON
        # The kernel's own length sets the effective learning rate: it stays.
        self.kernel.assign(kernel / length * tf.norm(other.kernel, axis=0))
        self.gain.assign(length)
        self.bias.assign(tf.linalg.matvec(own, bias, transpose_a=True) + other.bias)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class _Convolution(_WeightNormalized):
    """What both convolutions are configured by."""

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "same",
        affine: bool = False,
        **kwargs,
    ):
        super().__init__(affine, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }


class WNConv2D(_Convolution):
    """A convolution; float [batch, h, w, in] -> [batch, h/strides, w/strides, filters].

    With "same" padding, an even kernel at stride 2 pads both sides alike.
    """

    def build(self, input_shape):
        size, channels = self.kernel_size, input_shape[-1]
        self._kernel_axes = [0, 1, 2]
        self._add_weights(
            [size, size, channels, self.filters], size * size * channels, self.filters
        )
        super().build(input_shape)

    def call(self, inputs):
        kernel = self._normalized_kernel()
        outputs = tf.nn.conv2d(inputs, kernel, self.strides, self.padding.upper())
        return self._finish(outputs)


class WNConv2DTranspose(_Convolution):
    """A transposed convolution; [batch, h, w, in] -> [batch, h*s, w*s, filters].

    Each output pixel receives 1/strides^2 of the kernel's taps, so the squared norm is
    divided by strides^2 to keep the outputs' variance.
    """

    def build(self, input_shape):
        size, channels = self.kernel_size, input_shape[-1]
        # TensorFlow's layout: the output channel comes before the input channel.
        self._kernel_axes = [0, 1, 3]
        self._kernel_scale = self.strides**-2
        self._add_weights(
            [size, size, self.filters, channels], size * size * channels, self.filters
        )
        super().build(input_shape)

    def call(self, inputs):
        batch, height, width, _ = tf.unstack(tf.shape(inputs))
        margin = 0
        if self.padding == "valid":
            margin = max(self.kernel_size - self.strides, 0)
        outputs = tf.nn.conv2d_transpose(
            inputs,
            self._normalized_kernel(),
            [
                batch,
                height * self.strides + margin,
                width * self.strides + margin,
                self.filters,
            ],
            self.strides,
            self.padding.upper(),
        )
        return self._finish(outputs)


class TPReLU(tf.keras.layers.Layer):
    """prelu(x - b; clip(a, 0, 1)) + b, with a (0.25) and b (0) learned per channel.

    The learned threshold b does the work of the bias that strict normalization omits.
    """

    def build(self, input_shape):
        channels = input_shape[-1]
        self.slope = self.add_weight(
            "slope", [channels], initializer=tf.keras.initializers.Constant(0.25)
        )
        self.threshold = self.add_weight("threshold", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        centred = inputs - self.threshold
        slope = tf.clip_by_value(self.slope, 0, 1)
        # In this form the threshold of a unit that is always active gets a gradient of
        # exactly zero, not of rounding noise, which RMSprop would turn into steps.
        return tf.where(centred > 0, inputs, slope * centred + self.threshold)


class WNAdd(tf.keras.layers.Layer):
    """A weighted sum of residual and shortcut: (r, s) of unit length per channel.

    r, s start at (0, 1): each block starts as its shortcut, the residual grows in.
    """

    def build(self, input_shape):
        channels = input_shape[0][-1]
        # Norms are taken in float32 under mixed precision, as the kernels' are.
        self.residual_weight = self.add_weight(
            "residual_weight",
            [channels],
            initializer="zeros",
            experimental_autocast=False,
        )
        self.shortcut_weight = self.add_weight(
            "shortcut_weight",
            [channels],
            initializer="ones",
            experimental_autocast=False,
        )
        super().build(input_shape)

    def call(self, inputs):
        residual, shortcut = inputs
        r, s = self.residual_weight, self.shortcut_weight
        norm = tf.sqrt(tf.square(r) + tf.square(s)) + NORM_EPSILON
        r, s = (tf.cast(one / norm, residual.dtype) for one in (r, s))
        return residual * r + shortcut * s


class ChannelAffine(tf.keras.layers.Layer):
    """gain * x + bias per channel, starting at (1, 0)."""

    def build(self, input_shape):
        channels = input_shape[-1]
        self.gain = self.add_weight("gain", [channels], initializer="ones")
        self.bias = self.add_weight("bias", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        return inputs * self.gain + self.bias


def make_conv(
    normalization: str, filters: int, kernel_size: int, strides: int = 1
) -> tf.keras.layers.Layer:
    """Make a convolution without bias.

    Args:
        normalization: "strict" as in [13], or "learned": tensorflow-addons' weight
            normalization, whose gain is learned, for comparison.
        filters, kernel_size, strides: as of `WNConv2D`.

    Raises:
        ValueError: for another normalization, or a learned one in mixed precision.
    """
    if normalization == "strict":
        return WNConv2D(filters, kernel_size, strides)
    if normalization != "learned":
        raise ValueError(
            f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}"
        )
    # Only who asks for it pays for this import.
    from tfstyle.modeling.networks.addons import learned_normalization

    return learned_normalization(
        tf.keras.layers.Conv2D(
            filters, kernel_size, strides, padding="same", use_bias=False
        )
    )


class EncoderBlock(tf.keras.layers.Layer):
    """A residual block; [batch, h, w, in] -> [batch, h/stride, w/stride, filters].

    Args:
        filters: output channels.
        stride: 1 or 2 (average pooling in the shortcut).
        normalization: see `make_conv`.
    """

    def __init__(self, filters: int, stride: int = 1, normalization="strict", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.stride = stride
        self.normalization = normalization

    def build(self, input_shape):
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

    def call(self, inputs):
        residual = self.second(self.inner(self.first(inputs)))
        shortcut = inputs
        if self.stride > 1:
            shortcut = tf.nn.avg_pool2d(shortcut, self.stride, self.stride, "VALID")
        if self.project is not None:
            shortcut = self.project(shortcut)
        return self.outer(self.add([residual, shortcut]))

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "normalization": self.normalization,
        }


class DecoderBlock(tf.keras.layers.Layer):
    """A residual block; [batch, h, w, in] -> [batch, h*stride, w*stride, filters].

    Args:
        filters: output channels.
        stride: 1 or 2.
        last: end in a per-channel affine map instead of TPReLU: the picture itself.
        upsampling: "transposed" convolutions and a nearest-neighbour shortcut as in
            [13]; "bilinear", the same with a bilinear shortcut; or "nearest" upsampling
            of both branches, followed by plain convolutions in the residual.
        normalization: see `make_conv`; "learned" goes with plain convolutions only.
    """

    def __init__(
        self,
        filters: int,
        stride: int = 1,
        last: bool = False,
        upsampling: str = "transposed",
        normalization: str = "strict",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if normalization == "learned" and upsampling != "nearest":
            raise ValueError(
                'normalization="learned" needs upsampling="nearest", '
                f"got {upsampling!r}"
            )
        if upsampling not in UPSAMPLINGS:
            raise ValueError(
                f"upsampling must be one of {UPSAMPLINGS}, got {upsampling!r}"
            )
        self.filters = filters
        self.stride = stride
        self.last = last
        self.upsampling = upsampling
        self.normalization = normalization

    def build(self, input_shape):
        channels = input_shape[-1]
        if self.upsampling != "nearest":
            self.first = WNConv2DTranspose(channels, 3)
            self.second = WNConv2DTranspose(self.filters, self.stride + 2, self.stride)
        else:
            self.first = make_conv(self.normalization, channels, 3)
            self.second = make_conv(self.normalization, self.filters, 3)
        self.inner = TPReLU()
        self.project = None
        if channels != self.filters:
            # A 1x1 convolution, transposed or not, is the same map.
            self.project = make_conv(self.normalization, self.filters, 1)
        self.add = WNAdd()
        self.outer = ChannelAffine() if self.last else TPReLU()
        super().build(input_shape)

    def call(self, inputs):
        residual = self.inner(self.first(inputs))
        if self.upsampling == "nearest":
            residual = self._upsample(residual)
        residual = self.second(residual)
        shortcut = inputs
        if self.project is not None:
            shortcut = self.project(shortcut)
        return self.outer(self.add([residual, self._upsample(shortcut)]))

    def _upsample(self, images):
        if self.stride == 1:
            return images
        if self.upsampling == "bilinear":
            return enlarge(images, self.stride)
        return repeat_pixels(images, self.stride)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "last": self.last,
            "upsampling": self.upsampling,
            "normalization": self.normalization,
        }


def repeat_pixels(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Repeats each pixel: [batch, h, w, c] -> [batch, h*factor, w*factor, c]."""
    batch, height, width, _ = tf.unstack(tf.shape(images))
    channels = images.shape[-1]
    tiled = tf.tile(images[:, :, None, :, None, :], [1, 1, factor, 1, factor, 1])
    return tf.reshape(tiled, [batch, height * factor, width * factor, channels])


def enlarge(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Enlarges bilinearly: [batch, h, w, c] -> [batch, h*factor, w*factor, c]."""
    size = [factor * side for side in images.shape[1:3]]
    # The op gives float32, whatever the precision of the layer.
    return tf.cast(tf.image.resize(images, size), images.dtype)


def fold(network: tf.Module) -> None:
    """Normalize every kernel of a network in place: it can no longer be trained."""
    for module in network.submodules:
        if isinstance(module, _WeightNormalized):
            module.fold()
