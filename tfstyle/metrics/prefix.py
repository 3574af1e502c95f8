"""Measures of codes at every prefix length: the graphs of figure 1, and pruning.

All functions take NumPy arrays and work in float64. Index d - 1 of a result is for the
first d dimensions.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tfstyle.metrics.distances import squared_distances, validate_codes

# Scores held at a time; 1 MiB of float64. A running table of this size stays in the
# processor's cache while all dimensions are added.
SCORES_PER_CHUNK = 2**17

# Differences of accuracies are rounded: .52 - .05 > .47 in binary. This allowance is
# far below one image in a million.
_ROUNDING = 1e-9


def variance_ratio(codes: np.ndarray, artist_ids: np.ndarray) -> np.ndarray:
    """Compute the ratio of equation 10 for every prefix; smaller is better.

    Returns:
        within / between of `variances`, float64 [dims]; NaN where it is not defined:
        where both are 0, and where all images are by one artist, or each by another.

    Raises:
        ValueError: if shapes disagree or codes are not finite.
    """
    codes, artist_ids = validate_codes(codes, artist_ids)
    if len(np.unique(artist_ids)) in (1, len(artist_ids)):
        return np.full(codes.shape[1], np.nan)
    within, between = variances(codes, artist_ids)
    with np.errstate(invalid="ignore"):  # 0 / 0 of constant dimensions
        return within / between


def variances(
    codes: np.ndarray, artist_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute both quantities of equation 10 for every prefix in O(images x dims).

    Args:
        codes: float [images, dims].
        artist_ids: int [images], any labels.

    Returns:
        within: float64 [dims], mean squared distance to the artist's mean.
        between: float64 [dims], mean squared distance between images by two artists.

    Raises:
        ValueError: if there are fewer than two artists, shapes disagree or codes are
            not finite.
    """
    moments = Moments.of_codes(codes, artist_ids)
    within, between = moments.variances(np.ones([1, len(moments.counts)]))
    return within[0], between[0]


