"""The networks of Table 1 and the consortium of section 5.2."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import networks, weight_norm
from tfstyle.modeling.stages import factories

S = (64, 128, 256, 384, 512)
DEEP = (64, 128, 192, 256, 384, 512)
D = (64, 128, 256, 512)


def trace(network, *shapes):
    """Create a network's variables without computing anything; give its outputs."""
    specs = [tf.TensorSpec([None, *shape]) for shape in shapes]
    call = (lambda x: network(x)) if len(shapes) == 1 else lambda *x: network(list(x))
    return tf.function(call).get_concrete_function(*specs).structured_outputs


def kernels(network, kind):
    return sorted(
        tuple(one.kernel.shape) for one in network.submodules if isinstance(one, kind)
    )


def block_shapes(network, kind, shape):
    """Follow a picture or map through a network's blocks: static shapes after each."""
    shapes = []
    for block in network.layers:
        if isinstance(block, kind):
            function = tf.function(block.call)
            traced = function.get_concrete_function(tf.TensorSpec([None, *shape]))
            shape = traced.output_shapes.as_list()[1:]
            shapes.append(tuple(shape))
    return shapes


def encoder_parameters(features):
    """Count by the formulas: one stride-2 block per level.

    4x4 and 3x3 kernels, TPReLU (2 per channel) twice, WNAdd (2), a 1x1 projection.
    """
    total, channels = 0, 3
    for filters in features:
        total += 16 * channels * filters + 9 * filters * filters + 6 * filters
        total += channels * filters
        channels = filters
    return total


def test_style_encoder_ends_at_8x8x512():
    network = factories.style_encoder()
    assert trace(network, [256, 256, 3]).shape.as_list() == [None, 512]
    assert block_shapes(network, weight_norm.EncoderBlock, [256, 256, 3]) == [
        (128, 128, 64),
        (64, 64, 128),
        (32, 32, 256),
        (16, 16, 384),
        (8, 8, 512),
    ]
    assert kernels(network, weight_norm.WNDense) == [(8 * 8 * 512, 512)]
    head = 8 * 8 * 512 * 512 + 2 * 512
    assert network.count_params() == encoder_parameters(S) + head


def test_content_encoder_ends_at_4x4x512():
    network = factories.content_encoder()
    mean, log_variance = trace(network, [256, 256, 3])
    assert mean.shape.as_list() == log_variance.shape.as_list() == [None, 512]
    shapes = block_shapes(network, weight_norm.EncoderBlock, [256, 256, 3])
    assert len(shapes) == 6
    assert shapes[-1] == (4, 4, 512)
    assert kernels(network, weight_norm.WNDense) == [
        (512, 2 * 512),
        (4 * 4 * 512, 512),
    ]
    hidden = 4 * 4 * 512 * 512 + 2 * 512  # and its TPReLU
    head = 512 * 1024 + 2 * 1024
    assert network.count_params() == encoder_parameters(DEEP) + hidden + head


def test_content_decoder_begins_at_4x4x512_behind_512_features():
    network = factories.content_decoder(256)
    assert trace(network, [32], [512]).shape.as_list() == [None, 256, 256, 3]
    assert block_shapes(network, weight_norm.DecoderBlock, [4, 4, 512]) == [
        (8, 8, 384),
        (16, 16, 256),
        (32, 32, 192),
        (64, 64, 128),
        (128, 128, 64),
        (256, 256, 3),
    ]
    assert kernels(network, weight_norm.WNDense) == [
        (512, 4 * 4 * 512),
        (32 + 512, 512),
    ]


def test_generator_begins_at_4x4x512_and_has_two_blocks_per_level():
    network = factories.generator(256)
    assert trace(network, [32], [128], [352]).shape.as_list() == [None, 256, 256, 3]
    assert block_shapes(network, weight_norm.DecoderBlock, [4, 4, 512]) == [
        (4, 4, 512),
        (8, 8, 384),
        (8, 8, 384),
        (16, 16, 256),
        (16, 16, 256),
        (32, 32, 192),
        (32, 32, 192),
        (64, 64, 128),
        (64, 64, 128),
        (128, 128, 64),
        (128, 128, 64),
        (256, 256, 3),
    ]
    assert kernels(network, weight_norm.WNDense) == [(512, 4 * 4 * 512)]


def test_discriminator_ends_at_4x4x512():
    network = networks.Discriminator(D, (1, 1, 1, 1))
    assert trace(network, [64, 64, 3]).shape.as_list() == [None]
    shapes = block_shapes(network, weight_norm.EncoderBlock, [64, 64, 3])
    assert shapes[-1] == (4, 4, 512)
    assert kernels(network, weight_norm.WNDense) == [(4 * 4 * 512, 1)]
    head = 4 * 4 * 512 + 2
    assert network.count_params() == encoder_parameters(D) + head


def test_only_the_first_block_of_an_encoders_level_halves_the_side():
    network = networks.StyleEncoder((4, 6), (2, 3), dims=5)
    network(tf.zeros([1, 8, 8, 3]))
    assert block_shapes(network, weight_norm.EncoderBlock, [8, 8, 3]) == [
        (4, 4, 4),
        (4, 4, 4),
        (2, 2, 6),
        (2, 2, 6),
        (2, 2, 6),
    ]


