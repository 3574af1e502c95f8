"""Make training records from a folder of pictures, with one folder per artist.

    python tools/make_tfrecords.py --input_dir=PICTURES --output_dir=RECORDS

    python tools/make_tfrecords.py --manifest=works.jsonl --output_dir=RECORDS

The pictures are PICTURES/ARTIST/anything.png, of any common format and size; PICTURES
may be an archive (.zip, .tar, .tar.gz, ..). Or they are those of a manifest: rows with
`path` and `artist`, and optionally `box` [x, y, width, height] and `angle` (degrees
counter-clockwise) of a face, `group` (variants of one work), `content`, `licence`, and
`creator`. Whatever is left out is listed with the reason in RECORDS/skipped.tsv; for
pictures found under two artists (`ambiguous`), the list names the other copy.
Near-identical pictures of an artist stay in one split; RECORDS/near_duplicates.tsv
lists them. The same pictures and settings always give the same records.
"""

import collections
import contextlib
import dataclasses
import importlib
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from absl import flags

from tfstyle.core import cli, names
from tfstyle.core.cli import UserError
from tfstyle.core.files import temporary_folder
from tfstyle.core.locks import folder_lock
from tfstyle.core.paths import find_obstacle, quote
from tfstyle.data import pictures
from tfstyle.data.catalogs import manifests
from tfstyle.data.collections import (
    archives,
    conversion_pool,
    sources,
    spellings,
    splits,
)
from tfstyle.data.excluded_works import NEAR
from tfstyle.data.refusals import exclusions

if TYPE_CHECKING:
    from tfstyle.data.records import Dataset

FLAGS = flags.FLAGS

# Numbers behind a help text are the least and the largest value.
cli.define_path(
    "input_dir",
    None,
    "Folder that holds one folder per artist, or an archive of it (.zip, .tar, .tar.gz,"
    " .tar.bz2, .tar.xz), which is unpacked beside the records for the time being.",
)
cli.define_path(
    "manifest",
    None,
    "File that lists the pictures with their artists, in place of folders: .jsonl,"
    " .csv or .parquet. Paths are relative to --input_dir, by default the manifest's"
    " folder.",
)
cli.define_path(
    "decisions",
    None,
    "Decisions saved by the page of tools/review_faces.py for this manifest.",
)
cli.define_path("output_dir", None, "Folder to write the records to.")
flags.DEFINE_integer("image_size", 256, "Side of the square pictures to train on.", 1)
flags.DEFINE_enum(
    "fit",
    "crop",
    pictures.FITS,
    "How pictures become square: crop cuts out the center, pad adds black bars,"
    " stretch ignores the aspect ratio.",
)
flags.DEFINE_string(
    "background", "white", "Color behind transparent pixels: a name or #rrggbb."
)
flags.DEFINE_enum(
    "format",
    None,
    pictures.FORMATS,
    "Format of pictures in the records: png is exact; jpeg (quality 95, full color"
    " resolution) is several times smaller. Default: png up to --image_size=128.",
)
flags.DEFINE_integer(
    "min_size",
    None,
    "Skip pictures whose shorter side is below this. Default: image_size / 4.",
    1,
)
flags.DEFINE_integer(
    "min_images_per_artist", 50, "Skip artists with fewer usable pictures.", 1
)
flags.DEFINE_float(
    "test_fraction", 0.1, "Fraction of each artist's pictures in the test split.", 0, 1
)
flags.DEFINE_integer(
    "min_test_images", 10, "Least number of pictures per artist in the test split.", 0
)
flags.DEFINE_float(
    "validation_fraction",
    0.1,
    "Fraction of each artist's other pictures in the validation split, by which weights"
    " and numbers of dimensions are chosen.",
    0,
    1,
)
flags.DEFINE_float(
    "holdout_artists",
    0,
    "Artists to exclude from training, in a split of their own: a fraction (below 1) or"
    " a number.",
    0,
)
cli.define_paths(
    "exclude_artists",
    None,
    "Text file with the folder names of artists to leave out, one per line. Lines that"
    " start with # are comments; \\# begins a name. May be repeated. In a manifest, the"
    " names are those of artists, creators, and folders in paths.",
)
flags.DEFINE_bool(
    "allow_unmatched_exclusions",
    False,
    "Accept lines of --exclude_artists that match no folder, as in a list for several"
    " collections; similar names are noted and stay in. A folder's name with a remark"
    " (set apart by punctuation, a date, or three words or more) remains an error.",
)
flags.DEFINE_bool(
    "join_near_duplicates",
    True,
    "Keep near-identical pictures of an artist (a work in another size, quality, or"
    " format) in one split.",
)
flags.DEFINE_integer(
    "num_shards",
    0,
    "Files per split, at most one per picture. Default: one per 2,048 pictures.",
    0,
)
flags.DEFINE_integer(
    "num_workers", 0, "Processes that convert pictures. Default: one per core.", 0
)
flags.DEFINE_string(
    "runner",
    None,
    "Convert the pictures by Apache Beam (extra beam) with this runner, such as"
    " DirectRunner. Its workers need the pictures and the records at the same paths.",
)
flags.DEFINE_list(
    "beam_pipeline_options",
    [],
    "Options of --runner, such as direct_num_workers=4,"
    "direct_running_mode=multi_processing.",
)
flags.DEFINE_integer("seed", 0, "Determines the splits and the order.")
flags.DEFINE_float(
    "max_skipped_fraction",
    0.1,
    "Fail if a larger fraction of the pictures is unusable.",
    0,
    1,
)
flags.DEFINE_bool("overwrite", False, "Replace records of other pictures or settings.")


