"""The networks of Table 1 and the consortium of section 5.2."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.layers import average_pool, check_contract
from tfstyle.modeling.networks import networks, weight_norm
from tfstyle.modeling.networks.blocks import DecoderBlock, EncoderBlock
from tfstyle.modeling.stages import factories

S = (64, 128, 256, 384, 512)
DEEP = (64, 128, 192, 256, 384, 512)
D = (64, 128, 256, 512)


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
    assert block_shapes(network, EncoderBlock, [256, 256, 3]) == [
        (128, 128, 64),
        (64, 64, 128),
        (32, 32, 256),
        (16, 16, 384),
        (8, 8, 512),
    ]
    assert dense_kernels(network) == [(8 * 8 * 512, 512)]
    head = 8 * 8 * 512 * 512 + 2 * 512
    assert network.count_params() == encoder_parameters(S) + head


def test_content_encoder_ends_at_4x4x512():
    network = factories.content_encoder()
    mean, log_variance = trace(network, [256, 256, 3])
    assert mean.shape.as_list() == log_variance.shape.as_list() == [None, 512]
    shapes = block_shapes(network, EncoderBlock, [256, 256, 3])
    assert len(shapes) == 6
    assert shapes[-1] == (4, 4, 512)
    assert dense_kernels(network) == [
        (512, 2 * 512),
        (4 * 4 * 512, 512),
    ]
    hidden = 4 * 4 * 512 * 512 + 2 * 512  # and its TPReLU
    head = 512 * 1024 + 2 * 1024
    assert network.count_params() == encoder_parameters(DEEP) + hidden + head


def test_content_decoder_begins_at_4x4x512_behind_512_features():
    network = factories.content_decoder(256)
    assert trace(network, [32], [512]).shape.as_list() == [None, 256, 256, 3]
    assert block_shapes(network, DecoderBlock, [4, 4, 512]) == [
        (8, 8, 384),
        (16, 16, 256),
        (32, 32, 192),
        (64, 64, 128),
        (128, 128, 64),
        (256, 256, 3),
    ]
    assert dense_kernels(network) == [
        (512, 4 * 4 * 512),
        (32 + 512, 512),
    ]


def test_generator_begins_at_4x4x512_and_has_two_blocks_per_level():
    network = factories.generator(256)
    assert trace(network, [32], [128], [352]).shape.as_list() == [None, 256, 256, 3]
    assert block_shapes(network, DecoderBlock, [4, 4, 512]) == [
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
    assert dense_kernels(network) == [(512, 4 * 4 * 512)]


def test_discriminator_ends_at_4x4x512():
    network = networks.Discriminator(D, (1, 1, 1, 1))
    assert trace(network, [64, 64, 3]).shape.as_list() == [None]
    shapes = block_shapes(network, EncoderBlock, [64, 64, 3])
    assert shapes[-1] == (4, 4, 512)
    assert dense_kernels(network) == [(4 * 4 * 512, 1)]
    head = 4 * 4 * 512 + 2
    assert network.count_params() == encoder_parameters(D) + head


def test_only_the_first_block_of_an_encoders_level_halves_the_side():
    network = networks.StyleEncoder((4, 6), (2, 3), dims=5)
    network(tf.zeros([1, 8, 8, 3]))
    assert block_shapes(network, EncoderBlock, [8, 8, 3]) == [
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
    """Encoders' and D's last layer; decoders' first, and the image's channels."""
    trace(network, *inputs)
    by_name = {"gain": [], "bias": []}
    for variable in network.variables:
        kind = variable.name.split("/")[-1].split(":")[0]
        if kind in by_name:
            by_name[kind].append(tuple(variable.shape))
    assert sorted(by_name["gain"]) == sorted(affine)
    assert sorted(by_name["bias"]) == sorted(affine)


def make_consortium():
    return networks.DiscriminatorConsortium((4, 6), (1, 1), 16, 8)


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (lambda: networks.StyleEncoder((4, 6), (1, 2), 5), [[8, 8, 3]], [[5]]),
        (lambda: networks.ContentEncoder((4, 6), (1, 2), 5), [[8, 8, 3]], [[5], [5]]),
        (
            lambda: networks.ContentDecoder((4, 6), (1, 2), 8, "bilinear"),
            [[2], [3]],
            [[8, 8, 3]],
        ),
        (
            lambda: networks.Generator((4, 6), (2, 1), 8),
            [[2], [3], [1]],
            [[8, 8, 3]],
        ),
        (
            lambda: networks.Generator((4, 6), (2, 1), 8, hidden=True),
            [[2], [3], [1]],
            [[8, 8, 3]],
        ),
        (lambda: networks.Discriminator((4, 6), (1, 1)), [[8, 8, 3]], [[]]),
        (make_consortium, [[16, 16, 3], [5, 2]], [[1], [4]]),
    ],
    ids=["S", "Enc", "Dec", "G", "hidden", "D", "consortium"],
)
def test_networks_meet_the_contract(make, inputs, outputs, tmp_path):
    """Their outputs stay in float32 under mixed precision."""
    check_contract(make, inputs, outputs, "float32", tmp_path)


@pytest.mark.parametrize(
    "network",
    [
        networks.StyleEncoder((4, 6), (1, 2), 5, normalization="learned"),
        networks.Discriminator((4, 6), (1, 1), normalization="learned"),
    ],
)
def test_a_configuration_keeps_the_normalization(network):
    rebuilt = type(network).from_config(network.get_config())
    rebuilt(tf.zeros([1, 8, 8, 3]))
    gains = [variable for variable in rebuilt.weights if "/g:" in variable.name]
    blocks = [layer for layer in rebuilt.layers if isinstance(layer, EncoderBlock)]
    assert len(gains) == sum(2 if b.project is None else 3 for b in blocks)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (networks.StyleEncoder((4,), (1,), 5), [[8, 8, 3]]),
        (networks.ContentDecoder((4,), (1,), 8), [[2], [5]]),
        (networks.Generator((4,), (1,), 8), [[2], [5]]),
        (make_consortium(), [[16, 16, 3], [5, 2]]),
    ],
    ids=["S", "Dec", "G", "consortium"],
)
def test_any_network_builds_its_variables_from_sizes(network, inputs):
    """As many as a call creates."""
    rebuilt = type(network).from_config(network.get_config())
    trace(network, *inputs)

    rebuilt.build_variables(network.get_config().get("image_size", 8), [2, 5])

    shapes = [variable.shape for variable in network.variables]
    assert [variable.shape for variable in rebuilt.variables] == shapes


@pytest.mark.parametrize(
    "network",
    [
        networks.StyleEncoder((4, 6), (1, 2), 5),
        networks.Discriminator((4, 6), (1, 1)),
    ],
)
def test_folding_a_network_does_not_change_its_outputs(network):
    images = np.random.default_rng(6).normal(size=[2, 8, 8, 3]).astype(np.float32)
    expected = network(images)
    weight_norm.fold(network)
    for layer in network.submodules:
        if isinstance(layer, weight_norm.WNConv2D):
            norms = np.sqrt((layer.kernel.numpy() ** 2).sum(axis=(0, 1, 2)))
            np.testing.assert_allclose(norms, np.ones_like(norms), rtol=1e-5)
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-5)


def test_features_and_blocks_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"features=\(4, 8\), blocks=\(1,\)"):
        networks.StyleEncoder((4, 8), (1,), 5)
    with pytest.raises(ValueError, match=r"features=\(\), blocks=\(\)"):
        networks.StyleEncoder((), (), 5)


@pytest.mark.parametrize("features, blocks", [((4, 0), (1, 1)), ((4,), (1.0,))])
def test_features_and_blocks_that_are_not_positive_integers_are_refused(
    features, blocks
):
    with pytest.raises(ValueError, match="must be positive integers, got features="):
        networks.StyleEncoder(features, blocks, 5)


@pytest.mark.parametrize("size", [12, 4, 20])
def test_images_that_levels_cannot_halve_are_refused(size):
    """Three levels need a multiple of 8."""
    with pytest.raises(ValueError, match=f"divisible by 8, got {size}"):
        networks.StyleEncoder((4, 4, 4), (1, 1, 1), 5)(tf.zeros([1, size, size, 3]))
    with pytest.raises(ValueError, match=f"divisible by 8, got {size}"):
        networks.Generator((4, 4, 4), (1, 1, 1), size)


@pytest.mark.parametrize("image_size, patch_size", [(96, 32), (16, 32), (48, 32)])
def test_patches_that_do_not_double_up_to_the_image_are_refused(image_size, patch_size):
    expected = f"image_size={image_size}, patch_size={patch_size}"
    with pytest.raises(ValueError, match=expected):
        networks.DiscriminatorConsortium((4,), (1,), image_size, patch_size)


# The consortium.


def test_consortium_has_three_networks_at_256():
    """Section 5.2: 64, 128 and 256 pixels, 1, 4 and 16 patches of 64."""
    consortium = factories.discriminators(256)
    assert consortium.patch_counts == [1, 4, 16]
    logits = trace(consortium, [256, 256, 3], [21, 2])
    shapes = [tensor.shape.as_list() for tensor in logits]
    assert shapes == [[None, 1], [None, 4], [None, 16]]
    scales = [network.name for network in consortium.layers]
    assert scales == ["scale_64", "scale_128", "scale_256"]
    alone = networks.Discriminator(D, (1, 1, 1, 1))
    trace(alone, [64, 64, 3])
    assert consortium.count_params() == 3 * alone.count_params()


@pytest.mark.parametrize("image_size, counts", [(64, [1]), (128, [1, 4])])
def test_smaller_images_have_fewer_scales(image_size, counts):
    consortium = networks.DiscriminatorConsortium((4,), (1,), image_size, 64)
    assert consortium.patch_counts == counts


def test_each_network_sees_its_patches_of_the_pooled_image():
    rng = np.random.default_rng(2)
    images = rng.normal(size=[2, 16, 16, 3]).astype(np.float32)
    offsets = rng.uniform(size=[2, 21, 2]).astype(np.float32)
    consortium = networks.DiscriminatorConsortium((4,), (1,), 16, 4)
    logits = consortium([images, offsets])
    first = 0
    for scale, network in enumerate(consortium.layers):
        count, side = 4**scale, 4 * 2**scale
        scaled = average_pool(images, 16 // side).astype(np.float32)
        for b in range(2):
            for patch in range(count):
                row, column = (offsets[b, first + patch] * (side - 3)).astype(int)
                pixels = scaled[b : b + 1, row : row + 4, column : column + 4]
                np.testing.assert_allclose(
                    logits[scale][b, patch], network(pixels)[0], rtol=1e-4, atol=1e-5
                )
        first += count
