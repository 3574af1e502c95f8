"""Refined codes rebuild a picture better, each picture by itself."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.exploration.refinement import refine_codes
from tfstyle.modeling.networks import color, networks

SIZE, DIMS = 16, (2, 3, 4)


@pytest.fixture(scope="module")
def generator():
    tf.keras.utils.set_random_seed(0)
    network = networks.Generator((4, 6), (1, 1), SIZE)
    network([tf.zeros([1, dims]) for dims in DIMS])
    return network


@pytest.fixture(scope="module")
def problem():
    """Pictures, and the style, content and noise codes to begin with."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, [3, SIZE, SIZE, 3], np.uint8)
    return pictures, *(rng.normal(size=[3, dims]) for dims in DIMS)


def errors_of(generator, pictures, *codes):
    """Compute the squared distance in scaled Lab, summed over each picture."""
    generated = generator([tf.cast(code, tf.float32) for code in codes]).numpy()
    target = color.rgb_to_lab(pictures).numpy()
    return np.square(generated - target).sum(axis=(1, 2, 3))


def test_every_error_falls_and_is_that_of_the_codes(generator, problem):
    pictures, styles, contents, noises = problem

    refined = refine_codes(generator, *problem, range(30))

    np.testing.assert_allclose(
        refined.errors_before,
        errors_of(generator, pictures, styles, contents, noises),
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        refined.errors_after,
        errors_of(generator, pictures, styles, refined.contents, refined.noises),
        rtol=1e-4,
    )
    assert (refined.errors_after < refined.errors_before).all()
    assert (refined.contents != contents).any() and (refined.noises != noises).any()


def test_a_first_step_is_adams(generator, problem):
    """Adam's first step is the learning rate against the gradient's sign."""
    pictures, styles, contents, noises = problem
    start = tf.Variable(tf.cast(contents, tf.float32))
    with tf.GradientTape() as tape:
        generated = generator(
            [tf.cast(styles, tf.float32), start, tf.cast(noises, tf.float32)]
        )
        error = tf.reduce_sum(tf.square(generated - color.rgb_to_lab(pictures)))
    expected = start.numpy() - 1e-3 * np.sign(tape.gradient(error, start))

    refined = refine_codes(generator, *problem, range(1), learning_rate=1e-3)

    np.testing.assert_allclose(refined.contents, expected, atol=1e-5)


def test_a_picture_does_not_depend_on_the_others(generator, problem):
    together = refine_codes(generator, *problem, range(10))
    alone = refine_codes(generator, *(array[1:2] for array in problem), range(10))

    np.testing.assert_allclose(alone.contents, together.contents[1:2], atol=1e-4)
    np.testing.assert_allclose(alone.noises, together.noises[1:2], atol=1e-4)


def test_steps_that_lead_astray_are_not_kept(generator, problem):
    refined = refine_codes(generator, *problem, range(5), learning_rate=1e4)

    assert (refined.errors_after <= refined.errors_before).all()


def test_without_steps_the_codes_stay(generator, problem):
    _, _, contents, noises = problem

    refined = refine_codes(generator, *problem, [])

    np.testing.assert_array_equal(refined.contents, contents.astype(np.float32))
    np.testing.assert_array_equal(refined.noises, noises.astype(np.float32))
    np.testing.assert_array_equal(refined.errors_before, refined.errors_after)
