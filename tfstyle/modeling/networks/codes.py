"""Codes of whole collections and random ones, and pictures decoded from codes."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.core.names import decode
from tfstyle.modeling.networks import color

# Pictures beside each one in `nearest_works_table`, and batches that it searches:
# enough to see, quick for any collection.
_NEIGHBORS = 6
_SEARCHED_BATCHES = 32
# Pictures per network call where no gradient is needed.
BATCH_SIZE = 32
# Uniform numbers that a draw of `ArtistPrior` takes: two artists, and the share of the
# second.
UNIFORMS = 3
# Probability that a draw is of one artist rather than between two.
_SINGLE = 0.5


@dataclasses.dataclass(frozen=True)
class PictureTable:
    """Pictures in rows, to be drawn with captions."""

    # Of uint8 [size, size, 3] RGB pictures, or None for an empty cell.
    rows: Sequence[Sequence[np.ndarray | None]]
    row_captions: Sequence[str] | None = None  # at the left
    column_captions: Sequence[str] | None = None  # above
    title: str | None = None  # above all
    row_breaks: Sequence[int] = ()  # rows that have a wide gap above them
    column_breaks: Sequence[int] = ()  # columns that have a wide gap to their left


@dataclasses.dataclass(frozen=True)
class ArtistPrior:
    """Where styles lie: near artists and between them.

    N(0, I), the paper's distribution of styles (equation 6), is mostly empty where
    artists are few and their works close together: most of its draws resemble no
    artist.

    Half of the draws are around an artist's mean style, half around a random point of
    the line between two artists' means, all with the deviation of an artist's works.
    """

    means: np.ndarray  # float32 [artists, dims], normalized mean styles
    deviation: np.ndarray  # float32 [dims], of an artist's works around their mean

    @classmethod
    def of_artist_means(cls, means: np.ndarray) -> "ArtistPrior":
        """Fit the prior to the normalized mean styles of artists, [artists, dims].

        Normalized styles have variance 1 altogether, so an artist's works have what is
        left of the variance between artists, if all have equally many works.
        """
        between = np.square(means.astype(np.float64)).mean(axis=0)
        within = np.sqrt(np.maximum(1 - between, 0))
        return cls(means.astype(np.float32), within.astype(np.float32))

    def near(self, artist_ids: tf.Tensor, normals: tf.Tensor) -> tf.Tensor:
        """Turn random numbers into styles like those of works by given artists.

        Args:
            artist_ids: int [n].
            normals: float32 [n, dims], of N(0, 1).

        Returns:
            float32 [n, dims].
        """
        return tf.gather(self.means, artist_ids) + normals * self.deviation

    def transform(self, uniforms: tf.Tensor, normals: tf.Tensor) -> tf.Tensor:
        """Turn random numbers into styles.

        Args:
            uniforms: float [n, UNIFORMS], in [0, 1).
            normals: float32 [n, dims], of N(0, 1).

        Returns:
            float32 [n, dims].
        """
        artists = len(self.means)
        picks = tf.cast(uniforms[:, :2] * artists, tf.int32)
        # Rounding may lift a product just below the number of artists up to it.
        means = tf.gather(self.means, tf.minimum(picks, artists - 1))
        share = tf.maximum(uniforms[:, 2:] - _SINGLE, 0) / (1 - _SINGLE)
        share = tf.cast(share, tf.float32)
        between = (1 - share) * means[:, 0] + share * means[:, 1]
        return between + normals * self.deviation


# Where the style of a training picture comes from: S, or `ArtistPrior.near`.
STYLE_SOURCES = PICTURE, ARTIST = ("picture", "artist")


@dataclasses.dataclass(frozen=True)
class Codes:
    """Codes of a collection, in the order of its batches."""

    codes: np.ndarray  # float32 [N, D]
    artist_ids: np.ndarray  # int64 [N]
    filenames: list[str]  # [N], as in the records


def collect_codes(
    encoder: tf.keras.Model, batches: Iterable[Mapping[str, tf.Tensor]]
) -> Codes:
    """Encode every picture of evaluation batches once.

    Args:
        encoder: scaled Lab [batch, size, size, 3] -> codes, or (mean, log variance), of
            which the mean is the code.
        batches: of `tfstyle.data.input_pipeline.eval_batches`.
    """
    encode = _compile(encoder)
    codes, artist_ids, filenames = [], [], []
    for batch in batches:
        mask = batch["mask"].numpy() > 0
        codes.append(encode(batch["image"]).numpy()[mask])
        artist_ids.append(batch["artist"].numpy()[mask])
        filenames += [decode(name) for name in batch["filename"].numpy()[mask]]
    return Codes(np.concatenate(codes), np.concatenate(artist_ids), filenames)


def average_by_artist(
    codes: np.ndarray, artist_ids: np.ndarray, artists: int
) -> np.ndarray:
    """Average codes over each artist's pictures: float [n, D], int [n] -> [artists, D].

    Averages are float64; zeros for an artist without pictures.
    """
    sums = np.zeros([artists, codes.shape[1]])
    np.add.at(sums, artist_ids, codes.astype(np.float64))
    counts = np.bincount(artist_ids, minlength=artists)
    return sums / np.maximum(counts, 1)[:, None]


def encode_pictures(encoder: tf.keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Encode pictures by an encoder of `collect_codes`.

    Pictures are uint8 [n, size, size, 3], RGB; codes float32 [n, D].
    """
    return np.concatenate(
        [
            _encode(encoder, pictures[start : start + BATCH_SIZE])
            for start in range(0, len(pictures), BATCH_SIZE)
        ]
    )


