"""TF Serving's REST API over a folder of SavedModels, for machines without TF Serving.

    POST /v1/models/NAME[/versions/N]:predict     call a signature
    GET  /v1/models/NAME[/versions/N]             status of the versions
    GET  /v1/models/NAME[/versions/N]/metadata    signatures
    GET  /                                        page that lists the models

This is the whole API, and it does not grow. Routes, answers, error messages and HTTP
codes are TF Serving's (`json_tensors` converts requests and answers). Labels are
unknown, and :classify and :regress are refused, as TF Serving does with models that
define neither. For gRPC, batching of requests or polling for new versions, use TF
Serving itself: it serves the same folder.
"""

import json
import os
import pathlib
import re
import zlib
from typing import Any

import anyio
import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, request_response

from tfstyle.serving import json_tensors, servables
from tfstyle.serving.json_tensors import ServingError

MAX_BODY_BYTES = 64 * 2**20
# Methods of signatures that no exported model has, and what they compute.
OTHER_METHODS = {"classify": "classification", "regress": "regression"}
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
}  # all others: 500
_PAGE = jinja2.Template(
    pathlib.Path(__file__).with_name("models.html.jinja").read_text(),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_MODEL_PATH = r"/v1/models(?:/(?P<name>[^/:]+))?"
_VERSION_PATH = r"(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
PREDICT_PATH = re.compile(
    rf"(?i:{_MODEL_PATH}{_VERSION_PATH}:(?P<method>predict|classify|regress))"
)
STATUS_PATH = re.compile(rf"(?i:{_MODEL_PATH}{_VERSION_PATH}(?P<metadata>/metadata)?)")


def make_app(export_dir: str | os.PathLike[str]) -> Starlette:
    """Make the server, an ASGI application; `app.state.models` holds the models.

    Raises:
        UserError: as `servables.find_models`.
    """
    app = Starlette(
        routes=[Route("/", _show_page)],
        exception_handlers=dict.fromkeys(
            (ServingError, HTTPException, Exception), _answer_error
        ),
    )
    app.router.default = request_response(_answer)
    app.state.models = servables.find_models(export_dir)
    # Each call uses all cores already: more calls at a time only need more memory.
    app.state.limiter = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))
    return app


async def _answer(request: Request) -> Response:
    state, method, path = request.app.state, request.method, request.url.path
    if method == "POST" and (match := PREDICT_PATH.fullmatch(path)):
        body = await _read_body(request)
        encoding = request.headers.get("content-encoding", "")
        # Parsing megabytes of JSON would block the event loop as well.
        value = await anyio.to_thread.run_sync(
            _predict, state.models, match, body, encoding, limiter=state.limiter
        )
        return _json_response(value)
    if method == "GET" and (match := STATUS_PATH.fullmatch(path)):
        if not match["name"]:
            raise ServingError("Missing model name in request.")
        describe = _describe_metadata if match["metadata"] else _describe_status
        return _json_response(describe(state.models, match), indent=2)
    if path.lower().startswith("/v1/"):
        raise ServingError(f"Malformed request: {method} {path}")
    raise ServingError(f"Not found: {method} {path}", "NOT_FOUND")


async def _show_page(request: Request) -> Response:
    url = str(request.base_url).rstrip("/")
    return HTMLResponse(_PAGE.render(models=request.app.state.models, url=url))


def _predict(
    models: servables.Models, path: re.Match[str], body: bytes, encoding: str
) -> dict[str, Any]:
    request = _parse_request(_decompress(body, encoding))
    signature_name = request.get("signature_name", "")
    servable = _get_servable(models, path)
    method = path["method"].lower()
    if method in OTHER_METHODS:
        raise ServingError(
            f"Expected {OTHER_METHODS[method]} signature method_name to be"
            f" tensorflow/serving/{method}. Was: {servable.get_method(signature_name)}"
        )
    specs = servable.get_inputs(signature_name)
    layout, inputs = json_tensors.read_request(request, specs)
    outputs = servable.predict(signature_name, inputs)
    return json_tensors.make_answer(outputs, layout)


def _get_servable(models: servables.Models, path: re.Match[str]) -> servables.Servable:
    _refuse_label(path)
    version = int(path["version"]) if path["version"] else None
    return servables.get_servable(models, path["name"] or "", version)


def _describe_status(models: servables.Models, path: re.Match[str]) -> dict[str, Any]:
    name, version = path["name"], path["version"]
    _refuse_label(path)
    versions = sorted(models.get(name, {}), reverse=True)
    if not versions:
        raise ServingError(f"Could not find any versions of model {name}", "NOT_FOUND")
    if version:
        if int(version) not in versions:
            raise ServingError(
                f"Could not find version {int(version)} of model {name}", "NOT_FOUND"
            )
        versions = [int(version)]
    state = {
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return {
        "model_version_status": [{"version": str(n), **state} for n in versions],
    }


def _describe_metadata(models: servables.Models, path: re.Match[str]) -> dict[str, Any]:
    servable = _get_servable(models, path)
    return {
        "model_spec": {
            "name": servable.name,
            "signature_name": "",
            "version": str(servable.version),
        },
        # Nested, as in TF Serving: the key of a map, then the field of its message.
        "metadata": {"signature_def": {"signature_def": servable.get_metadata()}},
    }


def _refuse_label(path: re.Match[str]) -> None:
    if path["label"]:
        raise ServingError(f"Unrecognized servable version label: {path['label']}")


async def _read_body(request: Request) -> bytes:
    chunks, size = [], 0
    # Read to the end even if it is too large: a client that is still sending would get
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
        raise ServingError("Request body is not gzip data: it is truncated")
    return text


def _parse_request(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; "signature_name" is a string if it is there."""
    if not body:
        raise _parse_error("The document is empty")
    try:
        request = json.loads(body.decode())
    except UnicodeDecodeError as error:
        # Usually a picture that was posted without JSON around it.
        raise _parse_error(f"Invalid value. at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        text = "Invalid value." if error.msg == "Expecting value" else error.msg
        raise _parse_error(f"{text} at offset: {error.pos}") from None
    except (RecursionError, ValueError) as error:
        # Nested too deeply, or an integer with thousands of digits.
        raise _parse_error(str(error)) from None
    if not isinstance(request, dict):
        raise ServingError(f"JSON Value: {json_tensors.quote(request)} Is not object")
    if not isinstance(request.get("signature_name", ""), str):
        raise ServingError(
            f"JSON Value: {json_tensors.quote(request)} not formatted correctly."
            " 'signature_name' key must be a string value."
        )
    return request


def _parse_error(reason: str) -> ServingError:
    return ServingError(f"JSON Parse error: {reason}")


def _body_too_large() -> HTTPException:
    return HTTPException(
        413,
        f"Request body is larger than {MAX_BODY_BYTES // 2**20} MiB: send fewer or"
        " smaller pictures at a time",
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ServingError):
        message, status = error.message, HTTP_STATUS.get(error.code, 500)
    elif isinstance(error, HTTPException):
        message, status = error.detail, error.status_code
    else:
        message, status = f"{type(error).__name__}: {error}", 500
    return _json_response({"error": message}, status)


def _json_response(
    value: Any, status: int = 200, indent: int | None = None
) -> Response:
    # Not Starlette's JSONResponse: it refuses NaN, which TF Serving writes bare.
    text = json.dumps(value, indent=indent)
    return Response(text, status, media_type="application/json")
