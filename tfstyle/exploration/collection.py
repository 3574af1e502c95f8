"""Collections of pictures: files to load, and tables of codes to write."""

import concurrent.futures
import csv
import dataclasses
import itertools
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.core import files, names, progress
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.data.collections.sources import Source
from tfstyle.data.collections.walking import SkippedFile, walk
from tfstyle.data.pictures import PictureError
from tfstyle.modeling.networks.codes import BATCH_SIZE, Codes, collect_codes
from tfstyle.runs.trained_run import TrainedRun

logger = logging.getLogger(__name__)

LoadedBatch = tuple[list[Source], np.ndarray]


@dataclasses.dataclass(frozen=True)
class PictureFiles:
    """Picture files, and the files among them that cannot be used.

    Args:
        sources: the pictures. A picture of a folder is named by its path below the
            folder, and the first folder of that path is its artist. Other pictures have
            the artist "".
        skipped: (name, reason) of skipped files; loading adds to it.
    """

    sources: list[Source]
    skipped: list[SkippedFile]

    @classmethod
    def find(cls, paths: Sequence[str]) -> "PictureFiles":
        """List files, whatever their names, and all pictures below folders.

        A picture that is given twice, by its path and its folder, is listed once.

        Raises:
            UserError: a path does not exist or is neither a file nor a folder, or none
                holds a picture.
        """
        for path in paths:
            check_file(path, allow_folder=True)
        pictures = cls([], [])
        seen: set[str] = set()
        for path in paths:
            folder = path if pathlib.Path(path).is_dir() else None
            members, left_out = walk(folder) if folder else ([path], [])
            # Links within one folder are separate pictures.
            members = [name for name in members if os.path.realpath(name) not in seen]
            seen.update(map(os.path.realpath, members))
            pictures.sources.extend(_name_source(name, folder) for name in members)
            pictures.skipped.extend(
                (_name_below(name, folder or ""), reason)
                for name, reason in left_out
                if os.path.realpath(name) not in seen
            )
            seen.update(os.path.realpath(name) for name, _ in left_out)
        if paths and not pictures.sources:
            log_skipped(pictures.skipped)
            raise UserError(
                f"there is no picture in {', '.join(map(names.show, paths))}"
            )
        return pictures

    @property
    def artists(self) -> list[str]:
        """The artists by their labels in `load_padded`."""
        return sorted({source.artist for source in self.sources})

    def load(
        self,
        run: TrainedRun,
        description: str | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[LoadedBatch]:
        """Load pictures in batches, converted like the records of a run.

        With a description of the work a progress bar is shown.

        Returns:
            An iterator over n sources and their pictures, uint8 [n, size, size, 3] RGB.

        Raises:
            UserError: no picture is usable.
        """
        batches = self._load_batches(run, batch_size)
        if description is None:
            return batches
        return progress.track(batches, len(self.sources), description, batch_size)

    def load_padded(
        self, run: TrainedRun, description: str
    ) -> Iterator[dict[str, tf.Tensor]]:
        """Load pictures (see `load`) as batches like `input_pipeline.eval_batches`.

        "artist" is an index in `artists`.
        """
        labels = {artist: label for label, artist in enumerate(self.artists)}
        for sources, pictures in self.load(run, description):
            padding = BATCH_SIZE - len(sources)
            artists = [labels[source.artist] for source in sources]
            filenames = [names.encode(source.name) for source in sources]
            yield {
                "image": tf.constant(np.pad(pictures, [(0, padding), *[(0, 0)] * 3])),
                "artist": tf.constant(artists + [0] * padding, tf.int64),
                "filename": tf.constant(filenames + [b""] * padding),
                "mask": tf.constant([1.0] * len(sources) + [0.0] * padding),
            }

    def _load_batches(self, run: TrainedRun, batch_size: int) -> Iterator[LoadedBatch]:
        usable = self._load_usable(run)
        while batch := list(itertools.islice(usable, batch_size)):
            sources, pictures = zip(*batch, strict=True)
            yield list(sources), np.stack(pictures)

    def _load_usable(self, run: TrainedRun) -> Iterator[tuple[Source, np.ndarray]]:
        def load(source: Source) -> np.ndarray | PictureError:
            try:
                return run.load_picture(source.path)
            except PictureError as error:
                return error

        unusable = 0
        # Pillow decodes and resizes outside of Python's lock, so threads are parallel.
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, len(self.sources), BATCH_SIZE):
                part = self.sources[start : start + BATCH_SIZE]
                for source, picture in zip(part, pool.map(load, part), strict=True):
                    if isinstance(picture, PictureError):
                        self.skipped.append((source.name, str(picture)))
                        unusable += 1
                    else:
                        yield source, picture
        if unusable == len(self.sources):
            name, reason = self.skipped[0]
            raise UserError(
                f"no picture of {unusable} is usable; the first skipped file is"
                f" {names.show(name)} ({reason})"
            )


