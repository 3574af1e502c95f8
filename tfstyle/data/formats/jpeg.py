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
_CODES, _SCAN, _END, _INTERVAL = 0xC4, 0xDA, 0xD9, 0xDD
_TABLES = frozenset({_CODES, 0xCC, 0xDB, 0xDC, 0xDD})
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_RESTARTS = range(0xD0, 0xD8)
_WITHOUT_DATA = (0x01, *_RESTARTS, 0xD8, _END)
_EXIF, _PROFILE = b"Exif\0\0", b"ICC_PROFILE\0"

# Bits that decode to other blocks than no bits do, which count as zeros: that the first
# ones are 1 finds all of thousands of cuts within the last block.
BITS = b"\xfe\x35\xc2\x9b" * 64 + b"\xb6\x6d\xdb" * 64 + b"\x7a\xd1\x4e\xe8\x23" * 64
# To put at the end of a scan. Decoders read it only if blocks are missing there, also
# if all blocks after a restart are.
NOISE = BITS + b"".join(bytes([0xFF, i]) + BITS for i in _RESTARTS)
# Bytes at the end of a scan that surely hold some of its bits.
_LAST = 3
_FRAME_SIZE = 6  # without the components
# Hostile files have more, which take minutes.
MAX_SCANS, _MAX_SEGMENTS, _MAX_MARKERS = 99, 20_000, 500_000
# Markers after the first scan that are searched inside exported models.
MAX_PLAIN_MARKERS = 1000
# Zeros that no encoder writes where they stand for coefficients.
HOLE = bytes(64)


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
        PictureError: the file has no scan, its scans do not hold every coefficient, or
            parts of them are lost.
    """
    segments = _list_segments(data)
    frame, header, parts, exif, profile = 0, b"", [data[:2]], [], []
    start = len(data)
    for marker, place, content, end in segments:
        if marker in (_SCAN, _END):
            start = content - 4 if marker == _SCAN else place
            break
        text = data[content:end]
        if marker in FRAMES:
            frame, header = marker, text
        elif marker == _APP1 and text.startswith(_EXIF):
            exif.append(text[len(_EXIF) :])
        elif marker == _APP2 and text.startswith(_PROFILE):
            profile.append(text[len(_PROFILE) :])
        if _matters(marker, text):
            parts.append(data[content - 4 : end])  # without fill bytes
    is_ended = bool(segments) and segments[-1].marker == _END
    scans = data[start : segments[-1].start] if is_ended else data[start:].rstrip(b"\0")
    if len(header) < _FRAME_SIZE or not scans:
        raise PictureError("truncated", "the file ends before the picture does")
    if any(_find_missing(data, segments).values()):
        raise PictureError("truncated", "scans of the picture are missing")
    _check_restarts(data, segments)
    if _has_hole(data, segments):
        raise PictureError("truncated", "a part of the picture is filled with zeros")
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
    components, with tables of codes between them. No fill bytes precede their markers,
    and restarts are few enough to be checked.
    """
    segments = list(_find_segments(jpeg.data))
    markers = [segment.marker for segment in segments]
    first = markers.index(_SCAN)
    later = set(markers[first + 1 :]) - {*_RESTARTS, _END}
    return (
        jpeg.data[segments[first].content] == jpeg.components
        and sum(marker in FRAMES for marker in markers) == 1
        and len(markers) - first <= MAX_PLAIN_MARKERS
        and later <= ({_SCAN, _CODES} if jpeg.frame in _PROGRESSIVE else set())
        and b"\xff\xff" not in jpeg.data[segments[first].start :]
        and all(
            segment.end == following.start
            for segment, following in itertools.pairwise(segments[first:])
            if segment.marker == _CODES
        )
    )


def add_noise(data: bytes) -> bytes:
    """Return a file with bits added at the end of each scan, and before restarts."""
    result, copied, is_scan = [], 0, False
    for segment in _find_segments(data):
        is_restart = segment.marker in _RESTARTS
        if is_scan:
            result += [data[copied : segment.start], BITS if is_restart else NOISE]
            copied = segment.start
        if not is_restart:
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
        start = place + len(data[place:start].rstrip(b"\xff"))
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


