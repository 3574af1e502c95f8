"""TF Serving's REST API over a folder of SavedModels, for machines without it.

The folder has TF Serving's layout, `EXPORT_DIR/NAME/VERSION/saved_model.pb`. Routes,
answers, error texts and HTTP codes are TF Serving's; `json_tensors` holds the
conversion. There is no gRPC, no batching of requests, no label and no polling for
new versions: those are what TF Serving itself is for.
"""

import html
import json
import os
import re
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, request_response
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import error_codes_pb2, saved_model_pb2

from tfstyle.core.cli import UserError
from tfstyle.serving import json_tensors
from tfstyle.serving.json_tensors import ServingError, TensorSpec

MAX_BODY_BYTES = 64 * 2**20
INIT_SIGNATURE = "__saved_model_init_op"  # TensorFlow's own, nothing to call.
CLASSIFY_REGRESS_METHODS = {
    "classify": ("classification", "tensorflow/serving/classify"),
    "regress": ("regression", "tensorflow/serving/regress"),
}
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}  # Any other: 500.

_MODEL_PATH = r"/v1/models(?:/(?P<name>[^/:]+))?"
_VERSION_PATH = r"(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
PREDICT_PATH = re.compile(
    rf"(?i:{_MODEL_PATH}{_VERSION_PATH}:(?P<method>predict|classify|regress))"
)
STATUS_PATH = re.compile(rf"(?i:{_MODEL_PATH}{_VERSION_PATH}(?P<metadata>/metadata)?)")


class Servable:
    """One version of a model.

    Attributes:
        name: the model's name.
        version: its number.
        folder: where its `saved_model.pb` lies.
        signature_defs: the signatures as protos, by name.
    """

    def __init__(self, name: str, version: int, folder: Path):
        self.name = name
        self.version = version
        self.folder = folder
        proto = saved_model_pb2.SavedModel.FromString(
            (folder / "saved_model.pb").read_bytes()
        )
        self.signature_defs = dict(proto.meta_graphs[0].signature_def)
        self._model: Any = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model unless it is loaded."""
        with self._lock:
            if self._model is None:
                self._model = tf.saved_model.load(str(self.folder))

    def input_specs(self, signature_name: str) -> dict[str, TensorSpec]:
        """Return what a signature expects; "" is the default signature."""
        signature_name = (
            signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        )
        if signature_name not in self.signature_defs:
            raise ServingError(
                f'Serving signature name: "{signature_name}" not found in signature def'
            )
        inputs = self.signature_defs[signature_name].inputs
        if not inputs:
            raise ServingError(
                f"Failed to get input map for signature: {signature_name}"
            )
        return {name: _tensor_spec(inputs[name]) for name in sorted(inputs)}

    def predict(
        self, signature_name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Call a signature; arrays in and out, strings as bytes in object arrays."""
        self.load()
        signature_name = (
            signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        )
        infos = self.signature_defs[signature_name].inputs
        outputs = self._model.signatures[signature_name](
            **{
                name: tf.constant(array, tf.dtypes.as_dtype(infos[name].dtype))
                for name, array in inputs.items()
            }
        )
        return {
            # A string scalar's numpy() is bytes, no array.
            name: np.asarray(
                tensor.numpy(), np.object_ if tensor.dtype == tf.string else None
            )
            for name, tensor in outputs.items()
        }


Models = dict[str, dict[int, Servable]]


def find_models(export_dir: str | os.PathLike[str]) -> Models:
    """Find the models of an export folder and load the latest version of each.

    Older versions are read, but loaded when they are first asked for.

    Args:
        export_dir: folder in TF Serving's layout. Folders that are not models and
            versions that are not integers or hold no `saved_model.pb` are passed by.

    Returns:
        Models by name, their versions in ascending order.

    Raises:
        UserError: without such a folder or a model in it, or when one does not load.
    """
    export_dir = Path(export_dir)
    remedy = (
        "write one with: python -m tfstyle.export --run_dir=RUN_DIR"
        f" --export_dir={export_dir}"
    )
    if not export_dir.is_dir():
        raise UserError(f"there is no export folder {export_dir}; {remedy}")
    models: Models = {}
    paths = export_dir.glob("[!.]*/*/saved_model.pb")
    # int() also reads " 1", "1_0" and "-1".
    folders = [
        path.parent for path in paths if re.fullmatch("[0-9]+", path.parent.name)
    ]
    for folder in sorted(folders, key=lambda f: (f.parent.name, int(f.name))):
        name, version = folder.parent.name, int(folder.name)
        try:
            models.setdefault(name, {})[version] = Servable(name, version, folder)
        except Exception as error:
            raise _load_failure(folder, error, remedy) from error
    if not models:
        raise UserError(
            f"{export_dir} holds no model (NAME/VERSION/saved_model.pb); {remedy}"
        )
    for versions in models.values():
        latest = versions[max(versions)]
        try:
            latest.load()
        # A damaged SavedModel fails with anything from OSError to DecodeError.
        except Exception as error:
            raise _load_failure(latest.folder, error, remedy) from error
    return models


