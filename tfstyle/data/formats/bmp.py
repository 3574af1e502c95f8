"""Read BMP files: all palettes, run lengths, bit fields, alpha and profiles.

Pillow reads only some bit fields, misreads small and gray palettes and odd runs, and
ignores profiles.
"""

import dataclasses
import io
import struct
from typing import IO

import numpy as np
from PIL import Image

from tfstyle.data.formats import samples
from tfstyle.data.formats.errors import PictureError, SizeCheck

MAGIC = b"BM"

_FILE_HEADER = 14
_CORE, _V1, _V2, _V3, _V5 = 12, 40, 52, 56, 124  # sizes of headers
_KNOWN_HEADERS = (_CORE, 16, _V1, _V2, _V3, 64, 108, _V5)
_RAW, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_EMBEDDED = b"DEBM"  # "MBED", as a little-endian number
_PIXELS_AT_ONCE = 2**20  # so that little memory is needed
# Of run lengths: what follows a zero.
_END_OF_LINE, _END, _DELTA = 0, 1, 2


def read_bmp(file: IO[bytes], check_size: SizeCheck) -> Image.Image:
    """Read a BMP file.

    Args:
        file: the file; its profile, if any, goes to the `info` of the picture.
        check_size: is called before pixels are read.

    Returns:
        A picture: RGB or RGBA.

    Raises:
        PictureError: the file is truncated, or of a kind that is not supported.
    """
    header = _Header.read(file)
    check_size(header.width, header.height, header.bits)
    if header.bits <= 8:
        pixels = _read_palette(file, header)[_read_indices(file, header)]
    elif header.bits == 24 and header.compression == _RAW:
        rows = _read_rows(file, header)
        pixels = rows[:, : header.width * 3].reshape(header.height, header.width, 3)
        pixels = pixels[..., ::-1]
    else:
        pixels = _read_fields(file, header)
    if not header.is_top_down:
        pixels = pixels[::-1]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if profile := header.read_profile(file):
        image.info["icc_profile"] = profile
    return image


def is_plain(data: bytes) -> bool:
    """Return whether a file is as short as BMP of 24 bits can be, and no shorter."""
    try:
        header = _Header.read(io.BytesIO(data))
    except PictureError:
        return False
    kind = (header.size, header.bits, header.compression, header.data_offset)
    size = header.end + header.row_size * header.height
    return kind == (_V1, 24, _RAW, header.end) and len(data) == size


@dataclasses.dataclass(frozen=True)
class _Header:
    """The numbers of the headers."""

    data_offset: int
    size: int
    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    colors_used: int
    masks: tuple[int, ...]
    rest: bytes

    @classmethod
    def read(cls, file: IO[bytes]) -> "_Header":
        file.seek(0)
        start = file.read(_FILE_HEADER + 4)
        if len(start) < _FILE_HEADER + 4:
            raise PictureError("truncated", "the BMP header is incomplete")
        data_offset, size = struct.unpack("<II", start[10:])
        if size not in _KNOWN_HEADERS:
            raise PictureError("unsupported", f"BMP with a header of {size} bytes")
        rest = file.read(size - 4 + 16)  # masks may follow the header
        if len(rest) < size - 4:
            raise PictureError("truncated", "the BMP header is incomplete")
        if size == _CORE:
            width, height, _, bits = struct.unpack("<HHHH", rest[:8])
            compression = colors_used = 0
        else:
            fields = struct.unpack("<iiHHI", rest[:16])
            width, height, _, bits, compression = fields
            colors_used = struct.unpack("<I", rest[28:32])[0] if size > 16 else 0
        masks = _DEFAULT_MASKS.get(bits, ())
        if compression in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
            masks = struct.unpack("<4I", rest[36:52].ljust(16, b"\0"))
            if size < _V3 and compression == _BIT_FIELDS:
                masks = (*masks[:3], 0)
        header = cls(
            data_offset,
            size,
            width,
            abs(height),
            height < 0,
            bits,
            compression,
            colors_used,
            masks,
            rest,
        )
        header._check()
        return header

    @property
    def row_size(self) -> int:
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def end(self) -> int:
        """Where the headers end."""
        masks = {_BIT_FIELDS: 12, _ALPHA_BIT_FIELDS: 16}.get(self.compression, 0)
        return _FILE_HEADER + self.size + (masks if self.size == _V1 else 0)

    @property
    def colors(self) -> int:
        """How many colors the palette has; pictures without indices may have some."""
        if self.bits > 8:
            return self.colors_used
        return min(self.colors_used or 2**self.bits, 2**self.bits)

    @property
    def bytes_per_color(self) -> int:
        return 3 if self.size == _CORE else 4

    @property
    def start_of_pixels(self) -> int:
        """Some writers state 0: pixels follow the palette."""
        return self.data_offset or self.end + self.colors * self.bytes_per_color

    def read_profile(self, file: IO[bytes]) -> bytes | None:
        """Return the color profile that is stored in the file, if any."""
        if self.size < _V5 or self.rest[52:56] != _EMBEDDED:
            return None
        offset, size = struct.unpack("<II", self.rest[108:116])
        file.seek(_FILE_HEADER + offset)
        return file.read(size)

    def _check(self) -> None:
        is_known = {
            _RAW: self.bits in (1, 2, 4, 8, 16, 24, 32),
            _RLE8: self.bits == 8,
            _RLE4: self.bits == 4,
            _BIT_FIELDS: self.bits in (16, 32) and self.size != 64,
            _ALPHA_BIT_FIELDS: self.bits in (16, 32),
        }.get(self.compression, False)
        if not is_known:
            raise PictureError(
                "unsupported",
                f"BMP of {self.bits} bits, compression {self.compression}",
            )
        if self.width <= 0 or self.height == 0:
            raise PictureError(
                "unreadable", f"BMP of {self.width}x{self.height} pixels"
            )
        if 0 < self.data_offset < self.end:
            raise PictureError("unreadable", "BMP with pixels inside of its header")


