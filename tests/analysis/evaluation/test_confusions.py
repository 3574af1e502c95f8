"""Artists taken for each other, counted by hand."""

import numpy as np

from tfstyle.analysis import results
from tfstyle.analysis.evaluation.confusions import Confusions, find_confusions

NAMES = ["Ana", "Ben", "Cy"]


def test_the_largest_share_comes_first():
    """Ana: 1 of 4 taken for Ben; Ben: 1 of 2 for Cy; Cy: both right."""
    artist_ids = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 1, 0, 0, 2, 1, 2, 2])

    confusions = find_confusions(NAMES, predicted, artist_ids)

    assert (confusions.pictures, confusions.wrong) == (8, 2)
    assert [str(pair) for pair in confusions.pairs] == [
        "Ben: 1 of 2 pictures taken for Cy",
        "Ana: 1 of 4 pictures taken for Ben",
    ]
    assert confusions.summarize()[0] == "confusions: 2 of 8 test pictures"


def test_no_mistakes_are_no_pairs():
    ids = np.array([0, 1, 2])
    confusions = find_confusions(NAMES, ids, ids)
    assert confusions.pairs == []
    assert confusions.summarize() == ["confusions: none"]


def test_confusions_are_read_back_as_they_were_written():
    confusions = find_confusions(NAMES, np.array([1, 1, 0]), np.array([0, 1, 2]))
    restored = results.from_json(Confusions, results.to_json(confusions))
    assert restored == confusions


def test_names_cannot_forge_lines():
    names = ["a\nb", "c\x1b"]
    confusions = find_confusions(names, np.array([1]), np.array([0]))
    assert confusions.summarize()[1] == (r"  a\nb: 1 of 1 picture taken for c\x1b")
