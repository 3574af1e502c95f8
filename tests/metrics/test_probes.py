"""Probes find what is in codes, and nothing where there is nothing."""

import numpy as np
import pytest

from tfstyle.metrics import probes


def clusters(artists, each, dims, apart, seed=0):
    """Codes at N(0, I) around artists' means, for training and as many for testing."""
    random = np.random.default_rng(seed)
    means = apart * random.normal(size=[artists, dims])
    ids = np.repeat(np.arange(artists), each)
    train, test = means[ids] + random.normal(size=[2, len(ids), dims])
    return means, ids, train, test


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_probe_is_nearly_as_good_as_knowing_the_means(kind):
    """Of equally likely N(mean, I) the nearest mean is the best answer there is."""
    means, ids, train, test = clusters(artists=6, each=200, dims=5, apart=0.9)
    nearest = [min(range(6), key=lambda k: sum((one - means[k]) ** 2)) for one in test]
    best = np.mean(nearest == ids)
    assert 0.5 < best < 0.95

    found = probes.probe_accuracy(train, ids, test, ids, kind)

    assert best - 0.05 < found < best + 0.02


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_codes_that_hold_nothing_of_the_artist_give_chance(kind):
    _, ids, train, test = clusters(artists=4, each=250, dims=3, apart=0)

    found = probes.probe_accuracy(train, ids, test, ids, kind)

    assert found == pytest.approx(0.25, abs=0.06)  # four deviations of 1,000 guesses


def test_only_the_mlp_sees_what_no_plane_divides():
    """Exclusive or: the artist is whether the two signs agree."""
    random = np.random.default_rng(1)
    train, test = random.normal(size=[2, 800, 2])
    train_ids, test_ids = (
        np.array([int(a * b > 0) for a, b in codes]) for codes in (train, test)
    )

    linear, mlp = (
        probes.probe_accuracy(train, train_ids, test, test_ids, kind)
        for kind in ("linear", "mlp")
    )

    assert linear == pytest.approx(0.5, abs=0.1)
    assert mlp > 0.95


def test_as_many_artists_as_hidden_units_are_learned_too():
    """The hidden layer must not start at zero for being as wide as the last."""
    artists = probes.HIDDEN_UNITS["mlp"]
    _, ids, train, test = clusters(artists, each=20, dims=16, apart=2)

    assert probes.probe_accuracy(train, ids, test, ids, "mlp") > 0.9


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_scale_and_offset_of_codes_do_not_matter_and_seeds_repeat(kind):
    _, ids, train, test = clusters(artists=3, each=60, dims=4, apart=0.7)
    scale, offset = np.array([1e-3, 1, 50, 1e4]), np.array([9.0, -4, 0, 1e3])
    first, again, other = (
        probes.probe_accuracy(*codes, kind, seed=3)
        for codes in [
            (train, ids, test, ids),
            (train, ids, test, ids),
            (train * scale + offset, ids, test * scale + offset, ids),
        ]
    )

    assert first == again
    assert other == pytest.approx(first, abs=2 / 180)  # rounding, at a border


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_training_ends_where_nothing_is_left_to_gain(kind):
    """The whole gradient is far below that of the start, which is above .1."""
    _, ids, train, _ = clusters(artists=5, each=100, dims=6, apart=0.8)
    codes = ((train - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32)
    parameters = probes._train(codes, ids, probes.HIDDEN_UNITS[kind], seed=0)

    gradients = probes._gradients(parameters, codes, ids)

    assert max(np.abs(one).max() for one in gradients) < 5e-3


@pytest.mark.parametrize("hidden", [None, 7])
def test_gradients_are_those_of_small_differences(hidden):
    """Of the mean of log sum exp less the own logit, and half the decay's squares."""
    random = np.random.default_rng(2)
    widths = [3, hidden, 4] if hidden else [3, 4]
    parameters = []
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        parameters += [
            random.normal(size=[inputs, outputs]),
            random.normal(size=outputs),
        ]
    codes, ids = random.normal(size=[5, 3]), np.array([0, 3, 1, 1, 2])

    def loss():
        total = 0.0
        for code, artist in zip(codes, ids, strict=True):
            values = code
            for k in range(0, len(parameters), 2):
                values = np.maximum(values, 0) if k else values
                values = values @ parameters[k] + parameters[k + 1]
            total += np.log(np.exp(values).sum()) - values[artist]
        decay = sum(np.square(kernel).sum() for kernel in parameters[::2])
        return total / 5 + 1e-4 / 2 * decay

    gradients = probes._gradients(parameters, codes, ids)

    assert len(gradients) == len(parameters)
    for one, gradient in zip(parameters, gradients, strict=True):
        for place in np.ndindex(one.shape):
            kept = one[place]
            one[place] = kept + 1e-6
            above = loss()
            one[place] = kept - 1e-6
            expected = (above - loss()) / 2e-6
            one[place] = kept
            assert gradient[place] == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_batches_pass_over_all_codes_before_any_comes_again():
    random = np.random.default_rng(0)
    seen = np.concatenate(list(probes._batches(100, 4, random)))

    assert len(seen) == 4 * 256
    for k in range(10):
        assert sorted(seen[100 * k : 100 * (k + 1)]) == list(range(100))


def test_chance_is_the_share_of_the_artist_of_most_training_pictures():
    train = np.array([0, 0, 1, 1, 1, 2])
    test = np.array([0, 1, 1, 2, 3])
    assert probes.majority_accuracy(train, test) == 2 / 5
    even = np.repeat(np.arange(4), 5)
    assert probes.majority_accuracy(even, np.array([0, 0, 1, 2, 3])) == 1 / 4


def test_codes_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        probes.probe_accuracy(
            np.full([2, 3], np.nan), np.arange(2), np.zeros([2, 3]), np.arange(2)
        )
