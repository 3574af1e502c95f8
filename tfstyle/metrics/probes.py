"""Probes: how well a small classifier recovers the artist from codes.

The protocol is the same for all codes. Codes are standardized by the mean and deviation
of the training codes. The classifier is a softmax regression ("linear") or a network
with one hidden layer of 64 rectified units ("mlp"). scikit-learn trains it by at most
200 iterations of L-BFGS on the cross entropy of the artist with an L2 penalty of 1. At
most 20,000 training codes are used, chosen at random. Nothing depends on test codes,
neither settings nor when training stops.
"""

import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tfstyle.metrics.distances import squared_distances, validate_codes

HIDDEN_UNITS = 64
COMPONENTS = 40  # principal components that linear discriminants see
MOST_TRAINING_CODES = 20_000  # limits the table [codes, artists] of logits
_PENALTY = 1.0
ITERATIONS = 200


def probe_accuracy(
    train_codes: np.ndarray,
    train_ids: np.ndarray,
    test_codes: np.ndarray,
    test_ids: np.ndarray,
    kind: str = "linear",
    seed: int = 0,
) -> float:
    """Train a probe on training codes and measure its accuracy on test codes.

    Args:
        train_codes: float [n, dims].
        train_ids: int [n], artists.
        test_codes: float [m, dims].
        test_ids: int [m], artists.
        kind: "linear" or "mlp", see the module.
        seed: of the hidden weights and of the choice of training codes.

    Returns:
        Share of test codes whose artist the probe predicts.

    Raises:
        ValueError: if shapes disagree or codes are not finite.
    """
    train_codes, train_ids = validate_codes(train_codes, train_ids)
    test_codes, test_ids = validate_codes(test_codes, test_ids)
    if len(train_codes) > MOST_TRAINING_CODES:
        order = np.random.default_rng(seed).permutation(len(train_codes))
        rows = order[:MOST_TRAINING_CODES]
        train_codes, train_ids = train_codes[rows], train_ids[rows]
    if len(np.unique(train_ids)) == 1:  # scikit-learn needs two classes
        return float((test_ids == train_ids[0]).mean())
    settings = {"solver": "lbfgs", "max_iter": ITERATIONS, "random_state": seed}
    classifier = {
        "linear": LogisticRegression(C=1 / _PENALTY, **settings),
        "mlp": MLPClassifier(HIDDEN_UNITS, alpha=_PENALTY, **settings),
    }[kind]
    probe = make_pipeline(StandardScaler(), classifier)
    # A single thread: results do not depend on the number of cores, and most calls of
    # L-BFGS are too small to divide.
    with threadpool_limits(1), warnings.catch_warnings():
        # The number of iterations is part of the protocol.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(train_codes, train_ids)
    return float(probe.score(test_codes, test_ids))


def nearest_accuracy(
    train_codes: np.ndarray,
    train_ids: np.ndarray,
    test_codes: np.ndarray,
    test_ids: np.ndarray,
) -> float:
    """Compute how often the nearest training code is by the test code's artist.

    Arguments as of `probe_accuracy`.
    """
    train_codes, train_ids = validate_codes(train_codes, train_ids)
    test_codes, test_ids = validate_codes(test_codes, test_ids)
    nearest = np.concatenate(
        [part.argmin(axis=1) for _, part in squared_distances(test_codes, train_codes)]
    )
    return float((train_ids[nearest] == test_ids).mean())


def discriminant_accuracy(
    train_codes: np.ndarray,
    train_ids: np.ndarray,
    test_codes: np.ndarray,
    test_ids: np.ndarray,
) -> float:
    """Compute the accuracy of linear discriminants on principal components.

    The discriminants are Fisher's, on the first COMPONENTS of the training codes.
    Arguments as of `probe_accuracy`.
    """
    train_codes, train_ids = validate_codes(train_codes, train_ids)
    test_codes, test_ids = validate_codes(test_codes, test_ids)
    artists = len(np.unique(train_ids))
    if artists == 1:
        return float((test_ids == train_ids[0]).mean())
    # Discriminants need more codes than artists, and components fewer than codes.
    if len(train_codes) <= artists:
        return nearest_accuracy(train_codes, train_ids, test_codes, test_ids)
    components = min(COMPONENTS, len(train_codes) - artists, train_codes.shape[1])
    classifier = make_pipeline(
        PCA(components, svd_solver="randomized", random_state=0),
        LinearDiscriminantAnalysis(),
    )
    with threadpool_limits(1):
        classifier.fit(train_codes, train_ids)
    return float(classifier.score(test_codes, test_ids))


def majority_accuracy(train_ids: np.ndarray, test_ids: np.ndarray) -> float:
    """Compute the chance level: the share of the most frequent artist.

    A probe that learns nothing from codes reaches this accuracy. If several artists
    have equally many training pictures, it is the mean over them: 1 / N for N artists
    with as many pictures each.

    Args:
        train_ids: int [n], from 0 on.
        test_ids: int [m], from 0 on.
    """
    counts = np.bincount(train_ids)
    shares = np.bincount(test_ids, minlength=len(counts)) / len(test_ids)
    return float(shares[: len(counts)][counts == counts.max()].mean())
