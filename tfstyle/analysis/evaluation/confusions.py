"""Which artists a style space takes for each other."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from tfstyle.core.names import format_count, show

_MOST_SHOWN = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion:
    """Test pictures by one artist that are taken for another's.

    Args:
        artist: who made the pictures.
        taken_for: whose they are taken for.
        pictures: their number.
        of: number of the artist's test pictures.
    """

    artist: str
    taken_for: str
    pictures: int
    of: int

    def __str__(self) -> str:
        return (
            f"{show(self.artist)}: {self.pictures} of "
            f"{format_count(self.of, 'picture')} taken for {show(self.taken_for)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusions:
    """The wrong answers of a style space.

    Args:
        pictures: number of test pictures.
        wrong: number of those whose artist is not found.
        pairs: who is taken for whom, the largest share first.
    """

    pictures: int
    wrong: int
    pairs: list[Confusion]

    def summarize(self) -> list[str]:
        """Format the most frequent confusions as lines of text."""
        shown = self.pairs[:_MOST_SHOWN]
        if not shown:
            return ["confusions: none"]
        rest = f", the first {len(shown)}" if len(shown) < len(self.pairs) else ""
        return [
            f"confusions: {self.wrong} of {self.pictures} test pictures{rest}",
            *(f"  {pair}" for pair in shown),
        ]


def find_confusions(
    names: Sequence[str], predicted: np.ndarray, artist_ids: np.ndarray
) -> Confusions:
    """Count which artists' pictures are taken for whose.

    Args:
        names: of the artists, by label.
        predicted: int [n], the artist found for each picture.
        artist_ids: int [n], the artist of each.
    """
    totals = collections.Counter(artist_ids.tolist())
    answers = zip(artist_ids.tolist(), predicted.tolist(), strict=True)
    counts = collections.Counter(pair for pair in answers if pair[0] != pair[1])
    ranked = sorted(counts, key=lambda pair: (-counts[pair] / totals[pair[0]], pair))
    return Confusions(
        pictures=len(artist_ids),
        wrong=counts.total(),
        pairs=[
            Confusion(
                artist=names[artist],
                taken_for=names[other],
                pictures=counts[artist, other],
                of=totals[artist],
            )
            for artist, other in ranked
        ],
    )
