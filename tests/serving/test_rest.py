"""TF Serving's REST API over real SavedModels, called in process."""

import base64
import gzip
import json
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from helpers.pictures import encode_picture, open_picture
from tfstyle.serving import rest, servables


@pytest.fixture(scope="module")
def server(tiny_models):
    return TestClient(rest.make_app(tiny_models))


def post(server, path, **request):
    response = server.post(f"/v1/models/{path}:predict", json=request)
    return response.status_code, response.json()


def post_body(server, body, encoding=None):
    headers = {"Content-Encoding": encoding} if encoding else {}
    response = server.post("/v1/models/line:predict", content=body, headers=headers)
    return response.status_code, response.json()


def png(color, size=(2, 3)):
    data = encode_picture(Image.new("RGB", size, color))
    return {"b64": base64.b64encode(data).decode()}


def test_the_latest_version_answers_by_default(server):
    assert post(server, "line", instances=[1]) == (200, {"predictions": [2.5]})
    assert post(server, "line/versions/1", instances=[1]) == (
        200,
        {"predictions": [1.5]},
    )


def test_paths_are_case_insensitive(server):
    response = server.post("/V1/Models/line/VERSIONS/1:Predict", json={"inputs": [1]})

    assert response.json() == {"outputs": [1.5]}


def test_rows_and_columns_have_the_same_numbers(server):
    rows = post(
        server,
        "pair",
        instances=[{"a": [1, 2], "seed": 2**62 + 1}, {"a": [3, 4], "seed": -1}],
    )
    columns = post(
        server, "pair", inputs={"a": [[1, 2], [3, 4]], "seed": [2**62 + 1, -1]}
    )

    assert rows[1]["predictions"] == [
        {"sum": 3.0, "seed": 2**62 + 1},
        {"sum": 7.0, "seed": -1},
    ]
    assert columns[1]["outputs"] == {"sum": [3.0, 7.0], "seed": [2**62 + 1, -1]}


def test_rows_of_unequal_outputs_are_refused_with_tf_servings_message(server):
    request = {"signature_name": "twice", "instances": [5]}

    assert post(server, "pair", **request) == (
        400,
        {"error": "Tensor name: twice has inconsistent batch size: 2 expecting: 1"},
    )


def test_pictures_are_base64_in_requests_and_answers(server):
    request = {"content_bytes": png("black", (4, 5)), "style_bytes": png("red")}

    status, answer = post(server, "style_transfer", instances=[request])

    assert status == 200
    data = base64.b64decode(answer["predictions"][0]["b64"])
    with open_picture(data) as image:
        assert (image.size, image.getpixel((0, 0))) == ((4, 5), (255, 0, 0))


def test_string_outputs_without_the_suffix_bytes_are_text(server):
    _, answer = post(server, "style_encoder", inputs=[png("blue")])

    assert answer["outputs"]["nearest_artists"] == [["ann", "bob"]]


def test_an_undecodable_picture_is_an_error_of_the_client_on_one_line(server):
    assert post(server, "style_encoder", inputs=[{"b64": "aGVsbG8="}]) == (
        400,
        {"error": "Unknown image file format. One of JPEG, PNG, GIF, BMP required."},
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (png("red")["b64"], 'is base64 as plain text: write {"b64": "..."} for it'),
        ("", "is empty: there is no picture in it"),
        ({"b64": ""}, "is empty: there is no picture in it"),
    ],
)
def test_a_likely_mistake_with_a_picture_is_named(server, value, message):
    error = f"image_bytes {message}"
    for batch, line in (
        ([value], error),
        ([png("blue"), value], f"row 1: {error}"),
    ):
        status, answer = post(server, "style_encoder", inputs=batch)
        assert (status, answer) == (400, {"error": line})


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("nobody", 404, "Servable not found for request: Latest(nobody)"),
        ("line/versions/9", 404, "Servable not found for request: Specific(line, 9)"),
        ("line/labels/stable", 400, "Unrecognized servable version label: stable"),
        ("", 400, "Malformed request: POST /v1/models/:predict"),
        (
            "line/versions/x",
            400,
            "Malformed request: POST /v1/models/line/versions/x:predict",
        ),
    ],
)
def test_the_errors_about_unknown_models_and_paths_are_tf_servings(
    server, path, status, text
):
    assert post(server, path, instances=[1]) == (status, {"error": text})


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("/v1/models/line/versions/9", 404, "Could not find version 9 of model line"),
        (
            "/v1/models/nobody/metadata",
            404,
            "Servable not found for request: Latest(nobody)",
        ),
        ("/v1/models/line:predict", 400, "Malformed request: GET /v1/models/line:pred"),
        ("/favicon.ico", 404, "Not found: GET /favicon.ico"),
    ],
)
def test_errors_of_get_requests_are_json(server, path, status, text):
    response = server.get(path)

    assert response.status_code == status
    assert response.json()["error"].startswith(text)


