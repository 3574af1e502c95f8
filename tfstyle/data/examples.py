"""The schema of a record: a picture with its artist, as a tf.train.Example."""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from tfstyle.core import names
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

# Of works whose content is known; what it shows, for evaluation.
_CONTENT_FEATURES = {
    "image/content/label": (tf.int64, -1),
    "image/content/text": (tf.string, ""),
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
    content_label: int = -1
    content_text: str = ""

    @property
    def content(self) -> str:
        """Identifies the encoded picture."""
        return hashlib.sha256(self.encoded).hexdigest()


def serialize_example(
    encoded: bytes,
    source: Source,
    label: int,
    conversion: Conversion,
    content_label: int = -1,
) -> bytes:
    """Serialize one record as a tf.train.Example.

    Args:
        encoded: the converted picture as a JPEG or PNG file.
        source: where it comes from.
        label: the artist's label.
        conversion: how it was converted.
        content_label: of what it shows, if the source tells.
    """
    size, image_format = conversion.image_size, conversion.format.encode()
    filename, artist = names.encode(source.name), names.encode(source.artist)
    values = (encoded, image_format, size, size, filename, label, artist)
    example = tf.train.Example()
    for (name, dtype), value in zip(_FEATURES.items(), values, strict=True):
        feature = example.features.feature[name]
        kind = feature.bytes_list if dtype == tf.string else feature.int64_list
        kind.value.append(value)
    if source.content:
        label_name, text_name = _CONTENT_FEATURES
        features = example.features.feature
        features[label_name].int64_list.value.append(content_label)
        features[text_name].bytes_list.value.append(names.encode(source.content))
    return example.SerializeToString(deterministic=True)


def describe_features(
    image_size: int, image_format: str, contents: int = 0
) -> list[tuple[str, str, str]]:
    """Return the name, type, and content of each feature; all have the shape [].

    Args:
        image_size: side of the pictures.
        image_format: of the encoded pictures.
        contents: number of content labels; with 0, records hold none.
    """
    encoded = f"{image_format} of uint8 [{image_size}, {image_size}, 3]"
    notes = {"image/encoded": encoded, "image/content/label": "-1 if unknown"}
    types = dict(_FEATURES)
    if contents:
        types |= {name: dtype for name, (dtype, _) in _CONTENT_FEATURES.items()}
    return [(name, types[name].name, notes.get(name, "")) for name in sorted(types)]


def parse_example(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parse one serialized record (string []) without decoding its picture.

    Returns:
        Scalars: `encoded` (string, a JPEG or PNG file), `format` (string), `height`
        and `width` (int64), `filename` (string), `label` (int64), `text` (string,
        the artist's name), `content_label` (int64, -1 if unknown), `content_text`
        (string).
    """
    expected = {n: tf.io.FixedLenFeature([], dtype) for n, dtype in _FEATURES.items()}
    for name, (dtype, default) in _CONTENT_FEATURES.items():
        expected[name] = tf.io.FixedLenFeature([], dtype, default)
    features = tf.io.parse_single_example(serialized, expected)
    return {
        name.replace("image/content/", "content_").rsplit("/", 1)[-1]: value
        for name, value in features.items()
    }


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
    label_name, text_name = _CONTENT_FEATURES
    content_labels = features[label_name].int64_list.value
    content_texts = features[text_name].bytes_list.value
    return Example(
        encoded,
        names.decode(image_format),
        height,
        width,
        names.decode(filename),
        label,
        names.decode(artist),
        content_labels[0] if content_labels else -1,
        names.decode(content_texts[0]) if content_texts else "",
    )


def compute_digest(examples: Iterable[tuple[str, int, str]]) -> str:
    """Return the digest of a dataset.

    Args:
        examples: filename, label, and sha256 of the encoded picture of each.
    """
    digest = hashlib.sha256()
    for name, label, content in sorted(examples):
        digest.update(names.encode(f"{name}\t{label}\t{content}\n"))
    return digest.hexdigest()


def compute_split_digest(examples: Iterable[tuple[str, str]]) -> str:
    """Return the digest of a division into splits.

    Args:
        examples: filename and split of each.
    """
    digest = hashlib.sha256()
    for name, split in sorted(examples):
        digest.update(names.encode(f"{name}\t{split}\n"))
    return digest.hexdigest()
