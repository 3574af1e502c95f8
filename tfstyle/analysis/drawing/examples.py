"""Example pictures for previews and figures: chosen, generated and interpolated."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfstyle.data import input_pipeline, records
from tfstyle.modeling.networks.codes import decode_codes


@dataclasses.dataclass(frozen=True)
class FixedPictures:
    """The pictures that all previews of a stage show, chosen once.

    Attributes:
        pictures: uint8 [n, size, size, 3], sorted by artist.
        artist_ids: int64 [n].
    """

    pictures: np.ndarray
    artist_ids: np.ndarray

    @classmethod
    def choose(
        cls, dataset: records.Dataset, split: str, count: int
    ) -> "FixedPictures":
        """Choose the first pictures of evenly spaced artists in a split, in turn.

        There are fewer than `count` if the split has fewer.
        """
        artists = np.linspace(0, len(dataset.artists) - 1, count).round().astype(int)
        by_artist: dict[int, list[np.ndarray]] = {int(k): [] for k in artists}
        rounds = -(-count // len(by_artist))
        for batch in input_pipeline.eval_batches(dataset, split):
            mask = batch["mask"].numpy() > 0
            images = batch["image"].numpy()[mask]
            artist_ids = batch["artist"].numpy()[mask]
            for picture, artist in zip(images, artist_ids, strict=True):
                pictures = by_artist.get(artist)
                if pictures is not None and len(pictures) < rounds:
                    pictures.append(picture)
            if all(len(pictures) == rounds for pictures in by_artist.values()):
                break
        chosen = [
            (artist, pictures[k])
            for k in range(rounds)
            for artist, pictures in by_artist.items()
            if k < len(pictures)
        ][:count]
        chosen.sort(key=lambda choice: choice[0])
        return cls(
            np.stack([picture for _, picture in chosen]),
            np.array([artist for artist, _ in chosen], np.int64),
        )


def interpolate_bilinear(corners: np.ndarray, count: int) -> np.ndarray:
    """Interpolate between four codes (figure 3, right).

    Args:
        corners: float [4, dims]: top left, top right, bottom left, bottom right.
        count: number of rows and of columns, at least 2.

    Returns:
        float [count * count, dims], row by row; the corners are the given codes.
    """
    weights = np.linspace(0, 1, count)
    across = [
        left + weights[:, None] * (right - left)
        for left, right in (corners[:2], corners[2:])
    ]
    rows = across[0] + weights[:, None, None] * (across[1] - across[0])
    return rows.reshape(count * count, -1)


def sweep_dimension(
    generator: tf.keras.Model,
    code_dims: Sequence[int],
    dimension: int,
    values: Sequence[float],
    groups: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Vary one style dimension of random codes (figures 4 and 5).

    Args:
        generator: G.
        code_dims: dimensions of style, content and noise.
        dimension: index of the style dimension.
        values: of that dimension.
        groups: number of random codes; only the dimension varies within a group.
        rng: draws the codes.

    Returns:
        uint8 [groups, len(values), size, size, 3], RGB.
    """
    count = len(values)
    styles, contents, noises = (
        np.repeat(rng.normal(size=[groups, dims]), count, axis=0) for dims in code_dims
    )
    styles[:, dimension] = np.tile(values, groups)
    pictures = decode_codes(generator, styles, contents, noises)
    return pictures.reshape(groups, count, *pictures.shape[1:])
