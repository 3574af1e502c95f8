"""The discriminators of section 5.2, and their conditioning on styles."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.layers import (
    average_pool,
    block_shapes,
    check_contract,
    count_encoder_parameters,
    dense_kernels,
    randomize,
    trace,
)
from tfstyle.modeling.networks import weight_norm
from tfstyle.modeling.networks.blocks import EncoderBlock
from tfstyle.modeling.networks.discriminators import (
    Discriminator,
    DiscriminatorConsortium,
)
from tfstyle.modeling.stages import factories

D = (64, 128, 256, 512)


def test_discriminator_ends_at_4x4x512():
    network = Discriminator(D, (1, 1, 1, 1))
    assert trace(network, [64, 64, 3]).shape.as_list() == [None]
    shapes = block_shapes(network, EncoderBlock, [64, 64, 3])
    assert shapes[-1] == (4, 4, 512)
    assert dense_kernels(network) == [(4 * 4 * 512, 1)]
    head = 4 * 4 * 512 + 2
    assert network.count_params() == count_encoder_parameters(D) + head


def make_consortium(style_dims=0):
    return DiscriminatorConsortium((4, 6), (1, 1), 16, 8, style_dims)


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    [
        (lambda: Discriminator((4, 6), (1, 1)), [[8, 8, 3]], [[]]),
        (lambda: Discriminator((4, 6), (1, 1), 2), [[8, 8, 3], [2]], [[]]),
        (make_consortium, [[16, 16, 3], [5, 2], [0]], [[1], [4]]),
        (lambda: make_consortium(3), [[16, 16, 3], [5, 2], [3]], [[1], [4]]),
    ],
    ids=["D", "conditional D", "consortium", "conditional consortium"],
)
def test_discriminators_meet_the_contract(make, inputs, outputs, tmp_path):
    """Their logits stay in float32 under mixed precision."""
    check_contract(make, inputs, outputs, "float32", tmp_path)


def test_gains_and_biases_are_only_in_the_last_layer():
    network = Discriminator((4,), (1,))
    trace(network, [8, 8, 3])
    names = [variable.name.split("/")[-1] for variable in network.variables]
    assert names.count("gain:0") == names.count("bias:0") == 1


def test_a_configuration_keeps_the_normalization():
    network = Discriminator((4, 6), (1, 1), normalization="learned")
    rebuilt = Discriminator.from_config(network.get_config())
    rebuilt(tf.zeros([1, 8, 8, 3]))
    gains = [variable for variable in rebuilt.weights if "/g:" in variable.name]
    blocks = [layer for layer in rebuilt.layers if isinstance(layer, EncoderBlock)]
    assert len(gains) == sum(2 if b.project is None else 3 for b in blocks)


@pytest.mark.parametrize("style_dims", [0, 3])
def test_a_consortium_builds_its_variables_from_sizes(style_dims):
    """As many as a call creates."""
    consortium = make_consortium(style_dims)
    rebuilt = DiscriminatorConsortium.from_config(consortium.get_config())
    trace(consortium, [16, 16, 3], [5, 2], [style_dims])

    rebuilt.build_variables(16)

    shapes = [variable.shape for variable in consortium.variables]
    assert [variable.shape for variable in rebuilt.variables] == shapes


def test_folding_does_not_change_the_outputs():
    network = Discriminator((4, 6), (1, 1))
    images = np.random.default_rng(6).normal(size=[2, 8, 8, 3]).astype(np.float32)
    expected = network(images)
    weight_norm.fold(network)
    np.testing.assert_allclose(network(images), expected, rtol=1e-4, atol=1e-5)


def test_a_style_adds_its_inner_product_with_a_projection():
    """The logit of style 0 is D's own; scaled by the root of the style's dimensions."""
    network = Discriminator((4,), (1,), 3)
    rng = np.random.default_rng(3)
    images = rng.normal(size=[2, 4, 4, 3]).astype(np.float32)
    styles = rng.normal(size=[2, 3]).astype(np.float32)
    network([images, styles])
    randomize(network)
    plain = network([images, np.zeros_like(styles)]).numpy()
    logits, (features,) = network([images, styles], with_features=True)
    flat = features.numpy().reshape(2, -1)
    layer = network._projection
    norms = np.sqrt(np.square(layer.kernel.numpy()).sum(axis=0))
    projected = flat @ (layer.kernel.numpy() / norms)
    projected = projected * layer.gain.numpy() + layer.bias.numpy()
    products = [sum(p * s) for p, s in zip(projected, styles, strict=True)]

    np.testing.assert_allclose(
        logits, plain + np.array(products) / np.sqrt(3), rtol=1e-4, atol=1e-4
    )


def test_features_are_those_after_each_block():
    network = Discriminator((4, 6), (1, 2))
    images = np.random.default_rng(6).normal(size=[2, 8, 8, 3]).astype(np.float32)
    logits, features = network(images, with_features=True)

    assert [f.shape.as_list() for f in features] == [
        [2, 4, 4, 4],
        [2, 2, 2, 6],
        [2, 2, 2, 6],
    ]
    np.testing.assert_array_equal(features[0], network.layers[0](images))
    np.testing.assert_array_equal(logits, network(images))


def test_a_consortium_judges_every_patch_by_the_style_of_its_picture():
    consortium = make_consortium(3)
    rng = np.random.default_rng(4)
    images = rng.normal(size=[2, 16, 16, 3]).astype(np.float32)
    offsets = rng.uniform(size=[2, 5, 2]).astype(np.float32)
    styles = rng.normal(size=[2, 3]).astype(np.float32)
    consortium([images, offsets, styles])
    randomize(consortium)
    both = consortium([images, offsets, styles])
    for row in range(2):
        one = slice(row, row + 1)
        alone = consortium([images[one], offsets[one], styles[one]])
        for together, apart in zip(both, alone, strict=True):
            np.testing.assert_allclose(together[one], apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("image_size, patch_size", [(96, 32), (16, 32), (48, 32)])
def test_patches_that_do_not_double_up_to_the_image_are_refused(image_size, patch_size):
    expected = f"image_size={image_size}, patch_size={patch_size}"
    with pytest.raises(ValueError, match=expected):
        DiscriminatorConsortium((4,), (1,), image_size, patch_size)


def test_consortium_has_three_networks_at_256():
    """Section 5.2: 64, 128 and 256 pixels, 1, 4 and 16 patches of 64."""
    consortium = factories.discriminators(256, 32)
    assert consortium.patch_counts == [1, 4, 16]
    logits = trace(consortium, [256, 256, 3], [21, 2], [0])
    shapes = [tensor.shape.as_list() for tensor in logits]
    assert shapes == [[None, 1], [None, 4], [None, 16]]
    scales = [network.name for network in consortium.layers]
    assert scales == ["scale_64", "scale_128", "scale_256"]
    alone = Discriminator(D, (1, 1, 1, 1))
    trace(alone, [64, 64, 3])
    assert consortium.count_params() == 3 * alone.count_params()


@pytest.mark.parametrize("image_size, counts", [(64, [1]), (128, [1, 4])])
def test_smaller_images_have_fewer_scales(image_size, counts):
    consortium = DiscriminatorConsortium((4,), (1,), image_size, 64)
    assert consortium.patch_counts == counts


def test_each_network_sees_its_patches_of_the_pooled_image():
    rng = np.random.default_rng(2)
    images = rng.normal(size=[2, 16, 16, 3]).astype(np.float32)
    offsets = rng.uniform(size=[2, 21, 2]).astype(np.float32)
    consortium = DiscriminatorConsortium((4,), (1,), 16, 4)
    logits = consortium([images, offsets, np.zeros([2, 0], np.float32)])
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
