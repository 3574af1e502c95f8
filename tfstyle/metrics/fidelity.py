"""How similar two collections of pictures are, measured by features of a network.

All functions take float arrays [pictures, dims] of any network's features and work in
float64. The distance between finite samples of one distribution is not 0: compare with
two samples of real pictures of the same sizes.
"""

import numpy as np

from tfstyle.metrics.distances import squared_distances


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Compute the Frechet distance of Gaussians with the samples' moments.

    ||m_a - m_b||^2 + tr(C_a) + tr(C_b) - 2 tr((C_a^1/2 C_b C_a^1/2)^1/2), which is FID
    for Inception features (Heusel et al. 2017, arXiv 1706.08500). With centered
    features A, B of n_a, n_b rows the last trace is the sum of the singular values of
    A B' over sqrt((n_a - 1)(n_b - 1)). This needs no matrix root, and covariances may
    be singular because of few samples.

    Raises:
        ValueError: if there are fewer than two rows, shapes disagree or features are
            not finite.
    """
    a, b = _validate_features(features_a, features_b, 2)
    roots, traces = [], 0.0
    for features in (a, b):
        root = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
        traces += np.square(root).sum()
        # A square root of the covariance, R'R = C, of at most dims rows.
        wide = len(features) <= features.shape[1]
        roots.append(root if wide else np.linalg.qr(root)[1])
    cross = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    distance = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + traces - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(
    features_a: np.ndarray,
    features_b: np.ndarray,
    subsets: int = 50,
    subset_size: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Estimate the squared maximum mean discrepancy of the kernel (x.y / dims + 1)^3.

    This is KID for Inception features (Binkowski et al. 2018, arXiv 1801.01401). The
    estimate is unbiased: its expectation for independent draws of one distribution is 0
    at any sample size, so single values may be negative. Samples with equally many
    pictures of each artist are not independent draws; their values are negative where
    artists are far apart.

    Returns:
        Mean and standard deviation over random pairs of `subsets` subsets, which have
        `subset_size` rows or all of the smaller sample.

    Raises:
        ValueError: as `frechet_distance`.
    """
    a, b = _validate_features(features_a, features_b, 2)
    size = min(subset_size, len(a), len(b))
    rng = np.random.default_rng(seed)
    values = [
        _squared_discrepancy(
            a[rng.choice(len(a), size, replace=False)],
            b[rng.choice(len(b), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def precision_recall_density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5
) -> dict[str, float]:
    """Measure how good pictures are, and how much of the real ones they cover.

    The ball of a picture reaches its k-th nearest other picture of its kind. With m
    generated pictures:

        precision  share of generated pictures in the ball of any real picture
        recall     share of real pictures in the ball of any generated picture
        density    number of real pictures' balls that contain a generated picture,
                   mean divided by k; about 1 for pictures of one kind, may exceed 1
        coverage   share of real pictures whose ball contains a generated picture

    Precision and recall follow Kynkaanniemi et al. 2019 (arXiv 1904.06991), density and
    coverage Naeem et al. 2020 (arXiv 2002.09797).

    Raises:
        ValueError: as `frechet_distance`, or if there are not more than k rows.
    """
    real, fake = _validate_features(real, fake, k + 1)
    real_radii, fake_radii = _squared_radii(real, k), _squared_radii(fake, k)
    balls, covered, recalled = np.zeros(len(fake)), [], []
    for rows, distances in squared_distances(real, fake):
        inside = distances <= real_radii[rows, None]
        balls += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((distances <= fake_radii).any(axis=1))
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(np.concatenate(recalled).mean()),
        "density": float(balls.mean() / k),
        "coverage": float(np.concatenate(covered).mean()),
    }


def _squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the unbiased MMD^2 of two samples of one size, skipping self-pairs."""
    count, dims = a.shape

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        base = x @ y.T / dims + 1
        return base * base * base  # ten times as fast as NumPy's power

    tables = (kernel(a, a), kernel(b, b))
    within = sum(table.sum() - np.trace(table) for table in tables)
    return float(within / (count * (count - 1)) - 2 * kernel(a, b).mean())


def _squared_radii(features: np.ndarray, k: int) -> np.ndarray:
    """Compute the squared distance of each row to its k-th nearest other row."""
    radii = []
    for rows, distances in squared_distances(features, features):
        # Rounding may leave the distance of a row to itself above 0.
        np.fill_diagonal(distances[:, rows], 0)
        radii.append(np.partition(distances, k, axis=1)[:, k])
    return np.concatenate(radii)


def _validate_features(
    a: np.ndarray, b: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features must both be [n, dims], got {a.shape} and {b.shape}"
        )
    if min(len(a), len(b)) < rows:
        raise ValueError(f"needs {rows} rows of each, got {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features must be finite")
    return a, b
