"""Requests become arrays, arrays answers; errors have TF Serving's exact messages."""

import json

import numpy as np
import pytest

from tfstyle.serving import json_tensors
from tfstyle.serving.json_tensors import ServingError, TensorSpec

X = {"x": TensorSpec("float", (-1,))}
MATRIX = {"x": TensorSpec("float", (-1, 2))}
PICTURE = {"picture": TensorSpec("string", (-1,))}
PAIR = {"a": TensorSpec("float", (-1,)), "b": TensorSpec("int64", (-1,))}


def read(request, specs=X) -> dict[str, np.ndarray]:
    return json_tensors.read_request(request, specs)[1]


def get_error(request, specs=X) -> str:
    with pytest.raises(ServingError) as caught:
        json_tensors.read_request(request, specs)
    return caught.value.message


def test_rows_are_stacked_in_order():
    layout, arrays = json_tensors.read_request(
        {"instances": [[1, 2.5], [3, 4]]}, MATRIX
    )

    assert layout == "row"
    assert arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(arrays["x"], [[1, 2.5], [3, 4]])


def test_named_rows_become_one_array_per_input():
    arrays = read({"instances": [{"a": 0.5, "b": 7}, {"b": 8, "a": 1}]}, PAIR)

    np.testing.assert_array_equal(arrays["a"], [0.5, 1])
    np.testing.assert_array_equal(arrays["b"], [7, 8])
    assert arrays["b"].dtype == np.int64


def test_columns_may_name_a_single_input_or_not():
    plain = json_tensors.read_request({"inputs": [1, 2]}, X)
    named = json_tensors.read_request({"inputs": {"x": [1, 2]}}, X)

    assert plain[0] == named[0] == "column"
    np.testing.assert_array_equal(plain[1]["x"], named[1]["x"])


def test_unknown_keys_are_ignored():
    arrays = read({"instances": [1], "comment": "hello"})

    np.testing.assert_array_equal(arrays["x"], [1])


def test_base64_is_decoded_whatever_the_name_of_the_input():
    rows = {"instances": [{"b64": "AAH/"}, {"picture": {"b64": "AAH/"}}]}
    for instance in rows["instances"]:
        arrays = read({"instances": [instance]}, PICTURE)
        assert arrays["picture"].tolist() == [b"\x00\x01\xff"]


def test_base64_may_lack_padding_and_hold_line_breaks():
    arrays = read({"inputs": [{"b64": "aGV\nsbG8"}, {"b64": "aGVsbG8="}]}, PICTURE)

    assert arrays["picture"].tolist() == [b"hello", b"hello"]


def test_plain_strings_are_utf_8():
    assert read({"instances": ["é"]}, PICTURE)["picture"].tolist() == ["é".encode()]


def test_seeds_keep_all_64_bits():
    largest, smallest = 2**63 - 1, -(2**63)
    arrays = read({"inputs": [largest, smallest]}, {"s": TensorSpec("int64", (-1,))})

    assert arrays["s"].tolist() == [largest, smallest]


def test_nan_and_infinity_tokens_are_numbers():
    request = json.loads('{"inputs": [NaN, -Infinity]}')

    np.testing.assert_array_equal(read(request)["x"], [np.nan, -np.inf])


@pytest.mark.parametrize("inputs", [[], {"x": []}])
def test_an_input_without_rows_is_named(inputs):
    assert get_error({"inputs": inputs}) == (
        "Input x is empty, but needs at least one row"
    )


def test_more_dimensions_than_numpy_has_are_refused():
    request = {"inputs": json.loads("[" * 40 + "1" + "]" * 40)}

    assert get_error(request) == (
        "Encountered list at unexpected level: 31 expected < 31"
    )


