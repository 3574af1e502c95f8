"""Strictly weight-normalized layers and the activations that go with them.

"Strict" means that a kernel is divided by its norm and that neither a gain nor a bias
is learned. For white-noise inputs of unit variance, each output channel then has unit
variance, and a discriminator cannot win by increasing its gains.

Source: arXiv 1704.03971v4 ("[13]"), the residual networks that Table 1 uses.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

NORM_EPSILON = 1e-8
# Styles further out, in deviations, count as being there: what was learned from the
# styles of training pictures says nothing about others.
FARTHEST_STYLE = 4.0
# Weights of the filter of smooth transposed convolutions, along either axis.
_BINOMIAL = (0.25, 0.5, 0.25)


class _WeightNormalized(tf.keras.layers.Layer):
    """A kernel normalized over all axes except the output channel's.

    `affine` adds a learned gain (initially 1) and bias (0) per output channel.
    """

    # Axes of the norm, and the factor of its square.
    _kernel_axes: Sequence[int] = ()
    _kernel_scale = 1.0
    _is_folded = False

    def __init__(self, affine: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.affine = affine

    def fold(self) -> None:
        """Normalize the kernel in place, once and for all; for exports."""
        if not self._is_folded:
            self.kernel.assign(self._normalize_kernel())
            self._is_folded = True

    def _add_weights(self, shape: Sequence[int], fan_in: int, channels: int) -> None:
        # The magnitude does not change the output, but the gradient is proportional
        # to its inverse: it sets the effective learning rate of [13].
        bound = fan_in**-0.5
        self.kernel = self.add_weight(
            "kernel",
            shape,
            initializer=tf.keras.initializers.RandomUniform(-bound, bound),
            # Norms are computed in float32 under mixed precision too.
            experimental_autocast=False,
        )
        if self.affine:
            self.gain = self.add_weight("gain", [channels], initializer="ones")
            self.bias = self.add_weight("bias", [channels], initializer="zeros")

    def _apply_affine(self, outputs: tf.Tensor) -> tf.Tensor:
        return outputs * self.gain + self.bias if self.affine else outputs

    def _cast_kernel(self) -> tf.Tensor:
        """Return the kernel divided by its norm, in the compute dtype."""
        return tf.cast(self._normalize_kernel(), self.compute_dtype)

    def _normalize_kernel(self) -> tf.Tensor:
        """Return the kernel divided by its norm, float32."""
        kernel = self.kernel
        if not self._is_folded:
            squares = tf.square(self._filter_kernel(kernel))
            total = tf.reduce_sum(squares, self._kernel_axes, keepdims=True)
            kernel = kernel / (tf.sqrt(self._kernel_scale * total) + NORM_EPSILON)
        return kernel

    def _filter_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the kernel that is applied, whose norm counts."""
        return kernel


class WNDense(_WeightNormalized):
    """A dense layer; float [batch, in] -> [batch, units]."""

    _kernel_axes = (0,)

    def __init__(self, units: int, affine: bool = False, **kwargs: Any) -> None:
        super().__init__(affine, **kwargs)
        self.units = units

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        self._add_weights([channels, self.units], channels, self.units)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._apply_affine(tf.matmul(inputs, self._cast_kernel()))

    def assign_composition(
        self, other: "WNDense", kernel: tf.Tensor, bias: tf.Tensor
    ) -> None:
        """Set the weights so that this layer computes other(inputs @ kernel + bias).

        Args:
            other: built and affine, with as many units as this layer.
            kernel: float32 [in, other's in].
            bias: float32 [other's in].
        """
        # Variables are read as float32 outside of a layer's call.
        other_kernel = other._normalize_kernel() * other.gain
        kernel = tf.matmul(kernel, other_kernel)
        gain = tf.norm(kernel, axis=0) + NORM_EPSILON
        # Keep other's kernel norms, which set the effective learning rate.
        self.kernel.assign(kernel / gain * tf.norm(other.kernel, axis=0))
        self.gain.assign(gain)
        self.bias.assign(
            tf.linalg.matvec(other_kernel, bias, transpose_a=True) + other.bias
        )


