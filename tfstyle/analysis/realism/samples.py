"""Pictures of several kinds, which the generator's measures compare with real ones.

Beside what the networks draw there are kinds whose quality is known: real pictures as
they are, and spoiled in ways that a viewer sees at once. They show what a measure is
worth.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from scipy import ndimage

from tfstyle.data import input_pipeline, records
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.modeling.objectives.likeness import MAX_TRAINING_PICTURES
from tfstyle.runs.trained_run import TrainedRun

# Of the random draws.
SEEDS = (0, 1, 2)
# Pictures of each kind at most: the first of the records, which were shuffled when
# written.
MAX_TEST_PICTURES = 1000
# Kinds of pictures, and their labels.
KINDS = {
    "generated": "generated, mean styles",
    "prior": "generated, drawn styles",
    "vae": "VAE pictures",
    "real": "real pictures",
    "blurred_1": "real, blurred by 1 pixel",
    "blurred_2": "real, blurred by 2 pixels",
    "superimposed": "two real pictures superimposed",
    "mean_picture": "each artist's mean picture",
    "shuffled": "real, shuffled pixels",
}


class KindMeasure(Protocol):
    """What compares kinds of pictures with real ones."""

    def add(self, seed: int, kinds: Mapping[str, np.ndarray]) -> None:
        """Measure kinds, uint8 [n, size, size, 3] each, that were drawn with a seed."""


class PictureSampler:
    """Draws pictures in the styles of the test pictures' artists.

    Attributes:
        styles: float32 [artists, style], the artists' mean styles.
        test: uint8 [n, size, size, 3], the first test pictures.
        has_test: whether they are; without test pictures they are training pictures.
        artist_ids: int64 [n], their artists.
    """

    def __init__(self, run: TrainedRun) -> None:
        self.styles = run.style_statistics.artist_means
        self.test, self.artist_ids = read_first_pictures(
            run.dataset, run.dataset.test_split, MAX_TEST_PICTURES
        )
        self.has_test = run.dataset.test_split == "test"
        self._run = run

    @functools.cached_property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """The first training pictures, uint8 [m, size, size, 3], and their artists."""
        return read_first_pictures(self._run.dataset, "train", MAX_TRAINING_PICTURES)

    def measure_kinds(self, measures: Sequence[KindMeasure]) -> None:
        """Draw all kinds with each of SEEDS, and give them to each measure.

        Kinds that do not depend on the seed come with the first one only.
        """
        if not measures:
            return
        for seed in SEEDS:
            kinds = self.draw(np.random.default_rng(seed))
            if seed == SEEDS[0]:
                kinds |= self.spoil()
            for measure in measures:
                measure.add(seed, kinds)

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the kinds that depend on a seed, as many of each as in `test`."""
        count = len(self.artist_ids)
        contents, noises = self.draw_contents(count, rng), self.draw_noises(count, rng)
        styles = self.styles[self.artist_ids]
        normals = rng.normal(size=styles.shape)
        drawn_styles = self._run.draw_styles(normals, rng)
        halves = self.test / 2 + self._draw_partners(rng) / 2
        return {
            "generated": self._run.generate(styles, contents, noises),
            "prior": self._run.generate(drawn_styles, contents, noises),
            "vae": decode_codes(self._run.code_decoder, styles, contents),
            "superimposed": halves.round().astype(np.uint8),
            "shuffled": shuffle_pixels(self.test, rng),
        }

    def spoil(self) -> dict[str, np.ndarray]:
        """Return "real", and the kinds made of it that are the same for every seed."""
        pictures, ids = self.train
        # Of all pictures, for an artist without any among the first.
        overall = pictures.mean(axis=0)
        means = {
            artist: pictures[ids == artist].mean(axis=0) if artist in ids else overall
            for artist in np.unique(self.artist_ids)
        }
        mean_pictures = [means[artist] for artist in self.artist_ids]
        return {
            "real": self.test,
            "blurred_1": blur(self.test, 1),
            "blurred_2": blur(self.test, 2),
            "mean_picture": np.stack(mean_pictures).round().astype(np.uint8),
        }

    def draw_contents(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw contents of N(0, I), float64 [count, content]."""
        return rng.normal(size=[count, self._run.content_encoder.dims])

    def draw_noises(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw noise of N(0, I), float64 [count, noise]."""
        return rng.normal(size=[count, self._run.noise_dims])

    def _draw_partners(self, rng: np.random.Generator) -> np.ndarray:
        """Choose a training picture by the artist of each test picture."""
        pictures, ids = self.train
        rows = [
            rng.choice(np.flatnonzero(ids == artist) if artist in ids else len(ids))
            for artist in self.artist_ids
        ]
        return pictures[rows]


def read_first_pictures(
    dataset: records.Dataset, split: str, count: int, artists: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first pictures of a split, which the records hold in random order.

    Args:
        dataset: the records.
        split: the split.
        count: number of pictures at most.
        artists: labels of the artists whose pictures are read; None for all.

    Returns:
        uint8 [n, size, size, 3] and int64 [n], their artists.
    """
    batches = [*read_first_batches(dataset, split, count, artists)]
    return (
        np.concatenate([batch["image"] for batch in batches]),
        np.concatenate([batch["artist"] for batch in batches]),
    )


def read_first_batches(
    dataset: records.Dataset, split: str, count: int, artists: np.ndarray | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """Read what `read_first_pictures` reads batch by batch, with all that is known.

    Yields:
        `image`, `artist` and `filename` of the pipeline's evaluation batches, without
        padding.
    """
    left = count
    for batch in input_pipeline.eval_batches(dataset, split):
        mask = batch["mask"].numpy() > 0
        if artists is not None:
            mask &= np.isin(batch["artist"].numpy(), artists)
        names = ("image", "artist", "filename")
        works = {name: batch[name].numpy()[mask][:left] for name in names}
        yield works
        left -= len(works["artist"])
        if not left:
            break


def blur(pictures: np.ndarray, deviation: float) -> np.ndarray:
    """Blur uint8 [n, height, width, 3] by a Gaussian of that many pixels."""
    blurred = ndimage.gaussian_filter(
        pictures.astype(np.float32), (0, deviation, deviation, 0), mode="nearest"
    )
    return blurred.round().astype(np.uint8)


def shuffle_pixels(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shuffle the pixels of each picture, uint8 [n, height, width, 3]."""
    pixels = pictures.reshape(len(pictures), -1, 3)
    shuffled = np.stack([rng.permutation(picture) for picture in pixels])
    return shuffled.reshape(pictures.shape)


def choose_rows_of_artists(
    from_ids: np.ndarray, artist_ids: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Choose random rows by the artists of other rows.

    Args:
        from_ids: int [n], artists of the rows to choose from.
        artist_ids: int [m], the artists to choose.
        rng: draws the rows.

    Returns:
        int [m], different rows, sorted by artist; of other artists where an artist has
        too few.
    """
    chosen: list[int] = []
    for artist, count in zip(*np.unique(artist_ids, return_counts=True), strict=True):
        rows = np.flatnonzero(from_ids == artist)
        chosen += rng.permutation(rows)[:count].tolist()
    others = np.setdiff1d(np.arange(len(from_ids)), chosen)
    missing = len(artist_ids) - len(chosen)
    return np.array([*chosen, *rng.permutation(others)[:missing]])
