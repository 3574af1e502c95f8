"""A client of exported models, for `python -m tfstyle.serve` and TF Serving alike.

    client = Client("http://127.0.0.1:8501")
    client.transfer_style("content.jpg", "style.webp").save("transferred.png")

Needs only NumPy and Pillow. Servers decode JPEG, PNG, BMP and GIF; `picture_bytes`
turns every other picture, and rotated photographs, into one of these.
"""

import base64
import http.client
import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Picture = str | os.PathLike[str] | bytes | Image.Image

EXIF_ORIENTATION = 0x0112
UPRIGHT = 1  # The orientation that needs no rotation.
JPEG_FORMATS = ("JPEG", "MPO")  # MPO: JPEGs in a row, as some cameras write.
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
NUMPY_TYPES = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": np.str_,
}


class ServerError(RuntimeError):
    """A server refused a request or did not answer.

    Attributes:
        status: HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Client:
    """Calls the models of one server.

    Args:
        url: the server's address, such as `http://127.0.0.1:8501`.
        timeout: seconds to wait for an answer.
        batch_size: pictures that the helpers send in one request.
    """

    def __init__(self, url: str, timeout: float = 300.0, batch_size: int = 8):
        if "://" not in url:
            url = f"http://{url}"
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.batch_size = batch_size
        self._output_types: dict[tuple, dict[str, str]] = {}
        handlers = []
        if urllib.parse.urlsplit(url).hostname in LOOPBACK_HOSTS:
            # A proxy from the environment cannot reach this machine's servers.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def status(self, model: str) -> dict[int, str]:
        """Return the state of each version of a model, such as {1: "AVAILABLE"}."""
        answer = self._request(_model_path(model))
        return {
            int(entry["version"]): entry["state"]
            for entry in answer["model_version_status"]
        }

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature_name: str | None = None,
        version: int | None = None,
    ) -> dict[str, Any]:
        """Call a model's signature.

        Args:
            model: its name.
            inputs: arrays or nested lists by input name, batch dimension first;
                bytes are sent as base64.
            signature_name: None for the default signature.
            version: None for the latest.

        Returns:
            By output name, an array of the signature's type, strings as str; or, for
            an output whose name ends in `_bytes`, (nested) lists of bytes.

        Raises:
            ServerError: with the server's text when it refuses the request.
        """
        request: dict[str, Any] = {
            "inputs": {name: _to_json(value) for name, value in inputs.items()}
        }
        if signature_name:
            request["signature_name"] = signature_name
        path = _model_path(model, version)
        outputs = self._request(f"{path}:predict", request)["outputs"]
        types = self._get_output_types(path, signature_name or "serving_default")
        if len(types) == 1:
            # A server leaves out the name of a single output.
            outputs = {next(iter(types)): outputs}
        return {name: _from_json(name, outputs[name], types[name]) for name in types}

    def transfer_style(self, content: Picture, style: Picture) -> Image.Image:
        """Draw one picture's content in another's style."""
        outputs = self.predict(
            "style_transfer",
            {
                "content_bytes": [picture_bytes(content)],
                "style_bytes": [picture_bytes(style)],
            },
        )
        return _open_png(outputs["image_bytes"][0])

    def encode_style(self, pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
        """Find the style codes of pictures and the artists nearest to them.

        Returns:
            `style` float32 [n, style_dims], `nearest_artists` str [n, k],
            `nearest_distances` float32 [n, k], nearest first.
        """
        return self._encode("style_encoder", pictures)

    def encode_content(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Find the content codes of pictures, float32 [n, content_dims]."""
        return self._encode("content_encoder", pictures)["content"]

    def generate(
        self,
        style: Any,
        content: Any,
        seed: int | Sequence[int] = 0,
    ) -> list[Image.Image]:
        """Generate pictures.

        Args:
            style: [n, style_dims], or [style_dims] for all pictures.
            content: [n, content_dims], or [content_dims] for all pictures.
            seed: of the remaining noise, one for all pictures or one for each.

        Returns:
            n pictures.
        """
        style = np.atleast_2d(np.asarray(style, np.float32))
        content = np.atleast_2d(np.asarray(content, np.float32))
        seeds = np.atleast_1d(np.asarray(seed, np.int64))
        (count,) = np.broadcast_shapes(style.shape[:1], content.shape[:1], seeds.shape)
        rows = {
            "style": np.broadcast_to(style, (count, style.shape[1])),
            "content": np.broadcast_to(content, (count, content.shape[1])),
            "seed": np.broadcast_to(seeds, (count,)),
        }
        images = []
        for batch in self._batches(count):
            inputs = {name: values[batch] for name, values in rows.items()}
            outputs = self.predict("generator", inputs, signature_name="sample")
            images += [_open_png(data) for data in outputs["image_bytes"]]
        return images

    def _encode(self, model: str, pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
        if isinstance(pictures, (str, os.PathLike, bytes, Image.Image)):
            raise TypeError(
                f"pictures must be a list of pictures, got {pictures!r:.80}"
            )
        if not len(pictures):
            raise ValueError("pictures must hold a picture, got an empty list")
        answers = [
            self.predict(
                model,
                {"image_bytes": [picture_bytes(each) for each in pictures[batch]]},
            )
            for batch in self._batches(len(pictures))
        ]
        return {
            name: np.concatenate([answer[name] for answer in answers])
            for name in answers[0]
        }

    def _batches(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.batch_size):
            yield slice(start, start + self.batch_size)

    def _get_output_types(self, path: str, signature_name: str) -> dict[str, str]:
        key = (path, signature_name)
        if key not in self._output_types:
            metadata = self._request(f"{path}/metadata")["metadata"]
            signature = metadata["signature_def"]["signature_def"][signature_name]
            self._output_types[key] = {
                name: info["dtype"] for name, info in signature["outputs"].items()
            }
        return self._output_types[key]

    def _request(self, path: str, body: dict | None = None) -> dict[str, Any]:
        """GET, or POST when there is a body; answers and errors are JSON."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ServerError(_error_text(error.read()), error.code) from error
        except json.JSONDecodeError as error:
            raise ServerError(
                f"{self.url} answers, but not in JSON: is it TF Serving's REST port?"
            ) from error
        # URLError and time-outs are OSErrors; an answer that breaks off is not.
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"no answer from {self.url}: {getattr(error, 'reason', error)} (start"
                " a server with: python -m tfstyle.serve --export_dir=EXPORT_DIR)"
            ) from error


def picture_bytes(picture: Picture) -> bytes:
    """Give a picture as bytes that a server decodes as people see it.

    JPEG, PNG and 24-bit BMP files that need no rotation pass unchanged. Of anything
    else, the first frame is rotated upright and encoded: a JPEG again as JPEG, the
    rest as PNG with its transparency and, when grey, its 16 bits.

    Args:
        picture: path, encoded bytes or Pillow image.

    Returns:
        JPEG, PNG or BMP bytes.

    Raises:
        ValueError: for a file that is no picture, or one that cannot be converted.
        OSError: for a file that cannot be opened.
    """
    if isinstance(picture, Image.Image):
        return _encode(ImageOps.exif_transpose(picture), "PNG")
    if isinstance(picture, bytes):
        name, data = f"picture of {len(picture)} bytes", picture
    else:
        name = os.fspath(picture)
        with open(name, "rb") as file:
            data = file.read()
    try:
        with Image.open(io.BytesIO(data)) as image:
            if _is_served_as_it_is(image, data):
                return data
            encoding = "JPEG" if image.format in JPEG_FORMATS else "PNG"
            return _encode(ImageOps.exif_transpose(image), encoding)
    # Pillow's decoders raise more than OSError on damaged files.
    except Exception as error:
        raise ValueError(f"{name}: cannot be read as a picture: {error}") from error


def _is_served_as_it_is(image: Image.Image, data: bytes) -> bool:
    if image.getexif().get(EXIF_ORIENTATION, UPRIGHT) in range(2, 9):
        return False
    if image.format == "BMP":
        # TensorFlow misreads palettes and 16 or 32 bits. The bits per pixel stand
        # at byte 28 of every BMP later than OS/2's.
        return int.from_bytes(data[28:30], "little") == 24
    return image.format == "PNG" or image.format in JPEG_FORMATS


def _encode(image: Image.Image, encoding: str) -> bytes:
    if image.mode == "F":
        raise ValueError("floating-point pictures have no agreed range; convert first")
    if image.mode.startswith("I;16"):
        image = image.convert("I")  # Which Pillow writes as 16-bit PNG.
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("I", "L", "RGB"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if encoding == "JPEG" else {}
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


def _open_png(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _model_path(model: str, version: int | None = None) -> str:
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{version}"


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (np.ndarray, np.generic)):
        return _to_json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_to_json(element) for element in value]
    return value


def _from_json(name: str, value: Any, dtype: str) -> Any:
    if dtype == "DT_STRING" and name.endswith("_bytes"):
        return _decode_base64(value)
    return np.array(value, NUMPY_TYPES[dtype])


def _decode_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_base64(element) for element in value]
    return base64.b64decode(value["b64"])


def _error_text(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:200] or "no reason given"
