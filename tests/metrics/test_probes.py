"""Probes recover what codes contain, and nothing where they contain nothing."""

import warnings

import numpy as np
import pytest

from tfstyle.metrics import probes

KINDS = ("linear", "mlp")


def clusters(artists, each, dims, apart, seed=0):
    """Draw codes from N(mean, I) around artists' means, for training and testing."""
    rng = np.random.default_rng(seed)
    means = apart * rng.normal(size=[artists, dims])
    ids = np.repeat(np.arange(artists), each)
    train, test = means[ids] + rng.normal(size=[2, len(ids), dims])
    return means, ids, train, test


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_is_nearly_as_good_as_knowing_the_means(kind):
    """Of equally likely N(mean, I) the nearest mean is the best classifier."""
    means, ids, train, test = clusters(artists=6, each=200, dims=5, apart=0.9)
    nearest = [
        min(range(6), key=lambda k: sum((code - means[k]) ** 2)) for code in test
    ]
    best = np.mean(nearest == ids)
    assert 0.5 < best < 0.95

    accuracy = probes.probe_accuracy(train, ids, test, ids, kind)

    assert best - 0.08 < accuracy < best + 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_codes_without_artist_information_give_chance(kind):
    _, ids, train, test = clusters(artists=4, each=250, dims=3, apart=0)

    accuracy = probes.probe_accuracy(train, ids, test, ids, kind)

    assert accuracy == pytest.approx(0.25, abs=0.06)  # 4 deviations of 1,000 guesses


def test_only_the_mlp_separates_what_no_plane_does():
    """Exclusive or: the artist is whether the two signs agree."""
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=[2, 800, 2])
    train_ids, test_ids = (
        np.array([int(a * b > 0) for a, b in codes]) for codes in (train, test)
    )

    linear, mlp = (
        probes.probe_accuracy(train, train_ids, test, test_ids, kind) for kind in KINDS
    )

    assert linear == pytest.approx(0.5, abs=0.1)
    assert mlp > 0.95


def test_the_mlp_learns_as_many_artists_as_hidden_units():
    _, ids, train, test = clusters(probes.HIDDEN_UNITS, each=20, dims=16, apart=2)

    assert probes.probe_accuracy(train, ids, test, ids, "mlp") > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_scale_and_offset_of_codes_do_not_matter_and_seeds_repeat(kind):
    _, ids, train, test = clusters(artists=3, each=60, dims=4, apart=0.7)
    scale, offset = np.array([1e-3, 1, 50, 1e4]), np.array([9.0, -4, 0, 1e3])
    first, again, scaled = (
        probes.probe_accuracy(*codes, kind, seed=3)
        for codes in [
            (train, ids, test, ids),
            (train, ids, test, ids),
            (train * scale + offset, ids, test * scale + offset, ids),
        ]
    )

    assert first == again
    assert scaled == pytest.approx(first, abs=2 / 180)  # rounding near a border


def test_a_constant_dimension_does_not_matter():
    _, ids, train, test = clusters(artists=3, each=60, dims=4, apart=0.7)
    wider_train, wider_test = (
        np.pad(codes, [(0, 0), (0, 1)]) for codes in (train, test)
    )

    assert probes.probe_accuracy(wider_train, ids, wider_test, ids) == (
        probes.probe_accuracy(train, ids, test, ids)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_probe_that_ends_before_it_converges_does_not_warn(kind, monkeypatch):
    _, ids, train, test = clusters(artists=5, each=20, dims=6, apart=0.8)
    monkeypatch.setattr(probes, "ITERATIONS", 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probes.probe_accuracy(train, ids, test, ids, kind)


def test_many_training_codes_are_sampled_at_random(monkeypatch):
    """Codes are sorted by artist: the first 100 are all by one of four artists."""
    _, ids, train, test = clusters(artists=4, each=100, dims=8, apart=2)
    monkeypatch.setattr(probes, "MOST_TRAINING_CODES", 100)

    assert probes.probe_accuracy(train, ids, test, ids) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_single_artist_in_training_every_code_is_assigned_to_it(kind):
    codes = np.random.default_rng(0).normal(size=[4, 3])
    accuracy = probes.probe_accuracy(codes, [5] * 4, codes, [5, 5, 2, 5], kind)
    assert accuracy == 3 / 4


def test_chance_is_the_share_of_the_artist_of_most_training_pictures():
    train = np.array([0, 0, 1, 1, 1, 2])
    test = np.array([0, 1, 1, 2, 3])
    assert probes.majority_accuracy(train, test) == 2 / 5
    even = np.repeat(np.arange(4), 5)
    assert probes.majority_accuracy(even, np.array([0, 0, 1, 2, 3])) == 1 / 4


def test_codes_that_are_not_finite_are_rejected():
    with pytest.raises(ValueError, match="finite"):
        probes.probe_accuracy(
            np.full([2, 3], np.nan), np.arange(2), np.zeros([2, 3]), np.arange(2)
        )


def test_the_nearest_code_is_found_by_a_loop():
    _, ids, train, test = clusters(artists=5, each=30, dims=3, apart=1.0)
    hits = 0
    for code, artist in zip(test, ids, strict=True):
        distances = [sum((code - other) ** 2) for other in train]
        hits += ids[int(np.argmin(distances))] == artist

    accuracy = probes.nearest_accuracy(train, ids, test, ids)

    assert 0.3 < accuracy < 0.95  # else this could not fail
    assert accuracy == hits / len(ids)


def test_discriminants_find_what_is_hidden_below_louder_dimensions():
    """Nearest codes drown in noise of deviation 20; discriminants divide by it."""
    _, ids, train, test = clusters(artists=4, each=150, dims=3, apart=2)
    noise = 20 * np.random.default_rng(1).normal(size=[2, len(ids), 6])
    loud_train, loud_test = (
        np.concatenate([codes, loud], axis=1)
        for codes, loud in zip((train, test), noise, strict=True)
    )

    discriminants = probes.discriminant_accuracy(loud_train, ids, loud_test, ids)

    assert discriminants == pytest.approx(
        probes.discriminant_accuracy(train, ids, test, ids), abs=0.03
    )
    nearest = probes.nearest_accuracy(loud_train, ids, loud_test, ids)
    assert discriminants > 0.8 > 0.5 > nearest


@pytest.mark.parametrize("each", [1, 2])
def test_discriminants_of_few_codes_have_as_many_components_as_there_are(each):
    _, ids, train, test = clusters(artists=6, each=each, dims=100, apart=10)

    assert probes.discriminant_accuracy(train, ids, test, ids) == 1


def test_discriminants_of_a_single_artist_are_always_right():
    codes = np.random.default_rng(0).normal(size=[5, 3])

    assert probes.discriminant_accuracy(codes, np.zeros(5, int), codes, [0] * 5) == 1
