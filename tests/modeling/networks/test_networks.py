"""The encoders and decoders of Table 1."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.layers import (
    block_shapes,
    check_contract,
    count_encoder_parameters,
    dense_kernels,
    trace,
)
from tfstyle.modeling.networks import networks, weight_norm
from tfstyle.modeling.networks.blocks import DecoderBlock, EncoderBlock
from tfstyle.modeling.stages import factories

S = (64, 128, 256, 384, 512)
DEEP = (64, 128, 192, 256, 384, 512)


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
    assert network.count_params() == count_encoder_parameters(S) + head


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
    assert network.count_params() == count_encoder_parameters(DEEP) + hidden + head


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
    ],
    ids=["S", "Enc", "Dec", "G"],
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


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (lambda: networks.StyleEncoder((4, 6), (1, 2), 5), [[8, 8, 3]], [[5]]),
        (lambda: networks.ContentEncoder((4, 6), (1, 2), 5), [[8, 8, 3]], [[5], [5]]),
        (
            lambda: networks.ContentDecoder(
                (4, 6), (1, 2), 8, "smooth", modulated=True, full_resolution=5
            ),
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
    ],
    ids=["S", "Enc", "Dec", "G", "hidden"],
)
def test_networks_meet_the_contract(make, inputs, outputs, tmp_path):
    """Their outputs stay in float32 under mixed precision."""
    check_contract(make, inputs, outputs, "float32", tmp_path)


@pytest.mark.parametrize(
    "network",
    [
        networks.StyleEncoder((4, 6), (1, 2), 5, normalization="learned"),
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
    ],
    ids=["S", "Dec", "G"],
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


def test_one_more_block_at_full_resolution_draws_the_picture():
    network = networks.Generator((4, 6), (1, 1), 8, full_resolution=5)
    trace(network, [2], [3])

    assert block_shapes(network, DecoderBlock, [2, 2, 6]) == [
        (4, 4, 4),
        (8, 8, 5),
        (8, 8, 3),
    ]
    # The block that enlarges ends with an activation, the last one with the picture's.
    *_, inner, last = (b for b in network.layers if isinstance(b, DecoderBlock))
    assert isinstance(inner.outer, weight_norm.TPReLU)
    assert isinstance(last.outer, weight_norm.ChannelAffine)


def test_a_modulated_network_sees_its_style_in_every_block():
    """With the code's own path cut, a style still changes the picture."""
    network = networks.Generator((4, 6), (1, 1), 8, modulated=True)
    rng = np.random.default_rng(0)
    styles, contents = rng.normal(size=[2, 3]), rng.normal(size=[2, 2])
    codes = [np.float32(styles), np.float32(contents)]
    network(codes)
    network._to_map.kernel.assign(tf.zeros_like(network._to_map.kernel))
    before = network(codes)
    np.testing.assert_allclose(before[0], before[1], atol=1e-6)

    modulations = [
        layer
        for layer in network.submodules
        if isinstance(layer, weight_norm.StyleModulation)
    ]
    assert len(modulations) == 2 * 2
    for layer in modulations:
        layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    after = network(codes)
    assert np.abs(after[0] - after[1]).max() > 0.01


def test_a_network_that_no_memory_holds_is_refused_before_it_is_built():
    with pytest.raises(ValueError, match="more than 1e.09 parameters, about 5.8e.09"):
        networks.StyleEncoder((8000, 16), (5, 1), 4)  # 5 x 2 x 9 x 8000 x 8000
    encoder = networks.StyleEncoder((8,), (1,), 10**6, name="style_encoder")
    with pytest.raises(ValueError, match="style_encoder would have more than 1e.09"):
        encoder.build_variables(32)  # 16 x 16 x 8 x 1,000,000
    with pytest.raises(ValueError, match="more than 1e.09"):
        networks.Generator((8000,), (1,), 64)  # 32 x 32 x 8000 x 512