def _list_segments(data: bytes) -> list[_Segment]:
    """List the segments; raise PictureError if there are more than a picture has."""
    segments, others = [], 0
    for segment in _find_segments(data):
        segments.append(segment)
        others += segment.marker not in _RESTARTS
        if others > _MAX_SEGMENTS or len(segments) > _MAX_MARKERS:
            raise PictureError(
                "unsupported",
                f"a JPEG file of more than {_MAX_SEGMENTS} segments, or more than"
                f" {_MAX_MARKERS} markers",
            )
    scans = sum(segment.marker == _SCAN for segment in segments)
    if scans > MAX_SCANS:
        raise PictureError(
            "unsupported", f"a JPEG file of {scans} scans; at most {MAX_SCANS} are read"
        )
    return segments


def _check_restarts(data: bytes, segments: Iterable[_Segment]) -> None:
    """Raise PictureError unless each scan has its restarts, in their order."""
    interval = restarts = expected = 0
    header = b""

    def check_count() -> None:
        # Some encoders write a restart after the last interval, too.
        if restarts != expected and not (interval and restarts == expected + 1):
            raise PictureError(
                "truncated",
                f"{restarts} restarts in a scan that has {expected}: parts are lost",
            )

    for marker, _, content, end in segments:
        text = data[content:end]
        if marker in _RESTARTS:
            if marker != _RESTARTS[restarts % 8]:
                raise PictureError("truncated", "a restart of a scan is missing")
            restarts += 1
            continue
        check_count()
        restarts = expected = 0
        if marker in FRAMES:
            header = text
        elif marker == _INTERVAL:
            interval = int.from_bytes(text[:2], "big")
        elif marker == _SCAN and interval:
            expected = max(0, -(-_count_units(header, text) // interval) - 1)
    check_count()


def _count_units(header: bytes, scan: bytes) -> int:
    """Return the number of units of a scan, which restarts count; 0 if damaged."""
    height, width = (int.from_bytes(header[i : i + 2], "big") for i in (1, 3))
    sampling = {
        header[i]: divmod(header[i + 1], 16)
        for i in range(_FRAME_SIZE, len(header) - 2, 3)
    }
    components = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
    if not sampling.keys() >= {*components} or not all(map(all, sampling.values())):
        return 0
    units = 1
    for axis, size in enumerate((width, height)):
        largest = max(factors[axis] for factors in sampling.values())
        if len(components) == 1:  # its blocks
            size = -(-size * sampling[components[0]][axis] // largest)
            units *= -(-size // 8)
        else:
            units *= -(-size // (8 * largest))
    return units


def _has_hole(data: bytes, segments: Iterable[_Segment]) -> bool:
    """Return whether a file has zeros where they are coefficients.

    They are not if a code of zeros ends blocks, as in files of optimized codes, nor in
    scans of the first coefficient alone.
    """
    ends_blocks: dict[int, bool] = {}
    is_open, start = False, 0
    for marker, place, content, end in segments:
        text = data[content:end]
        if is_open and HOLE in data[start:place]:
            return True
        if marker in FRAMES and marker not in HUFFMAN_FRAMES:
            return False
        if marker == _CODES:
            ends_blocks |= _find_ends_of_blocks(text)
        if marker == _SCAN:
            tables = text[2 : 2 + 2 * text[0] : 2] if text[-2:-1] > b"\0" else b""
            is_open = not all(ends_blocks.get(table & 15, True) for table in tables)
        elif marker not in _RESTARTS:
            is_open = False
        start = end
    return is_open and HOLE in data[start:].rstrip(b"\0")


def _find_ends_of_blocks(text: bytes) -> dict[int, bool]:
    """Return, by AC table of a segment, whether its code of zeros ends a block."""
    result, place = {}, 0
    while place + 17 < len(text):
        kind, number = divmod(text[place], 16)
        if kind == 1:
            result[number] = text[place + 17] & 15 == 0
        place += 17 + sum(text[place + 1 : place + 17])
    return result


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