def _read_rows(file: IO[bytes], header: _Header) -> np.ndarray:
    """Read uncompressed rows: uint8 [height, bytes], as they are stored."""
    file.seek(header.start_of_pixels)
    needed = header.row_size * header.height
    data = file.read(needed)
    # The padding of the last row may be missing.
    padding = header.row_size - -(-header.width * header.bits // 8)
    if len(data) < needed - padding:
        raise PictureError("truncated", f"{len(data)} of {needed} bytes of pixels")
    rows = np.frombuffer(data.ljust(needed, b"\0"), np.uint8)
    return rows.reshape(header.height, header.row_size)


def _read_indices(file: IO[bytes], header: _Header) -> np.ndarray:
    if header.compression == _RAW:
        rows = _read_rows(file, header)
        return samples.unpack_bits(rows, header.bits, header.width)
    file.seek(header.start_of_pixels)
    return _expand_runs(file.read(), header)


def _expand_runs(data: bytes, header: _Header) -> np.ndarray:
    """Expand run lengths to indices [height, width]; skipped pixels are 0."""
    result = np.zeros([header.height, header.width], np.uint8)
    x = y = place = 0
    while place + 1 < len(data) and y < header.height:
        count, value = data[place], data[place + 1]
        place += 2
        if count:
            if header.compression == _RLE8:
                run = bytes([value]) * count
            else:
                run = bytes([value >> 4, value & 15]) * (count // 2 + 1)
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _END:
            return result
        elif value == _DELTA:
            x, y = x + data[place], y + data[place + 1]
            place += 2
            continue
        else:
            count = value
            size = count if header.compression == _RLE8 else (count + 1) // 2
            run = data[place : place + size]
            place += size + size % 2
            if header.compression == _RLE4:
                run = bytes(half for byte in run for half in (byte >> 4, byte & 15))
        run = run[: max(0, min(count, header.width - x))]
        result[y, x : x + len(run)] = list(run)
        x += len(run)
    if y < header.height - 1 or (y == header.height - 1 and x < header.width):
        raise PictureError("truncated", f"the runs end in row {y} of {header.height}")
    return result


def _read_palette(file: IO[bytes], header: _Header) -> np.ndarray:
    """Read the colors, black where there are fewer than the bits allow: [n, 3]."""
    entry = header.bytes_per_color
    start = _FILE_HEADER + header.size
    count = min(header.colors, max(0, header.start_of_pixels - start) // entry)
    file.seek(start)
    data = file.read(count * entry)
    table = np.frombuffer(data[: len(data) // entry * entry], np.uint8)
    palette = np.zeros([2**header.bits, 3], np.uint8)
    colors = table.reshape(-1, entry)[:, 2::-1]
    palette[: len(colors)] = colors
    return palette


def _read_fields(file: IO[bytes], header: _Header) -> np.ndarray:
    """Read pixels of 16 or 32 bits: uint8 [height, width, 3 or 4]."""
    rows = _read_rows(file, header)
    words = rows.view(f"<u{header.bits // 8}")[:, : header.width]
    channels = 4 if header.masks[3] else 3
    pixels = np.empty([*words.shape, channels], np.uint8)
    step = max(1, _PIXELS_AT_ONCE // header.width)
    for start in range(0, header.height, step):
        part = words[start : start + step].astype(np.uint32)
        for channel, mask in enumerate(header.masks[:channels]):
            pixels[start : start + step, :, channel] = _extract(part, mask)
    # Writers that know nothing of alpha leave it 0.
    return pixels if pixels[..., 3:].any() else pixels[..., :3]


def _extract(words: np.ndarray, mask: int) -> np.ndarray:
    if not mask:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    values = (words & np.uint32(mask)) >> np.uint32(shift)
    return samples.scale_integers(values, (mask >> shift).bit_length())
