"""Read the blocks of GIF files: places and sizes of frames, color profiles."""

import dataclasses
from collections.abc import Iterator

MAGIC = (b"GIF87a", b"GIF89a")

_PROFILE = b"ICCRGBG1012"
_EXTENSION, _IMAGE = 0x21, 0x2C
_APPLICATION = 0xFF


@dataclasses.dataclass(frozen=True)
class Frame:
    """The place of a frame on the screen, in pixels."""

    left: int
    top: int
    width: int
    height: int


def read_frames(data: bytes) -> Iterator[Frame]:
    """Read the places of all frames, without decoding them."""
    for kind, place in _read_blocks(data):
        if kind == _IMAGE:
            numbers = [
                int.from_bytes(data[place + i : place + i + 2], "little")
                for i in (1, 3, 5, 7)
            ]
            yield Frame(*numbers)


def read_profile(data: bytes) -> bytes | None:
    """Return the color profile that precedes the first frame, if any."""
    for kind, place in _read_blocks(data):
        if kind == _IMAGE:
            return None
        if data[place + 1] == _APPLICATION and data[place + 3 :][:11] == _PROFILE:
            parts = _read_parts(data, place + 14)
            return b"".join(data[start : start + size] for start, size in parts)
    return None


def _read_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the kind and place of each extension and image, to the end of the data."""
    place = 13 + _table_size(data[10])
    while place + 2 < len(data):
        kind = data[place]
        if kind not in (_EXTENSION, _IMAGE):
            return
        yield kind, place
        if kind == _EXTENSION:
            place += 2
        elif place + 9 < len(data):
            place += 10 + _table_size(data[place + 9]) + 1
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


def _table_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