@dataclasses.dataclass(frozen=True)
class Moments:
    """What equation 10 needs of each artist's codes."""

    counts: np.ndarray  # float64 [artists], n_i
    means: np.ndarray  # float64 [artists, dims], m_i, around the mean of all images
    scatter: np.ndarray  # float64 [artists, dims], W_i, summed squares around m_i

    @classmethod
    def of_codes(cls, codes: np.ndarray, artist_ids: np.ndarray) -> "Moments":
        """Sum up codes, float [images, dims], by int [images]; see `variances`."""
        codes, artist_ids = validate_codes(codes, artist_ids)
        _, artists, counts = np.unique(
            artist_ids, return_inverse=True, return_counts=True
        )
        if len(counts) < 2:
            raise ValueError(
                f"equation 10 compares artists: needs at least 2, got {len(counts)}"
            )
        # A common offset would cost digits below.
        codes = codes - codes.mean(axis=0)
        # Sorted by artist, so that reduceat sums the rows of each artist.
        order = np.argsort(artists, kind="stable")
        codes, artists = codes[order], artists[order]
        starts = np.cumsum(counts) - counts
        means = np.add.reduceat(codes, starts, axis=0) / counts[:, None]
        scatter = np.add.reduceat((codes - means[artists]) ** 2, starts, axis=0)
        return cls(counts.astype(np.float64), means, scatter)

    def variances(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute both quantities of equation 10 for every prefix, by weighted artists.

        Artist i counts w_i times; images by copies of one artist are no pairs. With
        M = sum_i w_i n_i and the mean m of all, weighted likewise:

            within  = sum_i w_i W_i / M
            between = 2 sum_i w_i ((M - w_i n_i) W_i + M n_i (m_i - m)^2)
                      / (M^2 - sum_i w_i^2 n_i^2)

        The numerator of `between` is the sum over all pairs minus the sum over pairs by
        one artist, rearranged so that nothing is subtracted.

        Args:
            weights: float [draws, artists], of two artists at least in each draw.

        Returns:
            float64 [draws, dims] each.
        """
        weights = np.asarray(weights, np.float64)
        images = weights * self.counts  # w_i n_i
        total = images.sum(axis=1, keepdims=True)
        within = weights @ self.scatter / total
        mean = images @ self.means / total
        spread = images @ self.means**2 - total * mean**2
        between = (weights * (total - images)) @ self.scatter + total * spread
        between = 2 * between / (total**2 - (images**2).sum(axis=1, keepdims=True))
        return np.cumsum(within, axis=1), np.cumsum(between, axis=1)


def prefix_accuracy(
    codes: np.ndarray, artist_ids: np.ndarray, presumed_styles: np.ndarray
) -> np.ndarray:
    """Measure how often the nearest presumed style is the image's artist.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], rows of `presumed_styles`.
        presumed_styles: float [artists, dims].

    Returns:
        float64 [dims], share of images classified correctly.

    Raises:
        ValueError: if shapes disagree, ids are out of range or codes are not finite.
    """
    codes, artist_ids = validate_codes(codes, artist_ids)
    artists, least, most = len(presumed_styles), artist_ids.min(), artist_ids.max()
    if least < 0 or most >= artists:
        raise ValueError(f"artist ids must be in 0..{artists - 1}, got {least}..{most}")
    return share_correct(nearest_styles(codes, presumed_styles), artist_ids)


def share_correct(predicted: np.ndarray, artist_ids: np.ndarray) -> np.ndarray:
    """Return the share of images, int [images, dims], whose artist is predicted.

    The result is float64 [dims], for artists int [images].
    """
    return np.mean(predicted == artist_ids[:, None], axis=0)


def nearest_styles(codes: np.ndarray, presumed_styles: np.ndarray) -> np.ndarray:
    """Find the presumed style nearest to each image by every prefix.

    Args:
        codes: float [images, dims].
        presumed_styles: float [artists, dims].

    Returns:
        int32 [images, dims], rows of `presumed_styles`; ties go to the first.

    Raises:
        ValueError: if shapes disagree.
    """

    def closeness(code: np.ndarray, style: np.ndarray, out: np.ndarray) -> None:
        np.subtract(code, style, out=out)
        np.multiply(out, out, out=out)
        np.negative(out, out=out)

    columns = np.asarray(presumed_styles, np.float64).T
    return _best_columns(codes, columns, 0.0, closeness)


def largest_logits(
    features: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Find the artist of the largest logit of a classifier cut to its first d features.

    Args:
        features: float [images, dims].
        weights: float [dims, artists].
        bias: float [artists].

    Returns:
        int32 [images, dims], columns of `weights`; ties go to the first.

    Raises:
        ValueError: if shapes disagree.
    """
    return _best_columns(features, weights, bias, np.multiply)


def style_distances(
    codes: np.ndarray,
    artist_ids: np.ndarray,
    presumed_styles: np.ndarray,
    prefix_scales: np.ndarray,
    dims: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Average the scaled distances of images to presumed styles, by prefix.

    Args:
        codes: float [images, dims].
        artist_ids: int [images], rows of `presumed_styles`.
        presumed_styles: float [artists, dims].
        prefix_scales: float [dims], h_d.
        dims: prefix lengths to compute.

    Returns:
        same: float64 [len(dims)], mean of h_d ||x[d] - s[d]|| over images and their own
            artists' styles, which equation 2 pulls together.
        different: float64 [len(dims)], the same for other artists' styles, which it
            pushes apart.
    """
    same, different = np.zeros(len(dims)), np.zeros(len(dims))
    for k, d in enumerate(dims):
        for rows, squares in squared_distances(codes[:, :d], presumed_styles[:, :d]):
            distances = prefix_scales[d - 1] * np.sqrt(squares)
            own = distances[np.arange(len(distances)), artist_ids[rows]].sum()
            same[k] += own
            different[k] += distances.sum() - own
    others = max(1, len(codes) * (len(presumed_styles) - 1))
    return same / len(codes), different / others


def recommended_dims(accuracy: np.ndarray, tolerance: float = 0.01) -> int:
    """Find the smallest prefix nearly as accurate as the full code (section 3).

    Args:
        accuracy: float [dims], accuracy at every prefix.
        tolerance: accuracy that may be lost; absolute, .01 is 1 in 100 images.
    """
    accuracy = np.asarray(accuracy)
    return int(np.argmax(accuracy >= accuracy[-1] - tolerance - _ROUNDING)) + 1


def recommended_dims_by_error(
    errors: Sequence[float], dims: Sequence[int], tolerance: float = 0.01
) -> int:
    """Find the smallest prefix that reconstructs nearly as well as the longest.

    Args:
        errors: reconstruction error at each of `dims`.
        dims: the prefix lengths measured, in any order.
        tolerance: allowed increase, as a share of the longest prefix's error.

    Raises:
        ValueError: if there is not one error for each of dims, or none at all.
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
    """List the prefix lengths that a curve samples: 1, 2, 4, .. and `dims`."""
    return [2**power for power in range((dims - 1).bit_length())] + [dims]


def _best_columns(
    rows: np.ndarray,
    columns: np.ndarray,
    start: np.ndarray | float,
    add_dimension: Callable[..., object],
) -> np.ndarray:
    """Find the artist that scores highest after each dimension, int32 [images, dims].

    A table of scores per chunk of images is updated dimension by dimension: at 42,000
    images, 2,513 artists and 512 dimensions this takes 45 seconds on one core. A
    cumulative sum over a [chunk, artists, dims] tensor does not fit the cache and was
    15 times slower.

    Args:
        rows: float [images, dims].
        columns: float [dims, artists].
        start: scores before the first dimension, for all artists or each.
        add_dimension: called as (row values [chunk, 1], column values [artists],
            out=[chunk, artists]); writes what a dimension adds to the scores.
    """
    rows = np.asarray(rows, np.float64)
    columns = np.ascontiguousarray(columns, np.float64)
    images, dims = rows.shape
    if columns.ndim != 2 or len(columns) != dims or not columns.size:
        raise ValueError(
            f"codes of {dims} dimensions need artists of as many, got"
            f" [dims, artists] = {columns.shape}"
        )
    artists = columns.shape[1]
    best = np.empty([images, dims], np.int32)
    chunk = max(1, SCORES_PER_CHUNK // artists)
    for first in range(0, images, chunk):
        part = rows[first : first + chunk]
        scores = np.zeros((len(part), artists)) + start
        change = np.empty_like(scores)
        for d in range(dims):
            add_dimension(part[:, d, None], columns[d], out=change)
            scores += change
            best[first : first + chunk, d] = scores.argmax(axis=1)
    return best
