"""Strictly weight-normalized layers, against loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import layers as reference
from helpers.layers import check_contract, noise, normalize, randomize
from tfstyle.modeling.networks import weight_norm


@pytest.mark.parametrize(
    ("make", "input_shapes", "output_shape"),
    [
        (lambda: weight_norm.WNDense(5), [[3]], [5]),
        (lambda: weight_norm.WNDense(5, affine=True), [[3]], [5]),
        (lambda: weight_norm.WNConv2D(5, 3), [[6, 6, 3]], [6, 6, 5]),
        (lambda: weight_norm.WNConv2D(5, 4, 2), [[6, 6, 3]], [3, 3, 5]),
        (lambda: weight_norm.WNConv2D(5, 4, 2, "valid", True), [[8, 8, 3]], [3, 3, 5]),
        (lambda: weight_norm.WNConv2DTranspose(5, 3), [[6, 6, 3]], [6, 6, 5]),
        (
            lambda: weight_norm.WNConv2DTranspose(5, 4, 2, "valid", True),
            [[8, 8, 3]],
            [18, 18, 5],
        ),
        (lambda: weight_norm.WNConv2DTranspose(5, 4, 2), [[6, 6, 3]], [12, 12, 5]),
        (
            lambda: weight_norm.WNConv2DTranspose(5, 4, 2, smooth=True),
            [[6, 6, 3]],
            [12, 12, 5],
        ),
        (weight_norm.StyleModulation, [[6, 6, 3], [4]], [6, 6, 3]),
        (weight_norm.TPReLU, [[6, 6, 3]], [6, 6, 3]),
        (weight_norm.WNAdd, [[6, 6, 3], [6, 6, 3]], [6, 6, 3]),
        (weight_norm.ChannelAffine, [[6, 6, 3]], [6, 6, 3]),
    ],
)
def test_layers_meet_the_contract(make, input_shapes, output_shape, tmp_path):
    check_contract(make, input_shapes, [output_shape], "float16", tmp_path)


# Strict normalization.


@pytest.mark.parametrize("affine", [False, True])
def test_dense_divides_by_the_norm_over_the_inputs(affine):
    layer = weight_norm.WNDense(3, affine=affine, dtype="float64")
    inputs = noise(2, 4)
    layer(inputs)
    randomize(layer)
    expected = inputs @ normalize(layer.kernel.numpy(), output_axis=1)
    if affine:
        expected = expected * layer.gain.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-12)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("size, stride", [(1, 1), (3, 1), (4, 2)])
def test_convolution_divides_by_the_norm_over_taps_and_inputs(size, stride, affine):
    layer = weight_norm.WNConv2D(2, size, stride, affine=affine, dtype="float64")
    inputs = noise(2, 6, 6, 3)
    layer(inputs)
    randomize(layer)
    assert layer.kernel.shape == (size, size, 3, 2)
    kernel = normalize(layer.kernel.numpy(), output_axis=3)
    expected = reference.convolve(inputs, kernel, stride)
    if affine:
        expected = expected * layer.gain.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("size, stride", [(3, 1), (4, 2)])
def test_transposed_convolution_counts_the_stride_in_its_norm(size, stride, affine):
    """Its kernel is [h, w, out, in], and the squared norm is divided by stride^2."""
    layer = weight_norm.WNConv2DTranspose(
        2, size, stride, affine=affine, dtype="float64"
    )
    inputs = noise(2, 3, 3, 3)
    layer(inputs)
    randomize(layer)
    assert layer.kernel.shape == (size, size, 2, 3)
    kernel = normalize(layer.kernel.numpy(), output_axis=2, factor=1 / stride**2)
    expected = reference.convolve_transposed(inputs, kernel, stride)
    if affine:
        expected = expected * layer.gain.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size, stride", [(3, 1), (4, 2)])
def test_a_smooth_kernel_is_filtered_before_its_norm_is_taken(size, stride):
    layer = weight_norm.WNConv2DTranspose(2, size, stride, smooth=True, dtype="float64")
    inputs = noise(2, 3, 3, 3)
    layer(inputs)
    randomize(layer)
    kernel = reference.smooth_kernel(layer.kernel.numpy())
    kernel = normalize(kernel, output_axis=2, factor=1 / stride**2)
    expected = reference.convolve_transposed(inputs, kernel, stride)

    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-10, atol=1e-12)


def test_a_smooth_convolution_leaves_no_lattice():
    """Flat inputs: what even and odd pixels get differs by the lattice alone.

    The filter's response at the shortest wave is (1 - 2 + 1) / 4 = 0 along either axis.
    """
    flat = np.ones([1, 8, 8, 3], np.float32)
    spread = {}
    for smooth in (False, True):
        layer = weight_norm.WNConv2DTranspose(4, 4, 2, smooth=smooth)
        layer(flat)
        randomize(layer)
        inner = layer(flat).numpy()[0, 4:-4, 4:-4]
        spread[smooth] = np.ptp(inner, axis=(0, 1)).max()

    assert spread[True] < 1e-5 < 0.1 < spread[False]


def test_a_transposed_kernel_of_ones_worked_by_hand():
    """16 taps of one input channel at stride 2: norm sqrt(16 / 4) = 2, taps 1 / 2.

    Of the 4 x 4 outputs of a pixel, the inner 2 x 2 remain.
    """
    layer = weight_norm.WNConv2DTranspose(1, 4, 2)
    pixel = np.ones([1, 1, 1, 1], np.float32)
    layer(pixel)
    layer.kernel.assign(tf.ones_like(layer.kernel))
    np.testing.assert_allclose(layer(pixel), np.full([1, 2, 2, 1], 0.5), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_size_of_a_kernel_does_not_change_the_outputs(factor):
    for layer in (weight_norm.WNDense(3), weight_norm.WNConv2D(3, 3)):
        inputs = noise(2, 4, 4, 3, dtype=np.float32)
        expected = layer(inputs)
        layer.kernel.assign(layer.kernel * factor)
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_kernel_of_zeros_outputs_zeros():
    layer = weight_norm.WNConv2D(2, 3)
    inputs = noise(1, 4, 4, 3, dtype=np.float32)
    layer(inputs)
    layer.kernel.assign(tf.zeros_like(layer.kernel))
    np.testing.assert_array_equal(layer(inputs), np.zeros([1, 4, 4, 2]))


@pytest.mark.parametrize(
    "layer",
    [
        weight_norm.WNConv2D(8, 1),
        weight_norm.WNConv2D(8, 3),
        weight_norm.WNConv2D(8, 4, 2),
        weight_norm.WNConv2DTranspose(8, 3),
        weight_norm.WNConv2DTranspose(8, 4, 2),
        weight_norm.WNConv2DTranspose(8, 4, 2, smooth=True),
    ],
    ids=["1x1", "3x3", "stride 2", "transposed", "transposed, stride 2", "smooth"],
)
def test_white_noise_keeps_unit_variance_in_every_channel(layer):
    """Inside the borders: 4 x 20^2 numbers at least, so a deviation of about .04."""
    tf.keras.utils.set_random_seed(3)
    inputs = noise(4, 48, 48, 16, seed=4, dtype=np.float32)
    outputs = layer(inputs).numpy()[:, 2:-2, 2:-2]
    np.testing.assert_allclose(outputs.var(axis=(0, 1, 2)), np.ones(8), atol=0.15)


def test_white_noise_keeps_unit_variance_through_a_dense_layer():
    """20000 rows: the variance's deviation is sqrt(2 / 20000) = .01."""
    outputs = weight_norm.WNDense(6)(noise(20000, 10, dtype=np.float32)).numpy()
    np.testing.assert_allclose(outputs.var(axis=0), np.ones(6), atol=0.05)


