"""Pictures for tests: folders of noise, the shipped portraits, encoded files."""

import io
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.pictures import load_picture
from tfstyle.modeling.networks import color

PORTRAITS = pathlib.Path(__file__).parents[1] / "pictures" / "portraits-64"


def make_pictures(
    folder: pathlib.Path, artists: Iterable[str], count: int = 6, size: int = 8
) -> pathlib.Path:
    """Write `count` different pictures for each artist; return `folder`."""
    for artist in artists:
        (folder / artist).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(os.fsencode(artist)))
        for i in range(count):
            values = rng.integers(0, 256, [size, size, 3], np.uint8)
            Image.fromarray(values).save(folder / artist / f"{i}.png")
    return folder


def list_portraits(artists: range, count: int) -> list[Source]:
    """Return the first `count` portraits by each of some of the 12 artists."""
    sources, _ = scan_artist_folders(str(PORTRAITS))
    names = sorted({source.artist for source in sources})
    return [
        source
        for artist in artists
        for source in [s for s in sources if s.artist == names[artist]][:count]
    ]


def read_records(paths: Iterable[str]) -> list[tuple[str, int, bytes]]:
    """Read filename, artist and encoded picture of each record, without tfstyle."""
    examples = []
    for record in tf.data.TFRecordDataset(list(paths)):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        (name,) = feature["image/filename"].bytes_list.value
        (label,) = feature["image/class/label"].int64_list.value
        (data,) = feature["image/encoded"].bytes_list.value
        examples.append((name.decode(), label, data))
    return examples


def load_images(paths: Iterable[str | os.PathLike]) -> tf.Tensor:
    """Return pictures as the tiny networks take them: scaled Lab."""
    pictures = [np.asarray(load_picture(path, tiny.IMAGE_SIZE)) for path in paths]
    return color.rgb_to_lab(np.stack(pictures))


def encode_picture(image: Image.Image, encoding: str = "PNG", **options) -> bytes:
    """Return a picture as a file of a format."""
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


def open_picture(data: bytes) -> Image.Image:
    """Open a picture from the bytes of its file."""
    return Image.open(io.BytesIO(data))
