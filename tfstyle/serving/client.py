"""A client of exported models, for `python -m tfstyle.serve` and TF Serving alike.

    client = Client("http://127.0.0.1:8501")
    client.transfer_style("content.jpg", "style.webp").save("transferred.png")

This module needs only NumPy and Pillow. Servers decode JPEG, PNG, BMP and GIF;
`convert_picture` converts all other formats, and rotated photographs, to one of these.
"""

import base64
import http.client
import io
import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Picture = str | os.PathLike[str] | bytes | Image.Image

EXIF_ORIENTATION = 0x0112
JPEG_FORMATS = ("JPEG", "MPO")  # MPO: several JPEGs in a file, as some cameras write
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
# Types that NumPy has other names for.
NUMPY_NAMES = {"float": "float32", "string": "str"}


class ServerError(RuntimeError):
    """A server refused a request, or did not answer: then `status` is None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Calls the models of a server, such as `http://127.0.0.1:8501`.

    It waits `timeout` seconds for an answer, and sends at most `batch_size` pictures in
    a request.
    """

    def __init__(self, url: str, timeout: float = 300.0, batch_size: int = 8) -> None:
        if "://" not in url:
            url = f"http://{url}"
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.batch_size = batch_size
        self._output_types: dict[tuple[str, str], dict[str, str]] = {}
        # A proxy of the environment cannot reach this machine.
        is_local = urllib.parse.urlsplit(url).hostname in LOOPBACK_HOSTS
        handlers = [urllib.request.ProxyHandler({})] if is_local else []
        self._opener = urllib.request.build_opener(*handlers)

    def get_status(self, model: str) -> dict[int, str]:
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
        """Call a signature of a model, in its latest version by default.

        Inputs are arrays or nested lists by name, batch dimension first; bytes are sent
        in base64.

        Returns:
            An array for each output, strings as str; or (nested) lists of bytes for an
            output whose name ends in `_bytes`.

        Raises:
            ServerError: the server refused the request or did not answer.
        """
        request: dict[str, Any] = {"inputs": dict(inputs)}
        if signature_name:
            request["signature_name"] = signature_name
        path = _model_path(model, version)
        outputs = self._request(f"{path}:predict", request)["outputs"]
        types = self._get_output_types(path, signature_name or "serving_default")
        if len(types) == 1:
            # A server omits the name of a single output.
            outputs = {next(iter(types)): outputs}
        return {name: _from_json(name, outputs[name], types[name]) for name in types}

    def transfer_style(self, content: Picture, style: Picture) -> Image.Image:
        """Draw the content of a picture in the style of another."""
        outputs = self.predict(
            "style_transfer",
            {
                "content_bytes": [convert_picture(content)],
                "style_bytes": [convert_picture(style)],
            },
        )
        return _open_png(outputs["image_bytes"][0])

    def encode_style(self, pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
        """Compute the style codes of pictures, and find the nearest artists.

        Returns:
            `style` float32 [n, style], `nearest_artists` str [n, k] and
            `nearest_distances` float32 [n, k], nearest first.
        """
        return self._encode("style_encoder", pictures)

    def encode_content(self, pictures: Sequence[Picture]) -> np.ndarray:
        """Compute the content codes of pictures, float32 [n, content]."""
        return self._encode("content_encoder", pictures)["content"]

    def generate(
        self, style: Any, content: Any, seed: int | Sequence[int] = 0
    ) -> list[Image.Image]:
        """Generate n pictures from styles [n, style] and contents [n, content].

        `seed` is [n] seeds of the noise. Without their first dimension, all three apply
        to all pictures.
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

    def draw(self, seeds: Sequence[int]) -> list[Image.Image]:
        """Generate a picture from the random style and content of each seed."""
        images = []
        for batch in self._batches(len(seeds)):
            inputs = {"seed": np.asarray(seeds[batch], np.int64)}
            outputs = self.predict("generator", inputs, signature_name="draw")
            images += [_open_png(data) for data in outputs["image_bytes"]]
        return images

    def _encode(self, model: str, pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
        if isinstance(pictures, (str, os.PathLike, bytes, Image.Image)):
            raise TypeError(
                f"pictures must be a list of pictures, got {pictures!r:.80}"
            )
        if not len(pictures):
            raise ValueError("pictures must not be empty, got []")
        answers = [
            self.predict(
                model,
                {"image_bytes": [convert_picture(item) for item in pictures[batch]]},
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
                name: info["dtype"].removeprefix("DT_").lower()
                for name, info in signature["outputs"].items()
            }
        return self._output_types[key]

    def _request(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Send GET, or POST with a body; answers and errors are JSON."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body, default=_to_json).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise ServerError(_read_error(error.read()), error.code) from error
        except json.JSONDecodeError as error:
            raise ServerError(
                f"the answer of {self.url} is not JSON: is it TF Serving's REST port?"
            ) from error
        # URLError and timeouts are OSErrors; a truncated answer is not.
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(
                f"no answer from {self.url}: {getattr(error, 'reason', error)} (start"
                " a server with: python -m tfstyle.serve --export_dir=EXPORT_DIR)"
            ) from error


def convert_picture(picture: Picture) -> bytes:
    """Convert a picture to bytes that a server decodes as people see the picture.

    JPEG, PNG and 24-bit BMP files that need no rotation are not changed. Of all others,
    the first frame is rotated upright and encoded: JPEG as JPEG, the rest as PNG with
    transparency and, if gray, with 16 bits.

    Raises:
        ValueError: the file is not a picture, or cannot be converted.
        OSError: the file cannot be opened.
    """
    if isinstance(picture, Image.Image):
        return _encode(ImageOps.exif_transpose(picture), "PNG")
    if isinstance(picture, bytes):
        name, data = f"picture of {len(picture)} bytes", picture
    else:
        name = os.fspath(picture)
        data = pathlib.Path(picture).read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as image:
            if _is_decodable(image, data):
                return data
            encoding = "JPEG" if image.format in JPEG_FORMATS else "PNG"
            return _encode(ImageOps.exif_transpose(image), encoding)
    # Pillow's decoders raise more than OSError for corrupt files.
    except Exception as error:
        raise ValueError(f"{name}: cannot be read as a picture: {error}") from error


def _is_decodable(image: Image.Image, data: bytes) -> bool:
    """Return whether a server decodes the file as people see it."""
    if image.getexif().get(EXIF_ORIENTATION) in range(2, 9):
        return False
    if image.format == "BMP":
        # TensorFlow misreads palettes and 16 or 32 bits. Byte 28 holds the bits per
        # pixel, except in BMPs of OS/2.
        return int.from_bytes(data[28:30], "little") == 24
    return image.format == "PNG" or image.format in JPEG_FORMATS


def _encode(image: Image.Image, encoding: str) -> bytes:
    if image.mode == "F":
        raise ValueError("floating-point pictures have no standard range")
    if image.mode.startswith("I;16"):
        image = image.convert("I")  # which Pillow writes as 16-bit PNG
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("I", "L", "RGB"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    # PNG has neither option and ignores them.
    image.save(buffer, encoding, quality=95, subsampling=0)
    return buffer.getvalue()


def _open_png(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _model_path(model: str, version: int | None = None) -> str:
    path = f"/v1/models/{urllib.parse.quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{version}"


def _to_json(value: Any) -> Any:
    """Convert what `json` cannot write: bytes and NumPy values."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _from_json(name: str, value: Any, dtype: str) -> Any:
    if dtype == "string" and name.endswith("_bytes"):
        return _decode_base64(value)
    return np.array(value, NUMPY_NAMES.get(dtype, dtype))


def _decode_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode_base64(element) for element in value]
    return base64.b64decode(value["b64"])


def _read_error(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:200] or "no reason given"
