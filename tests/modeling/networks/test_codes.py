"""Styles near artists and between them; the nearest works of pictures."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks.codes import ArtistPrior, nearest_works_table
from tfstyle.modeling.networks.frozen_codes import CodeStatistics

MEANS = np.array([[1.0, 0.5], [-1.0, 0.5], [0.0, -1.0]], np.float32)


def transform(prior, uniforms, normals):
    return prior.transform(np.array(uniforms), np.float32(normals)).numpy()


def test_the_deviation_is_that_of_works_around_their_artists_mean():
    """For normalized codes with equally many works by each artist, exactly."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(5), 40)
    codes = rng.normal(size=[5, 3])[ids] * [2, 1, 0.5] + rng.normal(size=[200, 3])
    statistics = CodeStatistics.of_codes(codes, ids, 5)
    normalized = (codes - statistics.mean) / statistics.deviation
    rest = normalized - statistics.artist_means[ids]
    prior = ArtistPrior.of_artist_means(statistics.artist_means)

    np.testing.assert_allclose(prior.deviation, rest.std(axis=0), rtol=1e-4)


def test_half_of_the_draws_are_of_one_artist():
    """The third number below one half: the first artist alone."""
    prior = ArtistPrior(MEANS, np.array([0.1, 0.2], np.float32))
    styles = transform(
        prior, [[0.0, 0.9, 0.0], [0.34, 0.0, 0.499], [0.999, 0.5, 0.2]], [[1, -1]] * 3
    )

    np.testing.assert_allclose(styles, MEANS + [0.1, -0.2], rtol=1e-6)


def test_the_others_are_between_two():
    """Above one half the share of the second artist goes from 0 to 1."""
    prior = ArtistPrior(MEANS, np.zeros(2, np.float32))
    styles = transform(prior, [[0.0, 0.4, 0.75], [0.0, 0.9, 0.875]], np.zeros([2, 2]))

    np.testing.assert_allclose(styles[0], (MEANS[0] + MEANS[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(styles[1], 0.25 * MEANS[0] + 0.75 * MEANS[2], atol=1e-6)


def test_a_uniform_number_just_below_one_picks_the_last_artist():
    prior = ArtistPrior(MEANS, np.zeros(2, np.float32))
    almost_one = np.nextafter(np.float32(1), np.float32(0))
    styles = transform(prior, np.float32([[almost_one, 0, 0]]), np.zeros([1, 2]))

    np.testing.assert_array_equal(styles, MEANS[2:])


@pytest.mark.parametrize("artists", [1, 2000])
def test_any_number_of_artists_has_a_prior(artists):
    means = np.random.default_rng(1).normal(size=[artists, 4]).astype(np.float32)
    prior = ArtistPrior.of_artist_means(means)
    rng = np.random.default_rng(2)
    styles = transform(prior, rng.random([50, 3]), rng.normal(size=[50, 4]))

    assert np.isfinite(styles).all()
    # Means that vary by more than 1 leave nothing for an artist's works.
    assert (prior.deviation >= 0).all()


def test_rows_of_nearest_works_are_padded_where_a_split_has_few():
    """The second picture is searched twice, as two equal files, so it has one other."""
    works = np.array([0, 100, 100], np.uint8)[:, None, None, None]
    works = np.broadcast_to(works, [3, 8, 8, 3])
    batches = [{"image": tf.constant(works), "mask": tf.ones([3])}]
    table = nearest_works_table(
        lambda images: tf.reduce_mean(images, axis=[1, 2]),
        works[:2],
        ["a", "b"],
        batches,
    )
    levels = [
        [None if cell is None else int(cell[0, 0, 0]) for cell in row]
        for row in table.rows
    ]

    assert levels == [[0, 100, 100], [100, 0, None]]
    assert table.column_captions == ["picture", "nearest 1", "nearest 2"]
