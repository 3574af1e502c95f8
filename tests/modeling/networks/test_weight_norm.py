"""Strict weight normalization and the blocks of reference [13], against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import weight_norm

EPSILON = 1e-8  # added to the norm


# The formulas, in loops.


def normalize(kernel, output_axis, norm_factor=1.0):
    """Divide each output channel's taps by the root of norm_factor x their squares."""
    result = np.empty_like(kernel, np.float64)
    for channel in range(kernel.shape[output_axis]):
        here = [slice(None)] * kernel.ndim
        here[output_axis] = channel
        taps = kernel[tuple(here)].astype(np.float64)
        total = sum(tap**2 for tap in taps.flat)
        result[tuple(here)] = taps / (np.sqrt(norm_factor * total) + EPSILON)
    return result


def convolve(images, kernel, stride):
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


def convolve_transposed(images, kernel, stride):
    """Each pixel stamps the kernel [h, w, out, in]; the margin is cut off."""
    size = kernel.shape[0]
    margin = (size - stride) // 2
    batch, side, _, _ = images.shape
    whole = stride * side
    outputs = np.zeros([batch, whole, whole, kernel.shape[2]])
    for b, i, j, di, dj, o, c in np.ndindex(batch, side, side, *kernel.shape):
        row, column = i * stride + di - margin, j * stride + dj - margin
        if 0 <= row < whole and 0 <= column < whole:
            outputs[b, row, column, o] += images[b, i, j, c] * kernel[di, dj, o, c]
    return outputs


def tprelu(x, slope, threshold):
    slope = min(max(slope, 0.0), 1.0)
    shifted = x - threshold
    return (shifted if shifted > 0 else slope * shifted) + threshold


def each_channel(function, images, *parameters):
    outputs = np.empty_like(images)
    for place in np.ndindex(*images.shape):
        own = [parameter[place[-1]] for parameter in parameters]
        outputs[place] = function(images[place], *own)
    return outputs


def weighted_sum(residual, shortcut, r, s):
    outputs = np.empty_like(residual)
    for place in np.ndindex(*residual.shape):
        here = place[-1]
        norm = np.sqrt(r[here] ** 2 + s[here] ** 2) + EPSILON
        outputs[place] = (residual[place] * r[here] + shortcut[place] * s[here]) / norm
    return outputs


def average_pool(images):
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, side // 2, side // 2, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        outputs[b, i, j, c] = images[b, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].mean()
    return outputs


def repeat_pixels(images):
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, 2 * side, 2 * side, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        outputs[b, i, j, c] = images[b, i // 2, j // 2, c]
    return outputs


def enlarge(images):
    """Bilinear: pixel centres keep their places, the border is repeated outwards."""
    batch, side, _, channels = images.shape
    outputs = np.zeros([batch, 2 * side, 2 * side, channels])
    for b, i, j, c in np.ndindex(*outputs.shape):
        for k, m in np.ndindex(side + 2, side + 2):
            row, column = k - 1, m - 1
            near = max(0, 1 - abs((i + 0.5) / 2 - 0.5 - row))
            near *= max(0, 1 - abs((j + 0.5) / 2 - 0.5 - column))
            inside = min(max(row, 0), side - 1), min(max(column, 0), side - 1)
            outputs[b, i, j, c] += near * images[b, inside[0], inside[1], c]
    return outputs


def noise(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def randomize(layer, seed=1):
    """Give every weight of a built layer a random value."""
    random = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(random.normal(size=variable.shape))


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
    expected = convolve(inputs, kernel, stride)
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
    kernel = normalize(layer.kernel.numpy(), output_axis=2, norm_factor=1 / stride**2)
    expected = convolve_transposed(inputs, kernel, stride)
    if affine:
        expected = expected * layer.gain.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-10, atol=1e-12)


def test_a_transposed_kernel_of_ones_worked_by_hand():
    """16 taps of one input channel at stride 2: norm sqrt(16 / 4) = 2, taps 1 / 2."""
    layer = weight_norm.WNConv2DTranspose(1, 4, 2, padding="valid")
    pixel = np.ones([1, 1, 1, 1], np.float32)
    layer(pixel)
    layer.kernel.assign(tf.ones_like(layer.kernel))
    np.testing.assert_allclose(layer(pixel), np.full([1, 4, 4, 1], 0.5), rtol=1e-6)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_size_of_a_kernel_does_not_change_the_outputs(factor):
    for layer in (weight_norm.WNDense(3), weight_norm.WNConv2D(3, 3)):
        inputs = noise(2, 4, 4, 3, dtype=np.float32)
        expected = layer(inputs)
        layer.kernel.assign(layer.kernel * factor)
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_kernel_of_zeros_gives_zeros():
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
    ],
    ids=["1x1", "3x3", "stride 2", "transposed", "transposed, stride 2"],
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
def test_kernels_start_uniform_within_the_root_of_fan_in(layer, channels, fan_in):
    """Uniform in +-b has the deviation b / sqrt(3)."""
    layer(noise(1, 4, 4, channels, dtype=np.float32))
    kernel, bound = layer.kernel.numpy(), fan_in**-0.5
    assert 0.98 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)


