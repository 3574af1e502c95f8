"""JSON requests and answers of TF Serving's REST API, to and from NumPy arrays.

Rules and error texts follow TF Serving's `util/json_tensor.cc`, so that a client
sees the same answer from either server. Two texts differ on purpose: a quoted JSON
value is cut after `QUOTED_CHARACTERS` (TF Serving repeats a whole encoded picture),
and integers that do not fit their type are refused (TF Serving wraps them around).

No TensorFlow here: types are named as in TF Serving's texts ("float", "int64",
"string", ..), and a string array has dtype object and holds bytes.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

QUOTED_CHARACTERS = 200
MAX_RANK = 31  # NumPy takes 32, and rows add the batch dimension.
BYTES_SUFFIX = "_bytes"  # An output so named is answered in base64.

NUMPY_TYPES: dict[str, Any] = {
    "float": np.float32,
    "double": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "string": np.object_,
}

Format = Literal["row", "column"]


class ServingError(Exception):
    """A request that cannot be answered.

    Attributes:
        message: the text for the client.
        code: canonical status, such as "INVALID_ARGUMENT" or "NOT_FOUND".
    """

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT"):
        super().__init__(message)
        self.message = message
        self.code = code


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """What a signature says of a tensor.

    Attributes:
        dtype: type in TF Serving's words, such as "float" or "string".
        shape: sizes, -1 where any size will do; None for any rank.
    """

    dtype: str
    shape: tuple[int, ...] | None = None


def parse_json(body: bytes) -> dict[str, Any]:
    """Parse a request body, which must be a JSON object."""
    if not body:
        raise ServingError("JSON Parse error: The document is empty")
    try:
        request = json.loads(body.decode())
    except UnicodeDecodeError as error:
        # The usual cause is a picture posted as it is.
        raise _parse_error("Invalid value.", error.start) from None
    except json.JSONDecodeError as error:
        text = "Invalid value." if error.msg == "Expecting value" else error.msg
        raise _parse_error(text, error.pos) from None
    except (RecursionError, ValueError) as error:
        # Too deeply nested, or an integer of thousands of digits.
        raise ServingError(f"JSON Parse error: {error}") from None
    if not isinstance(request, dict):
        raise ServingError(f"JSON Value: {_quote(request)} Is not object")
    return request


def get_signature_name(request: Mapping[str, Any]) -> str:
    """Return the signature that a request names, "" when it names none."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError(
            f"JSON Value: {_quote(request)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    return name


def read_request(
    request: Mapping[str, Any], specs: Mapping[str, TensorSpec]
) -> tuple[Format, dict[str, np.ndarray]]:
    """Convert a predict request to arrays.

    Args:
        request: parsed body; holds `instances` (row format) or `inputs` (column
            format).
        specs: the signature's inputs by name, at least one.

    Returns:
        The format, in which to answer, and an array per input.
    """
    if "instances" in request and "inputs" in request:
        raise ServingError(
            f"JSON Value: {_quote(request)} Not formatted correctly expecting only"
            " one of 'inputs' or 'instances' keys to exist "
        )
    if "instances" in request:
        instances = request["instances"]
        if not isinstance(instances, list):
            raise ServingError(
                f"JSON Value: {_quote(request)} Excepting 'instances' to be an"
                " list/array"
            )
        if not instances:
            raise ServingError(
                f"JSON Value: {_quote(request)} No values in 'instances' array"
            )
        arrays = _read_rows(instances, specs)
        kind: Format = "row"
    elif "inputs" in request:
        arrays = _read_columns(request["inputs"], specs)
        kind = "column"
    else:
        raise ServingError("Missing 'inputs' or 'instances' key")
    for name, array in arrays.items():
        _check_shape(name, array.shape, specs[name].shape)
    return kind, arrays


