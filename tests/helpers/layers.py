"""Checks of layers and networks: the contract that all meet, and formulas in NumPy.

The formulas are those of reference [13] as loops, for images [batch, side, side, c].
"""

import json
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import weight_norm

Shape = Sequence[int]
EPSILON = 1e-8  # added to every norm


def randomize(layer: tf.keras.layers.Layer, seed: int = 1) -> None:
    """Assign a random value to every weight of a built layer."""
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(rng.normal(size=variable.shape))


def assert_same(values: Iterable, others: Iterable) -> None:
    """Check that all arrays are equal, such as the weights of two networks."""
    for value, other in zip(values, others, strict=True):
        np.testing.assert_array_equal(value, other)


def differ(values: Iterable, others: Iterable) -> bool:
    """Return whether any two arrays differ."""
    pairs = zip(values, others, strict=True)
    return any((value != other).any() for value, other in pairs)


def check_contract(
    make: Callable[[], tf.keras.layers.Layer],
    input_shapes: Sequence[Shape],
    output_shapes: Sequence[Shape],
    mixed_dtype: str,
    folder: pathlib.Path,
) -> None:
    """Check shapes, configuration, checkpoints and mixed precision of a layer.

    Args:
        make: makes the same layer at each call.
        input_shapes: of each input, without the batch.
        output_shapes: of each output, without the batch.
        mixed_dtype: of the outputs under mixed precision.
        folder: for a checkpoint.
    """
    rng = np.random.default_rng(3)
    inputs = [
        tf.constant(rng.uniform(size=[2, *shape]), tf.float32) for shape in input_shapes
    ]
    layer = make()
    _call(layer, inputs)
    randomize(layer)
    expected = _call(layer, inputs)
    _check_shapes(layer, inputs, output_shapes)
    _check_rebuilding(layer, inputs, expected)
    _check_checkpoint(layer, make(), inputs, expected, folder)
    _check_mixed_precision(make, inputs, mixed_dtype)


