"""The residual blocks of reference [13], against loops in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import layers as reference
from helpers.layers import check_contract, noise, normalize, randomize
from tfstyle.modeling.networks import blocks, weight_norm


@pytest.mark.parametrize("filters", [3, 5])
@pytest.mark.parametrize(
    ("kind", "settings", "side"),
    [
        (blocks.EncoderBlock, {}, 8),
        (blocks.EncoderBlock, {"stride": 2}, 4),
        (blocks.DecoderBlock, {}, 8),
        (blocks.DecoderBlock, {"stride": 2}, 16),
        (blocks.DecoderBlock, {"stride": 2, "last": True}, 16),
        (blocks.DecoderBlock, {"stride": 2, "upsampling": "smooth"}, 16),
    ],
)
def test_blocks_meet_the_contract(kind, settings, side, filters, tmp_path):
    check_contract(
        lambda: kind(filters, **settings),
        [[8, 8, 3]],
        [[side, side, filters]],
        "float16",
        tmp_path,
    )


def activate(images, activation):
    slope, threshold = activation.slope.numpy(), activation.threshold.numpy()
    return reference.map_channels(reference.tprelu, images, slope, threshold)


def add(residual, shortcut, layer):
    r, s = layer.residual_weight.numpy(), layer.shortcut_weight.numpy()
    return reference.weighted_sum(residual, shortcut, r, s)


@pytest.mark.parametrize("stride, channels", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_encoder_block_is_its_formula(dtype_policy, stride, channels):
    dtype_policy("float64")
    block = blocks.EncoderBlock(2, stride)
    inputs = noise(1, 4, 4, channels)
    block(inputs)
    randomize(block)

    kernel = normalize(block.first.kernel.numpy(), 3)
    assert kernel.shape == (stride + 2, stride + 2, channels, 2)
    residual = activate(reference.convolve(inputs, kernel, stride), block.inner)
    kernel = normalize(block.second.kernel.numpy(), 3)
    residual = reference.convolve(residual, kernel, 1)
    shortcut = reference.average_pool(inputs) if stride == 2 else inputs
    if channels != 2:
        kernel = normalize(block.project.kernel.numpy(), 3)
        assert kernel.shape == (1, 1, channels, 2)
        shortcut = reference.convolve(shortcut, kernel, 1)
    expected = activate(add(residual, shortcut, block.add), block.outer)
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("upsampling", blocks.UPSAMPLINGS)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("stride, channels", [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_decoder_block_is_its_formula(dtype_policy, stride, channels, last, upsampling):
    dtype_policy("float64")
    block = blocks.DecoderBlock(2, stride, last=last, upsampling=upsampling)
    inputs = noise(1, 3, 3, channels)
    block(inputs)
    randomize(block)

    kernel = normalize(block.first.kernel.numpy(), 2)
    assert kernel.shape == (3, 3, channels, channels)
    residual = activate(reference.convolve_transposed(inputs, kernel, 1), block.inner)
    kernel = block.second.kernel.numpy()
    assert kernel.shape == (stride + 2, stride + 2, 2, channels)
    if stride == 2 and upsampling == "smooth":
        kernel = reference.smooth_kernel(kernel)
    kernel = normalize(kernel, 2, factor=1 / stride**2)
    residual = reference.convolve_transposed(residual, kernel, stride)
    shortcut = inputs
    if channels != 2:
        kernel = normalize(block.project.kernel.numpy(), 3)
        shortcut = reference.convolve(inputs, kernel, 1)
    if stride == 2:
        is_smooth = upsampling == "smooth"
        enlarge = reference.interpolate_pixels if is_smooth else reference.repeat_pixels
        shortcut = enlarge(shortcut)
    expected = add(residual, shortcut, block.add)
    if last:
        expected = expected * block.outer.gain.numpy() + block.outer.bias.numpy()
    else:
        expected = activate(expected, block.outer)
    # TensorFlow interpolates in float32.
    tolerance = 1e-6 if upsampling == "smooth" else 1e-10
    np.testing.assert_allclose(block(inputs), expected, rtol=1e-9, atol=tolerance)


def test_a_modulated_block_scales_and_shifts_before_each_activation():
    """(1 + gain) x + shift per channel and picture, both linear in the style."""
    block = blocks.DecoderBlock(2, modulated=True)
    plain = blocks.DecoderBlock(2)
    inputs = noise(2, 3, 3, 2, dtype=np.float32)
    styles = noise(2, 4, seed=5, dtype=np.float32)
    block(inputs, styles)
    plain(inputs)
    randomize(block)
    for name in ("first", "inner", "second", "add", "outer"):
        getattr(plain, name).set_weights(getattr(block, name).get_weights())

    def modulate(layer, features):
        values = styles @ layer.kernel.numpy() + layer.bias.numpy()
        outputs = np.empty_like(features)
        for b, i, j, c in np.ndindex(*features.shape):
            gain, shift = values[b, c], values[b, 2 + c]
            outputs[b, i, j, c] = (1 + gain) * features[b, i, j, c] + shift
        return outputs

    residual = modulate(block.modulate_inner, plain.first(inputs).numpy())
    residual = plain.second(plain.inner(residual))
    expected = modulate(
        block.modulate_outer, plain.add([residual, tf.constant(inputs)]).numpy()
    )
    np.testing.assert_allclose(
        block(inputs, styles), plain.outer(expected), rtol=1e-3, atol=1e-4
    )


def test_a_modulated_block_starts_as_an_unmodulated_one():
    inputs, styles = noise(2, 3, 3, 2, dtype=np.float32), noise(2, 4, dtype=np.float32)
    block, plain = blocks.DecoderBlock(2, modulated=True), blocks.DecoderBlock(2)
    modulated = block(inputs, styles)
    plain(inputs)
    for name in ("first", "second"):
        getattr(plain, name).set_weights(getattr(block, name).get_weights())

    np.testing.assert_allclose(modulated, plain(inputs), rtol=1e-5, atol=1e-6)


def test_encoder_block_starts_as_its_pooled_shortcut():
    """Then TPReLU as it starts: a quarter of what is negative."""
    inputs = noise(1, 4, 4, 3)
    pooled = reference.average_pool(inputs)
    expected = np.where(pooled > 0, pooled, pooled / 4)
    outputs = blocks.EncoderBlock(3, stride=2)(inputs.astype(np.float32))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def test_last_decoder_block_starts_as_its_repeated_shortcut():
    inputs = noise(1, 2, 2, 3)
    outputs = blocks.DecoderBlock(3, stride=2, last=True)(inputs.astype(np.float32))
    expected = reference.repeat_pixels(inputs)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "block",
    [
        blocks.EncoderBlock(4, 2),
        blocks.DecoderBlock(4, 2),
        blocks.DecoderBlock(4, 2, last=True, upsampling="smooth"),
    ],
)
def test_every_weight_of_a_block_has_a_gradient_once_residuals_count(block):
    inputs = noise(2, 4, 4, 3, dtype=np.float32)
    block(inputs)
    randomize(block)
    for activation in (block.inner, block.outer):
        if isinstance(activation, weight_norm.TPReLU):
            # Slopes outside [0, 1] are clipped and have no gradient.
            activation.slope.assign(tf.fill(activation.slope.shape, 0.3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(inputs) ** 3)
    gradients = tape.gradient(loss, block.trainable_weights)
    for variable, gradient in zip(block.trainable_weights, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.name


@pytest.mark.parametrize(
    "make", [lambda: blocks.EncoderBlock(4, 2), lambda: blocks.DecoderBlock(4, 2)]
)
def test_blocks_under_mixed_precision_agree_with_float32(dtype_policy, make):
    """float16 keeps 11 bits: a relative error of some thousandths per block."""
    inputs = noise(2, 4, 4, 3, dtype=np.float32)
    exact = make()
    exact(inputs)
    rng = np.random.default_rng(9)
    weights = [rng.uniform(-1, 1, weight.shape) for weight in exact.weights]
    exact.set_weights(weights)
    dtype_policy("mixed_float16")
    mixed = make()
    mixed(inputs)
    mixed.set_weights(weights)
    np.testing.assert_allclose(mixed(inputs), exact(inputs), rtol=0.03, atol=0.03)


# Learned normalization, by tensorflow-addons.


def test_a_learned_convolution_is_normalized_and_scaled_by_its_gain():
    """Of the kernel v and the gain g: it convolves with g v / |v|."""
    layer = blocks.make_conv("learned", 2, 3)
    inputs = noise(1, 4, 4, 3, dtype=np.float32)
    layer(inputs)
    layer.v.assign(noise(3, 3, 3, 2, seed=1))
    layer.g.assign([2.0, 0.5])
    kernel = normalize(layer.v.numpy(), 3) * [2.0, 0.5]
    expected = reference.convolve(inputs, kernel, 1)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_learned_normalization_is_refused_under_mixed_precision(dtype_policy):
    dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="needs float32, got mixed_float16"):
        blocks.EncoderBlock(3, normalization="learned")(tf.zeros([1, 4, 4, 3]))


def test_unknown_upsampling_is_refused():
    with pytest.raises(ValueError, match="'cubic'"):
        blocks.DecoderBlock(3, upsampling="cubic")


def test_unknown_normalization_is_refused():
    with pytest.raises(ValueError, match="'batch'"):
        blocks.EncoderBlock(3, normalization="batch")(tf.zeros([1, 4, 4, 3]))


# Pixels.


def test_repeating_pixels_is_nearest_neighbor_upsampling():
    images = noise(2, 3, 3, 2)
    expected = reference.repeat_pixels(images)
    np.testing.assert_array_equal(blocks.repeat_pixels(images, 2), expected)


def test_patches_are_exact_slices_and_differ_per_image():
    """Each pixel's value is unique, so it identifies the position."""
    images = np.arange(3 * 10 * 10 * 2, dtype=np.float32).reshape(3, 10, 10, 2)
    offsets = np.random.default_rng(4).uniform(size=[3, 5, 2]).astype(np.float32)
    patches = blocks.extract_patches(images, tf.constant(offsets), 4).numpy()
    assert patches.shape == (15, 4, 4, 2)
    starts = set()
    for b in range(3):
        for patch in range(5):
            # 10 - 4 + 1 = 7 positions
            row, column = (offsets[b, patch] * 7).astype(int)
            expected = images[b, row : row + 4, column : column + 4]
            np.testing.assert_array_equal(patches[5 * b + patch], expected)
            starts.add((row, column))
    assert len(starts) > 5


