"""Judges find what is there to be found, and nothing else."""

import numpy as np
import pytest

from tfstyle.analysis.realism.judges import Judge


def make_pictures(count: int, seed: int, size: int = 32):
    """Noise with a bright square in one of four corners; the names of the corners."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 100, [count, size, size, 3]).astype(np.uint8)
    corners = rng.integers(0, 4, count)
    half = size // 2
    for picture, corner in zip(pictures, corners, strict=True):
        top, left = half * (corner // 2), half * (corner % 2)
        picture[top : top + half, left : left + half] += 100
    return pictures, np.array(["aa", "b", "c", "d"])[corners]


@pytest.mark.parametrize("size", [32, 128])
def test_a_judge_finds_a_visible_class_and_no_invisible_one(size):
    pictures, labels = make_pictures(80, seed=0, size=size)
    others, truths = make_pictures(80, seed=1, size=size)
    assert Judge(pictures, labels).measure_accuracy(others, truths) == 1

    chosen = np.random.default_rng(2).permutation(labels)
    accuracy = Judge(pictures, chosen).measure_accuracy(others, truths)
    assert accuracy < 0.6, "one quarter by chance"


def test_the_same_seed_gives_the_same_judge():
    pictures, labels = make_pictures(40, seed=0)
    noise = np.random.default_rng(3).integers(0, 256, [60, 32, 32, 3]).astype(np.uint8)
    first, second = (Judge(pictures, labels).classify(noise) for _ in range(2))

    np.testing.assert_array_equal(first, second)
