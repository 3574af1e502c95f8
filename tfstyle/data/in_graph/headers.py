"""Detect, from a picture's bytes, what TensorFlow's decoders would misread.

They ignore EXIF orientation, color profiles and some kinds of transparency, take a
palette of a BMP for gray, complete truncated JPEG files with gray, and take damaged GIF
files. Only what is plain is decoded; what can be repaired is returned, and the rest is
named.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfstyle.data.in_graph.jpeg_scans import add_noise
from tfstyle.data.in_graph.reading import Blocks, Reader, compute_crc, to_number, walk
from tfstyle.data.pictures import MAX_PIXELS

# Damaged or hostile files have more.
_MAX_TAGS, _MAX_PROFILE = 512, 2**16
_EXIF_ENTRY = 12  # bytes
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA = 0, 2, 3, 4  # PNG color types
# Chunks of a PNG that may appear at most once.
_PNG_CHUNKS = ("PLTE", "tRNS", "eXIf", "iCCP", "gAMA", "cHRM", "cICP")
_SRGB = np.array(  # XYZ of its primaries under D50
    [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]],
    np.float32,
)
_CLIENT = "; the Python client of tfstyle converts such pictures"
PROFILE_FAULT = "the picture has a color profile other than sRGB" + _CLIENT
SIZE_FAULT = f"the picture has more than {MAX_PIXELS} pixels"
BMP_FAULT = "of BMP, only 24 and 32 bits without palette are decoded" + _CLIENT
FORMAT_FAULT = "only JPEG, PNG, and BMP are decoded" + _CLIENT
TURN_FAULT = "PNG with EXIF orientation is not decoded" + _CLIENT
KEY_FAULT = "gray PNG of less than 8 bits with transparency is not decoded" + _CLIENT
INK_FAULT = "of CMYK JPEG, only files with an Adobe segment are decoded" + _CLIENT
JPEG_FAULT = "of JPEG, only Huffman codes and plain segments are decoded" + _CLIENT
ORDER_FAULT = "the picture has chunks that are repeated or out of place" + _CLIENT
LOSS_FAULT = "the JPEG is truncated: parts of its scans are missing"
DAMAGE_FAULT = "the header of the picture is damaged"


class Header(NamedTuple):
    """What decoding must heed.

    Attributes:
        orientation: int32 [], 1 to 8 as in EXIF.
        has_alpha: bool [], whether PNG must be decoded with alpha.
        noisy: string [], of JPEG: the file with bits added to its scans. A truncated
            picture decodes to other pixels then.
        fault: string [], why the picture cannot be decoded as the records do, or "".
    """

    orientation: tf.Tensor
    has_alpha: tf.Tensor
    noisy: tf.Tensor
    fault: tf.Tensor


@tf.autograph.experimental.do_not_convert  # it takes long, and nothing needs it
def read_header(encoded: tf.Tensor) -> Header:
    """Read the header of an encoded picture, string []."""
    reader = Reader(encoded)
    cases = [
        (reader.starts_with(b"\xff\xd8\xff"), lambda: _read_jpeg(reader, encoded)),
        (reader.starts_with(b"\x89PNG"), lambda: _read_png(reader, encoded)),
        (reader.starts_with(b"BM"), lambda: _read_bmp(reader)),
    ]
    orientation, has_alpha, noisy, fault, profile = tf.case(
        cases, lambda: _describe(faults={FORMAT_FAULT: tf.constant(True)})
    )
    has_profile = (fault == "") & (tf.strings.length(profile) > 0)
    is_other = has_profile & ~tf.cond(
        has_profile, lambda: _is_srgb(profile), lambda: tf.constant(True)
    )
    fault = tf.where(is_other, PROFILE_FAULT, fault)
    return Header(orientation, has_alpha, noisy, fault)


def _describe(
    orientation: tf.Tensor | int = 1,
    has_alpha: tf.Tensor | bool = False,
    noisy: tf.Tensor | bytes = b"",
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
        tf.convert_to_tensor(noisy),
        fault,
        tf.convert_to_tensor(profile),
    )


def _read_jpeg(reader: Reader, encoded: tf.Tensor) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        marker, size = reader.number(place + 1, 1), reader.number(place + 2)
        is_fill = marker == 0xFF
        # Frames of Huffman codes, their tables, application data, and comments.
        is_frame = (marker >= 0xC0) & (marker <= 0xC2)
        is_known = is_frame | (marker >= 0xE0) & (marker <= 0xEF)
        for other in (0xC4, 0xDB, 0xDD, 0xFE):
            is_known |= marker == other
        is_scan = marker == 0xDA
        kinds = {
            "frame": is_frame,
            "exif": (marker == 0xE1) & reader.starts_with(b"Exif\0\0", place + 4),
            "profile": (marker == 0xE2)
            & reader.starts_with(b"ICC_PROFILE\0", place + 4),
            "adobe": (marker == 0xEE) & reader.starts_with(b"Adobe", place + 4),
            "interval": marker == 0xDD,
            "scan": is_scan & (reader.number(place, 1) == 0xFF),
        }
        is_last = ~is_fill & (~is_known | (size < 2) | (place >= reader.size))
        is_last |= reader.number(place, 1) != 0xFF
        return place + tf.where(is_fill, 1, 2 + size), is_last, kinds

    names = ("frame", "exif", "profile", "adobe", "interval", "scan")
    found, is_done = walk(2, step, names)
    frame, scan, profile = (found[name].place for name in ("frame", "scan", "profile"))
    components = reader.number(frame + 9, 1)
    interval = found["interval"].place
    interval = tf.where(interval > 0, reader.number(interval + 4), 0)
    scans = add_noise(encoded, reader, frame, scan, interval)
    is_plain = (found["frame"].count == 1) & (reader.number(frame + 4, 1) == 8)
    is_plain &= tf.reduce_any(components == tf.constant([1, 3, 4]))
    is_plain &= reader.number(scan + 4, 1) == components
    is_plain &= scans.are_plain
    is_plain &= ~_are_repeated(*(found[name] for name in ("exif", "adobe", "interval")))
    faults = {
        LOSS_FAULT: ~scans.are_whole,
        JPEG_FAULT: ~is_plain,
        INK_FAULT: (components == 4) & (found["adobe"].count == 0),
        SIZE_FAULT: _is_too_large(reader.number(frame + 5), reader.number(frame + 7)),
        # One in several parts is not that of sRGB.
        PROFILE_FAULT: _are_repeated(found["profile"]),
        DAMAGE_FAULT: ~is_done | (frame == 0) | (scan == 0),
    }
    exif = found["exif"].place
    size = tf.where(profile > 0, reader.number(profile + 2) - 2 - 14, 0)
    start = tf.minimum(profile + 4 + 14, reader.size)
    return _describe(
        _read_orientation(
            reader, tf.where(exif > 0, exif + 10, 0), exif + 2 + reader.number(exif + 2)
        ),
        noisy=scans.noisy,
        faults=faults,
        profile=tf.strings.substr(encoded, start, tf.maximum(size, 0)),
    )


def _read_png(reader: Reader, encoded: tf.Tensor) -> tuple:
    def step(place: tf.Tensor) -> tuple:
        size, kind = reader.number(place, 4), reader.number(place + 4, 4)
        kinds = {name: kind == to_number(name) for name in (*_PNG_CHUNKS, "IDAT")}
        is_last = (kind == to_number("IEND")) | (place >= reader.size) | (size < 0)
        return place + 12 + size, is_last, kinds

    found, is_done = walk(8, step, (*_PNG_CHUNKS, "IDAT"))
    places = {
        name: tf.where(blocks.count > 0, blocks.place + 8, 0)
        for name, blocks in found.items()
    }
    bits, color_type = reader.number(24, 1), reader.number(25, 1)
    exif_end = places["eXIf"] + reader.number(places["eXIf"] - 8, 4)
    is_turned = _read_orientation(reader, places["eXIf"], exif_end) != 1
    has_key = (places["tRNS"] > 0) & (color_type == _GRAY) & (bits < 8)
    profile, is_readable = _decompress_profile(reader, encoded, places["iCCP"])
    are_in_order = _check_transparency(reader, places)
    are_in_order &= ~_are_repeated(*(found[name] for name in _PNG_CHUNKS))
    faults = {
        PROFILE_FAULT: _describes_colors(reader, places) | ~is_readable,
        TURN_FAULT: is_turned,
        KEY_FAULT: has_key,
        ORDER_FAULT: ~are_in_order,
        SIZE_FAULT: _is_too_large(reader.number(16, 4), reader.number(20, 4)),
        DAMAGE_FAULT: ~is_done | ~reader.starts_with(b"\0\0\0\x0dIHDR", 8),
    }
    # decode_png corrupts palettes and less than 8 bits if alpha is requested.
    has_alpha = (color_type >= _GRAY_ALPHA) | (places["tRNS"] > 0)
    has_alpha &= (bits >= 8) & (color_type != _PALETTE)
    return _describe(has_alpha=has_alpha, faults=faults, profile=profile)


def _check_transparency(reader: Reader, places: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return whether the chunks PLTE and tRNS of a PNG are absent or whole.

    Of the others, TensorFlow's decoder checks what matters.
    """
    color_type = reader.number(25, 1)
    palette, key = places["PLTE"], places["tRNS"]
    size = reader.number(key - 8, 4)
    checked = reader.bytes_at(key - 4 + tf.range(4 + tf.clip_by_value(size, 0, 256)))
    is_whole = compute_crc(checked) == reader.number(key + size, 4)
    is_whole &= (key > palette) & (key < places["IDAT"])
    colors = reader.number(palette - 8, 4) // 3
    is_whole &= tf.case(
        [
            (color_type == _GRAY, lambda: size == 2),
            (color_type == _RGB, lambda: size == 6),
            (color_type == _PALETTE, lambda: (size > 0) & (size <= colors)),
        ],
        lambda: tf.constant(False),
    )
    return ((key == 0) | is_whole) & ((palette == 0) | (color_type != _GRAY))


