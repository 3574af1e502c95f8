"""Whether generated pictures keep their content, and vary within a style."""

import numpy as np

from tfstyle.metrics.distances import squared_distances


def content_agreement(
    codes: np.ndarray, content_ids: np.ndarray, style_ids: np.ndarray
) -> dict[str, float]:
    """Compare the content codes of pictures in different styles.

    Args:
        codes: float [n, dims], content codes encoded from pictures.
        content_ids: int [n], the content of each picture.
        style_ids: int [n], the style of each picture.

    Returns:
        {"distance_ratio": mean squared distance between codes of one content in two
        styles, divided by that between two contents in two styles: 0 if the codes
        depend on the content only, 1 if they do not depend on it, NaN if all codes are
        equal.
        "retrieval": share of pictures whose nearest code among pictures in other styles
        has the same content.
        "chance": the same share for a random choice}.

    Raises:
        ValueError: if no content occurs in two styles, or there is only one content.
    """
    other_style = style_ids[:, None] != style_ids[None]
    same_content = content_ids[:, None] == content_ids[None]
    same, different = other_style & same_content, other_style & ~same_content
    if not same.any() or not different.any():
        raise ValueError(
            "needs two contents in two styles each, got "
            f"{len(np.unique(content_ids))} contents and "
            f"{len(np.unique(style_ids))} styles"
        )
    distances = np.concatenate([part for _, part in squared_distances(codes, codes)])
    nearest = np.where(other_style, distances, np.inf).argmin(axis=1)
    correct = same_content[np.arange(len(codes)), nearest]
    queries = same.any(axis=1)
    with np.errstate(invalid="ignore"):
        ratio = distances[same].mean() / distances[different].mean()
    return {
        "distance_ratio": float(ratio),
        "retrieval": float(correct[queries].mean()),
        "chance": float((same.sum(axis=1) / other_style.sum(axis=1))[queries].mean()),
    }


def mean_pair_distance(images: np.ndarray, groups: np.ndarray) -> float:
    """Measure how much the pictures of a group differ, without a network.

    Args:
        images: float [n, ..], such as scaled Lab [n, size, size, 3].
        groups: int [n], such as the artist.

    Returns:
        Root mean squared difference of the values of two pictures: the mean over the
        pairs of a group, then over the groups of at least two pictures.

    Raises:
        ValueError: if no group has two pictures.
    """
    means = []
    for group in np.unique(groups):
        members = images[groups == group]
        flat = members.reshape(len(members), -1).astype(np.float64)
        # A matrix of dot products would lose small differences to rounding.
        pairs = [
            np.sqrt(np.square(flat[i] - flat[i + 1 :]).mean(axis=1))
            for i in range(len(flat) - 1)
        ]
        if pairs:
            means.append(np.concatenate(pairs).mean())
    if not means:
        raise ValueError(f"needs a group of two pictures, got {len(images)} pictures")
    return float(np.mean(means))