@pytest.mark.parametrize(
    "layer, channels, fan_in",
    [
        (weight_norm.WNDense(200), 50, 50),
        (weight_norm.WNConv2D(200, 3), 8, 72),
        (weight_norm.WNConv2DTranspose(200, 4, 2), 8, 128),
    ],
)
def test_kernels_start_uniform_within_the_inverse_root_of_fan_in(
    layer, channels, fan_in
):
    """Uniform in +-b has the deviation b / sqrt(3)."""
    layer(noise(1, 4, 4, channels, dtype=np.float32))
    kernel, bound = layer.kernel.numpy(), fan_in**-0.5
    assert 0.98 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)


def test_affine_adds_a_gain_of_one_and_a_bias_of_zero():
    layer, plain = weight_norm.WNDense(3, affine=True), weight_norm.WNDense(3)
    inputs = noise(1, 4, dtype=np.float32)
    plain(inputs)
    layer(inputs)
    assert len(plain.weights) == 1 and len(layer.weights) == 3
    layer.kernel.assign(plain.kernel)
    np.testing.assert_array_equal(layer(inputs), plain(inputs))


def test_a_dense_layer_composes_another_with_a_linear_map():
    """layer(x) = other(x @ kernel + bias), and other's kernel norms are kept."""
    rng = np.random.default_rng(2)
    other, layer = (weight_norm.WNDense(5, affine=True) for _ in range(2))
    inputs, kernel, bias = (
        rng.normal(size=shape).astype(np.float32) for shape in [(7, 3), (3, 4), (4,)]
    )
    other_inputs = inputs @ kernel + bias
    other(other_inputs), layer(inputs)
    randomize(other)

    layer.assign_composition(other, kernel, bias)

    expected = other(other_inputs)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(layer.kernel, axis=0),
        np.linalg.norm(other.kernel, axis=0),
        rtol=1e-5,
    )


@pytest.mark.parametrize("factor", [1e-4, 1e6])
def test_norms_are_computed_in_float32_under_mixed_precision(dtype_policy, factor):
    """Squares of 1e-4 vanish in float16 and those of 1e6 overflow."""
    dtype_policy("mixed_float16")
    inputs = noise(2, 4, 4, 3, dtype=np.float32)
    for layer in (
        weight_norm.WNDense(5),
        weight_norm.WNConv2D(5, 3),
        weight_norm.WNConv2DTranspose(5, 4, 2),
    ):
        expected = layer(inputs)
        layer.kernel.assign(layer.kernel * factor)
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-2, atol=1e-2)


