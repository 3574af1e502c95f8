"""Graphs show every curve, its deviations and the kept dimensions."""

import numpy as np
import pytest
from PIL import Image

from tfstyle.analysis.drawing import curves

BLUE, ORANGE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
METRIC = {"metric": ([1, 2, 4], [0.2, 0.5, 0.9])}


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def contains(path, color):
    return (pixels_of(path) == color).all(axis=2).any()


def test_every_curve_has_its_color(tmp_path):
    path = tmp_path / "new" / "graph.png"
    curves.write_curves(path, METRIC, "dims", "accuracy", "t")
    assert contains(path, BLUE) and not contains(path, ORANGE)

    classifier = {"classifier": ([1, 2, 4], [0.1, np.nan, 0.95])}
    curves.write_curves(path, METRIC | classifier, "dims", "accuracy", "t", log_x=False)
    assert contains(path, BLUE) and contains(path, ORANGE)
    assert [file.name for file in path.parent.iterdir()] == ["graph.png"]


def test_a_logarithmic_axis_shows_equal_factors_as_equal_steps(tmp_path):
    """1, 10, 100: a straight line, so the middle point is halfway up."""
    path = tmp_path / "graph.png"
    points = {"energy": ([1, 2, 3], [1.0, 10.0, 100.0])}
    curves.write_curves(path, points, "x", "y", "t", log_x=False, log_y=True)

    blue = (pixels_of(path) == BLUE).all(axis=2)
    rows, columns = np.nonzero(blue[:, : int(0.97 * blue.shape[1])])
    left, right = columns.min(), columns.max()
    middle = rows[np.abs(columns - (left + right) / 2) < 3].mean()
    assert middle == pytest.approx((rows.min() + rows.max()) / 2, rel=0.03)


def test_the_kept_number_of_dimensions_is_marked(tmp_path):
    """By a line of gray .4 from bottom to top; without it only text is as dark."""
    heights = []
    for kept_dims in (None, 2):
        path = tmp_path / "graph.png"
        curves.write_curves(path, METRIC, "dims", "y", "t", kept_dims=kept_dims)
        values = np.asarray(Image.fromarray(pixels_of(path)).convert("L"), int)
        heights.append((np.abs(values - 102) < 20).mean(axis=0).max())
    assert heights[0] < 0.3 and heights[1] > 0.5


@pytest.mark.parametrize("side", [0, 1])
def test_figure_1_has_accuracy_left_and_ratio_right(tmp_path, side):
    """A curve is given to one side: its color is on that side only."""
    series = [{}, {}]
    series[side] = METRIC
    curves.write_figure_1(tmp_path / "figure.png", *series, kept_dims=2)

    pixels = pixels_of(tmp_path / "figure.png")
    _, columns = np.nonzero((pixels == BLUE).all(axis=2))
    assert set(columns * 2 // pixels.shape[1]) == {side}


def test_deviations_are_bars_around_the_points(tmp_path):
    """From .1 to .9 around points at .5, which otherwise are a flat line of markers."""
    heights = []
    for deviation in ([], [[0.4, 0.4]]):
        series = {"metric": ([1, 2], [0.5, 0.5], *deviation)}
        curves.write_curves(tmp_path / "graph.png", series, "dims", "accuracy", "t")
        pixels = pixels_of(tmp_path / "graph.png")
        left = (pixels == BLUE).all(axis=2)[:, : pixels.shape[1] // 2]  # no legend
        heights.append(left.any(axis=1).mean())
    assert heights[0] < 0.1 and heights[1] > 0.5