@dataclasses.dataclass(frozen=True)
class CollectionCodes:
    """The codes of N pictures.

    Args:
        filenames: [N], paths below the folder, or names as in the records.
        artists: [N], artists' names as in the records; for pictures of a folder, see
            `PictureFiles`.
        splits: [N], names of the records' splits; "" for pictures of a folder.
        nearest_artists: [N], names of artists of the run.
        nearest_distances: float32 [N], in the learned metric.
        style: float32 [N, style], normalized.
        content: float32 [N, content]; None if the vae stage is not trained.
    """

    filenames: list[str]
    artists: list[str]
    splits: list[str]
    nearest_artists: list[str]
    nearest_distances: np.ndarray
    style: np.ndarray
    content: np.ndarray | None

    def write(self, path: str) -> None:
        """Write an .npz file, or a .csv file with a column for each dimension.

        The .csv file is UTF-8; `names.read` restores names from it.
        """
        arrays = {
            name: np.asarray(values)
            for name, values in vars(self).items()
            if values is not None
        }
        if path.endswith(".npz"):
            files.write_npz(path, **arrays)
            return
        columns: dict[str, Iterable[object]] = {}
        for name, array in arrays.items():
            if array.ndim == 2:
                columns |= {f"{name}_{d}": code for d, code in enumerate(array.T, 1)}
            elif array.dtype.kind == "U":
                columns[name.removesuffix("s")] = map(names.show, array.tolist())
            else:
                columns[name.removesuffix("s")] = array
        with (
            files.atomic_file(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def encode_splits(
    encode: Callable[[tf.Tensor], tf.Tensor], dataset: records.Dataset, *splits: str
) -> Codes:
    """Encode every picture of splits, in the order of the records, with a bar.

    `encode` is from images to codes, see `collect_codes`.

    Raises:
        UserError: a record is corrupt.
    """
    batches = input_pipeline.eval_batches(dataset, *splits)
    total = dataset.num_examples(*splits)
    with input_pipeline.report_bad_records(lambda: dataset):
        return collect_codes(
            encode,
            progress.track(batches, total, "encoding", input_pipeline.EVAL_BATCH_SIZE),
        )


def check_file(path: str, allow_folder: bool = False) -> None:
    """Raise UserError unless a path is a file that can be read without waiting."""
    shown = names.show(path)
    if not os.path.exists(path):  # noqa: PTH110 (the name may be too long)
        kinds = "file or folder" if allow_folder else "file"
        raise UserError(f"there is no {kinds} {shown}")
    if not files.is_regular(path) and not (
        allow_folder and pathlib.Path(path).is_dir()
    ):
        raise UserError(f"{shown} is not a file")


def log_skipped(skipped: Sequence[SkippedFile]) -> None:
    """Log a line for each skipped file, and their number."""
    for name, reason in skipped:
        logger.info("skipped %s: %s", names.show(name), names.clean_line(reason))
    if skipped:
        logger.info("%s skipped", names.format_count(len(skipped), "file"))


def _name_source(path: str, folder: str | None) -> Source:
    if folder is None:
        return Source(path, "", names.from_path(path))
    name = _name_below(path, folder)
    return Source(path, name.split("/")[0] if "/" in name else "", name)


def _name_below(path: str, folder: str) -> str:
    """Return the name of a file by its path below a folder; "/" at the end is kept."""
    name = os.path.relpath(path, folder).replace(os.sep, "/")
    return names.from_path(f"{name}/" if path.endswith("/") else name)