@pytest.mark.parametrize(
    "network, inputs, affine",
    [
        (networks.StyleEncoder((4,), (1,), 5), [[8, 8, 3]], [(5,)]),
        (networks.ContentEncoder((4,), (1,), 5), [[8, 8, 3]], [(10,)]),
        (networks.ContentDecoder((4,), (1,), 8), [[2], [5]], [(512,), (3,)]),
        (networks.Generator((4,), (1,), 8), [[2], [5], [1]], [(64,), (3,)]),
        (networks.Discriminator((4,), (1,)), [[8, 8, 3]], [(1,)]),
    ],
    ids=["S", "Enc", "Dec", "G", "D"],
)
def test_gains_and_biases_are_only_at_the_ends(network, inputs, affine):
    """Encoders' and D's last layer; decoders' first, and the picture's channels."""
    trace(network, *inputs)
    by_name = {"gain": [], "bias": []}
    for variable in network.variables:
        kind = variable.name.split("/")[-1].split(":")[0]
        if kind in by_name:
            by_name[kind].append(tuple(variable.shape))
    assert sorted(by_name["gain"]) == sorted(affine)
    assert sorted(by_name["bias"]) == sorted(affine)


@pytest.mark.parametrize(
    "network, shapes",
    [
        (networks.StyleEncoder((4, 6), (1, 2), 5), [[8, 8, 3]]),
        (networks.ContentEncoder((4, 6), (1, 2), 5), [[8, 8, 3]]),
        (networks.ContentDecoder((4, 6), (1, 2), 8, "nearest"), [[2], [3]]),
        (networks.Generator((4, 6), (2, 1), 8), [[2], [3], [1]]),
        (networks.Generator((4, 6), (2, 1), 8, hidden=True), [[2], [3], [1]]),
        (networks.Discriminator((4, 6), (1, 1)), [[8, 8, 3]]),
        (
            networks.DiscriminatorConsortium((4, 6), (1, 1), 16, 8),
            [[16, 16, 3], [5, 2]],
        ),
    ],
    ids=["S", "Enc", "Dec", "G", "hidden", "D", "consortium"],
)
def test_a_configuration_rebuilds_the_network(network, shapes, assert_rebuilds):
    random = np.random.default_rng(3)
    inputs = [tf.constant(random.uniform(size=[2, *one]), tf.float32) for one in shapes]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    network(inputs)
    for variable in network.variables:
        variable.assign(random.uniform(-1, 1, size=variable.shape))
    assert_rebuilds(network, inputs)


@pytest.mark.parametrize(
    "network, shape",
    [
        (networks.StyleEncoder((4, 6), (1, 2), 5), [2, 8, 8, 3]),
        (networks.Discriminator((4, 6), (1, 1)), [2, 8, 8, 3]),
    ],
)
def test_folding_a_network_does_not_change_its_outputs(network, shape):
    images = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    expected = network(images)
    weight_norm.fold(network)
    for one in network.submodules:
        if isinstance(one, weight_norm.WNConv2D):
            norms = np.sqrt((one.kernel.numpy() ** 2).sum(axis=(0, 1, 2)))
            np.testing.assert_allclose(norms, np.ones_like(norms), rtol=1e-5)
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-5)


def test_features_and_blocks_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"features=\(4, 8\), blocks=\(1,\)"):
        networks.StyleEncoder((4, 8), (1,), 5)
    with pytest.raises(ValueError, match=r"features=\(\), blocks=\(\)"):
        networks.StyleEncoder((), (), 5)


@pytest.mark.parametrize("size", [12, 4, 20])
def test_pictures_that_levels_cannot_halve_are_refused(size):
    """Three levels need a multiple of 8."""
    with pytest.raises(ValueError, match=f"divisible by 8, got {size}"):
        networks.StyleEncoder((4, 4, 4), (1, 1, 1), 5)(tf.zeros([1, size, size, 3]))
    with pytest.raises(ValueError, match=f"divisible by 8, got {size}"):
        networks.Generator((4, 4, 4), (1, 1, 1), size)


@pytest.mark.parametrize("image_size, patch_size", [(96, 32), (16, 32), (48, 32)])
def test_patches_that_do_not_double_up_to_the_picture_are_refused(
    image_size, patch_size
):
    expected = f"image_size={image_size}, patch_size={patch_size}"
    with pytest.raises(ValueError, match=expected):
        networks.DiscriminatorConsortium((4,), (1,), image_size, patch_size)


def test_decoders_give_float32_pictures_under_mixed_precision(dtype_policy):
    dtype_policy("mixed_float16")
    decoder = networks.Generator((4,), (1,), 8)
    assert decoder([tf.zeros([1, 2]), tf.zeros([1, 2])]).dtype == tf.float32
    encoder = networks.StyleEncoder((4,), (1,), 5)
    assert encoder(tf.zeros([1, 8, 8, 3])).dtype == tf.float32
    mean, log_variance = networks.ContentEncoder((4,), (1,), 5)(tf.zeros([1, 8, 8, 3]))
    assert mean.dtype == log_variance.dtype == tf.float32
    assert (
        networks.Discriminator((4,), (1,))(tf.zeros([1, 8, 8, 3])).dtype == tf.float32
    )


