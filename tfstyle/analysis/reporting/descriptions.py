"""What each style dimension does: which artists it separates, and by what."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfstyle.analysis.reporting.properties import PROPERTIES

# Section 6.3 ranks pictures along a dimension and looks at the lowest and highest 10 %.
TAIL = 0.1
# The weakest correlation that a description names.
THRESHOLD = 0.3
NOTHING_CLEAR = "no clear property"
UNSURE = "perhaps "
# Properties in a description, and artists named at each end.
_MAX_PROPERTIES, _MAX_ARTISTS = 3, 2


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One style dimension.

    Args:
        number: from 1, as in the paper.
        share: of the between-artist variance of all dimensions, 0 to 1.
        low_artists: labels of the artists with the lowest means, lowest first.
        high_artists: labels of the artists with the highest means, highest first.
        low_pictures: int64, indices of the lowest 10 % of the pictures, lowest first.
        high_pictures: int64, indices of the highest 10 %, highest first.
        correlations: {property: Pearson's r over the pictures}, NaN where unknown.
        description: the properties that increase with the dimension.
        name: given by hand, or empty.
    """

    number: int
    share: float
    low_artists: tuple[int, ...]
    high_artists: tuple[int, ...]
    low_pictures: np.ndarray
    high_pictures: np.ndarray
    correlations: Mapping[str, float]
    description: str
    name: str = ""

    @property
    def meaning(self) -> str:
        """The description, with the name in front if there is one."""
        return f"{self.name}: {self.description}" if self.name else self.description

    @property
    def caption(self) -> str:
        """The number and the meaning, on one line."""
        return f"dimension {self.number}: {self.meaning}"


def describe_dimensions(
    codes: np.ndarray,
    artist_means: np.ndarray,
    properties: Mapping[str, np.ndarray],
    names: Mapping[int, str] | None = None,
    threshold: float = THRESHOLD,
) -> list[Dimension]:
    """Describe every style dimension by real pictures.

    Args:
        codes: float [pictures, dims].
        artist_means: float [artists, dims], mean codes, in the scale in which
            distances are measured; it determines the shares.
        properties: {name: float [pictures]}, of `measure_properties`.
        names: {dimension, from 1: name}.
        threshold: smallest |r| of a property that is named. Of these, only those that
            reach `compute_chance_correlation` are named; if none does, all are, after
            "perhaps".

    Returns:
        The dimensions, in their order.

    Raises:
        ValueError: if shapes disagree.
    """
    codes, artist_means = np.asarray(codes, float), np.asarray(artist_means, float)
    if codes.ndim != 2 or artist_means.shape[1:] != codes.shape[1:] or not codes.size:
        raise ValueError(
            "needs codes [pictures, dims] and artist means [artists, dims], got "
            f"{codes.shape} and {artist_means.shape}"
        )
    chance = compute_chance_correlation(len(artist_means))
    variance = artist_means.var(axis=0)
    shares = variance / (variance.sum() or 1.0)
    correlations = {
        name: correlate(codes, values) for name, values in properties.items()
    }
    ends = max(1, min(_MAX_ARTISTS, len(artist_means) // 2))
    tail = max(1, round(TAIL * len(codes)))
    dimensions = []
    for k in range(codes.shape[1]):
        artists = np.argsort(artist_means[:, k], kind="stable")
        pictures = np.argsort(codes[:, k], kind="stable")
        by_property = {name: float(r[k]) for name, r in correlations.items()}
        dimensions.append(
            Dimension(
                number=k + 1,
                share=float(shares[k]),
                low_artists=tuple(map(int, artists[:ends])),
                high_artists=tuple(map(int, artists[::-1][:ends])),
                low_pictures=pictures[:tail],
                high_pictures=pictures[::-1][:tail],
                correlations=by_property,
                description=_describe(by_property, threshold, chance),
                name=(names or {}).get(k + 1, ""),
            )
        )
    return dimensions


def compute_chance_correlation(artists: int) -> float:
    """Return the |r| that unrelated quantities exceed in one case of twenty.

    Pictures by the same artist have similar codes, so artists are independent, pictures
    are not. The deviation of r is then about 1 / sqrt(artists - 1). The result is twice
    this deviation: .6 for 12 artists, below the threshold of .3 from 46 on.
    """
    return float(2 / np.sqrt(max(artists - 1, 1)))


def correlate(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compute Pearson's r of every dimension with a property.

    Args:
        codes: float [pictures, dims].
        values: float [pictures]; pictures with NaN are skipped.

    Returns:
        float64 [dims]; NaN where the dimension or the property does not vary, or where
        fewer than half of the pictures, or fewer than three, have a value.

    Raises:
        ValueError: if shapes disagree.
    """
    codes, values = np.asarray(codes, float), np.asarray(values, float)
    if values.shape != codes.shape[:1]:
        raise ValueError(
            f"needs a value for each of {len(codes)} pictures, got {values.shape}"
        )
    known = np.isfinite(values)
    if known.sum() < max(3, len(values) / 2):
        return np.full(codes.shape[1], np.nan)
    codes, values = codes[known], values[known]
    # The mean of equal numbers is rounded, so compare their range with 0 instead.
    varies = (np.ptp(codes, axis=0) > 0) & (np.ptp(values) > 0)
    codes, values = codes - codes.mean(axis=0), values - values.mean()
    scale = np.sqrt(np.square(codes).sum(axis=0) * np.square(values).sum())
    return np.where(varies, values @ codes / np.where(varies, scale, 1.0), np.nan)


def _describe(
    correlations: Mapping[str, float], threshold: float, chance: float
) -> str:
    # NaN reaches no threshold.
    clear = {name: r for name, r in correlations.items() if abs(r) >= threshold}
    certain = {name: r for name, r in clear.items() if abs(r) >= chance}
    named = certain or clear
    strongest = sorted(named, key=lambda name: -abs(named[name]))[:_MAX_PROPERTIES]
    if not strongest:
        return NOTHING_CLEAR
    words = ", ".join(
        PROPERTIES[name].more if named[name] > 0 else PROPERTIES[name].less
        for name in strongest
    )
    values = ", ".join(f"{named[name]:.2f}" for name in strongest)
    return f"{'' if certain else UNSURE}{words} (r = {values})"
