"""The kinds of pictures that are compared with real ones, against plain loops."""

import numpy as np
import pytest
from scipy import ndimage

from helpers import configuration as tiny
from tfstyle.analysis.realism import samples
from tfstyle.modeling.networks import color


@pytest.fixture(scope="module")
def sampler(trained):
    return samples.PictureSampler(trained)


@pytest.fixture(scope="module")
def drawn(sampler):
    return sampler.draw(np.random.default_rng(3))


def test_all_kinds_are_drawn_and_look_like_the_test_pictures(sampler, drawn):
    spoiled = sampler.spoil()
    assert not set(drawn) & set(spoiled)
    kinds = {**drawn, **spoiled}
    assert set(kinds) == set(samples.KINDS)
    assert len(sampler.test) == 12
    for pictures in kinds.values():
        assert pictures.shape == sampler.test.shape and pictures.dtype == np.uint8


def test_drawn_styles_are_those_of_the_runs_prior(trained, sampler, drawn):
    """The tiny run's prior is N(0, I): styles are what is drawn after the noise."""
    rng = np.random.default_rng(3)
    contents = rng.normal(size=[12, tiny.CONTENT_DIMS])
    noises = rng.normal(size=[12, tiny.NOISE_DIMS])
    styles = rng.normal(size=[12, tiny.STYLE_DIMS])
    codes = [np.float32(code) for code in (styles, contents, noises)]
    pictures = color.lab_to_rgb(trained.generator(codes)).numpy()

    np.testing.assert_allclose(drawn["prior"], pictures, atol=1)


def test_superimposed_pictures_are_means_with_one_by_the_same_artist(sampler, drawn):
    train, ids = sampler.train
    for k, artist in enumerate(sampler.artist_ids):
        works = train[ids == artist].astype(float)
        means = (sampler.test[k] + works) / 2
        errors = np.abs(means - drawn["superimposed"][k]).max(axis=(1, 2, 3))
        assert errors.min() <= 0.5


def test_spoiled_pictures_are_blurred_or_the_artists_mean(sampler):
    spoiled = sampler.spoil()
    train, ids = sampler.train

    np.testing.assert_array_equal(spoiled["real"], sampler.test)
    for deviation in (1, 2):
        for k in range(2):
            for channel in range(3):
                expected = ndimage.gaussian_filter(
                    sampler.test[k, ..., channel].astype(float),
                    deviation,
                    mode="nearest",
                )
                np.testing.assert_allclose(
                    spoiled[f"blurred_{deviation}"][k, ..., channel],
                    expected,
                    atol=0.51,
                )
    for k, artist in enumerate(sampler.artist_ids):
        mean = train[ids == artist].mean(axis=0)
        np.testing.assert_allclose(spoiled["mean_picture"][k], mean, atol=0.51)


def test_shuffled_pictures_keep_their_pixels_and_lose_their_places():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, [3, 8, 8, 3]).astype(np.uint8)

    shuffled = samples.shuffle_pixels(pictures, rng)

    assert shuffled.shape == pictures.shape
    for old, new in zip(pictures, shuffled, strict=True):
        assert (old != new).any()
        assert sorted(map(tuple, old.reshape(-1, 3))) == sorted(
            map(tuple, new.reshape(-1, 3))
        )


def test_rows_are_chosen_by_artist_without_repetition():
    from_ids = np.array([0, 0, 0, 0, 1, 2, 2, 2])

    rows = samples.choose_rows_of_artists(
        from_ids, np.array([0, 0, 1, 1, 2]), np.random.default_rng(0)
    )

    assert len(set(rows)) == len(rows)
    # Artist 1 has one picture instead of two: another artist's fills up.
    counts = np.bincount(from_ids[rows])
    assert len(rows) == 5 and (counts >= [2, 1, 1]).all()