def make_answer(outputs: Mapping[str, np.ndarray], kind: Format) -> dict[str, Any]:
    """Convert a model's outputs to the answer of a predict request.

    Args:
        outputs: an array per output, at least one.
        kind: the request's format.

    Returns:
        `{"predictions": [..]}` with an entry per row, or `{"outputs": ..}`; the name
        of a single output is left out.
    """
    if not outputs:
        raise ServingError("Cannot convert empty tensor map to JSON")
    if kind == "row":
        _check_batch_sizes(outputs)
    values = {name: _to_json(name, outputs[name]) for name in sorted(outputs)}
    if len(values) == 1:
        (answer,) = values.values()
    elif kind == "column":
        answer = values
    else:
        rows = zip(*values.values(), strict=True)
        answer = [dict(zip(values, row, strict=True)) for row in rows]
    return {"predictions" if kind == "row" else "outputs": answer}


def _read_rows(
    instances: list, specs: Mapping[str, TensorSpec]
) -> dict[str, np.ndarray]:
    named = _is_plain_object(instances[0])
    if not named and len(specs) > 1:
        raise ServingError(
            "instances is a plain list, but expecting list of objects as multiple"
            " input tensors required as per tensorinfo_map"
        )
    rows: dict[str, list[np.ndarray]] = {name: [] for name in specs}
    for index, instance in enumerate(instances):
        if named != _is_plain_object(instance):
            raise ServingError(
                f"Expecting object but got list at item {index} of input list"
                if named
                else f"Expecting value/list but got object at item {index} of input"
                " list"
            )
        items = instance if named else {next(iter(specs)): instance}
        for name, value in items.items():
            try:
                _append_row(rows, name, value, specs)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise ServingError(
                    f"Failed to process element: {index}{key} of 'instances' list."
                    f" Error: {error.code}: {error.message}"
                ) from None
        if items.keys() != specs.keys():
            raise ServingError(
                f"Failed to process element: {index} of 'instances' list. JSON"
                f" object: {_quote(instance)} keys must be equal to:"
                f" {','.join(sorted(specs))}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _append_row(
    rows: dict[str, list[np.ndarray]],
    name: str,
    value: Any,
    specs: Mapping[str, TensorSpec],
) -> None:
    if name not in specs:
        raise ServingError(f"JSON object: does not have named input: {name}")
    array = _to_array(value, specs[name].dtype)
    first = rows[name][0] if rows[name] else array
    if array.size != first.size:
        raise ServingError(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise ServingError(
            f"Expecting shape {_shape_text(first.shape)} but got:"
            f" {_shape_text(array.shape)}"
        )
    rows[name].append(array)


def _read_columns(
    inputs: Any, specs: Mapping[str, TensorSpec]
) -> dict[str, np.ndarray]:
    if _is_plain_object(inputs):
        for name in specs:
            if name not in inputs:
                raise ServingError(f"Missing named input: {name} in 'inputs' object.")
        return {name: _to_array(inputs[name], specs[name].dtype) for name in specs}
    if len(specs) > 1:
        raise ServingError(
            "inputs is a plain value/list, but expecting an object as multiple input"
            " tensors required as per tensorinfo_map"
        )
    ((name, spec),) = specs.items()
    return {name: _to_array(inputs, spec.dtype)}


def _to_array(value: Any, dtype: str) -> np.ndarray:
    """Convert nested lists to an array; the first element of each sets its shape."""
    shape = []
    element = value
    while isinstance(element, list):
        shape.append(len(element))
        if not element:
            break
        element = element[0]
    if len(shape) > MAX_RANK:
        raise ServingError(
            f"Encountered list at unexpected level: {MAX_RANK} expected < {MAX_RANK}"
        )
    leaves: list = []
    _collect_leaves(value, 0, shape, _leaf_reader(dtype), leaves)
    array = np.empty(len(leaves), NUMPY_TYPES.get(dtype, np.object_))
    array[:] = leaves
    return array.reshape(shape)


def _collect_leaves(
    value: Any,
    level: int,
    shape: list[int],
    read: Callable[[Any], Any],
    leaves: list,
) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise ServingError(
                f"JSON Value: {_quote(value)} found at incorrect level: {level + 1}"
                f" in the JSON DOM. Expected at level: {len(shape)}"
            )
        leaves.append(read(value))
        return
    if level >= len(shape):
        raise ServingError(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise ServingError(
            f"Encountered list at unexpected size: {len(value)} at level: {level}"
            f" expected size: {shape[level]}"
        )
    for element in value:
        _collect_leaves(element, level + 1, shape, read, leaves)


def _leaf_reader(dtype: str) -> Callable[[Any], Any]:
    """Return the function that checks and converts a JSON scalar to `dtype`."""
    if dtype in ("float", "double"):
        return lambda value: _read_decimal(value, dtype)
    if dtype == "string":
        return _read_string
    if dtype == "bool":
        return lambda value: _expect(isinstance(value, bool), value, dtype)
    if dtype in NUMPY_TYPES:
        info = np.iinfo(NUMPY_TYPES[dtype])
        low, high = int(info.min), int(info.max)
        return lambda value: _expect(
            type(value) is int and low <= value <= high, value, dtype
        )

    def refuse(value: Any) -> None:
        raise ServingError(
            f"Conversion of JSON Value: {_quote(value)} to type: {dtype}",
            "UNIMPLEMENTED",
        )

    return refuse


def _expect(condition: bool, value: Any, dtype: str) -> Any:
    if not condition:
        raise ServingError(
            f"JSON Value: {_quote(value)} Type: {_json_type(value)} is not of expected"
            f" type: {dtype}"
        )
    return value


def _read_decimal(value: Any, dtype: str) -> float | int:
    _expect(type(value) in (int, float), value, dtype)
    info = np.finfo(NUMPY_TYPES[dtype])
    if isinstance(value, int):
        # Above this, neighbouring integers share one decimal.
        lossless = abs(value) < 2 ** (info.nmant + 1)
    else:
        lossless = not math.isfinite(value) or abs(value) <= float(info.max)
    if not lossless:
        raise ServingError(
            f"Cannot convert JSON value: {_quote(value)} to {dtype} without loss of"
            " precision."
        )
    return value


def _read_string(value: Any) -> bytes:
    if not isinstance(value, dict):
        return _expect(isinstance(value, str), value, "string").encode(
            "utf-8", "surrogatepass"
        )
    if not _is_base64_object(value):
        raise ServingError(
            f"JSON Value: {_quote(value)} not formatted correctly for base64 data"
        )
    # As in TF Serving: white space is skipped and the padding may be missing.
    text = "".join(value["b64"].split())
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ServingError("Unable to base64 decode") from None


def _is_base64_object(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def _is_plain_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64_object(value)


def _check_shape(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    if expected is None:
        return
    fits = len(shape) == len(expected) and all(
        want in (-1, got) for got, want in zip(shape, expected, strict=True)
    )
    if not fits:
        raise ServingError(
            f"Input {name} has shape {_shape_text(shape)}, but the signature expects"
            f" {_shape_text(expected)} (-1: any size)"
        )


def _check_batch_sizes(outputs: Mapping[str, np.ndarray]) -> None:
    batch_size = None
    for name in sorted(outputs):
        shape = outputs[name].shape
        if not shape:
            raise ServingError(f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, shape[0]):
            raise ServingError(
                f"Tensor name: {name} has inconsistent batch size: {shape[0]}"
                f" expecting: {batch_size}"
            )
        batch_size = shape[0]


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype == np.object_:
        if name.endswith(BYTES_SUFFIX):
            return _map_leaves(
                array.tolist(),
                lambda data: {"b64": base64.b64encode(data).decode("ascii")},
            )
        return _map_leaves(array.tolist(), lambda data: data.decode(errors="replace"))
    if array.dtype in (np.float16, np.float32):
        # By way of the shortest text that reads back the same: 0.2, not
        # 0.20000000298.
        array = array.astype(str).astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise ServingError(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist()


def _map_leaves(value: Any, convert: Callable[[bytes], Any]) -> Any:
    if isinstance(value, list):
        return [_map_leaves(element, convert) for element in value]
    return convert(value)


def _parse_error(text: str, offset: int) -> ServingError:
    return ServingError(f"JSON Parse error: {text} at offset: {offset}")


def _quote(value: Any) -> str:
    """Write a JSON value as TF Serving does, but no more than its beginning."""
    text = ""
    # Piece by piece: a request of millions of numbers is not written out whole.
    for piece in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > QUOTED_CHARACTERS:
            return text[:QUOTED_CHARACTERS] + "..."
    return text


def _json_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, dict):
        return "Object"
    return "String" if isinstance(value, str) else "Number"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(size) for size in shape) + "]"
