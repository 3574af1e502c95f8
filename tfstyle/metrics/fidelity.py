"""How like one collection of pictures another is, by their features (NumPy).

All functions take float arrays [pictures, dims] of any network's features and work in
float64. A distance between finite samples of one distribution is not 0: compare with
that of two samples of real pictures, of the same sizes.
"""

from collections.abc import Iterator

import numpy as np

# Distances held at a time, in float64 32 MiB.
_DISTANCES_PER_CHUNK = 2**22


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Frechet distance of the Gaussians with both samples' means and covariances.

    ||m_a - m_b||^2 + tr(C_a) + tr(C_b) - 2 tr((C_a^1/2 C_b C_a^1/2)^1/2), which with
    Inception's features is FID (Heusel et al. 2017, arXiv 1706.08500). With centred
    features A, B of n_a, n_b rows the last trace is the sum of the singular values of
    A B' over sqrt((n_a - 1)(n_b - 1)): the roots of the symmetric product's
    eigenvalues, with neither a matrix root nor a covariance that few samples leave
    singular.

    Args:
        features_a: float [n_a, dims].
        features_b: float [n_b, dims].

    Raises:
        ValueError: fewer than two rows, shapes that disagree, features not finite.
    """
    a, b = _checked(features_a, features_b, 2)
    centred, roots, traces = [], [], 0.0
    for one in (a, b):
        rest = (one - one.mean(axis=0)) / np.sqrt(len(one) - 1)
        traces += np.square(rest).sum()
        centred.append(rest)
        # A square root of the covariance, R'R = C, of at most dims rows.
        roots.append(rest if len(one) <= one.shape[1] else np.linalg.qr(rest)[1])
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
    """Unbiased squared maximum mean discrepancy by the kernel (x.y / dims + 1)^3.

    With Inception's features this is KID (Binkowski et al. 2018, arXiv 1801.01401). Its
    mean over independent draws of one distribution is 0, whatever their number, so that
    a single value may be below 0. Samples with equally many pictures of each artist are
    not independent draws, and lie below 0 where artists are far apart.

    Args:
        features_a: float [n_a, dims].
        features_b: float [n_b, dims].
        subsets: random pairs of subsets, over which is averaged.
        subset_size: of each; at most the smaller sample is taken.
        seed: of the subsets.

    Returns:
        Mean, and deviation over the subsets.

    Raises:
        ValueError: fewer than two rows, shapes that disagree, features not finite.
    """
    a, b = _checked(features_a, features_b, 2)
    size = min(subset_size, len(a), len(b))
    random = np.random.default_rng(seed)
    values = [
        _squared_discrepancy(
            a[random.choice(len(a), size, replace=False)],
            b[random.choice(len(b), size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def precision_recall_density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5
) -> dict[str, float]:
    """Tell apart how good pictures are and how much of the real ones they cover.

    About each picture lies a ball that reaches its k-th nearest other picture of its
    kind. With m generated pictures:

        precision  share of generated pictures in any real picture's ball
        recall     share of real pictures in any generated picture's ball
        density    balls of real pictures that a generated one lies in, mean over k;
                   around 1 for pictures of the same kind, and may exceed it
        coverage   share of real pictures whose ball holds a generated one

    Precision and recall are those of Kynkaanniemi et al. 2019 (arXiv 1904.06991),
    density and coverage those of Naeem et al. 2020 (arXiv 2002.09797).

    Args:
        real: float [n, dims].
        fake: float [m, dims].
        k: neighbours, itself not counted.

    Raises:
        ValueError: not more than k rows, shapes that disagree, features not finite.
    """
    real, fake = _checked(real, fake, k + 1)
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    in_real, covered, recalled = np.zeros(len(fake)), [], []
    for rows, distances in _squared_distances(real, fake):
        inside = distances <= real_radii[rows, None]
        in_real += inside.sum(axis=0)
        covered.append(inside.any(axis=1))
        recalled.append((distances <= fake_radii).any(axis=1))
    return {
        "precision": float((in_real > 0).mean()),
        "recall": float(np.concatenate(recalled).mean()),
        "density": float(in_real.mean() / k),
        "coverage": float(np.concatenate(covered).mean()),
    }


def _squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased MMD^2 of two samples of one size: without a picture against itself."""
    count, dims = a.shape

    def kernel(x, y):
        base = x @ y.T / dims + 1
        return base * base * base  # NumPy's power takes ten times as long

    own = sum(one.sum() - np.trace(one) for one in (kernel(a, a), kernel(b, b)))
    return float(own / (count * (count - 1)) - 2 * kernel(a, b).mean())


def _radii(features: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row to its k-th nearest other row."""
    radii = []
    for rows, distances in _squared_distances(features, features):
        # Exactly 0 even where rounding says otherwise.
        distances[np.arange(len(distances)), rows] = 0
        radii.append(np.partition(distances, k, axis=1)[:, k])
    return np.concatenate(radii)


def _squared_distances(
    a: np.ndarray, b: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give [rows, n_b] squared distances with their rows' indices in a, in chunks."""
    chunk = max(1, _DISTANCES_PER_CHUNK // len(b))
    squares = np.square(b).sum(axis=1)
    for start in range(0, len(a), chunk):
        part = a[start : start + chunk]
        distances = np.square(part).sum(axis=1)[:, None] - 2 * part @ b.T + squares
        yield np.arange(start, start + len(part)), np.maximum(distances, 0)


def _checked(a, b, rows: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be [n, dims] both, got {a.shape}, {b.shape}")
    if min(len(a), len(b)) < rows:
        raise ValueError(f"needs {rows} rows of each, got {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features must be finite")
    return a, b
