"""Equations 1 to 9 against plain loops written from the paper."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives import style as objectives

# prefix_probabilities are float32: what sums of them are exact to.
RTOL = 1e-6

# Three artists with unequal numbers of images: 1, 4 and 2, seven in all.
COUNTS = np.array([1, 4, 2])
ARTISTS = np.array([0, 1, 1, 1, 1, 2, 2])
DIMS = 5
T = 0.8


@pytest.fixture
def toy():
    """Codes of all seven images, presumed styles and scales, float64."""
    random = np.random.default_rng(5)
    return {
        "codes": random.normal(size=[7, DIMS]) * 0.7,
        "styles": random.normal(size=[3, DIMS]) * 0.7,
        "scales": random.uniform(0.4, 1.3, size=[DIMS]),
    }


# The paper, word for word.


def probability(d):
    return (1 - T) * T ** (d - 1) / (1 - T**DIMS)


def same_of_distance(distance):
    return distance**2


def different_of_distance(distance):
    return math.exp(-(distance**2))


def nested(of_distance, x, y, scales):
    """Equation 3."""
    total = 0.0
    for d in range(1, DIMS + 1):
        distance = math.sqrt(sum((x[k] - y[k]) ** 2 for k in range(d)))
        total += probability(d) * of_distance(scales[d - 1] * distance)
    return total


def images_of(codes, artist):
    return [code for code, own in zip(codes, ARTISTS, strict=True) if own == artist]


def equation_1(codes, scales):
    groups = [images_of(codes, artist) for artist in range(3)]
    same = different = same_pairs = different_pairs = 0.0
    for i in range(3):
        same_pairs += len(groups[i]) ** 2
        for x in groups[i]:
            for y in groups[i]:
                same += nested(same_of_distance, x, y, scales)
        for j in range(3):
            if i == j:
                continue
            different_pairs += len(groups[i]) * len(groups[j])
            for x in groups[i]:
                for y in groups[j]:
                    different += nested(different_of_distance, x, y, scales)
    return same / same_pairs + different / different_pairs


def equation_2(codes, styles, scales):
    groups = [images_of(codes, artist) for artist in range(3)]
    same = different = same_pairs = different_pairs = 0.0
    for i in range(3):
        same_pairs += len(groups[i]) ** 2
        same += len(groups[i]) * sum(
            nested(same_of_distance, x, styles[i], scales) for x in groups[i]
        )
        for j in range(3):
            if i == j:
                continue
            different_pairs += len(groups[i]) * len(groups[j])
            different += len(groups[j]) * sum(
                nested(different_of_distance, x, styles[j], scales) for x in groups[i]
            )
    return same / same_pairs + different / different_pairs


def presumed_loss(codes, styles, scales, rows=slice(None), lengths=None):
    return objectives.presumed_style_loss(
        tf.convert_to_tensor(codes)[rows],
        tf.constant(ARTISTS[rows]),
        tf.convert_to_tensor(styles),
        tf.convert_to_tensor(scales),
        tf.constant(COUNTS),
        T,
        None if lengths is None else tf.constant(lengths),
    )


def test_mean_over_all_images_is_equation_2(toy):
    losses = presumed_loss(**toy)
    assert losses.shape == (7,)
    assert losses.dtype == tf.float64
    expected = equation_2(**toy)
    np.testing.assert_allclose(np.mean(losses), expected, rtol=RTOL)


def test_an_images_loss_does_not_depend_on_its_batch(toy):
    whole = presumed_loss(**toy)
    np.testing.assert_allclose(
        presumed_loss(**toy, rows=slice(2, 6)), whole[2:6], rtol=1e-12
    )


def test_one_image_of_two_artists_worked_by_hand():
    """One dimension, counts (1, 3): M = 4, Q = 10, M^2 - Q = 6.

    An image of artist 0 at 1; s_0 = 0, s_1 = 3; h = 0.5. Its own distance is 0.5, the
    other's 1: 4 x 1 / 10 x 0.25 + 4 x 3 / 6 x exp(-1) = 0.1 + 2 exp(-1).
    """
    loss = objectives.presumed_style_loss(
        tf.constant([[1.0]]),
        tf.constant([0]),
        tf.constant([[0.0], [3.0]]),
        tf.constant([0.5]),
        tf.constant([1.0, 3.0]),
        0.995,
    )
    np.testing.assert_allclose(loss, [0.1 + 2 * math.exp(-1)], rtol=1e-6)


@pytest.mark.parametrize("elements", [1, 7 * DIMS, 2 * 7 * DIMS, 1 << 22])
def test_chunks_do_not_change_losses_or_gradients(toy, monkeypatch, elements):
    """Chunks of 1, 1, 2 (with one left over) and all 3 artists."""

    def losses_and_gradients():
        variables = [tf.Variable(value) for value in toy.values()]
        upstream = tf.constant(np.linspace(-1, 2, 7))
        with tf.GradientTape() as tape:
            losses = presumed_loss(*variables)
        return losses, tape.gradient(losses, variables, output_gradients=upstream)

    expected = losses_and_gradients()
    monkeypatch.setattr(objectives, "_CHUNK_ELEMENTS", elements)
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-12),
        losses_and_gradients(),
        expected,
    )


@pytest.mark.parametrize("block", [2, 3, 4])
def test_blocks_of_prefix_sums_do_not_change_losses_or_gradients(
    toy, monkeypatch, block
):
    """Five dimensions in blocks, the last one not full; one block is TensorFlow's."""

    def losses_and_gradients():
        variables = [tf.Variable(value) for value in toy.values()]
        with tf.GradientTape() as tape:
            losses = presumed_loss(*variables)
        return losses, tape.gradient(losses, variables)

    expected = losses_and_gradients()
    monkeypatch.setattr(objectives, "_BLOCK", block)
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-10),
        losses_and_gradients(),
        expected,
    )


