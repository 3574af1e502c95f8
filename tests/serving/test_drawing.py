"""The generator's signature `draw`: random codes of a seed, and their picture."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import configuration as tiny
from helpers import runs
from helpers.pictures import open_picture
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import signatures

SEEDS = np.array([3, 11, 3, -5, 2**40, 0], np.int64)


@pytest.fixture(scope="module")
def functions(tiny_run):
    return signatures.make_generator(TrainedRun(tiny_run)).functions


def call(function, **inputs) -> dict[str, np.ndarray]:
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def decode(encoded) -> np.ndarray:
    pictures = []
    for data in encoded:
        with open_picture(data) as image:
            pictures.append(np.asarray(image, np.int32))
    return np.stack(pictures)


def test_codes_and_picture_depend_on_the_seed_alone(functions):
    drawn = call(functions["draw"], seed=SEEDS)
    alone = call(functions["draw"], seed=SEEDS[4:5])

    for name in ("style", "content"):
        np.testing.assert_array_equal(drawn[name][4:5], alone[name])
        assert len(np.unique(drawn[name], axis=0)) == len(np.unique(SEEDS))
    difference = decode(drawn["image_bytes"])[4:5] - decode(alone["image_bytes"])
    assert abs(difference).max() <= 1


def test_the_picture_is_sampled_from_the_codes_with_the_seeds_noise(functions):
    drawn = call(functions["draw"], seed=SEEDS)
    sampled = call(
        functions["sample"], style=drawn["style"], content=drawn["content"], seed=SEEDS
    )

    difference = decode(drawn["image_bytes"]) - decode(sampled["image_bytes"])
    assert abs(difference).max() <= 1


def test_codes_are_of_n_0_1_in_the_papers_prior(functions):
    """1,000 draws: means are 0 +- .03, deviations 1 +- .02."""
    drawn = call(functions["draw"], seed=np.arange(1000))
    for name in ("style", "content"):
        np.testing.assert_allclose(drawn[name].mean(axis=0), 0, atol=0.15)
        np.testing.assert_allclose(drawn[name].std(axis=0), 1, atol=0.12)
    # Style and content are drawn apart.
    shared = min(tiny.STYLE_DIMS, tiny.CONTENT_DIMS)
    assert np.abs(drawn["style"][:, :shared] - drawn["content"][:, :shared]).min() > 0


def test_styles_of_the_artists_prior_are_near_artists_or_between_two(
    tiny_run, tmp_path
):
    """Within three deviations of an artist's works per dimension, on average."""
    copy = runs.keep_stages(tiny_run, tmp_path / "run", *tiny.STEPS)
    runs.change_objective(copy, "gan", style_prior="artists")
    run = TrainedRun(copy)
    draw = signatures.make_generator(run).functions["draw"]
    styles = call(draw, seed=np.arange(200))["style"]

    prior = run.style_prior
    shares = np.linspace(0, 1, 41)[:, None]
    lines = [a + shares * (b - a) for a in prior.means for b in prior.means]
    errors = (styles[:, None] - np.concatenate(lines)) / prior.deviation
    squares = np.square(errors).sum(axis=2).min(axis=1) / styles.shape[1]
    assert squares.mean() < 1.1
    # Both kinds occur: of one artist, and between two.
    ends = (styles[:, None] - prior.means) / prior.deviation
    at_ends = np.square(ends).sum(axis=2).min(axis=1) / styles.shape[1] < 3
    assert 0.4 < at_ends.mean() < 1
