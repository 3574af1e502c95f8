"""Example pictures: chosen fairly, and generated from the codes that were asked for."""

import numpy as np
import pytest

from tfstyle.analysis.drawing.examples import (
    FixedPictures,
    interpolate_bilinear,
    sweep_dimension,
)
from tfstyle.analysis.drawing.grids import draw_grid, draw_table
from tfstyle.data import input_pipeline
from tfstyle.modeling.networks.codes import decode_codes, style_by_content_table


@pytest.mark.parametrize(
    "count, artist_ids",
    [
        (2, [0, 2]),  # evenly spaced among 3 artists
        (3, [0, 1, 2]),
        (5, [0, 0, 1, 1, 2]),
        (99, [0] * 4 + [1] * 4 + [2] * 4),  # all 4 test pictures of each
    ],
)
def test_fixed_pictures_are_the_first_of_evenly_spaced_artists(
    count, artist_ids, small_records
):
    fixed = FixedPictures.choose(small_records, "test", count)

    assert fixed.artist_ids.tolist() == artist_ids
    (batch,) = input_pipeline.eval_batches(small_records, "test")
    test_ids = batch["artist"].numpy()
    test_ids[batch["mask"].numpy() == 0] = -1
    for artist in set(artist_ids):
        number = artist_ids.count(artist)
        expected = batch["image"].numpy()[test_ids == artist][:number]
        np.testing.assert_array_equal(
            fixed.pictures[fixed.artist_ids == artist], expected
        )


def test_every_content_is_generated_in_every_style_with_one_noise_per_row():
    """2 contents by 3 styles, row by row."""
    codes = []

    def generator(inputs):
        codes.append([code[:, 0].tolist() for code in inputs])
        return np.zeros([len(inputs[0]), 32, 32, 3], np.float32)

    styles, contents = np.array([[1.0], [2], [3]]), np.array([[4.0], [5]])
    sources = np.zeros([3, 32, 32, 3], np.uint8) + np.uint8(200)
    table = style_by_content_table(
        generator, (sources, styles), (sources[:2], contents), contents + 2, "abc", "t"
    )

    expected = [1, 2, 3, 1, 2, 3], [4, 4, 4, 5, 5, 5], [6, 6, 6, 7, 7, 7]
    assert codes == [list(expected)]
    generated = decode_codes(generator, np.zeros([1, 1]))[0]
    assert draw_table(table) == draw_grid(
        [[None, *sources], *[[sources[0], *[generated] * 3]] * 2],
        column_captions=["", "a", "b", "c"],
        title="t",
        row_breaks=[1],
        column_breaks=[1],
    )


def test_a_sweep_changes_one_dimension_of_each_group():
    codes = []

    def generator(inputs):
        codes.append(inputs)
        return np.zeros([len(inputs[0]), 16, 16, 3], np.float32)

    pictures = sweep_dimension(
        generator, (4, 3, 2), 1, (-5, 0, 5), 2, np.random.default_rng(0)
    )

    assert (pictures.shape, pictures.dtype) == ((2, 3, 16, 16, 3), np.uint8)
    ((styles, contents, noises),) = codes
    np.testing.assert_array_equal(styles[:, 1], [-5, 0, 5, -5, 0, 5])
    rest = np.concatenate([np.delete(styles, 1, axis=1), contents, noises], axis=1)
    np.testing.assert_array_equal(rest[[1, 2, 4, 5]], rest[[0, 0, 3, 3]])
    assert (rest[0] != rest[3]).all()


def test_bilinear_codes_have_the_corners_and_their_mean_in_the_center():
    corners = np.array([[0.0, 1], [8, 1], [0, 5], [16, 9]])

    grid = interpolate_bilinear(corners, 5).reshape(5, 5, 2)

    np.testing.assert_allclose(grid[[0, 0, -1, -1], [0, -1, 0, -1]], corners)
    np.testing.assert_allclose(grid[2, 2], corners.mean(axis=0))
    # Along the top edge and down the left one, evenly from corner to corner.
    np.testing.assert_allclose(grid[0, :, 0], [0, 2, 4, 6, 8])
    np.testing.assert_allclose(grid[:, 0, 1], [1, 2, 3, 4, 5])
    # A quarter across and three quarters down: .75 (.25 a + .75 c) + .25 (..).
    np.testing.assert_allclose(
        grid[3, 1], [0.25 * (0.25 * 8 + 0.75 * 16), 0.75 * 4 + 0.25 * 7]
    )


def test_bilinear_codes_of_two_rows_are_the_corners():
    corners = np.random.default_rng(0).normal(size=[4, 3])

    np.testing.assert_allclose(interpolate_bilinear(corners, 2), corners)
