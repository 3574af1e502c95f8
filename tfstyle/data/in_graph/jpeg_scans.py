"""Detect truncated scans of JPEG files inside a graph.

TensorFlow's decoder completes them with gray. It decodes what follows a scan only if
blocks are missing there: then noise after the scan changes the picture.
"""

from typing import NamedTuple

import tensorflow as tf

from tfstyle.data.formats import jpeg
from tfstyle.data.in_graph.reading import Reader

_PROGRESSIVE, _TABLES, _END, _SCAN = 0xC2, 0xC4, 0xD9, 0xDA
_MAX_COMPONENTS, _COEFFICIENTS = 4, 64
# The start of the first AC table of the standard, with its number.
_USUAL_TABLE = bytes.fromhex("10 0002010303020403 0505040400 00017d 0102030004")


class Scans(NamedTuple):
    """The scans of a file.

    Attributes:
        noisy: the file with noise, up to its end marker, string [].
        are_plain: bool [], whether they hold all coefficients of all components, and
            have no other markers than restarts, the end, and those of scans and tables
            in progressive files.
        are_whole: bool [], whether no restart is missing, and no part is zeros.
    """

    noisy: tf.Tensor
    are_plain: tf.Tensor
    are_whole: tf.Tensor


def add_noise(
    encoded: tf.Tensor,
    reader: Reader,
    frame: tf.Tensor,
    scan: tf.Tensor,
    interval: tf.Tensor,
) -> Scans:
    """Add noise to a JPEG file at the end of each scan, and before restarts.

    Args:
        encoded: the file, string [].
        reader: reads the file.
        frame: int32 [], the place of its frame.
        scan: int32 [], that of its first scan.
        interval: int32 [], how many units precede a restart; 0 if there are none.
    """
    is_progressive = reader.number(frame + 1, 1) == _PROGRESSIVE
    data = reader.data[: reader.size]
    is_marker = (data[scan:-1] == 0xFF) & (data[scan + 1 :] != 0)
    places = scan + tf.cast(tf.where(is_marker)[:, 0], tf.int32)
    kinds = reader.bytes_at(places + 1)
    is_end = kinds == _END
    # Markers after that of the first scan, up to that of the end.
    last = tf.argmax(tf.concat([is_end, [True]], 0), output_type=tf.int32)
    ends, kinds = places[1 : last + 1], kinds[1 : last + 1]
    is_restart = (kinds >= 0xD0) & (kinds <= 0xD7)
    is_next = (kinds == _SCAN) | (kinds == _TABLES)
    is_plain = tf.reduce_all((kinds == _END) | is_restart | (is_next & is_progressive))
    is_plain &= tf.reduce_any(is_end) & (scan > 0) & (last <= jpeg.MAX_PLAIN_MARKERS)
    # After a table, the next marker follows.
    after = ends + 2 + reader.number(ends + 2)
    is_followed = (after[:-1] == ends[1:]) & ~is_restart[1:]
    is_plain &= tf.reduce_all((kinds[:-1] != _TABLES) | is_followed)
    scans = tf.boolean_mask(ends, kinds == _SCAN)[: jpeg.MAX_SCANS]
    is_plain &= tf.size(scans) < jpeg.MAX_SCANS
    scans = tf.concat([[scan], scans], 0)
    is_plain &= _have_all_coefficients(reader, frame, scans, is_progressive)
    is_whole = _have_restarts(reader, frame, scans, interval, kinds)
    codes = data[scan : tf.reduce_max(tf.concat([[scan], ends], 0))]
    is_whole &= is_progressive | ~_has_hole(codes, data[:scan])

    is_in_scan = tf.concat([[True], ((kinds == _SCAN) | is_restart)[:-1]], 0)
    is_in_scan = is_in_scan[: tf.size(ends)]
    joints = tf.boolean_mask(ends, is_in_scan)
    noise = tf.where(is_restart, jpeg.BITS, jpeg.NOISE)
    noise = tf.concat([tf.boolean_mask(noise, is_in_scan), [""]], 0)

    def join() -> tf.Tensor:
        bounds = tf.concat([[0], joints, ends[-1:] + 2], 0)
        parts = tf.map_fn(
            lambda part: tf.strings.substr(encoded, part[0], part[1] - part[0]),
            tf.stack([bounds[:-1], bounds[1:]], axis=1),
            fn_output_signature=tf.string,
        )
        return tf.strings.reduce_join(tf.strings.join([parts, noise]))

    noisy = tf.cond(is_plain & is_whole, join, lambda: tf.constant(b""))
    return Scans(noisy, is_plain, is_whole)


