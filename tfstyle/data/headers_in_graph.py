"""Tell from the first bytes of a picture what TensorFlow's decoders would misread.

They ignore EXIF orientation, color profiles and some kinds of transparency, and take a
palette of a BMP for gray. What can be repaired is returned; the rest is named.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfstyle.data.pictures import MAX_PIXELS

# Zeros after the data, so that a header that is cut off can be read.
_PADDING = 256
# Damaged or hostile files have more.
_MAX_CHUNKS, _MAX_TAGS, _MAX_PROFILE = 20_000, 512, 2**16
_GRAY, _PALETTE, _GRAY_ALPHA = 0, 3, 4  # PNG color types
_SRGB = np.array(  # XYZ of its primaries under D50
    [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]]
)
_CLIENT = "; the Python client of tfstyle converts such pictures"
PROFILE_FAULT = "the picture has a color profile other than sRGB" + _CLIENT
SIZE_FAULT = f"the picture has more than {MAX_PIXELS} pixels"
BMP_FAULT = "of BMP, only 24 and 32 bits without palette are decoded" + _CLIENT
GIF_FAULT = "GIF with transparency is not decoded" + _CLIENT
INK_FAULT = "of CMYK JPEG, only files with an Adobe segment are decoded" + _CLIENT
DAMAGE_FAULT = "the header of the picture is damaged"


class Header(NamedTuple):
    """What decoding must heed.

    Attributes:
        orientation: int32 [], 1 to 8 as in EXIF.
        has_alpha: bool [], whether PNG must be decoded with alpha.
        transparent: int32 [], the level of 8 bits that is transparent in a gray PNG of
            less than 8 bits, where TensorFlow ignores it; else -1.
        fault: string [], why the picture cannot be decoded as the records do, or "".
    """

    orientation: tf.Tensor
    has_alpha: tf.Tensor
    transparent: tf.Tensor
    fault: tf.Tensor


def read_header(encoded: tf.Tensor) -> Header:
    """Read the header of an encoded picture, string []; others have no fault."""
    data = tf.io.decode_raw(tf.strings.join([encoded, b"\0" * _PADDING]), tf.uint8)
    reader = _Reader(data)
    cases = [
        (reader.starts_with(b"\xff\xd8\xff"), lambda: _read_jpeg(reader)),
        (reader.starts_with(b"\x89PNG"), lambda: _read_png(reader, encoded)),
        (reader.starts_with(b"BM"), lambda: _read_bmp(reader)),
        (reader.starts_with(b"GIF8"), lambda: _read_gif(reader)),
    ]
    return Header(*tf.case(cases, default=lambda: tuple(_make_header())))


class _Reader:
    """Reads numbers at places in a file; places may be tensors of any shape."""

    def __init__(self, data: tf.Tensor) -> None:
        self._data = data
        self.size = tf.size(data) - _PADDING

    def starts_with(self, magic: bytes, place: int | tf.Tensor = 0) -> tf.Tensor:
        """Return whether bytes are at a place: bool []."""
        found = self.bytes_at(place + tf.range(len(magic)))
        return tf.reduce_all(found == tf.constant(list(magic)))

    def bytes_at(self, places: tf.Tensor | int) -> tf.Tensor:
        """Return bytes as int32; zeros beyond the file."""
        last = self.size + _PADDING - 1
        return tf.cast(
            tf.gather(self._data, tf.clip_by_value(places, 0, last)), tf.int32
        )

    def number(
        self, place: tf.Tensor | int, size: int = 2, big: bool = True
    ) -> tf.Tensor:
        """Return unsigned numbers of 1 to 4 bytes; those above 2**31 are negative."""
        order = range(size) if big else reversed(range(size))
        result = tf.zeros_like(tf.convert_to_tensor(place, tf.int32))
        for i in order:
            result = result * 256 + self.bytes_at(place + i)
        return result

    def fixed(self, place: tf.Tensor) -> tf.Tensor:
        """Return numbers with 16 bits before and after the point: float32."""
        return tf.cast(self.number(place, 4), tf.float32) / 65536


def _make_header(
    orientation: tf.Tensor | int = 1,
    has_alpha: tf.Tensor | bool = False,
    transparent: tf.Tensor | int = -1,
    faults: dict[str, tf.Tensor] | None = None,
) -> Header:
    fault = tf.constant("")
    # The last one counts.
    for text, is_present in (faults or {}).items():
        fault = tf.where(is_present, text, fault)
    return Header(
        tf.convert_to_tensor(orientation, tf.int32),
        tf.convert_to_tensor(has_alpha),
        tf.convert_to_tensor(transparent, tf.int32),
        fault,
    )


def _walk(
    start: int | tf.Tensor,
    step: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, dict]],
    **found: int,
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Walk from block to block of a file.

    `step` is from the place of a block to that of the next, whether this is the last
    one, and what was found: by name, a condition and a number. The first ones count.

    Returns:
        Numbers by name, as given in `found` where nothing was found; and whether the
        walk reached an end.
    """
    names = list(found)

    def body(place: tf.Tensor, _: tf.Tensor, *values: tf.Tensor) -> tuple:
        following, is_last, news = step(place)
        values = tuple(
            tf.where(news[name][0] & (value == found[name]), news[name][1], value)
            for name, value in zip(names, values, strict=True)
        )
        is_stuck = following <= place
        return tf.where(is_stuck, place, following), is_last | is_stuck, *values

    _, is_done, *values = tf.while_loop(
        lambda place, is_done, *_: ~is_done,
        body,
        (
            tf.convert_to_tensor(start),
            tf.constant(False),
            *map(tf.constant, found.values()),
        ),
        maximum_iterations=_MAX_CHUNKS,
        parallel_iterations=1,
    )
    return dict(zip(names, values, strict=True)), is_done


