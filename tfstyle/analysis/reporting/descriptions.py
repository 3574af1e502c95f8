"""What each style dimension does: whom it parts, and which properties go with it."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfstyle.analysis.reporting.properties import PROPERTIES

# Section 6.3 ranks pictures along a dimension and looks at the lowest and highest 10 %.
TAIL = 0.1
# The weakest correlation that is worth a word.
THRESHOLD = 0.3
NOTHING_CLEAR = "no clear property"
UNSURE = "perhaps "
# Words in a description, and artists named at each end.
_MOST_WORDS, _MOST_ARTISTS = 3, 2


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One style dimension.

    Args:
        number: from 1, as the paper counts.
        share: of the between-artist variance of all dimensions, 0 to 1.
        low_artists, high_artists: those with the lowest and the highest mean, the
            outermost first.
        low_pictures, high_pictures: int64, indices of the pictures of the lowest and
            the highest 10 %, the outermost first.
        correlations: {property: Pearson's r over the pictures}, NaN where unknown.
        description: what growing values go with.
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
        """The name, if it has one, in front of the description."""
        return f"{self.name}: {self.description}" if self.name else self.description

    @property
    def caption(self) -> str:
        """One line that says which dimension it is and what it means."""
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
            distances count: it decides the shares.
        properties: {name: float [pictures]}, of `measure_properties`.
        names: {dimension: name}, of `read_names`.
        threshold: smallest |r| that gets a word. Words are preceded by "perhaps"
            where no |r| reaches `chance_correlation`; else only those that do count.

    Returns:
        A description of each dimension, in their order.

    Raises:
        ValueError: shapes that disagree.
    """
    codes, artist_means = np.asarray(codes, float), np.asarray(artist_means, float)
    if codes.ndim != 2 or artist_means.shape[1:] != codes.shape[1:] or not codes.size:
        raise ValueError(
            "needs codes [pictures, dims] and artist means [artists, dims], got"
            f" {codes.shape} and {artist_means.shape}"
        )
    chance = chance_correlation(len(artist_means))
    variance = artist_means.var(axis=0)
    shares = variance / (variance.sum() or 1.0)
    correlations = {
        name: correlation(codes, values) for name, values in properties.items()
    }
    ends = max(1, min(_MOST_ARTISTS, len(artist_means) // 2))
    tail = max(1, round(TAIL * len(codes)))
    described = []
    for k in range(codes.shape[1]):
        artists = np.argsort(artist_means[:, k], kind="stable")
        pictures = np.argsort(codes[:, k], kind="stable")
        of_this = {name: float(r[k]) for name, r in correlations.items()}
        described.append(
            Dimension(
                number=k + 1,
                share=float(shares[k]),
                low_artists=tuple(map(int, artists[:ends])),
                high_artists=tuple(map(int, artists[::-1][:ends])),
                low_pictures=pictures[:tail],
                high_pictures=pictures[::-1][:tail],
                correlations=of_this,
                description=_describe(of_this, threshold, chance),
                name=(names or {}).get(k + 1, ""),
            )
        )
    return described


def chance_correlation(artists: int) -> float:
    """Give the |r| that unrelated quantities exceed in one case of twenty.

    Pictures by one artist have much the same code, so that pictures do not count as
    independent, artists do; r then scatters by about 1 / sqrt(artists - 1), of which
    this is twice: .6 for 12 artists, below the threshold of .3 from 46 on.
    """
    return float(2 / np.sqrt(max(artists - 1, 1)))


def correlation(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Compute Pearson's r of every dimension with a property.

    Args:
        codes: float [pictures, dims].
        values: float [pictures]; pictures with NaN are left out.

    Returns:
        float64 [dims]; NaN where either does not vary, or where fewer than half of
        the pictures, or fewer than three, have a value.

    Raises:
        ValueError: shapes that disagree.
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
    # Means of equal numbers round, so that what does not vary is found by its range.
    varies = (np.ptp(codes, axis=0) > 0) & (np.ptp(values) > 0)
    codes, values = codes - codes.mean(axis=0), values - values.mean()
    scale = np.sqrt(np.square(codes).sum(axis=0) * np.square(values).sum())
    return np.where(varies, values @ codes / np.where(varies, scale, 1.0), np.nan)


def _describe(
    correlations: Mapping[str, float], threshold: float, chance: float
) -> str:
    # NaN reaches no threshold.
    worded = {name: r for name, r in correlations.items() if abs(r) >= threshold}
    sure = {name: r for name, r in worded.items() if abs(r) >= chance}
    shown = sure or worded
    strongest = sorted(shown, key=lambda name: -abs(shown[name]))[:_MOST_WORDS]
    if not strongest:
        return NOTHING_CLEAR
    words = ", ".join(
        PROPERTIES[name].more if shown[name] > 0 else PROPERTIES[name].less
        for name in strongest
    )
    values = ", ".join(f"{shown[name]:.2f}" for name in strongest)
    return f"{'' if sure else UNSURE}{words} (r = {values})"
