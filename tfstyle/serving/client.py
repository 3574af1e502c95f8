"""A client of exported models, for `python -m tfstyle.serve` and TF Serving alike.

    client = Client("http://127.0.0.1:8501")
    client.transfer_style("content.jpg", "style.webp").save("transferred.png")

Importing this module does not import TensorFlow. `convert_picture` converts what a
server cannot decode as the records were made.
"""

import base64
import http.client
import io
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
from PIL import Image

from tfstyle.data import pictures as conversion
from tfstyle.data.pictures.plain import make_plain

# A path, a file's content, an open file, an array uint8 [height, width(, 3 or 4)] or a
# Pillow picture.
Picture = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | np.ndarray
    | Image.Image
)

# What tfstyle.serve accepts in a request, with room for the JSON around pictures.
MAX_PICTURE_CHARACTERS = 63 * 2**20
MAX_ROWS = 256
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
    a request, fewer if they are large.
    """

    def __init__(self, url: str, timeout: float = 300.0, batch_size: int = 8) -> None:
        if "://" not in url:
            url = f"http://{url}"
        self.url = url.rstrip("/")
        self.timeout = timeout
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
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
        pair = [convert_picture(content), convert_picture(style)]
        _check_size(pair)
        inputs = {"content_bytes": pair[:1], "style_bytes": pair[1:]}
        outputs = self.predict("style_transfer", inputs)
        return _open_png(outputs["image_bytes"][0])

    def encode_style(self, pictures: Iterable[Picture]) -> dict[str, np.ndarray]:
        """Compute the style codes of pictures, and find the nearest artists.

        Returns:
            `style` float32 [n, style], `nearest_artists` str [n, k] and
            `nearest_distances` float32 [n, k], nearest first.
        """
        return self._encode("style_encoder", pictures)

    def encode_content(self, pictures: Iterable[Picture]) -> np.ndarray:
        """Compute the content codes of pictures, float32 [n, content]."""
        return self._encode("content_encoder", pictures)["content"]

    def generate(
        self, style: Any, content: Any, seed: int | Sequence[int] = 0
    ) -> list[Image.Image]:
        """Generate n pictures from styles [n, style] and contents [n, content].

        `seed` is [n] seeds of the noise. Without their first dimension, all three apply
        to all pictures.
        """
        style, content = _read_codes("style", style), _read_codes("content", content)
        seeds = np.atleast_1d(_read_seeds(seed))
        sizes = [len(style), len(content), len(seeds)]
        count = max(sizes)
        if not {1, count}.issuperset(sizes):
            raise ValueError(
                "style, content and seed must have the same number of rows, or a single"
                f" one; got {', '.join(map(str, sizes))}"
            )
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
        seeds = np.atleast_1d(_read_seeds(seeds))
        images = []
        for batch in self._batches(len(seeds)):
            inputs = {"seed": seeds[batch]}
            outputs = self.predict("generator", inputs, signature_name="draw")
            images += [_open_png(data) for data in outputs["image_bytes"]]
        return images

    def _encode(self, model: str, pictures: Iterable[Picture]) -> dict[str, np.ndarray]:
        is_array = isinstance(pictures, np.ndarray) and pictures.ndim < 4
        if is_array or isinstance(
            pictures, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
        ):
            name = conversion.describe_source(pictures)
            raise TypeError(f"pictures must be a list of pictures, got {name!r}")
        answers = [
            self.predict(model, {"image_bytes": batch})
            for batch in self._convert_batches(pictures)
        ]
        if not answers:
            raise ValueError("pictures must not be empty, got []")
        return {
            name: np.concatenate([answer[name] for answer in answers])
            for name in answers[0]
        }

    def _convert_batches(self, pictures: Iterable[Picture]) -> Iterator[list[bytes]]:
        """Convert pictures, in batches that a server accepts."""
        batch: list[bytes] = []
        for picture in pictures:
            data = convert_picture(picture)
            _check_size([data])
            characters = sum(map(_count_characters, [*batch, data]))
            if batch and (
                len(batch) >= min(self.batch_size, MAX_ROWS)
                or characters > MAX_PICTURE_CHARACTERS
            ):
                yield batch
                batch = []
            batch.append(data)
        if batch:
            yield batch

    def _batches(self, count: int) -> Iterator[slice]:
        size = min(self.batch_size, MAX_ROWS)
        for start in range(0, count, size):
            yield slice(start, start + size)

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
        # URLError is an OSError; a truncated answer is not.
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ServerError(
                    f"timed out: no answer from {self.url} within {self.timeout:g}"
                    " seconds (raise Client's timeout, or send fewer or smaller"
                    " pictures)"
                ) from error
            raise ServerError(
                f"no answer from {self.url}: {reason} (start"
                " a server with: python -m tfstyle.serve --export_dir=EXPORT_DIR)"
            ) from error


def convert_picture(picture: Picture) -> bytes:
    """Convert a picture to bytes that a server decodes as the records were made.

    JPEG, PNG and BMP files that a server decodes so are not changed, but for a color
    profile that changes nothing. All others are converted like the pictures of records
    (the first frame, upright, in sRGB, with 8 bits) and encoded as PNG, with their
    transparency.

    Args:
        picture: a path, the content of a file, a file that is open for reading bytes,
            an array uint8 [height, width], [.., 3] RGB or [.., 4] RGBA, or a picture
            of Pillow's.

    Raises:
        ValueError: it is no picture, or cannot be converted.
        TypeError: it is of another type.
        OSError: the file cannot be opened.
    """
    try:
        if isinstance(picture, Image.Image):
            return _encode(conversion.normalize(picture))
        if hasattr(picture, "__array__"):
            return _encode(conversion.make_picture(np.asarray(picture)))
        data = conversion.read_source(picture)
        plain = make_plain(data)
        if plain is None:
            plain = _encode(conversion.read_picture(io.BytesIO(data)))
        return plain
    except conversion.PictureError as error:
        name = conversion.describe_source(picture)
        raise ValueError(f"{name}: cannot be read as a picture: {error}") from error


def _read_codes(name: str, values: Any) -> np.ndarray:
    """Convert codes to float32 [n, size]."""
    try:
        with np.errstate(over="ignore"):
            codes = np.atleast_2d(np.asarray(values, np.float32))
    except (TypeError, ValueError):
        codes = np.array(np.nan)
    if codes.ndim != 2 or not np.isfinite(codes).all():
        text = " ".join(str(values).split())
        raise ValueError(
            f"{name} must be finite numbers [n, {name}] or [{name}], got {text:.80}"
        )
    return codes


def _read_seeds(values: Any) -> np.ndarray:
    """Convert seeds to int64 [n] or []."""
    try:
        seeds = np.asarray(values)
    except ValueError:  # lists of different lengths
        seeds = np.array("")
    limits = np.iinfo(np.int64)
    is_known = seeds.ndim < 2 and (seeds.dtype.kind in "iu" or not seeds.size)
    if not is_known or (seeds.size and int(seeds.max()) > limits.max):
        text = " ".join(str(values).split())
        raise ValueError(
            f"seed must be integers from {limits.min} to {limits.max}, got {text:.80}"
        )
    return seeds.astype(np.int64)


def _encode(image: Image.Image) -> bytes:
    """Encode RGB or RGBA as PNG; opaque pictures that do not fit a request as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    too_large = _count_characters(buffer.getvalue()) > MAX_PICTURE_CHARACTERS // 2
    if too_large and image.mode == "RGB":
        return conversion.encode_picture(image, "jpeg")
    return buffer.getvalue()


def _count_characters(data: bytes) -> int:
    """Return the length of data in base64, in quotes and braces."""
    return 4 * -(-len(data) // 3) + 16


def _check_size(pictures: Sequence[bytes]) -> None:
    """Raise ValueError if pictures do not fit a request."""
    characters = sum(map(_count_characters, pictures))
    if characters > MAX_PICTURE_CHARACTERS:
        raise ValueError(
            f"{sum(map(len, pictures)) / 2**20:.0f} MiB of pictures do not fit a"
            f" request ({MAX_PICTURE_CHARACTERS * 3 // 4 // 2**20} MiB): send smaller"
            " ones"
        )


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
