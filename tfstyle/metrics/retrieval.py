"""Search among codes: works by the same artist, and artists known by few works.

All functions take plain arrays and work in float64. Of equal distances the work, or the
artist, of the smaller index is taken as the nearer, so that collapsed codes score like
chance.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from tfstyle.metrics.prefix import checked_codes

# Squared distances held at a time, in float64 32 MiB.
_DISTANCES_PER_CHUNK = 2**22


def retrieval(
    codes: np.ndarray, artist_ids: np.ndarray, recall_at: Sequence[int] = (1, 5, 10)
) -> dict[str, float]:
    """Search for every image's artist among all other images (leave-one-out).

    recall@k is the share of queries with a work by their artist among the k nearest.
    MAP@R is that of Musgrave et al., "A Metric Learning Reality Check":
    with R other works by the query's artist, the precision among the first i results,
    summed over those i up to R whose result is right, over R.

    Images without another work by their artist are no queries, but are searched.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.
        recall_at: the numbers k, at least 1 each.

    Returns:
        {"recall@1": .., one for each k, "map@r": ..}, means over the queries.

    Raises:
        ValueError: no artist has two works, or shapes disagree.
    """
    codes, artist_ids = checked_codes(codes, artist_ids)
    queries = retrieval_queries(artist_ids)
    if not len(queries):
        raise ValueError(
            f"needs an artist with two works, got {len(artist_ids)} works by as many"
        )
    _, labels, counts = np.unique(artist_ids, return_inverse=True, return_counts=True)
    others = counts[labels] - 1

    hits = np.zeros(len(recall_at))
    precision = 0.0
    for rows, distances in _squared_distances(codes[queries], codes):
        asking = queries[rows]
        distances[np.arange(len(asking)), asking] = np.inf
        depth = min(max(*recall_at, int(others[asking].max())), len(codes) - 1)
        right = labels[_nearest(distances, depth)] == labels[asking, None]
        hits += [right[:, :k].any(axis=1).sum() for k in recall_at]
        ranks = np.arange(1, depth + 1)
        wanted = others[asking, None]
        precisions = right * (right.cumsum(axis=1) / ranks) * (ranks <= wanted)
        precision += (precisions.sum(axis=1) / wanted[:, 0]).sum()
    measured = {
        f"recall@{k}": float(hit / len(queries))
        for k, hit in zip(recall_at, hits, strict=True)
    }
    return {**measured, "map@r": float(precision / len(queries))}


def retrieval_queries(artist_ids: np.ndarray) -> np.ndarray:
    """Return int64 [queries]: the images whose artist has another work."""
    _, labels, counts = np.unique(artist_ids, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[labels] > 1)


def enrolled_accuracy(
    codes: np.ndarray, artist_ids: np.ndarray, k: int, seed: int, repeats: int
) -> tuple[float, float]:
    """Classify images of artists who are known by k random images each.

    An artist's style is the mean code of the k images; the remaining images are
    classified by the nearest. Artists without a remaining image (`enrollable`) take
    no part.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.
        k: images per artist to enrol, at least 1.
        seed: decides which.
        repeats: draws of the k images, at least 1.

    Returns:
        Mean and standard deviation, over the draws, of the share classified correctly.

    Raises:
        ValueError: fewer than two artists take part, or shapes disagree.
    """
    codes, artist_ids = checked_codes(codes, artist_ids)
    if k < 1 or repeats < 1:
        raise ValueError(f"k and repeats must be at least 1, got {k} and {repeats}")
    artists = enrollable(artist_ids, k)
    if len(artists) < 2:
        raise ValueError(
            f"needs two artists with more than {k} images, got {len(artists)}"
        )
    part = np.isin(artist_ids, artists)
    codes, labels = codes[part], np.searchsorted(artists, artist_ids[part])
    firsts = np.searchsorted(np.sort(labels), np.arange(len(artists)))
    random = np.random.default_rng(seed)
    accuracies = []
    for _ in range(repeats):
        # A random order within each artist; its first k are enrolled.
        order = np.lexsort((random.random(len(labels)), labels))
        place = np.arange(len(labels)) - firsts[labels[order]]
        known, unknown = order[place < k], order[place >= k]
        # Sorted by artist, k of each.
        means = codes[known].reshape(len(artists), k, -1).mean(axis=1)
        right = 0
        for rows, distances in _squared_distances(codes[unknown], means):
            right += np.count_nonzero(distances.argmin(axis=1) == labels[unknown[rows]])
        accuracies.append(right / len(unknown))
    return float(np.mean(accuracies)), float(np.std(accuracies))


def enrollable(artist_ids: np.ndarray, k: int) -> np.ndarray:
    """Return the labels, in order, with k images to enrol and one more to classify."""
    labels, counts = np.unique(artist_ids, return_counts=True)
    return labels[counts > k]


def nearest(
    codes: np.ndarray, others: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of `others` to each of `codes`.

    Args:
        codes: float [queries, dims].
        others: float [N, dims].
        count: how many to find, 1 to N.

    Returns:
        int64 [queries, count], indices in `others`, and float64 [queries, count],
        their Euclidean distances, rising.
    """
    codes, others = np.asarray(codes, np.float64), np.asarray(others, np.float64)
    found = np.empty((len(codes), count), np.int64)
    distances = np.empty((len(codes), count))
    for rows, squares in _squared_distances(codes, others):
        near = _nearest(squares, count)
        # Again, by differences: of near-equal codes the expanded square has lost its
        # digits, and a work must be at distance 0 from itself.
        exact = np.linalg.norm(others[near] - codes[rows, None], axis=-1)
        order = exact.argsort(axis=1, kind="stable")
        found[rows] = np.take_along_axis(near, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
    return found, distances


def _squared_distances(
    rows: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (slice of rows, float64 [chunk, columns]) of squared distances.

    They are |x|^2 - 2xy + |y|^2, one matrix product: a tensor of differences is dims
    times as large. Centred first, because a common offset costs digits.
    """
    center = columns.mean(axis=0)
    rows, columns = rows - center, columns - center
    squares = np.square(columns).sum(axis=1)
    chunk = max(1, _DISTANCES_PER_CHUNK // len(columns))
    for first in range(0, len(rows), chunk):
        part = slice(first, first + chunk)
        own = np.square(rows[part]).sum(axis=1, keepdims=True)
        yield part, own - 2 * rows[part] @ columns.T + squares


def _nearest(distances: np.ndarray, count: int) -> np.ndarray:
    """Return int64 [rows, count]: columns of the smallest values, in rising order.

    Sorting all 42,000 distances of as many queries takes minutes; here only those up
    to the last one wanted are sorted. A partition alone would leave to chance which of
    equal distances are in.
    """
    limits = np.partition(distances, count - 1, axis=1)[:, count - 1]
    indices = np.empty((len(distances), count), np.int64)
    for row, limit in enumerate(limits):
        near = np.flatnonzero(distances[row] <= limit)
        order = np.argsort(distances[row, near], kind="stable")
        indices[row] = near[order[:count]]
    return indices
