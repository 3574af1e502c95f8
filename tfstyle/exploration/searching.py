"""Search in a style space: what `python -m tfstyle.search` does.

The codes of the run's training and test pictures are kept in RUN_DIR/metric/index.npz,
made on first use and again when the space or the records have changed. A run that
cannot be written to is searched without it.
"""

import dataclasses
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.data.pictures import PictureError, load_picture
from tfstyle.exploration import encoding
from tfstyle.modeling.networks.codes import collect_codes, encode_pictures
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs.style_space import StyleSpace

INDEX_FILE = "index.npz"
_SPLITS = ("train", "test")
# Works on a sheet for each picture at the most, and in each of its rows.
_SHOWN, _IN_A_ROW = 100, 10


@dataclasses.dataclass(frozen=True)
class Index:
    """Codes of the run's pictures, in the order of the records: row = position.

    Args:
        codes: float32 [N, style], normalized.
        artist_ids: int64 [N].
        filenames: N names as in the records.
    """

    codes: np.ndarray
    artist_ids: np.ndarray
    filenames: list[str]


@dataclasses.dataclass(frozen=True)
class Work:
    """A work that was found: where it is in the records, what it is, how near."""

    position: int
    filename: str
    artist: str
    distance: float


@dataclasses.dataclass(frozen=True)
class Found:
    """What is near a picture.

    Args:
        path: of the picture.
        picture: uint8 [size, size, 3], as the encoder sees it.
        artists: (name, distance), the nearest first.
        works: the nearest first.
    """

    path: str
    picture: np.ndarray
    artists: list[tuple[str, float]]
    works: list[Work]


def search(run_dir: pathlib.Path, paths: Sequence[str], count: int = 10) -> list[Found]:
    """Find the artists and works nearest to pictures.

    Args:
        run_dir: the run, its metric stage trained.
        paths: picture files.
        count: artists, and works, to find for each.

    Raises:
        UserError: a picture cannot be used, the stage is not trained, or the index
            must be made and the records are gone.
    """
    space = StyleSpace.load(run_dir)
    pictures = np.stack([_load(path, space) for path in paths])
    index = load_index(run_dir, space)
    codes = encode_pictures(space.encoder, pictures)
    artists, artist_distances = space.nearest(codes, space.means, count)
    works, work_distances = space.nearest(codes, index.codes, count)
    return [
        Found(
            path,
            pictures[row],
            [
                (space.names[artist], float(distance))
                for artist, distance in zip(
                    artists[row], artist_distances[row], strict=True
                )
            ],
            [
                Work(
                    int(work),
                    index.filenames[work],
                    space.names[index.artist_ids[work]],
                    float(distance),
                )
                for work, distance in zip(works[row], work_distances[row], strict=True)
            ],
        )
        for row, path in enumerate(paths)
    ]


def load_index(run_dir: pathlib.Path, space: StyleSpace) -> Index:
    """Read the index of a run; make it if it is missing or of other codes or records.

    Where it cannot be stored, that is said, and it is made each time.

    Raises:
        UserError: the index must be made, and the records are gone or have changed.
    """
    folder = runs.StageFolder(run_dir, "metric")
    path = folder.path / INDEX_FILE
    digests = np.array(
        [runs.load_statistics(folder).digest, space.collection["digest"]]
    )
    index = _read_index(path, digests)
    if index is not None:
        return index
    dataset = runs.load_dataset(run_dir)
    print(f"making the index {path}", flush=True)
    batches = encoding.with_progress(
        passes.split_batches(dataset, *_SPLITS), dataset.num_examples(*_SPLITS)
    )
    found = collect_codes(space.encoder, batches)
    try:
        files.write_npz(
            path,
            codes=found.codes,
            artist_ids=found.artist_ids,
            filenames=np.array(found.filenames, str),
            digests=digests,
        )
    except OSError as error:
        print(f"note: the index cannot be stored and is used once ({error.strerror})")
    return Index(found.codes, found.artist_ids, found.filenames)


def table(found: Sequence[Found]) -> list[str]:
    """Give what was found as lines of text."""
    lines = []
    for one in found:
        lines += [encoding.printable(one.path), "  distance  nearest artists"]
        lines += [f"  {distance:8.4f}  {name}" for name, distance in one.artists]
        lines.append("  distance  nearest works")
        lines += [
            f"  {work.distance:8.4f}  {encoding.printable(work.filename)}  "
            f"({work.artist})"
            for work in one.works
        ]
    return lines


def draw_sheet(run_dir: pathlib.Path, found: Sequence[Found]) -> Image.Image:
    """Lay out each picture beside the works found for it, ten to a row.

    Of more than a hundred works the nearest are shown, and that is said.

    Raises:
        UserError: if the run's records are gone or have changed.
    """
    dataset = runs.load_dataset(run_dir)
    rows = []
    for one in found:
        nearest = ", ".join(f"{name} {near:.4f}" for name, near in one.artists)
        name = pathlib.Path(encoding.printable(one.path)).name
        for first in range(0, min(len(one.works), _SHOWN), _IN_A_ROW):
            works = one.works[first : min(first + _IN_A_ROW, _SHOWN)]
            positions = [work.position for work in works]
            # A row that is not full keeps its works below those of the first.
            holes = min(len(one.works), _IN_A_ROW) - len(works)
            rows.append(
                grids.picture_grid(
                    [
                        [
                            None if first else one.picture,
                            *input_pipeline.read_pictures(dataset, _SPLITS, positions),
                            *[None] * holes,
                        ]
                    ],
                    column_captions=[
                        "" if first else name,
                        *(work.artist for work in works),
                        *[""] * holes,
                    ],
                    title=None if first else f"nearest artists: {nearest}",
                    column_breaks=[1],
                )
            )
    most = max(len(one.works) for one in found)
    if most > _SHOWN:
        print(f"note: the sheet shows the nearest {_SHOWN} of {most} works")
    return grids.stacked(rows)


def _load(path: str, space: StyleSpace) -> np.ndarray:
    wanted = space.collection
    try:
        return np.asarray(
            load_picture(
                path, wanted["image_size"], wanted["fit"], wanted["background"]
            )
        )
    except PictureError as error:
        raise UserError(f"{encoding.printable(path)} cannot be used: {error}") from None


def _read_index(path: pathlib.Path, digests: np.ndarray) -> Index | None:
    try:
        with np.load(path) as arrays:
            if not np.array_equal(arrays["digests"], digests):
                return None
            names = [str(name) for name in arrays["filenames"]]
            return Index(arrays["codes"], arrays["artist_ids"], names)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # missing or damaged: it is made again
