"""Values of files and settings, checked against types when they are read.

A file that a person or a crash has changed is refused with the key that is wrong,
before anything is computed from it. A setting is declared with its range, such as
`Annotated[float, Range(0, 1)]`; the same declaration checks it and describes it.
"""

import collections.abc
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from tfstyle.core.cli import UserError
from tfstyle.core.names import cut

_SHOWN = 60  # characters of a wrong value
_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "U": "texts"}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that a setting may be, as float32 holds them."""

    least: float
    most: float
    above: bool = False  # whether `least` itself is left out

    def allows(self, value: float) -> bool:
        if not self.least <= value <= self.most:
            return False
        return not self.above or bool(np.float32(value) > self.least)

    def describe(self, base: str) -> str:
        least, most = map(_format_number, (self.least, self.most))
        if self.above:
            return f"{base} above {least} and at most {most}"
        return f"{base} from {least} to {most}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The only values that a setting may be."""

    choices: tuple[Any, ...]

    def allows(self, value: Any) -> bool:
        return value in self.choices

    def describe(self, base: str) -> str:
        return f"one of {self.choices}"


@dataclasses.dataclass(frozen=True)
class Entries:
    """How many entries a setting has, and whether each is above the one before."""

    least: int
    most: int
    ascending: bool = False

    def allows(self, value: collections.abc.Sequence) -> bool:
        if self.ascending and list(value) != sorted(set(value)):
            return False
        return self.least <= len(value) <= self.most

    def describe(self, base: str) -> str:
        count = f"{self.least} to {self.most}"
        if self.least == self.most:
            count = f"{self.least}"
        order = "ascending " if self.ascending else ""
        return base.replace("a tuple", f"a tuple of {count} {order}entries", 1)


Count = Annotated[int, Range(1, 1e15)]


def fits(kind: Any, value: Any) -> bool:
    """Return whether a setting may have a value.

    Args:
        kind: its annotation: None, bool, str, int (64 bits), float (finite), another
            class, Callable[..], Sequence[..] or tuple[.., ...] (lists and tuples), a
            union, Any, or Annotated[..] with Range, OneOf and Entries.
        value: anything.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is Annotated:
        base, *limits = arguments
        return fits(base, value) and all(limit.allows(value) for limit in limits)
    if origin in (typing.Union, types.UnionType):
        return any(fits(argument, value) for argument in arguments)
    if origin in (tuple, collections.abc.Sequence):
        is_list = isinstance(value, tuple | list)
        return is_list and all(fits(arguments[0], entry) for entry in value)
    if collections.abc.Callable in (kind, origin):
        return callable(value)
    if kind is None:
        return value is None
    if kind is float:
        # A large whole number has no float, and True is an int to Python.
        is_number = type(value) in (int, float)
        return is_number and abs(value) < 1e308 and math.isfinite(value)
    if kind is int:
        return type(value) is int and -(2**63) <= value < 2**63
    return isinstance(value, kind)


def describe(kind: Any) -> str:
    """Describe the values that fit, after "must be"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        text = describe(arguments[0])
        for limit in arguments[1:]:
            text = limit.describe(text)
        return text
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(map(describe, arguments))
    if origin in (tuple, collections.abc.Sequence):
        return f"a tuple, each {describe(arguments[0])}"
    if collections.abc.Callable in (kind, origin):
        made = arguments[-1].__name__ if arguments else "function"
        return f"the @name of a function of type {made}"
    texts = {int: "a whole number", float: "a number", str: "text"}
    texts |= {bool: "True or False", type(None): "None"}
    return texts.get(kind) or f"the @name() of the type {kind.__name__}"


def check_fields(settings: Any, name: str) -> None:
    """Check the fields of a dataclass against their annotations.

    Args:
        settings: the dataclass.
        name: that gin calls it by.

    Raises:
        UserError: naming the first setting that is wrong, and what it must be.
    """
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not fits(field.type, value):
            refuse(f"{name}.{field.name}", field.type, value)