def test_patches_reach_every_corner_and_no_further():
    almost = np.nextafter(np.float32(1), np.float32(0))
    corners = [[0, 0], [0, almost], [almost, 0], [almost, almost]]
    images = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    patches = blocks.extract_patches(images, tf.constant([corners]), 3).numpy()
    for patch, rows, columns in zip(
        patches,
        [slice(0, 3), slice(0, 3), slice(5, 8), slice(5, 8)],
        [slice(0, 3), slice(5, 8), slice(0, 3), slice(5, 8)],
        strict=True,
    ):
        np.testing.assert_array_equal(patch, images[0, rows, columns])


def test_every_position_is_equally_likely():
    """6 positions of 3 in 8: over 6000 even offsets each starts 1000 patches."""
    shares = (np.arange(6000) + 0.5) / 6000
    offsets = np.stack([shares, np.zeros(6000)], axis=-1)[None].astype(np.float32)
    rows = np.broadcast_to(np.arange(8.0)[None, :, None, None], [1, 8, 8, 1])
    patches = blocks.extract_patches(tf.constant(rows), tf.constant(offsets), 3)
    counts = np.bincount(patches.numpy()[:, 0, 0, 0].astype(int))
    np.testing.assert_array_equal(counts, [1000] * 6)


def test_a_patch_of_the_images_size_is_the_image():
    images = np.random.default_rng(5).normal(size=[2, 4, 4, 3])
    patches = blocks.extract_patches(images, tf.fill([2, 1, 2], 0.7), 4)
    np.testing.assert_array_equal(patches, images)