class _Convolution(_WeightNormalized):
    """Arguments of both convolutions; kernel_size and strides hold for both axes."""

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "same",
        affine: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(affine, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding


class WNConv2D(_Convolution):
    """A convolution; float [batch, h, w, in] -> [batch, h/strides, w/strides, filters].

    With "same" padding, an even kernel at stride 2 pads both sides equally.
    """

    _kernel_axes = (0, 1, 2)

    def build(self, input_shape: tf.TensorShape) -> None:
        size, channels = self.kernel_size, input_shape[-1]
        self._add_weights(
            [size, size, channels, self.filters], size * size * channels, self.filters
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        kernel, padding = self._cast_kernel(), self.padding.upper()
        return self._apply_affine(tf.nn.conv2d(inputs, kernel, self.strides, padding))


class WNConv2DTranspose(_Convolution):
    """A transposed convolution; float [batch, h, w, in] -> [batch, h*s, w*s, filters].

    Each output pixel receives 1/strides^2 of the kernel's taps, so the squared norm is
    divided by strides^2 to preserve the variance of the outputs.

    A stride of 2 reaches odd and even pixels by different taps, which leaves lattices
    in pictures. `smooth` convolves the kernel with [1, 2, 1] / 4 along both axes, a
    filter that takes the frequency of such a lattice; the result is what is normalized,
    so that the filter costs no variance.
    """

    # TensorFlow's layout: the output channel comes before the input channel.
    _kernel_axes = (0, 1, 3)

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "same",
        affine: bool = False,
        smooth: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, affine, **kwargs)
        self.smooth = smooth

    def build(self, input_shape: tf.TensorShape) -> None:
        size, channels = self.kernel_size, input_shape[-1]
        self._kernel_scale = self.strides**-2
        self._add_weights(
            [size, size, self.filters, channels], size * size * channels, self.filters
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        batch, height, width, _ = tf.unstack(tf.shape(inputs))
        kernel = self._filter_kernel(self._cast_kernel())
        margin = 0
        if self.padding == "valid":
            margin = max(kernel.shape[0] - self.strides, 0)
        height, width = height * self.strides + margin, width * self.strides + margin
        outputs = tf.nn.conv2d_transpose(
            inputs,
            kernel,
            [batch, height, width, self.filters],
            self.strides,
            self.padding.upper(),
        )
        return self._apply_affine(outputs)

    def _filter_kernel(self, kernel: tf.Tensor) -> tf.Tensor:
        if not self.smooth:
            return kernel
        last = len(_BINOMIAL) - 1
        for axis in (0, 1):
            shifted = []
            for k, weight in enumerate(_BINOMIAL):
                margins = [[k, last - k] if a == axis else [0, 0] for a in range(4)]
                shifted.append(weight * tf.pad(kernel, margins))
            kernel = tf.add_n(shifted)
        return kernel


class TPReLU(tf.keras.layers.Layer):
    """Compute prelu(x - b; clip(a, 0, 1)) + b; float [.., channels] -> the same.

    The slope a (initially 0.25) and the threshold b (0) are learned per channel. The
    threshold replaces the bias that strict normalization omits.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        self.slope = self.add_weight(
            "slope", [channels], initializer=tf.keras.initializers.Constant(0.25)
        )
        self.threshold = self.add_weight("threshold", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        centered = inputs - self.threshold
        slope = tf.clip_by_value(self.slope, 0, 1)
        # In this form the threshold of a unit that is always active has a gradient of
        # exactly zero, without rounding noise that RMSprop would amplify to full steps.
        return tf.where(centered > 0, inputs, slope * centered + self.threshold)


class WNAdd(tf.keras.layers.Layer):
    """Compute r * residual + s * shortcut, with (r, s) of unit length per channel.

    (r, s) starts at (0, 1): each block starts as its shortcut. Both inputs and the
    output are float [batch, h, w, channels].
    """

    def build(self, input_shape: Sequence[tf.TensorShape]) -> None:
        channels = input_shape[0][-1]
        # Norms are computed in float32 under mixed precision, as those of kernels are.
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

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        residual, shortcut = inputs
        r, s = self.residual_weight, self.shortcut_weight
        norm = tf.sqrt(tf.square(r) + tf.square(s)) + NORM_EPSILON
        r, s = (tf.cast(weight / norm, residual.dtype) for weight in (r, s))
        return residual * r + shortcut * s


class ChannelAffine(tf.keras.layers.Layer):
    """Compute gain * x + bias per channel, initially (1, 0); float [.., channels]."""

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        self.gain = self.add_weight("gain", [channels], initializer="ones")
        self.bias = self.add_weight("bias", [channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.gain + self.bias


class StyleModulation(tf.keras.layers.Layer):
    """Scale and shift each channel by linear functions of the style.

    Inputs are (features float [batch, h, w, channels], styles float [batch, dims]); the
    output is float [batch, h, w, channels]. Gains start at 1 and shifts at 0, whatever
    the style; styles further out than FARTHEST_STYLE count as being there.
    """

    def build(self, input_shape: Sequence[tf.TensorShape]) -> None:
        (*_, channels), (_, dims) = input_shape
        self.kernel = self.add_weight(
            "kernel", [dims, 2 * channels], initializer="zeros"
        )
        self.bias = self.add_weight("bias", [2 * channels], initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        features, styles = inputs
        styles = tf.clip_by_value(styles, -FARTHEST_STYLE, FARTHEST_STYLE)
        modulation = tf.matmul(styles, self.kernel) + self.bias
        gains, shifts = tf.split(modulation[:, None, None, :], 2, axis=-1)
        return features * (1 + gains) + shifts


def fold(network: tf.Module) -> None:
    """Normalize every kernel of a network in place; it cannot be trained afterwards."""
    for module in network.submodules:
        if isinstance(module, _WeightNormalized):
            module.fold()
