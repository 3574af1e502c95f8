"""Read the tags of TIFF files, and decompress their blocks.

Damaged tags do not hide the others.
"""

import io
import lzma
import struct
import zlib
from collections.abc import Sequence
from typing import IO, Any

from PIL import TiffImagePlugin

from tfstyle.data.formats.errors import PictureError

# Of types of values: formats of `struct`. 5 and 10 are ratios of two numbers.
_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i"}
_TYPES |= {10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
# Compressions.
DEFLATE, LZMA = (8, 32946), 34925
_BIG = b"+"  # of BigTIFF, whose offsets have 8 bytes


class Directory:
    """The tags that describe the first picture of a file.

    Attributes:
        order: of bytes, "<" or ">".
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Read where the values of all tags are.

        Raises:
            PictureError: the directory is incomplete.
        """
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        header = file.read(16)
        self.order = ">" if header.startswith(b"MM") else "<"
        is_big = _BIG in header[2:4]
        offset = "Q" if is_big else "I"
        (start,) = self._unpack(offset, header[8 if is_big else 4 :])
        file.seek(min(start, self._size))
        (count,) = self._unpack("Q" if is_big else "H", file.read(8 if is_big else 2))
        size = 20 if is_big else 12
        table = file.read(size * min(count, 65536))
        if len(table) < size * count:
            raise PictureError("truncated", "the TIFF directory is incomplete")
        start += 8 if is_big else 2
        self._values: dict[int, tuple[str, int, int]] = {}  # type, count, place
        for entry in range(0, len(table), size):
            tag, kind, number = self._unpack(f"HH{offset}", table[entry:])
            code = _TYPES.get(kind)
            if code is None or tag in self._values:
                continue
            inside = size // 2 - 2  # of bytes; where more are is stored there
            place = start + entry + size - inside
            if struct.calcsize(f"<{code}") * number > inside:
                (place,) = self._unpack(offset, table[entry + size - inside :])
            self._values[tag] = (code, number, place)

    def __contains__(self, tag: int) -> bool:
        return tag in self._values

    def read_bytes(self, tag: int) -> bytes | None:
        """Return the value of a tag; None if it is missing or incomplete."""
        code, number, place = self._values.get(tag, ("B", 0, 0))
        size = struct.calcsize(f"<{code}") * number
        if not size or place + size > self._size:
            return None
        self._file.seek(place)
        return self._file.read(size)

    def read_ratios(self, tag: int, default: Sequence[float]) -> tuple[float, ...]:
        """Return the numbers of a tag.

        Raises:
            PictureError: they are incomplete, or no numbers.
        """
        if tag not in self._values:
            return tuple(default)
        data = self.read_bytes(tag)
        if data is None:
            raise PictureError("unreadable", f"the TIFF tag {tag} is incomplete")
        code, number, _ = self._values[tag]
        numbers = struct.unpack(f"{self.order}{code * number}", data)
        if len(code) == 1:
            return numbers
        if 0 in numbers[1::2]:
            raise PictureError("unreadable", f"the TIFF tag {tag} divides by 0")
        return tuple(a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True))

    def read_numbers(self, tag: int, default: Sequence[int] = ()) -> tuple[int, ...]:
        """Return the numbers of a tag, as integers.

        Raises:
            PictureError: as `read_ratios`.
        """
        return tuple(map(int, self.read_ratios(tag, default)))

    def read_places(self, tag: int) -> tuple[int, ...]:
        """Return the places or sizes in the file, none of which is beyond its end.

        Raises:
            PictureError: as `read_ratios`.
        """
        return tuple(min(max(n, 0), self._size) for n in self.read_numbers(tag))

    def read_number(self, tag: int, default: int) -> int:
        """Return the first number of a tag.

        Raises:
            PictureError: as `read_ratios`.
        """
        return self.read_numbers(tag, (default,))[0]

    def _unpack(self, code: str, data: bytes) -> tuple[int, ...]:
        """Read the numbers that data begin with."""
        try:
            return struct.unpack_from(self.order + code, data)
        except struct.error:
            raise PictureError("truncated", "the TIFF file is incomplete") from None


def decompress(
    data: bytes, compression: int, row_size: int, rows: int, max_rest: int
) -> bytes:
    """Decompress the first rows of a strip or tile.

    Of Deflate and LZMA, up to `max_rest` further bytes are decompressed, to the end,
    where the checksum is compared.

    Raises:
        zlib.error, lzma.LZMAError, OSError: the data are damaged, or have no end.
    """
    if compression in (*DEFLATE, LZMA):
        stream: Any = zlib.decompressobj()
        stream = lzma.LZMADecompressor() if compression == LZMA else stream
        result: bytes = stream.decompress(data, rows * row_size)
        rest = 0
        while not stream.eof and rest <= max_rest:
            tail = getattr(stream, "unconsumed_tail", b"")
            part = stream.decompress(tail, min(2**20, max_rest + 1))
            if not part:
                break
            rest += len(part)
        if rest and not stream.eof:
            raise zlib.error("no end")
        return result
    # By Pillow: a gray TIFF of the block's bytes, in one strip.
    entries = [(256, row_size), (257, rows), (258, 8), (259, compression), (262, 1)]
    start = 8 + 2 + 12 * (len(entries) + 4) + 4
    entries += [(273, start), (277, 1), (278, rows), (279, len(data))]
    header = b"II*\0" + struct.pack("<IH", 8, len(entries))
    header += b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries)
    # Not by Image.open, which takes each byte for a pixel, and refuses too many.
    file = io.BytesIO(header + b"\0" * 4 + data)
    with TiffImagePlugin.TiffImageFile(file) as image:
        return image.tobytes()
