"""Whether generated pictures keep a content, and differ where they may (NumPy)."""

import numpy as np


def content_agreement(
    codes: np.ndarray, content_ids: np.ndarray, style_ids: np.ndarray
) -> dict[str, float]:
    """Compare content codes of pictures of other styles.

    Args:
        codes: float [n, dims], content codes read from pictures.
        content_ids: int [n], the content that each was made of.
        style_ids: int [n], the style that each was made in.

    Returns:
        {"distance_ratio": mean squared distance of the codes of one content in two
        styles, over that of two contents in two styles: 0 if only the content counts,
        1 if it does not; NaN if all codes are the same.
        "retrieval": share of pictures whose nearest code among those of other styles
        is of the same content.
        "chance": the same of a random choice}.

    Raises:
        ValueError: no content is there in two styles, or there is only one content.
    """
    codes = np.asarray(codes, np.float64)
    codes = codes - codes.mean(axis=0)
    other_style = style_ids[:, None] != style_ids[None]
    same_content = content_ids[:, None] == content_ids[None]
    same, different = other_style & same_content, other_style & ~same_content
    if not same.any() or not different.any():
        raise ValueError(
            "needs two contents in two styles each, got "
            f"{len(np.unique(content_ids))} contents and "
            f"{len(np.unique(style_ids))} styles"
        )
    squares = np.square(codes).sum(axis=1)
    distances = squares[:, None] - 2 * codes @ codes.T + squares
    asking = same.any(axis=1)
    nearest = np.where(other_style, distances, np.inf).argmin(axis=1)
    found = same_content[np.arange(len(codes)), nearest]
    with np.errstate(invalid="ignore"):
        ratio = distances[same].mean() / distances[different].mean()
    return {
        "distance_ratio": float(ratio),
        "retrieval": float(found[asking].mean()),
        "chance": float((same.sum(axis=1) / other_style.sum(axis=1))[asking].mean()),
    }


def mean_pair_distance(images: np.ndarray, groups: np.ndarray) -> float:
    """Measure how much pictures of one group differ, without any network.

    Args:
        images: float [n, ..], such as scaled Lab [n, size, size, 3].
        groups: int [n], such as the artist.

    Returns:
        Root mean squared difference of two pictures' values: mean over the pairs of a
        group, then over the groups of at least two pictures.

    Raises:
        ValueError: no group has two pictures.
    """
    means = []
    for group in np.unique(groups):
        members = images[groups == group]
        flat = members.reshape(len(members), -1).astype(np.float64)
        # One by one: a Gram matrix would lose small differences to rounding.
        pairs = [
            np.sqrt(np.square(flat[i] - flat[i + 1 :]).mean(axis=1))
            for i in range(len(flat) - 1)
        ]
        if pairs:
            means.append(np.concatenate(pairs).mean())
    if not means:
        raise ValueError(f"needs a group of two pictures, got {len(images)} pictures")
    return float(np.mean(means))
