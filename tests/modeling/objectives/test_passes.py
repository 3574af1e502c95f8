"""Measurements of networks on pictures, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import color, networks
from tfstyle.modeling.objectives import passes


@pytest.fixture(scope="module")
def encoder():
    """Return one of three dimensions: the first is scaled up, the last constant."""
    tf.keras.utils.set_random_seed(4)
    encoder = networks.ContentEncoder((4, 8), (1, 1), dims=3)
    encoder.build_variables(16)
    # Of the means and log variances.
    (gain,) = [v for v in encoder.trainable_variables if "/gain:" in v.name]
    gain.assign([20.0, 1, 0, 1, 1, 1])
    return encoder


@pytest.fixture(scope="module")
def batches():
    """Two batches, the last of which is half padding."""
    rng = np.random.default_rng(5)
    return [
        {
            "image": tf.constant(rng.integers(0, 256, [4, 16, 16, 3]), tf.uint8),
            "mask": tf.constant(mask, tf.float32),
        }
        for mask in ([1, 1, 1, 1], [1, 1, 0, 0])
    ]


@pytest.fixture(scope="module")
def style_encoder():
    return networks.StyleEncoder((4,), (1,), dims=2)


def read_pictures(batches):
    """Return the pictures that are not padding, scaled Lab [1, 16, 16, 3] each."""
    return [
        color.rgb_to_lab(picture[None])
        for batch in batches
        for picture, mask in zip(batch["image"], batch["mask"], strict=True)
        if mask
    ]


def test_content_use_is_that_of_a_loop_over_pictures(encoder, batches):
    kl, means = [], []
    for image in read_pictures(batches):
        mean, log_variance = (
            output.numpy()[0].astype(float) for output in encoder(image)
        )
        means.append(mean)
        kl.append(
            [
                (math.exp(v) + m * m - 1 - v) / 2
                for m, v in zip(mean, log_variance, strict=True)
            ]
        )
    assert len(means) == 6

    use = passes.measure_content_use(encoder, batches)

    np.testing.assert_allclose(use.kl, np.mean(kl, axis=0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        use.variance, np.var(means, axis=0), rtol=1e-3, atol=1e-9
    )


def test_a_dimension_is_active_if_its_mean_varies_by_more_than_a_hundredth():
    use = passes.ContentUse(np.zeros(4), np.array([1, 0.011, 0.009, 0]))

    assert use.active.tolist() == [True, True, False, False]


def test_a_dimension_without_variation_is_not_active(encoder, batches):
    use = passes.measure_content_use(encoder, batches)

    assert use.variance[2] < 1e-9 and not use.active[2]


def test_reconstruction_errors_are_those_of_content_prefixes(
    encoder, style_encoder, batches
):
    decoder = networks.ContentDecoder((4, 8), (1, 1), 16)
    expected = np.zeros([6, 2])
    for row, image in enumerate(read_pictures(batches)):
        for column, dims in enumerate([1, 3]):
            content = encoder(image)[0].numpy()
            content[:, dims:] = 0
            output = decoder([style_encoder(image), tf.constant(content)])
            expected[row, column] = ((output - image) ** 2).numpy().sum()

    errors = passes.measure_reconstruction_errors(
        style_encoder, encoder, decoder, batches, [1, 3]
    )

    np.testing.assert_allclose(errors, expected.mean(axis=0), rtol=1e-5)


def test_the_generators_error_is_that_of_reconstructed_pictures(
    encoder, style_encoder, batches
):
    """With the same noise for every batch."""
    generator = networks.Generator((4, 8), (1, 1), 16)
    expected = []
    for batch in batches:
        images = color.rgb_to_lab(batch["image"])
        noise = tf.random.stateless_normal([4, 2], [0, 0])
        outputs = generator([style_encoder(images), encoder(images)[0], noise])
        errors = ((outputs - images) ** 2).numpy().sum(axis=(1, 2, 3))
        expected.extend(errors[batch["mask"].numpy() > 0])

    error = passes.measure_generator_reconstruction_error(
        generator, style_encoder, lambda images: encoder(images)[0], 2, batches
    )

    assert error == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_mean_pictures_error_is_the_variance_of_the_same_pictures(batches):
    images = np.concatenate(read_pictures(batches))

    error = passes.measure_mean_picture_error(batches, batches)

    assert error == pytest.approx(images.var(axis=0).sum(), rel=1e-5)