# Beside the records, while they are made from an archive.
_UNPACKED, _UNPACKED_LOCK = ".unpacked", ".unpacked.lock"


def main() -> None:
    """Find the pictures and write them as records."""
    _check_flags()
    with _open_input() as (input_dir, left_out):
        scan = _scan_manifest if FLAGS.manifest else _scan_folders
        found = scan(input_dir)
        _make_records(found._replace(skipped=[*left_out, *found.skipped]))


@contextlib.contextmanager
def _open_input() -> Iterator[tuple[str, list[sources.SkippedFile]]]:
    """Yield the input folder, unpacked if it is an archive, and what it leaves out."""
    archive = FLAGS.input_dir or str(pathlib.Path(FLAGS.manifest).parent)
    if not archives.is_archive(archive):
        if pathlib.Path(archive).is_file():
            raise UserError(
                f"--input_dir={names.show(archive)} is neither a folder nor an archive"
                f" ({', '.join(archives.SUFFIXES)})"
            )
        yield archive, []
        return
    with (
        folder_lock(FLAGS.output_dir, name=_UNPACKED_LOCK),
        temporary_folder(pathlib.Path(FLAGS.output_dir, _UNPACKED)) as folder,
    ):
        left_out = archives.unpack(archive, folder, pictures.MAX_BYTES)
        _print_left_out(left_out)
        root = str(folder)
        if not FLAGS.manifest:
            root, beside = sources.find_artist_root(root)
            inner = os.path.relpath(root, folder)
            if inner != ".":
                print(f"note: the artist folders are in {names.show(inner)}")
            left_out = [
                *((name.removeprefix(f"{inner}/"), why) for name, why in left_out),
                *beside,
            ]
        try:
            yield root, left_out
        except UserError as error:
            # The folder is gone when this is read.
            text = str(error).replace(names.show(root), names.show(archive))
            raise UserError(text) from None


def _print_left_out(left_out: list[sources.SkippedFile]) -> None:
    """Print what of an archive was not unpacked."""
    counts = collections.Counter(reason for _, reason in left_out)
    for reason, count in counts.most_common():
        first = next(name for name, why in left_out if why == reason)
        archive = names.show(FLAGS.input_dir)
        print(
            f"note: {names.format_count(count, 'member')} of {archive} left out:"
            f" {reason}, the first is {names.show(first)}"
        )


class Scan(NamedTuple):
    """The pictures that were found."""

    files: list[sources.Source]
    skipped: list[sources.SkippedFile]
    excluded: list[sources.Source]  # works of excluded artists
    # Pictures of each excluded artist; "" for links to them in other folders.
    counts: dict[str, int]


def _scan_folders(input_dir: str) -> Scan:
    """Find the pictures of artist folders."""
    artists = sources.list_artist_folders(input_dir)
    excluded = exclusions.read_exclusions(
        *(FLAGS.exclude_artists or [], input_dir, FLAGS.allow_unmatched_exclusions),
        names_of_input=archives.list_names(FLAGS.input_dir),
    )
    left = [artist for artist in artists if artist not in excluded.folders]
    files, skipped = sources.scan_artist_folders(
        input_dir, excluded.folders, excluded.keys
    )
    nesting = sources.describe_nesting(FLAGS.input_dir, files)
    for note in (
        *([nesting] if nesting else []),
        *sources.describe_left_out(input_dir, files, skipped),
        *sources.describe_inner(skipped, excluded.keys),
        *spellings.describe_twins(FLAGS.input_dir, left),
        *excluded.notes,
    ):
        print(note)
    out = [names.from_path(name) for name in artists if name in excluded.folders]
    counts = dict.fromkeys(out, 0)
    for name, reason in skipped:
        artist = name.split("/")[0]
        if reason in (sources.EXCLUDED, sources.INNER):
            owner = artist if artist in counts else ""
            counts[owner] = counts.get(owner, 0) + 1
    works = sources.list_excluded(input_dir, skipped)
    return Scan(files, skipped, works, counts)


