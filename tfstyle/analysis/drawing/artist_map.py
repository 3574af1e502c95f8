"""A map of the artists: their mean codes in a plane, by PCA or UMAP."""

import importlib.util
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fitted
from tfstyle.core.cli import UserError

# As few artists as three lie in a plane anyway: UMAP has nothing to unfold.
FEWEST_FOR_UMAP = 4
_NEIGHBOURS = 15  # UMAP's own default
_SIDE, _LARGEST_SIDE = 1200, 6000  # pixels of the longer side, margins apart
_LARGEST, _SMALLEST = 112, 56  # pixels of a thumbnail
_ROUNDS = 300  # of pushing thumbnails apart
_POINT = (0, 114, 178)


def principal_plane(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project artists on the two directions of largest variance (PCA).

    Args:
        means: float [artists, dims], mean codes.

    Returns:
        points: float64 [artists, 2], about 0; distances as in the code space.
        shares: float64 [2], of the variance that each direction holds.
    """
    means = np.asarray(means, np.float64)
    centred = means - means.mean(axis=0)
    left, values, directions = np.linalg.svd(centred, full_matrices=False)
    # The sign of a direction is arbitrary: its largest part is made positive.
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    points = np.zeros([len(means), 2])
    shares = np.zeros(2)
    kept = min(2, len(values))
    points[:, :kept] = (left * values * signs)[:, :kept]
    total = np.square(values).sum()
    shares[:kept] = np.square(values[:kept]) / (total or 1.0)
    return points, shares


def require_umap() -> None:
    """Raise UserError unless UMAP is installed."""
    if importlib.util.find_spec("umap") is None:
        raise UserError(
            "--map=umap needs UMAP, which is not installed:"
            " pip install -c tools/constraints.txt '.[map]'"
        )


def neighbour_plane(means: np.ndarray, seed: int = 0) -> np.ndarray:
    """Place artists so that neighbours in the code space stay neighbours (UMAP).

    Args:
        means: float [artists, dims], mean codes of `FEWEST_FOR_UMAP` artists or more.
        seed: equal ones give equal points.

    Returns:
        points: float64 [artists, 2], about 0.

    Raises:
        UserError: if UMAP is not installed.
    """
    require_umap()
    import umap  # takes seconds

    # Principal components to start from: a small collection keeps their layout, and
    # UMAP's own start fails for it. Equal artists must not start in one point.
    start, _ = principal_plane(means)
    start *= 10 / (np.abs(start).max() or 1.0)  # the scale that UMAP starts from
    start += np.random.default_rng(seed).normal(size=start.shape) * 1e-3
    points = umap.UMAP(
        n_neighbors=min(_NEIGHBOURS, len(means) - 1),
        init=start.astype(np.float32),
        random_state=seed,
        n_jobs=1,  # more cannot be repeated
    ).fit_transform(means)
    return points.astype(np.float64) - points.mean(axis=0)


def draw_artist_map(
    points: np.ndarray, pictures: np.ndarray, names: Sequence[str]
) -> Image.Image:
    """Draw a thumbnail with its name at each point.

    Thumbnails that would cover each other are pushed apart, and a line leads from each
    to its point; where that does not do they are drawn smaller, then the map larger.

    Args:
        points: float [artists, 2], x to the right and y upwards, in one scale.
        pictures: uint8 [artists, height, width, 3], one by each artist.
        names: of the artists.

    Returns:
        An RGB picture.

    Raises:
        ValueError: as many points, pictures and names are needed, at least one.
    """
    if not len(points) == len(pictures) == len(names) or not len(points):
        raise ValueError(
            "needs a point, a picture and a name for each artist, got"
            f" {len(points)}, {len(pictures)} and {len(names)}"
        )
    points = np.asarray(points, np.float64) * (1, -1)
    points = points - points.min(axis=0)
    points /= points.max() or 1.0
    thumbnail, side = _LARGEST, _SIDE
    while True:
        size = max(12, thumbnail // 7)
        line = round(1.4 * size)
        # What one artist takes, with room for a gap.
        box = np.array([1.25 * thumbnail, thumbnail + line + 8])
        margin = box / 2 + 8
        placed = points * side + margin
        # A map that is nearly a line has room beside the line, too.
        extent = np.maximum(placed.max(axis=0), side / 4) + margin
        places, apart = _pushed_apart(placed, box, margin, extent - margin)
        if apart or side >= _LARGEST_SIDE:
            break
        if thumbnail > _SMALLEST:
            thumbnail = max(_SMALLEST, thumbnail * 4 // 5)
        else:
            side = side * 5 // 4
    width, height = np.ceil(extent).astype(int).tolist()
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for point, place in zip(placed, places, strict=True):
        draw.line([*point, *place], (160, 160, 160), 2)
        x, y = point
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), _POINT)
    for place, picture, name in zip(places, pictures, names, strict=True):
        tile = Image.fromarray(np.ascontiguousarray(picture))
        tile = tile.resize((thumbnail, thumbnail), Image.Resampling.LANCZOS)
        x, y = np.round(place - (thumbnail / 2, (thumbnail + line) / 2)).astype(int)
        x, y = int(x), int(y)
        draw.rectangle((x - 2, y - 2, x + thumbnail + 1, y + thumbnail + 1), _POINT)
        sheet.paste(tile, (x, y))
        caption = fitted(name, size, float(box[0]))
        middle = (x + thumbnail / 2, y + thumbnail + line / 2 + 1)
        left, top, right, bottom = caption.box(draw, middle, "mm")
        # Names stay readable over lines and points.
        draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), (255, 255, 255))
        caption.draw(draw, middle, "mm")
    return sheet


def _pushed_apart(
    points: np.ndarray, box: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Move centres of equal boxes until none overlap.

    Args:
        points: float [n, 2], where the centres should be.
        box: float [2], width and height.
        lowest, highest: float [2], what centres must stay within.

    Returns:
        The centres, float [n, 2], and whether no boxes overlap.
    """
    # Equal points have no direction to part in; a fixed, tiny spread gives one.
    places = points + np.random.default_rng(0).normal(size=points.shape) * 1e-3
    for _ in range(_ROUNDS):
        apart = places[:, None] - places[None]  # [n, n, 2]
        overlap = box - np.abs(apart)
        np.einsum("iik->ik", overlap)[:] = 0.0
        touching = (overlap > 1e-3).all(axis=-1)
        if not touching.any():
            return places, True
        # Along the axis where less is needed; each of a pair goes half the way.
        axis = overlap.argmin(axis=-1)
        along = np.arange(2) == axis[..., None]
        push = np.where(touching[..., None] & along, overlap * np.sign(apart), 0.0)
        places = np.clip(places + 0.5 * push.sum(axis=1), lowest, highest)
    return places, False
