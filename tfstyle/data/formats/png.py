"""Read what Pillow leaves out of PNG files, and mend what does not matter in them."""

import dataclasses
import io
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageFile

MAGIC = b"\x89PNG\r\n\x1a\n"

PALETTE = 3  # a color type


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A chunk of a PNG file.

    Attributes:
        kind: such as b"IDAT".
        start: where its data begin.
        data: its data; None for pixels.
        is_whole: whether its checksum is right; True for pixels.
    """

    kind: bytes
    start: int
    data: bytes | None
    is_whole: bool


def read_chunks(file: IO[bytes]) -> Iterator[Chunk]:
    """Read the chunks of a file up to its end, whether this is marked or not."""
    place = len(MAGIC)
    while True:
        file.seek(place)
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(kind) < 4:
            return
        data, is_whole = None, True
        if kind not in (b"IDAT", b"fdAT"):
            data = file.read(size)
            checksum = int.from_bytes(file.read(4), "big")
            is_whole = checksum == zlib.crc32(kind + data)
        yield Chunk(kind, place + 8, data, is_whole)
        if kind == b"IEND":
            return
        place += 8 + size + 4


def read_code_points(file: IO[bytes]) -> tuple[int, int] | None:
    """Return the primaries and the transfer function of a cICP chunk, if any."""
    for chunk in read_chunks(file):
        if chunk.kind == b"IDAT":
            return None
        if chunk.kind == b"cICP" and chunk.data and chunk.is_whole:
            return chunk.data[0], chunk.data[1]
    return None


def drop_damaged_chunks(file: IO[bytes]) -> IO[bytes]:
    """Return the file without optional chunks whose checksum is wrong.

    So do browsers: what is optional does not keep them from showing the picture.
    """
    file.seek(0)
    data, result, copied = file.read(), [], 0
    for chunk in read_chunks(io.BytesIO(data)):
        is_optional = chunk.kind[:1].islower()
        if is_optional and not chunk.is_whole and chunk.data is not None:
            result.append(data[copied : chunk.start - 8])
            copied = chunk.start + len(chunk.data) + 4
    return io.BytesIO(b"".join([*result, data[copied:]]))


def read_transparency(
    image: ImageFile.ImageFile, file: IO[bytes]
) -> Image.Image | None:
    """Return the alpha channel of a picture with a transparent color, else None.

    Pillow compares that color, which has as many bits as the file, with 8 bits. The
    picture must not be loaded yet; it is loaded from `file`.
    """
    key = image.info.get("transparency")
    if key is None or isinstance(key, bytes) or image.mode in ("P", "PA"):
        return None
    rawmode = str(image.tile[0][3])
    values = np.asarray(image)  # this loads it
    bits = {"1": 1, "L;2": 2, "L;4": 4, "I;16B": 16, "RGB;16B": 16}.get(rawmode, 8)
    if rawmode == "RGB;16B":
        values = values.astype(np.uint16) << 8 | _read_low_bytes(file)
    elif bits in (2, 4):
        values = values // (255 // (2**bits - 1))
    is_key = values == np.array(key) % 2**bits
    if is_key.ndim == 3:
        is_key = is_key.all(axis=-1)
    return Image.fromarray(np.where(is_key, 0, 255).astype(np.uint8))


def _read_low_bytes(file: IO[bytes]) -> np.ndarray:
    """Read the low bytes of 16-bit colors, of which Pillow keeps the high ones."""
    file.seek(0)
    with Image.open(file, formats=["PNG"]) as image:
        # A reader of the other byte order takes the other byte for the high one.
        image.tile = [image.tile[0]._replace(args="RGB;16L")]
        return np.asarray(image)
