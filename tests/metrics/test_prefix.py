"""Measures by prefix against loops written from the paper."""

import numpy as np
import pytest

from tfstyle.metrics import distances, prefix


def make_codes(counts, dims, seed=0):
    """Return shuffled images of artists with unequal counts, and the styles."""
    rng = np.random.default_rng(seed)
    artist_ids = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    styles = rng.normal(size=(len(counts), dims))
    return styles[artist_ids] + rng.normal(size=(sum(counts), dims)), artist_ids, styles


def equation_10(codes, artist_ids):
    """Compute both quantities of equation 10 as its sums are printed."""
    works = {}  # X_i
    for code, artist in zip(codes, artist_ids, strict=True):
        works.setdefault(artist, []).append(code)
    deviation = sum(
        sum((x - np.mean(works[i], axis=0)) ** 2) for i in works for x in works[i]
    )
    images = sum(len(works[i]) for i in works)
    distance = pairs = 0
    for i in works:
        for j in works:
            if i != j:
                distance += sum(sum((x - y) ** 2) for x in works[i] for y in works[j])
                pairs += len(works[i]) * len(works[j])
    return deviation / images, distance / pairs


def test_variances_are_equation_10_for_every_prefix():
    codes, artist_ids, _ = make_codes([1, 5, 2, 9], dims=6)
    within, between = prefix.variances(codes, artist_ids)
    expected = [equation_10(codes[:, :d], artist_ids) for d in range(1, 7)]
    np.testing.assert_allclose(np.transpose([within, between]), expected, rtol=1e-12)


def test_weighted_variances_are_of_copied_artists_without_pairs_of_copies():
    """Artists 0 once, 1 twice, 2 never, 3 three times, as in a bootstrap."""
    codes, artist_ids, _ = make_codes([2, 5, 4, 3], dims=3)
    weights = [1, 2, 0, 3]
    within = images = between = pairs = 0
    for i, w in enumerate(weights):
        works = codes[artist_ids == i]
        within = within + w * ((works - works.mean(axis=0)) ** 2).sum(axis=0)
        images += w * len(works)
        for j, v in enumerate(weights):
            if i != j:
                others = codes[artist_ids == j]
                squares = (works[:, None] - others[None]) ** 2
                between = between + w * v * squares.sum(axis=(0, 1))
                pairs += w * v * len(works) * len(others)
    expected = np.cumsum([within / images, between / pairs], axis=1)

    variances = prefix.Moments.of_codes(codes, artist_ids).variances([weights])

    np.testing.assert_allclose(np.concatenate(variances), expected, rtol=1e-12)


def test_variance_ratio_by_hand():
    """Artist 7 at 0 and 2, artist 3 at 5: within (1 + 1 + 0) / 3 = 2/3.

    Between, each pair counted both ways: 2 (25 + 9) / (2 * 2) = 17. The second
    dimension is constant and changes nothing.
    """
    ratio = prefix.variance_ratio([[0, 4], [5, 4], [2, 4]], [7, 3, 7])
    np.testing.assert_allclose(ratio, [2 / 51, 2 / 51], rtol=1e-14)
    assert ratio.dtype == np.float64


def test_variance_ratio_survives_a_large_common_offset():
    """An offset of 2^30 leaves 22 of 52 bits to codes made of quarters: all exact."""
    codes, artist_ids, _ = make_codes([4, 6], dims=3)
    codes = np.round(codes * 4) / 4
    np.testing.assert_allclose(
        prefix.variance_ratio(codes + 2.0**30, artist_ids),
        prefix.variance_ratio(codes, artist_ids),
        rtol=1e-6,
    )


def test_variance_ratio_of_equal_codes_is_not_a_number():
    """No variance: 0 / 0 until the second dimension separates the artists."""
    with np.errstate(all="raise"):
        ratio = prefix.variance_ratio([[1, 0], [1, 0], [1, 2]], [0, 0, 1])
    np.testing.assert_array_equal(ratio, [np.nan, 0])


@pytest.mark.parametrize(
    "artist_ids", [[4, 4, 4], [0, 1, 2]], ids=["one artist", "a picture by each"]
)
def test_variance_ratio_is_not_defined_without_pairs_to_compare(artist_ids):
    """Pictures by two artists, and two pictures by one: 0 would be the best ratio."""
    ratio = prefix.variance_ratio([[1, 0], [3, 1], [5, 5]], artist_ids)
    np.testing.assert_array_equal(ratio, [np.nan, np.nan])


def test_variances_need_two_artists():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        prefix.variances([[1.0], [2.0]], [4, 4])


def test_variance_ratio_does_not_change_its_input():
    codes, artist_ids, _ = make_codes([3, 3], dims=2)
    before = codes.copy()
    prefix.variance_ratio(codes, artist_ids)
    np.testing.assert_array_equal(codes, before)


@pytest.mark.parametrize(
    "codes, artist_ids, message",
    [
        ([[1.0], [2.0]], [0], r"\(2, 1\) and \(1,\)"),
        ([[1.0], [np.nan]], [0, 1], "finite"),
    ],
)
def test_variance_ratio_rejects(codes, artist_ids, message):
    with pytest.raises(ValueError, match=message):
        prefix.variance_ratio(codes, artist_ids)


@pytest.mark.parametrize("scores_per_chunk", [1, 20, 10**6])
def test_prefix_accuracy_is_that_of_the_nearest_style(monkeypatch, scores_per_chunk):
    """Chunks of one image, a few with a rest (23 by 4), or all."""
    monkeypatch.setattr(prefix, "SCORES_PER_CHUNK", scores_per_chunk)
    codes, artist_ids, styles = make_codes([3, 8, 1, 6, 5], dims=7)
    expected = []
    for d in range(1, 8):
        predicted = [
            min(range(5), key=lambda a: sum((code[:d] - styles[a][:d]) ** 2))
            for code in codes
        ]
        expected.append(np.mean(predicted == artist_ids))
    assert 0 < min(expected) < max(expected), "the case must distinguish prefixes"
    accuracy = prefix.prefix_accuracy(codes, artist_ids, styles)
    np.testing.assert_array_equal(accuracy, expected)