@pytest.mark.parametrize("dims", [1, 15, 16, 17, 48, 100])
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_prefix_sums_are_cumulative_sums_from_either_end(shape, dims):
    values = np.random.default_rng(0).normal(size=[*shape, dims])
    np.testing.assert_allclose(
        objectives.prefix_sums(tf.constant(values)), values.cumsum(-1), atol=1e-12
    )
    np.testing.assert_allclose(
        objectives.prefix_sums(tf.constant(values), reverse=True),
        values[..., ::-1].cumsum(-1)[..., ::-1],
        atol=1e-12,
    )


def test_chunks_work_in_a_graph_of_unknown_batch_size(toy, monkeypatch):
    monkeypatch.setattr(objectives, "_CHUNK_ELEMENTS", 2 * 7 * DIMS)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, DIMS], tf.float64),
            tf.TensorSpec([None, DIMS], tf.float64),
            tf.TensorSpec([DIMS], tf.float64),
        ]
    )
    def gradients(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            losses = presumed_loss(*inputs)
        return losses, tape.gradient(losses, inputs)

    losses, of = gradients(*[tf.constant(value) for value in toy.values()])
    np.testing.assert_allclose(losses, presumed_loss(**toy), rtol=1e-12)
    assert [one.shape for one in of] == [(7, DIMS), (3, DIMS), (DIMS,)]


@pytest.mark.parametrize("elements", [7 * DIMS, 1 << 22])
@pytest.mark.parametrize("lengths", [None, [5, 1, 2, 3, 4, 2, 5]])
@pytest.mark.parametrize("name", ["codes", "styles", "scales"])
def test_gradients_agree_with_finite_differences(
    toy, monkeypatch, name, lengths, elements
):
    monkeypatch.setattr(objectives, "_CHUNK_ELEMENTS", elements)
    upstream = np.linspace(0.5, 2, 7)

    def total(**changed):
        inputs = {**toy, **changed}
        return tf.reduce_sum(upstream * presumed_loss(**inputs, lengths=lengths))

    variable = tf.Variable(toy[name])
    with tf.GradientTape() as tape:
        value = total(**{name: variable})
    gradient = tape.gradient(value, variable).numpy()

    step, expected = 1e-5, np.zeros_like(toy[name])
    for place in np.ndindex(*toy[name].shape):
        shifted = [toy[name].copy(), toy[name].copy()]
        shifted[0][place] += step
        shifted[1][place] -= step
        up, down = (float(total(**{name: one})) for one in shifted)
        expected[place] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
    assert np.abs(gradient).max() > 0.01


def test_one_prefix_per_image_equals_the_exact_loss_in_mean(toy):
    """The mean by the definition: every length d, weighted by its probability."""
    mean = sum(
        probability(d) * presumed_loss(**toy, lengths=tf.fill([7], d)).numpy()
        for d in range(1, DIMS + 1)
    )
    np.testing.assert_allclose(mean, presumed_loss(**toy), rtol=RTOL)


def test_prefix_lengths_use_only_those_dimensions(toy):
    lengths = np.array([1, 2, 3, 4, 5, 2, 3])
    changed = dict(toy, codes=toy["codes"].copy())
    for row, length in enumerate(lengths):
        changed["codes"][row, length:] += 10
    first = presumed_loss(**toy, lengths=lengths).numpy()
    np.testing.assert_allclose(presumed_loss(**changed, lengths=lengths), first)
    shorter = presumed_loss(**changed, lengths=np.minimum(lengths + 1, 5)).numpy()
    assert (shorter[lengths < 5] != first[lengths < 5]).all()


def test_an_only_artist_has_no_second_term():
    """Codes 0 and 2 with s = 1/2, h = 1: (2 / 4) (1/4 + 9/4) x 2 / 2 = 1.25 in mean."""
    losses = objectives.presumed_style_loss(
        tf.constant([[0.0], [2.0]]),
        tf.constant([0, 0]),
        tf.constant([[0.5]]),
        tf.ones([1]),
        tf.constant([2]),
        0.9,
    )
    np.testing.assert_allclose(np.mean(losses), 1.25, rtol=1e-6)


def test_presumed_loss_is_finite_far_away():
    """At a distance of 1e4, exp(-1e8) is 0 and must not become NaN in gradients."""
    codes = tf.Variable([[1e4, 0.0]])
    with tf.GradientTape() as tape:
        loss = objectives.presumed_style_loss(
            codes,
            tf.constant([0]),
            tf.zeros([2, 2]),
            tf.ones([2]),
            tf.constant([3, 3]),
            0.9,
        )
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, codes)).all()


