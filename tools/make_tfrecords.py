"""Make records for training from a folder of pictures, one folder per artist.

    python tools/make_tfrecords.py --input_dir=PICTURES --output_dir=RECORDS

PICTURES/ARTIST/anything.png: the name of the folder is the artist's. Pictures of any
kind and size are taken; those that cannot be used are skipped and listed with the
reason in RECORDS/skipped.tsv, for those found under two artists (`ambiguous`) with the
other copy. The same pictures and settings always give the same records.
"""

import math
import os
import shlex
import sys
import time
import unicodedata

from absl import flags

from tfstyle.core import cli
from tfstyle.core.cli import UserError

FLAGS = flags.FLAGS

flags.DEFINE_string("input_dir", None, "Folder that holds a folder per artist.")
flags.DEFINE_string("output_dir", None, "Folder to write the records to.")
flags.DEFINE_integer(
    "image_size", 256, "Side of the square pictures to train on.", lower_bound=1
)
flags.DEFINE_enum(
    "fit",
    "crop",
    ["crop", "pad", "stretch"],
    "How pictures become square: crop takes the centre, pad adds black bars,"
    " stretch ignores the aspect ratio.",
)
flags.DEFINE_string(
    "background", "white", "Color behind transparent pixels: a name or #rrggbb."
)
flags.DEFINE_enum(
    "format",
    None,
    ["png", "jpeg"],
    "How the records hold pictures: png is exact; jpeg (quality 95, full color"
    " resolution) is several times smaller. Default: png up to --image_size=128.",
)
flags.DEFINE_integer(
    "min_size",
    None,
    "Skip pictures whose shorter side is below this. Default: image_size / 4.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "min_images_per_artist",
    50,
    "Leave out artists with fewer usable pictures.",
    lower_bound=1,
)
flags.DEFINE_float(
    "test_fraction",
    0.1,
    "Share of each artist's pictures that is kept for testing.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_integer(
    "min_test_images",
    10,
    "Keep at least so many pictures of each artist for testing.",
    lower_bound=0,
)
flags.DEFINE_float(
    "holdout_artists",
    0,
    "Keep whole artists out of training, in a third split: a share of them"
    " (below 1) or a number.",
    lower_bound=0,
)
flags.DEFINE_string(
    "exclude_artists",
    None,
    "Text file with the names of artists to leave out, one per line; lines that"
    " start with # are comments.",
)
flags.DEFINE_integer(
    "num_shards",
    0,
    "Files per split, at most one per picture. Default: one for every 2,048 pictures.",
    lower_bound=0,
)
flags.DEFINE_integer(
    "num_workers",
    0,
    "Processes that convert pictures. Default: one per core.",
    lower_bound=0,
)
flags.DEFINE_integer("seed", 0, "Decides the split and the order.")
flags.DEFINE_float(
    "max_skipped_fraction",
    0.1,
    "Fail when more than this share of the pictures cannot be used.",
    lower_bound=0,
    upper_bound=1,
)
flags.DEFINE_bool("overwrite", False, "Replace records of other pictures or settings.")


def main() -> None:
    for flag in ("input_dir", "output_dir"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag} is missing (see --help)")
    for flag in ("test_fraction", "holdout_artists", "max_skipped_fraction"):
        if math.isnan(FLAGS[flag].value):
            raise UserError(f"--{flag} must be a number, got nan")
    if FLAGS.holdout_artists >= 1 and FLAGS.holdout_artists % 1:
        raise UserError(
            "--holdout_artists is a share below 1 or a whole number, got"
            f" {FLAGS.holdout_artists}"
        )
    _check_apart(FLAGS.input_dir, FLAGS.output_dir)
    # Imported late, so that --help and the worker processes need not wait.
    from tfstyle.data import splits

    excluded = _read_names(FLAGS.exclude_artists)
    _check_names(excluded)
    sources, skipped = splits.scan_artist_folders(FLAGS.input_dir, excluded)
    note = splits.nesting_note(FLAGS.input_dir, sources)
    if note:
        print(note)
    for note in splits.overlooked_notes(FLAGS.input_dir, sources, excluded):
        print(note)
    make_records(sources, skipped)


def make_records(sources, skipped) -> None:
    """Write `sources` as the flags say, and tell what came of it.

    Args:
        sources: list of `splits.Source`: the pictures, however they were found.
        skipped: (name, reason) of the files that were left out already.
    """
    from tfstyle.data import splits

    conversion = _conversion()
    rule = splits.SplitRule(
        min_images_per_artist=FLAGS.min_images_per_artist,
        test_fraction=FLAGS.test_fraction,
        min_test_images=FLAGS.min_test_images,
        holdout_artists=FLAGS.holdout_artists,
        seed=FLAGS.seed,
    )
    splits.require_enough_pictures(sources, rule)
    # TensorFlow takes seconds to import: after whatever can be refused without it.
    from tfstyle.data import records

    settings = records.make_settings(sources, conversion, rule, FLAGS.num_shards)
    dataset = records.find_dataset(FLAGS.output_dir, settings)
    if dataset:
        print(f"{FLAGS.output_dir} is up to date: nothing to do")
    else:
        progress = _ProgressLine()
        try:
            dataset = records.write_dataset(
                FLAGS.output_dir,
                sources,
                conversion,
                rule,
                num_shards=FLAGS.num_shards,
                num_workers=FLAGS.num_workers or os.cpu_count() or 1,
                max_skipped_fraction=FLAGS.max_skipped_fraction,
                skipped=skipped,
                overwrite=FLAGS.overwrite,
                progress=progress.show,
            )
        finally:
            progress.end()
    _print_summary(dataset)


