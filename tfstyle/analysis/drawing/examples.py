"""Sheets of generated pictures that previews and figures share."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.data import input_pipeline, records
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.modeling.objectives.passes import test_split


@dataclasses.dataclass(frozen=True)
class FixedPictures:
    """The pictures of every preview of a stage, chosen once.

    Args:
        pictures: uint8 [n, size, size, 3], one per artist as far as there are.
        artist_ids: int64 [n].
    """

    pictures: np.ndarray
    artist_ids: np.ndarray

    @classmethod
    def choose(cls, dataset: records.Dataset, count: int) -> "FixedPictures":
        """Take the first test pictures of evenly spread artists, round and round."""
        split = test_split(dataset)
        by_artist: dict[int, list[np.ndarray]] = {}
        artists = len(dataset.artists)
        order = np.unique(np.linspace(0, artists - 1, count).round().astype(int))
        rounds = -(-count // len(order))
        for batch in input_pipeline.eval_batches(dataset, (split,), 32):
            for picture, artist, mask in zip(
                batch["image"].numpy(),
                batch["artist"].numpy(),
                batch["mask"].numpy(),
                strict=True,
            ):
                found = by_artist.setdefault(int(artist), [])
                if mask and len(found) < rounds:
                    found.append(picture)
            if all(len(by_artist.get(artist, [])) >= rounds for artist in order):
                break
        chosen = [
            (by_artist[artist][number], artist)
            for number in range(rounds)
            for artist in order
            if number < len(by_artist.get(artist, []))
        ][:count]
        chosen.sort(key=lambda one: one[1])
        return cls(
            np.stack([picture for picture, _ in chosen]),
            np.array([artist for _, artist in chosen], np.int64),
        )


def style_by_content_sheet(
    generator: tf.keras.Model,
    style_sources: tuple[np.ndarray, np.ndarray],
    content_sources: tuple[np.ndarray, np.ndarray],
    noises: np.ndarray,
    captions: list[str],
    title: str | None,
) -> Image.Image:
    """Draw every content in every style (figure 2), with the sources at the edges.

    Args:
        generator: G.
        style_sources: pictures uint8 [s, ..] (shown above) and codes [s, style].
        content_sources: pictures uint8 [c, ..] (shown left) and codes [c, content].
        noises: float [c, noise], one per content, so that a row shares it.
        captions: [s], of the columns.
        title: above all, if any.
    """
    style_pictures, styles = style_sources
    content_pictures, contents = content_sources
    made = decode_codes(
        generator,
        np.tile(styles, [len(contents), 1]),
        np.repeat(contents, len(styles), axis=0),
        np.repeat(noises, len(styles), axis=0),
    )
    made = made.reshape(len(contents), len(styles), *made.shape[1:])
    rows = [[None, *style_pictures]]
    rows += [
        [picture, *row] for picture, row in zip(content_pictures, made, strict=True)
    ]
    return grids.picture_grid(
        rows,
        column_captions=["", *captions],
        title=title,
        row_breaks=[1],
        column_breaks=[1],
    )


def bilinear_codes(corners: np.ndarray, count: int) -> np.ndarray:
    """Interpolate between four codes (figure 3, right).

    Args:
        corners: float [4, dims]: top left, top right, bottom left, bottom right.
        count: rows and columns, at least 2.

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


def dimension_sweep(
    generator: tf.keras.Model,
    code_dims: tuple[int, int, int],
    dimension: int,
    values: Sequence[float],
    groups: int,
    random: np.random.Generator,
) -> np.ndarray:
    """Vary one style dimension of random codes (figures 4 and 5).

    Args:
        generator: G.
        code_dims: of style, content and noise.
        dimension: of the style, from 0.
        values: what it is set to in turn.
        groups: random codes; all but the dimension stays within a group.
        random: draws them.

    Returns:
        uint8 [groups, len(values), size, size, 3], RGB.
    """
    count = len(values)
    styles, contents, noises = (
        np.repeat(random.normal(size=[groups, dims]), count, axis=0)
        for dims in code_dims
    )
    styles[:, dimension] = np.tile(values, groups)
    made = decode_codes(generator, styles, contents, noises)
    return made.reshape(groups, count, *made.shape[1:])