def test_pairwise_loss_is_equation_1(toy):
    loss = objectives.pairwise_metric_loss(
        toy["codes"], tf.constant(ARTISTS), toy["scales"], T
    )
    expected = equation_1(toy["codes"], toy["scales"])
    np.testing.assert_allclose(loss, expected, rtol=RTOL)


def test_pairwise_loss_of_one_artist_has_no_second_term():
    """Points 0 and 2 with h = 1: ordered pairs cost 0, 4, 4, 0, so 8 / 4 = 2."""
    loss = objectives.pairwise_metric_loss(
        tf.constant([[0.0], [2.0]]), tf.constant([3, 3]), tf.ones([1]), 0.9
    )
    np.testing.assert_allclose(loss, 2.0, rtol=1e-6)


def test_pairwise_gradient_is_finite_at_equal_codes():
    """An image with itself is at distance 0, where a root has no derivative."""
    codes = tf.Variable(np.ones([3, 2]))
    with tf.GradientTape() as tape:
        loss = objectives.pairwise_metric_loss(
            codes, tf.constant([0, 0, 1]), np.ones([2]), 0.9
        )
    assert np.isfinite(tape.gradient(loss, codes)).all()


def test_classification_loss_is_the_cross_entropy_of_the_prefix(toy):
    random = np.random.default_rng(6)
    weights, bias = random.normal(size=[DIMS, 3]), random.normal(size=[3])
    lengths = [5, 1, 2, 3, 4, 2, 5]
    expected = []
    for code, artist, length in zip(toy["codes"], ARTISTS, lengths, strict=True):
        logits = [
            bias[n] + sum(code[d] * weights[d, n] for d in range(length))
            for n in range(3)
        ]
        partition = sum(math.exp(logit) for logit in logits)
        expected.append(-math.log(math.exp(logits[artist]) / partition))
    losses = objectives.prefix_classification_loss(
        tf.constant(toy["codes"]),
        tf.constant(ARTISTS),
        tf.constant(weights),
        tf.constant(bias),
        tf.constant(lengths),
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-10)


def test_reconstruction_loss_sums_squares_over_each_picture():
    random = np.random.default_rng(7)
    one, other = random.normal(size=[2, 2, 3, 4, 3])
    expected = np.zeros(2)
    for b, i, j, c in np.ndindex(2, 3, 4, 3):
        expected[b] += (one[b, i, j, c] - other[b, i, j, c]) ** 2
    np.testing.assert_allclose(objectives.reconstruction_loss(one, other), expected)


def test_kl_divergence_is_its_closed_form():
    """Per dimension (variance + mean^2 - 1 - log variance) / 2."""
    random = np.random.default_rng(8)
    mean, log_variance = random.normal(size=[2, 3, 4])
    expected = np.zeros(3)
    for b in range(3):
        for d in range(4):
            deviation = math.sqrt(math.exp(log_variance[b, d]))
            expected[b] += (
                -math.log(deviation) + (deviation**2 + mean[b, d] ** 2) / 2 - 0.5
            )
    np.testing.assert_allclose(objectives.kl_divergence(mean, log_variance), expected)


