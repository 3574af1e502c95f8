"""TF Serving's REST API over a folder of SavedModels, for machines without TF Serving.

    POST /v1/models/NAME[/versions/N]:predict     call a signature
    GET  /v1/models/NAME[/versions/N]             status of the versions
    GET  /v1/models/NAME[/versions/N]/metadata    signatures
    GET  /                                        page that lists the models

This is the whole API, and it does not grow. Routes, answers, error messages and HTTP
codes are TF Serving's (`json_tensors` converts requests and answers). Like there, HEAD
is refused, and OPTIONS too unless other web sites may call the server (CORS). Labels
are unknown, and :classify and :regress are refused, as TF Serving does with models that
define neither. A request has a limited number of rows, which are computed in batches.
For gRPC, batching of requests or polling for new versions, use TF
Serving itself: it serves the same folder.
"""

import json
import os
import pathlib
import re
import zlib
from collections.abc import Mapping
from typing import Any

import anyio
import jinja2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, request_response

from tfstyle.data import headers
from tfstyle.serving import json_tensors, servables
from tfstyle.serving.connections import RareLine
from tfstyle.serving.json_tensors import ServingError

MAX_BODY_BYTES = 64 * 2**20
# Of all requests that are arriving or waiting at a time.
MAX_WAITING_BYTES = 8 * MAX_BODY_BYTES
# Of a body that is too large, the rest is read so that the client reads the error.
MAX_IGNORED_BYTES = 4 * MAX_BODY_BYTES
MAX_BATCH_SIZE = 256  # rows of a request
# Of a request: each takes up to 200 bytes of memory, and some microseconds.
MAX_VALUES = 2**21
MAX_PIXELS = 50_000_000  # of a picture; decoding takes about 50 bytes for each
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
# Methods of signatures that no exported model has, and what they compute.
OTHER_METHODS = {"classify": "classification", "regress": "regression"}
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "DATA_LOSS": 400,  # a damaged profile in a picture; TF Serving answers 500
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


def make_app(
    export_dir: str | os.PathLike[str],
    *,
    max_batch_size: int = MAX_BATCH_SIZE,
    max_pixels: int = MAX_PIXELS,
    allow_cors: bool = False,
) -> Starlette:
    """Make the server, an ASGI application; `app.state.models` holds the models.

    Args:
        export_dir: the models.
        max_batch_size: rows of a request, at most.
        max_pixels: pixels of a picture, at most, by its header.
        allow_cors: whether pages of other web sites may call the server.

    Raises:
        UserError: as `servables.find_models`.
    """
    app = Starlette(
        routes=[Route("/", _show_page)],
        exception_handlers={
            **dict.fromkeys((ServingError, HTTPException, Exception), _answer_error),
            ClientDisconnect: _note_disconnect,
        },
    )
    app.state.max_batch_size = max_batch_size
    app.state.max_pixels = max_pixels
    app.state.allow_cors = allow_cors
    app.state.waiting_bytes = 0
    app.router.default = request_response(_answer)
    app.state.models = servables.find_models(export_dir)
    # Each call uses all cores already: more calls at a time only need more memory.
    app.state.limiter = anyio.CapacityLimiter(max(2, os.cpu_count() or 1))
    return app


async def _answer(request: Request) -> Response:
    state, method, path = request.app.state, request.method, request.url.path
    if method == "POST" and (match := PREDICT_PATH.fullmatch(path)):
        return await _answer_predict(request, match)
    if method == "GET" and (match := STATUS_PATH.fullmatch(path)):
        if not match["name"]:
            raise ServingError("Missing model name in request.")
        describe = _describe_metadata if match["metadata"] else _describe_status
        return _json_response(request, describe(state.models, match), indent=2)
    if method == "OPTIONS" and state.allow_cors and path.lower().startswith("/v1/"):
        return Response(headers=CORS_HEADERS)
    if path.lower().startswith("/v1/"):
        raise ServingError(f"Malformed request: {method} {path}")
    raise ServingError(f"Not found: {method} {path}", "NOT_FOUND")


async def _show_page(request: Request) -> Response:
    url = str(request.base_url).rstrip("/")
    models = servables.list_available(request.app.state.models)
    return HTMLResponse(_PAGE.render(models=models, url=url))


async def _answer_predict(request: Request, path: re.Match[str]) -> Response:
    state = request.app.state
    with _Waiting(state) as waiting:
        body = await _read_body(request, waiting)
        async with state.limiter:
            if await request.is_disconnected():  # it need not be computed any more
                raise ClientDisconnect
            # Parsing megabytes of JSON would block the event loop as well.
            encoding = request.headers.get("content-encoding", "")
            value = await anyio.to_thread.run_sync(
                _predict, state, path, body, encoding
            )
    return _json_response(request, value)


