"""JSON requests and answers of TF Serving's REST API, from and to NumPy arrays.

Rules and error messages are those of TF Serving's `util/json_tensor.cc`, so that a
client gets the same answer from either server, with three exceptions: a quoted JSON
value is cut after `QUOTED_CHARACTERS` (TF Serving repeats a whole encoded picture), an
integer that does not fit its type is an error (TF Serving lets it overflow), and so is
an input without rows (TF Serving passes it to the model).

This module does not import TensorFlow: types have the names of TF Serving's messages
("float", "int64", "string", ..), and a string array has dtype object and holds bytes.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

QUOTED_CHARACTERS = 200
MAX_RANK = 31  # NumPy has 32 dimensions at most, and rows add the batch dimension
BYTES_SUFFIX = "_bytes"  # outputs with this suffix are answered in base64

DECIMALS = ("float", "double")
INTEGERS = {
    name: range(int(np.iinfo(name).min), int(np.iinfo(name).max) + 1)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
}
NUMPY_TYPES: dict[str, Any] = {
    "float": np.float32,
    "double": np.float64,
    **{name: np.dtype(name) for name in INTEGERS},
    "bool": np.bool_,
    "string": np.object_,
}

Layout = Literal["row", "column"]


class ServingError(Exception):
    """A request that cannot be answered; the code is a canonical status."""

    def __init__(self, message: str, code: str = "INVALID_ARGUMENT") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """The type of a tensor by TF Serving's name, and its shape.

    A size of -1 means any size, the shape None any rank.
    """

    dtype: str
    shape: tuple[int, ...] | None = None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape can be passed."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(
                size in (-1, given)
                for size, given in zip(self.shape, shape, strict=True)
            )
        )

    @property
    def is_batch(self) -> bool:
        """Whether there may be any number of rows."""
        return self.shape is not None and self.shape[:1] == (-1,)

    def __str__(self) -> str:
        return f"{self.dtype} {_format_shape(self.shape)}"


Specs = Mapping[str, TensorSpec]


def read_request(
    request: Mapping[str, Any], specs: Specs, max_rows: int | None = None
) -> tuple[Layout, dict[str, np.ndarray]]:
    """Convert a predict request to arrays.

    The request is a parsed body with `instances` (row format) or `inputs` (column
    format); the signature has at least one input. More than `max_rows` rows are
    refused, as TF Serving does with `max_batch_size`.

    Returns:
        The format of the request and its answer, and an array for each input.

    Raises:
        ServingError: the request does not fit the signature.
    """
    if "instances" in request and "inputs" in request:
        raise ServingError(
            f"JSON Value: {quote(request)} Not formatted correctly expecting only"
            " one of 'inputs' or 'instances' keys to exist "
        )
    layout: Layout = "row" if "instances" in request else "column"
    if layout == "row":
        _check_row_count(request["instances"], max_rows)
        arrays = _read_rows(request, specs)
    elif "inputs" in request:
        arrays = _read_columns(request["inputs"], specs, max_rows)
    else:
        raise ServingError("Missing 'inputs' or 'instances' key")
    for name, array in arrays.items():
        if specs[name].is_batch and array.shape[:1] == (0,):
            raise ServingError(f"Input {name} is empty, but needs at least one row")
        if not specs[name].accepts(array.shape):
            raise ServingError(
                f"Input {name} has shape {_format_shape(array.shape)}, but the"
                f" signature expects {_format_shape(specs[name].shape)} (-1: any size)"
            )
    return layout, arrays


def count_rows(arrays: Mapping[str, np.ndarray], specs: Specs) -> int:
    """Return the batch size of a request: of its inputs whose first size may vary."""
    return max(
        (len(array) for name, array in arrays.items() if specs[name].is_batch),
        default=1,
    )


def make_answer(outputs: Mapping[str, np.ndarray], layout: Layout) -> dict[str, Any]:
    """Convert a model's outputs to the answer of a predict request.

    Returns:
        `{"predictions": [..]}` with an entry for each row, or `{"outputs": ..}`; the
        name of a single output is omitted.

    Raises:
        ServingError: rows are requested, but the outputs have no common batch size.
    """
    if not outputs:
        raise ServingError("Cannot convert empty tensor map to JSON")
    if layout == "row":
        _check_batch_sizes(outputs)
    values = {name: _to_json(name, outputs[name]) for name in sorted(outputs)}
    if len(values) == 1:
        (answer,) = values.values()
    elif layout == "column":
        answer = values
    else:
        rows = zip(*values.values(), strict=True)
        answer = [dict(zip(values, row, strict=True)) for row in rows]
    return {"predictions" if layout == "row" else "outputs": answer}


def quote(value: Any) -> str:
    """Format a JSON value like TF Serving, cut after `QUOTED_CHARACTERS`."""
    text = ""
    # Piece by piece: a request of millions of numbers is not formatted as a whole.
    for piece in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > QUOTED_CHARACTERS:
            return text[:QUOTED_CHARACTERS] + "..."
    return text


def _check_row_count(rows: Any, max_rows: int | None) -> None:
    """Refuse too many rows before time and memory are spent on them."""
    if max_rows is not None and isinstance(rows, list) and len(rows) > max_rows:
        raise ServingError(
            f"Task size {len(rows)} is larger than maximum input batch size {max_rows}"
        )


def _read_rows(request: Mapping[str, Any], specs: Specs) -> dict[str, np.ndarray]:
    instances = request["instances"]
    if not isinstance(instances, list):
        raise ServingError(
            f"JSON Value: {quote(request)} Excepting 'instances' to be an list/array"
        )
    if not instances:
        raise ServingError(
            f"JSON Value: {quote(request)} No values in 'instances' array"
        )
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
        where = f"Failed to process element: {index}"
        items = instance if named else {next(iter(specs)): instance}
        for name, value in items.items():
            try:
                _append_row(rows, name, value, specs)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise ServingError(
                    f"{where}{key} of 'instances' list. Error: {error.code}:"
                    f" {error.message}"
                ) from None
        if items.keys() != specs.keys():
            raise ServingError(
                f"{where} of 'instances' list. JSON object: {quote(instance)} keys"
                f" must be equal to: {','.join(sorted(specs))}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _append_row(
    rows: dict[str, list[np.ndarray]], name: str, value: Any, specs: Specs
) -> None:
    if name not in specs:
        raise ServingError(f"JSON object: does not have named input: {name}")
    array = _to_array(value, specs[name].dtype)
    first = rows[name][0] if rows[name] else array
    if array.size != first.size:
        raise ServingError(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise ServingError(
            f"Expecting shape {_format_shape(first.shape)} but got:"
            f" {_format_shape(array.shape)}"
        )
    rows[name].append(array)


def _read_columns(
    inputs: Any, specs: Specs, max_rows: int | None
) -> dict[str, np.ndarray]:
    if not _is_plain_object(inputs):
        if len(specs) > 1:
            raise ServingError(
                "inputs is a plain value/list, but expecting an object as multiple"
                " input tensors required as per tensorinfo_map"
            )
        inputs = {next(iter(specs)): inputs}
    for name in specs:
        if name not in inputs:
            raise ServingError(f"Missing named input: {name} in 'inputs' object.")
        if specs[name].is_batch:
            _check_row_count(inputs[name], max_rows)
    return {name: _to_array(inputs[name], specs[name].dtype) for name in specs}


def _to_array(value: Any, dtype: str) -> np.ndarray:
    """Convert nested lists to an array; the first element of each sets its shape."""
    shape = []
    element = value
    while isinstance(element, list):
        shape.append(len(element))
        element = element[0] if element else None
    if len(shape) > MAX_RANK:
        raise ServingError(
            f"Encountered list at unexpected level: {MAX_RANK} expected < {MAX_RANK}"
        )
    leaves = [_read_scalar(leaf, dtype) for leaf in _list_leaves(value, 0, shape)]
    return np.array(leaves, NUMPY_TYPES.get(dtype, np.object_)).reshape(shape)


def _list_leaves(value: Any, level: int, shape: list[int]) -> Iterator[Any]:
    if not isinstance(value, list):
        if level != len(shape):
            raise ServingError(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1}"
                f" in the JSON DOM. Expected at level: {len(shape)}"
            )
        yield value
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
        yield from _list_leaves(element, level + 1, shape)


def _read_scalar(value: Any, dtype: str) -> Any:
    """Check and convert a JSON value that is not a list."""
    if dtype == "string":
        return _read_string(value)
    if dtype not in NUMPY_TYPES:
        raise ServingError(
            f"Conversion of JSON Value: {quote(value)} to type: {dtype}",
            "UNIMPLEMENTED",
        )
    if dtype in DECIMALS:
        fits = type(value) in (int, float)
    elif dtype == "bool":
        fits = isinstance(value, bool)
    else:
        fits = type(value) is int and value in INTEGERS[dtype]
    if not fits:
        raise _type_error(value, dtype)
    if dtype in DECIMALS and not _is_lossless(value, np.finfo(NUMPY_TYPES[dtype])):
        raise ServingError(
            f"Cannot convert JSON value: {quote(value)} to {dtype} without loss of"
            " precision."
        )
    return value


def _is_lossless(value: float, info: np.finfo) -> bool:
    if isinstance(value, int):
        # Larger integers are further apart than 1.
        return abs(value) < 2 ** (info.nmant + 1)
    return not math.isfinite(value) or abs(value) <= float(info.max)


def _read_string(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, dict):
        raise _type_error(value, "string")
    if not _is_base64_object(value):
        raise ServingError(
            f"JSON Value: {quote(value)} not formatted correctly for base64 data"
        )
    # Like TF Serving: white space is ignored, and the padding is optional.
    text = "".join(value["b64"].split())
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ServingError("Unable to base64 decode") from None


def _is_base64_object(value: dict[str, Any]) -> bool:
    return value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_plain_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64_object(value)


def _check_batch_sizes(outputs: Mapping[str, np.ndarray]) -> None:
    batch_size = None
    for name, array in sorted(outputs.items()):
        if not array.shape:
            raise ServingError(f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, len(array)):
            raise ServingError(
                f"Tensor name: {name} has inconsistent batch size: {len(array)}"
                f" expecting: {batch_size}"
            )
        batch_size = len(array)


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype == np.object_:
        convert = _encode_base64 if name.endswith(BYTES_SUFFIX) else _decode
        return np.vectorize(convert, otypes=[object])(array).tolist()
    if array.dtype in (np.float16, np.float32):
        # The shortest text that parses to the same number: 0.2, not 0.20000000298.
        array = array.astype(str).astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise ServingError(f"Failed to write JSON value for tensor type: {array.dtype}")
    return array.tolist()


def _encode_base64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode("ascii")}


def _decode(data: bytes) -> str:
    return data.decode(errors="replace")


def _type_error(value: Any, dtype: str) -> ServingError:
    return ServingError(
        f"JSON Value: {quote(value)} Type: {_name_type(value)} is not of expected"
        f" type: {dtype}"
    )


def _name_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    if isinstance(value, dict):
        return "Object"
    return "String" if isinstance(value, str) else "Number"


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "[?]" if shape is None else f"[{','.join(map(str, shape))}]"
