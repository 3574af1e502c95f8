"""Search among codes: works by the same artist, and artists known by few works.

All functions take NumPy arrays and work in float64. Ties go to the work, or the artist,
of the smaller index, so that collapsed codes score like chance.
"""

from collections.abc import Sequence

import numpy as np

from tfstyle.metrics.distances import squared_distances, validate_codes


def measure_retrieval(
    codes: np.ndarray, artist_ids: np.ndarray, recall_at: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Measure how well each image retrieves its artist's others (leave-one-out).

    recall@k is the share of queries with a work by their artist among the k nearest.
    MAP@R follows Musgrave et al. 2020, "A Metric Learning Reality Check" (arXiv
    2003.08505): with R other works by the query's artist, the sum of the precision
    among the first i results over those i <= R whose result is correct, divided by R.

    Images without another work by their artist are searched but are no queries.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.
        recall_at: the numbers k, at least 1 each.

    Returns:
        {"recall@1": .., one for each k, "map@r": ..}, means over the queries.

    Raises:
        ValueError: if no artist has two works, or shapes disagree.
    """
    codes, artist_ids = validate_codes(codes, artist_ids)
    _, labels, counts = np.unique(artist_ids, return_inverse=True, return_counts=True)
    others = counts[labels] - 1  # R of each image
    queries = np.flatnonzero(others)
    if not len(queries):
        raise ValueError(
            "needs an artist with two works, got"
            f" {len(artist_ids)} works by different artists"
        )
    hits = np.zeros(len(recall_at))
    precision = 0.0
    for part, distances in squared_distances(codes[queries], codes):
        rows = queries[part]
        distances[np.arange(len(rows)), rows] = np.inf
        depth = min(max(*recall_at, int(others[rows].max())), len(codes) - 1)
        correct = labels[_nearest_columns(distances, depth)] == labels[rows, None]
        hits += [correct[:, :k].any(axis=1).sum() for k in recall_at]
        ranks = np.arange(1, depth + 1)
        relevant = others[rows, None]
        precisions = correct * (correct.cumsum(axis=1) / ranks) * (ranks <= relevant)
        precision += (precisions.sum(axis=1) / relevant[:, 0]).sum()
    names = [*(f"recall@{k}" for k in recall_at), "map@r"]
    means = np.array([*hits, precision]) / len(queries)
    return dict(zip(names, means.tolist(), strict=True))


def find_queries(artist_ids: np.ndarray) -> np.ndarray:
    """Find the images whose artist has another work, int64 [queries]."""
    _, labels, counts = np.unique(artist_ids, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[labels] > 1)


def enrolled_accuracy(
    codes: np.ndarray, artist_ids: np.ndarray, k: int, seed: int, repeats: int
) -> tuple[float, float]:
    """Classify images of artists who are known by k random images each.

    The mean code of an artist's k images is the artist's style; each remaining image is
    assigned to the nearest style. Artists without a remaining image are skipped, see
    `enrollable_artists`.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.
        k: images per artist to enroll, at least 1.
        seed: of the random choice.
        repeats: draws of the k images, at least 1.

    Returns:
        Mean and standard deviation, over the draws, of the share classified correctly.

    Raises:
        ValueError: if there are fewer than two such artists, or shapes disagree.
    """
    codes, artist_ids = validate_codes(codes, artist_ids)
    if k < 1 or repeats < 1:
        raise ValueError(f"k and repeats must be at least 1, got {k} and {repeats}")
    artists = enrollable_artists(artist_ids, k)
    if len(artists) < 2:
        raise ValueError(
            f"needs two artists with more than {k} images, got {len(artists)}"
        )
    part = np.isin(artist_ids, artists)
    codes, labels = codes[part], np.searchsorted(artists, artist_ids[part])
    starts = np.searchsorted(np.sort(labels), np.arange(len(artists)))
    rng = np.random.default_rng(seed)
    accuracies = []
    for _ in range(repeats):
        # A random order within each artist, whose first k images are enrolled.
        order = np.lexsort((rng.random(len(labels)), labels))
        place = np.arange(len(labels)) - starts[labels[order]]
        known, unknown = order[place < k], order[place >= k]
        styles = codes[known].reshape(len(artists), k, -1).mean(axis=1)
        correct = 0
        for rows, distances in squared_distances(codes[unknown], styles):
            nearest = distances.argmin(axis=1)
            correct += np.count_nonzero(nearest == labels[unknown[rows]])
        accuracies.append(correct / len(unknown))
    return float(np.mean(accuracies)), float(np.std(accuracies))


def enrollable_artists(artist_ids: np.ndarray, k: int) -> np.ndarray:
    """Return the sorted labels with k images to enroll and one more to classify."""
    labels, counts = np.unique(artist_ids, return_counts=True)
    return labels[counts > k]


def find_nearest(
    codes: np.ndarray, others: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of `others` to each of `codes`.

    Args:
        codes: float [queries, dims].
        others: float [N, dims].
        count: how many to find, 1 to N.

    Returns:
        int64 [queries, count], indices in `others`, and float64 [queries, count],
        their Euclidean distances in ascending order.
    """
    codes, others = np.asarray(codes, np.float64), np.asarray(others, np.float64)
    indices = np.empty((len(codes), count), np.int64)
    distances = np.empty((len(codes), count))
    for rows, squares in squared_distances(codes, others):
        nearest = _nearest_columns(squares, count)
        # By differences: the expanded square loses the digits of nearly equal codes,
        # and a work must be at distance 0 from itself.
        exact = np.linalg.norm(others[nearest] - codes[rows, None], axis=-1)
        order = exact.argsort(axis=1, kind="stable")
        indices[rows] = np.take_along_axis(nearest, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
    return indices, distances


def _nearest_columns(distances: np.ndarray, count: int) -> np.ndarray:
    """Return int64 [rows, count]: columns of the smallest values in ascending order.

    Sorting all 42,000 distances of as many queries takes minutes; only those up to the
    last returned one are sorted here. A partition alone would choose arbitrarily among
    equal distances.
    """
    limits = np.partition(distances, count - 1, axis=1)[:, count - 1]
    columns = np.empty((len(distances), count), np.int64)
    for row, limit in enumerate(limits):
        candidates = np.flatnonzero(distances[row] <= limit)
        order = np.argsort(distances[row, candidates], kind="stable")
        columns[row] = candidates[order[:count]]
    return columns