# Activations and sums.


def test_tprelu_is_a_translated_prelu():
    """Slopes outside [0, 1] are clipped: -0.5 acts as 0, 1.5 as 1."""
    layer = weight_norm.TPReLU(dtype="float64")
    inputs = noise(2, 3, 3, 4) * 2
    layer(inputs)
    slope, threshold = np.array([-0.5, 0.3, 1.5, 0.0]), np.array([0.0, 0.5, -1, -0.7])
    layer.slope.assign(slope)
    layer.threshold.assign(threshold)
    expected = reference.map_channels(reference.tprelu, inputs, slope, threshold)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-12)


def test_tprelu_starts_as_a_leaky_relu_of_a_quarter():
    outputs = weight_norm.TPReLU()(tf.constant([[-4.0, 0.0, 3.0]]))
    np.testing.assert_array_equal(outputs, [[-1, 0, 3]])


def test_add_weighs_by_a_unit_vector():
    layer = weight_norm.WNAdd(dtype="float64")
    residual, shortcut = noise(2, 2, 2, 3), noise(2, 2, 2, 3, seed=1)
    layer([residual, shortcut])
    r, s = np.array([3.0, 0.0, -1.0]), np.array([4.0, 2.0, 1.0])
    layer.residual_weight.assign(r)
    layer.shortcut_weight.assign(s)
    outputs = layer([residual, shortcut]).numpy()
    expected = reference.weighted_sum(residual, shortcut, r, s)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)
    by_hand = 0.6 * residual[..., 0] + 0.8 * shortcut[..., 0]
    np.testing.assert_allclose(outputs[..., 0], by_hand, rtol=1e-7)


def test_add_starts_as_the_shortcut():
    shortcut = noise(1, 2, 2, 3, dtype=np.float32)
    outputs = weight_norm.WNAdd()([np.full_like(shortcut, 7), shortcut])
    np.testing.assert_allclose(outputs, shortcut, rtol=1e-6)


def test_channel_affine_starts_as_the_identity():
    layer = weight_norm.ChannelAffine()
    inputs = noise(1, 2, 2, 3, dtype=np.float32)
    np.testing.assert_array_equal(layer(inputs), inputs)
    layer.gain.assign([1, 2, 3])
    layer.bias.assign([0, 0, 5])
    expected = inputs * np.array([1, 2, 3], np.float32) + np.array([0, 0, 5])
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-6)


def test_modulation_is_linear_in_styles_up_to_the_farthest():
    layer = weight_norm.StyleModulation()
    features = noise(2, 3, 3, 2, dtype=np.float32)
    far = np.array([[0.5, 9.0], [-7.0, 1.0]], np.float32)
    near = np.array([[0.5, 4.0], [-4.0, 1.0]], np.float32)
    layer([features, far])
    np.testing.assert_array_equal(layer([features, far]), features)
    randomize(layer)
    values = near @ layer.kernel.numpy() + layer.bias.numpy()
    expected = np.empty_like(features)
    for b, i, j, c in np.ndindex(*features.shape):
        gain, shift = values[b, c], values[b, 2 + c]
        expected[b, i, j, c] = (1 + gain) * features[b, i, j, c] + shift

    np.testing.assert_allclose(layer([features, far]), expected, rtol=1e-4, atol=1e-5)


# Folding.


@pytest.mark.parametrize(
    "layer",
    [
        weight_norm.WNDense(5, affine=True),
        weight_norm.WNConv2D(5, 4, 2),
        weight_norm.WNConv2DTranspose(5, 4, 2),
        weight_norm.WNConv2DTranspose(5, 4, 2, smooth=True),
    ],
)
def test_folding_changes_kernels_but_not_outputs(layer):
    inputs = noise(2, 6, 6, 3, dtype=np.float32)
    layer(inputs)
    randomize(layer)
    kernel, expected = layer.kernel.numpy(), layer(inputs).numpy()
    for _ in range(2):  # folding twice changes nothing more
        weight_norm.fold(tf.keras.Sequential([layer]))
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(layer.kernel, kernel)


def test_folded_kernels_are_the_normalized_ones():
    """Of length 1; of length `strides` where the norm counts the stride."""
    network = tf.keras.Sequential(
        [
            weight_norm.WNConv2D(4, 3),
            weight_norm.WNConv2DTranspose(5, 4, 2),
            weight_norm.WNDense(6),
        ]
    )
    network(noise(1, 4, 4, 3, dtype=np.float32))
    weight_norm.fold(network)
    lengths = [
        np.sqrt((layer.kernel.numpy() ** 2).sum(axis=axes))
        for layer, axes in zip(
            network.layers, [(0, 1, 2), (0, 1, 3), (0,)], strict=True
        )
    ]
    np.testing.assert_allclose(lengths[0], np.ones(4), rtol=1e-5)
    np.testing.assert_allclose(lengths[1], np.full(5, 2.0), rtol=1e-5)
    np.testing.assert_allclose(lengths[2], np.ones(6), rtol=1e-5)
