"""Names that are spelled like a text, among many."""

import collections
import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfstyle.data.collections.spellings import fold, reduce

_CANDIDATES = 4  # names whose likeness to a text is computed
_MOST_COMPARED = 300  # letters of a text
_AT_ONCE = 2**22  # pairs of texts and names


class SimilarNames:
    """Finds names that are spelled like a text, among many.

    Candidates share most letters and pairs of letters with it; the longest common parts
    decide.
    """

    def __init__(self, known: Sequence[str]) -> None:
        self._spellings = [_spell(name) for name in known]
        self._forms = [form for form, _ in self._spellings]
        self._features: dict[tuple[str, str | int], int] = {}
        for form in self._forms:
            for feature in _list_features(form):
                self._features.setdefault(feature, len(self._features))

    def find(
        self, texts: Sequence[str], least: float = 0
    ) -> list[tuple[float, int | None]]:
        """Return the likeness, and the index, of the name that is nearest to each text.

        Args:
            texts: to compare.
            least: likeness, 0 to 1; the index is None if all are below.
        """
        spellings = [_spell(text) for text in texts]
        forms = [form for form, _ in spellings]
        if not forms or not self._forms:
            return [(0.0, None)] * len(forms)
        best: list[tuple[float, int | None]] = []
        known, known_sizes = self._count(self._forms)
        at_once = max(1, _AT_ONCE // len(self._forms))
        for start in range(0, len(forms), at_once):
            part = forms[start : start + at_once]
            counts, sizes = self._count(part)
            shared = (counts @ known.T).toarray()
            shares = 2 * shared / (sizes[:, None] + known_sizes)
            most = min(_CANDIDATES, len(self._forms))
            chosen = np.argpartition(-shares, most - 1, axis=1)[:, :most]
            rows = zip(spellings[start:], shares, chosen, strict=False)
            for spelling, row, candidates in rows:
                ranked: list[tuple[float, int | None]] = [(0.0, None)]
                for index in candidates.tolist():
                    # A likeness needs as large a share of letters, and about half of
                    # it of pairs.
                    if row[index] >= least - 0.2:
                        score = _measure(spelling, self._spellings[index])
                        if score and score >= least:
                            ranked.append((score, index))
                best.append(max(ranked, key=lambda item: (item[0], -(item[1] or 0))))
        return best

    def _count(self, forms: Sequence[str]) -> tuple[Any, np.ndarray]:
        """Return which features texts have, sparse [n, features], and how many [n]."""
        from scipy import sparse  # takes a while to import

        columns, ends, sizes = [], [0], []
        for form in forms:
            features = _list_features(form)
            columns += [self._features[f] for f in features if f in self._features]
            ends.append(len(columns))
            sizes.append(len(features) or 1)
        shape = (len(forms), max(1, len(self._features)))
        ones = np.ones(len(columns), np.float32)
        return sparse.csr_matrix((ones, columns, ends), shape), np.array(sizes)


def _spell(text: str) -> tuple[str, str]:
    """Return a text as letters and digits, if it has any, and as people see it.

    The two are equal where only spaces differ.
    """
    folded = fold(text)[:_MOST_COMPARED]
    reduced = reduce(text)[:_MOST_COMPARED] or folded
    return reduced, reduced if folded.replace(" ", "") == reduced else folded


def _list_features(form: str) -> set[tuple[str, str | int]]:
    """List the letters of a text, with how often each came before, and their pairs."""
    counts: collections.Counter[str] = collections.Counter()
    features: set[tuple[str, str | int]] = set(zip(f" {form}", f"{form} ", strict=True))
    for letter in form:
        features.add((letter, counts[letter]))
        counts[letter] += 1
    return features


def _measure(first: tuple[str, str], second: tuple[str, str]) -> float:
    """Return the likeness of two texts in the spelling that is more alike."""
    return max(
        difflib.SequenceMatcher(None, *pair, autojunk=False).ratio()
        for pair in set(zip(first, second, strict=True))
    )
