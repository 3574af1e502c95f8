"""Squared distances against loops, whatever the chunks."""

import numpy as np
import pytest

from tfstyle.metrics import distances


def full_matrix(rows, columns):
    """Put the chunks together; checks that they cover all rows in order."""
    parts = list(distances.squared_distances(rows, columns))
    covered = np.concatenate([np.arange(len(rows))[part] for part, _ in parts])
    assert covered.tolist() == list(range(len(rows)))
    assert all(len(chunk) == part.stop - part.start for part, chunk in parts)
    return np.concatenate([chunk for _, chunk in parts])


@pytest.mark.parametrize("per_chunk", [1, 20, 10**6])
def test_distances_are_those_of_loops(monkeypatch, per_chunk):
    """Chunks of one row, a few with a rest (7 by 2), or all."""
    monkeypatch.setattr(distances, "DISTANCES_PER_CHUNK", per_chunk)
    rng = np.random.default_rng(0)
    rows, columns = rng.normal(size=[7, 4]), rng.normal(size=[9, 4])
    expected = [[sum((x - y) ** 2) for y in columns] for x in rows]

    np.testing.assert_allclose(full_matrix(rows, columns), expected, rtol=1e-12)


def test_a_common_offset_costs_no_digits():
    """An offset of 2^30 leaves 22 of 52 bits to codes made of quarters: all exact."""
    rows = np.round(np.random.default_rng(1).normal(size=[8, 3]) * 4) / 4

    np.testing.assert_allclose(
        full_matrix(rows + 2.0**30, rows + 2.0**30), full_matrix(rows, rows), atol=1e-5
    )


def test_rounding_makes_no_distance_negative():
    rows = np.random.default_rng(2).normal(size=[200, 16])

    assert full_matrix(rows, rows).min() == 0


def test_float32_codes_are_measured_in_float64_and_do_not_change():
    rows = np.random.default_rng(3).normal(size=[5, 2]).astype(np.float32)
    before = rows.copy()

    assert full_matrix(rows, rows).dtype == np.float64
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    "codes, artist_ids, message",
    [
        ([[1.0], [2.0]], [0], r"\(2, 1\) and \(1,\)"),
        ([1.0, 2.0], [0, 1], r"\(2,\)"),
        ([[1.0], [np.nan]], [0, 1], "for image 1"),
    ],
)
def test_codes_that_do_not_match_their_artists_are_refused(codes, artist_ids, message):
    with pytest.raises(ValueError, match=message):
        distances.validate_codes(codes, artist_ids)