def _conversion():
    from tfstyle.data import pictures

    size = FLAGS.image_size
    try:
        background = pictures.normalize_color(FLAGS.background)
    except ValueError:
        raise UserError(
            f"--background={FLAGS.background} is no color: give a name such as"
            " white, or #rrggbb"
        ) from None
    return pictures.Conversion(
        image_size=size,
        fit=FLAGS.fit,
        background=background,
        min_size=FLAGS.min_size or max(1, size // 4),
        # Small pictures are small files anyway, and JPEG's blocks of 8 pixels are
        # large in them. At 256 JPEG halves the files even of flat drawings (13 KB
        # against 26 KB), and at quality 95 without losing color resolution.
        format=FLAGS.format or ("png" if size <= 128 else "jpeg"),
    )


def _check_apart(input_dir: str, output_dir: str) -> None:
    inside, outside = os.path.realpath(output_dir), os.path.realpath(input_dir)
    if os.path.commonpath([inside, outside]) == outside:
        raise UserError(
            f"--output_dir={output_dir} is inside --input_dir={input_dir}, where it"
            " would be taken for an artist: choose a folder elsewhere"
        )


def _read_names(path: str | None) -> set[str]:
    if path is None:
        return set()
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = {line.strip() for line in file}
    except OSError as error:
        raise UserError(f"--exclude_artists={path}: {error.strerror}") from None
    return {line for line in lines if line and not line.startswith("#")}


def _check_names(excluded: set[str]) -> None:
    """Refuse names that nearly match a folder: someone asked to be left out."""
    if not os.path.isdir(FLAGS.input_dir):
        return  # said by the scan
    folders = {_plain(name): name for name in os.listdir(FLAGS.input_dir)}
    for name in sorted(excluded):
        if os.path.isdir(os.path.join(FLAGS.input_dir, name)):
            continue
        if _plain(name) in folders:
            raise UserError(
                f"--exclude_artists={FLAGS.exclude_artists} names {name!r}, but the "
                f"folder is {folders[_plain(name)]!r}: write it exactly so"
            )
        print(f"note: --exclude_artists names {name!r}, which has no folder")


def _plain(name: str) -> str:
    """Fold what the eye does not see: case, spaces at the ends, kinds of accents."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _print_summary(dataset) -> None:
    held_out = len(dataset.holdout_artists)
    print(
        f"artists   {len(dataset.artists)}" + f" + {held_out} held out" * (held_out > 0)
    )
    for split in dataset.shards:
        files = len(dataset.shards[split])
        if files:
            fewer = f" in only {files} files, one each" * (files < FLAGS.num_shards)
            print(f"{split:<9} {dataset.num_examples(split)} pictures{fewer}")
    reasons = ", ".join(f"{n} {reason}" for reason, n in dataset.skipped.items())
    if reasons:
        skipped_file = os.path.join(dataset.records_dir, "skipped.tsv")
        print(f"skipped   {reasons} (listed in {skipped_file})")
    print(
        f"records   {dataset.records_dir}\n"
        "next      python -m tfstyle.train --gin_file=gin/metric.gin"
        f" --records_dir={shlex.quote(dataset.records_dir)}"
        + (
            f" --gin_param=train.image_size={dataset.image_size}"
            if dataset.image_size != 256
            else ""
        )
    )


class _ProgressLine:
    """What is being done, how far it is and how long it will take, on stderr.

    A terminal gets one line that is rewritten, a log a line every half minute.
    """

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._interval = 0.2 if self._on_terminal else 30.0
        self._activity = ""
        self._started = self._shown = 0.0

    def show(self, activity: str, done: int, total: int) -> None:
        now = time.monotonic()
        if activity != self._activity:
            self.end()
            self._activity, self._started, self._shown = activity, now, now
        if now - self._shown < self._interval and done < total:
            return
        self._shown = now
        rate = done / max(now - self._started, 1e-3)
        left = time.strftime("%H:%M:%S", time.gmtime((total - done) / rate))
        line = f"{activity}: {done}/{total}, {rate:.0f}/s, {left} left"
        end = "" if self._on_terminal else "\n"
        print(
            f"\r{line:<60}" if not end else line, end=end, file=sys.stderr, flush=True
        )

    def end(self) -> None:
        if self._activity and self._on_terminal:
            print(file=sys.stderr)
        self._activity = ""


if __name__ == "__main__":
    cli.run(main)
