"""The map shows every artist, as far apart as their codes are."""

import numpy as np
import pytest

from tfstyle.analysis.drawing import artist_map
from tfstyle.analysis.drawing.artist_map import (
    FEWEST_FOR_UMAP,
    draw_artist_map,
    project_by_pca,
    project_by_umap,
)
from tfstyle.core.cli import UserError


def flat_pictures(count):
    """Return pictures of a single color each, uint8 [count, 32, 32, 3]."""
    colors = [(100 + k, 0, 200) for k in range(count)]
    return np.stack([np.full((32, 32, 3), color, np.uint8) for color in colors])


def boxes(sheet, count):
    """Yield the box of each flat picture, and whether all of it is visible."""
    values = np.asarray(sheet)
    for color in flat_pictures(count)[:, 0, 0]:
        y, x = np.nonzero((values == color).all(axis=2))
        box = x.min(), y.min(), x.max() + 1, y.max() + 1
        yield box, len(x) == (box[2] - box[0]) * (box[3] - box[1])


def test_points_in_a_plane_keep_their_distances():
    """PCA recovers a rotated plane in 5 dimensions."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=[10, 2]) * (3, 1)
    rotation, _ = np.linalg.qr(rng.normal(size=[5, 5]))
    points, shares = project_by_pca(flat @ rotation[:2] + 4)

    def distances(p):
        return np.linalg.norm(p[:, None] - p[None], axis=-1)

    np.testing.assert_allclose(distances(points), distances(flat), atol=1e-9)
    assert shares.sum() == pytest.approx(1) and shares[0] > shares[1]


def test_a_single_dimension_or_two_artists_are_on_a_line():
    for means in (np.array([[1.0], [2], [4]]), np.array([[1.0, 2, 3], [4, 2, 1]])):
        points, shares = project_by_pca(means)

        assert points.shape == (len(means), 2)
        np.testing.assert_allclose(points[:, 1], 0, atol=1e-9)
        np.testing.assert_allclose(shares, [1, 0], atol=1e-9)


def test_equal_artists_are_one_point():
    points, shares = project_by_pca(np.ones([3, 4]))

    np.testing.assert_allclose(points, 0, atol=1e-9)
    np.testing.assert_allclose(shares, 0)


@pytest.mark.slow
def test_umap_keeps_neighbors_and_equal_seeds_give_equal_points():
    """Two groups of artists, far apart in 8 dimensions."""
    pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 20)
    means = rng.normal(size=[40, 8]) * 0.1 + groups[:, None] * 5

    points = project_by_umap(means)

    assert (points.shape, points.dtype) == ((40, 2), np.float64)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-4)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(groups[distances.argmin(axis=1)], groups)
    np.testing.assert_array_equal(project_by_umap(means), points)
    assert (project_by_umap(means, seed=1) != points).any()


@pytest.mark.slow
@pytest.mark.filterwarnings("error:::umap")
def test_umap_maps_few_artists_and_equal_ones():
    pytest.importorskip("umap")
    few = np.random.default_rng(0).normal(size=[FEWEST_FOR_UMAP, 3])
    for means in (few, few[:, :1], np.ones([5, 3])):
        points = project_by_umap(means)

        assert points.shape == (len(means), 2)
        assert np.isfinite(points).all()


def test_without_umap_the_error_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(artist_map.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(
        UserError, match=r"pip install -c .*constraints.txt '\.\[map\]'"
    ):
        project_by_umap(np.ones([5, 3]))


def test_thumbnails_are_arranged_like_the_points():
    points = np.array([[0.0, 0], [10, 0], [0, 5]])
    sheet = draw_artist_map(points, flat_pictures(3), ["a", "b", "c"])

    (left, right, upper), whole = zip(*boxes(sheet, 3), strict=True)
    assert all(whole)
    assert left[1] == right[1] and left[0] == upper[0]
    assert right[0] - left[0] == pytest.approx(2 * (left[1] - upper[1]), abs=2)


@pytest.mark.parametrize("count, spread", [(2, 1.0), (12, 1.0), (30, 0.02)])
def test_crowded_thumbnails_are_pushed_apart_or_drawn_smaller(count, spread):
    points = np.random.default_rng(0).normal(size=[count, 2])
    points[0] = points[1]
    points[2:] *= spread
    sheet = draw_artist_map(points, flat_pictures(count), ["a long name"] * count)

    thumbnails, whole = zip(*boxes(sheet, count), strict=True)
    assert all(whole), "a thumbnail is covered"
    sides = {box[2] - box[0] for box in thumbnails}
    assert len(sides) == 1 and min(sides) >= 56
    assert (min(sides) > 100) == (spread == 1)  # a crowd is drawn smaller
    for left, top, right, bottom in thumbnails:
        assert min(left, top) > 0 and right < sheet.width and bottom < sheet.height


def test_a_single_artist_is_a_map():
    sheet = draw_artist_map(np.zeros([1, 2]), flat_pictures(1), ["alone"])

    ((_, whole),) = boxes(sheet, 1)
    assert whole


def test_each_artist_needs_a_point_a_picture_and_a_name():
    with pytest.raises(ValueError, match="got 2, 3 and 2"):
        draw_artist_map(np.zeros([2, 2]), flat_pictures(3), ["a", "b"])
