"""Numbers measured several times, with other seeds: means and sample deviations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Numbers = dict[str, Any]


def over_seeds(found: Sequence[Mapping[str, Any]]) -> Numbers:
    """Bring the numbers of several seeds together.

    Args:
        found: of each seed the same numbers by name, which may be nested.

    Returns:
        As nested, {"mean", "deviation"} in place of each number; the deviation is the
        sample's, None for a single seed.
    """
    together: Numbers = {}
    for name, first in found[0].items():
        values = [one[name] for one in found]
        if isinstance(first, Mapping):
            together[name] = over_seeds(values)
        else:
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            together[name] = {"mean": float(np.mean(values)), "deviation": deviation}
    return together


def said(value: Mapping[str, Any], spec: str) -> str:
    """Format a mean with its deviation, if it has one: "57.5% +- 1.2%"."""
    text = format(value["mean"], spec)
    if value["deviation"] is None:
        return text
    return f"{text} +- {format(value['deviation'], spec)}"


def flat_means(numbers: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Flatten nested numbers for a log, as PREFIX/NAME; of several seeds the mean.

    What is no number is left out, and so are deviations.
    """
    values: dict[str, float] = {}
    for name, value in numbers.items():
        path = f"{prefix}/{name}"
        if isinstance(value, Mapping) and set(value) == {"mean", "deviation"}:
            values[path] = value["mean"]
        elif isinstance(value, Mapping):
            if name != "deviation":
                values |= flat_means(value, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values[path] = value
    return values
