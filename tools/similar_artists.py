r"""Make a hard test collection: several similar artists from each artist.

    python tools/similar_artists.py --input_dir=pictures --output_dir=similar
    python tools/make_tfrecords.py --input_dir=similar --output_dir=records/similar \
      --image_size=64

Each artist becomes several artists who redraw some of the same pictures with slightly
different hue, chroma, lightness, contrast, sharpness, warmth, tilt and framing. These
vary nearly as much from picture to picture as from artist to artist, so no network can
tell all artists apart.
"""

import pathlib

import numpy as np
from absl import flags
from PIL import Image, ImageEnhance, ImageFilter

from tfstyle.core import cli, files, names
from tfstyle.data import pictures
from tfstyle.data.collections.sources import Source, scan_artist_folders

_INPUT_DIR = cli.define_path(
    "input_dir", None, "Folder that holds one folder per artist."
)
_OUTPUT_DIR = cli.define_path(
    "output_dir", None, "Folder to create; it must not exist."
)
_VARIANTS = flags.DEFINE_integer("variants", 8, "New artists per artist.", 1)
_PICTURES = flags.DEFINE_integer("pictures", 70, "Pictures per new artist.", 1)
_JITTER = flags.DEFINE_float(
    "jitter", 0.7, "Deviation within an artist, relative to that between artists.", 0.0
)
_SIZE = flags.DEFINE_integer("image_size", 64, "Side of the pictures in pixels.", 8)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of artists and pictures.", 0)

_MANNER_DIMS = 8  # the parameters of `redraw`


def redraw(path: str, manner: np.ndarray, size: int) -> Image.Image:
    """Redraw a picture in a given manner.

    Args:
        path: the picture.
        manner: float [8], deviations of hue, chroma, lightness, contrast, sharpness,
            warmth, tilt and framing, of order 1.
        size: side of the result in pixels.

    Raises:
        UserError: the picture cannot be read.
    """
    hue, chroma, lightness, contrast, sharpness, warmth, tilt, framing = manner
    canvas = size * 3 // 2
    try:
        picture = pictures.load_picture(path, canvas)
    except pictures.PictureError as error:
        raise cli.UserError(f"{names.show(path)}: {error}") from None
    picture = picture.rotate(6 * tilt, Image.Resampling.BICUBIC, fillcolor="white")
    side = int(canvas / (1 + 0.06 * np.tanh(framing)) * 0.93)
    edge = (canvas - side) // 2
    picture = picture.crop((edge, edge, edge + side, edge + side))
    picture = picture.resize((size, size), Image.Resampling.LANCZOS)

    h, s, v = (np.asarray(band, np.float32) for band in picture.convert("HSV").split())
    h = (h + 9 * hue) % 256
    s = np.clip(s * np.exp(0.22 * chroma), 0, 255)
    v = 255 * np.clip(v / 255, 0, 1) ** np.exp(0.18 * lightness)
    bands = [Image.fromarray(band.astype(np.uint8)) for band in (h, s, v)]
    picture = Image.merge("HSV", bands).convert("RGB")
    picture = ImageEnhance.Contrast(picture).enhance(float(np.exp(0.15 * contrast)))
    if sharpness > 0:
        picture = picture.filter(ImageFilter.UnsharpMask(1.2, int(60 * sharpness)))
    else:
        picture = picture.filter(ImageFilter.GaussianBlur(-0.45 * sharpness))
    warmed = np.asarray(picture, np.float32) + np.array([5, -3, -5]) * warmth
    return Image.fromarray(np.clip(warmed, 0, 255).astype(np.uint8))


def make_artists(
    sources: list[Source], folder: pathlib.Path, rng: np.random.Generator
) -> None:
    """Write the variants of every artist, one folder per variant, below `folder`.

    Raises:
        UserError: an artist has too few pictures, or a picture cannot be read.
    """
    works: dict[str, list[str]] = {}
    for source in sources:
        works.setdefault(source.artist, []).append(source.path)
    for artist, paths in works.items():
        if len(paths) < _PICTURES.value:
            raise cli.UserError(
                f"{names.show(artist)} has"
                f" {names.format_count(len(paths), 'picture')}: lower --pictures from"
                f" {_PICTURES.value}"
            )
        for variant in range(_VARIANTS.value):
            manner = rng.normal(size=_MANNER_DIMS)
            artist_folder = folder / names.to_path(f"{artist}-{variant}")
            artist_folder.mkdir()
            for k in rng.choice(len(paths), _PICTURES.value, replace=False):
                jitter = _JITTER.value * rng.normal(size=_MANNER_DIMS)
                picture = redraw(paths[k], manner + jitter, _SIZE.value)
                picture.save(artist_folder / f"{k:05d}.png")


def main() -> None:
    """Make the collection under a temporary name, then rename it."""
    for name in ("input_dir", "output_dir"):
        if not flags.FLAGS[name].value:
            raise cli.UserError(f"--{name} is missing")
    output = pathlib.Path(_OUTPUT_DIR.value)
    if output.exists():
        raise cli.UserError(
            f"{names.show(str(output))} already exists: choose another folder"
        )
    sources, _ = scan_artist_folders(_INPUT_DIR.value)
    with files.temporary_folder(output.with_name(f".{output.name}.making")) as folder:
        make_artists(sources, folder, np.random.default_rng(_SEED.value))
        folder.rename(output)
    num_artists = len(list(output.iterdir()))
    print(
        f"{num_artists} artists with {_PICTURES.value} pictures each in"
        f" {names.show(str(output))}"
    )


if __name__ == "__main__":
    cli.run(main)