def _read_jpeg(reader: _Reader) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        marker, size = reader.number(place + 1, 1), reader.number(place + 2)
        is_frame = (marker >= 0xC0) & (marker <= 0xCF)
        is_frame &= (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_fill = marker == 0xFF
        is_exif = (marker == 0xE1) & reader.starts_with(b"Exif\0\0", place + 4)
        is_profile = (marker == 0xE2) & reader.starts_with(b"ICC_PROFILE\0", place + 4)
        is_adobe = (marker == 0xEE) & reader.starts_with(b"Adobe", place + 4)
        is_last = (marker == 0xDA) | (place >= reader.size)
        is_last |= reader.number(place, 1) != 0xFF
        news = {
            "frame": (is_frame, place),
            "exif": (is_exif, place + 10),
            "profile": (is_profile, place + 4 + 14),
            "profile_size": (is_profile, size - 2 - 14),
            "adobe": (is_adobe, 1),
        }
        return place + tf.where(is_fill, 1, 2 + size), is_last, news

    found, is_done = _walk(2, step, frame=0, exif=0, profile=0, profile_size=0, adobe=0)
    frame = found["frame"]
    components = reader.number(frame + 9, 1)
    faults = {
        INK_FAULT: (components == 4) & (found["adobe"] == 0),
        PROFILE_FAULT: (found["profile"] > 0)
        & ~_is_srgb(reader, found["profile"], found["profile_size"]),
        SIZE_FAULT: _is_too_large(reader.number(frame + 5), reader.number(frame + 7)),
        DAMAGE_FAULT: ~is_done | (frame == 0),
    }
    return tuple(_make_header(_read_orientation(reader, found["exif"]), faults=faults))


def _read_png(reader: _Reader, encoded: tf.Tensor) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        size = reader.number(place, 4)
        news = {
            name: (reader.starts_with(name.encode(), place + 4), place + 8)
            for name in ("eXIf", "tRNS", "iCCP", "gAMA", "cHRM", "sRGB", "cICP")
        }
        is_last = reader.starts_with(b"IEND", place + 4) | (place >= reader.size)
        is_last |= size < 0
        return place + 12 + size, is_last, news

    names = ("eXIf", "tRNS", "iCCP", "gAMA", "cHRM", "sRGB", "cICP")
    found, is_done = _walk(8, step, **dict.fromkeys(names, 0))
    bits, color_type = reader.number(24, 1), reader.number(25, 1)
    has_key = (found["tRNS"] > 0) & (color_type == _GRAY) & (bits < 8)
    white = tf.bitwise.left_shift(1, tf.minimum(bits, 8)) - 1
    key = tf.bitwise.bitwise_and(reader.number(found["tRNS"]), white) * 255 // white
    faults = {
        PROFILE_FAULT: _has_png_profile(reader, encoded, found),
        SIZE_FAULT: _is_too_large(reader.number(16, 4), reader.number(20, 4)),
        DAMAGE_FAULT: ~is_done,
    }
    return tuple(
        _make_header(
            _read_orientation(reader, found["eXIf"]),
            # decode_png corrupts palettes and less than 8 bits if alpha is requested.
            (bits >= 8)
            & (color_type != _PALETTE)
            & ((color_type >= _GRAY_ALPHA) | (found["tRNS"] > 0)),
            tf.where(has_key, key, -1),
            faults,
        )
    )


def _has_png_profile(
    reader: _Reader, encoded: tf.Tensor, found: dict[str, tf.Tensor]
) -> tf.Tensor:
    """Return whether a PNG states other colors than sRGB."""
    gamma = tf.cast(reader.number(found["gAMA"], 4), tf.float32)
    primaries = reader.number(found["cHRM"] + 4 * tf.range(8), 4)
    srgb = tf.constant([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])
    other_gamma = abs(gamma / 45455 - 1) > 0.05
    other_primaries = tf.reduce_any(abs(primaries - srgb) > 200)
    other_primaries &= found["cHRM"] > 0
    described = (found["gAMA"] > 0) & (other_gamma | other_primaries)
    video = reader.number(found["cICP"]) != 256 * 1 + 13  # the code points of sRGB
    has_profile = tf.cond(
        found["iCCP"] > 0,
        lambda: ~_is_srgb_chunk(reader, encoded, found["iCCP"]),
        lambda: (found["sRGB"] == 0) & described,
    )
    return has_profile | ((found["cICP"] > 0) & video)


def _is_srgb_chunk(reader: _Reader, encoded: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Return whether a compressed profile is that of sRGB."""
    size = reader.number(start - 8, 4)
    name = reader.bytes_at(start + tf.range(80))
    name_size = tf.argmin(name != 0, output_type=tf.int32)

    def decompress() -> tf.Tensor:
        text = tf.strings.substr(encoded, start + name_size + 2, size - name_size - 2)
        profile = tf.io.decode_compressed(text, "ZLIB")
        padded = tf.strings.join([profile, b"\0" * _PADDING])
        return _is_srgb(
            _Reader(tf.io.decode_raw(padded, tf.uint8)), 0, tf.strings.length(profile)
        )

    # A small chunk can hold a profile of gigabytes.
    is_sane = (size > name_size + 2) & (size < _MAX_PROFILE)
    is_sane &= start + size < reader.size
    # Not a zlib stream: decompress would not say that the picture is the reason.
    is_sane &= (reader.number(start + name_size + 1) == 0x78) & (
        reader.number(start + name_size + 2) % 31 == 0
    )
    return tf.cond(is_sane, decompress, lambda: tf.constant(False))


def _read_bmp(reader: _Reader) -> tuple:
    size, bits = reader.number(14, 4, big=False), reader.number(28, big=False)
    is_plain = (size >= 40) & (reader.number(30, 4, big=False) == 0)
    is_plain &= (bits == 24) | (bits == 32)
    width, height = (reader.number(place, 4, big=False) for place in (18, 22))
    faults = {
        PROFILE_FAULT: (size >= 124) & reader.starts_with(b"DEBM", 70),
        SIZE_FAULT: _is_too_large(width, abs(height)),
        BMP_FAULT: ~is_plain,
    }
    return tuple(_make_header(faults=faults))


def _read_gif(reader: _Reader) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        kind, label = reader.number(place, 1), reader.number(place + 1, 1)
        is_extension = kind == 0x21
        is_control = is_extension & (label == 0xF9)
        is_profile = is_extension & reader.starts_with(b"ICCRGBG1012", place + 3)
        part = tf.where(is_extension & (place >= 0), place + 2, place)
        end = tf.while_loop(
            lambda p: (reader.number(p, 1) > 0) & (p < reader.size),
            lambda p: [p + 1 + reader.number(p, 1)],
            [part],
            maximum_iterations=_MAX_CHUNKS,
        )[0]
        news = {
            "flags": (is_control, reader.number(place + 3, 1)),
            "profile": (is_profile, 1),
            "image": (kind == 0x2C, place),
        }
        return end + 1, ~is_extension, news

    flags = reader.number(10, 1)
    table = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
    start = 13 + tf.where(flags >= 128, table, 0)
    found, is_done = _walk(start, step, flags=0, profile=0, image=0)
    screen = reader.number(6 + 2 * tf.range(2), big=False)
    frame = reader.number(found["image"] + 1 + 2 * tf.range(4), big=False)
    is_whole = tf.reduce_all(frame == tf.concat([[0, 0], screen], 0))
    has_transparency = tf.bitwise.bitwise_and(found["flags"], 1) == 1
    faults = {
        PROFILE_FAULT: found["profile"] > 0,
        GIF_FAULT: has_transparency | ~is_whole,
        SIZE_FAULT: _is_too_large(screen[0], screen[1]),
        DAMAGE_FAULT: ~is_done | (found["image"] == 0),
    }
    return tuple(_make_header(faults=faults))


def _is_too_large(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    return (pixels > MAX_PIXELS) | (width < 0) | (height < 0)


def _read_orientation(reader: _Reader, start: tf.Tensor) -> tf.Tensor:
    """Read the orientation in EXIF data, which start at a place (0: there are none)."""
    big = reader.starts_with(b"MM", start)

    def number(place: tf.Tensor, size: int = 2) -> tf.Tensor:
        return tf.where(
            big, reader.number(place, size), reader.number(place, size, big=False)
        )

    directory = start + number(start + 4, 4)
    count = tf.minimum(number(directory), _MAX_TAGS)
    entries = directory + 2 + 12 * tf.range(count)
    # A long number, which is not usual, has its low bytes at the end if big.
    is_long = big & (number(entries + 2) == 4)
    values = number(entries + tf.where(is_long, 10, 8))
    is_orientation = number(entries) == 0x0112
    value = tf.reduce_max(tf.where(is_orientation, values, 1))
    return tf.where((start > 0) & (value <= 8), tf.maximum(value, 1), 1)


def _is_srgb(
    reader: _Reader, start: tf.Tensor | int, size: tf.Tensor | int
) -> tf.Tensor:
    """Return whether an ICC profile at a place has the primaries and curve of sRGB."""
    entries = (
        start
        + 132
        + 12 * tf.range(tf.clip_by_value(reader.number(start + 128, 4), 0, _MAX_TAGS))
    )

    def find(name: bytes) -> tf.Tensor:
        is_named = reader.number(entries, 4) == int.from_bytes(name, "big")
        offsets = tf.where(is_named, reader.number(entries + 4, 4), 0)
        return start + tf.reduce_max(tf.concat([offsets, [0]], 0))

    matches = reader.starts_with(b"RGB ", start + 16) & (find(b"A2B0") == start)
    for channel, primary in zip((b"r", b"g", b"b"), _SRGB, strict=True):
        xyz = reader.fixed(find(channel + b"XYZ") + 8 + 4 * tf.range(3))
        matches &= tf.reduce_all(abs(xyz - primary.astype(np.float32)) < 0.002)
        matches &= _is_srgb_curve(reader, find(channel + b"TRC"))
    return matches & (size > 132)


def _is_srgb_curve(reader: _Reader, place: tf.Tensor) -> tf.Tensor:
    """Return whether a tone curve is that of sRGB, within a level."""
    levels = tf.linspace(0.0, 1.0, 18)
    count = reader.number(place + 8, 4)
    position = levels * tf.cast(tf.maximum(count, 2) - 1, tf.float32)
    below = tf.cast(position, tf.int32)
    low, high = (
        tf.cast(reader.number(place + 12 + 2 * i), tf.float32) / 65535
        for i in (below, tf.minimum(below + 1, count - 1))
    )
    table = low + (high - low) * (position - tf.floor(position))
    g, a, b, c, d = tf.unstack(reader.fixed(place + 12 + 4 * tf.range(5)))
    formula = tf.where(levels >= d, tf.maximum(a * levels + b, 0) ** g, c * levels)
    is_table = reader.starts_with(b"curv", place) & (count > 1)
    is_formula = reader.starts_with(b"para\0\0\0\0\0\3", place)
    light = tf.where(is_table, table, formula)
    encoded = tf.where(
        light <= 0.0031308,
        12.92 * light,
        1.055 * tf.maximum(light, 0) ** (1 / 2.4) - 0.055,
    )
    matches = tf.reduce_all(abs(encoded - levels) < 1.1 / 255)
    return (is_table | is_formula) & matches
