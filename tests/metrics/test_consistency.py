"""Content agreement and diversity of pictures against loops over pairs."""

import numpy as np
import pytest

from tfstyle.metrics import consistency


def grid(contents, styles):
    return np.repeat(np.arange(contents), styles), np.tile(np.arange(styles), contents)


def test_agreement_equals_loops_over_pairs_in_different_styles():
    rng = np.random.default_rng(0)
    content_ids, style_ids = grid(4, 3)
    codes = rng.normal(size=[4, 5])[content_ids] + rng.normal(size=[12, 5])
    same, different, hits = [], [], 0
    for i in range(12):
        best = None
        for j in range(12):
            if style_ids[i] == style_ids[j]:
                continue
            distance = np.square(codes[i] - codes[j]).sum()
            kind = same if content_ids[i] == content_ids[j] else different
            kind.append(distance)
            if best is None or distance < best[0]:
                best = distance, j
        hits += content_ids[best[1]] == content_ids[i]

    measured = consistency.content_agreement(codes, content_ids, style_ids)

    assert 0 < hits < 12
    assert measured == pytest.approx(
        {
            "distance_ratio": np.mean(same) / np.mean(different),
            "retrieval": hits / 12,
            "chance": 1 / 4,  # 2 of the 8 pictures in other styles
        }
    )


def test_codes_that_depend_on_the_content_only_agree_perfectly():
    content_ids, style_ids = grid(5, 4)
    codes = np.eye(5)[content_ids]

    measured = consistency.content_agreement(codes, content_ids, style_ids)

    assert measured["distance_ratio"] == pytest.approx(0, abs=1e-12)
    assert measured["retrieval"] == 1


def test_codes_that_do_not_depend_on_the_content_score_like_chance():
    content_ids, style_ids = grid(20, 10)
    codes = np.random.default_rng(1).normal(size=[200, 30])

    measured = consistency.content_agreement(codes, content_ids, style_ids)

    assert measured["distance_ratio"] == pytest.approx(1, abs=0.02)
    assert measured["chance"] == pytest.approx(1 / 20)
    # Five deviations of 200 trials.
    assert measured["retrieval"] < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 200)


def test_collapsed_codes_score_like_chance():
    content_ids, style_ids = grid(6, 3)

    measured = consistency.content_agreement(np.ones([18, 2]), content_ids, style_ids)

    assert np.isnan(measured["distance_ratio"])
    assert measured["retrieval"] == pytest.approx(1 / 6)


@pytest.mark.parametrize("contents, styles", [(1, 3), (3, 1)])
def test_one_content_or_one_style_cannot_be_compared(contents, styles):
    codes = np.zeros([contents * styles, 2])

    with pytest.raises(
        ValueError, match=f"got {contents} contents and {styles} styles"
    ):
        consistency.content_agreement(codes, *grid(contents, styles))


def test_pair_distance_is_averaged_over_pairs_then_over_groups():
    """Group 0: 0, 3, 4 differ by 3, 4, 1, mean 8/3. Group 1: 2. Group 2: no pair."""
    values = np.array([0.0, 3, 10, 4, 12, 99])
    images = np.broadcast_to(values[:, None, None, None], [6, 2, 2, 3])
    groups = np.array([0, 0, 1, 0, 1, 2])

    measured = consistency.mean_pair_distance(images, groups)

    assert measured == pytest.approx((8 / 3 + 2) / 2)


def test_pair_distance_is_a_root_mean_square_over_values():
    images = np.zeros([2, 4, 4, 3], np.float32)
    images[1, :2] = 3  # half of the values differ by 3: sqrt(9 / 2)

    measured = consistency.mean_pair_distance(images, np.zeros(2, int))

    assert measured == pytest.approx(np.sqrt(4.5))


def test_groups_of_one_have_no_pairs():
    with pytest.raises(ValueError, match="a group of two"):
        consistency.mean_pair_distance(np.zeros([3, 2]), np.arange(3))
