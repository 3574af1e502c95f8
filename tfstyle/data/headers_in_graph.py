"""Detect, from a picture's first bytes, what TensorFlow's decoders would misread.

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
_PNG_CHUNKS = ("eXIf", "tRNS", "iCCP", "gAMA", "cHRM", "cICP")
_SRGB = np.array(  # XYZ of its primaries under D50
    [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]],
    np.float32,
)
_CLIENT = "; the Python client of tfstyle converts such pictures"
PROFILE_FAULT = "the picture has a color profile other than sRGB" + _CLIENT
SIZE_FAULT = f"the picture has more than {MAX_PIXELS} pixels"
BMP_FAULT = "of BMP, only 24 and 32 bits without palette are decoded" + _CLIENT
GIF_FAULT = "GIF with transparency is not decoded" + _CLIENT
TURN_FAULT = "PNG with EXIF orientation is not decoded" + _CLIENT
KEY_FAULT = "gray PNG of less than 8 bits with transparency is not decoded" + _CLIENT
INK_FAULT = "of CMYK JPEG, only files with an Adobe segment are decoded" + _CLIENT
DAMAGE_FAULT = "the header of the picture is damaged"


class Header(NamedTuple):
    """What decoding must heed.

    Attributes:
        orientation: int32 [], 1 to 8 as in EXIF.
        has_alpha: bool [], whether PNG must be decoded with alpha.
        fault: string [], why the picture cannot be decoded as the records do, or "".
    """

    orientation: tf.Tensor
    has_alpha: tf.Tensor
    fault: tf.Tensor


@tf.autograph.experimental.do_not_convert  # it takes long, and nothing needs it
def read_header(encoded: tf.Tensor) -> Header:
    """Read the header of an encoded picture, string []; others have no fault."""
    data = tf.io.decode_raw(tf.strings.join([encoded, b"\0" * _PADDING]), tf.uint8)
    reader = _Reader(data)
    cases = [
        (reader.starts_with(b"\xff\xd8\xff"), lambda: _read_jpeg(reader, encoded)),
        (reader.starts_with(b"\x89PNG"), lambda: _read_png(reader, encoded)),
        (reader.starts_with(b"BM"), lambda: _read_bmp(reader)),
        (reader.starts_with(b"GIF8"), lambda: _read_gif(reader)),
    ]
    orientation, has_alpha, fault, profile = tf.case(cases, lambda: _describe())
    has_profile = (fault == "") & (tf.strings.length(profile) > 0)
    is_other = has_profile & ~tf.cond(
        has_profile, lambda: _is_srgb(profile), lambda: tf.constant(True)
    )
    return Header(orientation, has_alpha, tf.where(is_other, PROFILE_FAULT, fault))


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
        self, place: tf.Tensor | int, size: int = 2, big: bool | tf.Tensor = True
    ) -> tf.Tensor:
        """Return unsigned numbers of 1 to 4 bytes; those above 2**31 are negative."""
        places = tf.expand_dims(place, -1) + tf.range(size)
        rising = np.array([256**i for i in range(size)], np.int32)
        if isinstance(big, bool):
            weights = rising[::-1] if big else rising
        else:
            weights = tf.where(big, rising[::-1], rising)
        return tf.reduce_sum(self.bytes_at(places) * weights, -1)


def _describe(
    orientation: tf.Tensor | int = 1,
    has_alpha: tf.Tensor | bool = False,
    faults: dict[str, tf.Tensor] | None = None,
    profile: tf.Tensor | bytes = b"",
) -> tuple[tf.Tensor, ...]:
    """Return the fields of a header, and a color profile to check, string []."""
    fault = tf.constant("")
    # The last one counts.
    for text, is_present in (faults or {}).items():
        fault = tf.where(is_present, text, fault)
    return (
        tf.convert_to_tensor(orientation, tf.int32),
        tf.convert_to_tensor(has_alpha),
        fault,
        tf.convert_to_tensor(profile),
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


def _read_jpeg(reader: _Reader, encoded: tf.Tensor) -> tuple:
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
            "exif_end": (is_exif, place + 2 + size),
            "profile": (is_profile, place + 4 + 14),
            "profile_size": (is_profile, size - 2 - 14),
            "adobe": (is_adobe, 1),
        }
        return place + tf.where(is_fill, 1, 2 + size), is_last, news

    found, is_done = _walk(
        2, step, frame=0, exif=0, exif_end=0, profile=0, profile_size=0, adobe=0
    )
    frame = found["frame"]
    components = reader.number(frame + 9, 1)
    faults = {
        INK_FAULT: (components == 4) & (found["adobe"] == 0),
        SIZE_FAULT: _is_too_large(reader.number(frame + 5), reader.number(frame + 7)),
        DAMAGE_FAULT: ~is_done | (frame == 0),
    }
    # Of a profile in several parts, the first one: it is not that of sRGB.
    start = tf.minimum(found["profile"], reader.size)
    return _describe(
        _read_orientation(reader, found["exif"], found["exif_end"]),
        faults=faults,
        profile=tf.strings.substr(encoded, start, tf.maximum(found["profile_size"], 0)),
    )


def _read_png(reader: _Reader, encoded: tf.Tensor) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        size, kind = reader.number(place, 4), reader.number(place + 4, 4)
        news = {name: (kind == _to_number(name), place + 8) for name in _PNG_CHUNKS}
        is_last = (kind == _to_number("IEND")) | (place >= reader.size) | (size < 0)
        return place + 12 + size, is_last, news

    found, is_done = _walk(8, step, **dict.fromkeys(_PNG_CHUNKS, 0))
    bits, color_type = reader.number(24, 1), reader.number(25, 1)
    is_turned = _read_orientation(reader, found["eXIf"], reader.size) != 1
    has_key = (found["tRNS"] > 0) & (color_type == _GRAY) & (bits < 8)
    profile, is_readable = _decompress_profile(reader, encoded, found["iCCP"])
    faults = {
        PROFILE_FAULT: _describes_colors(reader, found) | ~is_readable,
        TURN_FAULT: is_turned,
        KEY_FAULT: has_key,
        SIZE_FAULT: _is_too_large(reader.number(16, 4), reader.number(20, 4)),
        DAMAGE_FAULT: ~is_done,
    }
    # decode_png corrupts palettes and less than 8 bits if alpha is requested.
    has_alpha = (color_type >= _GRAY_ALPHA) | (found["tRNS"] > 0)
    has_alpha &= (bits >= 8) & (color_type != _PALETTE)
    return _describe(has_alpha=has_alpha, faults=faults, profile=profile)


def _describes_colors(reader: _Reader, found: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return whether chunks of a PNG describe other colors than sRGB."""
    gamma = tf.cast(reader.number(found["gAMA"], 4), tf.float32)
    primaries = reader.number(found["cHRM"] + 4 * tf.range(8), 4)
    srgb = tf.constant([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])
    other_gamma = abs(gamma / 45455 - 1) > 0.05
    other_primaries = tf.reduce_any(abs(primaries - srgb) > 200) & (found["cHRM"] > 0)
    video = reader.number(found["cICP"]) != 256 * 1 + 13  # the code points of sRGB
    return ((found["gAMA"] > 0) & (other_gamma | other_primaries)) | (
        (found["cICP"] > 0) & video
    )


