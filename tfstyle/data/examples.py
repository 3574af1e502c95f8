"""The schema of a record: a picture with its artist, as a tf.train.Example."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfstyle.data.collections.sources import Source
from tfstyle.data.pictures import Conversion

FORMATS = ("jpeg", "png")
# The names are TensorFlow's conventions for image examples.
_FEATURES = {
    "image/encoded": tf.string,
    "image/format": tf.string,
    "image/height": tf.int64,
    "image/width": tf.int64,
    "image/filename": tf.string,
    "image/class/label": tf.int64,
    "image/class/text": tf.string,
}


@dataclasses.dataclass(frozen=True)
class Example:
    """What one record holds; see `serialize_example`."""

    encoded: bytes
    format: str
    height: int
    width: int
    filename: str
    label: int
    artist: str

    @property
    def content(self) -> str:
        """Identifies the encoded picture."""
        return hashlib.sha256(self.encoded).hexdigest()


def serialize_example(
    encoded: bytes, source: Source, label: int, conversion: Conversion
) -> bytes:
    """Serialize one record as a tf.train.Example.

    Args:
        encoded: the converted picture as a JPEG or PNG file.
        source: where it comes from.
        label: the artist's label.
        conversion: how it was converted.
    """
    size, image_format = conversion.image_size, conversion.format.encode()
    filename, artist = os.fsencode(source.name), os.fsencode(source.artist)
    values = (encoded, image_format, size, size, filename, label, artist)
    example = tf.train.Example()
    for (name, dtype), value in zip(_FEATURES.items(), values, strict=True):
        feature = example.features.feature[name]
        kind = feature.bytes_list if dtype == tf.string else feature.int64_list
        kind.value.append(value)
    return example.SerializeToString(deterministic=True)


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parse one serialized record (string []) without decoding its picture.

    Returns:
        Scalars: `encoded` (string, a JPEG or PNG file), `format` (string), `height`
        and `width` (int64), `filename` (string), `label` (int64), `text` (string,
        the artist's name).
    """
    features = tf.io.parse_single_example(
        serialized,
        {name: tf.io.FixedLenFeature([], dtype) for name, dtype in _FEATURES.items()},
    )
    return {name.rsplit("/", 1)[1]: value for name, value in features.items()}


def read_example(serialized: bytes) -> Example:
    """Read one serialized record without decoding its picture.

    Raises:
        ValueError: it is not a record of pictures.
    """
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except DecodeError:
        raise ValueError("not a tf.train.Example") from None
    values: list[Any] = []
    for name, dtype in _FEATURES.items():
        feature = features[name]
        kind = feature.bytes_list if dtype == tf.string else feature.int64_list
        if len(kind.value) != 1:
            raise ValueError(f"no feature {name} of one {dtype.name}")
        values.append(kind.value[0])
    encoded, image_format, height, width, filename, label, artist = values
    return Example(
        encoded,
        os.fsdecode(image_format),
        height,
        width,
        os.fsdecode(filename),
        label,
        os.fsdecode(artist),
    )


def compute_digest(examples: Iterable[tuple[str, int, str]]) -> str:
    """Return the digest of a dataset.

    Args:
        examples: filename, label, and sha256 of the encoded picture of each.
    """
    digest = hashlib.sha256()
    for name, label, content in sorted(examples):
        digest.update(os.fsencode(f"{name}\t{label}\t{content}\n"))
    return digest.hexdigest()