def test_the_error_about_an_unknown_signature_names_it(server):
    request = {"signature_name": "Sample", "instances": [1]}

    assert post(server, "line", **request) == (
        400,
        {"error": 'Serving signature name: "Sample" not found in signature def'},
    )


@pytest.mark.parametrize(
    ("method", "noun"), [("classify", "classification"), ("regress", "regression")]
)
def test_classify_and_regress_are_refused_like_by_tf_serving(server, method, noun):
    response = server.post(f"/v1/models/line:{method}", json={"examples": [{"x": 1}]})

    assert response.status_code == 400
    assert response.json()["error"] == (
        f"Expected {noun} signature method_name to be tensorflow/serving/{method}."
        " Was: tensorflow/serving/predict"
    )


def test_status_lists_the_versions_latest_first(server):
    entry = {
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }

    assert server.get("/v1/models/line").json() == {
        "model_version_status": [{"version": "2", **entry}, {"version": "1", **entry}]
    }
    assert server.get("/v1/models/line/versions/1").json() == {
        "model_version_status": [{"version": "1", **entry}]
    }


def test_metadata_is_protobuf_json(server):
    answer = server.get("/v1/models/line/versions/1/metadata").json()

    assert answer["model_spec"] == {
        "name": "line",
        "signature_name": "",
        "version": "1",
    }
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_gzip_bodies_are_decompressed(server):
    body = gzip.compress(b'{"instances": [1]}')

    assert post_body(server, body, "gzip") == (200, {"predictions": [2.5]})


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (b"{}", "gzip", "Request body is not gzip data: "),
        (
            gzip.compress(b"{}")[:-4],
            "gzip",
            "Request body is not gzip data: it is truncated",
        ),
        (b"{}", "br", "Content-Encoding br is not supported, only gzip"),
    ],
)
def test_bodies_that_cannot_be_decompressed_are_refused(server, body, encoding, text):
    status, answer = post_body(server, body, encoding)

    assert status == 400
    assert answer["error"].startswith(text)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_bodies_over_the_limit_are_refused_also_if_compressed(
    server, monkeypatch, encoding
):
    monkeypatch.setattr(rest, "MAX_BODY_BYTES", 2**20)
    body = b" " * (2**20 + 1)
    body = gzip.compress(body) if encoding == "gzip" else body

    assert post_body(server, body, encoding) == (
        413,
        {
            "error": "Request body is larger than 1 MiB: send fewer or smaller pictures"
            " at a time"
        },
    )


def test_a_failure_of_the_server_is_json_too(tiny_models, monkeypatch):
    app = rest.make_app(tiny_models)
    monkeypatch.setattr(servables.Servable, "predict", lambda *_: 1 / 0)

    status, answer = post(
        TestClient(app, raise_server_exceptions=False), "line", instances=[1]
    )

    assert (status, answer) == (500, {"error": "ZeroDivisionError: division by zero"})


def test_a_slow_model_does_not_block_other_requests(tiny_models, monkeypatch):
    app = rest.make_app(tiny_models)
    called, may_end = threading.Event(), threading.Event()

    def predict(*_):
        called.set()
        assert may_end.wait(timeout=30)
        return {"y": np.zeros(1)}

    monkeypatch.setattr(servables.Servable, "predict", predict)
    answers = []
    # One event loop for all requests, as in a real server.
    with TestClient(app) as server:
        slow = threading.Thread(
            target=lambda: answers.append(post(server, "line", instances=[1]))
        )
        slow.start()
        assert called.wait(timeout=30)
        assert server.get("/v1/models/line").status_code == 200
        assert not answers
        may_end.set()
        slow.join()
    assert answers == [(200, {"predictions": [0.0]})]


def test_the_page_lists_models_versions_and_signatures(server):
    text = server.get("/").text

    assert "<h2>line</h2>\n<p>version 1, 2:" in text
    assert 'href="http://testserver/v1/models/line/metadata"' in text
    assert "pair" in text
    assert "serving_default(x: float [-1]) -&gt; y: float [-1]" in text
    assert servables.INIT_SIGNATURE not in text
    assert "curl -d" in text


