"""Equations 4 to 9 and additions to them, against plain loops."""

import math

import numpy as np
import tensorflow as tf

from tfstyle.modeling.objectives import generation


def test_reconstruction_loss_sums_squares_over_each_image():
    images, targets = np.random.default_rng(7).normal(size=[2, 2, 3, 4, 3])
    expected = np.zeros(2)
    for b, i, j, c in np.ndindex(2, 3, 4, 3):
        expected[b] += (images[b, i, j, c] - targets[b, i, j, c]) ** 2
    losses = generation.reconstruction_loss(images, targets)
    np.testing.assert_allclose(losses, expected)


def test_kl_divergence_is_its_closed_form_summed_over_dimensions():
    """Per dimension (variance + mean^2 - 1 - log variance) / 2."""
    mean, log_variance = np.random.default_rng(8).normal(size=[2, 3, 4])
    expected = np.zeros([3, 4])
    for b, d in np.ndindex(3, 4):
        deviation = math.exp(log_variance[b, d] / 2)
        expected[b, d] = -math.log(deviation) + (deviation**2 + mean[b, d] ** 2 - 1) / 2
    kl = generation.kl_by_dimension(mean, log_variance)
    np.testing.assert_allclose(kl, expected)
    divergence = generation.kl_divergence(mean, log_variance)
    np.testing.assert_allclose(divergence, expected.sum(axis=1))


def test_kl_divergence_is_the_integral_that_it_stands_for():
    """Integral of q log(q / p), by the trapezoid rule, for mean .5, variance e^-1."""
    mean, log_variance = 0.5, -1.0
    x = np.linspace(-12, 12, 200001)
    variance = math.exp(log_variance)
    log_q = -0.5 * ((x - mean) ** 2 / variance + log_variance + math.log(2 * math.pi))
    log_p = -0.5 * (x**2 + math.log(2 * math.pi))
    expected = np.trapz(np.exp(log_q) * (log_q - log_p), x)
    divergence = generation.kl_divergence(
        np.array([[mean]]), np.array([[log_variance]])
    )
    np.testing.assert_allclose(divergence, [expected], rtol=1e-6)


def test_kl_divergence_of_the_prior_is_zero():
    zeros = np.zeros([2, 4])
    np.testing.assert_array_equal(generation.kl_divergence(zeros, zeros), [0, 0])


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


def test_adversarial_losses_are_equations_5_and_7():
    real = np.array([-3.0, -0.5, 0.0, 2.0])
    fake = np.array([1.5, -2.0, 0.0, 4.0])
    expected = [
        -math.log(sigmoid(x)) - math.log(1 - sigmoid(z))
        for x, z in zip(real, fake, strict=True)
    ]
    np.testing.assert_allclose(
        generation.discriminator_loss(real, fake), expected, rtol=1e-12
    )
    np.testing.assert_allclose(
        generation.generator_loss(fake),
        [-math.log(sigmoid(z)) for z in fake],
        rtol=1e-12,
    )


def test_an_undecided_discriminator_costs_two_logarithms_of_two():
    zero = tf.zeros([1])
    np.testing.assert_allclose(
        generation.discriminator_loss(zero, zero), [2 * math.log(2)], rtol=1e-6
    )


def test_adversarial_losses_and_gradients_stay_finite_for_extreme_logits():
    """softplus(x) -> x, and its derivative -> 1, where sigmoid is 0 in float32."""
    wrong, right = tf.Variable([1000.0]), tf.Variable([-1000.0])
    with tf.GradientTape() as tape:
        loss = generation.discriminator_loss(right, wrong)
    np.testing.assert_allclose(loss, [2000.0])
    gradients = tape.gradient(loss, [right, wrong])
    assert [float(gradient[0]) for gradient in gradients] == [-1, 1]
    with tf.GradientTape() as tape:
        loss = generation.generator_loss(right)
    np.testing.assert_allclose(loss, [1000.0])
    assert float(tape.gradient(loss, right)[0]) == -1
    np.testing.assert_array_equal(generation.discriminator_loss(wrong, right), [0.0])


def test_code_loss_sums_squares_over_dimensions():
    """(1 - 3)^2 + (2 - 2)^2 = 4 and (0 - 1)^2 + (-1 - 1)^2 = 5."""
    codes = tf.constant([[1.0, 2.0], [0.0, -1.0]])
    targets = tf.constant([[3.0, 2.0], [1.0, 1.0]])
    np.testing.assert_array_equal(generation.code_loss(codes, targets), [4, 5])


def test_pooled_squared_error_is_that_of_averages_over_squares():
    images, targets = np.random.default_rng(6).normal(size=[2, 2, 4, 6, 3])
    expected = np.zeros(2)
    for n, i, j, c in np.ndindex(2, 2, 3, 3):
        square = (n, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), c)
        expected[n] += (images[square].mean() - targets[square].mean()) ** 2 / 18
    errors = generation.pooled_squared_error(images, targets, 2)
    np.testing.assert_allclose(errors, expected, rtol=1e-9)


def test_gradient_penalty_is_half_the_squared_norm():
    """(3^2 + 4^2) / 2 and (3 x 2^2) / 2."""
    gradients = np.zeros([2, 2, 1, 3])
    gradients[0, 0, 0, 0], gradients[0, 1, 0, 2] = 3, 4
    gradients[1, 1, 0] = 2
    np.testing.assert_array_equal(generation.gradient_penalty(gradients), [12.5, 6])


def test_consortium_losses_average_over_patches_then_networks():
    """Of one network with a patch and one with two, of equal weight."""
    rng = np.random.default_rng(3)
    real, fake = ([rng.normal(size=[3, n]) for n in (1, 2)] for _ in range(2))

    def average(one, two):
        return [(one[b, 0] + (two[b, 0] + two[b, 1]) / 2) / 2 for b in range(3)]

    np.testing.assert_allclose(
        generation.consortium_discriminator_loss(real, fake),
        average(*map(generation.discriminator_loss, real, fake)),
    )
    np.testing.assert_allclose(
        generation.consortium_generator_loss(fake),
        average(*map(generation.generator_loss, fake)),
    )


def test_consortium_penalty_is_that_of_each_patchs_own_gradient():
    """A logit sum(w x^2) / 2 has the gradient w x, and costs |w x|^2 / 2."""
    rng = np.random.default_rng(4)
    patches = [rng.normal(size=[2 * n, 2, 2, 1]) for n in (1, 2)]
    weights = rng.normal(size=[2, 2, 1])

    def compute_logits(patches):
        sums = [tf.reduce_sum(weights * p**2, axis=[1, 2, 3]) / 2 for p in patches]
        return [tf.reshape(sums[0], [2, 1]), tf.reshape(sums[1], [2, 2])]

    penalty = generation.consortium_penalty(
        compute_logits, [tf.constant(p) for p in patches]
    )

    costs = [((weights * p) ** 2).sum(axis=(1, 2, 3)) / 2 for p in patches]
    expected = [
        (costs[0][b] + (costs[1][2 * b] + costs[1][2 * b + 1]) / 2) / 2
        for b in range(2)
    ]
    np.testing.assert_allclose(penalty, expected)
