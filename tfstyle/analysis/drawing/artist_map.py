"""A map of the artists: their mean codes in a plane, by PCA or UMAP."""

import dataclasses
import importlib.util
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fit_text
from tfstyle.core import cli
from tfstyle.core.cli import UserError

# Three artists always lie in a plane: UMAP has nothing to unfold.
FEWEST_FOR_UMAP = 4
_NEIGHBORS = 15  # UMAP's own default
_SIDE, _LARGEST_SIDE = 1200, 6000  # pixels of the longer side, without margins
_LARGEST, _SMALLEST = 112, 56  # pixels of a thumbnail
_ROUNDS = 300  # of pushing thumbnails apart
_PAPER, _LINE, _POINT = (255, 255, 255), (160, 160, 160), (0, 114, 178)


def project_by_pca(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project artists onto the two directions of largest variance.

    Args:
        means: float [artists, dims], mean codes.

    Returns:
        points: float64 [artists, 2], centered at 0; distances as in the code space.
        shares: float64 [2], share of the variance along each direction.
    """
    means = np.asarray(means, np.float64)
    centered = means - means.mean(axis=0)
    left, values, directions = np.linalg.svd(centered, full_matrices=False)
    # The sign of a direction is arbitrary: make its largest component positive.
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    points, shares = np.zeros([len(means), 2]), np.zeros(2)
    count = min(2, len(values))
    points[:, :count] = (left * values * signs)[:, :count]
    total = np.square(values).sum()
    shares[:count] = np.square(values[:count]) / (total or 1.0)
    return points, shares


def require_umap() -> None:
    """Raise UserError unless UMAP is installed."""
    if importlib.util.find_spec("umap") is None:
        raise UserError(
            "--map=umap needs UMAP, which is not installed:"
            f" {cli.show_installation('map')}"
        )


def project_by_umap(means: np.ndarray, seed: int = 0) -> np.ndarray:
    """Place artists so that neighbors in the code space stay neighbors.

    Args:
        means: float [artists, dims], mean codes of at least `FEWEST_FOR_UMAP` artists.
        seed: equal seeds give equal points.

    Returns:
        points: float64 [artists, 2], centered at 0.

    Raises:
        UserError: if UMAP is not installed.
    """
    require_umap()
    with cli.importing_extra("--map=umap needs UMAP", "map"):
        import umap  # takes seconds

    # Start from principal components: a small collection keeps their layout, and UMAP's
    # own initialization fails for it. Noise separates artists with equal codes.
    start, _ = project_by_pca(means)
    start *= 10 / (np.abs(start).max() or 1.0)  # the scale of UMAP's initialization
    start += np.random.default_rng(seed).normal(size=start.shape) * 1e-3
    points = umap.UMAP(
        n_neighbors=min(_NEIGHBORS, len(means) - 1),
        init=start.astype(np.float32),
        random_state=seed,
        n_jobs=1,  # results with more are not repeatable
    ).fit_transform(means)
    return points.astype(np.float64) - points.mean(axis=0)


def draw_artist_map(
    points: np.ndarray, pictures: np.ndarray, names: Sequence[str]
) -> Image.Image:
    """Draw a thumbnail and a name at each point.

    Overlapping thumbnails are pushed apart and connected to their points by lines. If
    this is not enough, thumbnails become smaller, then the map larger.

    Args:
        points: float [artists, 2], x to the right and y upwards, in the same units.
        pictures: uint8 [artists, height, width, 3], one by each artist.
        names: of the artists.

    Returns:
        An RGB picture.

    Raises:
        ValueError: if the numbers of points, pictures and names differ or are 0.
    """
    if not len(points) == len(pictures) == len(names) or not len(points):
        raise ValueError(
            "needs a point, a picture and a name for each artist, got"
            f" {len(points)}, {len(pictures)} and {len(names)}"
        )
    layout = _lay_out(np.asarray(points, np.float64))
    width, height = np.ceil(layout.extent).astype(int).tolist()
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for (x, y), center in zip(layout.points, layout.centers, strict=True):
        draw.line([x, y, *center], _LINE, 2)
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), _POINT)
    side = layout.thumbnail
    size, line = _text_size(side)
    for center, picture, name in zip(layout.centers, pictures, names, strict=True):
        tile = Image.fromarray(np.ascontiguousarray(picture))
        tile = tile.resize((side, side), Image.Resampling.LANCZOS)
        x, y = np.round(center - (side / 2, (side + line) / 2)).astype(int).tolist()
        draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), _POINT)
        sheet.paste(tile, (x, y))
        caption = fit_text(name, size, float(layout.box[0]))
        middle = (x + side / 2, y + side + line / 2 + 1)
        left, top, right, bottom = caption.box(draw, middle, "mm")
        # Keeps names readable above lines and points.
        draw.rectangle((left - 2, top - 1, right + 2, bottom + 1), _PAPER)
        caption.draw(draw, middle, "mm")
    return sheet


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Places on the map, in pixels.

    Attributes:
        points: float [n, 2], the artists.
        centers: float [n, 2], of their boxes: a thumbnail with a name below it.
        box: float [2], width and height of every box with its gap.
        extent: float [2], width and height of the map.
        thumbnail: side of a thumbnail.
    """

    points: np.ndarray
    centers: np.ndarray
    box: np.ndarray
    extent: np.ndarray
    thumbnail: int


def _lay_out(points: np.ndarray) -> _Layout:
    """Find the largest thumbnails and the smallest map without overlapping boxes."""
    points = points * (1, -1)
    points = points - points.min(axis=0)
    points /= points.max() or 1.0
    thumbnail, side = _LARGEST, _SIDE
    while True:
        _, line = _text_size(thumbnail)
        box = np.array([1.25 * thumbnail, thumbnail + line + 8])
        margin = box / 2 + 8
        placed = points * side + margin
        # A map that is nearly a line has room beside the line, too.
        extent = np.maximum(placed.max(axis=0), side / 4) + margin
        centers, separate = _push_apart(placed, box, margin, extent - margin)
        if separate or side >= _LARGEST_SIDE:
            return _Layout(placed, centers, box, extent, thumbnail)
        if thumbnail > _SMALLEST:
            thumbnail = max(_SMALLEST, thumbnail * 4 // 5)
        else:
            side = side * 5 // 4


def _text_size(thumbnail: int) -> tuple[int, int]:
    """Return the font size and the line height of the name below a thumbnail."""
    size = max(12, thumbnail // 7)
    return size, round(1.4 * size)


def _push_apart(
    points: np.ndarray, box: np.ndarray, lowest: np.ndarray, highest: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Move the centers of equal boxes apart; also return whether none overlap."""
    # A fixed, tiny noise gives equal points a direction to move in.
    centers = points + np.random.default_rng(0).normal(size=points.shape) * 1e-3
    for _ in range(_ROUNDS):
        difference = centers[:, None] - centers[None]  # [n, n, 2]
        overlap = box - np.abs(difference)
        np.einsum("iik->ik", overlap)[:] = 0.0
        touching = (overlap > 1e-3).all(axis=-1)
        if not touching.any():
            return centers, True
        # Along the axis with the smaller overlap; each box moves half of it.
        axis = overlap.argmin(axis=-1)
        along = np.arange(2) == axis[..., None]
        push = np.where(touching[..., None] & along, overlap * np.sign(difference), 0.0)
        centers = np.clip(centers + 0.5 * push.sum(axis=1), lowest, highest)
    return centers, False