def test_nan_is_answered_bare_like_by_tf_serving(server):
    response = server.post("/v1/models/line:predict", content=b'{"inputs": [NaN]}')

    assert response.text == '{"outputs": [NaN]}'
    assert json.loads(response.text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"\x89PNG", "JSON Parse error: Invalid value. at offset: 0"),
        (b"hello", "JSON Parse error: Invalid value. at offset: 0"),
        (b"[1]", "JSON Value: [\n    1\n] Is not object"),
        (
            b'{"signature_name": 1}',
            'JSON Value: {\n    "signature_name": 1\n} not formatted correctly.'
            " 'signature_name' key must be a string value.",
        ),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(server, body, text):
    assert post_body(server, body) == (400, {"error": text})


@pytest.mark.parametrize(
    "body", [b'{"inputs": ' + b"[" * 100_000, b'{"inputs": ' + b"1" * 5000 + b"}"]
)
def test_json_that_overwhelms_the_parser_is_an_error_of_the_request(server, body):
    status, answer = post_body(server, body)

    assert status == 400
    assert answer["error"].startswith("JSON Parse error: ")


# Limits.


@pytest.mark.parametrize(
    ("model", "request_"),
    [
        ("line", {"instances": [1] * 5}),
        ("line", {"inputs": [1] * 5}),
        ("line", {"inputs": {"x": [1] * 5}}),
        ("pair", {"instances": [{"a": [1, 2], "seed": 3}] * 5}),
        ("pair", {"inputs": {"a": [[1, 2]] * 5, "seed": [3] * 5}}),
        ("pair", {"inputs": {"a": [[1, 2]], "seed": [3] * 5}}),
        ("style_encoder", {"instances": [png("red")] * 5}),
        ("style_encoder", {"instances": [{"image_bytes": png("red")}] * 5}),
    ],
)
def test_a_request_of_too_many_rows_is_refused_with_tf_servings_message(
    tiny_models, model, request_
):
    server = TestClient(rest.make_app(tiny_models, max_batch_size=4))

    assert post(server, model, **request_) == (
        400,
        {"error": "Task size 5 is larger than maximum input batch size 4"},
    )


def test_as_many_rows_as_allowed_are_computed_in_batches(tiny_models, monkeypatch):
    sizes = []
    call = servables.Servable._call

    def count(self, signature_name, inputs):
        sizes.append(len(inputs["x"]))
        return call(self, signature_name, inputs)

    monkeypatch.setattr(servables.Servable, "_call", count)
    server = TestClient(rest.make_app(tiny_models, max_batch_size=21))

    status, answer = post(server, "line", instances=list(range(21)))

    assert status == 200
    assert answer["predictions"] == [2 * x + 0.5 for x in range(21)]
    assert sizes == [8, 8, 5]


def test_thousands_of_rows_in_a_small_body_are_refused(server):
    body = gzip.compress(json.dumps({"instances": [1] * 4000}).encode())
    assert len(body) < 100

    assert post_body(server, body, "gzip") == (
        400,
        {"error": "Task size 4000 is larger than maximum input batch size 256"},
    )


@pytest.mark.parametrize("value", ["1", "1.5", "[]", "{}", "[1]", '{"x": 1}'])
@pytest.mark.parametrize("key", ["inputs", "instances", "ignored"])
def test_millions_of_values_in_a_small_body_are_refused(server, value, key):
    values = ",".join([value] * 3_000_000)
    body = gzip.compress(f'{{"{key}": [{values}]}}'.encode(), 1)
    start = time.monotonic()

    assert post_body(server, body, "gzip") == (
        400,
        {"error": "Request has more than 2097152 values"},
    )
    assert time.monotonic() - start < 5


def test_no_more_than_the_limit_is_decompressed(server, monkeypatch):
    monkeypatch.setattr(rest, "MAX_BODY_BYTES", 2**16)
    sizes = []
    make = rest.zlib.decompressobj

    class Counting:
        def __init__(self, **settings):
            self._inner = make(**settings)

        def decompress(self, *arguments):
            text = self._inner.decompress(*arguments)
            sizes.append(len(text))
            return text

    monkeypatch.setattr(rest.zlib, "decompressobj", Counting)
    bomb = gzip.compress(b" " * 2**25)

    assert post_body(server, bomb, "gzip")[0] == 413
    assert sizes == [2**16 + 1]


def test_data_after_the_end_of_gzip_data_are_refused(server):
    body = gzip.compress(b'{"instances": [1]}') + gzip.compress(b" ")

    assert post_body(server, body, "gzip") == (
        400,
        {"error": "Request body is not gzip data: more data follow its end"},
    )


def test_a_body_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(rest, "MAX_BODY_BYTES", 1000)
    monkeypatch.setattr(rest, "MAX_IGNORED_BYTES", 5000)
    response = server.post("/v1/models/line:predict", content=b" " * 10_000)

    assert response.status_code == 413
    assert response.headers["Connection"] == "close"


