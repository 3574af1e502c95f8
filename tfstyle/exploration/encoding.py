"""Codes of whole collections: of any folder of pictures, or of records."""

import concurrent.futures
import csv
import dataclasses
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.core.files import replacing, write_npz
from tfstyle.data import records, splits
from tfstyle.data.pictures import SUFFIXES, PictureError, load_picture
from tfstyle.data.splits import Source
from tfstyle.modeling.networks.codes import BATCH_SIZE, collect_codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs.style_space import StyleSpace

# A picture that is left out, and why.
LeftOut = tuple[str, str]
Batches = Iterable[Mapping[str, tf.Tensor]]
Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Collection:
    """The codes of N pictures.

    Args:
        filenames: N paths below the folder, or names as in the records.
        artists: N names: of the folder below the input folder, "" beside folders, or
            of the records.
        splits: N names of the records' splits; "" for pictures of a folder.
        style: float32 [N, style], normalized.
        content: float32 [N, content]; None if the vae stage is not trained.
        nearest_artists: N names of artists of the run.
        nearest_distances: float32 [N], in the style space as learned.
    """

    filenames: list[str]
    artists: list[str]
    splits: list[str]
    style: np.ndarray
    content: np.ndarray | None
    nearest_artists: list[str]
    nearest_distances: np.ndarray

    def write(self, path: str) -> None:
        """Write all as .npz, or as .csv with a column for each dimension."""
        if path.endswith(".npz"):
            write_npz(path, **self._arrays())
        else:
            with replacing(path) as temporary:
                self._write_csv(temporary)

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {
            "filenames": np.array(self.filenames, str),
            "artists": np.array(self.artists, str),
            "splits": np.array(self.splits, str),
            "style": self.style,
            "nearest_artists": np.array(self.nearest_artists, str),
            "nearest_distances": self.nearest_distances,
        }
        if self.content is not None:
            arrays["content"] = self.content
        return arrays

    def _write_csv(self, path: str) -> None:
        columns = {"style": self.style}
        if self.content is not None:
            columns["content"] = self.content
        header = ["filename", "artist", "split", "nearest_artist", "nearest_distance"]
        for name, codes in columns.items():
            header += [f"{name}_{d + 1}" for d in range(codes.shape[1])]
        with open(
            path, "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for row, filename in enumerate(self.filenames):
                writer.writerow(
                    [
                        filename,
                        self.artists[row],
                        self.splits[row],
                        self.nearest_artists[row],
                        self.nearest_distances[row],
                        *(one for codes in columns.values() for one in codes[row]),
                    ]
                )


def encode_folder(
    run_dir: pathlib.Path, input_dir: str
) -> tuple[Collection, list[LeftOut]]:
    """Encode every picture below a folder, whatever its kind and size.

    Args:
        run_dir: the run.
        input_dir: the folder; folders right below it are taken for artists' names.

    Returns:
        The codes, a folder's own pictures before those of the folders in it; and the
        files that were left out.

    Raises:
        UserError: the metric stage is not trained, or there is no usable picture.
    """
    if not os.path.isdir(input_dir):
        raise UserError(f"--input_dir={input_dir} is not a folder")
    space = StyleSpace.load(run_dir)
    sources, left_out = find_pictures([input_dir])
    batches = picture_batches(sources, space.collection, left_out)
    artists = dict(enumerate(_folder_artists(sources)))
    collection = _encode(run_dir, space, with_progress(batches, len(sources)), artists)
    return collection, left_out


def encode_records(run_dir: pathlib.Path, records_dir: str) -> Collection:
    """Encode every picture of records, of all splits, in their order.

    Args:
        run_dir: the run.
        records_dir: the records, those of the run or others of the same size.

    Raises:
        UserError: the metric stage is not trained, or the records do not fit.
    """
    space = StyleSpace.load(run_dir)
    dataset = records.read_dataset(records_dir)
    size = space.collection["image_size"]
    if dataset.image_size != size:
        raise UserError(
            f"the pictures of {records_dir} are {dataset.image_size} pixels wide, the"
            f" run's networks take {size}: make records with --image_size={size}, or"
            " give the pictures themselves as --input_dir"
        )
    parts = [one for one in splits.SPLITS if dataset.num_examples(one)]
    batches = with_progress(
        passes.split_batches(dataset, *parts), dataset.num_examples(*parts)
    )
    people = (*dataset.artists, *dataset.holdout_artists)
    names = {artist.label: artist.name for artist in people}
    # The records come split by split.
    each = [split for split in parts for _ in range(dataset.num_examples(split))]
    return dataclasses.replace(_encode(run_dir, space, batches, names), splits=each)


def find_pictures(paths: Sequence[str]) -> tuple[list[Source], list[LeftOut]]:
    """List picture files, and those below folders.

    Args:
        paths: of files, which are taken whatever their names, and folders. A picture
            given twice, by its name and a folder say, is listed once.

    Returns:
        The pictures in order, and (name, reason) of the other files in the folders. A
        picture of a folder is named by its path below it, its artist is the first part
        of that.

    Raises:
        UserError: there is nothing at one of the paths, or no picture in any.
    """
    for path in paths:
        if not os.path.exists(path):
            raise UserError(f"there is no file or folder {printable(path)}")
    sources: list[Source] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    for path in paths:
        files = splits.walk(path) if os.path.isdir(path) else [path]
        # Links inside of one folder are left as they are.
        files = [file for file in files if os.path.realpath(file) not in seen]
        seen.update(map(os.path.realpath, files))
        if not os.path.isdir(path):
            sources += [Source(file, "", file) for file in files]
            continue
        for file in files:
            name = os.path.relpath(file, path).replace(os.sep, "/")
            if splits.is_picture(file):
                artist, slash, _ = name.partition("/")
                sources.append(Source(file, artist if slash else "", name))
            else:
                left_out.append((name, "not_a_picture"))
    if paths and not sources:
        kinds = " ".join(sorted(SUFFIXES))
        raise UserError(
            f"there is no picture in {', '.join(map(printable, paths))} (names must end"
            f" in one of {kinds})"
        )
    return sources, left_out


def picture_batches(
    sources: Sequence[Source], collection: dict[str, Any], left_out: list[LeftOut]
) -> Iterator[dict[str, tf.Tensor]]:
    """Make batches like `input_pipeline.eval_batches`, but from picture files.

    A batch of pictures is in memory at a time.

    Args:
        sources: the pictures.
        collection: image_size, fit and background, as of the run's records.
        left_out: gets the name and reason of each picture that cannot be used.

    Raises:
        UserError: if no picture can be used.
    """
    size = collection["image_size"]
    labels = {name: label for label, name in enumerate(_folder_artists(sources))}
    for used, pictures in usable_pictures(sources, collection, left_out):
        images = np.zeros([BATCH_SIZE, size, size, 3], np.uint8)
        images[: len(used)] = pictures
        artists = np.zeros(BATCH_SIZE, np.int64)
        names, mask = [b""] * BATCH_SIZE, np.zeros(BATCH_SIZE, np.float32)
        for row, source in enumerate(used):
            artists[row], mask[row] = labels[source.artist], 1
            names[row] = os.fsencode(source.name)
        yield {
            "image": tf.constant(images),
            "artist": tf.constant(artists),
            "filename": tf.constant(names),
            "mask": tf.constant(mask),
        }


def usable_pictures(
    sources: Sequence[Source], collection: dict[str, Any], left_out: list[LeftOut]
) -> Iterator[tuple[list[Source], np.ndarray]]:
    """Load pictures, a batch at a time.

    Args:
        sources, collection, left_out: as for `picture_batches`; at least one source,
            as `find_pictures` gives.

    Yields:
        At most BATCH_SIZE sources, and their pictures, uint8 [n, size, size, 3] RGB.

    Raises:
        UserError: if no picture can be used.
    """
    usable = _loaded(sources, collection, left_out)
    batch = list(itertools.islice(usable, BATCH_SIZE))
    if not batch:
        name, reason = left_out[0]
        raise UserError(
            f"there is no usable picture among {len(sources)}; the first file left out"
            f" is {printable(name)} ({reason})"
        )
    while batch:
        yield [source for source, _ in batch], np.stack([one for _, one in batch])
        batch = list(itertools.islice(usable, BATCH_SIZE))


def with_progress(
    items: Iterable[Item], total: int, doing: str = "encoding", each: int = BATCH_SIZE
) -> Iterator[Item]:
    """Pass items on and show on stderr how far it is, if there are several.

    A terminal gets one line that is rewritten, a log a line every half minute.

    Args:
        items: batches of pictures, or whatever is done one after the other.
        total: how much there is to do.
        doing: what is done.
        each: how much of the total an item is.
    """
    if total <= each:
        yield from items
        return
    on_terminal = sys.stderr.isatty()
    began = shown = time.monotonic()
    done = 0
    for item in items:
        yield item
        done = min(total, done + each)
        now = time.monotonic()
        if now - shown < (0.2 if on_terminal else 30) and done < total:
            continue
        shown = now
        bar = "=" * (20 * done // total)
        rate = done / max(now - began, 1e-3)
        left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate))
        line = f"{doing} [{bar:<20}] {done}/{total}, {rate:.0f}/s, {left} left"
        print(
            f"\r{line:<70}" if on_terminal else line,
            end="" if on_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
    if on_terminal:
        print(file=sys.stderr)


def printable(name: str) -> str:
    """Give a file name for people: one that is no text loses what is not."""
    return os.fsencode(name).decode(errors="replace")


def left_out_lines(left_out: Sequence[LeftOut]) -> list[str]:
    """Name and count what was left out, as lines of text."""
    lines = [f"skipped {printable(name)}: {reason}" for name, reason in left_out]
    return [*lines, f"{len(lines)} files skipped"] if lines else []


def _loaded(
    sources: Sequence[Source], collection: dict[str, Any], left_out: list[LeftOut]
) -> Iterator[tuple[Source, np.ndarray]]:
    def load(source: Source) -> np.ndarray | PictureError:
        try:
            return np.asarray(
                load_picture(
                    source.path,
                    collection["image_size"],
                    collection["fit"],
                    collection["background"],
                )
            )
        except PictureError as error:
            return error

    # Threads, because Pillow decodes and resizes outside of Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(sources), BATCH_SIZE):
            part = sources[first : first + BATCH_SIZE]
            for source, picture in zip(part, pool.map(load, part), strict=True):
                if isinstance(picture, PictureError):
                    left_out.append((source.name, str(picture)))
                else:
                    yield source, picture


def _encode(
    run_dir: pathlib.Path,
    space: StyleSpace,
    batches: Batches,
    artist_names: Mapping[int, str],
) -> Collection:
    encoders = [space.encoder]
    if runs.StageFolder(run_dir, "vae").finished:
        encoders.append(runs.load_content_encoder(run_dir))

    # One pass: decoding a picture takes longer than encoding it.
    def encode(images):
        return tf.concat([encoder(images) for encoder in encoders], axis=1)

    found = collect_codes(encode, batches)
    style, content = np.split(found.codes, [space.encoder.dims], axis=1)
    nearest, distances = space.nearest(style, space.means, 1)
    return Collection(
        filenames=found.filenames,
        artists=[artist_names[label] for label in found.artist_ids.tolist()],
        splits=[""] * len(found.filenames),
        style=style,
        content=content if len(encoders) > 1 else None,
        nearest_artists=[space.names[artist] for artist in nearest[:, 0]],
        nearest_distances=distances[:, 0].astype(np.float32),
    )


def _folder_artists(sources: Sequence[Source]) -> list[str]:
    """Give the names that the labels of `picture_batches` stand for."""
    return sorted({source.artist for source in sources})
