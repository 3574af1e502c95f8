"""The REST API over real SavedModels, called in process."""

import base64
import gzip
import io
import json
import shutil
import threading

import pytest
import tiny_export
from PIL import Image
from starlette.testclient import TestClient

from tfstyle.core.cli import UserError
from tfstyle.serving import rest


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    return tiny_export.write_tiny_export(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def server(export_dir):
    return TestClient(rest.make_app(export_dir))


def post(server, path, **request):
    response = server.post(f"/v1/models/{path}:predict", json=request)
    return response.status_code, response.json()


def png(color, size=(2, 3)):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return {"b64": base64.b64encode(buffer.getvalue()).decode()}


def test_the_latest_version_answers_unless_another_is_asked_for(server):
    assert post(server, "line", instances=[1]) == (200, {"predictions": [2.5]})
    assert post(server, "line/versions/1", instances=[1]) == (
        200,
        {"predictions": [1.5]},
    )


def test_paths_are_matched_without_regard_to_case(server):
    response = server.post("/V1/Models/line/VERSIONS/1:Predict", json={"inputs": [1]})

    assert response.json() == {"outputs": [1.5]}


def test_rows_and_columns_give_the_same_numbers(server):
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


def test_rows_of_unequal_outputs_are_refused_by_tf_servings_text(server):
    request = {"signature_name": "twice", "instances": [5]}

    assert post(server, "pair", **request) == (
        400,
        {"error": "Tensor name: twice has inconsistent batch size: 2 expecting: 1"},
    )


def test_pictures_go_in_and_come_out_as_base64(server):
    request = {"content_bytes": png("black", (4, 5)), "style_bytes": png("red")}

    status, answer = post(server, "style_transfer", instances=[request])

    assert status == 200
    data = base64.b64decode(answer["predictions"][0]["b64"])
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.getpixel((0, 0))) == ((4, 5), (255, 0, 0))


def test_string_outputs_not_named_bytes_are_text(server):
    _, answer = post(server, "style_encoder", inputs=[png("blue")])

    assert answer["outputs"]["nearest_artists"] == [["ann", "bob"]]


def test_an_undecodable_picture_is_the_clients_error_in_one_line(server):
    assert post(server, "style_encoder", inputs=[{"b64": "aGVsbG8="}]) == (
        400,
        {"error": "Unknown image file format. One of JPEG, PNG, GIF, BMP required."},
    )


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Graph execution error:\n\nDetected at node 'Add' defined at (most recent"
            " call last):\n    File \"a.py\", line 1, in f\nNode: 'Add'\nToo bad."
            "\n\t [[{{node Add}}]] [Op:__inference_f_1]",
            "Too bad.",
        ),
        (
            "Graph execution error:\n\n2 root error(s) found.\n  (0)"
            " INVALID_ARGUMENT:  Too bad.\n\t [[{{node Add}}]]\n  (1) CANCELLED: x",
            "Too bad.",
        ),
        (
            "{{function_node __wrapped__DecodePng_device_CPU:0}} Too bad."
            " [Op:DecodePng] name: ",
            "Too bad.",
        ),
        ("", ""),
    ],
)
def test_tensorflows_reports_are_cut_to_what_went_wrong(message, line):
    assert rest._first_meaningful_line(message) == line


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
def test_unknown_models_and_paths_are_answered_as_by_tf_serving(
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
def test_unknown_pages_are_errors_in_json(server, path, status, text):
    response = server.get(path)

    assert response.status_code == status
    assert response.json()["error"].startswith(text)


def test_an_unknown_signature_is_named(server):
    request = {"signature_name": "Sample", "instances": [1]}

    assert post(server, "line", **request) == (
        400,
        {"error": 'Serving signature name: "Sample" not found in signature def'},
    )


@pytest.mark.parametrize(
    ("method", "noun"), [("classify", "classification"), ("regress", "regression")]
)
def test_classify_and_regress_say_that_the_signature_predicts(server, method, noun):
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


def test_gzip_bodies_are_read(server):
    response = server.post(
        "/v1/models/line:predict",
        content=gzip.compress(b'{"instances": [1]}'),
        headers={"Content-Encoding": "gzip"},
    )

    assert response.json() == {"predictions": [2.5]}


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (b"{}", "gzip", "Request body is not gzip data: "),
        (gzip.compress(b"{}")[:-4], "gzip", "Request body is not gzip data: it ends"),
        (b"{}", "br", "Content-Encoding br is not supported, only gzip"),
    ],
)
def test_bodies_that_cannot_be_unpacked_are_refused(server, body, encoding, text):
    response = server.post(
        "/v1/models/line:predict",
        content=body,
        headers={"Content-Encoding": encoding},
    )

    assert response.status_code == 400
    assert response.json()["error"].startswith(text)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_bodies_over_the_limit_are_refused_also_when_packed(
    server, monkeypatch, encoding
):
    monkeypatch.setattr(rest, "MAX_BODY_BYTES", 2**20)
    body = b" " * (2**20 + 1)
    response = server.post(
        "/v1/models/line:predict",
        content=gzip.compress(body) if encoding == "gzip" else body,
        headers={"Content-Encoding": encoding},
    )

    assert response.status_code == 413
    assert response.json() == {
        "error": "Request body is larger than 1 MiB: send fewer or smaller pictures at"
        " a time"
    }


