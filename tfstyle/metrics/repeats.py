"""How far to trust a number: spread over seeds, and intervals over artists.

A spread is {"mean", "deviation"}; the deviation is the sample's, and None for a single
measurement. An interval is [lower, upper], 95 % by the bootstrap.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from tfstyle.core.names import format_count

_BOOTSTRAP_DRAWS = 1000
_PERCENTILES = (2.5, 97.5)
# With fewer artists, an interval over artists says nothing.
_FEWEST_ARTISTS = 5


class Spread(TypedDict):
    """Mean and sample deviation of a number."""

    mean: float
    deviation: float | None


class CurveSpread(TypedDict):
    """Mean and sample deviation of every point of a curve."""

    mean: list[float]
    deviation: list[float] | None


def compute_spread(values: Sequence[float]) -> Spread:
    """Compute mean and sample deviation of a number measured at least once."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "deviation": deviation}


def compute_curve_spread(curves: Sequence[Sequence[float]]) -> CurveSpread:
    """Compute the spread of every point of a curve; curves: [repeats, points]."""
    table = np.asarray(curves, np.float64)
    deviation = table.std(axis=0, ddof=1).tolist() if len(table) > 1 else None
    return {"mean": table.mean(axis=0).tolist(), "deviation": deviation}


def draw_artist_weights(artists: int, seed: int = 0) -> np.ndarray | None:
    """Draw how often each artist is in a bootstrap sample of as many artists.

    Returns:
        float64 [draws, artists], at least two different artists each; None if there are
        too few artists for an interval.
    """
    if artists < _FEWEST_ARTISTS:
        return None
    rng = np.random.default_rng(seed)
    shares = np.full(artists, 1 / artists)
    draws = rng.multinomial(artists, shares, size=_BOOTSTRAP_DRAWS)
    return draws[np.count_nonzero(draws, axis=1) > 1].astype(np.float64)


def compute_intervals(draws: np.ndarray) -> list[list[float]]:
    """Return the interval of each point of a curve, from bootstrap [draws, points]."""
    return np.percentile(draws, _PERCENTILES, axis=0).T.tolist()


def combine_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Replace each number, by name and possibly nested, by its spread over seeds."""
    combined: dict[str, Any] = {}
    for name, first in results[0].items():
        values = [result[name] for result in results]
        nested = isinstance(first, Mapping)
        combined[name] = combine_seeds(values) if nested else compute_spread(values)
    return combined


def combine_kinds(
    results: Sequence[Mapping[str, Mapping[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """Combine the seeds of each kind, by name, by `combine_seeds`.

    Kinds that do not depend on the seed may be measured once: the seeds of a kind are
    those that have it.
    """
    kinds = dict.fromkeys(kind for result in results for kind in result)
    return {
        kind: combine_seeds([result[kind] for result in results if kind in result])
        for kind in kinds
    }


def format_number(value: float, spec: str) -> str:
    """Format a number; NaN is "undefined"."""
    return "undefined" if math.isnan(value) else format(value, spec)


def format_spread(spread: Spread, spec: str) -> str:
    """Format a mean with its deviation, if it has one: "57.5% +- 1.2%"."""
    text = format_number(spread["mean"], spec)
    if spread["deviation"] is None or math.isnan(spread["mean"]):
        return text
    return f"{text} +- {format_number(spread['deviation'], spec)}"


def format_curve_spread(curve: CurveSpread, spec: str) -> list[str]:
    """Format every point of a curve like `format_spread`."""
    if curve["deviation"] is None:
        return [format_number(mean, spec) for mean in curve["mean"]]
    spreads = zip(curve["mean"], curve["deviation"], strict=True)
    return [format_spread({"mean": m, "deviation": d}, spec) for m, d in spreads]


def format_run_count(name: str, count: int) -> str:
    """Append the number of runs to the name of a method: "triplet, 3 runs"."""
    return f"{name}, {format_count(count, 'run')}"


def flatten_means(numbers: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Flatten nested numbers for a log, as PREFIX/NAME; a spread becomes its mean.

    Values that are not numbers are skipped, and so are deviations.
    """
    values: dict[str, float] = {}
    for name, value in numbers.items():
        path = f"{prefix}/{name}"
        if isinstance(value, Mapping) and set(value) == {"mean", "deviation"}:
            values[path] = value["mean"]
        elif isinstance(value, Mapping):
            if name != "deviation":
                values |= flatten_means(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values[path] = value
    return values
