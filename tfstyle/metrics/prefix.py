"""Measure codes at every prefix length: the two graphs of figure 1 and pruning.

All functions take plain arrays and work in float64. Index d - 1 of a result speaks
of the first d dimensions alone.
"""

from collections.abc import Callable, Sequence

import numpy as np

# Scores held at a time, in float64 1 MiB: a running table of this size stays in the
# processor's cache while all dimensions pass over it.
_SCORES_PER_CHUNK = 2**17
_DISTANCE_CHUNK = 1024  # images against all artists at a time

# Accuracies are fractions of a count, so their differences round in binary; this is
# far below one image in a billion and only keeps .52 - .05 from missing .47.
_ROUNDING = 1e-9


def variance_ratio(codes: np.ndarray, artist_ids: np.ndarray) -> np.ndarray:
    """Compute equation 10's ratio by every prefix of the codes: smaller is better.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.

    Returns:
        float64 [dims]; NaN where the first d dimensions are the same in all images.

    Raises:
        ValueError: fewer than two artists, shapes that disagree, codes not finite.
    """
    within, between = variances(codes, artist_ids)
    with np.errstate(invalid="ignore"):  # 0 / 0 of dead dimensions is NaN, as said
        return within / between


def variances(
    codes: np.ndarray, artist_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute both quantities of equation 10 by every prefix, in O(images x dims).

    With n_i images of artist i, M in all, W_i the squared deviations from the
    artist's mean m_i summed over the artist's images, and m the mean of all:

        within  = sum_i W_i / M
        between = 2 sum_i ((M - n_i) W_i + M n_i (m_i - m)^2) / (M^2 - sum_i n_i^2)

    The latter is the sum over all pairs less that over each artist's own pairs,
    2 M (W + B) - sum_i 2 n_i W_i, regrouped so that nothing is subtracted.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.

    Returns:
        within: float64 [dims], mean squared distance to the artist's mean.
        between: float64 [dims], mean squared distance of images of two artists.

    Raises:
        ValueError: fewer than two artists, shapes that disagree, codes not finite.
    """
    codes, artist_ids = checked_codes(codes, artist_ids)
    _, artists, counts = np.unique(artist_ids, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise ValueError(
            f"equation 10 compares artists: needs at least 2, got {len(counts)}"
        )
    total = len(codes)
    n = counts[:, None].astype(np.float64)
    codes = codes - codes.mean(axis=0)  # a common offset would cost digits below

    # In order of artists each artist is one run of rows, which reduceat sums.
    order = np.argsort(artists, kind="stable")
    codes, artists = codes[order], artists[order]
    starts = np.cumsum(counts) - counts
    means = np.add.reduceat(codes, starts, axis=0) / n
    scatter = np.add.reduceat((codes - means[artists]) ** 2, starts, axis=0)

    within = scatter.sum(axis=0) / total
    between = 2 * ((total - n) * scatter + total * n * means**2).sum(axis=0)
    between /= float(total) ** 2 - (n**2).sum()
    return np.cumsum(within), np.cumsum(between)


def prefix_accuracy(
    codes: np.ndarray, artist_ids: np.ndarray, presumed_styles: np.ndarray
) -> np.ndarray:
    """Classify each image as the artist of the nearest presumed style, by prefix.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], rows of `presumed_styles`.
        presumed_styles: float [artists, dims].

    Returns:
        float64 [dims], share of images given to their own artist; of equally near
        artists the first is taken.

    Raises:
        ValueError: shapes that disagree, ids out of range, codes not finite.
    """

    def closeness(code: np.ndarray, style: np.ndarray, out: np.ndarray) -> None:
        np.subtract(code, style, out=out)
        np.multiply(out, out, out=out)
        np.negative(out, out=out)

    columns = np.asarray(presumed_styles, np.float64).T
    return _running_accuracy(codes, artist_ids, columns, 0.0, closeness)


def prefix_logit_accuracy(
    features: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    artist_ids: np.ndarray,
) -> np.ndarray:
    """Classify each image by a linear classifier cut to its first d features.

    Args:
        features: float [images, dims].
        weights: float [dims, artists].
        bias: float [artists].
        artist_ids: int [images], columns of `weights`.

    Returns:
        float64 [dims], share of images whose own artist has the largest logit; of
        equally large ones the first is taken.

    Raises:
        ValueError: shapes that disagree, ids out of range, features not finite.
    """
    return _running_accuracy(features, artist_ids, weights, bias, np.multiply)


def style_distances(
    codes: np.ndarray,
    artist_ids: np.ndarray,
    presumed_styles: np.ndarray,
    prefix_scales: np.ndarray,
    dims: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Average scaled distances to the own and to other presumed styles by prefix.

    Args:
        codes: [N, D].
        artist_ids: int [N].
        presumed_styles: [A, D].
        prefix_scales: [D], h_d.
        dims: prefix lengths to compute.

    Returns:
        (same, different), float64 [len(dims)] each: means of h_d ||x[d] - s[d]||, of
        which equation 2 pulls at the first and pushes the second.
    """
    images = np.arange(len(codes))
    same, different = np.zeros(len(dims)), np.zeros(len(dims))
    for k, d in enumerate(dims):
        for start in range(0, len(codes), _DISTANCE_CHUNK):
            here = slice(start, start + _DISTANCE_CHUNK)
            x, s = codes[here, :d].astype(np.float64), presumed_styles[:, :d]
            squares = (x * x).sum(1)[:, None] + (s * s).sum(1) - 2 * x @ s.T
            distances = prefix_scales[d - 1] * np.sqrt(np.maximum(squares, 0))
            own = distances[images[: len(x)], artist_ids[here]]
            same[k] += own.sum()
            different[k] += distances.sum() - own.sum()
    others = max(1, len(codes) * (len(presumed_styles) - 1))
    return same / len(codes), different / others


