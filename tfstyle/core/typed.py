"""Values of files, checked against types when they are read.

A file that a person or a crash has changed is refused with the key that is wrong,
before anything is computed from it.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

_SHOWN = 60  # characters of a wrong value
_KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "U": "texts"}


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
    raise ValueError(f"{name} is {_shorten(value)}, not {_describe(kind)}")


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
        raise ValueError(f"{name} has an unknown key {_shorten(unknown[0])}")
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


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}.."
