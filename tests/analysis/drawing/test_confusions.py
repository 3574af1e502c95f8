"""The matrix of artists taken for each other."""

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing.confusions import order_by_similarity, write_confusions


def test_similar_artists_are_neighbors():
    """Two pairs, far from each other, whose members are close: 0 and 2, 1 and 3."""
    order = order_by_similarity(np.array([[0, 0], [9, 9], [0, 1], [9, 8]]))
    places = {artist: place for place, artist in enumerate(order)}
    assert abs(places[0] - places[2]) == 1
    assert abs(places[1] - places[3]) == 1


def test_a_matrix_is_drawn_with_as_many_dark_cells_as_confusions(tmp_path):
    """A share of 1 is darkest; two of them on a white matrix, in any order."""
    dark = []
    for count in (1, 2):
        shares = np.zeros([5, 5])
        shares[range(count), range(count)] = 1
        path = tmp_path / f"{count}.png"
        write_confusions(path, shares, [*"abcde"], [4, 2, 0, 1, 3])
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        darkest = np.abs(pixels - [8, 48, 107]).sum(axis=-1) < 6
        dark.append(darkest.sum())
    # The color bar holds a few of the same color.
    assert dark[1] > 1.7 * dark[0] > 0


def test_many_artists_are_drawn_without_names(tmp_path):
    shares = np.eye(61)
    write_confusions(tmp_path / "many.png", shares, ["x" * 80] * 61, [*range(61)])
    with Image.open(tmp_path / "many.png") as image:
        assert max(image.size) < 2000