def _have_restarts(
    reader: Reader,
    frame: tf.Tensor,
    scans: tf.Tensor,
    interval: tf.Tensor,
    kinds: tf.Tensor,
) -> tf.Tensor:
    """Return whether scans at places [n] have their restarts, in their order.

    `kinds` is of the markers after the first scan.
    """
    is_restart = (kinds >= 0xD0) & (kinds <= 0xD7)
    ones = tf.cast(is_restart, tf.int32)
    owners = tf.cumsum(tf.cast(kinds == _SCAN, tf.int32))
    counts = tf.math.unsorted_segment_sum(ones, owners, tf.size(scans))
    before = tf.gather(
        tf.cumsum(counts, exclusive=True), tf.minimum(owners, tf.size(scans) - 1)
    )
    number = tf.cumsum(ones, exclusive=True) - before
    are_in_order = tf.reduce_all(~is_restart | (kinds == 0xD0 + number % 8))
    units = _count_units(reader, frame, scans)
    expected = tf.where(interval > 0, -(-units // tf.maximum(interval, 1)) - 1, 0)
    # Some encoders write a restart after the last interval, too.
    is_counted = (counts == expected) | ((interval > 0) & (counts == expected + 1))
    return are_in_order & tf.reduce_all(is_counted)


def _count_units(reader: Reader, frame: tf.Tensor, scans: tf.Tensor) -> tf.Tensor:
    """Return the number of units of scans at places [n], which restarts count."""
    components = tf.minimum(reader.number(frame + 9, 1), _MAX_COMPONENTS)
    starts = frame + 10 + 3 * tf.range(components)
    sampling = reader.number(starts + 1, 1)
    is_scanned = reader.number(scans + 5, 1)[:, None] == reader.number(starts, 1)
    is_alone = reader.number(scans + 4, 1) == 1
    units = tf.constant(1)
    for place, factors in ((7, sampling // 16), (5, sampling % 16)):
        size = reader.number(frame + place)
        largest = tf.maximum(1, tf.reduce_max(tf.concat([[1], factors], 0)))
        factor = tf.reduce_max(tf.where(is_scanned, factors, 0), axis=1)
        samples = (size * factor + largest - 1) // largest
        blocks = (samples + 7) // 8
        units *= tf.where(is_alone, blocks, (size + 8 * largest - 1) // (8 * largest))
    return units


def _has_hole(codes: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    """Return whether codes of a scan are zeros that stand for coefficients.

    They surely do with the usual table of codes; others are not searched.
    """
    size = tf.maximum(tf.size(header) - len(_USUAL_TABLE) + 1, 0)
    has_table = tf.fill([size], True)
    for i, byte in enumerate(_USUAL_TABLE):
        has_table &= header[i : i + size] == byte
    length = len(jpeg.HOLE)
    rows = tf.reshape(codes[: tf.size(codes) // length * length], [-1, length])
    is_empty = tf.reduce_any(tf.reduce_all(rows == 0, axis=1))
    return is_empty & tf.reduce_any(has_table)


def _have_all_coefficients(
    reader: Reader, frame: tf.Tensor, scans: tf.Tensor, is_progressive: tf.Tensor
) -> tf.Tensor:
    """Return whether scans at places [n] hold every bit of every coefficient."""
    count = reader.number(scans + 4, 1)
    columns = tf.range(_MAX_COMPONENTS)
    scanned = reader.number(scans[:, None] + 5 + 2 * columns, 1)
    scanned = tf.where(columns < count[:, None], scanned, -1)
    components = tf.minimum(reader.number(frame + 9, 1), _MAX_COMPONENTS)
    needed = reader.number(frame + 10 + 3 * tf.range(components), 1)
    has_component = tf.reduce_any(scanned[:, None] == needed[:, None], -1)
    first, last, bits = (reader.number(scans + 5 + 2 * count + i, 1) for i in range(3))
    coefficients = tf.range(_COEFFICIENTS)
    completes = (coefficients >= first[:, None]) & (coefficients <= last[:, None])
    completes &= bits[:, None] % 16 == 0
    completes |= ~is_progressive
    pairs = has_component[:, :, None] & completes[:, None]
    return tf.reduce_all(tf.reduce_any(pairs, 0))
