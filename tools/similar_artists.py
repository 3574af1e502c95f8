"""Make a hard collection to measure with: many similar artists out of few.

    python tools/similar_artists.py --input_dir=pictures --output_dir=similar
    python tools/make_tfrecords.py --input_dir=similar --output_dir=records/similar \
      --image_size=64

Each artist becomes several, who draw some of the same pictures a little differently:
in hue, colour, lightness, contrast, sharpness, warmth, tilt and framing. How they do
it varies from picture to picture by nearly as much as from artist to artist, so that
no network can tell them all apart.
"""

import pathlib
import shutil

import numpy as np
from absl import flags
from PIL import Image, ImageEnhance, ImageFilter

from tfstyle.core import cli
from tfstyle.data import pictures, splits

_INPUT_DIR = flags.DEFINE_string("input_dir", None, "A folder of pictures per artist.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Is made; must not exist.")
_VARIANTS = flags.DEFINE_integer("variants", 8, "Artists made out of each.", 1)
_PICTURES = flags.DEFINE_integer("pictures", 70, "Of each artist made.", 1)
_JITTER = flags.DEFINE_float(
    "jitter", 0.7, "Deviation within an artist, over that between artists.", 0.0
)
_SIZE = flags.DEFINE_integer("image_size", 64, "Side of the pictures in pixels.", 8)
_SEED = flags.DEFINE_integer("seed", 0, "Of artists and pictures.", 0)

_MANNERS = 8  # numbers that say how an artist draws, see `redraw`


def redraw(path: str, manner: np.ndarray, size: int) -> Image.Image:
    """Draw a picture in somebody's manner.

    Args:
        path: of the picture.
        manner: float [8], deviations of hue, chroma, lightness, contrast, sharpness,
            warmth, tilt and framing, about 1 in size.
        size: of the result in pixels.

    Raises:
        UserError: if it cannot be read.
    """
    hue, chroma, lightness, contrast, sharpness, warmth, tilt, framing = manner
    canvas = size * 3 // 2
    try:
        picture = pictures.load_picture(path, canvas)
    except pictures.PictureError as error:
        raise cli.UserError(f"{path}: {error}") from None
    picture = picture.rotate(6 * tilt, Image.Resampling.BICUBIC, fillcolor="white")
    side = int(canvas / (1 + 0.06 * np.tanh(framing)) * 0.93)
    edge = (canvas - side) // 2
    picture = picture.crop((edge, edge, edge + side, edge + side))
    picture = picture.resize((size, size), Image.Resampling.LANCZOS)

    h, s, v = (np.asarray(one, np.float32) for one in picture.convert("HSV").split())
    h = (h + 9 * hue) % 256
    s = np.clip(s * np.exp(0.22 * chroma), 0, 255)
    v = 255 * np.clip(v / 255, 0, 1) ** np.exp(0.18 * lightness)
    picture = Image.merge(
        "HSV", [Image.fromarray(one.astype(np.uint8)) for one in (h, s, v)]
    ).convert("RGB")
    picture = ImageEnhance.Contrast(picture).enhance(float(np.exp(0.15 * contrast)))
    if sharpness > 0:
        picture = picture.filter(ImageFilter.UnsharpMask(1.2, int(60 * sharpness)))
    else:
        picture = picture.filter(ImageFilter.GaussianBlur(-0.45 * sharpness))
    warmed = np.asarray(picture, np.float32) + np.array([5, -3, -5]) * warmth
    return Image.fromarray(np.clip(warmed, 0, 255).astype(np.uint8))


def make_artists(
    sources: list[splits.Source], folder: pathlib.Path, random: np.random.Generator
) -> None:
    """Write every artist's variants, a folder each.

    Args:
        sources: the pictures.
        folder: to write into.
        random: decides manners and pictures.

    Raises:
        UserError: if an artist has too few pictures, or one cannot be read.
    """
    works: dict[str, list[str]] = {}
    for source in sources:
        works.setdefault(source.artist, []).append(source.path)
    for artist, paths in works.items():
        if len(paths) < _PICTURES.value:
            raise cli.UserError(
                f"{artist} has {len(paths)} pictures: lower --pictures from "
                f"{_PICTURES.value}"
            )
        for variant in range(_VARIANTS.value):
            manner = random.normal(size=_MANNERS)
            made = folder / f"{artist}-{variant}"
            made.mkdir(parents=True)
            for k in random.choice(len(paths), _PICTURES.value, replace=False):
                jitter = _JITTER.value * random.normal(size=_MANNERS)
                picture = redraw(paths[k], manner + jitter, _SIZE.value)
                picture.save(made / f"{k:05d}.png")


def main() -> None:
    """Make the collection under a temporary name, then rename it."""
    for name in ("input_dir", "output_dir"):
        if not flags.FLAGS[name].value:
            raise cli.UserError(f"--{name} is missing")
    output = pathlib.Path(_OUTPUT_DIR.value)
    if output.exists():
        raise cli.UserError(f"{output} is there already: choose another folder")
    sources, _ = splits.scan_artist_folders(_INPUT_DIR.value)
    making = output.with_name(f".{output.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    try:
        make_artists(sources, making, np.random.default_rng(_SEED.value))
        making.rename(output)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    count = sum(1 for one in output.iterdir())
    print(f"{count} artists with {_PICTURES.value} pictures each in {output}")


if __name__ == "__main__":
    cli.run(main)
