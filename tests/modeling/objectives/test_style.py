"""Equations 1 to 3 against plain loops written from the paper."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives import style

# The precision of prefix_probabilities, which are float32.
RTOL = 1e-6

# Three artists with unequal numbers of images: 1, 4 and 2, seven in all.
COUNTS = np.array([1, 4, 2])
ARTISTS = np.array([0, 1, 1, 1, 1, 2, 2])
DIMS = 5
T = 0.8


@pytest.fixture
def toy():
    """Codes of all seven images, presumed styles and scales, float64."""
    rng = np.random.default_rng(5)
    return {
        "codes": rng.normal(size=[7, DIMS]) * 0.7,
        "styles": rng.normal(size=[3, DIMS]) * 0.7,
        "scales": rng.uniform(0.4, 1.3, size=[DIMS]),
    }


# The paper's definitions.


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
    return [code for code, i in zip(codes, ARTISTS, strict=True) if i == artist]


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


def presumed_loss(codes, styles, scales, rows=slice(None)):
    return style.presumed_style_loss(
        tf.convert_to_tensor(codes)[rows],
        tf.constant(ARTISTS[rows]),
        tf.convert_to_tensor(styles),
        tf.convert_to_tensor(scales),
        tf.constant(COUNTS),
        T,
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


LENGTHS = [1, 3, DIMS, 2, 4, 1, DIMS]


def softmax_loss(codes, styles, scales, attraction_weight=0.1):
    return style.softmax_metric_loss(
        tf.convert_to_tensor(codes),
        tf.constant(ARTISTS),
        tf.convert_to_tensor(styles),
        tf.convert_to_tensor(scales),
        tf.constant(LENGTHS),
        attraction_weight,
    )


@pytest.mark.parametrize("attraction_weight", [0.0, 0.3])
def test_softmax_is_the_likelihood_of_the_artist_by_distance(toy, attraction_weight):
    expected = []
    for code, artist, d in zip(toy["codes"], ARTISTS, LENGTHS, strict=True):
        squares = [
            sum((toy["scales"][d - 1] * (code[k] - s[k])) ** 2 for k in range(d))
            for s in toy["styles"]
        ]
        total = sum(math.exp(-square) for square in squares)
        likelihood = math.exp(-squares[artist]) / total
        expected.append(-math.log(likelihood) + attraction_weight * squares[artist])

    losses = softmax_loss(**toy, attraction_weight=attraction_weight)

    assert losses.dtype == tf.float64
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


def test_softmax_is_exact_for_small_distances_far_from_the_origin():
    """In float32 the squares, 1e6, would leave no digit of a distance of 0.01."""
    styles = np.float32([[1000.0], [1000.5]])
    loss = style.softmax_metric_loss(
        tf.constant([[1000.25]]), [0], styles, tf.ones([1]), tf.constant([1]), 1.0
    )

    np.testing.assert_allclose(loss, [math.log(2) + 0.25**2], rtol=1e-6)


def test_softmax_repels_the_most_similar_artist_most(toy):
    """Equation 2 would repel both others alike at these distances."""
    styles = tf.Variable([[0.0, 0.0], [0.5, 0.0], [0.0, 3.0]])
    with tf.GradientTape() as tape:
        loss = style.softmax_metric_loss(
            tf.zeros([1, 2]), [0], styles, tf.ones([2]), tf.constant([2]), 0.1
        )
    _, near, far = np.linalg.norm(tape.gradient(loss, styles), axis=1)

    assert near > 100 * far


def test_one_image_of_two_artists_worked_by_hand():
    """One dimension, counts (1, 3): M = 4, Q = 10, M^2 - Q = 6.

    An image of artist 0 at 1; s_0 = 0, s_1 = 3; h = 0.5. Its own distance is 0.5, the
    other's 1: 4 x 1 / 10 x 0.25 + 4 x 3 / 6 x exp(-1) = 0.1 + 2 exp(-1).
    """
    loss = style.presumed_style_loss(
        tf.constant([[1.0]]),
        tf.constant([0]),
        tf.constant([[0.0], [3.0]]),
        tf.constant([0.5]),
        tf.constant([1.0, 3.0]),
        0.995,
    )
    np.testing.assert_allclose(loss, [0.1 + 2 * math.exp(-1)], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "rtol"),
    [
        # Chunks of 1, 1, 2 (and a remainder of 1) and all 3 artists.
        *(
            ("CHUNK_ELEMENTS", size, 1e-12)
            for size in (1, 7 * DIMS, 2 * 7 * DIMS, 1 << 22)
        ),
        # Five dimensions in blocks of prefix sums, of which the last may be shorter.
        *(("BLOCK_SIZE", size, 1e-10) for size in (2, 3, 4)),
    ],
)
def test_chunks_and_blocks_do_not_change_losses_or_gradients(
    name, value, rtol, toy, monkeypatch
):
    def losses_and_gradients():
        variables = [tf.Variable(value) for value in toy.values()]
        upstream = tf.constant(np.linspace(-1, 2, 7))
        with tf.GradientTape() as tape:
            losses = presumed_loss(*variables)
        return losses, tape.gradient(losses, variables, output_gradients=upstream)

    expected = losses_and_gradients()
    monkeypatch.setattr(style, name, value)
    tf.nest.map_structure(
        lambda new, old: np.testing.assert_allclose(new, old, rtol=rtol),
        losses_and_gradients(),
        expected,
    )


@pytest.mark.parametrize("dims", [1, 15, 16, 17, 48, 100])
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_prefix_sums_are_cumulative_sums_from_either_end(shape, dims):
    values = np.random.default_rng(0).normal(size=[*shape, dims])
    np.testing.assert_allclose(
        style.prefix_sums(tf.constant(values)), values.cumsum(-1), atol=1e-12
    )
    np.testing.assert_allclose(
        style.prefix_sums(tf.constant(values), reverse=True),
        values[..., ::-1].cumsum(-1)[..., ::-1],
        atol=1e-12,
    )


def test_chunks_work_in_a_graph_of_unknown_batch_size(toy, monkeypatch):
    monkeypatch.setattr(style, "CHUNK_ELEMENTS", 2 * 7 * DIMS)

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

    losses, by_input = gradients(*[tf.constant(value) for value in toy.values()])
    np.testing.assert_allclose(losses, presumed_loss(**toy), rtol=1e-12)
    shapes = [gradient.shape for gradient in by_input]
    assert shapes == [(7, DIMS), (3, DIMS), (DIMS,)]


@pytest.mark.parametrize("elements", [7 * DIMS, 1 << 22])
@pytest.mark.parametrize("name", ["codes", "styles", "scales"])
def test_gradients_agree_with_finite_differences(toy, monkeypatch, name, elements):
    monkeypatch.setattr(style, "CHUNK_ELEMENTS", elements)
    upstream = np.linspace(0.5, 2, 7)

    def total(**changed):
        inputs = {**toy, **changed}
        return tf.reduce_sum(upstream * presumed_loss(**inputs))

    variable = tf.Variable(toy[name])
    with tf.GradientTape() as tape:
        value = total(**{name: variable})
    gradient = tape.gradient(value, variable).numpy()

    step, expected = 1e-5, np.zeros_like(toy[name])
    for index in np.ndindex(*toy[name].shape):
        shifted = [toy[name].copy(), toy[name].copy()]
        shifted[0][index] += step
        shifted[1][index] -= step
        up, down = (float(total(**{name: values})) for values in shifted)
        expected[index] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)
    assert np.abs(gradient).max() > 0.01


def test_a_single_artist_has_no_second_term():
    """Codes 0 and 2 with s = 1/2, h = 1: (2 / 4) (1/4 + 9/4) x 2 / 2 = 1.25 in mean."""
    losses = style.presumed_style_loss(
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
        loss = style.presumed_style_loss(
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
    loss = style.pairwise_metric_loss(
        toy["codes"], tf.constant(ARTISTS), toy["scales"], T
    )
    expected = equation_1(toy["codes"], toy["scales"])
    np.testing.assert_allclose(loss, expected, rtol=RTOL)


def test_pairwise_loss_of_one_artist_has_no_second_term():
    """Points 0 and 2 with h = 1: ordered pairs cost 0, 4, 4, 0, so 8 / 4 = 2."""
    loss = style.pairwise_metric_loss(
        tf.constant([[0.0], [2.0]]), tf.constant([3, 3]), tf.ones([1]), 0.9
    )
    np.testing.assert_allclose(loss, 2.0, rtol=1e-6)


def test_pairwise_gradient_is_finite_at_equal_codes():
    """An image with itself is at distance 0, where a root has no derivative."""
    codes = tf.Variable(np.ones([3, 2]))
    with tf.GradientTape() as tape:
        loss = style.pairwise_metric_loss(
            codes, tf.constant([0, 0, 1]), np.ones([2]), 0.9
        )
    assert np.isfinite(tape.gradient(loss, codes)).all()


def test_classification_loss_is_the_cross_entropy_of_the_prefix(toy):
    rng = np.random.default_rng(6)
    weights, bias = rng.normal(size=[DIMS, 3]), rng.normal(size=[3])
    lengths = [5, 1, 2, 3, 4, 2, 5]
    expected = []
    for code, artist, length in zip(toy["codes"], ARTISTS, lengths, strict=True):
        logits = [
            bias[n] + sum(code[d] * weights[d, n] for d in range(length))
            for n in range(3)
        ]
        partition = sum(math.exp(logit) for logit in logits)
        expected.append(-math.log(math.exp(logits[artist]) / partition))
    losses = style.prefix_classification_loss(
        tf.constant(toy["codes"]),
        tf.constant(ARTISTS),
        tf.constant(weights),
        tf.constant(bias),
        tf.constant(lengths),
    )
    np.testing.assert_allclose(losses, expected, rtol=1e-10)


def test_the_triplet_loss_averages_over_prefixes():
    """Artist 0 has codes at 0 and 3, artist 1 at 5; the second dimension parts them.

    In one dimension, from 0: the positive is at 3, the nearest farther negative at 5,
    and 1 + 3 - 5 < 0 costs 0. From 3: no negative is farther than 3, so the farthest
    counts, at 2, and costs 1 + 3 - 2 = 2. The mean is 1. In two dimensions negatives
    are more than 12 away, which costs 0.
    """
    codes = tf.constant([[0.0, 0.0], [3.0, 0.0], [5.0, 12.0]])
    artist_ids = tf.constant([0, 0, 1])
    losses = [
        float(style.triplet_prefix_loss(codes, artist_ids, tf.constant(lengths)))
        for lengths in ([1], [2], [1, 2, 2, 1])
    ]
    np.testing.assert_allclose(losses, [1, 0, 0.5], atol=1e-6)


def test_the_triplet_loss_of_a_single_artist_is_zero():
    codes = tf.constant([[0.0], [3.0]])
    loss = style.triplet_prefix_loss(codes, tf.constant([4, 4]), tf.constant([1]))
    assert float(loss) == 0


@pytest.mark.parametrize(
    ("same", "different", "saturates", "expected"),
    [
        (1.0, 2.0, True, None),
        (0.01, 0.05, True, "collapsed: artists are 0.05 apart"),
        (0.01, 0.05, False, "collapsed: artists are 0.05 apart"),
        (4.0, 5.0, True, "works are 4 from their own artist's presumed style"),
        (4.0, 9.0, True, None),
        (4.0, 5.0, False, None),
    ],
)
def test_distances_at_which_gradients_vanish_are_described(
    same, different, saturates, expected
):
    warning = style.describe_distances(same, different, saturates)
    assert warning is None if expected is None else expected in warning