def test_affine_adds_a_gain_of_one_and_a_bias_of_zero():
    layer = weight_norm.WNConv2D(3, 3, affine=True)
    plain = weight_norm.WNConv2D(3, 3)
    inputs = noise(1, 4, 4, 2, dtype=np.float32)
    plain(inputs)
    layer(inputs)
    assert len(plain.weights) == 1 and len(layer.weights) == 3
    layer.kernel.assign(plain.kernel)
    np.testing.assert_array_equal(layer(inputs), plain(inputs))


@pytest.mark.parametrize(
    "layer, side",
    [
        (weight_norm.WNConv2D(5, 3, padding="valid"), 6),
        (weight_norm.WNConv2D(5, 4, 2, padding="valid"), 3),
        (weight_norm.WNConv2DTranspose(5, 3, padding="valid"), 10),
        (weight_norm.WNConv2DTranspose(5, 4, 2, padding="valid"), 18),
        (weight_norm.WNConv2DTranspose(5, 4, 2), 16),
    ],
)
def test_padding_decides_the_outputs_side(layer, side):
    """Of 8: 8-3+1, (8-4)/2+1, 8+3-1, 8x2+4-2 and 8x2."""
    outputs = layer(np.zeros([2, 8, 8, 3], np.float32))
    assert outputs.shape == (2, side, side, 5)


# Activations and sums.


def test_tprelu_is_a_translated_prelu():
    """Slopes outside [0, 1] are clipped: -0.5 acts as 0, 1.5 as 1."""
    layer = weight_norm.TPReLU(dtype="float64")
    inputs = noise(2, 3, 3, 4) * 2
    layer(inputs)
    slope, threshold = np.array([-0.5, 0.3, 1.5, 0.0]), np.array([0.0, 0.5, -1, -0.7])
    layer.slope.assign(slope)
    layer.threshold.assign(threshold)
    expected = each_channel(tprelu, inputs, slope, threshold)
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
    expected = weighted_sum(residual, shortcut, r, s)
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


def test_repeating_pixels_is_nearest_neighbour_upsampling():
    images = noise(2, 3, 3, 2)
    expected = repeat_pixels(images)
    np.testing.assert_array_equal(weight_norm.repeat_pixels(images, 2), expected)


# Blocks, by hand.


