"""Search among codes against loops written from the definitions."""

import numpy as np
import pytest

from tfstyle.metrics import distances, retrieval


def make_codes(counts, dims, seed=0):
    """Return shuffled, overlapping images of artists with unequal counts."""
    rng = np.random.default_rng(seed)
    artist_ids = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    styles = rng.normal(size=(len(counts), dims))
    return styles[artist_ids] + rng.normal(size=(sum(counts), dims)), artist_ids


def by_loops(codes, artist_ids, recall_at):
    """Compute recall@k and MAP@R picture by picture and rank by rank."""
    recalls, precisions = {k: [] for k in recall_at}, []
    for q, code in enumerate(codes):
        others = [i for i in range(len(codes)) if i != q]
        relevant = sum(artist_ids[i] == artist_ids[q] for i in others)
        if not relevant:
            continue
        others.sort(key=lambda i: sum((codes[i] - code) ** 2))
        correct = [artist_ids[i] == artist_ids[q] for i in others]
        for k in recall_at:
            recalls[k].append(any(correct[:k]))
        precision = 0.0
        for i in range(1, relevant + 1):
            if correct[i - 1]:
                precision += sum(correct[:i]) / i
        precisions.append(precision / relevant)
    measured = {f"recall@{k}": np.mean(recalls[k]) for k in recall_at}
    return {**measured, "map@r": np.mean(precisions)}


@pytest.mark.parametrize("per_chunk", [1, 70, 10**6])
@pytest.mark.parametrize("recall_at", [(1, 5, 10), (3,), (1, 100)])
def test_retrieval_equals_loops(monkeypatch, per_chunk, recall_at):
    """Chunks of one query, a few with a rest, or all; one artist has one work."""
    monkeypatch.setattr(distances, "DISTANCES_PER_CHUNK", per_chunk)
    codes, artist_ids = make_codes([3, 8, 1, 6, 5], dims=3)
    expected = by_loops(codes, artist_ids, recall_at)
    assert 0 < expected["map@r"] < 1, "the case must be neither perfect nor at 0"

    measured = retrieval.measure_retrieval(codes, artist_ids, recall_at)

    assert measured == pytest.approx(expected, rel=1e-12)


def test_retrieval_by_hand():
    """Codes on a line: A at 0 and 3, B at 1 and 2, C (one work) at 10.

    A(0) has neighbors B, B, A; R = 1 and the first is wrong: 0. A(3) finds B first: 0.
    B(1) ties between A(0) and B(2), the smaller index is A, wrong: 0. B(2) ties between
    B(1) and A(3), the smaller index is B, correct: 1. C is no query. recall@1 = MAP@R =
    1/4; the three nearest contain the query's artist each time: recall@3 = 1.
    """
    measured = retrieval.measure_retrieval(
        [[0.0], [1.0], [2.0], [3.0], [10.0]], list("ABBAC"), (1, 3)
    )

    assert measured == {"recall@1": 0.25, "recall@3": 1.0, "map@r": 0.25}


def test_retrieval_does_not_depend_on_a_common_offset():
    codes, artist_ids = make_codes([4, 6, 5], dims=4)
    assert retrieval.measure_retrieval(codes + 1e6, artist_ids) == pytest.approx(
        retrieval.measure_retrieval(codes, artist_ids)
    )


def test_artists_far_apart_are_retrieved_perfectly():
    artist_ids = np.repeat(np.arange(4), 5)
    codes = 100.0 * np.eye(4)[artist_ids] + np.arange(20)[:, None] / 1000
    measured = retrieval.measure_retrieval(codes, artist_ids)
    assert set(measured.values()) == {1.0}


def test_collapsed_codes_score_like_chance():
    """Ties go to picture 0, by artist 0; picture 0 finds picture 1, by artist 1.

    Correct are the three other pictures by artist 0 out of 12.
    """
    artist_ids = np.tile([0, 1, 2], 4)
    measured = retrieval.measure_retrieval(np.ones((12, 5)), artist_ids, (1,))
    assert measured["recall@1"] == 3 / 12


@pytest.mark.parametrize(
    "codes, artist_ids, message",
    [
        ([[1.0], [2.0]], [0, 1], "an artist with two works"),
        ([[1.0], [2.0]], [0], r"\(2, 1\) and \(1,\)"),
        ([[1.0], [np.nan]], [0, 0], "finite"),
    ],
)
def test_retrieval_rejects(codes, artist_ids, message):
    with pytest.raises(ValueError, match=message):
        retrieval.measure_retrieval(codes, artist_ids)


