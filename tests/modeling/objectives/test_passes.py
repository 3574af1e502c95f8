"""Numbers about networks on pictures, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import color, networks
from tfstyle.modeling.objectives import passes


@pytest.fixture(scope="module")
def encoder():
    """Three dimensions: the second as random, the first larger, the last constant."""
    tf.keras.utils.set_random_seed(4)
    made = networks.ContentEncoder((4, 8), (1, 1), dims=3)
    made(tf.zeros([1, 16, 16, 3]))
    kernel, gain, *_ = made._head.trainable_variables
    gain.assign(tf.constant([20.0, 1, 0, 1, 1, 1]) * tf.ones_like(gain))
    return made


@pytest.fixture(scope="module")
def batches():
    """Two batches, the last of which is half filling."""
    random = np.random.default_rng(5)
    return [
        {
            "image": tf.constant(random.integers(0, 256, [4, 16, 16, 3]), tf.uint8),
            "mask": tf.constant(mask, tf.float32),
        }
        for mask in ([1, 1, 1, 1], [1, 1, 0, 0])
    ]


def test_content_use_is_that_of_a_loop_over_pictures(encoder, batches):
    kl, means = [], []
    for batch in batches:
        for picture, kept in zip(batch["image"], batch["mask"], strict=True):
            if not kept:
                continue
            outputs = encoder(color.rgb_to_lab(picture[None]))
            mean, log_variance = (one.numpy()[0].astype(float) for one in outputs)
            means.append(mean)
            kl.append(
                [
                    (math.exp(v) + m * m - 1 - v) / 2
                    for m, v in zip(mean, log_variance, strict=True)
                ]
            )
    assert len(means) == 6

    found = passes.content_use(encoder, batches)

    np.testing.assert_allclose(found.kl, np.mean(kl, axis=0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        found.variance, np.var(means, axis=0), rtol=1e-3, atol=1e-9
    )


def test_a_dimension_is_active_if_its_mean_varies_by_more_than_a_hundredth():
    use = passes.ContentUse(np.zeros(4), np.array([1, 0.011, 0.009, 0]))

    assert use.active.tolist() == [True, True, False, False]


def test_a_dimension_without_variation_is_not_active(encoder, batches):
    found = passes.content_use(encoder, batches)

    assert found.variance[2] < 1e-9 and not found.active[2]