def refuse(setting: str, kind: Any, value: Any) -> typing.NoReturn:
    """Raise the UserError of a setting with a value that does not fit."""
    raise UserError(f"{setting} must be {describe(kind)}, got {shorten(value)}")


def convert(kind: Any, value: Any, name: str = "it") -> Any:
    """Convert a JSON value to a type.

    Args:
        kind: a dataclass or TypedDict (with all keys that have no default, and other
            keys in a TypedDict only), list[..], tuple[.., ...], dict[str, ..], a union,
            None, str, bool, int (64 bits), float (finite), or Any.
        value: as `json` returns it.
        name: of the value, for errors.

    Returns:
        The value; objects of dataclasses, and tuples, are made of dicts and lists.

    Raises:
        ValueError: the value has another type, with the name of the part that has.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return convert(kind, value, name)
    if origin in (list, tuple) and isinstance(value, list):
        parts = (convert(arguments[0], v, f"{name}[{i}]") for i, v in enumerate(value))
        return origin(parts)
    if origin is dict and isinstance(value, dict):
        return {
            key: convert(arguments[1], v, f"{name}.{key}") for key, v in value.items()
        }
    if typing.is_typeddict(kind) and isinstance(value, dict):
        _convert_keys(kind, kind.__required_keys__, value, name)
        return value
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        if isinstance(value, dict):
            return _make(kind, value, name)
    elif kind is float and type(value) in (int, float):
        number = float(value) if abs(value) < 1e308 else math.inf
        if math.isfinite(number):
            return number
    elif kind is int:
        if type(value) is int and -(2**63) <= value < 2**63:
            return value
    elif kind in (str, bool) and type(value) is kind:
        return value
    raise ValueError(f"{name} is {shorten(value)}, not {_describe(kind)}")


def check_array(
    array: np.ndarray, shape: tuple[int | None, ...], kinds: str, name: str
) -> None:
    """Refuse an array of another type or shape, or with numbers that are not finite.

    Args:
        array: any array.
        shape: the sizes; None for any.
        kinds: of NumPy's dtype, such as "f" or "iu".
        name: of the array, for errors.

    Raises:
        ValueError: with the name and what was found.
    """
    fits = len(shape) == array.ndim and all(
        size in (None, found) for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(
            f"{name} is {array.dtype} {list(array.shape)}, not {_KINDS[kinds[0]]}"
            f" [{sizes}]"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _make(kind: Any, value: Mapping[str, Any], name: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(value.keys() - fields.keys())
    if unknown:
        raise ValueError(f"{name} has an unknown key {shorten(unknown[0])}")
    required = {
        field.name
        for field in fields.values()
        if field.default is field.default_factory is dataclasses.MISSING
    }
    return kind(**_convert_keys(kind, required, value, name))


def _convert_keys(
    kind: Any, required: typing.AbstractSet[str], value: Mapping[str, Any], name: str
) -> dict[str, Any]:
    missing = sorted(required - value.keys())
    if missing:
        raise ValueError(f"{name} has no {', '.join(missing)}")
    hints = typing.get_type_hints(kind)
    prefix = "" if name == "it" else f"{name}."
    return {
        key: convert(hints[key], value[key], f"{prefix}{key}")
        for key in value
        if key in hints
    }


def _describe(kind: Any) -> str:
    origin = typing.get_origin(kind) or kind
    if origin in (list, tuple):
        return "a list"
    texts = {int: "a whole number", float: "a finite number", str: "text"}
    return texts.get(origin, "true or false" if origin is bool else "an object")


def _format_number(value: float) -> str:
    exact = float(value).is_integer() and abs(value) < 1e12
    return str(int(value)) if exact else f"{value:g}".replace("e+", "e")


def shorten(value: Any) -> str:
    """Return the first characters of a value as Python writes it."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of too many digits
        text = "a number of thousands of digits"
    return cut(text, _SHOWN)