def _scan_manifest(input_dir: str) -> Scan:
    """Find the works of a manifest; print its faulty rows."""
    entries, faults, ignored = manifests.read_manifest(FLAGS.manifest)
    readable = [fault.entry for fault in faults if fault.entry]
    lists = FLAGS.exclude_artists or []
    if lists:
        entries = manifests.follow_links(entries, input_dir)
        readable = manifests.follow_links(readable, input_dir)
    known = manifests.list_names([*entries, *readable])
    excluded = exclusions.exclude_names(lists, known, FLAGS.allow_unmatched_exclusions)
    out = excluded.names
    dropped = manifests.read_decisions(FLAGS.decisions) if FLAGS.decisions else set()
    unknown = dropped - {entry.key for entry in entries}
    # A row that cannot be used still tells of an excluded work.
    refused = [entry for entry in readable if manifests.find_excluded(entry, out)]
    listed = [*entries, *refused]
    files, skipped = manifests.list_sources(listed, input_dir, out, dropped)
    shown = names.show(FLAGS.manifest)
    for line in manifests.describe_faults(FLAGS.manifest, faults):
        print(line)
    skipped += [
        (f"{FLAGS.manifest}:{fault.row}", fault.reason)
        for fault in faults
        if fault.entry not in refused
    ]
    for key, row in ignored.items():
        print(f"note: {shown}: '{names.show(key)}' is ignored (first in row {row})")
    if unknown:
        print(
            f"note: {names.show(FLAGS.decisions)} holds"
            f" {names.format_count(len(unknown), 'decision')} about faces that the"
            " manifest does not list"
        )
    for note in excluded.notes:
        print(note)
    if not files:
        counts = collections.Counter(reason for _, reason in skipped).most_common()
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
        raise UserError(
            f"--manifest={shown} lists no usable picture ({reasons or 'it is empty'});"
            f" paths are relative to {names.show(input_dir)}"
        )
    owners = [manifests.find_excluded(entry, out) for entry in listed]
    works, _ = manifests.list_sources(
        [entry for entry, owner in zip(listed, owners, strict=True) if owner], input_dir
    )
    numbers = collections.Counter(filter(None, owners))
    return Scan(files, skipped, works, dict(sorted(numbers.items())))


def _check_flags() -> None:
    for flag in ("output_dir",) if FLAGS.manifest else ("input_dir", "output_dir"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag} is missing (see --help)")
    obstacle = find_obstacle(FLAGS.output_dir)
    if obstacle:
        raise UserError(
            f"--output_dir={names.show(FLAGS.output_dir)}: {names.show(obstacle)}"
        )
    if FLAGS.runner is not None:
        with cli.importing_extra("--runner needs Apache Beam", "beam"):
            importlib.import_module("apache_beam")
    if FLAGS.beam_pipeline_options and FLAGS.runner is None:
        raise UserError("--beam_pipeline_options needs a --runner")
    if FLAGS.decisions and not FLAGS.manifest:
        raise UserError("--decisions needs the --manifest that was reviewed")
    for flag in (
        *("test_fraction", "validation_fraction"),
        *("holdout_artists", "max_skipped_fraction"),
    ):
        if math.isnan(getattr(FLAGS, flag)):
            raise UserError(f"--{flag} must be a number, got nan")
    if FLAGS.holdout_artists >= 1 and FLAGS.holdout_artists % 1:
        raise UserError(
            "--holdout_artists must be a fraction below 1 or a whole number, got"
            f" {FLAGS.holdout_artists}"
        )
    if FLAGS.manifest:
        return
    input_dir, output_dir = map(os.path.realpath, (FLAGS.input_dir, FLAGS.output_dir))
    if os.path.commonpath([input_dir, output_dir]) == input_dir:
        raise UserError(
            f"--output_dir={names.show(FLAGS.output_dir)} is inside"
            f" --input_dir={names.show(FLAGS.input_dir)}, where it would count as an"
            " artist: choose another folder"
        )