def _decompress_profile(
    reader: _Reader, encoded: tf.Tensor, start: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the profile of a PNG (from 0: "") and whether it can be read."""
    size = reader.number(start - 8, 4)
    name = reader.bytes_at(start + tf.range(80))
    name_size = tf.argmin(name != 0, output_type=tf.int32)
    # A small chunk can hold a profile of gigabytes.
    is_readable = (size > name_size + 2) & (size < _MAX_PROFILE)
    is_readable &= start + size < reader.size
    # Not a zlib stream: decompressing would not say that the picture is the reason.
    is_readable &= reader.number(start + name_size + 1) == 0x78
    is_readable &= reader.number(start + name_size + 2) % 31 == 0

    def decompress() -> tf.Tensor:
        text = tf.strings.substr(encoded, start + name_size + 2, size - name_size - 2)
        return tf.io.decode_compressed(text, "ZLIB")

    profile = tf.cond((start > 0) & is_readable, decompress, lambda: tf.constant(b""))
    return profile, (start == 0) | is_readable


def _read_bmp(reader: _Reader) -> tuple:
    size, bits = reader.number(14, 4, big=False), reader.number(28, big=False)
    is_plain = tf.reduce_any(size == tf.constant([40, 52, 56, 64, 108, 124]))
    is_plain &= reader.number(30, 4, big=False) == 0
    is_plain &= reader.number(10, 4, big=False) >= 14 + size
    is_plain &= (bits == 24) | (bits == 32)
    width, height = (reader.number(place, 4, big=False) for place in (18, 22))
    faults = {
        PROFILE_FAULT: (size >= 124) & reader.starts_with(b"DEBM", 70),
        SIZE_FAULT: _is_too_large(width, abs(height)),
        BMP_FAULT: ~is_plain,
    }
    return _describe(faults=faults)


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
        DAMAGE_FAULT: ~is_done
        | (found["image"] == 0)
        | ~(reader.starts_with(b"GIF87a") | reader.starts_with(b"GIF89a")),
    }
    return _describe(faults=faults)


def _is_too_large(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    return (pixels > MAX_PIXELS) | (width < 0) | (height < 0)


def _read_orientation(reader: _Reader, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Read the orientation in EXIF data between two places (from 0: there are none)."""
    big = reader.starts_with(b"MM", start)

    def number(place: tf.Tensor, size: int = 2) -> tf.Tensor:
        return reader.number(place, size, big)

    directory = start + number(start + 4, 4)
    count = tf.minimum(number(directory), _MAX_TAGS)
    entries = directory + 2 + 12 * tf.range(count)
    kind, length = number(entries + 2), number(entries + 4, 4)
    is_short, is_long = kind == 3, kind == 4  # it should be short
    is_orientation = (number(entries) == 0x0112) & (is_short | is_long) & (length == 1)
    is_orientation &= entries + 12 <= end
    values = tf.where(is_short, number(entries + 8), number(entries + 8, 4))
    value = tf.reduce_max(tf.where(is_orientation, values, 1))
    is_exif = reader.starts_with(b"II*\0", start) | reader.starts_with(b"MM\0*", start)
    return tf.where((start > 0) & is_exif & (value <= 8), tf.maximum(value, 1), 1)


def _is_srgb(profile: tf.Tensor) -> tf.Tensor:
    """Return whether an ICC profile, string [], has the primaries and curve of sRGB."""
    padded = tf.strings.join([profile, b"\0" * _PADDING])
    reader = _Reader(tf.io.decode_raw(padded, tf.uint8))
    count = tf.clip_by_value(reader.number(128, 4), 0, _MAX_TAGS)
    tags = reader.number(132 + 12 * tf.range(count)[:, None] + [0, 4], 4)

    def find(*names: str) -> tf.Tensor:
        is_named = tags[:, 0] == [[_to_number(name)] for name in names]
        return tf.reduce_max(tf.where(is_named, tags[:, 1], 0), axis=1)

    places = find("rXYZ", "gXYZ", "bXYZ")
    numbers = reader.number(places[:, None] + [8, 12, 16], 4)
    xyz = tf.cast(numbers, tf.float32) / 65536
    is_plain = reader.starts_with(b"RGB ", 16) & tf.reduce_all(find("A2B0") <= 0)
    is_plain &= tf.reduce_all(abs(xyz - _SRGB) < 0.002)
    return is_plain & _are_srgb_curves(reader, find("rTRC", "gTRC", "bTRC"))


def _are_srgb_curves(reader: _Reader, places: tf.Tensor) -> tf.Tensor:
    """Return whether tone curves at places [n] are that of sRGB, within a level."""
    levels = tf.linspace(0.0, 1.0, 18)
    places = places[:, None]
    kind, count = reader.number(places, 4), reader.number(places + 8, 4)
    position = levels * tf.cast(tf.maximum(count, 2) - 1, tf.float32)
    below = tf.cast(position, tf.int32)
    neighbors = tf.stack([below, tf.minimum(below + 1, count - 1)])
    values = tf.cast(reader.number(places + 12 + 2 * neighbors), tf.float32)
    low, high = tf.unstack(values / 65535)
    table = low + (high - low) * (position - tf.floor(position))
    numbers = reader.number(places + 12 + 4 * tf.range(5), 4)
    parameters = tf.cast(numbers, tf.float32) / 65536
    g, a, b, c, d = tf.split(parameters, 5, axis=1)
    formula = tf.where(levels >= d, tf.maximum(a * levels + b, 0) ** g, c * levels)
    is_table = (kind == _to_number("curv")) & (count > 1)
    # The formula of sRGB is the third one.
    is_formula = (kind == _to_number("para")) & (reader.number(places + 8) == 3)
    light = tf.where(is_table, table, formula)
    encoded = tf.where(
        light <= 0.0031308,
        12.92 * light,
        1.055 * tf.maximum(light, 0) ** (1 / 2.4) - 0.055,
    )
    is_same = abs(encoded - levels) < 1.1 / 255
    return tf.reduce_all((is_table | is_formula) & is_same)


def _to_number(name: str) -> int:
    return int.from_bytes(name.encode(), "big")