def test_kl_divergence_is_the_integral_that_it_stands_for():
    """Integral of q log(q / p), by the trapezoid rule, for mean .5, variance e^-1."""
    mean, log_variance = 0.5, -1.0
    x = np.linspace(-12, 12, 200001)
    variance = math.exp(log_variance)
    log_q = -0.5 * ((x - mean) ** 2 / variance + log_variance + math.log(2 * math.pi))
    log_p = -0.5 * (x**2 + math.log(2 * math.pi))
    expected = np.trapz(np.exp(log_q) * (log_q - log_p), x)
    divergence = objectives.kl_divergence(
        np.array([[mean]]), np.array([[log_variance]])
    )
    np.testing.assert_allclose(divergence, [expected], rtol=1e-6)


def loop_kl(mean, log_variance):
    """Each example's KL of each dimension, from deviations."""
    kl = np.zeros(mean.shape)
    for b in range(mean.shape[0]):
        for d in range(mean.shape[1]):
            deviation = math.exp(log_variance[b, d] / 2)
            kl[b, d] = -math.log(deviation) + (deviation**2 + mean[b, d] ** 2 - 1) / 2
    return kl


def test_kl_by_dimension_is_each_dimensions_own_and_adds_up():
    mean, log_variance = np.random.default_rng(9).normal(size=[2, 3, 4])
    kl = objectives.kl_by_dimension(mean, log_variance)
    np.testing.assert_allclose(kl, loop_kl(mean, log_variance))
    np.testing.assert_allclose(
        objectives.kl_divergence(mean, log_variance), np.sum(kl, axis=1)
    )


def test_free_bits_count_at_least_that_of_each_example_and_dimension():
    mean, log_variance = np.random.default_rng(9).normal(size=[2, 3, 4])
    kl = loop_kl(mean, log_variance)
    assert 0 < (kl < 0.4).sum() < kl.size
    expected = [sum(max(0.4, one) for one in row) for row in kl]
    np.testing.assert_allclose(objectives.kl_beyond_free_bits(kl, 0.4), expected)


def test_free_bits_take_the_slope_from_what_is_below_them():
    """The KL of mean m and variance 1 is m^2 / 2, its slope m: .08 and .5 here."""
    mean = tf.constant([[0.4, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(mean)
        kl = objectives.kl_by_dimension(mean, tf.zeros([1, 2]))
        paid = objectives.kl_beyond_free_bits(kl, 0.1)
    np.testing.assert_allclose(tape.gradient(paid, mean), [[0, 1]], rtol=1e-6)


def test_kl_divergence_of_the_prior_is_zero():
    zeros = np.zeros([2, 4])
    np.testing.assert_array_equal(objectives.kl_divergence(zeros, zeros), [0, 0])


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
        objectives.discriminator_loss(real, fake), expected, rtol=1e-12
    )
    np.testing.assert_allclose(
        objectives.generator_loss(fake),
        [-math.log(sigmoid(z)) for z in fake],
        rtol=1e-12,
    )


def test_an_undecided_discriminator_costs_two_logarithms_of_two():
    zero = tf.zeros([1])
    np.testing.assert_allclose(
        objectives.discriminator_loss(zero, zero), [2 * math.log(2)], rtol=1e-6
    )


def test_adversarial_losses_and_gradients_stay_finite_for_extreme_logits():
    """softplus(x) -> x, and its derivative -> 1, where sigmoid is 0 in float32."""
    wrong, right = tf.Variable([1000.0]), tf.Variable([-1000.0])
    with tf.GradientTape() as tape:
        loss = objectives.discriminator_loss(right, wrong)
    np.testing.assert_allclose(loss, [2000.0])
    assert [float(one[0]) for one in tape.gradient(loss, [right, wrong])] == [-1, 1]
    with tf.GradientTape() as tape:
        loss = objectives.generator_loss(right)
    np.testing.assert_allclose(loss, [1000.0])
    assert float(tape.gradient(loss, right)[0]) == -1
    np.testing.assert_array_equal(objectives.discriminator_loss(wrong, right), [0.0])


def test_code_loss_sums_squares_over_dimensions():
    """(1 - 3)^2 + (2 - 2)^2 = 4 and (0 - 1)^2 + (-1 - 1)^2 = 5."""
    codes = tf.constant([[1.0, 2.0], [0.0, -1.0]])
    targets = tf.constant([[3.0, 2.0], [1.0, 1.0]])
    np.testing.assert_array_equal(objectives.code_loss(codes, targets), [4, 5])


def test_pooled_squared_error_is_that_of_averages_over_squares():
    random = np.random.default_rng(6)
    images, targets = random.normal(size=[2, 2, 4, 6, 3])
    expected = np.zeros(2)
    for n, i, j, c in np.ndindex(2, 2, 3, 3):
        square = (n, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), c)
        expected[n] += (images[square].mean() - targets[square].mean()) ** 2 / 18
    found = objectives.pooled_squared_error(images, targets, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