def _describes_colors(reader: Reader, places: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return whether chunks of a PNG describe other colors than sRGB."""
    gamma = tf.cast(reader.number(places["gAMA"], 4), tf.float32)
    primaries = reader.number(places["cHRM"] + 4 * tf.range(8), 4)
    srgb = tf.constant([31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])
    other_gamma = abs(gamma / 45455 - 1) > 0.05
    other_primaries = tf.reduce_any(abs(primaries - srgb) > 200) & (places["cHRM"] > 0)
    video = reader.number(places["cICP"]) != 256 * 1 + 13  # the code points of sRGB
    return ((places["gAMA"] > 0) & (other_gamma | other_primaries)) | (
        (places["cICP"] > 0) & video
    )


def _decompress_profile(
    reader: Reader, encoded: tf.Tensor, start: tf.Tensor
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


def _read_bmp(reader: Reader) -> tuple:
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


def _are_repeated(*kinds: Blocks) -> tf.Tensor:
    return tf.reduce_any([blocks.count > 1 for blocks in kinds])


def _is_too_large(width: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
    return (pixels > MAX_PIXELS) | (width < 0) | (height < 0)


def _read_orientation(reader: Reader, start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Read the orientation in EXIF data between two places (from 0: there are none).

    As `pictures.orientation` does.
    """
    big = reader.starts_with(b"MM", start)

    def number(place: tf.Tensor, size: int = 2) -> tf.Tensor:
        return reader.number(place, size, big)

    end = tf.minimum(end, reader.size)
    offset = number(start + 4, 4)
    is_exif = reader.starts_with(b"II*\0", start) | reader.starts_with(b"MM\0*", start)
    is_exif &= (start > 0) & (start + 8 <= end)
    is_exif &= (offset >= 0) & (offset <= end - start - 2)
    directory = tf.where(is_exif, start + offset, 0)
    whole = (end - directory - 2) // _EXIF_ENTRY
    count = tf.where(is_exif, tf.minimum(number(directory), whole), 0)
    entries = directory + 2 + _EXIF_ENTRY * tf.range(count)
    is_orientation = (number(entries) == 0x0112) & (number(entries + 2) == 3)
    is_orientation &= number(entries + 4, 4) == 1
    values = tf.boolean_mask(number(entries + 8), is_orientation)
    value = tf.concat([values, [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _is_srgb(profile: tf.Tensor) -> tf.Tensor:
    """Return whether an ICC profile, string [], has the primaries and curve of sRGB."""
    reader = Reader(profile)
    count = tf.clip_by_value(reader.number(128, 4), 0, _MAX_TAGS)
    tags = reader.number(132 + 12 * tf.range(count)[:, None] + [0, 4], 4)

    def find(*names: str) -> tf.Tensor:
        is_named = tags[:, 0] == [[to_number(name)] for name in names]
        return tf.reduce_max(tf.where(is_named, tags[:, 1], 0), axis=1)

    places = find("rXYZ", "gXYZ", "bXYZ")
    numbers = reader.number(places[:, None] + [8, 12, 16], 4)
    xyz = tf.cast(numbers, tf.float32) / 65536
    is_plain = reader.starts_with(b"RGB ", 16) & tf.reduce_all(find("A2B0") <= 0)
    is_plain &= tf.reduce_all(abs(xyz - _SRGB) < 0.002)
    return is_plain & _are_srgb_curves(reader, find("rTRC", "gTRC", "bTRC"))


def _are_srgb_curves(reader: Reader, places: tf.Tensor) -> tf.Tensor:
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
    is_table = (kind == to_number("curv")) & (count > 1)
    # The formula of sRGB is the third one.
    is_formula = (kind == to_number("para")) & (reader.number(places + 8) == 3)
    light = tf.where(is_table, table, formula)
    encoded = tf.where(
        light <= 0.0031308,
        12.92 * light,
        1.055 * tf.maximum(light, 0) ** (1 / 2.4) - 0.055,
    )
    is_same = abs(encoded - levels) < 1.1 / 255
    return tf.reduce_all((is_table | is_formula) & is_same)