@pytest.mark.parametrize("stride, channels", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_encoder_block_is_its_formula(dtype_policy, stride, channels):
    dtype_policy("float64")
    block = weight_norm.EncoderBlock(2, stride)
    inputs = noise(1, 4, 4, channels)
    block(inputs)
    randomize(block)

    kernel = normalize(block.first.kernel.numpy(), 3)
    assert kernel.shape == (stride + 2, stride + 2, channels, 2)
    residual = convolve(inputs, kernel, stride)
    residual = each_channel(
        tprelu, residual, block.inner.slope.numpy(), block.inner.threshold.numpy()
    )
    residual = convolve(residual, normalize(block.second.kernel.numpy(), 3), 1)
    shortcut = average_pool(inputs) if stride == 2 else inputs
    if channels != 2:
        kernel = normalize(block.project.kernel.numpy(), 3)
        assert kernel.shape == (1, 1, channels, 2)
        shortcut = convolve(shortcut, kernel, 1)
    expected = weighted_sum(
        residual,
        shortcut,
        block.add.residual_weight.numpy(),
        block.add.shortcut_weight.numpy(),
    )
    expected = each_channel(
        tprelu, expected, block.outer.slope.numpy(), block.outer.threshold.numpy()
    )
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("upsampling", weight_norm.UPSAMPLINGS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("stride, channels", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_decoder_block_is_its_formula(dtype_policy, stride, channels, last, upsampling):
    dtype_policy("float64")
    block = weight_norm.DecoderBlock(2, stride, last=last, upsampling=upsampling)
    inputs = noise(1, 3, 3, channels)
    block(inputs)
    randomize(block)

    first, second = block.first.kernel.numpy(), block.second.kernel.numpy()
    activate = (block.inner.slope.numpy(), block.inner.threshold.numpy())
    if upsampling != "nearest":
        assert first.shape == (3, 3, channels, channels)
        assert second.shape == (stride + 2, stride + 2, 2, channels)
        residual = convolve_transposed(inputs, normalize(first, 2), 1)
        residual = each_channel(tprelu, residual, *activate)
        kernel = normalize(second, 2, norm_factor=1 / stride**2)
        residual = convolve_transposed(residual, kernel, stride)
    else:
        residual = convolve(inputs, normalize(first, 3), 1)
        residual = each_channel(tprelu, residual, *activate)
        residual = repeat_pixels(residual) if stride == 2 else residual
        residual = convolve(residual, normalize(second, 3), 1)
    shortcut = inputs
    if channels != 2:
        shortcut = convolve(inputs, normalize(block.project.kernel.numpy(), 3), 1)
    if stride == 2:
        larger = enlarge if upsampling == "bilinear" else repeat_pixels
        shortcut = larger(shortcut)
    expected = weighted_sum(
        residual,
        shortcut,
        block.add.residual_weight.numpy(),
        block.add.shortcut_weight.numpy(),
    )
    if last:
        expected = expected * block.outer.gain.numpy() + block.outer.bias.numpy()
    else:
        expected = each_channel(
            tprelu, expected, block.outer.slope.numpy(), block.outer.threshold.numpy()
        )
    # TensorFlow enlarges in float32.
    tolerance = 1e-6 if upsampling == "bilinear" else 1e-10
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-9, atol=tolerance)


def test_encoder_block_starts_as_its_pooled_shortcut():
    """Then TPReLU as it starts: a quarter of what is negative."""
    inputs = noise(1, 4, 4, 3)
    pooled = average_pool(inputs)
    expected = np.where(pooled > 0, pooled, pooled / 4)
    outputs = weight_norm.EncoderBlock(3, stride=2)(inputs.astype(np.float32))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_last_decoder_block_starts_as_its_repeated_shortcut():
    inputs = noise(1, 2, 2, 3)
    block = weight_norm.DecoderBlock(3, stride=2, last=True)
    outputs = block(inputs.astype(np.float32))
    np.testing.assert_allclose(outputs, repeat_pixels(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("filters", [3, 6])
def test_block_shapes_in_eager_and_in_a_graph_of_unknown_batch(filters, stride):
    unknown = tf.TensorSpec([None, 8, 8, 3])
    for block, side in [
        (weight_norm.EncoderBlock(filters, stride), 8 // stride),
        (weight_norm.DecoderBlock(filters, stride), 8 * stride),
        (weight_norm.DecoderBlock(filters, stride, upsampling="nearest"), 8 * stride),
        (weight_norm.DecoderBlock(filters, stride, upsampling="bilinear"), 8 * stride),
    ]:
        assert block(tf.zeros([2, 8, 8, 3])).shape == (2, side, side, filters)
        traced = tf.function(block).get_concrete_function(unknown)
        # a static shape, on which later layers build
        assert traced.output_shapes.as_list() == [None, side, side, filters]


def test_every_weight_of_a_block_gets_a_gradient_once_residuals_count():
    for block in (
        weight_norm.EncoderBlock(4, 2),
        weight_norm.DecoderBlock(4, 2),
        weight_norm.DecoderBlock(4, 2, last=True, upsampling="nearest"),
    ):
        inputs = noise(2, 4, 4, 3, dtype=np.float32)
        block(inputs)
        randomize(block)
        for activation in (block.inner, block.outer):
            if isinstance(activation, weight_norm.TPReLU):
                # outside [0, 1] a slope is clipped and learns no more
                activation.slope.assign(tf.fill(activation.slope.shape, 0.3))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(block(inputs) ** 3)
        for variable, gradient in zip(
            block.trainable_weights,
            tape.gradient(loss, block.trainable_weights),
            strict=True,
        ):
            assert np.abs(gradient).max() > 0, variable.name


def test_a_dense_layer_takes_over_what_another_does_with_a_linear_map():
    random = np.random.default_rng(2)
    other, layer = (
        weight_norm.WNDense(5, affine=True),
        weight_norm.WNDense(5, affine=True),
    )
    inputs, to_other, bias = (
        random.normal(size=shape).astype(np.float32) for shape in [(7, 3), (3, 4), (4,)]
    )
    expected_inputs = inputs @ to_other + bias
    other(expected_inputs), layer(inputs)
    randomize(other)

    layer.take_linear(other, to_other, bias)

    expected = other(expected_inputs)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(layer.kernel, axis=0),
        np.linalg.norm(other.kernel, axis=0),
        rtol=1e-5,
    )


def test_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="'cubic'"):
        weight_norm.DecoderBlock(3, upsampling="cubic")


def test_learned_normalization_is_refused_on_transposed_convolutions():
    """tensorflow-addons' norm runs over the wrong axes there."""
    with pytest.raises(ValueError, match="'transposed'"):
        weight_norm.DecoderBlock(3, normalization="learned")


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="'batch'"):
        weight_norm.EncoderBlock(3, normalization="batch")(tf.zeros([1, 4, 4, 3]))


# Keras' contract, folding, checkpoints, precision.

ALL_LAYERS = [
    lambda: weight_norm.WNDense(5, affine=True, name="dense"),
    lambda: weight_norm.WNConv2D(5, 3, 2, padding="valid", affine=True),
    lambda: weight_norm.WNConv2DTranspose(5, 4, 2, padding="valid"),
    lambda: weight_norm.TPReLU(),
    lambda: weight_norm.ChannelAffine(),
    lambda: weight_norm.EncoderBlock(5, stride=2),
    lambda: weight_norm.DecoderBlock(5, stride=2, last=True, upsampling="nearest"),
    lambda: weight_norm.DecoderBlock(5, stride=2, upsampling="bilinear"),
]


@pytest.mark.parametrize("make", ALL_LAYERS)
def test_a_configuration_rebuilds_the_layer(make, assert_rebuilds):
    layer = make()
    inputs = noise(2, 6, 6, 3, dtype=np.float32)
    layer(inputs)
    randomize(layer)
    assert_rebuilds(layer, inputs)


def test_a_configuration_rebuilds_the_sum(assert_rebuilds):
    layer = weight_norm.WNAdd(name="sum")
    inputs = [noise(1, 2, 2, 3), noise(1, 2, 2, 3, seed=1)]
    layer(inputs)
    randomize(layer)
    assert_rebuilds(layer, inputs)


@pytest.mark.parametrize("make", ALL_LAYERS)
def test_folding_changes_kernels_but_not_outputs(make):
    layer = make()
    inputs = noise(2, 6, 6, 3, dtype=np.float32)
    layer(inputs)
    randomize(layer)
    expected = layer(inputs).numpy()
    for _ in range(2):  # folding twice changes nothing more
        weight_norm.fold(tf.keras.Sequential([layer]))
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


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
        np.sqrt((one.kernel.numpy() ** 2).sum(axis=axes))
        for one, axes in zip(network.layers, [(0, 1, 2), (0, 1, 3), (0,)], strict=True)
    ]
    np.testing.assert_allclose(lengths[0], np.ones(4), rtol=1e-5)
    np.testing.assert_allclose(lengths[1], np.full(5, 2.0), rtol=1e-5)
    np.testing.assert_allclose(lengths[2], np.ones(6), rtol=1e-5)


def test_a_checkpoint_restores_a_block(tmp_path):
    inputs = noise(1, 4, 4, 3, dtype=np.float32)
    saved, restored = weight_norm.DecoderBlock(2, 2), weight_norm.DecoderBlock(2, 2)
    saved(inputs)
    restored(inputs)
    randomize(saved)
    assert not np.allclose(saved(inputs), restored(inputs))
    path = tf.train.Checkpoint(block=saved).save(str(tmp_path / "block"))
    status = tf.train.Checkpoint(block=restored).restore(path)
    status.assert_consumed()
    np.testing.assert_array_equal(restored(inputs), saved(inputs))


@pytest.mark.parametrize("factor", [1e-4, 1e6])
def test_norms_are_taken_in_float32_under_mixed_precision(dtype_policy, factor):
    """Squares of 1e-4 vanish in float16 and those of 1e6 overflow."""
    dtype_policy("mixed_float16")
    inputs = noise(2, 4, 4, 3, dtype=np.float32)
    for layer in (
        weight_norm.WNDense(5),
        weight_norm.WNConv2D(5, 3),
        weight_norm.WNConv2DTranspose(5, 4, 2),
    ):
        expected = layer(inputs)
        assert expected.dtype == tf.float16
        assert layer.kernel.dtype == tf.float32
        layer.kernel.assign(layer.kernel * factor)
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    "make",
    [lambda: weight_norm.EncoderBlock(4, 2), lambda: weight_norm.DecoderBlock(4, 2)],
)
def test_blocks_under_mixed_precision_agree_with_float32(dtype_policy, make):
    """float16 keeps 11 bits: a relative error of some thousandths per block."""
    inputs = noise(2, 4, 4, 3, dtype=np.float32)
    exact = make()
    exact(inputs)
    random = np.random.default_rng(9)
    weights = [random.uniform(-1, 1, one.shape) for one in exact.weights]
    exact.set_weights(weights)
    dtype_policy("mixed_float16")
    mixed = make()
    outputs = mixed(inputs)
    mixed.set_weights(weights)
    outputs = mixed(inputs)
    assert outputs.dtype == tf.float16
    assert all(one.dtype == tf.float32 for one in mixed.trainable_weights)
    np.testing.assert_allclose(outputs, exact(inputs), rtol=0.03, atol=0.03)
