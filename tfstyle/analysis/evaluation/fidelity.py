"""How far generated pictures are like the real ones: distances of their features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.data import records
from tfstyle.metrics import fidelity
from tfstyle.metrics.repeats import over_seeds
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.likeness import Likeness

SEEDS = (0, 1, 2)
# Test pictures that others are compared with, and as many of each kind.
MOST_TEST = 1000
NEIGHBOURS = 5
# What is compared with real pictures; the report's columns.
KINDS = ("generated", "real", "vae", "shuffled")

Numbers = dict[str, Any]


def measure_fidelity(
    name: str,
    sample: Callable[[np.random.Generator], dict[str, np.ndarray]],
    encoder: tf.keras.Model,
    dataset: records.Dataset,
    test: tuple[np.ndarray, np.ndarray],
) -> Numbers:
    """Compare equal numbers of pictures of several kinds with the real ones.

    All kinds have the test pictures' artists: "shuffled" are the test pictures with
    their pixels in random order; "real" are the test pictures against train, and train
    pictures of the same artists against test. Neighbours are counted against train
    only: an artist's test pictures are too few. The classifier's features are scaled
    (see `Likeness`), Inception's are taken as they are, as is usual.

    Args:
        name: "fidelity", by the classifier, or "fidelity_inception".
        sample: draws "generated" and "vae", uint8 [n, size, size, 3], of the test
            pictures' artists.
        encoder: scaled Lab -> features.
        dataset: the records.
        test: pictures uint8 [n, size, size, 3], and their artists' ids.

    Returns:
        {name: numbers}, or {} if there are too few pictures.
    """
    pictures, artist_ids = test
    has_test = passes.test_split(dataset) == "test"
    likeness = Likeness(encoder, dataset, scaled=name == "fidelity")
    trained_on, own = likeness.train, likeness.features(pictures)
    if min(len(own), len(trained_on)) <= NEIGHBOURS:
        return {}
    against_train, against_test = [], []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        made = sample(random)
        made["shuffled"] = _shuffled(pictures, random)
        kinds = {kind: likeness.features(drawn) for kind, drawn in made.items()}
        against_train.append(
            {
                kind: {
                    **_distances(trained_on, features, seed),
                    **fidelity.precision_recall_density_coverage(
                        trained_on, features, NEIGHBOURS
                    ),
                }
                for kind, features in kinds.items()
            }
        )
        rows = _rows_of_artists(likeness.train_artist_ids, artist_ids, random)
        kinds["real"] = trained_on[rows]
        against_test.append(
            {kind: _distances(own, features, seed) for kind, features in kinds.items()}
        )
    features = name.removeprefix("fidelity").strip("_") or "classifier"
    numbers: Numbers = {
        "protocol": f"{features}_{own.shape[1]}_features_{len(own)}_pictures",
        "pictures": len(own),
        "train_pictures": len(trained_on),
        "neighbours": NEIGHBOURS,
        "seeds": list(SEEDS),
        "against_train": over_seeds(against_train),
    }
    if has_test:
        once = {
            **_distances(trained_on, own, SEEDS[0]),
            **fidelity.precision_recall_density_coverage(trained_on, own, NEIGHBOURS),
        }
        numbers["against_train"]["real"] = over_seeds([once])
        numbers["against_test"] = over_seeds(against_test)
    return {name: numbers}


def _distances(reference, features, seed) -> Numbers:
    kernel, _ = fidelity.kernel_distance(reference, features, seed=seed)
    return {
        "frechet_distance": fidelity.frechet_distance(reference, features),
        "kernel_distance": kernel,
    }


def _shuffled(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put each picture's pixels in random order: its colors without anything drawn."""
    flat = pictures.reshape(len(pictures), -1, 3)
    return np.stack([random.permutation(one) for one in flat]).reshape(pictures.shape)


def _rows_of_artists(from_ids, artist_ids, random) -> np.ndarray:
    """Choose as many rows at random, of the same artists as far as these have them."""
    chosen: list[int] = []
    for artist, count in zip(*np.unique(artist_ids, return_counts=True), strict=True):
        own = np.flatnonzero(from_ids == artist)
        chosen += random.permutation(own)[:count].tolist()
    others = np.setdiff1d(np.arange(len(from_ids)), chosen)
    missing = len(artist_ids) - len(chosen)
    return np.array([*chosen, *random.permutation(others)[:missing]])