def make_app(export_dir: str | os.PathLike[str]) -> Starlette:
    """Make the server: TF Serving's REST API and, at `/`, a page that lists it.

    Args:
        export_dir: folder in TF Serving's layout.

    Returns:
        An ASGI application; `app.state.models` holds what `find_models` found. Routes
        added later come before the REST API, which takes every path that is left.

    Raises:
        UserError: as `find_models`.
    """
    models = find_models(export_dir)
    # Each call uses all cores already: more at a time only take more memory.
    limiter = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))

    async def rest(request: Request) -> Response:
        method, path = request.method, request.url.path
        try:
            if method == "POST" and (match := PREDICT_PATH.fullmatch(path)):
                body = await _read_body(request)
                # Parsing megabytes of JSON would hold up the event loop as well.
                answer = await anyio.to_thread.run_sync(
                    _call,
                    models,
                    match.groupdict(),
                    body,
                    request.headers.get("content-encoding", ""),
                    limiter=limiter,
                )
                return _json_response(answer)
            if method == "GET" and (match := STATUS_PATH.fullmatch(path)):
                describe = _metadata if match["metadata"] else _status
                return _json_response(describe(models, match), indent=2)
            if path.lower().startswith("/v1/"):
                raise ServingError(f"Malformed request: {method} {path}")
            raise ServingError(f"Not found: {method} {path}", "NOT_FOUND")
        except ServingError as error:
            return _error_response(error.message, HTTP_STATUS.get(error.code, 500))
        except tf.errors.OpError as error:
            code = error_codes_pb2.Code.Name(error.error_code)
            return _error_response(
                _first_meaningful_line(error.message), HTTP_STATUS.get(code, 500)
            )

    async def page(request: Request) -> Response:
        return HTMLResponse(_page(models, str(request.base_url).rstrip("/")))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _error_response(error.detail, error.status_code)

    async def server_error(request: Request, error: Exception) -> Response:
        return _error_response(f"{type(error).__name__}: {error}", 500)

    app = Starlette(
        routes=[Route("/", page)],
        exception_handlers={HTTPException: http_error, Exception: server_error},
    )
    app.router.default = request_response(rest)
    app.state.models = models
    return app


def _call(
    models: Models, path: Mapping[str, str | None], body: bytes, encoding: str
) -> dict[str, Any]:
    """Answer a POST: parse, find the signature, convert, call, convert back."""
    request = json_tensors.parse_json(_decompress(body, encoding))
    signature_name = json_tensors.get_signature_name(request)
    servable = _find_servable(models, path)
    method = (path["method"] or "").lower()
    if method in CLASSIFY_REGRESS_METHODS:
        raise _classify_regress_error(servable, method, signature_name)
    specs = servable.input_specs(signature_name)
    kind, inputs = json_tensors.read_request(request, specs)
    return json_tensors.make_answer(servable.predict(signature_name, inputs), kind)


def _find_servable(models: Models, path: Mapping[str, str | None]) -> Servable:
    name, version = path["name"] or "", path["version"]
    if path["label"]:
        raise ServingError(f"Unrecognized servable version label: {path['label']}")
    versions = models.get(name, {})
    number = int(version) if version else max(versions, default=-1)
    if number not in versions:
        wanted = f"Specific({name}, {number})" if version else f"Latest({name})"
        raise ServingError(f"Servable not found for request: {wanted}", "NOT_FOUND")
    return versions[number]


def _classify_regress_error(
    servable: Servable, method: str, signature_name: str
) -> ServingError:
    name = signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if name not in servable.signature_defs:
        return ServingError(f"No signature was found with the name: {name}")
    noun, expected = CLASSIFY_REGRESS_METHODS[method]
    actual = servable.signature_defs[name].method_name
    if actual == expected:
        return ServingError(
            f"{method} is not offered by this server; call :predict", "UNIMPLEMENTED"
        )
    return ServingError(
        f"Expected {noun} signature method_name to be {expected}. Was: {actual}"
    )


def _status(models: Models, path: re.Match[str]) -> dict[str, Any]:
    name, version = path["name"], path["version"]
    if not name:
        raise ServingError("Missing model name in request.")
    if path["label"]:
        raise ServingError(f"Unrecognized servable version label: {path['label']}")
    versions = sorted(models.get(name, {}), reverse=True)
    if not versions:
        raise ServingError(f"Could not find any versions of model {name}", "NOT_FOUND")
    if version:
        if int(version) not in versions:
            raise ServingError(
                f"Could not find version {int(version)} of model {name}", "NOT_FOUND"
            )
        versions = [int(version)]
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            for number in versions
        ]
    }


