"""Nested dropout: prefix lengths follow equation 3's weights."""

import numpy as np
import pytest

from tfstyle.modeling.objectives.nested_dropout import (
    choose_prefix_lengths,
    prefix_probabilities,
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
        choose_prefix_lengths([0.1, 0.2], dims, t)


@pytest.mark.parametrize("dims, t", [(4, 0.5), (8, 0.9), (3, 1.0)])
def test_lengths_have_their_share_of_the_unit_interval(dims, t):
    """Of n evenly spaced numbers a share is right to 1 / n at both of its ends."""
    uniforms = (np.arange(2000) / 2000).astype(np.float32)
    lengths = choose_prefix_lengths(uniforms, dims, t).numpy()
    assert lengths.dtype == np.int32
    shares = np.bincount(lengths, minlength=dims + 1) / 2000
    expected = [0, *prefix_probabilities(dims, t)]
    np.testing.assert_allclose(shares, expected, atol=2 / 2000)


def test_the_ends_of_the_unit_interval_are_the_shortest_and_the_longest():
    ends = [0.0, np.nextafter(np.float32(1), np.float32(0))]
    np.testing.assert_array_equal(choose_prefix_lengths(ends, 6, 0.7), [1, 6])


def test_a_single_dimension_is_always_kept():
    np.testing.assert_array_equal(choose_prefix_lengths([0.0, 0.5], 1, 0.5), [1, 1])
