"""How similar generated pictures are to real ones, by features of a network."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfstyle.analysis.evaluation.results import Result, from_json, measured
from tfstyle.data import records
from tfstyle.metrics import fidelity
from tfstyle.metrics.repeats import Spread, combine_seeds
from tfstyle.modeling.objectives.likeness import Likeness

# Name, in a protocol, of the judge's features.
JUDGE_FEATURES = "classifier"
SEEDS = (0, 1, 2)
# Test pictures that are compared, and pictures of every other kind.
MAX_TEST_PICTURES = 1000
NEIGHBORS = 5
# Kinds of pictures that are compared with real ones, and their labels.
KINDS = {
    "generated": "generated",
    "real": "real pictures",
    "vae": "VAE pictures",
    "shuffled": "shuffled pixels",
}

# Draws "generated" and "vae", uint8 [n, size, size, 3], of the test pictures' artists.
Sample = Callable[[np.random.Generator], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distances(Result):
    """Pictures of a kind compared with real ones.

    The measures after the kernel distance count neighbors. They are None for the
    comparison with test pictures: an artist has too few of them.
    """

    frechet_distance: Spread = measured(
        "Frechet distance",
        ".1f",
        "Distance of all pictures together from the real ones (FID, by the "
        "classifier's features); less is better.",
    )
    kernel_distance: Spread = measured(
        "kernel distance",
        ".3f",
        "The same, unbiased for few pictures (KID); less is better, real pictures are "
        "at 0 or slightly below.",
    )
    precision: Spread | None = measured(
        "precision",
        ".0%",
        "Share that could be real pictures: at least as close to one as its neighbors.",
        default=None,
    )
    density: Spread | None = measured(
        "density",
        ".2f",
        "Number of real pictures around each, relative to that around real ones; about "
        "1 for pictures as good as real ones.",
        default=None,
    )
    recall: Spread | None = measured(
        "recall",
        ".0%",
        "Share of the real pictures that could be one of these.",
        default=None,
    )
    coverage: Spread | None = measured(
        "coverage",
        ".0%",
        "Share of the real pictures that have one of these nearby.",
        default=None,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Equal numbers of pictures of each of KINDS, compared with real pictures.

    Args:
        protocol: of the measurement.
        pictures: number of pictures of each kind.
        train_pictures: training pictures that these are compared with.
        neighbours: neighbors that are counted.
        seeds: of the random draws.
        against_train: by kind, compared with training pictures.
        against_test: by kind, compared with test pictures; None if there are none.
    """

    protocol: str
    pictures: int
    train_pictures: int
    neighbours: int
    seeds: list[int]
    against_train: dict[str, Distances]
    against_test: dict[str, Distances] | None = None

    @property
    def comparisons(self) -> dict[str, dict[str, Distances]]:
        """The comparisons by the pictures that are compared with."""
        comparisons = {"training pictures": self.against_train}
        if self.against_test:
            comparisons["test pictures"] = self.against_test
        return comparisons

    def summarize(self) -> list[str]:
        """Format the Frechet distances as lines of text."""
        return [
            f"Frechet distance to {name}: "
            + ", ".join(
                f"{kind} {kinds[kind].format_value('frechet_distance')}"
                for kind in KINDS
                if kind in kinds
            )
            for name, kinds in self.comparisons.items()
        ]


def measure_fidelity(
    features: str,
    sample: Sample,
    encoder: tf.keras.Model,
    dataset: records.Dataset,
    test: tuple[np.ndarray, np.ndarray],
) -> Fidelity | None:
    """Compare equal numbers of pictures of several kinds with real ones.

    All kinds have the artists of the test pictures. "shuffled" are the test pictures
    with their pixels in random order. "real" are the test pictures when compared with
    training pictures, and training pictures of the same artists when compared with
    test pictures.

    Args:
        features: "classifier", whose features are scaled (see `Likeness`), or the name
            of a network whose features are used as they are.
        sample: see `Sample`.
        encoder: scaled Lab -> features.
        dataset: the records.
        test: pictures uint8 [n, size, size, 3], and their artists, int [n].

    Returns:
        The comparisons, or None if there are too few pictures.
    """
    pictures, _ = test
    likeness = Likeness(encoder, dataset, scaled=features == JUDGE_FEATURES)
    train = likeness.train_features
    real = likeness.extract_features(pictures)
    if min(len(real), len(train)) <= NEIGHBORS:
        return None
    comparisons = [
        _compare_samples(sample, likeness, test, real, seed) for seed in SEEDS
    ]
    against_train, against_test = map(combine_seeds, zip(*comparisons, strict=True))
    has_test = dataset.test_split == "test"
    if has_test:
        values = _compare_with_train(train, real, SEEDS[0])
        against_train["real"] = combine_seeds([values])
    return Fidelity(
        protocol=f"{features}_{real.shape[1]}_features_{len(real)}_pictures",
        pictures=len(real),
        train_pictures=len(train),
        neighbours=NEIGHBORS,
        seeds=[*SEEDS],
        against_train=from_json(dict[str, Distances], against_train),
        against_test=from_json(dict[str, Distances], against_test)
        if has_test
        else None,
    )


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
        int [m], different rows; of other artists where an artist has too few.
    """
    chosen: list[int] = []
    for artist, count in zip(*np.unique(artist_ids, return_counts=True), strict=True):
        rows = np.flatnonzero(from_ids == artist)
        chosen += rng.permutation(rows)[:count].tolist()
    others = np.setdiff1d(np.arange(len(from_ids)), chosen)
    missing = len(artist_ids) - len(chosen)
    return np.array([*chosen, *rng.permutation(others)[:missing]])


def _compare_samples(
    sample: Sample,
    likeness: Likeness,
    test: tuple[np.ndarray, np.ndarray],
    real: np.ndarray,
    seed: int,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Compare the samples of a seed with training and with test pictures."""
    pictures, artist_ids = test
    train = likeness.train_features
    rng = np.random.default_rng(seed)
    samples = {**sample(rng), "shuffled": shuffle_pixels(pictures, rng)}
    kinds = {kind: likeness.extract_features(drawn) for kind, drawn in samples.items()}
    against_train = {k: _compare_with_train(train, kinds[k], seed) for k in kinds}
    rows = choose_rows_of_artists(likeness.train_artist_ids, artist_ids, rng)
    kinds["real"] = train[rows]
    against_test = {k: _compute_distances(real, kinds[k], seed) for k in kinds}
    return against_train, against_test


def _compare_with_train(
    train: np.ndarray, features: np.ndarray, seed: int
) -> dict[str, float]:
    return {
        **_compute_distances(train, features, seed),
        **fidelity.precision_recall_density_coverage(train, features, NEIGHBORS),
    }


def _compute_distances(
    real: np.ndarray, features: np.ndarray, seed: int
) -> dict[str, float]:
    kernel, _ = fidelity.kernel_distance(real, features, seed=seed)
    return {
        "frechet_distance": fidelity.frechet_distance(real, features),
        "kernel_distance": kernel,
    }
