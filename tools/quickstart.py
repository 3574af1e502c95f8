"""Choose what tools/quickstart.sh does with somebody's own folder of pictures.

    python tools/quickstart.py name PICTURES_DIR IMAGE_SIZE
    python tools/quickstart.py records PICTURES_DIR
    python tools/quickstart.py training RECORDS_DIR STAGE
    python tools/quickstart.py examples RECORDS_DIR OUTPUT_DIR

`name` refuses a folder that cannot be used and prints the name of its run; it needs no
installed package, so that this takes less than a second. `records` and `training` print
flags for tools/make_tfrecords.py and tfstyle.train on stdout, and the reason on stderr.
`examples` writes pictures of two artists, as the records hold them: content.png and
style.png.
"""

import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping

from tfstyle.core.names import clean_line, format_count, from_path, show

IMAGE_SIZES = (32, 64, 128, 256)
# Works per artist that the records may require, the preferred number first; and the
# share of all works that must remain.
MINIMA, KEPT_SHARE = (50, 20, 10, 4), 0.9
LEAST_WORKS = MINIMA[-1]  # one to test, three to train
# Of gin/quickstart: steps, pictures per step, and when the learning rate falls.
STEPS = {"metric": 1000, "classifier": 1000, "vae": 1200, "gan": 2300}
BATCHES = {"metric": 32, "classifier": 32, "vae": 16, "gan": 16}
FALLS = {
    "metric": {"adam": 500},
    "classifier": {"adam": 500},
    "vae": {"adam": 600},
    "gan": {"adam": 1500, "discriminator/rmsprop": 1500},
}
SHIPPED_PICTURES = 540  # training pictures that these steps are for
_LEAST_SCALE, _MOST_SCALE = 0.25, 4.0
_LONGEST_NAME = 40  # characters
EXAMPLES = ("content.png", "style.png")


