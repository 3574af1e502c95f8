"""Show what a records folder holds, and check every record.

    python tools/inspect_tfrecords.py RECORDS_DIR
    python tools/inspect_tfrecords.py RECORDS_DIR --verify
    python tools/inspect_tfrecords.py RECORDS_DIR --sheet=sheet.png

Prints the size and the examples of each split, the features, and the pictures of each
artist. --verify reads all records, decodes their pictures, and compares them with
dataset.json; each fault is printed with its file, record, and byte, and the exit code
is 1. Without dataset.json everything is counted from the records.
"""

import collections
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from PIL import Image

from tfstyle.core import cli, progress
from tfstyle.core.cli import UserError
from tfstyle.core.names import clean_line, format_count, show
from tfstyle.data.collections.splits import SPLITS

if TYPE_CHECKING:
    from tfstyle.data.inspection import Record
    from tfstyle.data.records import Dataset

_VERIFY = flags.DEFINE_bool(
    "verify", False, "Read every record, and compare it with dataset.json."
)
_SHEET = cli.define_path(
    "sheet", None, "A .png file to write some pictures of each artist to."
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an existing sheet.")

# On the sheet at most: artists, and pictures of each.
_MAX_ROWS, _PER_ROW = 50, 8

Counts = dict[tuple[int, str], dict[str, int]]  # by label and artist, then split


def main(paths: list[str]) -> None:
    """Print what the folder holds and what is wrong with it."""
    if len(paths) != 1:
        raise UserError(f"pass one records folder, got {len(paths)} (see --help)")
    (folder,) = paths
    if not pathlib.Path(folder).is_dir():
        raise UserError(f"there is no folder {folder}")
    if _SHEET.value is not None:
        cli.check_output(_SHEET.value, ".png", flag="sheet", overwrite=_OVERWRITE.value)
    counts, problems = _inspect(folder)
    if _SHEET.value is not None:
        _write_sheet(folder, counts, _SHEET.value)
    for problem in problems:
        print(clean_line(problem))
    if problems:
        raise UserError(f"{format_count(len(problems), 'fault')} in {folder}")
    if _VERIFY.value:
        print("all records are intact")


def _inspect(folder: str) -> tuple[Counts, list[str]]:
    """Print the counts; return them, and what is wrong."""
    # Imported here: --help need not wait for TensorFlow.
    from tfstyle.data import inspection, records

    shown = show(folder)
    shards = inspection.list_shards(folder)
    problems: list[str] = []
    dataset = None
    if pathlib.Path(folder, records.INDEX_FILE).exists():
        try:
            dataset = records.read_description(folder)
        except UserError as error:
            problems.append(str(error))
    else:
        print(f"note: {shown} has no {records.INDEX_FILE}; the records are counted")
    if dataset is None:
        if not shards:
            raise UserError("; ".join([*problems, f"{folder} holds no records"]))
        counts, faults = _count_records(shards)
        _print_files(folder, [path for _, path in shards])
        _print_counts(counts)
        return counts, problems + faults
    listed = {path for _, _, path in dataset.list_shards()}
    for _, path in shards:
        if path not in listed:
            print(f"note: {show(path)} is not listed in {records.INDEX_FILE}")
    size = dataset.image_size
    print(f"pictures   {size}x{size} pixels, {dataset.fit}, on {dataset.background}")
    _print_files(folder, sorted(listed))
    _print_sizes(dataset)
    _print_features(dataset)
    counts = _read_counts(dataset)
    _print_counts(counts)
    if not _VERIFY.value:
        return counts, [problem for _, problem in records.find_wrong_files(dataset)]
    verification = inspection.Verification(dataset)
    total = dataset.num_examples(*SPLITS)
    for _ in progress.track(verification.records(), total, "verifying"):
        pass
    return counts, verification.problems


def _read_counts(dataset: "Dataset") -> Counts:
    return {
        (artist.label, artist.name): {split: getattr(artist, split) for split in SPLITS}
        for artist in (*dataset.artists, *dataset.holdout_artists)
    }


def _count_records(shards: list[tuple[str, str]]) -> tuple[Counts, list[str]]:
    """Count the records of files; return also the faults of those that were read."""
    from tfstyle.data import inspection

    counts: Counts = {}
    faults = []
    for split, path in shards:
        records: Iterable[Record] = inspection.read_records(path)
        if _VERIFY.value:
            records = inspection.check_records(path, None, split)
        for record in records:
            if record.fault:
                faults.append(record.describe_fault())
            elif record.example:
                key = record.example.label, record.example.artist
                counts.setdefault(key, dict.fromkeys(SPLITS, 0))[split] += 1
    labels = collections.Counter(label for label, _ in counts)
    faults += [
        f"label {label} stands for {times} artists"
        for label, times in sorted(labels.items())
        if times > 1
    ]
    return dict(sorted(counts.items())), faults


def _print_files(folder: str, paths: list[str]) -> None:
    existing = [pathlib.Path(path) for path in paths if pathlib.Path(path).is_file()]
    size = sum(path.stat().st_size for path in existing)
    num_files = format_count(len(existing), "file")
    print(f"records    {show(folder)}: {num_files}, {size / 2**20:.1f} MiB")


def _print_sizes(dataset: "Dataset") -> None:
    """Print the files, the examples, and the size of each split, and of all."""
    print(
        f"\n{'split':<10}{'files':>7}{'examples':>10}{'MiB':>10}{'bytes/example':>15}"
    )
    splits = {split: shards for split, shards in dataset.shards.items() if shards}
    for name, shards in {**splits, "total": sum(splits.values(), ())}.items():
        examples = sum(shard.examples for shard in shards)
        size = sum(shard.bytes for shard in shards)
        print(
            f"{name:<10}{len(shards):>7}{examples:>10}{size / 2**20:>10.1f}"
            f"{size / max(1, examples):>15.0f}"
        )


def _print_features(dataset: "Dataset") -> None:
    """Print the features of an example, with type, shape, and content."""
    from tfstyle.data import examples

    image_format = dataset.settings.get("format", "jpeg or png")
    features = examples.describe_features(
        dataset.image_size, image_format, len(dataset.contents)
    )
    print(f"\n{'feature':<22}{'type':<8}shape")
    for name, dtype, note in features:
        print(f"{name:<22}{dtype:<8}[]      {note}".rstrip())
    print()


def _print_counts(counts: Counts) -> None:
    splits = [split for split in SPLITS if any(row[split] for row in counts.values())]
    print(f"artists    {len(counts)}\n")
    print(f"{'label':>6}" + "".join(f"{split:>12}" for split in splits) + "  artist")
    for (label, artist), row in counts.items():
        cells = "".join(f"{row[split]:>12}" for split in splits)
        print(f"{label:>6}{cells}  {show(artist)}")
    sums = [sum(row[split] for row in counts.values()) for split in splits]
    print(f"{'total':>6}" + "".join(f"{total:>12}" for total in sums) + "\n")


def _write_sheet(folder: str, counts: Counts, path: str) -> None:
    from tfstyle.analysis.drawing import grids

    keys = list(counts)[:_MAX_ROWS]
    rows: dict[tuple[int, str], list[np.ndarray]] = {key: [] for key in keys}
    missing = {key: min(_PER_ROW, sum(counts[key].values())) for key in keys}
    for key, encoded in _read_encoded(folder):
        if not any(missing.values()):
            break
        if missing.get(key):
            missing[key] -= 1
            rows[key] += _decode(encoded)
    shapes = collections.Counter(cell.shape for row in rows.values() for cell in row)
    if not shapes:
        print("no picture for the sheet")
        return
    ((shape, _),) = shapes.most_common(1)
    cells = []
    for row in rows.values():
        shown = [cell for cell in row if cell.shape == shape]
        cells.append([*shown, *[None] * (_PER_ROW - len(shown))])
    sheet = grids.draw_grid(cells, [show(artist) for _, artist in keys])
    grids.write_picture(sheet, pathlib.Path(path))
    print(f"sheet      {show(path)}")


def _read_encoded(folder: str) -> Iterator[tuple[tuple[int, str], bytes]]:
    """Yield label and artist of each intact record, and its encoded picture."""
    from tfstyle.data import inspection

    for _, path in inspection.list_shards(folder):
        for record in inspection.read_records(path):
            if record.example:
                example = record.example
                yield (example.label, example.artist), example.encoded


def _decode(encoded: bytes) -> list[np.ndarray]:
    """Return the pixels of a picture, if it is intact."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return [np.asarray(image.convert("RGB"))]
    except (OSError, SyntaxError, ValueError):
        return []


if __name__ == "__main__":
    cli.run(main, positional=True)
