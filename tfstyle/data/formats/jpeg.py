"""Read JPEG files: what their picture depends on, their metadata, and their end."""

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from tfstyle.data.formats.errors import PictureError

MAGIC = b"\xff\xd8\xff"

# Start-of-frame markers, without DHT, JPG and DAC.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Frames of Huffman codes: baseline, extended, progressive.
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_CODES, _SCAN, _END = 0xC4, 0xDA, 0xD9
_TABLES = frozenset({_CODES, 0xCC, 0xDB, 0xDC, 0xDD})
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_RESTARTS = range(0xD0, 0xD8)
_WITHOUT_DATA = (0x01, *_RESTARTS, 0xD8, _END)
_EXIF, _PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"

# Bits that decode to other blocks than no bits do, which count as zeros: that the first
# ones are 1 finds all of thousands of cuts within the last block.
_BITS = b"\xfe\x35\xc2\x9b" * 64 + b"\xb6\x6d\xdb" * 64 + b"\x7a\xd1\x4e\xe8\x23" * 64
# To put at the end of a scan. Decoders read it only if blocks are missing there, also
# if all blocks after a restart are.
NOISE = _BITS + b"".join(bytes([0xFF, i]) + _BITS for i in _RESTARTS)
# Bytes at the end of a scan that surely hold some of its bits.
_LAST = 3
_FRAME_SIZE = 6  # without the components


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """A JPEG file.

    Attributes:
        data: the file without segments that do not change its picture; it has an end.
        is_ended: whether the file itself has an end marker.
        frame: the marker of its frame.
        bits: of a sample.
        components: 1 for gray, 3 for colors, 4 for inks.
        profile: the color profile; None if there is none, or parts of it are missing.
        exif: the TIFF structures of its Exif segments.
    """

    data: bytes
    is_ended: bool
    frame: int
    bits: int
    components: int
    profile: bytes | None
    exif: tuple[bytes, ...]


def read_jpeg(data: bytes) -> Jpeg:
    """Read the segments of a file, without decoding it.

    Zeros after its last scan count as nothing: broken downloads are often filled with
    them.

    Raises:
        PictureError: the file has no scan, or its scans do not hold every coefficient.
    """
    segments = list(_find_segments(data))
    frame, header, parts, exif, profile = 0, b"", [data[:2]], [], []
    start = len(data)
    for marker, place, content, end in segments:
        if marker in (_SCAN, _END):
            start = place
            break
        text = data[content:end]
        if marker in FRAMES:
            frame, header = marker, text
        elif marker == _APP1 and text.startswith(_EXIF):
            exif.append(text[len(_EXIF) :])
        elif marker == _APP2 and text.startswith(_PROFILE):
            profile.append(text[len(_PROFILE) :])
        if _matters(marker, text):
            parts.append(data[place:end])
    is_ended = bool(segments) and segments[-1].marker == _END
    scans = data[start : segments[-1].start] if is_ended else data[start:].rstrip(b"\0")
    if len(header) < _FRAME_SIZE or not scans:
        raise PictureError("truncated", "the file ends before the picture does")
    if any(_find_missing(data, segments).values()):
        raise PictureError("truncated", "scans of the picture are missing")
    return Jpeg(
        b"".join([*parts, scans, bytes([0xFF, _END])]),
        is_ended,
        frame,
        header[0],
        header[5],
        _join_profile(profile),
        tuple(exif),
    )


def is_whole(jpeg: Jpeg, image: Image.Image) -> bool:
    """Return whether the scans of a file hold every block of its picture.

    What follows the last block of a scan is not decoded. If blocks are missing, it is.

    Args:
        jpeg: the file. Nothing is known of those with arithmetic codes: they are whole.
        image: the picture decoded from its `data`.
    """
    if jpeg.frame not in HUFFMAN_FRAMES:
        return True
    if not _equals(add_noise(jpeg.data), image):
        return False
    # Without an end marker, what was appended to a cut file could pass for its rest.
    return jpeg.is_ended or not _equals(
        add_noise(jpeg.data[: -2 - _LAST] + jpeg.data[-2:]), image
    )


