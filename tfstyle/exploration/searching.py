"""Find the artists and works of a run that are nearest in style to pictures.

The style codes of the run's training, validation, and test pictures are stored in
RUN_DIR/metric/index.npz. The index is made by the first search, and made again when the
style codes or the records have changed. If the run folder is read-only, each search
makes it.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.core import files, typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import show
from tfstyle.data import input_pipeline, records
from tfstyle.data.collections.splits import ARTIST_SPLITS
from tfstyle.data.pictures import PictureError
from tfstyle.exploration.collection import check_file, encode_splits
from tfstyle.modeling.networks.codes import Codes
from tfstyle.modeling.stages import metric
from tfstyle.runs.trained_run import TrainedRun

logger = logging.getLogger(__name__)

INDEX_FILE = "index.npz"
# Works on a sheet for each picture, at most.
MAX_SHOWN = 100
_PER_ROW = 10


@dataclasses.dataclass(frozen=True)
class Work:
    """A picture of the records, and its distance in the learned metric."""

    position: int  # in the splits that are searched
    filename: str
    artist: str
    distance: float


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The artists and works that are nearest to a picture, in order of distance."""

    path: str
    picture: np.ndarray  # uint8 [size, size, 3], as the encoder sees it
    artists: list[tuple[str, float]]  # name and distance
    works: list[Work]


def search(
    run: TrainedRun, paths: Sequence[str], count: int = 10
) -> list[SearchResult]:
    """Find for each picture file the `count` nearest artists, and as many works.

    Raises:
        UserError: a picture cannot be used, the stage is not trained, or the index
            must be made and the records are missing or have changed.
    """
    names, means = run.artists.names, run.artists.means
    pictures = np.stack([_load_picture(run, path) for path in paths])
    index = load_index(run)
    codes = run.encode_style(pictures)
    works = [
        [
            Work(k, index.filenames[k], names[index.artist_ids[k]], distance)
            for k, distance in ranked
        ]
        for ranked in _rank(run, codes, index.codes, count)
    ]
    artists = [
        [(names[k], distance) for k, distance in ranked]
        for ranked in _rank(run, codes, means, count)
    ]
    return list(map(SearchResult, paths, pictures, artists, works))


def load_index(run: TrainedRun) -> Codes:
    """Read the index, or make it if it is missing or outdated.

    Raises:
        UserError: the index must be made, and the records are missing or have changed.
    """
    path = run.folder(metric.SPEC.name).path / INDEX_FILE
    statistics, artists = run.style_statistics, run.collection.artists
    digests = np.array([statistics.digest, run.collection.digest])
    index = _read_index(path, digests, statistics.dims, len(artists))
    if index is not None:
        return index
    dataset = run.dataset
    logger.info("making the index %s", path)
    index = encode_splits(run.style_encoder, dataset, *ARTIST_SPLITS)
    try:
        files.write_npz(path, **vars(index), digests=digests)
    except OSError as error:
        logger.info(
            "note: the index cannot be stored, so each search makes it (%s)",
            error.strerror,
        )
    return index


def format_results(results: Sequence[SearchResult]) -> list[str]:
    """Format results as lines of a table."""
    lines = []
    for result in results:
        lines += [show(result.path), "  distance  nearest artists"]
        lines += [
            f"  {distance:8.4f}  {show(artist)}" for artist, distance in result.artists
        ]
        lines.append("  distance  nearest works")
        lines += [
            f"  {work.distance:8.4f}  {show(work.filename)}  ({show(work.artist)})"
            for work in result.works
        ]
    return lines


def draw_sheet(run: TrainedRun, results: Sequence[SearchResult]) -> Image.Image:
    """Draw each picture beside at most `MAX_SHOWN` works found for it, ten to a row.

    Raises:
        UserError: the run's records are missing or have changed.
    """
    dataset = run.dataset
    rows = [
        _draw_row(dataset, result, first)
        for result in results
        for first in range(0, min(len(result.works), MAX_SHOWN), _PER_ROW)
    ]
    most = max(len(result.works) for result in results)
    if most > MAX_SHOWN:
        logger.info("note: the sheet shows the nearest %d of %d works", MAX_SHOWN, most)
    return grids.stack_sheets(rows)


def _draw_row(
    dataset: records.Dataset, result: SearchResult, first: int
) -> Image.Image:
    """Draw the works from number `first` on; the picture itself if that is 0."""
    works = result.works[first : min(first + _PER_ROW, MAX_SHOWN)]
    positions = [work.position for work in works]
    shown = list(input_pipeline.read_pictures(dataset, ARTIST_SPLITS, positions))
    # Empty cells keep the works of a short row below those of the first.
    empty = min(len(result.works), _PER_ROW) - len(works)
    captions = [*(show(work.artist) for work in works), *[""] * empty]
    name = show(pathlib.Path(result.path).name)
    nearest = ", ".join(f"{show(name)} {near:.4f}" for name, near in result.artists)
    return grids.draw_grid(
        [[None if first else result.picture, *shown, *[None] * empty]],
        column_captions=["" if first else name, *captions],
        title=None if first else f"nearest artists: {nearest}",
        column_breaks=[1],
    )


def _rank(
    run: TrainedRun, codes: np.ndarray, others: np.ndarray, count: int
) -> list[list[tuple[int, float]]]:
    """Return for each code the (index, distance) of the nearest of `others`."""
    indices, distances = run.artists.find_nearest(codes, others, count)
    return [
        list(zip(*row, strict=True))
        for row in zip(indices.tolist(), distances.tolist(), strict=True)
    ]


def _load_picture(run: TrainedRun, path: str) -> np.ndarray:
    check_file(path)
    try:
        return run.load_picture(path)
    except PictureError as error:
        raise UserError(f"{show(path)} cannot be used: {error}") from None


def _read_index(
    path: pathlib.Path, digests: np.ndarray, dims: int, artists: int
) -> Codes | None:
    """Read an index; None if it is missing, outdated, or corrupt."""
    try:
        arrays = files.read_npz(path)
        if not np.array_equal(arrays["digests"], digests):
            return None
        codes, artist_ids = arrays["codes"], arrays["artist_ids"]
        typed.check_array(codes, (None, dims), "f", "codes")
        typed.check_array(artist_ids, (len(codes),), "iu", "artist_ids")
        typed.check_array(arrays["filenames"], (len(codes),), "U", "filenames")
        if not np.isin(artist_ids, range(artists)).all():
            raise ValueError("artist_ids names artists that there are not")
        filenames = [str(name) for name in arrays["filenames"]]
        return Codes(codes, artist_ids, filenames)
    except OSError:
        return None  # it is missing
    except UserError as error:  # names the file
        logger.warning("warning: %s; it is made again", error)
        return None
    except (ValueError, KeyError) as error:
        logger.warning("warning: %s is corrupt (%s); it is made again", path, error)
        return None