def recommended_dims(accuracy: np.ndarray, tolerance: float = 0.01) -> int:
    """Find the smallest prefix nearly as accurate as the full code (section 3).

    Args:
        accuracy: float [dims], of every prefix.
        tolerance: accuracy that may be lost, absolute: .01 is 1 in 100 images.

    Returns:
        The number of dimensions to keep, 1 to dims.
    """
    accuracy = np.asarray(accuracy)
    return int(np.argmax(accuracy >= accuracy[-1] - tolerance - _ROUNDING)) + 1


def recommended_dims_by_error(
    errors: Sequence[float], dims: Sequence[int], tolerance: float = 0.01
) -> int:
    """Find the smallest prefix that reconstructs nearly as well as the longest.

    Args:
        errors: reconstruction error of each of `dims`.
        dims: the prefix lengths tried, in any order.
        tolerance: error that may be added, as a share of the longest prefix's.

    Returns:
        The number of dimensions to keep, one of `dims`.

    Raises:
        ValueError: as many errors as dims are needed, at least one.
    """
    if len(errors) != len(dims) or not len(dims):
        raise ValueError(
            f"needs one error for each of dims, got {len(errors)} errors for"
            f" {len(dims)} dims"
        )
    by_dims = sorted(zip(dims, errors, strict=True))
    allowed = by_dims[-1][1] * (1 + tolerance)
    return int(next((d for d, error in by_dims if error <= allowed), by_dims[-1][0]))


def curve_dims(dims: int) -> list[int]:
    """List the prefix lengths 1, 2, 4, .. that a curve samples, `dims` last."""
    return [2**power for power in range((dims - 1).bit_length())] + [dims]


def _running_accuracy(
    rows: np.ndarray,
    artist_ids: np.ndarray,
    columns: np.ndarray,
    start: np.ndarray | float,
    add_dimension: Callable[..., object],
) -> np.ndarray:
    """Share of rows whose own artist scores highest, after each dimension.

    One table of scores per chunk of images is updated dimension by dimension. The
    alternative, a cumulative sum over a [chunk, artists, dims] tensor, leaves the
    cache and was 15 times slower: at 42,000 images, 2,513 artists and 512 dimensions
    this takes 45 seconds on one core.

    Args:
        rows: float [images, dims].
        artist_ids: int [images].
        columns: float [dims, artists].
        start: float [artists] or a scalar, scores before the first dimension.
        add_dimension: called as (row values [chunk, 1], column values [artists],
            out=[chunk, artists]), writes what one dimension adds to the scores.
    """
    rows, artist_ids = checked_codes(rows, artist_ids)
    columns = np.ascontiguousarray(columns, np.float64)
    dims = rows.shape[1]
    if columns.ndim != 2 or len(columns) != dims or not columns.size:
        raise ValueError(
            f"codes of {dims} dimensions need artists of as many, got"
            f" [dims, artists] = {columns.shape}"
        )
    artists = columns.shape[1]
    if artist_ids.min() < 0 or artist_ids.max() >= artists:
        raise ValueError(
            f"artist ids must be in 0..{artists - 1}, got {artist_ids.min()}.."
            f"{artist_ids.max()}"
        )

    hits = np.zeros(dims, np.int64)
    chunk = max(1, _SCORES_PER_CHUNK // artists)
    for first in range(0, len(rows), chunk):
        part = rows[first : first + chunk]
        own = artist_ids[first : first + chunk]
        scores = np.zeros((len(part), artists)) + start
        change = np.empty_like(scores)
        for d in range(dims):
            add_dimension(part[:, d, None], columns[d], out=change)
            scores += change
            hits[d] += np.count_nonzero(scores.argmax(axis=1) == own)
    return hits / len(rows)


def checked_codes(
    codes: np.ndarray, artist_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes as float64 [N, D] and ids [N]; ValueError if they are not so."""
    codes, artist_ids = np.asarray(codes, np.float64), np.asarray(artist_ids)
    if codes.ndim != 2 or not codes.size or artist_ids.shape != codes.shape[:1]:
        raise ValueError(
            "needs codes [images, dims] and as many artist ids, got"
            f" {codes.shape} and {artist_ids.shape}"
        )
    if not np.isfinite(codes).all():
        bad = int(np.argmin(np.isfinite(codes).all(axis=1)))
        raise ValueError(f"codes must be finite, got {codes[bad]} for image {bad}")
    return codes, artist_ids
