"""A matrix of artists taken for each other, similar ones side by side."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from tfstyle.core.files import atomic_file

_MOST_NAMES = 60  # more would overlap
_INCHES = 0.22  # per artist
_SMALLEST = 5.0  # of the matrix, in inches
_DPI = 100


def order_by_similarity(styles: np.ndarray) -> list[int]:
    """Order artists so that similar ones are neighbors, by hierarchical clustering.

    Args:
        styles: float [artists, dims], their mean codes.
    """
    tree = hierarchy.linkage(styles, "average", optimal_ordering=True)
    return hierarchy.leaves_list(tree).tolist()


def write_confusions(
    path: str | os.PathLike[str],
    shares: np.ndarray,
    names: Sequence[str],
    order: Sequence[int],
) -> None:
    """Write a matrix as PNG: rows are artists, columns what they are taken for.

    Args:
        path: of the PNG.
        shares: float [artists, artists], of the row's pictures.
        names: of the artists.
        order: artists from top to bottom, and from left to right.
    """
    artists = len(names)
    side = max(_SMALLEST, 2 + _INCHES * min(artists, _MOST_NAMES))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the row's pictures")
    axes.set(xlabel="taken for", ylabel="artist")
    if artists <= _MOST_NAMES:
        labels = [names[k] for k in order]
        axes.set_xticks(range(artists), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(artists), labels, fontsize=8)
    else:
        axes.set(xticks=[], yticks=[])
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI)
