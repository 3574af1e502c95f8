"""Read PNG files: what their picture depends on, checked, and what they state of it."""

import dataclasses
import math
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from tfstyle.data.formats.errors import PictureError, SizeCheck

MAGIC = b"\x89PNG\r\n\x1a\n"

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6  # color types
_CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
_BITS = {GRAY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}
# Column and row of the first pixel of a pass, and steps between its pixels.
_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = (
    ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
    + ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
)  # fmt: skip
# Chunks on which pixels depend; others are left out if they are damaged.
_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
_COLORS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_MAX_PROFILE = 2**25  # bytes
_STEP = 2**20
_FULL_RANGE_RGB = b"\0\1"


@dataclasses.dataclass(frozen=True)
class Png:
    """A PNG file.

    Attributes:
        data: the file without chunks that do not change its pixels.
        is_ended: whether its pixels end with their checksum.
        bits: of a sample.
        color_type: one of those above.
        has_transparency: whether a tRNS chunk counts.
        code_points: primaries and transfer function of its cICP chunk, if any.
        profile: the data of its iCCP chunk, if they can be decompressed.
        is_srgb: whether it has a sRGB chunk.
        gamma: of its gAMA chunk, if any.
        chromaticities: x, y of white, red, green and blue of its cHRM chunk, if any.
        exif: the TIFF structure of its eXIf chunk; empty if there is none.
    """

    data: bytes
    is_ended: bool
    bits: int
    color_type: int
    has_transparency: bool
    code_points: tuple[int, int] | None
    profile: bytes | None
    is_srgb: bool
    gamma: float | None
    chromaticities: tuple[float, ...] | None
    exif: bytes