class SetupError(Exception):
    """The folder cannot be used; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class RecordsPlan:
    """Flags of tools/make_tfrecords.py."""

    min_images_per_artist: int
    min_test_images: int
    artists: int  # with enough works
    works: int  # of these artists


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """Settings of a stage that differ from gin/quickstart."""

    steps: int
    batch_size: int
    falls: dict[str, int]  # step at which a learning rate begins to fall, by optimizer

    def list_bindings(self) -> list[str]:
        """Return the settings as gin bindings without spaces."""
        return [
            f"train.steps={self.steps}",
            f"train.batch_size={self.batch_size}",
            *(f"{name}.fall=({at},{self.steps})" for name, at in self.falls.items()),
        ]


def check_pictures_dir(path: str) -> None:
    """Refuse a folder without at least two artists who may have enough works.

    Files are counted, whatever they hold, and only as many as are needed.

    Raises:
        SetupError: if it is missing, not a folder, or holds too little.
    """
    shown = show(from_path(path))
    example = show(from_path(os.path.join(path, "ARTIST", "picture.png")))  # noqa: PTH118
    layout = f"put the works of each artist in a folder, as in {example}"
    try:
        with os.scandir(path) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
            folders = sorted(entry.name for entry in visible if entry.is_dir())
    except FileNotFoundError:
        raise SetupError(f"{shown} does not exist") from None
    except NotADirectoryError:
        raise SetupError(
            f"{shown} is not a folder: pass the folder that holds one folder per"
            " artist (unpack archives first)"
        ) from None
    except OSError as error:
        raise SetupError(f"{shown}: {error.strerror}") from None
    if not folders:
        loose = format_count(len(visible), "file")
        raise SetupError(f"{shown} holds {loose} but no folders: {layout}")
    if len(folders) == 1:
        raise SetupError(
            f"{shown} holds the folder of one artist only"
            f" ({show(from_path(folders[0]))}): a style space needs two or more;"
            f" {layout}"
        )
    counts = {
        from_path(name): _count_files(pathlib.Path(path, name)) for name in folders
    }
    plan_records(counts, shown)


def name_run(path: str, image_size: int) -> str:
    """Return the name of a folder's run: legible, portable, and no other folder's."""
    real = os.path.realpath(path)
    characters = [c if c.isalnum() else "-" for c in from_path(pathlib.Path(real).name)]
    words = [word for word in "".join(characters).split("-") if word]
    name = "-".join(words)[:_LONGEST_NAME].rstrip("-") or "pictures"
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:8]
    return f"{name}-{image_size}-{digest}"


def plan_records(counts: Mapping[str, int], shown: str) -> RecordsPlan:
    """Choose how many works an artist needs, and how many are test pictures.

    Args:
        counts: works by artist.
        shown: the folder, for the message.

    Returns:
        The plan with the largest of MINIMA that leaves two artists and KEPT_SHARE of
        the works, or with the smallest.

    Raises:
        SetupError: if fewer than two artists have LEAST_WORKS works.
    """
    enough = [count for count in counts.values() if count >= LEAST_WORKS]
    if len(enough) < 2:
        most = collections.Counter(counts).most_common(3)
        listed = ", ".join(f"{show(artist)} {count}" for artist, count in most)
        raise SetupError(
            f"{shown} holds too few works: two artists or more need at least"
            f" {LEAST_WORKS} pictures each; the most are {listed or 'none'}"
        )
    for minimum in MINIMA:
        kept = [count for count in enough if count >= minimum]
        if len(kept) > 1 and sum(kept) >= KEPT_SHARE * sum(enough):
            break
    return RecordsPlan(minimum, max(1, minimum // 5), len(kept), sum(kept))


def plan_training(stage: str, pictures: int) -> TrainingPlan:
    """Choose steps and batch size of a stage by the number of training pictures.

    Steps are in proportion to the pictures, within limits, so that each picture is seen
    as often as in the shipped quickstart.
    """
    scale = min(max(pictures / SHIPPED_PICTURES, _LEAST_SCALE), _MOST_SCALE)
    batch_size = BATCHES[stage]
    while batch_size > max(pictures, 1):
        batch_size //= 2
    return TrainingPlan(
        steps=round(STEPS[stage] * scale),
        batch_size=batch_size,
        falls={name: round(at * scale) for name, at in FALLS[stage].items()},
    )


def main(arguments: list[str]) -> None:
    """Run one of the commands above."""
    command, *values = arguments
    {
        "name": _print_name,
        "records": _print_records_flags,
        "training": _print_training_flags,
        "examples": _copy_examples,
    }[command](*values)


def _print_name(path: str, image_size: str) -> None:
    if image_size not in map(str, IMAGE_SIZES):
        sizes = ", ".join(map(str, IMAGE_SIZES))
        raise SetupError(f"--image_size must be one of {sizes}, got {image_size}")
    check_pictures_dir(path)
    print(name_run(path, int(image_size)))


def _print_records_flags(path: str) -> None:
    # Installed by now.
    from tfstyle.core.cli import UserError
    from tfstyle.data.collections.sources import scan_artist_folders

    try:
        files, _ = scan_artist_folders(path)
    except UserError as error:
        raise SetupError(str(error)) from None
    counts = collections.Counter(source.artist for source in files)
    plan = plan_records(counts, show(from_path(path)))
    _explain(
        f"{format_count(len(files), 'picture')} of {len(counts)} artists:"
        f" artists with at least {plan.min_images_per_artist} works are used"
        f" ({plan.artists} artists, {plan.works} works)"
    )
    _explain(
        f"of each artist, a tenth of the works, and {plan.min_test_images} or more, are"
        " test pictures; a tenth of the rest are validation pictures"
    )
    print(f"--min_images_per_artist={plan.min_images_per_artist}")
    print(f"--min_test_images={plan.min_test_images}")


def _print_training_flags(records_dir: str, stage: str) -> None:
    described = json.loads(pathlib.Path(records_dir, "dataset.json").read_text())
    pictures = sum(artist["train"] for artist in described["artists"])
    plan = plan_training(stage, pictures)
    _explain(
        f"{stage}: {plan.steps} steps of {plan.batch_size} pictures, for {pictures}"
        f" training pictures (shipped portraits: {STEPS[stage]} steps for"
        f" {SHIPPED_PICTURES})"
    )
    size = f"train.image_size={described['image_size']}"
    for binding in (size, *plan.list_bindings()):
        print(f"--gin_param={binding}")


def _copy_examples(records_dir: str, output_dir: str) -> None:
    from PIL import Image

    from tfstyle.analysis.drawing.examples import FixedPictures
    from tfstyle.analysis.drawing.grids import write_picture
    from tfstyle.data.records import read_dataset

    # Every artist has training pictures.
    pictures = FixedPictures.choose(read_dataset(records_dir), "train", 2).pictures
    for name, picture in zip(EXAMPLES, pictures, strict=True):
        write_picture(Image.fromarray(picture), pathlib.Path(output_dir, name))


def _count_files(folder: pathlib.Path) -> int:
    """Count files below a folder, also behind links, up to MINIMA's largest."""
    count, seen = 0, set()
    for root, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        count += sum(not name.startswith(".") for name in files)
        if count >= MINIMA[0]:
            break
    return count


def _explain(text: str) -> None:
    print(f"   {text}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        sys.exit(clean_line(f"error: {error}"))
