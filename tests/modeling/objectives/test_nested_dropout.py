"""Nested dropout: prefix lengths follow equation 3's weights."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import (
    prefix_probabilities,
    sample_prefix_lengths,
    sample_prefix_mask,
)


def test_probabilities_have_the_papers_constants():
    """For D=512 and t=.995 by p_d = (1-t) t^(d-1) / (1-t^D), worked out by hand.

    .995^512 = exp(512 ln .995) = exp(-2.56642) = .076810, so 1 - .995^512 = .923190,
    p_1 = .005 / .923190 = .005416 and p_512 = p_1 .995^511 = .000418.
    """
    p = prefix_probabilities(512, 0.995)
    assert p.shape == (512,)
    assert p.dtype == np.float32
    assert p[0] == pytest.approx(0.005416, abs=5e-7)
    assert p[511] == pytest.approx(0.000418, abs=5e-7)
    assert p[:32].sum() == pytest.approx(0.1605, abs=5e-5)
    assert p[:128].sum() == pytest.approx(0.5130, abs=5e-5)


@pytest.mark.parametrize("dims, t", [(1, 0.5), (3, 0.5), (10, 0.9), (512, 0.995)])
def test_probabilities_are_equation_3s_weights_and_sum_to_one(dims, t):
    p = prefix_probabilities(dims, t)
    expected = [(1 - t) * t ** (d - 1) / (1 - t**dims) for d in range(1, dims + 1)]
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    assert p.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)


def test_probabilities_of_three_dims_at_one_half():
    """t = 1/2: weights 1, 1/2, 1/4 over their sum 7/4."""
    np.testing.assert_allclose(prefix_probabilities(3, 0.5), [4 / 7, 2 / 7, 1 / 7])


def test_t_of_one_makes_all_lengths_equally_likely():
    np.testing.assert_allclose(prefix_probabilities(5, 1.0), [0.2] * 5, rtol=1e-6)


@pytest.mark.parametrize("dims, t", [(0, 0.5), (-1, 0.5), (4, 0.0), (4, 1.01)])
def test_values_out_of_range_are_refused_and_named(dims, t):
    with pytest.raises(ValueError, match=f"dims={dims}, t={t}"):
        prefix_probabilities(dims, t)
    with pytest.raises(ValueError, match=f"dims={dims}, t={t}"):
        sample_prefix_lengths(2, dims, t, [1, 2])
    with pytest.raises(ValueError, match=f"dims={dims}, t={t}"):
        sample_prefix_mask(2, dims, t, [1, 2])


def test_every_length_is_sampled_and_no_other():
    lengths = sample_prefix_lengths(500, 6, 0.7, [1, 2]).numpy()
    assert lengths.shape == (500,)
    assert lengths.dtype == np.int32
    assert set(lengths) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("dims, t", [(4, 0.5), (8, 0.9), (3, 1.0)])
def test_sampled_frequencies_match_the_probabilities(dims, t):
    """Of n = 40000 draws a share's deviation is at most sqrt(.25 / n) = .0025."""
    lengths = sample_prefix_lengths(40000, dims, t, [3, 4]).numpy()
    shares = np.bincount(lengths, minlength=dims + 1)[1:] / 40000
    np.testing.assert_allclose(shares, prefix_probabilities(dims, t), atol=0.01)


def test_a_single_dimension_is_always_kept():
    np.testing.assert_array_equal(
        sample_prefix_lengths(7, 1, 0.5, [0, 0]), np.ones([7])
    )


def test_the_same_seed_samples_the_same_lengths_in_eager_and_in_a_graph():
    sample = tf.function(lambda seed: sample_prefix_lengths(64, 32, 0.95, seed))
    first = sample_prefix_lengths(64, 32, 0.95, [8, 9])
    tf.random.set_seed(123)  # the global seed has no influence
    np.testing.assert_array_equal(first, sample_prefix_lengths(64, 32, 0.95, [8, 9]))
    np.testing.assert_array_equal(first, sample(tf.constant([8, 9])))


def test_another_seed_samples_other_lengths():
    first = sample_prefix_lengths(64, 32, 0.95, [8, 9]).numpy()
    assert (first != sample_prefix_lengths(64, 32, 0.95, [8, 10]).numpy()).any()
    assert (first != sample_prefix_lengths(64, 32, 0.95, [9, 9]).numpy()).any()


def test_masks_are_ones_followed_by_zeros_of_the_sampled_lengths():
    mask = sample_prefix_mask(500, 6, 0.7, [1, 2]).numpy()
    lengths = sample_prefix_lengths(500, 6, 0.7, [1, 2]).numpy()
    expected = [[float(d < length) for d in range(6)] for length in lengths]
    np.testing.assert_array_equal(mask, expected)
    assert mask.dtype == np.float32
