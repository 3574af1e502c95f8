"""How similar generated pictures are to real ones, by features of a network."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfstyle.analysis.realism.samples import (
    KINDS,
    SEEDS,
    PictureSampler,
    choose_rows_of_artists,
)
from tfstyle.analysis.results import Result, make_result, measured
from tfstyle.data import records
from tfstyle.metrics import fidelity
from tfstyle.metrics.repeats import Spread, combine_kinds
from tfstyle.modeling.objectives.likeness import Likeness

# Name, in a protocol, of the judge's features.
JUDGE_FEATURES = "classifier"
NEIGHBORS = 5
# Kinds that are too similar to the test pictures that they are made of to be compared
# with them.
_MADE_OF_TEST = ("blurred_1", "blurred_2", "superimposed")
# Kinds whose distances the summary shows.
_SUMMARIZED = ("generated", "prior", "vae", "real", "shuffled")


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
                f"{KINDS[kind]} {kinds[kind].format_value('frechet_distance')}"
                for kind in _SUMMARIZED
                if kind in kinds
            )
            for name, kinds in self.comparisons.items()
        ]


class FidelityMeasure:
    """Compares equal numbers of pictures of several kinds with real ones.

    All kinds have the artists of the test pictures. "real" are the test pictures when
    compared with training pictures, and training pictures of the same artists when
    compared with test pictures.

    Args:
        features: "classifier", whose features are scaled (see `Likeness`), or the name
            of a network whose features are used as they are.
        sampler: draws the pictures.
        encoder: scaled Lab -> features.
        dataset: the records.
    """

    def __init__(
        self,
        features: str,
        sampler: PictureSampler,
        encoder: tf.keras.Model,
        dataset: records.Dataset,
    ) -> None:
        self._features = features
        self._likeness = Likeness(encoder, dataset, scaled=features == JUDGE_FEATURES)
        self._real = self._likeness.extract_features(sampler.test)
        self._artist_ids = sampler.artist_ids
        self._has_test = dataset.test_split == "test"
        self._against_train: list[dict[str, dict[str, float]]] = []
        self._against_test: list[dict[str, dict[str, float]]] = []

    @property
    def is_possible(self) -> bool:
        """Whether there are enough pictures to count neighbors."""
        return min(len(self._real), len(self._likeness.train_features)) > NEIGHBORS

    def add(self, seed: int, kinds: Mapping[str, np.ndarray]) -> None:
        """Measure kinds that were drawn with a seed."""
        train = self._likeness.train_features
        features = {
            kind: self._likeness.extract_features(pictures)
            for kind, pictures in kinds.items()
            if kind != "real"
        }
        against_test = {k: v for k, v in features.items() if k not in _MADE_OF_TEST}
        if self._has_test and "real" in kinds:
            features["real"] = self._real
        self._against_train.append(
            {
                kind: _compare_with_train(train, features[kind], seed)
                for kind in features
            }
        )
        rows = choose_rows_of_artists(
            self._likeness.train_artist_ids,
            self._artist_ids,
            np.random.default_rng(seed),
        )
        against_test["real"] = train[rows]
        self._against_test.append(
            {
                kind: _compute_distances(self._real, values, seed)
                for kind, values in against_test.items()
            }
        )

    def combine(self) -> Fidelity:
        """Combine the seeds."""
        return Fidelity(
            protocol=f"{self._features}_{self._real.shape[1]}_features_"
            f"{len(self._real)}_pictures",
            pictures=len(self._real),
            train_pictures=len(self._likeness.train_features),
            neighbours=NEIGHBORS,
            seeds=[*SEEDS],
            against_train=_combine(self._against_train),
            against_test=_combine(self._against_test) if self._has_test else None,
        )


def _combine(by_seed: list[dict[str, dict[str, float]]]) -> dict[str, Distances]:
    """Combine the seeds of each kind, which may be measured with the first one only."""
    combined = combine_kinds(by_seed)
    return make_result(dict[str, Distances], combined)


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
