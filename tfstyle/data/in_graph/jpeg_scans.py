"""Detect truncated scans of JPEG files inside a graph.

TensorFlow's decoder completes them with gray. It decodes what follows a scan only if
blocks are missing there: then noise after the scan changes the picture.
"""

import tensorflow as tf

from tfstyle.data.formats import jpeg
from tfstyle.data.in_graph.reading import Reader

_MAX_MARKERS = 1000  # damaged or hostile files have more
_PROGRESSIVE, _TABLES, _END, _SCAN = 0xC2, 0xC4, 0xD9, 0xDA
_MAX_COMPONENTS, _COEFFICIENTS = 4, 64


def add_noise(
    encoded: tf.Tensor, reader: Reader, frame: tf.Tensor, scan: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Add noise to a JPEG file at the end of each scan.

    Args:
        encoded: the file, string [].
        reader: reads the file.
        frame: int32 [], the place of its frame.
        scan: int32 [], that of its first scan.

    Returns:
        The file with noise, up to its end marker, string []; and whether its scans are
        plain, bool []: they hold all coefficients of all components, and have no other
        markers than restarts, the end, and those of scans and tables in progressive
        files.
    """
    is_progressive = reader.number(frame + 1, 1) == _PROGRESSIVE
    data = reader.data[: reader.size]
    is_marker = (data[scan:-1] == 0xFF) & (data[scan + 1 :] != 0)
    places = scan + tf.cast(tf.where(is_marker)[:, 0], tf.int32)
    kinds = reader.bytes_at(places + 1)
    is_restart = (kinds >= 0xD0) & (kinds <= 0xD7)
    places, kinds = (tf.boolean_mask(values, ~is_restart) for values in (places, kinds))
    is_end = kinds == _END
    # Markers after that of the first scan, up to that of the end.
    last = tf.argmax(tf.concat([is_end, [True]], 0), output_type=tf.int32)
    ends, kinds = places[1 : last + 1], kinds[1 : last + 1]
    is_next = (kinds == _SCAN) | (kinds == _TABLES)
    is_plain = tf.reduce_all((kinds == _END) | (is_next & is_progressive))
    is_plain &= tf.reduce_any(is_end) & (scan > 0) & (last <= _MAX_MARKERS)
    # After a table, the next marker follows.
    after = ends + 2 + reader.number(ends + 2)
    is_plain &= tf.reduce_all((kinds[:-1] != _TABLES) | (after[:-1] == ends[1:]))
    scans = tf.boolean_mask(ends, kinds == _SCAN)[:_MAX_MARKERS]
    scans = tf.concat([[scan], scans], 0)
    is_plain &= _have_all_coefficients(reader, frame, scans, is_progressive)

    is_after_scan = tf.concat([[True], kinds[:-1] == _SCAN], 0)[: tf.size(ends)]
    joints = tf.boolean_mask(ends, is_after_scan)

    def join() -> tf.Tensor:
        bounds = tf.concat([[0], joints, ends[-1:] + 2], 0)
        parts = tf.map_fn(
            lambda part: tf.strings.substr(encoded, part[0], part[1] - part[0]),
            tf.stack([bounds[:-1], bounds[1:]], axis=1),
            fn_output_signature=tf.string,
        )
        return tf.strings.reduce_join(parts, separator=jpeg.NOISE)

    return tf.cond(is_plain, join, lambda: tf.constant(b"")), is_plain


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
