"""The meaning of style dimensions: figures 4 and 5, and a map of the artists."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.artist_map import (
    FEWEST_FOR_UMAP,
    draw_artist_map,
    project_by_pca,
    project_by_umap,
)
from tfstyle.analysis.drawing.examples import sweep_dimension
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.evaluation.generator import read_first_pictures
from tfstyle.analysis.reporting.descriptions import (
    NOTHING_CLEAR,
    THRESHOLD,
    Dimension,
    compute_chance_correlation,
    describe_dimensions,
)
from tfstyle.analysis.reporting.properties import measure_properties
from tfstyle.core.names import show
from tfstyle.runs.style_space import NAMES_FILE
from tfstyle.runs.trained_run import TrainedRun

# Training pictures that are ranked and measured. Records are in random order, so the
# first ones represent a large collection.
_PICTURES = 2016
# Rows of style_dimensions.png, and real pictures at each end of a row.
_ROWS, _ENDS = 16, 6
# Figure 4: dimensions that get a sheet, values (section 6.3), random codes by rows.
_SHEETS, _VALUES = 4, (-5, 0, 5)
_GROUPS_PER_ROW, _GROUP_ROWS = 3, 2
_MAPPED_ARTISTS = 120  # thumbnails of more would be too small


def dimensions_section(
    run: TrainedRun,
    folder: pathlib.Path,
    seed: int = 0,
    projection: str = "pca",
    with_generator: bool = False,
) -> Section:
    """Draw and describe what each kept style dimension does.

    Args:
        run: with a finished metric stage.
        folder: of the figures.
        seed: of random codes and chosen pictures.
        projection: of the map of artists, "pca" or "umap".
        with_generator: whether to draw figure 4, which needs the gan stage.

    Raises:
        UserError: if the names given to dimensions are malformed, or UMAP is needed and
            not installed.
    """
    names = run.dimension_names
    statistics = run.style_statistics
    # In the encoder's own scale the dimensions that separate artists vary most.
    # Normalized dimensions all vary alike.
    means = statistics.artist_means * statistics.deviation
    pictures, artist_ids = read_first_pictures(run.dataset, "train", _PICTURES)
    codes = run.encode_style(pictures)
    dimensions = describe_dimensions(codes, means, measure_properties(pictures), names)
    sheets = _Sheets(run, folder, pictures, np.random.default_rng([seed, 4]))
    points, meaning = place_artists(means, projection, seed)
    figures = [
        sheets.draw_ends(dimensions[:_ROWS]),
        sheets.draw_map(points, meaning, codes, artist_ids),
    ]
    if with_generator:
        ordered = sorted(dimensions, key=lambda dimension: -dimension.share)
        figures += map(sheets.draw_figure_4, ordered[:_SHEETS])
    return Section(
        "What the style dimensions mean",
        _explain(len(pictures), len(means)),
        table=_tabulate(dimensions, run.dataset.artist_names),
        pictures=figures,
    )


def place_artists(
    means: np.ndarray, projection: str, seed: int
) -> tuple[np.ndarray, str]:
    """Place artists on the map.

    Args:
        means: float [artists, dims], mean codes.
        projection: "pca" or "umap"; with few artists "pca" replaces "umap".
        seed: of UMAP.

    Returns:
        Points float [artists, 2], and a phrase that explains them.
    """
    if projection == "umap" and len(means) >= FEWEST_FOR_UMAP:
        return project_by_umap(means, seed), (
            "laid out by UMAP, which keeps neighbors together; directions and large "
            "distances mean little"
        )
    points, shares = project_by_pca(means)
    meaning = (
        "along the two directions of largest variance (principal components, "
        f"{shares[0]:.0%} and {shares[1]:.0%} of it)"
    )
    if projection == "umap":
        meaning += f", since UMAP needs at least {FEWEST_FOR_UMAP} artists"
    return points, meaning


@dataclasses.dataclass(frozen=True)
class _Sheets:
    """Draws sheets of real pictures, and generated ones, by style dimension.

    Args:
        run: with a generator for figure 4.
        folder: of the figures.
        pictures: uint8 [n, size, size, 3], to which `Dimension` refers.
        rng: of random codes and chosen pictures.
    """

    run: TrainedRun
    folder: pathlib.Path
    pictures: np.ndarray
    rng: np.random.Generator

    def draw_ends(self, dimensions: Sequence[Dimension]) -> Picture:
        """Draw real pictures of both ends of each dimension."""
        rows = [
            self._draw_row(
                dimension, _ENDS, f"{dimension.caption} - share {dimension.share:.0%}"
            )
            for dimension in dimensions
        ]
        return self._write(
            "style_dimensions.png",
            rows,
            "Random training pictures of the lowest (left) and the highest 10 % "
            "(right) of each dimension. The title names what increases to the right, "
            "and the dimension's share of the variance between artists.",
        )

    def draw_map(
        self,
        points: np.ndarray,
        meaning: str,
        codes: np.ndarray,
        artist_ids: np.ndarray,
    ) -> Picture:
        """Draw each artist's most typical picture at the artist's place.

        `place_artists` returns the points and their meaning; codes are those of all
        pictures, normalized.
        """
        artists = np.unique(artist_ids)
        if len(artists) > _MAPPED_ARTISTS:
            spread = np.linspace(0, len(artists) - 1, _MAPPED_ARTISTS)
            artists = artists[spread.round().astype(int)]
        means = self.run.style_statistics.artist_means
        distances = np.square(codes - means[artist_ids]).sum(axis=1)
        typical = [
            np.where(artist_ids == artist, distances, np.inf).argmin()
            for artist in artists
        ]
        names = [show(self.run.dataset.artist_names[artist]) for artist in artists]
        shown = "the artists"
        if len(artists) < len(points):
            shown = f"{len(artists)} of the {len(points):,} artists"
        return self._write(
            "artist_map.png",
            [draw_artist_map(points[artists], self.pictures[typical], names)],
            f"A map of {shown}: their mean style codes {meaning}. Each point shows the "
            "artist's picture nearest to the mean; a line connects pictures that were "
            "moved apart to their points.",
        )

    def draw_figure_4(self, dimension: Dimension) -> Picture:
        """Draw random codes with other values of a dimension, above real pictures."""
        swept = sweep_dimension(
            self.run.generator,
            self.run.code_sizes,
            dimension.number - 1,
            _VALUES,
            _GROUPS_PER_ROW * _GROUP_ROWS,
            self.rng,
        )
        columns = _GROUPS_PER_ROW * len(_VALUES)
        generated = grids.draw_grid(
            swept.reshape(_GROUP_ROWS, columns, *swept.shape[2:]),
            column_captions=[str(value) for value in _VALUES] * _GROUPS_PER_ROW,
            title=dimension.caption,
            column_breaks=range(len(_VALUES), columns, len(_VALUES)),
        )
        real = self._draw_row(dimension, columns // 2)
        return self._write(
            f"figure_4_dimension_{dimension.number}.png",
            [generated, real],
            f"Figures 4 and 5 for {dimension.caption}. Top: random codes with this "
            f"dimension set to {', '.join(map(str, _VALUES))}; the rest of the code is "
            "the same within a group. Bottom: training pictures of the lowest and the "
            "highest 10 %.",
        )

    def _draw_row(
        self, dimension: Dimension, count: int, title: str | None = None
    ) -> Image.Image:
        """Draw random pictures of both ends, each end in the order of its codes."""
        row: list[np.ndarray] = []
        captions: list[str] = []
        for ranked, caption in (
            (dimension.low_pictures, "lowest 10 %"),
            (dimension.high_pictures[::-1], "highest 10 %"),
        ):
            count = min(count, len(ranked))
            chosen = np.sort(self.rng.choice(len(ranked), count, replace=False))
            row += [*self.pictures[ranked[chosen]]]
            captions += [caption, *[""] * (count - 1)]
        return grids.draw_grid(
            [row],
            column_captions=captions,
            title=title,
            column_breaks=[captions.index("highest 10 %")],
        )

    def _write(self, name: str, sheets: list[Image.Image], caption: str) -> Picture:
        grids.write_picture(grids.stack_sheets(sheets), self.folder / name)
        return Picture(f"{self.folder.name}/{name}", caption)


def _explain(pictures: int, artists: int) -> str:
    chance = compute_chance_correlation(artists)
    return (
        "Each dimension of the style code ranks pictures. The table lists its share of "
        "the variance between the artists' mean codes, the artists with the lowest and "
        "the highest means, and the measured properties of pictures that increase with "
        "it.\n\n"
        f"r is the correlation of the code with a property over {pictures:,} training "
        "pictures. Only measured properties are named (lightness, color, edges, "
        "strokes, contrast, detail, symmetry). You may see something better in the "
        "rows of pictures: a line `dimension<TAB>name` in "
        f"{NAMES_FILE} in the run folder adds your own name.\n\n"
        f"Properties with |r| below {THRESHOLD:g} are not named ({NOTHING_CLEAR!r}). "
        "Pictures by the same artist have similar codes, so with few artists unrelated "
        f"properties correlate as well: with {artists}, one in twenty exceeds "
        f"{min(1.0, chance):.2f} by chance. If no property exceeds this value, the "
        "description is a guess and says 'perhaps'."
    )


def _tabulate(
    dimensions: Sequence[Dimension], names: Sequence[str]
) -> list[list[object]]:
    def join_names(artists: Sequence[int]) -> str:
        return ", ".join(show(names[artist]) for artist in artists)

    head: list[object] = ["dimension", "share of between-artist variance"]
    table = [[*head, "lowest artists", "highest artists", "higher values mean"]]
    for dimension in dimensions:
        low, high = map(join_names, (dimension.low_artists, dimension.high_artists))
        share = f"{dimension.share:.1%}"
        table.append([dimension.number, share, low, high, dimension.meaning])
    return table