def _metadata(models: Models, path: re.Match[str]) -> dict[str, Any]:
    if not path["name"]:
        raise ServingError("Missing model name in request.")
    servable = _find_servable(models, path.groupdict())
    signatures = {
        name: json_format.MessageToDict(
            signature,
            preserving_proto_field_name=True,
            including_default_value_fields=True,
        )
        for name, signature in sorted(servable.signature_defs.items())
    }
    return {
        "model_spec": {
            "name": servable.name,
            "signature_name": "",
            "version": str(servable.version),
        },
        # Twice, as in TF Serving: a map's entry, then the map message's own field.
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


async def _read_body(request: Request) -> bytes:
    chunks, size = [], 0
    # Read to the end even when it is too large: a client that is still sending sees
    # a broken connection instead of the error.
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    if size > MAX_BODY_BYTES:
        raise _body_too_large()
    return b"".join(chunks)


def _decompress(body: bytes, encoding: str) -> bytes:
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() != "gzip":
        raise ServingError(f"Content-Encoding {encoding} is not supported, only gzip")
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = decompressor.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise ServingError(f"Request body is not gzip data: {error}") from None
    if len(text) > MAX_BODY_BYTES:
        raise _body_too_large()
    if not decompressor.eof:
        raise ServingError("Request body is not gzip data: it ends too early")
    return text


def _body_too_large() -> HTTPException:
    return HTTPException(
        413,
        f"Request body is larger than {MAX_BODY_BYTES // 2**20} MiB: send fewer or"
        " smaller pictures at a time",
    )


def _tensor_spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    return TensorSpec(
        # DT_FLOAT is "float" in TF Serving's texts.
        dtype=types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower(),
        shape=None if shape.unknown_rank else tuple(dim.size for dim in shape.dim),
    )


def _first_meaningful_line(message: str) -> str:
    """Pick what went wrong out of TensorFlow's report of where it went wrong."""
    # What went wrong ends the part before the first graph node; tracebacks, if
    # any, come ahead of it.
    head = re.split(r"\s*\[\[\{\{(?:function_)?node", message, maxsplit=1)[0]
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    line = lines[-1] if lines else message.strip()
    return re.sub(r"^(\(\d+\) [A-Z_]+:\s*)?(\{\{.*?\}\}\s*)?|\s*\[Op:.*$", "", line)


def _load_failure(folder: Path, error: Exception, remedy: str) -> UserError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(f"the model in {folder} does not load: {reason[0]}; {remedy}")


def _json_response(
    value: Any, status: int = 200, indent: int | None = None
) -> Response:
    # Not Starlette's JSONResponse: it refuses NaN, which TF Serving writes bare.
    return Response(
        json.dumps(value, indent=indent), status, media_type="application/json"
    )


def _error_response(message: str, status: int) -> Response:
    return _json_response({"error": message}, status)


def _page(models: Models, url: str) -> str:
    sections = []
    for name, versions in models.items():
        newest = versions[max(versions)]
        rows = "".join(
            f"<li><code>{html.escape(_signature_text(signature, definition))}</code>"
            for signature, definition in sorted(newest.signature_defs.items())
            if signature != INIT_SIGNATURE
        )
        address = f"{url}/v1/models/{quote(name)}"
        sections.append(
            f"<h2>{html.escape(name)}</h2>"
            f"<p>version {', '.join(str(number) for number in versions)}:"
            f' <a href="{address}">status</a>'
            f' <a href="{address}/metadata">metadata</a></p>'
            f"<ul>{rows}</ul>"
        )
    example = html.escape(
        f'curl -d \'{{"signature_name": .., "inputs": {{INPUT: [..]}}}}\''
        f" {url}/v1/models/{next(iter(models))}:predict"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>tfstyle</title>'
        f"<h1>Models</h1>{''.join(sections)}<h2>Example</h2><pre>{example}</pre>"
        '<p>Bytes are sent as <code>{"b64": "base64"}</code>.</p></html>'
    )


def _signature_text(name: str, definition: Any) -> str:
    def tensors(infos: Mapping[str, Any]) -> str:
        specs = {key: _tensor_spec(infos[key]) for key in sorted(infos)}
        return ", ".join(
            f"{key}: {spec.dtype} {'[?]' if spec.shape is None else list(spec.shape)}"
            for key, spec in specs.items()
        )

    return f"{name}({tensors(definition.inputs)}) -> {tensors(definition.outputs)}"
