"""Figure 1's curves with intervals, against loops over copied artists."""

import numpy as np
import pytest

from tfstyle.analysis.evaluation.figure_1 import Classified, compute_curves
from tfstyle.metrics import prefix, repeats
from tfstyle.modeling.networks.codes import Codes

ARTISTS, DIMS = 6, 4


@pytest.fixture(scope="module")
def test_pictures() -> Classified:
    rng = np.random.default_rng(0)
    artist_ids = rng.permutation(np.repeat(np.arange(ARTISTS), [3, 9, 4, 6, 5, 8]))
    styles = rng.normal(size=[ARTISTS, DIMS])
    codes = styles[artist_ids] + 0.8 * rng.normal(size=[len(artist_ids), DIMS])
    names = [str(k) for k in range(len(codes))]
    seen = Codes(codes, artist_ids, names)
    return Classified(seen, prefix.nearest_styles(codes, styles))


def test_an_interval_is_that_of_samples_of_artists(test_pictures):
    codes, ids = test_pictures.codes.codes, test_pictures.codes.artist_ids
    weights = repeats.draw_artist_weights(ARTISTS)
    accuracies, ratios = [], []
    for sample in weights:
        hits = total = within = 0
        between, pairs = 0, 0
        for i, w in enumerate(sample):
            works = codes[ids == i, :2]
            hits += w * (test_pictures.predicted[ids == i, 1] == i).sum()
            total += w * len(works)
            within += w * ((works - works.mean(axis=0)) ** 2).sum()
            for j, v in enumerate(sample):
                if i != j:
                    squares = (works[:, None] - codes[None, ids == j, :2]) ** 2
                    between += w * v * squares.sum()
                    pairs += w * v * squares.shape[0] * squares.shape[1]
        accuracies.append(hits / total)
        ratios.append((within / total) / (between / pairs))

    curves = compute_curves(test_pictures, [2])

    (interval,) = curves.accuracy_interval
    np.testing.assert_allclose(interval, np.percentile(accuracies, [2.5, 97.5]))
    assert interval[0] < curves.accuracy[0] < interval[1]
    (interval,) = curves.variance_ratio_interval
    np.testing.assert_allclose(interval, np.percentile(ratios, [2.5, 97.5]))
    assert interval[0] < curves.variance_ratio[0] < interval[1]


def test_a_point_is_formatted_with_its_intervals(test_pictures):
    curves = compute_curves(test_pictures, [1, 4])
    low, high = curves.accuracy_interval[1]

    accuracy, ratio = curves.format_point(4)

    assert accuracy == f"{curves.accuracy[1]:.1%} ({low:.1%} to {high:.1%})"
    assert ratio.startswith(f"{curves.variance_ratio[1]:.4f} (")


def test_few_artists_have_curves_without_intervals(test_pictures):
    few = test_pictures.codes.artist_ids < 3
    seen = Codes(
        test_pictures.codes.codes[few], test_pictures.codes.artist_ids[few], []
    )
    curves = compute_curves(Classified(seen, test_pictures.predicted[few]), [1, 4])
    assert curves.accuracy_interval is None
    assert curves.format_point(1)[0] == f"{curves.accuracy[0]:.1%}"