def _call(layer, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    outputs = layer(inputs[0] if len(inputs) == 1 else list(inputs))
    return tf.nest.flatten(outputs)


def _check_shapes(layer, inputs, output_shapes: Sequence[Shape]) -> None:
    """In eager mode, and in a graph of unknown batch size, on which others build."""
    shapes = [output.shape.as_list() for output in _call(layer, inputs)]
    assert shapes == [[2, *shape] for shape in output_shapes]
    specs = [tf.TensorSpec([None, *tensor.shape[1:]]) for tensor in inputs]
    traced = tf.function(lambda *args: _call(layer, args)).get_concrete_function(*specs)
    shapes = [output.shape.as_list() for output in traced.structured_outputs]
    assert shapes == [[None, *shape] for shape in output_shapes]


def _check_rebuilding(layer, inputs, expected) -> None:
    """A configuration that went through JSON rebuilds the layer."""
    config = layer.get_config()
    rebuilt = type(layer).from_config(json.loads(json.dumps(config)))
    _call(rebuilt, inputs)
    assert rebuilt.get_config() == config
    shapes = [weight.shape for weight in layer.get_weights()]
    assert [weight.shape for weight in rebuilt.get_weights()] == shapes
    rebuilt.set_weights(layer.get_weights())
    assert_same(_call(rebuilt, inputs), expected)


def _check_checkpoint(layer, restored, inputs, expected, folder) -> None:
    _call(restored, inputs)
    randomize(restored, seed=2)
    path = tf.train.Checkpoint(layer=layer).save(str(folder / "layer"))
    tf.train.Checkpoint(layer=restored).restore(path).assert_consumed()
    assert_same(_call(restored, inputs), expected)


def _check_mixed_precision(make, inputs, dtype: str) -> None:
    """Variables stay in float32."""
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = make()
        outputs = _call(layer, inputs)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert {output.dtype.name for output in outputs} == {dtype}
    assert {variable.dtype for variable in layer.weights} == {tf.float32}
    assert all(np.isfinite(output).all() for output in outputs)


# Shapes of networks.


def trace(network, *shapes):
    """Create a network's variables without computing anything; return its outputs."""
    specs = [tf.TensorSpec([None, *shape]) for shape in shapes]
    call = (lambda x: network(x)) if len(shapes) == 1 else lambda *x: network(list(x))
    return tf.function(call).get_concrete_function(*specs).structured_outputs


def dense_kernels(network):
    return sorted(
        tuple(layer.kernel.shape)
        for layer in network.submodules
        if isinstance(layer, weight_norm.WNDense)
    )


def block_shapes(network, kind, shape):
    """Follow an image or map through a network's blocks: static shapes after each."""
    shapes = []
    for block in network.layers:
        if isinstance(block, kind):
            function = tf.function(block.call)
            traced = function.get_concrete_function(tf.TensorSpec([None, *shape]))
            shape = traced.output_shapes.as_list()[1:]
            shapes.append(tuple(shape))
    return shapes


def count_encoder_parameters(features):
    """Count by the formulas: one stride-2 block per level.

    4x4 and 3x3 kernels, TPReLU (2 per channel) twice, WNAdd (2), a 1x1 projection.
    """
    total, channels = 0, 3
    for filters in features:
        total += 16 * channels * filters + 9 * filters * filters + 6 * filters
        total += channels * filters
        channels = filters
    return total


# Formulas.


def noise(*shape: int, seed: int = 0, dtype=np.float64) -> np.ndarray:
    """Draw white noise."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def normalize(kernel: np.ndarray, output_axis: int, factor: float = 1.0) -> np.ndarray:
    """Divide each output channel's taps by the root of factor x their squares."""
    result = np.empty_like(kernel, np.float64)
    for channel in range(kernel.shape[output_axis]):
        where = [slice(None)] * kernel.ndim
        where[output_axis] = channel
        taps = kernel[tuple(where)].astype(np.float64)
        total = sum(tap**2 for tap in taps.flat)
        result[tuple(where)] = taps / (np.sqrt(factor * total) + EPSILON)
    return result


def convolve(images: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Pad so that the side shrinks by the stride alone; kernel [h, w, in, out]."""
    size = kernel.shape[0]
    margin = (size - stride) // 2
    padded = np.pad(images, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    batch, side = len(images), images.shape[1] // stride
    outputs = np.zeros([batch, side, side, kernel.shape[3]])
    for b, i, j, di, dj, c, o in np.ndindex(batch, side, side, *kernel.shape):
        pixel = padded[b, i * stride + di, j * stride + dj, c]
        outputs[b, i, j, o] += pixel * kernel[di, dj, c, o]
    return outputs


def convolve_transposed(
    images: np.ndarray, kernel: np.ndarray, stride: int
) -> np.ndarray:
    """Stamp the kernel [h, w, out, in] at each pixel, then cut off the margin."""
    size = kernel.shape[0]
    margin = (size - stride) // 2
    batch, side, _, _ = images.shape
    output_side = stride * side
    outputs = np.zeros([batch, output_side, output_side, kernel.shape[2]])
    for b, i, j, di, dj, o, c in np.ndindex(batch, side, side, *kernel.shape):
        row, column = i * stride + di - margin, j * stride + dj - margin
        if 0 <= row < output_side and 0 <= column < output_side:
            outputs[b, row, column, o] += images[b, i, j, c] * kernel[di, dj, o, c]
    return outputs


def smooth_kernel(kernel: np.ndarray) -> np.ndarray:
    """Convolve a kernel [h, w, ..] with [1, 2, 1] / 4 along both axes."""
    height, width, *rest = kernel.shape
    result = np.zeros([height + 2, width + 2, *rest])
    weights = (1, 2, 1)
    for i, j in np.ndindex(height, width):
        for k, m in np.ndindex(3, 3):
            result[i + k, j + m] += weights[k] * weights[m] / 16 * kernel[i, j]
    return result


def tprelu(x: float, slope: float, threshold: float) -> float:
    """Translate, apply a leaky ReLU, translate back."""
    slope = min(max(slope, 0.0), 1.0)
    shifted = x - threshold
    return (shifted if shifted > 0 else slope * shifted) + threshold


def map_channels(
    function: Callable[..., float], images: np.ndarray, *parameters: np.ndarray
) -> np.ndarray:
    """Apply a function to each pixel, with the parameters of its channel."""
    outputs = np.empty_like(images)
    for index in np.ndindex(*images.shape):
        own = [parameter[index[-1]] for parameter in parameters]
        outputs[index] = function(images[index], *own)
    return outputs


def weighted_sum(
    residual: np.ndarray, shortcut: np.ndarray, r: np.ndarray, s: np.ndarray
) -> np.ndarray:
    """Add with the weights (r, s) of each channel, scaled to unit length."""
    outputs = np.empty_like(residual)
    for index in np.ndindex(*residual.shape):
        c = index[-1]
        norm = np.sqrt(r[c] ** 2 + s[c] ** 2) + EPSILON
        outputs[index] = (residual[index] * r[c] + shortcut[index] * s[c]) / norm
    return outputs


def average_pool(images: np.ndarray, factor: int = 2) -> np.ndarray:
    """Average over squares of factor x factor pixels."""
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, side // factor, side // factor, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        rows = slice(factor * i, factor * (i + 1))
        columns = slice(factor * j, factor * (j + 1))
        outputs[b, i, j, c] = images[b, rows, columns, c].mean()
    return outputs


def repeat_pixels(images: np.ndarray) -> np.ndarray:
    """Double the side; each pixel becomes a square of 2 x 2."""
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, 2 * side, 2 * side, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        outputs[b, i, j, c] = images[b, i // 2, j // 2, c]
    return outputs


def interpolate_pixels(images: np.ndarray) -> np.ndarray:
    """Double the side bilinearly: pixel centers keep their places, borders repeat."""
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, 2 * side, 2 * side, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        for k, m in np.ndindex(side + 2, side + 2):
            row, column = k - 1, m - 1
            weight = max(0, 1 - abs((i + 0.5) / 2 - 0.5 - row))
            weight *= max(0, 1 - abs((j + 0.5) / 2 - 0.5 - column))
            row, column = min(max(row, 0), side - 1), min(max(column, 0), side - 1)
            outputs[b, i, j, c] += weight * images[b, row, column, c]
    return outputs
