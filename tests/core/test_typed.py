"""Values of files become their types, or are refused with the part that is wrong."""

import dataclasses
import math
from typing import Any, TypedDict

import numpy as np
import pytest

from tfstyle.core.typed import check_array, convert


@dataclasses.dataclass(frozen=True)
class Inner:
    count: int
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    pairs: tuple[Inner, ...] = ()
    sizes: dict[str, float] = dataclasses.field(default_factory=dict)
    anything: Any = None
    flag: bool = False


class Keys(TypedDict):
    seed: int


GOOD = {
    "name": "a",
    "inner": {"count": 1, "note": None},
    "pairs": [{"count": 2, "note": "b"}],
    "sizes": {"x": 1, "y": 0.5},
    "anything": [None, {}],
    "flag": True,
}


def test_dicts_and_lists_become_dataclasses_and_tuples():
    expected = Outer(
        "a", Inner(1), (Inner(2, "b"),), {"x": 1, "y": 0.5}, [None, {}], True
    )
    assert convert(Outer, GOOD) == expected
    assert convert(Outer, {"name": "a", "inner": {"count": 1}}) == Outer("a", Inner(1))
    assert convert(Keys, {"seed": 1, "other": None}) == {"seed": 1, "other": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name is None, not text"),
        ({"name": 1}, "name is 1, not text"),
        ({"inner": None}, "inner is None, not an object"),
        ({"inner": []}, "inner is [], not an object"),
        ({"inner": {}}, "inner has no count"),
        ({"inner": {"count": True}}, "inner.count is True, not a whole number"),
        ({"inner": {"count": 2**63}}, "inner.count is 9223372036854775808, not a"),
        ({"inner": {"count": 1.0}}, "inner.count is 1.0, not a whole number"),
        ({"inner": {"count": 1, "b": 2}}, "inner has an unknown key 'b'"),
        ({"pairs": {"count": 1}}, "pairs is {'count': 1}, not a list"),
        ({"pairs": [{"count": 1}, 2]}, "pairs[1] is 2, not an object"),
        ({"sizes": {"x": math.nan}}, "sizes.x is nan, not a finite number"),
        ({"sizes": {"x": 10**400}}, "sizes.x is 1000"),
        ({"sizes": {"x": False}}, "sizes.x is False, not a finite number"),
        ({"flag": 1}, "flag is 1, not true or false"),
    ],
)
def test_another_type_is_named_with_its_part(change, message):
    with pytest.raises(ValueError) as error:
        convert(Outer, {**GOOD, **change})
    assert str(error.value).startswith(message) and len(str(error.value)) < 120


@pytest.mark.parametrize("value", [None, [], 1, "text", {"seed": "1"}, {}])
def test_a_typed_dict_has_its_keys(value):
    with pytest.raises(ValueError, match="seed|not an object"):
        convert(Keys, value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros([3, 2]), "means is float64 [3, 2], not numbers [any, 4]"),
        (np.zeros([3, 4], int), "means is int64 [3, 4]"),
        (np.zeros([3]), "means is float64 [3]"),
        (np.full([3, 4], np.inf), "means holds numbers that are not finite"),
        (np.full([3, 4], "x"), "means is <U1 [3, 4]"),
    ],
)
def test_another_array_is_refused_with_what_it_is(array, message):
    with pytest.raises(ValueError) as error:
        check_array(array, (None, 4), "f", "means")
    assert str(error.value).startswith(message)
    check_array(np.zeros([3, 4], np.float32), (None, 4), "f", "means")
