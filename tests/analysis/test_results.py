"""A metric is declared once: its JSON key, its text and its references follow."""

import dataclasses
import math

import pytest

from tfstyle.analysis.results import (
    Part,
    Result,
    from_json,
    list_labels,
    list_meanings,
    make_result,
    measured,
    merge,
    reference,
    tabulate,
    to_json,
)
from tfstyle.metrics.repeats import Spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    values: list[float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured(Result):
    count: int
    recall: float = measured("recall", ".1%", "How much.", key="recall@1")
    spread: Spread | None = measured("spread", ".2f", scale="0 is best", default=None)
    chance: float = reference("chance", "recall")
    unknown: float | None = reference("unknown", "recall")
    inner: dict[str, Inner] | None = None


JSON = {
    "count": 3,
    "recall@1": 0.5,
    "chance": 0.25,
    "unknown": None,
    "inner": {"a": {"values": [1.5]}},
}
RESULT = Measured(
    count=3, recall=0.5, chance=0.25, unknown=None, inner={"a": Inner(values=[1.5])}
)


def test_json_has_the_declared_keys_and_skips_only_optional_fields():
    assert to_json(RESULT) == JSON
    assert from_json(Measured, JSON) == RESULT


@pytest.mark.parametrize(
    "change",
    [
        {"count": None, "extra": 1},
        {"inner": {"a": {"values": [1.5], "extra": 1}}},
        {"inner": {"a": {}}},
        {"inner": {"a": {"values": 1.5}}},
        {"inner": {"a": None}},
        {"inner": 1},
        {"spread": {"mean": 1.0}},
        {"spread": {"mean": 1.0, "deviation": None, "extra": 1}},
    ],
)
def test_unknown_and_missing_keys_are_refused_at_every_depth(change):
    with pytest.raises(ValueError, match="must have the keys|it is .*, not "):
        from_json(Measured, {**JSON, **change})


def test_computed_numbers_that_are_not_defined_are_those_of_json():
    values = {**JSON, "recall@1": math.nan, "inner": {"a": {"values": [math.inf]}}}
    result = make_result(Measured, values)
    assert math.isnan(result.recall) and math.isnan(result.inner["a"].values[0])
    assert to_json(result)["recall@1"] is None


@pytest.mark.parametrize("key", ["count", "recall@1", "unknown"])
def test_a_missing_required_key_is_refused(key):
    with pytest.raises(ValueError, match="must have the keys"):
        from_json(Measured, {k: v for k, v in JSON.items() if k != key})


def test_a_row_has_the_value_beside_its_known_references():
    (row,) = RESULT.list_rows({"recall": ["perfect 100%"]})

    assert dataclasses.astuple(row) == (
        "recall",
        "50.0%",
        "chance 25.0%, perfect 100%",
        "How much.",
    )
    assert str(row) == "recall: 50.0% (chance 25.0%, perfect 100%)"


def test_a_spread_is_shown_with_its_deviation():
    result = dataclasses.replace(RESULT, spread={"mean": 1, "deviation": 0.5})

    _, row = result.list_rows()

    assert str(row) == "spread: 1.00 +- 0.50 (0 is best)"
    assert result.format_value("spread") == "1.00 +- 0.50"
    assert RESULT.format_value("spread") == "-"


def test_a_table_has_a_head_if_it_has_rows():
    head, row = tabulate(RESULT.list_rows())

    assert head == ["measured", "value", "to compare with", "meaning"]
    assert row == ["recall", "50.0%", "chance 25.0%", "How much."]
    assert tabulate([]) == []


def test_values_and_meanings_are_listed_by_label():
    result = Measured(count=3, recall=0.5, chance=0.25, unknown=None)

    assert result.list_values() == {"recall": "50.0%"}
    assert list_meanings(Measured) == {"recall": "How much.", "spread": ""}


def test_references_are_no_measures():
    assert list_labels(Measured) == {"recall": "recall", "spread": "spread"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shared(Result):
    first: int | None = None
    count: int | None = None
    second: int | None = None


def test_parts_share_a_result():
    shared = Shared(first=1, count=2, second=3)
    part = Part("stage", "place", (), lambda run, options: shared, ("first", "count"))
    other = Shared(second=4)

    assert part.extract(shared) == Shared(first=1, count=2)
    assert part.extract(other) is None
    assert part.extract(None) is None
    assert merge(None, other) == other
    assert merge(shared, other) == Shared(first=1, count=2, second=4)