def has_plain_scans(jpeg: Jpeg) -> bool:
    """Return whether a file has one frame, and only such scans as encoders write.

    That is, a single scan; in progressive files several, the first one of all
    components, with tables of codes between them. No fill bytes precede their markers.
    """
    segments = list(_find_segments(jpeg.data))
    markers = [segment.marker for segment in segments]
    first = markers.index(_SCAN)
    later = set(markers[first + 1 :]) - {*_RESTARTS, _END}
    return (
        jpeg.data[segments[first].content] == jpeg.components
        and sum(marker in FRAMES for marker in markers) == 1
        and later <= ({_SCAN, _CODES} if jpeg.frame in _PROGRESSIVE else set())
        and b"\xff\xff" not in jpeg.data[segments[first].start :]
        and all(
            segment.end == following.start
            for segment, following in itertools.pairwise(segments[first:])
            if segment.marker == _CODES
        )
    )


def add_noise(data: bytes) -> bytes:
    """Return a file with bits added at the end of each scan."""
    result, copied, is_scan = [], 0, False
    for segment in _find_segments(data):
        if segment.marker in _RESTARTS:
            continue
        if is_scan:
            result += [data[copied : segment.start], NOISE]
            copied = segment.start
        is_scan = segment.marker == _SCAN
    return b"".join([*result, data[copied:]])


def read_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read the markers of a JPEG file with their data, through all its scans."""
    for segment in _find_segments(data):
        yield segment.marker, data[segment.content : segment.end]


class _Segment(NamedTuple):
    """A marker, where it starts and its data, if any, start and end."""

    marker: int
    start: int
    content: int
    end: int


def _find_segments(data: bytes) -> Iterator[_Segment]:
    """Find the segments up to the marker of the end.

    Between them are the codes of scans, and bytes that decoders skip.
    """
    codes = np.frombuffer(data, np.uint8)
    # A zero after FF makes it a byte of the scan; further FF are fill bytes.
    is_marker = (codes[:-1] == 0xFF) & (codes[1:] != 0) & (codes[1:] != 0xFF)
    places = np.flatnonzero(is_marker)
    place = 2
    while (i := int(np.searchsorted(places, place))) < len(places):
        start = int(places[i])
        marker, content = data[start + 1], start + 2
        while start > place and data[start - 1] == 0xFF:
            start -= 1
        place = content
        if marker not in _WITHOUT_DATA:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
            content += 2
        yield _Segment(marker, start, content, place)
        if marker == _END:
            return


def _matters(marker: int, text: bytes) -> bool:
    """Return whether decoders heed a segment before the first scan."""
    if marker == _APP0:
        return text.startswith(b"JFIF\0") and len(text) >= 14
    if marker == _APP14:
        return text.startswith(b"Adobe") and len(text) >= 12
    return marker in FRAMES or marker in _TABLES


def _find_missing(data: bytes, segments: Iterable[_Segment]) -> dict[int, set[int]]:
    """Return, by component, the coefficients that no scan completes."""
    missing: dict[int, set[int]] = {}
    is_progressive = False
    for marker, _, content, end in segments:
        text = data[content:end]
        if marker in FRAMES:
            is_progressive = marker in _PROGRESSIVE
            missing = {i: set(range(64)) for i in text[_FRAME_SIZE::3]}
        elif marker == _SCAN and text:
            components = text[1 : 1 + 2 * text[0] : 2]
            if len(text) != 4 + 2 * text[0]:
                continue
            first, last, bits = text[-3:]
            if not is_progressive:
                first, last, bits = 0, 63, 0
            if bits & 15:
                continue  # later scans refine it
            for component in components:
                missing.get(component, set()).difference_update(range(first, last + 1))
    return missing


def _join_profile(parts: list[bytes]) -> bytes | None:
    """Join the parts of a profile, which begin with their numbers and their count."""
    parts = sorted(part for part in parts if len(part) >= 2)
    expected = [(i, len(parts)) for i in range(1, len(parts) + 1)]
    if not parts or [(part[0], part[1]) for part in parts] != expected:
        return None
    return b"".join(part[2:] for part in parts)


def _equals(data: bytes, image: Image.Image) -> bool:
    """Return whether a file shows a picture."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as other:
            return ImageChops.difference(other, image).getbbox() is None
    except Exception:  # Pillow raises nearly any for damaged files
        return False