class _Header(NamedTuple):
    """The numbers of the IHDR chunk."""

    width: int
    height: int
    bits: int
    color_type: int
    compression: int
    filtering: int
    interlacing: int

    def is_valid(self) -> bool:
        return (
            min(self.width, self.height) > 0
            and self.color_type in _CHANNELS
            and self.bits in _BITS.get(self.color_type, (8, 16))
            and self.compression == self.filtering == 0
            and self.interlacing in (0, 1)
        )

    def count_bytes(self) -> int:
        """Return how many bytes the rows have with their filters."""
        total, bits = 0, self.bits * _CHANNELS[self.color_type]
        for x, y, right, down in _ADAM7 if self.interlacing else _WHOLE:
            columns, rows = -(-(self.width - x) // right), -(-(self.height - y) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + math.ceil(columns * bits / 8))
        return total


class _Chunk(NamedTuple):
    """A chunk; whether its checksum is right, and whether the file ends in it."""

    kind: bytes
    data: bytes
    is_whole: bool
    is_cut: bool


def read_png(file: IO[bytes], check_size: SizeCheck) -> Png:
    """Read the chunks of a file, and check those on which its pixels depend.

    As in libpng, the first chunk of a kind counts, if it has a valid size and stands
    where it may. What a chunk says that is optional and damaged is ignored.

    Args:
        file: the file.
        check_size: is called before pixels are read.

    Raises:
        PictureError: a chunk is damaged or missing, or pixels are.
    """
    file.seek(len(MAGIC))
    chunks = _read_chunks(file)
    first = next(chunks, None)
    if first is None or first.kind != b"IHDR" or len(first.data) != 13:
        raise _damage("its header")
    header = _Header(*struct.unpack(">IIBBBBB", first.data))
    if not first.is_whole or not header.is_valid():
        raise _damage("its header")
    check_size(header.width, header.height, header.bits * _CHANNELS[header.color_type])
    found, pixels, exif = _sort(chunks, header)
    palette, alphas = found.get(b"PLTE", b""), found.get(b"tRNS")
    if header.color_type == PALETTE and not palette:
        raise _damage("its palette")
    is_ended = _check_pixels(pixels, header)
    gamma = _read_numbers(found.get(b"gAMA", b""), 1)
    parts = [MAGIC, _write_chunk(b"IHDR", first.data)]
    if header.color_type == PALETTE:
        parts.append(_write_chunk(b"PLTE", palette))
    if alphas is not None:
        parts.append(_write_chunk(b"tRNS", alphas))
    parts += [_write_chunk(b"IDAT", part) for part in pixels]
    return Png(
        b"".join([*parts, _write_chunk(b"IEND", b"")]),
        is_ended,
        header.bits,
        header.color_type,
        alphas is not None,
        _read_code_points(found.get(b"cICP", b"")),
        _read_profile(found.get(b"iCCP", b"")),
        b"sRGB" in found,
        gamma[0] if gamma else None,
        _read_numbers(found.get(b"cHRM", b""), 8),
        exif,
    )


def _read_chunks(file: IO[bytes]) -> Iterator[_Chunk]:
    """Read the chunks up to the end of the file, whether this is marked or not."""
    while True:
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if not (len(kind) == 4 and kind.isalpha()) or kind == b"IEND":
            return
        data = file.read(size)
        checksum = file.read(4)
        is_whole = checksum == zlib.crc32(kind + data).to_bytes(4, "big")
        yield _Chunk(kind, data, is_whole, len(checksum) < 4)


def _sort(
    chunks: Iterator[_Chunk], header: _Header
) -> tuple[dict[bytes, bytes], list[bytes], bytes]:
    """Return the chunks before the pixels that count, the pixels, and the Exif data."""
    found: dict[bytes, bytes] = {}
    pixels: list[bytes] = []
    exif: bytes | None = None
    are_pixels_over = False
    for kind, data, is_whole, is_cut in chunks:
        are_pixels_over |= bool(pixels) and kind != b"IDAT"
        if kind == b"eXIf" and is_whole and exif is None:
            exif = data
        if are_pixels_over:
            continue
        if kind in _PICTURE and is_cut:
            raise PictureError("truncated", f"the file ends in its {kind.decode()}")
        if kind in _PICTURE and not is_whole:
            raise _damage(f"its {kind.decode()} chunk")
        if kind == b"IDAT":
            pixels.append(data)
        elif kind == b"PLTE":
            is_valid = len(data) % 3 == 0 and 0 < len(data) <= 768
            if kind in found or not (is_valid or header.color_type != PALETTE):
                raise _damage("its palette")
            found[kind] = data
            if header.color_type != GRAY:
                found.pop(b"tRNS", None)  # it must follow the palette
        elif kind[:1].isupper():
            raise PictureError("unsupported", f"PNG with a chunk {kind.decode()}")
        elif is_whole and kind not in found and _counts(kind, data, found, header):
            found[kind] = data
    return found, pixels, exif or b""


def _counts(
    kind: bytes, data: bytes, found: dict[bytes, bytes], header: _Header
) -> bool:
    """Return whether libpng heeds an optional chunk that precedes the pixels."""
    color_type = header.color_type
    if kind == b"tRNS":
        if color_type == PALETTE:
            return 0 < len(data) <= len(found.get(b"PLTE", b"")) // 3
        return len(data) == {GRAY: 2, RGB: 6}.get(color_type)
    return kind in _COLORS and b"PLTE" not in found


def _check_pixels(parts: list[bytes], header: _Header) -> bool:
    """Check that the compressed pixels are whole, without keeping them.

    Returns:
        Whether the end of the compressed data was reached.

    Raises:
        PictureError: they are damaged, or rows are missing.
    """
    count, needed, stream = 0, header.count_bytes(), zlib.decompressobj()
    try:
        for part in parts:
            rest = part
            while rest and count <= needed and not stream.eof:
                count += len(stream.decompress(rest, _STEP))
                rest = stream.unconsumed_tail
        if count < needed:
            count += len(stream.flush())
    except zlib.error as error:
        raise _damage("its pixels") from error
    if count < needed:
        raise PictureError("truncated", f"{count} of {needed} bytes of pixels")
    return stream.eof


def _damage(what: str) -> PictureError:
    return PictureError("unreadable", f"a damaged PNG file: {what}")


def _write_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _read_code_points(data: bytes) -> tuple[int, int] | None:
    """Read a cICP chunk. Only those of RGB in full range are valid."""
    return (data[0], data[1]) if data[2:] == _FULL_RANGE_RGB else None


def _read_profile(data: bytes) -> bytes | None:
    """Decompress the profile of an iCCP chunk, which follows its name."""
    _, separator, rest = data.partition(b"\0")
    if not separator or rest[:1] != b"\0":
        return None
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(rest[1:], _MAX_PROFILE)
    except zlib.error:
        return None
    return profile if stream.eof else None


def _read_numbers(data: bytes, count: int) -> tuple[float, ...] | None:
    if len(data) != 4 * count:
        return None
    return tuple(number / 100_000 for number in struct.unpack(f">{count}I", data))


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