def test_queries_are_those_whose_artist_has_another_work():
    assert retrieval.find_queries([7, 3, 7, 5, 3]).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("per_chunk", [1, 30, 10**6])
def test_the_nearest_equal_loops(monkeypatch, per_chunk):
    monkeypatch.setattr(distances, "DISTANCES_PER_CHUNK", per_chunk)
    rng = np.random.default_rng(1)
    codes, others = rng.normal(size=(7, 4)), rng.normal(size=(11, 4))
    table = np.array([[np.linalg.norm(a - b) for b in others] for a in codes])

    indices, measured = retrieval.find_nearest(codes, others, 5)

    assert indices.tolist() == table.argsort(axis=1)[:, :5].tolist()
    np.testing.assert_allclose(measured, np.sort(table, axis=1)[:, :5])


def test_a_code_is_at_distance_zero_from_itself():
    others = np.random.default_rng(2).normal(size=(50, 8)) + 1000
    indices, measured = retrieval.find_nearest(others, others, 1)
    assert indices[:, 0].tolist() == list(range(50))
    assert not measured.any()


def test_enrollment_by_hand():
    """Two artists lie apart: whichever picture is drawn, all others are correct.

    The third has only k pictures, of which none would remain, and is skipped.
    """
    codes = [[0.0], [0.1], [0.2], [9.0], [9.1], [4.5]]
    artist_ids = [5, 5, 5, 2, 2, 8]
    assert retrieval.enrollable_artists(artist_ids, 1).tolist() == [2, 5]
    assert retrieval.enrolled_accuracy(codes, artist_ids, 1, 0, 4) == (1.0, 0.0)


def test_enrolled_accuracy_is_the_mean_of_all_possible_draws():
    """Many random draws approach the mean over every possible draw, by loops."""
    codes, artist_ids = make_codes([3, 4], dims=2, seed=3)
    rows = [np.flatnonzero(artist_ids == a) for a in (0, 1)]
    accuracies = []
    for i in rows[0]:
        for j in rows[1]:
            correct = [
                (sum((codes[q] - codes[i]) ** 2) < sum((codes[q] - codes[j]) ** 2))
                == (artist_ids[q] == 0)
                for q in range(7)
                if q not in (i, j)
            ]
            accuracies.append(np.mean(correct))
    assert np.std(accuracies) > 0.05, "the case needs a spread"

    mean, deviation = retrieval.enrolled_accuracy(codes, artist_ids, 1, 0, 4000)

    assert mean == pytest.approx(np.mean(accuracies), abs=0.02)
    assert deviation == pytest.approx(np.std(accuracies), abs=0.02)


def test_the_style_of_an_enrolled_artist_is_the_mean_of_its_pictures():
    """Artist 0 has pictures at -1.5 and 1.5, artist 1 at 2.5 and 5.5.

    With k = 1, drawing 1.5 and 5.5 puts the border at 3.5 and those at 2.5 are wrong;
    drawing -1.5 and 2.5, those at 1.5 are wrong; the other two draws make no error:
    7 of 8 are correct. With k = 19 of 20, the means are within .08 of 0 and 4, the
    border is within .08 of 2, and nothing is wrong.
    """
    codes = [[x] for x in [-1.5, 1.5] * 10 + [2.5, 5.5] * 10]
    artist_ids = [0] * 20 + [1] * 20
    few, _ = retrieval.enrolled_accuracy(codes, artist_ids, 1, 0, 50)
    many, _ = retrieval.enrolled_accuracy(codes, artist_ids, 19, 0, 50)
    assert few == pytest.approx(7 / 8, abs=0.06)
    assert many == 1.0


def test_the_seed_decides_the_draws():
    codes, artist_ids = make_codes([9, 8, 7], dims=2)
    first, again, other = (
        retrieval.enrolled_accuracy(codes, artist_ids, 2, seed, 5) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    "k, repeats, message",
    [
        (0, 1, "at least 1, got 0 and 1"),
        (1, 0, "got 1 and 0"),
        (3, 1, "more than 3 images, got 1"),
    ],
)
def test_enrolled_accuracy_rejects(k, repeats, message):
    codes, artist_ids = make_codes([3, 4], dims=2)
    with pytest.raises(ValueError, match=message):
        retrieval.enrolled_accuracy(codes, artist_ids, k, 0, repeats)
