"""Read the first frame of GIF files, and its color profile."""

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tfstyle.data.formats.errors import PictureError

MAGIC = (b"GIF87a", b"GIF89a")

_HEADER_SIZE = 13  # without the table of colors
_PROFILE = b"ICCRGBG1012"
_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL, _APPLICATION = 0xF9, 0xFF
_END = b"\0;"  # of the parts of a frame, and of the file


@dataclasses.dataclass(frozen=True)
class Frame:
    """The place of a frame on the screen, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height


@dataclasses.dataclass(frozen=True)
class Gif:
    """The first frame of a GIF file.

    Attributes:
        head: the file up to its blocks.
        frame: the block of the frame.
        place: where it is on the screen.
        transparent: the index of transparent pixels, if any.
        profile: the color profile that precedes it, if any.
    """

    head: bytes
    frame: bytes
    place: Frame
    transparent: int | None
    profile: bytes | None

    @property
    def data(self) -> bytes:
        """A file of the frame alone."""
        return self._write(self.transparent)

    def is_whole(self, image: Image.Image) -> bool:
        """Return whether the file has every pixel of a picture decoded from `data`."""
        # Pillow fills the screen with the transparent index. What remains of it after
        # decoding, the file does not have.
        other_fill = (self.transparent or 0) ^ 1
        with Image.open(io.BytesIO(self._write(other_fill)), formats=["GIF"]) as other:
            is_same = np.asarray(image) == np.asarray(other)
        left, top, right, bottom = self.place.box
        return bool(is_same[top:bottom, left:right].all())

    def _write(self, transparent: int | None) -> bytes:
        control = b""
        if transparent is not None:
            control = bytes([_EXTENSION, _CONTROL, 4, 1, 0, 0, transparent, 0])
        return self.head + control + self.frame + _END


def read_gif(data: bytes) -> Gif:
    """Read the first frame of a file, without decoding it.

    Raises:
        PictureError: the file has no whole frame.
    """
    transparent = profile = None
    if len(data) > _HEADER_SIZE:
        for kind, place in _read_blocks(data):
            if kind == _IMAGE:
                return _read_first(data, place, transparent, profile)
            label = data[place + 1]
            parts = [
                data[start : start + n] for start, n in _read_parts(data, place + 2)
            ]
            first = parts[0] if parts else b""
            if label == _CONTROL and len(first) >= 4 and first[0] & 1:
                transparent = first[3]
            elif label == _APPLICATION and first == _PROFILE and profile is None:
                profile = b"".join(parts[1:])
    raise PictureError("truncated", "the file ends before its first frame")


def _read_first(
    data: bytes, place: int, transparent: int | None, profile: bytes | None
) -> Gif:
    start = place + 10 + _table_size(data[place + 9 : place + 10]) + 1
    end = max([start, *(start + size for start, size in _read_parts(data, start))])
    if end > len(data):
        raise PictureError("truncated", "the file ends before the picture does")
    head = data[: _HEADER_SIZE + _table_size(data[10:11])]
    numbers = (
        int.from_bytes(data[place + i : place + i + 2], "little") for i in (1, 3, 5, 7)
    )
    frame = Frame(*numbers)
    if not frame.width * frame.height:
        raise PictureError("unreadable", "its first frame has no pixels")
    return Gif(head, data[place:end], frame, transparent, profile)


def _read_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the kind and place of each extension and image, to the end of the data."""
    place = _HEADER_SIZE + _table_size(data[10:11])
    while place + 2 < len(data):
        kind = data[place]
        if kind not in (_EXTENSION, _IMAGE):
            return
        yield kind, place
        if kind == _EXTENSION:
            place += 2
        elif place + 9 < len(data):
            place += 10 + _table_size(data[place + 9 : place + 10]) + 1
        else:
            return
        for start, size in _read_parts(data, place):
            place = start + size
        place += 1


def _read_parts(data: bytes, place: int) -> Iterator[tuple[int, int]]:
    """Yield start and size of the parts of a block, whose end is a part of size 0."""
    while place < len(data) and data[place]:
        yield place + 1, data[place]
        place += 1 + data[place]


def _table_size(flags: bytes) -> int:
    """Return the bytes of the table of colors that flags, a byte, announce."""
    if not flags or not flags[0] & 0x80:
        return 0
    return int(3 * 2 ** ((flags[0] & 7) + 1))
