"""Distances between collections against Gaussians, double sums and points on a line."""

import numpy as np
import pytest

from tfstyle.metrics import distances, fidelity


def standardized(count, dims, seed=0) -> np.ndarray:
    """Draw a sample with mean 0 and covariance I, exactly."""
    sample = np.random.default_rng(seed).normal(size=[count, dims])
    sample -= sample.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(np.cov(sample.T)))
    return sample @ root


def matrix_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ np.diag(np.sqrt(np.maximum(values, 0))) @ vectors.T


def test_the_frechet_distance_of_diagonal_gaussians_has_a_closed_form():
    """|m_a - m_b|^2 + sum (s_a - s_b)^2, since diagonal covariances commute."""
    means = np.array([[1.0, -2, 0], [3, 1, 0.5]])
    deviations = np.array([[1.0, 2, 0.5], [4, 0.1, 0.5]])
    a = standardized(40, 3, 1) * deviations[0] + means[0]
    b = standardized(70, 3, 2) * deviations[1] + means[1]
    expected = np.square(means[0] - means[1]).sum()
    expected += np.square(deviations[0] - deviations[1]).sum()

    assert fidelity.frechet_distance(a, b) == pytest.approx(expected)


def test_the_frechet_distance_is_the_formula_with_matrix_roots():
    rng = np.random.default_rng(3)
    a = rng.normal(size=[60, 5]) @ rng.normal(size=[5, 5])
    b = rng.normal(size=[45, 5]) @ rng.normal(size=[5, 5]) + 1
    covariances = np.cov(a.T), np.cov(b.T)
    root = matrix_root(covariances[0])
    cross = np.trace(matrix_root(root @ covariances[1] @ root))
    expected = np.square(a.mean(0) - b.mean(0)).sum()
    expected += np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * cross

    assert fidelity.frechet_distance(a, b) == pytest.approx(expected)
    assert fidelity.frechet_distance(b, a) == pytest.approx(expected)


def test_the_frechet_distance_of_fewer_samples_than_dims():
    """Equal samples have distance 0, shifted ones the shift's square.

    If the samples vary in different dimensions, the product of their covariances is 0
    and the distance is the sum of both traces.
    """
    rng = np.random.default_rng(4)
    few = rng.normal(size=[4, 200])
    assert fidelity.frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    shifted = fidelity.frechet_distance(few, few + 0.5)
    assert shifted == pytest.approx(200 * 0.25)

    apart = np.zeros([2, 6, 8])
    apart[0, :, :4], apart[1, :, 4:] = standardized(6, 4, 5), standardized(6, 4, 6)
    assert fidelity.frechet_distance(*apart) == pytest.approx(8)


def double_sums(a, b) -> float:
    def kernel(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    n = len(a)
    within = [
        sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j)
        for x in (a, b)
    ]
    cross = sum(kernel(x, y) for x in a for y in b)
    return sum(within) / (n * (n - 1)) - 2 * cross / n**2


def test_the_kernel_distance_equals_double_sums_over_whole_samples():
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=[9, 4]), rng.normal(0.5, 2, size=[9, 4])

    mean, deviation = fidelity.kernel_distance(a, b, subsets=3, subset_size=50)

    assert mean == pytest.approx(double_sums(a, b))
    assert deviation == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_has_mean_and_deviation_over_subsets():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=[30, 4]), rng.normal(1, 1, size=[20, 4])
    draws = np.random.default_rng(9)
    values = []
    for _ in range(5):
        rows_a = draws.choice(30, 6, replace=False)
        rows_b = draws.choice(20, 6, replace=False)
        values.append(double_sums(a[rows_a], b[rows_b]))

    measured = fidelity.kernel_distance(a, b, subsets=5, subset_size=6, seed=9)

    assert measured == pytest.approx((np.mean(values), np.std(values)))


def test_the_kernel_distance_of_few_samples_is_unbiased():
    """The Frechet distance is not: few samples make it large."""
    rng = np.random.default_rng(10)
    kernel, frechet = [], []
    for _ in range(400):
        a, b = rng.normal(size=[2, 8, 5])
        kernel.append(fidelity.kernel_distance(a, b, subsets=1)[0])
        frechet.append(fidelity.frechet_distance(a, b))

    assert abs(np.mean(kernel)) < 4 * np.std(kernel) / np.sqrt(400)
    assert np.mean(frechet) > 1


def test_precision_recall_density_and_coverage_of_points_on_a_line():
    """k = 1; real 0, 1, 3, 10 have radii 1, 1, 2, 7; generated are .5, 2, 30.

    Balls [-1, 1], [0, 2], [1, 5], [3, 17]. .5 lies in two of them, 2 in two (the edge
    included), 30 in none: precision 2/3, density 4/3. Balls with a generated point: the
    first three, coverage 3/4. Generated radii 1.5, 1.5, 28: balls [-1, 2], [.5, 3.5],
    [2, 58] hold 0, 1, 3, 10: recall 1.
    """
    real, fake = np.array([[0.0], [1], [3], [10]]), np.array([[0.5], [2], [30]])

    measured = fidelity.precision_recall_density_coverage(real, fake, k=1)

    assert measured == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "density": 4 / 3, "coverage": 3 / 4}
    )


def by_loops(real, fake, k):
    def radius(points, i):
        return sorted(np.linalg.norm(points[i] - point) for point in points)[k]

    real_radii = [radius(real, i) for i in range(len(real))]
    fake_radii = [radius(fake, i) for i in range(len(fake))]
    inside = np.array(
        [
            [np.linalg.norm(x - y) <= r for y in fake]
            for x, r in zip(real, real_radii, strict=True)
        ]
    )
    recalled = [
        any(np.linalg.norm(x - y) <= r for y, r in zip(fake, fake_radii, strict=True))
        for x in real
    ]
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": np.mean(recalled),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(axis=1).mean(),
    }


@pytest.mark.parametrize("chunk", [2**22, 40])
def test_they_equal_loops_whatever_the_chunks(chunk, monkeypatch):
    monkeypatch.setattr(distances, "DISTANCES_PER_CHUNK", chunk)
    rng = np.random.default_rng(11)
    real, fake = rng.normal(size=[30, 3]), rng.normal(0.7, 0.8, size=[22, 3])

    measured = fidelity.precision_recall_density_coverage(real, fake, k=3)

    assert measured == pytest.approx(by_loops(real, fake, 3))
    assert all(0 < value < 1.5 for value in measured.values())


def test_collapsed_pictures_are_precise_and_cover_little():
    rng = np.random.default_rng(12)
    real = rng.normal(size=[100, 2])
    fake = np.tile(real[:1], [50, 1])

    measured = fidelity.precision_recall_density_coverage(real, fake)

    assert measured["precision"] == 1
    assert measured["recall"] == 0.01  # only the copied picture
    assert measured["coverage"] < 0.2


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.zeros([3, 2]), np.zeros([3, 4]), r"\(3, 2\) and \(3, 4\)"),
        (np.zeros([3]), np.zeros([3]), r"\[n, dims\]"),
        (np.zeros([1, 2]), np.zeros([9, 2]), "rows of each, got 1 and 9"),
        (np.full([9, 2], np.nan), np.zeros([9, 2]), "finite"),
    ],
)
def test_features_that_cannot_be_compared_are_rejected(a, b, message):
    for function in (
        fidelity.frechet_distance,
        fidelity.kernel_distance,
        fidelity.precision_recall_density_coverage,
    ):
        with pytest.raises(ValueError, match=message):
            function(a, b)
