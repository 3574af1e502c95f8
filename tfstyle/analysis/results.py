"""Typed results: dataclasses whose fields declare how they are stored and shown.

A metric is a field made by `measured`, beside the code that measures it. Its key in
evaluation.json, its line in the summary and its row in the report follow from that
declaration.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfstyle.core import typed
from tfstyle.metrics.repeats import Spread, format_number, format_spread
from tfstyle.runs.trained_run import TrainedRun

_MEASURE = "measure"  # key of the metadata of a field


@dataclasses.dataclass(frozen=True)
class Measure:
    """How a field of a result is stored and shown.

    Args:
        label: what is measured; of a reference, what has this value.
        spec: format of the value.
        meaning: a sentence for readers of the report.
        scale: fixed values to compare with, such as "0 is perfect".
        key: in JSON; empty for the name of the field.
        reference_for: fields that this value is shown beside; empty for a value that
            has a row of its own.
    """

    label: str = ""
    spec: str = ""
    meaning: str = ""
    scale: str = ""
    key: str = ""
    reference_for: tuple[str, ...] = ()


def measured(
    label: str,
    spec: str,
    meaning: str = "",
    *,
    scale: str = "",
    key: str = "",
    default: object = dataclasses.MISSING,
) -> Any:
    """Declare a metric: a number, or a `Spread` of one; arguments as of `Measure`."""
    metadata = {_MEASURE: Measure(label, spec, meaning, scale, key)}
    return dataclasses.field(default=default, metadata=metadata)


def reference(label: str, *measures: str, default: object = dataclasses.MISSING) -> Any:
    """Declare a number that is shown beside other `measures`, in their format."""
    metadata = {_MEASURE: Measure(label, reference_for=measures)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Row:
    """A measure as text: its label, value, values to compare with, and meaning."""

    label: str
    value: str
    references: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.label}: {self.value}" + (
            f" ({self.references})" if self.references else ""
        )


class Result:
    """Base class of results, which are frozen dataclasses."""

    def get_spread(self, name: str) -> Spread:
        """Return a measure with its deviation, if it has one."""
        value = getattr(self, name)
        if isinstance(value, Mapping):
            return typing.cast(Spread, value)
        return {"mean": value, "deviation": None}

    def format_value(self, name: str) -> str:
        """Format a measure; "-" if it was not measured."""
        if getattr(self, name) is None:
            return "-"
        return format_spread(self.get_spread(name), _measures(type(self))[name].spec)

    def list_values(self) -> dict[str, str]:
        """Format the measures that have a value, by label."""
        return {row.label: row.value for row in self.list_rows()}

    def list_rows(
        self, references: Mapping[str, Sequence[str]] | None = None
    ) -> list[Row]:
        """List the measures, with more values to compare them with by field."""
        measures = _measures(type(self))
        rows = []
        for name, measure in measures.items():
            if measure.reference_for or getattr(self, name) is None:
                continue
            comparisons = [
                f"{described.label} {format_number(getattr(self, other), measure.spec)}"
                for other, described in measures.items()
                if name in described.reference_for and getattr(self, other) is not None
            ]
            comparisons += (references or {}).get(name, ())
            text = ", ".join(filter(None, [*comparisons, measure.scale]))
            value = self.format_value(name)
            rows.append(Row(measure.label, value, text, measure.meaning))
        return rows


def list_labels(kind: type[Result]) -> dict[str, str]:
    """Return the labels of a result's measures by field."""
    measures = _measures(kind).items()
    return {
        name: measure.label for name, measure in measures if not measure.reference_for
    }


def list_meanings(kind: type[Result]) -> dict[str, str]:
    """Return the meanings of a result's measures by label."""
    return {
        measure.label: measure.meaning
        for measure in _measures(kind).values()
        if not measure.reference_for
    }


def tabulate(rows: Sequence[Row]) -> list[list[object]]:
    """Return rows as a table of the report, with its head; empty without rows."""
    if not rows:
        return []
    head: list[object] = ["measured", "value", "to compare with", "meaning"]
    return [head, *([*dataclasses.astuple(row)] for row in rows)]