def test_requests_wait_only_as_long_as_memory_allows(tiny_models, monkeypatch):
    app = rest.make_app(tiny_models)
    server = TestClient(app)
    monkeypatch.setattr(rest, "MAX_WAITING_BYTES", 100)
    body = b'{"instances": [1]' + b" " * 90 + b"}"

    assert post_body(server, body) == (
        503,
        {"error": "too many requests are waiting: try again"},
    )
    assert post_body(server, body[:17] + b"}")[0] == 200
    assert app.state.waiting_bytes == 0


# HEAD and CORS.

CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}


def cors_headers(response):
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/line", 400),
        ("/v1/models/line/metadata", 400),
        ("/v1/models/line:predict", 400),
        ("/", 200),
        ("/favicon.ico", 404),
    ],
)
def test_head_is_refused_like_by_tf_serving(server, path, status):
    assert server.head(path).status_code == status


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_malformed_requests(server, method):
    response = server.request(method, "/v1/models/line")

    assert response.status_code == 400
    assert response.json() == {"error": f"Malformed request: {method} /v1/models/line"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/line", 200),
        ("GET", "/v1/models/nobody", 404),
        ("POST", "/v1/models/line:predict", 400),  # no body
        ("OPTIONS", "/v1/models/line:predict", 200),
        ("OPTIONS", "/V1/anything", 200),
        ("HEAD", "/v1/models/line", 400),
    ],
)
def test_pages_of_other_sites_may_call_the_server_if_allowed(
    tiny_models, server, method, path, status
):
    allowing = TestClient(rest.make_app(tiny_models, allow_cors=True))

    response = allowing.request(method, path, headers={"Origin": "http://other.site"})

    assert (response.status_code, cors_headers(response)) == (status, CORS)
    assert cors_headers(server.request(method, path)) == {}
    if method == "OPTIONS":
        assert response.content == b""


# Versions that cannot be loaded.


def test_a_faulty_newest_version_is_shown_and_the_one_before_served(
    tiny_models, tmp_path
):
    shutil.copytree(tiny_models, tmp_path / "models")
    (tmp_path / "models" / "line" / "3" / "saved_model.pb").write_bytes(b"half")
    server = TestClient(rest.make_app(tmp_path / "models"))

    assert post(server, "line", instances=[1]) == (200, {"predictions": [2.5]})
    assert post(server, "line/versions/3", instances=[1]) == (
        404,
        {"error": "Servable not found for request: Specific(line, 3)"},
    )
    newest, *others = server.get("/v1/models/line").json()["model_version_status"]
    assert (newest["version"], newest["state"]) == ("3", "END")
    assert newest["status"]["error_code"] == "UNKNOWN"
    assert newest["status"]["error_message"]
    assert [(v["version"], v["state"]) for v in others] == [
        ("2", "AVAILABLE"),
        ("1", "AVAILABLE"),
    ]
    assert "<p>version 1, 2:" in server.get("/").text


def test_a_faulty_older_version_is_an_error_of_its_requests_only(tiny_models, tmp_path):
    shutil.copytree(tiny_models, tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "line" / "1" / "variables")
    server = TestClient(rest.make_app(tmp_path / "models"))

    status, answer = post(server, "line/versions/1", instances=[1])
    assert status == 503
    assert answer["error"].startswith("version 1 of model line cannot be loaded: ")
    assert post(server, "line/versions/1", instances=[1])[0] == 404  # known by now
    assert post(server, "line", instances=[1]) == (200, {"predictions": [2.5]})


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(tiny_models):
    server = TestClient(rest.make_app(tiny_models, max_pixels=12))
    rows = [
        {"content_bytes": png("red", (3, 4)), "style_bytes": png("red")},
        {"content_bytes": png("red", (3, 5)), "style_bytes": png("red")},
    ]

    assert post(server, "style_transfer", instances=rows[:1])[0] == 200
    assert post(server, "style_transfer", instances=rows) == (
        400,
        {
            "error": "content_bytes: a picture of 15 pixels is larger than"
            " --max_pixels=12"
        },
    )


def test_a_small_file_with_a_huge_picture_takes_no_memory(server):
    """20000 x 20000 pixels in 50 KB: decoded, they take 16 GB."""
    bomb = encode_picture(Image.new("1", (20000, 20000)), "PNG")
    assert len(bomb) < 60_000
    row = {"b64": base64.b64encode(bomb).decode()}

    status, answer = post(
        server, "style_transfer", inputs={"content_bytes": [row], "style_bytes": [row]}
    )

    assert status == 400
    assert "400000000 pixels" in answer["error"]
