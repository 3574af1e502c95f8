"""Random numbers of a step: slices of one global draw, on whatever replica."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities

TOTAL = 8

KINDS = {
    "normal": lambda draws, purpose: draws.normal(purpose, 5),
    "uniform": lambda draws, purpose: draws.uniform(purpose, 3, 2),
    "prefix": lambda draws, purpose: draws.prefix_lengths(purpose, 50, 0.99),
}


def draws_of(start, rows, step=4, seed=1):
    return BatchDraws(
        seed=seed,
        step=tf.constant(step, tf.int64),
        start=tf.constant(start),
        rows=rows,
        total=TOTAL,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [2, 4])
def test_slices_of_replicas_and_accumulation_parts_make_up_the_whole(kind, parts):
    draw, rows = KINDS[kind], TOTAL // parts
    whole = draw(draws_of(0, TOTAL), "noise")
    slices = [draw(draws_of(part * rows, rows), "noise") for part in range(parts)]
    assert all(len(part) == rows for part in slices)
    np.testing.assert_array_equal(np.concatenate(slices), whole)


def test_shared_prefix_lengths_are_the_same_wherever_rows_start():
    whole, part = (
        draws.shared_prefix_lengths("prefix", 20, 50, 0.99).numpy()
        for draws in (draws_of(0, TOTAL), draws_of(4, 2))
    )
    np.testing.assert_array_equal(whole, part)
    assert whole.min() >= 1 and whole.max() <= 50 and len(set(whole)) > 1
    later = draws_of(0, TOTAL, step=5).shared_prefix_lengths("prefix", 20, 50, 0.99)
    assert (later.numpy() != whole).any()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_batch_differ(kind):
    whole = KINDS[kind](draws_of(0, TOTAL), "noise").numpy()
    assert len(np.unique(whole, axis=0)) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_purposes_steps_and_seeds_differ(kind):
    draw = KINDS[kind]
    first = draw(draws_of(0, TOTAL), "noise").numpy()
    assert (draw(draws_of(0, TOTAL), "style").numpy() != first).any()
    assert (draw(draws_of(0, TOTAL, step=5), "noise").numpy() != first).any()
    assert (draw(draws_of(0, TOTAL, seed=2), "noise").numpy() != first).any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_is_a_function_of_seed_step_and_purpose(kind):
    draw = KINDS[kind]
    first = draw(draws_of(0, TOTAL), "noise")
    np.testing.assert_array_equal(first, draw(draws_of(0, TOTAL), "noise"))
    in_graph = tf.function(
        lambda start, step: draw(BatchDraws(1, step, start, TOTAL, TOTAL), "noise")
    )
    np.testing.assert_array_equal(
        first, in_graph(tf.constant(0), tf.constant(4, tf.int64))
    )


def test_shapes_and_ranges():
    draws = draws_of(2, 4)
    assert draws.normal("a", 5).shape == (4, 5)
    uniform = draws.uniform("a", 100, 2).numpy()
    assert uniform.shape == (4, 100, 2)
    assert uniform.min() >= 0 and uniform.max() < 1
    lengths = draws.prefix_lengths("a", 50, 0.99).numpy()
    assert lengths.shape == (4,)
    assert lengths.min() >= 1 and lengths.max() <= 50


def test_normal_draws_have_zero_mean_and_unit_variance():
    """Of n = 32000 numbers: mean's deviation .0056, variance's sqrt(2/n) = .0079."""
    values = draws_of(0, TOTAL).normal("a", 4000).numpy()
    assert abs(values.mean()) < 0.03
    assert abs(values.var() - 1) < 0.04


def test_prefix_lengths_follow_the_nested_dropout_distribution():
    """Over 1000 steps of 8 rows: a share's deviation is at most .0056."""
    lengths = np.concatenate(
        [draws_of(0, TOTAL, step=k).prefix_lengths("a", 3, 0.5) for k in range(1000)]
    )
    shares = np.bincount(lengths, minlength=4)[1:] / len(lengths)
    np.testing.assert_allclose(shares, prefix_probabilities(3, 0.5), atol=0.025)


def test_a_share_of_rows_is_spread_evenly_over_the_global_batch():
    """Of 6 rows at .5 every other; a replica that starts at row 2 sees its part."""
    np.testing.assert_array_equal(draws_of(0, 6).spread_rows(0.5), [False, True] * 3)
    np.testing.assert_array_equal(draws_of(3, 3).spread_rows(0.5), [True, False, True])
    assert not draws_of(0, 6).spread_rows(0.0).numpy().any()
    assert draws_of(0, 6).spread_rows(1.0).numpy().all()