def decode_codes(decoder: tf.keras.Model, *codes: np.ndarray) -> np.ndarray:
    """Decode pictures, uint8 [n, size, size, 3], RGB.

    Args:
        decoder: (style, content[, noise]) -> scaled Lab.
        codes: inputs of the decoder, float [n, dims] each.
    """
    inputs = [np.asarray(code, np.float32) for code in codes]
    return np.concatenate(
        [
            color.lab_to_rgb(
                decoder([code[start : start + BATCH_SIZE] for code in inputs])
            )
            for start in range(0, len(inputs[0]), BATCH_SIZE)
        ]
    )


def nearest_works_table(
    encoder: tf.keras.Model,
    pictures: np.ndarray,
    names: Sequence[str],
    batches: Iterable[Mapping[str, tf.Tensor]],
) -> PictureTable:
    """Lay out each picture beside the pictures nearest to it by their codes.

    Args:
        encoder: of raw codes.
        pictures: uint8 [n, size, size, 3].
        names: [n], of their artists.
        batches: evaluation batches; the first are searched, and the same picture is not
            shown again.
    """
    searched = itertools.islice(batches, _SEARCHED_BATCHES)
    works = np.concatenate(
        [batch["image"].numpy()[batch["mask"].numpy() > 0] for batch in searched]
    )
    work_codes = encode_pictures(encoder, works)
    rows: list[list[np.ndarray | None]] = []
    for picture, code in zip(pictures, encode_pictures(encoder, pictures), strict=True):
        order = np.argsort(np.square(work_codes - code).sum(axis=1))
        others = [k for k in order if not np.array_equal(works[k], picture)]
        rows.append([picture, *works[others[:_NEIGHBORS]]])
    # A small split has fewer others; copies of a picture leave its row even fewer.
    longest = max(map(len, rows))
    rows = [row + [None] * (longest - len(row)) for row in rows]
    return PictureTable(
        rows,
        row_captions=names,
        column_captions=["picture", *(f"nearest {k}" for k in range(1, len(rows[0])))],
        title="nearest pictures of the split by style code",
        column_breaks=[1],
    )


def style_by_content_table(
    generator: tf.keras.Model,
    style_sources: tuple[np.ndarray, np.ndarray],
    content_sources: tuple[np.ndarray, np.ndarray],
    noises: np.ndarray,
    names: Sequence[str],
    title: str | None,
) -> PictureTable:
    """Generate every content in every style (figure 2), with the sources at the edges.

    Args:
        generator: G.
        style_sources: pictures uint8 [s, ..] (shown above) and codes [s, style].
        content_sources: pictures uint8 [c, ..] (shown left) and codes [c, content].
        noises: float [c, noise], one per content, so that a row shares it.
        names: [s], of the columns.
        title: above all, if any.
    """
    style_pictures, styles = style_sources
    content_pictures, contents = content_sources
    generated = decode_codes(
        generator,
        np.tile(styles, [len(contents), 1]),
        np.repeat(contents, len(styles), axis=0),
        np.repeat(noises, len(styles), axis=0),
    )
    generated = generated.reshape(len(contents), len(styles), *generated.shape[1:])
    rows: list[list[np.ndarray | None]] = [[None, *style_pictures]]
    rows += [
        [picture, *row]
        for picture, row in zip(content_pictures, generated, strict=True)
    ]
    return PictureTable(
        rows,
        column_captions=["", *names],
        title=title,
        row_breaks=[1],
        column_breaks=[1],
    )


def _encode(encoder: tf.keras.Model, images: tf.Tensor) -> tf.Tensor:
    outputs = encoder(color.rgb_to_lab(images))
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


@functools.lru_cache(maxsize=8)
def _compile(encoder: tf.keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile `_encode` once per network, however often a training stage calls it."""
    # Not a lambda: TensorFlow identifies functions by their code, so it would warn that
    # the same lambda is retraced for every network.
    return tf.function(functools.partial(_encode, encoder))
