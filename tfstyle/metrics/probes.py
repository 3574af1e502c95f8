"""Probes: how well a small classifier tells the artist from codes (NumPy).

The protocol, the same for all codes: codes are standardized by the mean and deviation
of the training codes; a softmax regression ("linear"), or a network of one hidden layer
of 64 rectified units ("mlp"), is trained by Adam on the cross entropy of the artist,
with a weight decay of 1e-4 on kernels; batches of 256, 30 times over the training
codes but 2,000 to 10,000 of them; the rate falls from 1e-2 to 0 in a straight line.
Nothing is chosen by test codes: no stopping, no settings.
"""

from collections.abc import Iterator

import numpy as np

from tfstyle.metrics.prefix import checked_codes

HIDDEN_UNITS = {"linear": None, "mlp": 64}
_BATCH = 256
_EPOCHS = 30
_LEAST_STEPS, _MOST_STEPS = 2000, 10000
_RATE = 1e-2
_DECAY = 1e-4
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8

Parameters = list[np.ndarray]


def probe_accuracy(
    train_codes: np.ndarray,
    train_ids: np.ndarray,
    test_codes: np.ndarray,
    test_ids: np.ndarray,
    kind: str = "linear",
    seed: int = 0,
) -> float:
    """Train a probe on training codes and test it on others.

    Args:
        train_codes, test_codes: float [n, D].
        train_ids, test_ids: int [n], from 0 on.
        kind: "linear" or "mlp", see the module.
        seed: of the hidden weights and the order; the same gives the same answer.

    Returns:
        Share of test codes whose artist the probe names.

    Raises:
        ValueError: shapes that disagree, codes not finite.
    """
    train_codes, train_ids = checked_codes(train_codes, train_ids)
    test_codes, test_ids = checked_codes(test_codes, test_ids)
    mean, deviation = train_codes.mean(axis=0), train_codes.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    train_codes, test_codes = (
        ((one - mean) / deviation).astype(np.float32)
        for one in (train_codes, test_codes)
    )
    parameters = _train(train_codes, train_ids, HIDDEN_UNITS[kind], seed)
    answers = _forward(parameters, test_codes)[-1].argmax(axis=1)
    return float((answers == test_ids).mean())


def majority_accuracy(train_ids: np.ndarray, test_ids: np.ndarray) -> float:
    """Share of test pictures by the artist of the most training pictures: chance.

    It is what a probe reaches that learns nothing from codes. Of equally frequent
    artists the mean is taken: with as many pictures of each of N it is 1 / N.

    Args:
        train_ids, test_ids: int [n], from 0 on.
    """
    counts = np.bincount(train_ids)
    shares = np.bincount(test_ids, minlength=len(counts)) / len(test_ids)
    return float(shares[: len(counts)][counts == counts.max()].mean())


def _train(
    codes: np.ndarray, artist_ids: np.ndarray, hidden: int | None, seed: int
) -> Parameters:
    random = np.random.default_rng(seed)
    widths = [codes.shape[1], *([hidden] if hidden else []), int(artist_ids.max()) + 1]
    parameters: Parameters = []
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:], strict=False)):
        # The last layer starts with all artists equally likely.
        spread = 0.0 if layer == len(widths) - 2 else np.sqrt(2 / inputs)
        kernel = spread * random.normal(size=[inputs, outputs])
        parameters += [kernel.astype(np.float32), np.zeros(outputs, np.float32)]
    means = [np.zeros_like(one) for one in parameters]
    squares = [np.zeros_like(one) for one in parameters]
    steps = _EPOCHS * len(codes) // _BATCH
    steps = min(max(steps, _LEAST_STEPS), _MOST_STEPS)
    for step, batch in enumerate(_batches(len(codes), steps, random), 1):
        gradients = _gradients(parameters, codes[batch], artist_ids[batch])
        rate = _RATE * (1 - (step - 1) / steps)
        rate *= np.sqrt(1 - _BETA_2**step) / (1 - _BETA_1**step)
        for k, gradient in enumerate(gradients):
            means[k] += (1 - _BETA_1) * (gradient - means[k])
            squares[k] += (1 - _BETA_2) * (np.square(gradient) - squares[k])
            parameters[k] -= rate * means[k] / (np.sqrt(squares[k]) + _EPSILON)
    return parameters


def _batches(
    count: int, steps: int, random: np.random.Generator
) -> Iterator[np.ndarray]:
    """Give indices of batches from one shuffled pass over all after the other."""
    waiting = np.empty(0, np.int64)
    for _ in range(steps):
        while len(waiting) < _BATCH:
            waiting = np.concatenate([waiting, random.permutation(count)])
        yield waiting[:_BATCH]
        waiting = waiting[_BATCH:]


def _forward(parameters: Parameters, codes: np.ndarray) -> list[np.ndarray]:
    """Give what enters each layer, and the logits last."""
    values = [codes]
    for kernel, bias in zip(parameters[::2], parameters[1::2], strict=True):
        if len(values) > 1:
            values[-1] = np.maximum(values[-1], 0)
        values.append(values[-1] @ kernel + bias)
    return values


def _gradients(
    parameters: Parameters, codes: np.ndarray, artist_ids: np.ndarray
) -> Parameters:
    """Differentiate the mean cross entropy and the decay of kernels."""
    *inputs, logits = _forward(parameters, codes)
    change = np.exp(logits - logits.max(axis=1, keepdims=True))
    change /= change.sum(axis=1, keepdims=True)
    change[np.arange(len(codes)), artist_ids] -= 1
    change /= len(codes)
    gradients: Parameters = []
    for layer in reversed(range(len(inputs))):
        kernel = parameters[2 * layer]
        decayed = inputs[layer].T @ change + _DECAY * kernel
        gradients = [decayed, change.sum(axis=0), *gradients]
        if layer:
            change = (change @ kernel.T) * (inputs[layer] > 0)
    return gradients
