"""Squared Euclidean distances between many codes, and the check of codes."""

from collections.abc import Iterator

import numpy as np

# Distances held at a time; 32 MiB of float64.
DISTANCES_PER_CHUNK = 2**22


def squared_distances(
    rows: np.ndarray, columns: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the squared distances of all rows to all columns in chunks of rows.

    They are |x|^2 - 2 x.y + |y|^2, a single matrix product; a tensor of differences
    would be `dims` times as large. Both inputs are centered first because a common
    offset costs digits. Rounding still exceeds the distance between nearly equal codes.

    Args:
        rows: float [n, dims].
        columns: float [m, dims].

    Yields:
        (slice of the rows, float64 [chunk, m], at least 0); the caller may overwrite
        the array.
    """
    rows, columns = np.asarray(rows, np.float64), np.asarray(columns, np.float64)
    center = columns.mean(axis=0)
    rows, columns = rows - center, columns - center
    column_squares = np.square(columns).sum(axis=1)
    chunk = max(1, DISTANCES_PER_CHUNK // len(columns))
    for start in range(0, len(rows), chunk):
        part = slice(start, min(start + chunk, len(rows)))
        row_squares = np.square(rows[part]).sum(axis=1, keepdims=True)
        distances = row_squares - 2 * rows[part] @ columns.T + column_squares
        yield part, np.maximum(distances, 0, out=distances)


def validate_codes(
    codes: np.ndarray, artist_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Convert codes to float64 and check that they match their artist ids.

    Args:
        codes: float [n, dims].
        artist_ids: int [n], any labels.

    Returns:
        float64 [n, dims] and int [n].

    Raises:
        ValueError: if there are no codes, shapes disagree or codes are not finite.
    """
    codes, artist_ids = np.asarray(codes, np.float64), np.asarray(artist_ids)
    if codes.ndim != 2 or not codes.size or artist_ids.shape != codes.shape[:1]:
        raise ValueError(
            "needs codes [images, dims] and as many artist ids, got"
            f" {codes.shape} and {artist_ids.shape}"
        )
    finite = np.isfinite(codes).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"codes must be finite, got {codes[row]} for image {row}")
    return codes, artist_ids