@dataclasses.dataclass(frozen=True)
class Options:
    """What parts of the evaluation are computed with.

    Args:
        tolerance: loss of accuracy, or relative growth of the reconstruction error,
            that the recommended number of dimensions may cost.
        inception: scaled Lab -> features, to compare pictures by them too.
        match_filenames: works by different artists with the same file name show the
            same, so transfers have a true result to be compared with. Content labels
            of the records tell that without this option.
    """

    tolerance: float = 0.01
    inception: tf.keras.Model | None = None
    match_filenames: bool = False


@dataclasses.dataclass(frozen=True)
class Part:
    """What is measured of a stage.

    Args:
        stage: name of the stage.
        place: field of the evaluation that holds the result.
        depends_on: stages on whose weights or codes the result depends.
        measure: computes the result.
        fields: of the result, where several parts share it; the first is never None.
    """

    stage: str
    place: str
    depends_on: tuple[str, ...]
    measure: Callable[[TrainedRun, Options], Result]
    fields: tuple[str, ...] = ()

    def extract(self, result: Result | None) -> Result | None:
        """Return this part of what `place` holds; None if it was not measured."""
        if result is None or not self.fields:
            return result
        if getattr(result, self.fields[0]) is None:
            return None
        return type(result)(**{name: getattr(result, name) for name in self.fields})


def merge(result: Result | None, other: Result) -> Result:
    """Combine the fields of two results that share a place."""
    values = {name: value for name, value in vars(other).items() if value is not None}
    return other if result is None else type(other)(**(vars(result) | values))


def to_json(value: Any) -> Any:
    """Convert a result to JSON values; fields that are None by default are skipped."""
    if dataclasses.is_dataclass(value):
        return {
            key: to_json(getattr(value, field.name))
            for key, field in _fields_by_key(type(value)).items()
            if field.default is not None or getattr(value, field.name) is not None
        }
    if isinstance(value, Mapping):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None  # not defined; JSON has no NaN
    return [*map(to_json, value)] if isinstance(value, list) else value


def make_result(kind: Any, values: Any) -> Any:
    """Make a result class, or a dict or list of one, of computed numbers.

    Those that are not finite are NaN, as when the result is read again.
    """
    return from_json(kind, to_json(values))


def name_pictures(text: str, split: str) -> str:
    """Return a text about test pictures as one about those that were measured."""
    if split == "test":
        return text
    named = re.sub(r"\btest picture", f"{split}ing picture", text)
    return re.sub(r"\bTest picture", f"{split.capitalize()}ing picture", named)


def from_json(kind: Any, value: Any) -> Any:
    """Convert what `to_json` returned to a result class, or to a dict or list of one.

    Raises:
        ValueError: if keys are missing or unknown.
    """
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):  # X | None
        missing_value = value is None and type(None) in arguments
        return None if missing_value else from_json(arguments[0], value)
    if kind is float and value is None:
        return math.nan
    if typing.get_origin(kind) is list and isinstance(value, list):
        return [from_json(arguments[0], inner) for inner in value]
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        return {key: from_json(arguments[1], inner) for key, inner in value.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        fields = _fields_by_key(kind)
        missing = dataclasses.MISSING
        required = {key for key, field in fields.items() if field.default is missing}
        _check_keys(value, required, fields)
        hints = typing.get_type_hints(kind)
        names = {key: field.name for key, field in fields.items()}
        return kind(
            **{names[key]: from_json(hints[names[key]], value[key]) for key in value}
        )
    if typing.is_typeddict(kind):
        _check_keys(value, set(kind.__annotations__), kind.__annotations__)
        hints = typing.get_type_hints(kind)
        return {key: from_json(hints[key], inner) for key, inner in value.items()}
    return typed.convert(kind, value)


def _check_keys(value: Any, required: set[str], known: Mapping[str, Any]) -> None:
    if not isinstance(value, dict) or not required <= value.keys() <= known.keys():
        raise ValueError(f"must have the keys {sorted(required)}, got {value!r}")


def _measures(kind: type) -> dict[str, Measure]:
    """Return the declared measures and references by field."""
    return {
        field.name: field.metadata[_MEASURE]
        for field in dataclasses.fields(kind)
        if _MEASURE in field.metadata
    }


def _fields_by_key(kind: type) -> dict[str, dataclasses.Field]:
    measures = _measures(kind)
    return {
        measures.get(field.name, Measure()).key or field.name: field
        for field in dataclasses.fields(kind)
    }