class _Waiting:
    """Counts the bytes of a request that waits; refuses too many of all requests."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._bytes = 0

    def __enter__(self) -> "_Waiting":
        return self

    def __exit__(self, *_: object) -> None:
        self._state.waiting_bytes -= self._bytes

    def add(self, size: int) -> None:
        if self._state.waiting_bytes + size > MAX_WAITING_BYTES:
            raise ServingError(
                "too many requests are waiting: try again", "UNAVAILABLE"
            )
        self._state.waiting_bytes += size
        self._bytes += size


def _predict(
    state: Any, path: re.Match[str], body: bytes, encoding: str
) -> dict[str, Any]:
    request = _parse_request(_decompress(body, encoding))
    signature_name = request.get("signature_name", "")
    servable = _get_servable(state.models, path)
    method = path["method"].lower()
    if method in OTHER_METHODS:
        raise ServingError(
            f"Expected {OTHER_METHODS[method]} signature method_name to be"
            f" tensorflow/serving/{method}. Was: {servable.get_method(signature_name)}"
        )
    specs = servable.get_inputs(signature_name)
    layout, inputs = json_tensors.read_request(request, specs, state.max_batch_size)
    _refuse_large_pictures(inputs, state.max_pixels)
    outputs = servable.predict(signature_name, inputs)
    return json_tensors.make_answer(outputs, layout)


def _refuse_large_pictures(inputs: Mapping[str, Any], max_pixels: int) -> None:
    for name, values in inputs.items():
        for data in values.flat if values.dtype == object else []:
            pixels = headers.count_pixels(data) or 0
            if pixels > max_pixels:
                raise ServingError(
                    f"{name}: a picture of {pixels} pixels is larger than --max_pixels="
                    f"{max_pixels}"
                )


def _get_servable(models: servables.Models, path: re.Match[str]) -> servables.Servable:
    _refuse_label(path)
    version = int(path["version"]) if path["version"] else None
    return servables.get_servable(models, path["name"] or "", version)


def _describe_status(models: servables.Models, path: re.Match[str]) -> dict[str, Any]:
    name, version = path["name"], path["version"]
    _refuse_label(path)
    versions = models.get(name, {})
    if not versions:
        raise ServingError(f"Could not find any versions of model {name}", "NOT_FOUND")
    numbers = sorted(versions, reverse=True)
    if version:
        if int(version) not in versions:
            raise ServingError(
                f"Could not find version {int(version)} of model {name}", "NOT_FOUND"
            )
        numbers = [int(version)]
    return {
        "model_version_status": [_describe_version(versions[n]) for n in numbers],
    }


def _describe_version(servable: servables.Servable) -> dict[str, Any]:
    fault = servable.fault
    code, message = ("UNKNOWN", fault) if fault else ("OK", "")
    return {
        "version": str(servable.version),
        "state": "END" if fault else "AVAILABLE",
        "status": {"error_code": code, "error_message": message},
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


async def _read_body(request: Request, waiting: _Waiting) -> bytes:
    chunks, size = [], 0
    # Read to the end even if it is too large: a client that is still sending would get
    # a broken connection instead of the error.
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            waiting.add(len(chunk))
            chunks.append(chunk)
        elif size > MAX_BODY_BYTES + MAX_IGNORED_BYTES:
            raise _body_too_large({"Connection": "close"})
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
        # Never more than the limit is decompressed.
        text = decompressor.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise ServingError(f"Request body is not gzip data: {error}") from None
    if len(text) > MAX_BODY_BYTES:
        raise _body_too_large()
    if not decompressor.eof:
        raise ServingError("Request body is not gzip data: it is truncated")
    if decompressor.unused_data:
        raise ServingError("Request body is not gzip data: more data follow its end")
    return text


def _parse_request(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; "signature_name" is a string if it is there."""
    if not body:
        raise _parse_error("The document is empty")
    # Base64 has none of these characters.
    if sum(body.count(character) for character in (b",", b"[", b"{")) > MAX_VALUES:
        raise ServingError(f"Request has more than {MAX_VALUES} values")
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


def _body_too_large(headers: dict[str, str] | None = None) -> HTTPException:
    return HTTPException(
        413,
        f"Request body is larger than {MAX_BODY_BYTES // 2**20} MiB: send fewer or"
        " smaller pictures at a time",
        headers,
    )


async def _answer_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ServingError):
        message, status = error.message, HTTP_STATUS.get(error.code, 500)
    elif isinstance(error, HTTPException):
        message, status = error.detail, error.status_code
    else:
        message, status = f"{type(error).__name__}: {error}", 500
    response = _json_response(request, {"error": message}, status)
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response


async def _note_disconnect(request: Request, error: Exception) -> Response:
    _DISCONNECTED.log("a client left before it was answered")
    return Response(status_code=HTTP_STATUS["CANCELLED"])


_DISCONNECTED = RareLine()


def _json_response(
    request: Request, value: Any, status: int = 200, indent: int | None = None
) -> Response:
    # Not Starlette's JSONResponse: it refuses NaN, which TF Serving writes bare.
    text = json.dumps(value, indent=indent)
    headers = CORS_HEADERS if request.app.state.allow_cors else None
    return Response(text, status, headers, media_type="application/json")
