"""Find the faces in a folder of pictures, and write them as a manifest.

    python tools/detect_faces.py --input_dir=PICTURES --output=faces.jsonl
    python tools/make_tfrecords.py --manifest=faces.jsonl --input_dir=PICTURES \
      --output_dir=RECORDS

PICTURES holds a folder per artist. Each line of the manifest is a face: the picture,
the artist, a square box that is widened to head and hair, the angle by which it is
tilted, and the likelihood that it is a face. Interrupted runs go on where they stopped.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any, TextIO, TypedDict

from absl import flags

from tfstyle.core import cli, files, names, typed
from tfstyle.core.cli import UserError
from tfstyle.core.progress import progress_bar
from tfstyle.data import pictures
from tfstyle.data.catalogs import face_detection
from tfstyle.data.catalogs.face_detection import Detector, Search
from tfstyle.data.collections.conversion_pool import (
    count_processors,
    map_in_processes,
)
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.collections.walking import SkippedFile
from tfstyle.data.refusals import exclusions

_INPUT_DIR = cli.define_path(
    "input_dir", None, "Folder that holds one folder per artist."
)
_OUTPUT = cli.define_path("output", None, "Manifest to write (.jsonl).")
_EXCLUDE, _ALLOW_UNMATCHED = exclusions.define_flags()
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing manifest.")
_CASCADE = cli.define_path(
    "cascade",
    None,
    "Cascade file of OpenCV to use instead of AnimeFace; it knows neither likelihoods"
    " nor angles other than those of --tilts.",
)
_TILTS = flags.DEFINE_list(
    "tilts",
    [str(tilt) for tilt in Search.tilts],
    "Rotations in degrees of the copies that are searched; each finds faces within 30"
    " degrees and takes as long as the picture itself.",
)
_MIN_LIKELIHOOD = flags.DEFINE_float(
    "min_likelihood",
    Search.min_likelihood,
    "Leave out faces below this. Review what is left with tools/review_faces.py.",
    0.0,
    1.0,
)
_MAX_SIDE = flags.DEFINE_integer(
    "max_side", Search.max_side, "Reduce larger pictures to this for the detection.", 64
)
_WIDEN = flags.DEFINE_float(
    "widen", Search.widen, "Side of the square relative to that of the face.", 0.1, 10.0
)
_RAISE_BY = flags.DEFINE_float(
    "raise_by",
    Search.raise_by,
    "Shift of the square towards the hair, relative to the face.",
    -1.0,
    1.0,
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", 0, "Processes; 0 for one per processor.", 0
)

_PARTIAL = ".partial"  # suffix of what is written before the end
_MAX_NAMED = 10  # skipped files that are named for each reason
_CHUNK = 4  # pictures given to a process at a time


def main() -> None:
    """Detect, with a line per picture in a partial file, and write the manifest."""
    output = _OUTPUT.value or ""
    cli.check_output(output, ".jsonl", overwrite=_OVERWRITE.value)
    if not _INPUT_DIR.value:
        raise UserError("--input_dir is missing: a folder with one folder per artist")
    excluded = exclusions.read_exclusions(
        _EXCLUDE.value or [], _INPUT_DIR.value, _ALLOW_UNMATCHED.value
    )
    sources, skipped = scan_artist_folders(
        _INPUT_DIR.value, excluded.folders, excluded.keys
    )
    for note in excluded.notes:
        print(note)
    search = _make_search()
    face_detection.make_detector(_CASCADE.value)  # fails here rather than in a process
    partial = pathlib.Path(output + _PARTIAL)
    settings = {**dataclasses.asdict(search), "cascade": _CASCADE.value}
    done = _read_partial(partial, settings)
    unusable = 0
    with partial.open("a") as file:
        if not done:
            _write_line(file, {"settings": settings})
        left = [source for source in sources if source.name not in done]
        with progress_bar(len(sources), "detecting", len(sources) - len(left)) as bar:
            for source, result in _detect_all(left, search):
                done[source.name] = result
                _write_line(file, {"path": source.name, **result})
                file.flush()
                bar.update()
    faces, without = 0, 0
    with files.atomic_file(output) as temporary, temporary.open("w") as manifest:
        for source in sources:
            result = done[source.name]
            unusable += "error" in result
            without += result.get("faces") == []
            for face in result.get("faces", ()):
                _write_line(
                    manifest, {"path": source.name, "artist": source.artist, **face}
                )
                faces += 1
    partial.unlink()
    for source in sources:
        if error := done[source.name].get("error"):
            reason = names.clean_line(error)
            print(f"unusable   {names.show(source.name)}: {reason}")
    print(f"pictures   {len(sources)}, {without} without a face, {unusable} unusable")
    _print_skipped(skipped)
    print(f"faces      {faces}")
    print(f"manifest   {names.show(output)}")


def _print_skipped(skipped: list[SkippedFile]) -> None:
    """Print what the input folder holds beside usable pictures, a line per reason."""
    members = collections.defaultdict(list)
    for name, reason in sorted(skipped):
        members[reason].append(names.show(name))
    for reason, shown in members.items():
        left = len(shown) - _MAX_NAMED
        rest = f" and {left} more" if left > 0 else ""
        listed = ", ".join(shown[:_MAX_NAMED])
        print(f"skipped    {len(shown)} {reason}: {listed}{rest}")


def _make_search() -> Search:
    try:
        tilts = tuple(int(tilt) for tilt in _TILTS.value)
    except ValueError:
        raise UserError(
            f"--tilts must be whole degrees, as in 0,50,-50, got"
            f" {','.join(_TILTS.value)}"
        ) from None
    if not tilts:
        raise UserError("--tilts is empty: 0 searches the pictures as they are")
    return Search(
        max_side=_MAX_SIDE.value,
        tilts=tilts,
        min_likelihood=_MIN_LIKELIHOOD.value,
        widen=_WIDEN.value,
        raise_by=_RAISE_BY.value,
    )


class _Named(TypedDict):
    path: str


class _Result(_Named, total=False):
    """What was found in a picture: faces, or an error."""

    faces: list[dict[str, Any]]
    error: str


def _read_partial(path: pathlib.Path, settings: dict) -> dict[str, dict]:
    """Return the results of an interrupted run with the same settings, by picture."""
    if not path.exists():
        return {}
    shown = names.show(str(path))
    text = files.read_bytes(path).decode("utf-8", "surrogateescape")
    lines = text.splitlines(keepends=True)
    rows: list[dict] = []
    # The last line may be cut short. From a damaged one on, all is searched again.
    with contextlib.suppress(ValueError, RecursionError):
        for line in itertools.takewhile(lambda line: line.endswith("}\n"), lines):
            kind = _Result if rows else dict[str, Any]
            rows.append(typed.convert(kind, json.loads(line)))
    if not rows or rows[0].get("settings") != json.loads(json.dumps(settings)):
        if rows:
            print(f"note: {shown} is of other settings and is started over")
        path.unlink()
        return {}
    done = {row.pop("path"): row for row in rows[1:]}
    if done:
        pictures_done = names.format_count(len(done), "picture")
        print(f"resuming after {pictures_done} ({shown})")
    if len(rows) < len(lines):
        path.write_text("".join(lines[: len(rows)]), "utf-8", "surrogateescape")
    return done


def _write_line(file: TextIO, row: dict) -> None:
    file.write(json.dumps(row) + "\n")


def _detect_all(sources: list[Source], search: Search) -> Iterator[tuple[Source, dict]]:
    """Search all pictures, in as many processes as asked for, in order."""
    results = map_in_processes(
        functools.partial(_find, search=search, cascade=_CASCADE.value),
        [source.path for source in sources],
        min(_NUM_WORKERS.value or count_processors(), max(1, len(sources) // _CHUNK)),
        name=str,
        chunk=_CHUNK,
        prepare=face_detection.use_one_processor,
    )
    yield from zip(sources, results, strict=True)


@functools.cache
def _make_detector(cascade: str | None) -> Detector:
    return face_detection.make_detector(cascade)


def _find(path: str, search: Search, cascade: str | None) -> dict:
    """Search a picture; return its faces as entries of a manifest, or the error."""
    try:
        image = pictures.load_upright(path)
    except pictures.PictureError as error:
        return {"error": str(error)}
    faces = []
    for detected in search.find_faces(image, _make_detector(cascade)):
        face = detected.face
        box = [face.left, face.top, face.width, face.height]
        entry = {"box": box, "angle": face.angle}
        if detected.likelihood is not None:
            entry["likelihood"] = detected.likelihood
        faces.append(entry)
    return {"faces": faces}


if __name__ == "__main__":
    cli.run(main)
