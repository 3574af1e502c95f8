"""What the style dimensions mean: figures 4 and 5, and a map of the artists."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.artist_map import (
    FEWEST_FOR_UMAP,
    draw_artist_map,
    neighbour_plane,
    principal_plane,
)
from tfstyle.analysis.drawing.examples import dimension_sweep
from tfstyle.analysis.drawing.page import Picture, Section
from tfstyle.analysis.reporting.descriptions import (
    NOTHING_CLEAR,
    THRESHOLD,
    Dimension,
    chance_correlation,
    describe_dimensions,
)
from tfstyle.analysis.reporting.properties import measure_properties
from tfstyle.data import records
from tfstyle.modeling.networks.codes import encode_pictures
from tfstyle.modeling.networks.networks import Generator
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs.dimension_names import NAMES_FILE, read_dimension_names

# Pictures that are ranked and measured. Records are in random order, so that the
# first are a fair sample of a large collection.
_PICTURES = 2000
# Rows of figures/style_dimensions.png, and real pictures at each end of a row.
_ROWS, _ENDS = 16, 6
# Figure 4: dimensions that get a sheet, values (section 6.3), random codes by rows.
_SHEETS, _VALUES = 4, (-5, 0, 5)
_GROUPS_PER_ROW, _GROUP_ROWS = 3, 2
_MAPPED_ARTISTS = 120  # more would be stamps


@dataclasses.dataclass(frozen=True)
class _Works:
    """Real pictures and their normalized codes: uint8 [n, ..], [n, dims], int64 [n]."""

    pictures: np.ndarray
    codes: np.ndarray
    artist_ids: np.ndarray


def dimensions_section(
    run_dir: pathlib.Path,
    dataset: records.Dataset,
    seed: int = 0,
    generator: Generator | None = None,
    projection: str = "pca",
) -> Section:
    """Draw and describe what each kept style dimension does.

    Args:
        run_dir: with a finished metric stage.
        dataset: its records.
        seed: of random codes and chosen pictures.
        generator: of the gan stage; without it there is no figure 4.
        projection: of the map of artists, "pca" or "umap".

    Raises:
        UserError: the names given to dimensions are malformed, or UMAP is wanted and
            not installed.
    """
    names = read_dimension_names(run_dir)
    statistics = runs.load_statistics(runs.StageFolder(run_dir, "metric"))
    # Normalized, every dimension would vary alike; in the encoder's own scale those
    # that part the artists most vary most.
    means = statistics.artist_means * statistics.deviation
    works = _encode_works(run_dir, dataset)
    dimensions = describe_dimensions(
        works.codes, means, measure_properties(works.pictures), names
    )
    folder = run_dir / "figures"
    random = np.random.default_rng([seed, 4])
    pictures = [
        _rows_sheet(dimensions[:_ROWS], works, folder, random),
        _map_sheet(
            statistics.artist_means,
            _placed(means, projection, seed),
            works,
            dataset,
            folder,
        ),
    ]
    if generator is not None:
        code_dims = runs.StageFolder(run_dir, "gan").read()["code_dims"]
        ordered = sorted(dimensions, key=lambda one: -one.share)
        for dimension in ordered[:_SHEETS]:
            swept = dimension_sweep(
                generator,
                code_dims,
                dimension.number - 1,
                _VALUES,
                _GROUPS_PER_ROW * _GROUP_ROWS,
                random,
            )
            pictures.append(_figure_4(dimension, swept, works, folder, random))
    return Section(
        "What the style dimensions mean",
        _explanation(len(works.pictures), len(means)),
        table=_table(dimensions, dataset.artist_names),
        pictures=pictures,
    )


def _encode_works(run_dir, dataset: records.Dataset) -> _Works:
    """Read and encode training pictures, as the paper does."""
    encoder = runs.load_style_encoder(run_dir)
    pictures, codes, artist_ids = [], [], []
    batches = passes.split_batches(dataset, "train")
    for batch in itertools.islice(batches, -(-_PICTURES // passes.BATCH)):
        kept = batch["mask"].numpy() > 0
        pictures.append(batch["image"].numpy()[kept])
        codes.append(encode_pictures(encoder, pictures[-1]))
        artist_ids.append(batch["artist"].numpy()[kept])
    return _Works(*map(np.concatenate, (pictures, codes, artist_ids)))


def _explanation(pictures: int, artists: int) -> str:
    return (
        "Each dimension of the style code ranks pictures. The table says how much of "
        "the difference between artists' mean codes lies along it, whose means are "
        "the lowest and the highest, and which measured properties of the picture "
        "grow with it.\n\n"
        f"r is the correlation of the code with a property over {pictures:,} training "
        "pictures. Only what is measured can be named (lightness, color, edges, "
        "strokes, contrast, detail, symmetry): the rows of pictures may show you "
        "something better, and a line `dimension<TAB>name` in "
        f"{NAMES_FILE} in the run folder puts your own name in front.\n\n"
        f"Below |r| = {THRESHOLD:g} a property gets no word ({NOTHING_CLEAR!r}). An "
        "artist's pictures have much the same code, so with few artists unrelated "
        f"things correlate as well: with {artists}, one in twenty exceeds "
        f"{min(1.0, chance_correlation(artists)):.2f} by chance. Where none does, the "
        "words are a guess, and say 'perhaps'."
    )


def _table(dimensions: Sequence[Dimension], names: Sequence[str]):
    def listed(artists):
        return ", ".join(names[one] for one in artists)

    rows: list[list[object]] = [
        [
            "dimension",
            "share of between-artist variance",
            "lowest artists",
            "highest artists",
            "higher values go with",
        ]
    ]
    return rows + [
        [
            one.number,
            f"{one.share:.1%}",
            listed(one.low_artists),
            listed(one.high_artists),
            one.meaning,
        ]
        for one in dimensions
    ]


def _ends(dimension, works: _Works, count: int, random) -> tuple[list, list]:
    """Draw real pictures of both ends, each in the order of its codes."""
    ends = []
    for ranked in (dimension.low_pictures, dimension.high_pictures[::-1]):
        count = min(count, len(ranked))
        chosen = np.sort(random.choice(len(ranked), count, replace=False))
        ends.append(list(works.pictures[ranked[chosen]]))
    return ends[0], ends[1]


def _ends_sheet(dimension, works, count, random, title=None):
    low, high = _ends(dimension, works, count, random)
    captions = ["lowest 10 %"] + [""] * (len(low) - 1)
    captions += ["highest 10 %"] + [""] * (len(high) - 1)
    return grids.picture_grid(
        [low + high],
        column_captions=captions,
        title=title,
        column_breaks=[len(low)],
    )


def _rows_sheet(dimensions, works, folder, random) -> Picture:
    rows = [
        _ends_sheet(one, works, _ENDS, random, f"{one.caption} - share {one.share:.0%}")
        for one in dimensions
    ]
    name = "style_dimensions.png"
    grids.write_picture(grids.stacked(rows), folder / name)
    return Picture(
        f"figures/{name}",
        "Training pictures drawn at random from the lowest (left) and the highest 10 % "
        "(right) of each dimension, with what grows to the right and the dimension's "
        "share of the variance between artists.",
    )


def _figure_4(dimension, swept, works, folder, random) -> Picture:
    groups, count, *shape = swept.shape
    across = groups // _GROUP_ROWS
    generated = grids.picture_grid(
        swept.reshape(_GROUP_ROWS, across * count, *shape),
        column_captions=[f"{value}" for value in _VALUES] * across,
        title=dimension.caption,
        column_breaks=range(count, across * count, count),
    )
    real = _ends_sheet(dimension, works, across * count // 2, random)
    name = f"figure_4_dimension_{dimension.number}.png"
    grids.write_picture(grids.stacked([generated, real]), folder / name)
    values = ", ".join(map(str, _VALUES))
    return Picture(
        f"figures/{name}",
        f"Figures 4 and 5 for {dimension.caption}. Above: random codes with this "
        f"dimension set to {values}, the rest of the code unchanged within a group. "
        "Below: training pictures of the lowest and the highest 10 %.",
    )


def _placed(means: np.ndarray, projection: str, seed: int) -> tuple[np.ndarray, str]:
    """Give each artist's place on the map, float [artists, 2], and what it means."""
    if projection == "umap" and len(means) >= FEWEST_FOR_UMAP:
        return neighbour_plane(means, seed), (
            "laid out by UMAP, which keeps neighbours together; directions and wide "
            "distances mean little"
        )
    points, shares = principal_plane(means)
    meaning = (
        "on the two directions of largest variance (principal components, "
        f"{shares[0]:.0%} and {shares[1]:.0%} of it)"
    )
    if projection == "umap":
        meaning += f", as UMAP needs at least {FEWEST_FOR_UMAP} artists"
    return points, meaning


def _map_sheet(normalized, placed, works, dataset, folder) -> Picture:
    """Put each artist's most typical picture at the artist's place."""
    points, meaning = placed
    present = np.unique(works.artist_ids)
    if len(present) > _MAPPED_ARTISTS:
        spread = np.linspace(0, len(present) - 1, _MAPPED_ARTISTS)
        present = present[spread.round().astype(int)]
    typical = []
    for artist in present:
        own = np.flatnonzero(works.artist_ids == artist)
        distances = np.square(works.codes[own] - normalized[artist]).sum(axis=1)
        typical.append(own[distances.argmin()])
    grids.write_picture(
        draw_artist_map(
            points[present],
            works.pictures[typical],
            [dataset.artist_names[artist] for artist in present],
        ),
        folder / "artist_map.png",
    )
    shown = "the artists"
    if len(present) < len(points):
        shown = f"{len(present)} of the {len(points):,} artists"
    return Picture(
        "figures/artist_map.png",
        f"A map of {shown}: their mean style codes {meaning}. At each point the "
        "artist's picture nearest to the mean; where pictures had to be moved apart, a "
        "line leads to the point.",
    )