def test_a_failure_of_the_server_is_json_as_well(export_dir, monkeypatch):
    app = rest.make_app(export_dir)
    monkeypatch.setattr(rest.Servable, "predict", lambda *_: 1 / 0)

    status, answer = post(
        TestClient(app, raise_server_exceptions=False), "line", instances=[1]
    )

    assert (status, answer) == (500, {"error": "ZeroDivisionError: division by zero"})


def test_a_slow_model_does_not_hold_up_other_requests(export_dir, monkeypatch):
    app = rest.make_app(export_dir)
    called, may_end = threading.Event(), threading.Event()

    def predict(*_):
        called.set()
        assert may_end.wait(timeout=30)
        return {"y": rest.np.zeros(1)}

    monkeypatch.setattr(rest.Servable, "predict", predict)
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

    assert "<h2>line</h2><p>version 1, 2:" in text
    assert "pair" in text
    assert "serving_default(x: float [-1]) -&gt; y: float [-1]" in text
    assert rest.INIT_SIGNATURE not in text
    assert "curl -d" in text


def test_only_integer_folders_with_a_model_are_versions(server):
    models = server.app.state.models

    assert list(models["line"]) == [1, 2]
    assert "pictures" not in models


def test_versions_are_ordered_as_numbers(export_dir, tmp_path):
    for version in ("9", "10"):
        shutil.copytree(export_dir / "line" / "1", tmp_path / "line" / version)

    assert list(rest.find_models(tmp_path)["line"]) == [9, 10]


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_without_models_the_command_that_makes_them_is_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()

    with pytest.raises(UserError, match="python -m tfstyle.export --run_dir=RUN_DIR"):
        rest.make_app(tmp_path / folder)


@pytest.mark.parametrize("damage", ["graph", "variables"])
def test_a_model_that_does_not_load_is_named(export_dir, tmp_path, damage):
    folder = tmp_path / "line" / "1"
    shutil.copytree(export_dir / "line" / "1", folder)
    if damage == "graph":
        (folder / "saved_model.pb").write_bytes(b"\xff not a protobuf")
    else:
        shutil.rmtree(folder / "variables")

    with pytest.raises(UserError) as caught:
        rest.make_app(tmp_path)

    assert f"the model in {folder} does not load: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_is_answered_bare_as_by_tf_serving(server):
    response = server.post("/v1/models/line:predict", content=b'{"inputs": [NaN]}')

    assert response.text == '{"outputs": [NaN]}'
    assert json.loads(response.text)
