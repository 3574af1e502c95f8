"""Make training records from a folder of pictures, with one folder per artist.

    python tools/make_tfrecords.py --input_dir=PICTURES --output_dir=RECORDS

The pictures are PICTURES/ARTIST/anything.png, of any format and size. Unusable
pictures are skipped and listed with the reason in RECORDS/skipped.tsv; for pictures
found under two artists (`ambiguous`), the list names the other copy. The same pictures
and settings always give the same records.
"""

import dataclasses
import math
import os
import pathlib
import unicodedata
from typing import TYPE_CHECKING

from absl import flags

from tfstyle.core import cli
from tfstyle.core.cli import UserError
from tfstyle.core.paths import quote
from tfstyle.data import pictures
from tfstyle.data.collections import sources, splits

if TYPE_CHECKING:
    from tfstyle.data.records import Dataset

FLAGS = flags.FLAGS

# Numbers behind a help text are the least and the largest value.
cli.define_path("input_dir", None, "Folder that holds one folder per artist.")
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
cli.define_path(
    "exclude_artists",
    None,
    "Text file with the names of artists to skip, one per line; lines that start with"
    " # are comments.",
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
flags.DEFINE_integer("seed", 0, "Determines the splits and the order.")
flags.DEFINE_float(
    "max_skipped_fraction",
    0.1,
    "Fail if a larger fraction of the pictures is unusable.",
    0,
    1,
)
flags.DEFINE_bool("overwrite", False, "Replace records of other pictures or settings.")


def main() -> None:
    """Find the pictures and write them as records."""
    _check_flags()
    excluded = _read_names(FLAGS.exclude_artists)
    _check_names(excluded)
    files, skipped = sources.scan_artist_folders(FLAGS.input_dir, excluded)
    note = sources.describe_nesting(FLAGS.input_dir, files)
    if note:
        print(note)
    for note in sources.describe_ignored(FLAGS.input_dir, files, excluded):
        print(note)
    _make_records(files, skipped)


def _check_flags() -> None:
    for flag in ("input_dir", "output_dir"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag} is missing (see --help)")
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
    input_dir, output_dir = map(os.path.realpath, (FLAGS.input_dir, FLAGS.output_dir))
    if os.path.commonpath([input_dir, output_dir]) == input_dir:
        raise UserError(
            f"--output_dir={FLAGS.output_dir} is inside --input_dir={FLAGS.input_dir},"
            " where it would count as an artist: choose another folder"
        )


def _make_records(
    files: list[sources.Source], skipped: list[sources.SkippedFile]
) -> None:
    """Write the pictures as the flags say, and print a summary."""
    conversion = _read_conversion()
    fields = dataclasses.fields(splits.SplitRule)
    rule = splits.SplitRule(**{f.name: getattr(FLAGS, f.name) for f in fields})
    splits.require_enough_pictures(files, rule)
    # TensorFlow takes seconds to import: neither --help nor the worker processes need
    # it, and all other checks come first.
    from tfstyle.data import record_writer, records

    settings = record_writer.make_settings(files, conversion, rule, FLAGS.num_shards)
    dataset = records.find_dataset(FLAGS.output_dir, settings)
    if dataset:
        print(f"{FLAGS.output_dir} is up to date: nothing to do")
    else:
        dataset = record_writer.write_dataset(
            FLAGS.output_dir,
            files,
            conversion,
            rule,
            num_shards=FLAGS.num_shards,
            num_workers=FLAGS.num_workers or os.cpu_count() or 1,
            max_skipped_fraction=FLAGS.max_skipped_fraction,
            skipped=skipped,
            overwrite=FLAGS.overwrite,
        )
    _print_summary(dataset, pathlib.Path(FLAGS.output_dir, records.SKIPPED_FILE))


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


def _read_names(path: str | None) -> set[str]:
    if path is None:
        return set()
    try:
        text = pathlib.Path(path).read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UserError(f"--exclude_artists={path}: {error.strerror}") from None
    names = {line.strip() for line in text.split("\n")}
    return {name for name in names if name and not name.startswith("#")}


def _check_names(excluded: set[str]) -> None:
    """Refuse names that nearly match a folder: that artist asked to be excluded."""
    root = pathlib.Path(FLAGS.input_dir)
    if not root.is_dir():
        return  # the scan raises an error
    folders = {_fold(path.name): path.name for path in root.iterdir()}
    for name in sorted(excluded):
        if (root / name).is_dir():
            continue
        if _fold(name) in folders:
            raise UserError(
                f"--exclude_artists={FLAGS.exclude_artists} names {name!r}, but the"
                f" folder is {folders[_fold(name)]!r}: write exactly that name"
            )
        print(f"note: --exclude_artists names {name!r}, which has no folder")


def _fold(name: str) -> str:
    """Remove invisible differences: case, outer spaces, Unicode compositions."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _print_summary(dataset: "Dataset", skipped_file: pathlib.Path) -> None:
    num_held_out = len(dataset.holdout_artists)
    held_out = f" + {num_held_out} held out" if num_held_out else ""
    print(f"artists    {len(dataset.artists)}{held_out}")
    for split, shards in dataset.shards.items():
        if shards:
            few = f" in only {len(shards)} files, one picture each"
            note = few if len(shards) < FLAGS.num_shards else ""
            print(f"{split:<10} {dataset.num_examples(split)} pictures{note}")
    if dataset.skipped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in dataset.skipped.items())
        print(f"skipped    {reasons} (listed in {skipped_file})")
    size = dataset.image_size
    setting = f" --gin_param=train.image_size={size}" if size != 256 else ""
    print(
        f"records    {dataset.records_dir}\n"
        "next       python -m tfstyle.train --gin_file=gin/metric.gin"
        f" --records_dir={quote(dataset.records_dir)}{setting}"
    )


if __name__ == "__main__":
    cli.run(main)