# The consortium.


def test_consortium_has_three_networks_at_256():
    """Section 5.2: 64, 128 and 256 pixels, 1, 4 and 16 patches of 64."""
    consortium = factories.discriminators(256)
    assert consortium.patch_counts == [1, 4, 16]
    logits = trace(consortium, [256, 256, 3], [21, 2])
    assert [one.shape.as_list() for one in logits] == [[None, 1], [None, 4], [None, 16]]
    scales = [one.name for one in consortium.layers]
    assert scales == ["scale_64", "scale_128", "scale_256"]
    alone = networks.Discriminator(D, (1, 1, 1, 1))
    trace(alone, [64, 64, 3])
    assert consortium.count_params() == 3 * alone.count_params()


@pytest.mark.parametrize("image_size, counts", [(64, [1]), (128, [1, 4])])
def test_smaller_pictures_have_fewer_scales(image_size, counts):
    consortium = networks.DiscriminatorConsortium((4,), (1,), image_size, 64)
    assert consortium.patch_counts == counts


def pool(images, factor):
    batch, side, _, channels = images.shape
    side //= factor
    outputs = np.zeros([batch, side, side, channels], np.float32)
    for b, i, j, c in np.ndindex(*outputs.shape):
        rows = slice(factor * i, factor * (i + 1))
        columns = slice(factor * j, factor * (j + 1))
        outputs[b, i, j, c] = images[b, rows, columns, c].mean()
    return outputs


def test_each_network_judges_its_patches_of_the_pooled_picture():
    random = np.random.default_rng(2)
    images = random.normal(size=[2, 16, 16, 3]).astype(np.float32)
    offsets = random.uniform(size=[2, 21, 2]).astype(np.float32)
    consortium = networks.DiscriminatorConsortium((4,), (1,), 16, 4)
    logits = consortium([images, offsets])
    first = 0
    for scale, network in enumerate(consortium.layers):
        count, side = 4**scale, 4 * 2**scale
        scaled = pool(images, 16 // side)
        for b in range(2):
            for patch in range(count):
                row, column = (offsets[b, first + patch] * (side - 3)).astype(int)
                here = scaled[b : b + 1, row : row + 4, column : column + 4]
                np.testing.assert_allclose(
                    logits[scale][b, patch], network(here)[0], rtol=1e-4, atol=1e-5
                )
        first += count


def test_patches_are_exact_slices_and_differ_per_image():
    """Each pixel's value tells where it comes from."""
    images = np.arange(3 * 10 * 10 * 2, dtype=np.float32).reshape(3, 10, 10, 2)
    offsets = np.random.default_rng(4).uniform(size=[3, 5, 2]).astype(np.float32)
    patches = networks.extract_patches(images, tf.constant(offsets), 4).numpy()
    assert patches.shape == (15, 4, 4, 2)
    starts = set()
    for b in range(3):
        for patch in range(5):
            # 10 - 4 + 1 = 7 places
            row, column = (offsets[b, patch] * 7).astype(int)
            expected = images[b, row : row + 4, column : column + 4]
            np.testing.assert_array_equal(patches[5 * b + patch], expected)
            starts.add((b, row, column))
    assert len({tuple(one[1:]) for one in starts}) > 5


def test_patches_reach_every_corner_and_no_further():
    almost = np.nextafter(np.float32(1), np.float32(0))
    corners = [[0, 0], [0, almost], [almost, 0], [almost, almost]]
    images = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    patches = networks.extract_patches(images, tf.constant([corners]), 3).numpy()
    for patch, rows, columns in zip(
        patches,
        [slice(0, 3), slice(0, 3), slice(5, 8), slice(5, 8)],
        [slice(0, 3), slice(5, 8), slice(0, 3), slice(5, 8)],
        strict=True,
    ):
        np.testing.assert_array_equal(patch, images[0, rows, columns])


def test_every_place_is_equally_likely():
    """6 places of 3 in 8: over 6000 even offsets each begins 1000 patches."""
    shares = (np.arange(6000) + 0.5) / 6000
    offsets = np.stack([shares, np.zeros(6000)], axis=-1)[None].astype(np.float32)
    rows = np.broadcast_to(np.arange(8.0)[None, :, None, None], [1, 8, 8, 1])
    patches = networks.extract_patches(tf.constant(rows), tf.constant(offsets), 3)
    counts = np.bincount(patches.numpy()[:, 0, 0, 0].astype(int))
    np.testing.assert_array_equal(counts, [1000] * 6)


def test_a_patch_of_the_pictures_size_is_the_picture():
    images = np.random.default_rng(5).normal(size=[2, 4, 4, 3])
    patches = networks.extract_patches(images, tf.fill([2, 1, 2], 0.7), 4)
    np.testing.assert_array_equal(patches, images)