def test_prefix_accuracy_of_collapsed_styles_is_chance():
    """Ties go to the first artist: 1 of 4 images is correct, not all."""
    accuracy = prefix.prefix_accuracy(np.ones((4, 2)), [0, 1, 2, 3], np.zeros((4, 2)))
    np.testing.assert_array_equal(accuracy, [0.25, 0.25])


@pytest.mark.parametrize("scores_per_chunk", [1, 20, 10**6])
def test_largest_logits_cut_the_classifier(monkeypatch, scores_per_chunk):
    monkeypatch.setattr(prefix, "SCORES_PER_CHUNK", scores_per_chunk)
    features, artist_ids, styles = make_codes([3, 8, 1, 6, 5], dims=7)
    bias = np.array([0.3, -0.2, 0.8, 0, -0.5])
    expected = [
        np.mean(np.argmax(features[:, :d] @ styles.T[:d] + bias, 1) == artist_ids)
        for d in range(1, 8)
    ]
    predicted = prefix.largest_logits(features, styles.T, bias)
    accuracy = np.mean(predicted == artist_ids[:, None], axis=0)
    np.testing.assert_array_equal(accuracy, expected)


def test_largest_logits_use_the_bias():
    """Logits x + 0 and 0 + 1: artist 1 unless x > 1."""
    predicted = prefix.largest_logits([[0.5], [1.5], [0.5]], [[1.0, 0.0]], [0.0, 1.0])
    np.testing.assert_array_equal(predicted, [[1], [0], [1]])


def test_prefix_accuracy_rejects_ids_without_a_style():
    with pytest.raises(ValueError, match=r"0\.\.1, got 0\.\.2"):
        prefix.prefix_accuracy(np.ones((2, 3)), [0, 2], np.ones((2, 3)))


def test_prefix_accuracy_rejects_styles_of_other_length():
    with pytest.raises(ValueError, match=r"of 3 dimensions .* \(4, 2\)"):
        prefix.prefix_accuracy(np.ones((2, 3)), [0, 1], np.ones((2, 4)))


def test_recommended_dims_is_the_smallest_within_tolerance():
    """The full code has .98: by default .97 is enough and .9699 is not."""
    accuracy = [0.5, 0.9699, 0.97, 0.975, 0.98]
    assert prefix.recommended_dims(accuracy) == 3
    assert prefix.recommended_dims(accuracy, tolerance=0) == 5
    assert prefix.recommended_dims(accuracy, tolerance=0.5) == 1


def test_recommended_dims_allows_the_tolerance_in_spite_of_binary_fractions():
    assert 0.52 - 0.05 > 0.47
    assert prefix.recommended_dims([0.47, 0.52], tolerance=0.05) == 1


def test_recommended_dims_of_a_flat_curve_is_one():
    assert prefix.recommended_dims(np.full(8, 0.25)) == 1


def test_recommended_dims_by_error_allows_a_share_of_the_full_error():
    """At 8 dimensions the error is 200: 1 % more is 202, 5 % more 210."""
    dims, errors = [8, 1, 4, 2], [200.0, 400.0, 202.0, 209.0]
    assert prefix.recommended_dims_by_error(errors, dims) == 4
    assert prefix.recommended_dims_by_error(errors, dims, tolerance=0.05) == 2
    assert prefix.recommended_dims_by_error(errors, dims, tolerance=0) == 8


def test_recommended_dims_by_error_rejects_unequal_lengths():
    with pytest.raises(ValueError, match="got 1 errors for 2 dims"):
        prefix.recommended_dims_by_error([1.0], [1, 2])


@pytest.mark.parametrize(
    "dims, expected",
    [
        (1, [1]),
        (2, [1, 2]),
        (8, [1, 2, 4, 8]),
        (9, [1, 2, 4, 8, 9]),
        (12, [1, 2, 4, 8, 12]),
    ],
)
def test_curve_dims_doubles_and_ends_at_all(dims, expected):
    assert prefix.curve_dims(dims) == expected


def test_style_distances_are_means_over_own_and_other_presumed_styles():
    rng = np.random.default_rng(3)
    codes, styles = rng.normal(size=[7, 5]), rng.normal(size=[3, 5])
    scales = rng.uniform(0.5, 2, 5)
    artist_ids = rng.integers(0, 3, 7)
    same, different = prefix.style_distances(
        codes, artist_ids, styles, scales, [1, 3, 5]
    )
    for k, d in enumerate([1, 3, 5]):
        own, other = [], []
        for x, i in zip(codes, artist_ids, strict=True):
            for j, s in enumerate(styles):
                distance = scales[d - 1] * np.linalg.norm(x[:d] - s[:d])
                (own if i == j else other).append(distance)
        assert same[k] == pytest.approx(np.mean(own))
        assert different[k] == pytest.approx(np.mean(other))


def test_style_distances_do_not_depend_on_the_chunk(monkeypatch):
    rng = np.random.default_rng(3)
    arguments = (
        rng.normal(size=[7, 5]),
        rng.integers(0, 3, 7),
        rng.normal(size=[3, 5]),
        np.ones(5),
        [2, 5],
    )
    whole = prefix.style_distances(*arguments)
    monkeypatch.setattr(distances, "DISTANCES_PER_CHUNK", 6)
    np.testing.assert_allclose(prefix.style_distances(*arguments), whole)