def _make_records(scan: Scan) -> None:
    """Write the pictures as the flags say, and print a summary."""
    conversion = _read_conversion()
    fields = dataclasses.fields(splits.SplitRule)
    rule = splits.SplitRule(**{f.name: getattr(FLAGS, f.name) for f in fields})
    splits.require_enough_pictures(scan.files, rule)
    # TensorFlow takes seconds to import: neither --help nor the worker processes need
    # it, and all other checks come first.
    from tfstyle.data import record_writer, records

    settings = record_writer.make_settings(
        scan.files, conversion, rule, FLAGS.num_shards, scan.excluded
    )
    dataset = records.find_dataset(FLAGS.output_dir, settings)
    if dataset:
        print(f"{names.show(FLAGS.output_dir)} is up to date: nothing to do")
    else:
        dataset = record_writer.write_dataset(
            FLAGS.output_dir,
            scan.files,
            conversion,
            rule,
            num_shards=FLAGS.num_shards,
            num_workers=FLAGS.num_workers or conversion_pool.count_processors(),
            max_skipped_fraction=FLAGS.max_skipped_fraction,
            skipped=scan.skipped,
            excluded=scan.excluded,
            overwrite=FLAGS.overwrite,
            beam_options=_list_beam_options(),
        )
    if FLAGS.exclude_artists is not None:
        _print_excluded(scan.counts, dataset.skipped)
    for note in splits.describe_empty_splits(dataset.artists, rule):
        print(note)
    _print_summary(dataset, pathlib.Path(FLAGS.output_dir, records.SKIPPED_FILE))


def _list_beam_options() -> list[str] | None:
    if FLAGS.runner is None:
        return None
    return [
        f"--{text}" for text in (f"runner={FLAGS.runner}", *FLAGS.beam_pipeline_options)
    ]


def _read_conversion() -> pictures.Conversion:
    size = FLAGS.image_size
    try:
        background = pictures.normalize_color(FLAGS.background)
    except ValueError:
        raise UserError(
            f"--background={FLAGS.background} is not a color: use a name such as"
            " white, or #rrggbb"
        ) from None
    return pictures.Conversion(
        image_size=size,
        fit=FLAGS.fit,
        background=background,
        min_size=FLAGS.min_size or max(1, size // 4),
        # Small pictures have small files in any format, and JPEG's blocks of 8 pixels
        # are large in them. At 256 pixels, JPEG halves the files even of flat drawings
        # (13 KB instead of 26 KB).
        format=FLAGS.format or ("png" if size <= 128 else "jpeg"),
    )


def _print_excluded(excluded: Mapping[str, int], skipped: Mapping[str, int]) -> None:
    """List the artists that are left out, with the number of their pictures.

    `skipped` has the numbers of skipped files by reason.
    """
    counts = {artist: count for artist, count in excluded.items() if artist}
    artists = names.format_count(len(counts), "artist")
    works = names.format_count(sum(counts.values()), "picture")
    print(f"excluded   {artists}, {works}")
    for artist, count in counts.items():
        print(f"{count:>14}  {names.show(artist)}")
    copies = excluded.get("", 0) + skipped.get(sources.COPIED, 0)
    if copies:
        print(f"{copies:>14}  works in other folders: links, inner folders, copies")
    if NEAR in skipped:
        print(f"{skipped[NEAR]:>14}  nearly identical pictures in other folders")


def _print_summary(dataset: "Dataset", skipped_file: pathlib.Path) -> None:
    num_held_out = len(dataset.holdout_artists)
    held_out = f" + {num_held_out} held out" if num_held_out else ""
    print(f"artists    {len(dataset.artists)}{held_out}")
    for split, shards in dataset.shards.items():
        if shards:
            num_files = names.format_count(len(shards), "file")
            few = f" in only {num_files}, one picture each"
            note = few if len(shards) < FLAGS.num_shards else ""
            count = names.format_count(dataset.num_examples(split), "picture")
            print(f"{split:<10} {count}{note}")
    if dataset.skipped:
        shown_file = names.show(str(skipped_file))
        reasons = ", ".join(f"{n} {reason}" for reason, n in dataset.skipped.items())
        print(f"skipped    {reasons} (listed in {shown_file})")
    size = dataset.image_size
    setting = f" --gin_param=train.image_size={size}" if size != 256 else ""
    print(
        f"records    {names.show(dataset.records_dir)}\n"
        "next       python -m tfstyle.train --gin_file=gin/metric.gin"
        f" --records_dir={quote(dataset.records_dir)}{setting}"
    )


if __name__ == "__main__":
    cli.run(main)
