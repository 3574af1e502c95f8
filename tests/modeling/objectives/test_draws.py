"""Random numbers of a step: slices of one global draw, on whatever replica."""

import math
import zlib

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities

TOTAL = 8
WORD = 2**64

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
    # The logarithm in normal numbers may round differently with more of them.
    np.testing.assert_allclose(np.concatenate(slices), whole, rtol=1e-6)


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


@pytest.mark.parametrize(
    "share, besides, marked",
    [
        (0.5, 0.5, [0, 2, 4, 6]),  # all that the others leave
        (0.25, 0.5, [2, 6]),  # every other of these
        (0.5, 0.25, [1, 2, 5, 6]),  # rows 3 and 7 are taken: two of the others' three
        (0.5, 0.0, [1, 3, 5, 7]),
        (0.0, 1.0, []),
    ],
)
def test_a_second_share_is_spread_over_the_rows_that_the_first_leaves(
    share, besides, marked
):
    """Of a global batch of 8 rows, whole and in two replicas' parts."""
    whole = draws_of(0, 8).spread_rows(share, besides).numpy()
    parts = [draws_of(start, 4).spread_rows(share, besides) for start in (0, 4)]

    np.testing.assert_array_equal(np.flatnonzero(whole), marked)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def mix(word):
    """Mix 64 bits as SplitMix64 does."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB % WORD
    return word ^ word >> 31


def test_numbers_are_those_of_splitmix64():
    """Checked first on numbers that implementations of SplitMix64 publish."""
    gap, key = 0x9E3779B97F4A7C15, 1234567
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [mix((key + (k + 1) * gap) % WORD) for k in range(3)] == published

    seed, step, start, rows, columns = 2, 6, 3, 4, 5
    key = mix(mix(mix(seed) ^ zlib.crc32(b"noise")) ^ step)
    numbers = range(start * columns, (start + rows) * columns)
    bits = [mix((key + (n + 1) * gap) % WORD) for n in numbers]
    expected = np.reshape([(b >> 40) / 2**24 for b in bits], [rows, columns])
    draws = draws_of(start, rows, step, seed)
    np.testing.assert_array_equal(draws.uniform("noise", columns), expected)

    angles = [2 * np.pi * (b % 2**24) / 2**24 for b in bits]
    normals = [
        np.sqrt(-2 * np.log(1 - (b >> 40) / 2**24)) * np.cos(angle)
        for b, angle in zip(bits, angles, strict=True)
    ]
    np.testing.assert_allclose(
        draws.normal("noise", columns), np.reshape(normals, [rows, columns]), atol=2e-6
    )


def test_normal_numbers_have_the_shares_of_the_distribution():
    """Of n = 80000: a share's deviation is at most sqrt(.25 / n) = .0018."""
    values = draws_of(0, TOTAL).normal("a", 10000).numpy().ravel()
    for limit in (-2.5, -1, 0, 0.3, 2):
        expected = (1 + math.erf(limit / math.sqrt(2))) / 2
        assert (values < limit).mean() == pytest.approx(expected, abs=0.007)
    halves = values.reshape(2, -1)
    assert abs(np.corrcoef(halves)[0, 1]) < 0.02
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.015


@pytest.mark.parametrize("kind", KINDS)
def test_xla_draws_the_same_numbers(kind):
    draw = KINDS[kind]
    compiled = tf.function(
        lambda start, step: draw(BatchDraws(1, step, start, 4, TOTAL), "noise"),
        jit_compile=True,
    )
    values = compiled(tf.constant(2), tf.constant(4, tf.int64))
    np.testing.assert_allclose(values, draw(draws_of(2, 4), "noise"), atol=2e-6)