@pytest.mark.parametrize(
    ("request_", "specs", "text"),
    [
        ({}, X, "Missing 'inputs' or 'instances' key"),
        (
            {"inputs": 1, "instances": 1},
            X,
            'JSON Value: {\n    "inputs": 1,\n    "instances": 1\n} Not formatted'
            " correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            {"instances": 1},
            X,
            "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an"
            " list/array",
        ),
        (
            {"instances": []},
            X,
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        ),
        (
            {"instances": ["a"]},
            X,
            "Failed to process element: 0 of 'instances' list. Error:"
            ' INVALID_ARGUMENT: JSON Value: "a" Type: String is not of expected type:'
            " float",
        ),
        (
            {"instances": [{"a": 1, "b": 1}, {"a": 1, "b": 1.5}]},
            PAIR,
            "Failed to process element: 1 key: b of 'instances' list. Error:"
            " INVALID_ARGUMENT: JSON Value: 1.5 Type: Number is not of expected type:"
            " int64",
        ),
        (
            {"instances": [{"a": 1}]},
            PAIR,
            "Failed to process element: 0 of 'instances' list. JSON object: {\n   "
            ' "a": 1\n} keys must be equal to: a,b',
        ),
        (
            {"instances": [{"c": 1}]},
            PAIR,
            "Failed to process element: 0 key: c of 'instances' list. Error:"
            " INVALID_ARGUMENT: JSON object: does not have named input: c",
        ),
        (
            {"instances": [1]},
            PAIR,
            "instances is a plain list, but expecting list of objects as multiple"
            " input tensors required as per tensorinfo_map",
        ),
        (
            {"instances": [{"a": 1, "b": 1}, 2]},
            PAIR,
            "Expecting object but got list at item 1 of input list",
        ),
        (
            {"instances": [1, {"x": 1}]},
            X,
            "Expecting value/list but got object at item 1 of input list",
        ),
        (
            {"instances": [[1, 2], [1]]},
            MATRIX,
            "Failed to process element: 1 of 'instances' list. Error:"
            " INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1",
        ),
        (
            {"instances": [[1, 2], [[1, 2]]]},
            MATRIX,
            "Failed to process element: 1 of 'instances' list. Error:"
            " INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]",
        ),
        (
            {"inputs": [[1, 2], [3]]},
            MATRIX,
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        (
            {"inputs": [[1], 2]},
            MATRIX,
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at"
            " level: 2",
        ),
        (
            {"inputs": [1, [2]]},
            X,
            "Encountered list at unexpected level: 1 expected < 1",
        ),
        (
            {"inputs": {"a": [1]}},
            PAIR,
            "Missing named input: b in 'inputs' object.",
        ),
        (
            {"inputs": [1]},
            PAIR,
            "inputs is a plain value/list, but expecting an object as multiple input"
            " tensors required as per tensorinfo_map",
        ),
        (
            {"inputs": [{"b64": "AA==", "x": 1}]},
            PICTURE,
            'JSON Value: {\n    "b64": "AA==",\n    "x": 1\n} not formatted correctly'
            " for base64 data",
        ),
        ({"inputs": [{"b64": "a*b="}]}, PICTURE, "Unable to base64 decode"),
        (
            {"inputs": [None]},
            PICTURE,
            "JSON Value: null Type: Null is not of expected type: string",
        ),
        (
            {"inputs": [True]},
            X,
            "JSON Value: true Type: True is not of expected type: float",
        ),
        (
            {"inputs": [2**24 + 1]},
            X,
            "Cannot convert JSON value: 16777217 to float without loss of precision.",
        ),
        (
            {"inputs": [256]},
            {"x": TensorSpec("uint8", (-1,))},
            "JSON Value: 256 Type: Number is not of expected type: uint8",
        ),
    ],
)
def test_requests_are_refused_with_tf_servings_messages(request_, specs, text):
    assert get_error(request_, specs) == text


def test_half_precision_inputs_are_unimplemented_like_in_tf_serving():
    with pytest.raises(ServingError) as caught:
        read({"inputs": [1.5]}, {"x": TensorSpec("half", (-1,))})

    assert caught.value.code == "UNIMPLEMENTED"
    assert caught.value.message == "Conversion of JSON Value: 1.5 to type: half"


def test_an_error_quotes_only_the_beginning_of_a_long_value():
    text = get_error({"inputs": ["z" * 10**6]})

    assert text.startswith('JSON Value: "zzz')
    assert text.endswith("... Type: String is not of expected type: float")
    assert len(text) < 300


def test_the_error_about_a_wrong_shape_has_both_shapes():
    assert get_error({"instances": [[1, 2, 3]]}, MATRIX) == (
        "Input x has shape [1,3], but the signature expects [-1,2] (-1: any size)"
    )


def test_the_name_of_a_single_output_is_omitted():
    outputs = {"y": np.array([[1, 2]], np.int32)}

    assert json_tensors.make_answer(outputs, "row") == {"predictions": [[1, 2]]}
    assert json_tensors.make_answer(outputs, "column") == {"outputs": [[1, 2]]}


def test_several_outputs_are_named_per_row_or_per_column():
    outputs = {"n": np.array([1, 2], np.int64), "ok": np.array([True, False])}

    assert json_tensors.make_answer(outputs, "row") == {
        "predictions": [{"n": 1, "ok": True}, {"n": 2, "ok": False}]
    }
    assert json_tensors.make_answer(outputs, "column") == {
        "outputs": {"n": [1, 2], "ok": [True, False]}
    }


def test_only_outputs_with_the_suffix_bytes_are_answered_in_base64():
    data = np.array([b"hi"], np.object_)

    answer = json_tensors.make_answer({"image_bytes": data, "text": data}, "column")

    assert answer["outputs"] == {"image_bytes": [{"b64": "aGk="}], "text": ["hi"]}


def test_decimals_are_the_shortest_that_parse_to_the_same_number():
    answer = json_tensors.make_answer({"y": np.float32([0.2, 3, 1 / 3])}, "row")

    assert json.dumps(answer) == '{"predictions": [0.2, 3.0, 0.33333334]}'


def test_rows_need_one_batch_size_and_columns_do_not():
    outputs = {"a": np.zeros(2), "b": np.zeros(3)}

    with pytest.raises(ServingError) as caught:
        json_tensors.make_answer(outputs, "row")

    assert caught.value.message == (
        "Tensor name: b has inconsistent batch size: 3 expecting: 2"
    )
    assert len(json_tensors.make_answer(outputs, "column")["outputs"]["b"]) == 3


def test_rows_cannot_hold_a_scalar_output():
    with pytest.raises(ServingError) as caught:
        json_tensors.make_answer({"y": np.float32(1)}, "row")

    assert caught.value.message == "Tensor name: y has no shape information "
