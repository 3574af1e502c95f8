"""Distinguish JPEG files that lack only their end marker from truncated ones."""

import io
from collections.abc import Iterator
from typing import IO

from PIL import Image

MAGIC = b"\xff\xd8\xff"
END = b"\xff\xd9"

_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_SCAN, _APP2 = 0xDA, 0xE2
_PROFILE = b"ICC_PROFILE\0"
_WITHOUT_DATA = {0x01, *range(0xD0, 0xD9)}
_LAST_COEFFICIENT = 63
_RESTARTS = b"\xff\xdd\0\4"
# Bits of which some decode to other blocks than no bits do.
_NOISES = (
    b"\x11\x91\x60\x5c",
    b"\xfe\x35\xc2\x9b",
    b"\xb6\x6d\xdb",
    b"\x7a\xd1\x4e\xe8\x23",
)


def restore_end(file: IO[bytes]) -> IO[bytes] | None:
    """Return a file with an end marker if that is all it lacks, else None.

    Zeros at its end count as nothing: broken downloads are often filled with them.
    """
    file.seek(0)
    data = file.read().rstrip(b"\0")
    if data.endswith(END) or not _has_all_scans(data):
        return None
    try:
        # What follows the last block is not decoded. In a truncated file it is: as the
        # missing blocks, or after a restart.
        restarts = [b"\xff" + bytes([0xD0 + i]) for i in range(8)]
        starts = [b"", *(restarts if _RESTARTS in data else [])]
        with_end = _decode(data + END)
        is_whole = all(
            _decode(data + start + noise * 64 + END) == with_end
            for start in starts
            for noise in _NOISES
        )
    except Exception:  # Pillow raises nearly any for damaged files
        return None
    return io.BytesIO(data + END) if is_whole else None


def is_ended(data: bytes) -> bool:
    """Return whether an end marker follows the last scan."""
    return data.rfind(END) > data.rfind(bytes([0xFF, _SCAN]))


def has_end(file: IO[bytes]) -> bool:
    """Return whether a file's last scan is followed by an end marker.

    Only files that end in zeros are read; others are taken to have one, since decoders
    notice if not.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 8))
    if file.read().strip(b"\0"):
        return True
    file.seek(0)
    data = file.read()
    return is_ended(data)


def drop_profile(data: bytes) -> bytes:
    """Return a file without its color profile; the same if it has none."""
    result, place = [data[:2]], 2
    while data[place : place + 1] == b"\xff" and data[place + 1] != _SCAN:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if not data[place:end].startswith(_PROFILE, 4) or data[place + 1] != _APP2:
            result.append(data[place:end])
        place = end
    return b"".join([*result, data[place:]])


def read_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read the markers of a JPEG file with their data, through all its scans."""
    place = 2
    while True:
        place = data.find(b"\xff", place)
        if place < 0 or place + 1 >= len(data):
            return
        marker = data[place + 1]
        if marker in (0x00, 0xFF) or marker in _WITHOUT_DATA:
            place += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, data[place + 4 : place + 2 + size]
        if marker == END[1]:
            return
        place += 2 + size


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans of a file hold every bit of every coefficient."""
    missing: dict[int, set[int]] = {}
    is_progressive = False
    for marker, segment in read_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            is_progressive = marker in _PROGRESSIVE
            missing = {i: set(range(64)) for i in segment[6::3]}
        elif marker == _SCAN and segment:
            components = segment[1 : 1 + 2 * segment[0] : 2]
            if len(segment) != 4 + 2 * segment[0]:
                return False
            first, last, bits = segment[-3:]
            if not is_progressive:
                first, last, bits = 0, _LAST_COEFFICIENT, 0
            if bits & 15:
                continue  # later scans refine it
            for component in components:
                missing.get(component, set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def _decode(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return image.tobytes()
