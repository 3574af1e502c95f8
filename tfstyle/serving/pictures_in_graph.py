"""Decode and encode pictures inside a served graph.

The conversion is that of `tfstyle.data.pictures`, by which the records were made.
"""

from typing import Any

import tensorflow as tf

from tfstyle.data.in_graph import headers
from tfstyle.data.in_graph.headers import Header
from tfstyle.modeling.networks import color


def decode_pictures(
    encoded: tf.Tensor, image_size: int, fit: str, background: tuple[int, int, int]
) -> tf.Tensor:
    """Decode pictures of any size to scaled Lab.

    What TensorFlow cannot decode as the records do is an invalid argument: other color
    profiles than sRGB, and what `data.in_graph.headers` lists.

    Args:
        encoded: string [batch]; JPEG, PNG, or BMP without a palette.
        image_size: side of the square result.
        fit: "crop", "pad" or "stretch", as in `pictures.to_square_rgb`.
        background: RGB levels behind transparent pixels.

    Returns:
        float32 [batch, image_size, image_size, 3], scaled Lab.
    """
    images = tf.map_fn(
        lambda data: _fit_square(_decode_upright(data, background), image_size, fit),
        encoded,
        # Each picture in flight may need hundreds of megabytes.
        parallel_iterations=2,
        fn_output_signature=tf.TensorSpec([image_size, image_size, 3], tf.uint8),
    )
    return color.rgb_to_lab(images)


def encode_pictures(images: tf.Tensor) -> tf.Tensor:
    """Encode scaled Lab [batch, size, size, 3] as PNG, string [batch]."""
    return tf.map_fn(
        tf.io.encode_png,
        color.lab_to_rgb(images),
        fn_output_signature=tf.TensorSpec([], tf.string),
    )


def _require(condition: tf.Tensor, fault: str | tf.Tensor) -> Any:
    """Return a context whose operations fail with a fault unless a condition holds."""
    check = tf.debugging.Assert(condition, [fault])
    return tf.control_dependencies([] if check is None else [check])


def _decode_upright(encoded: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    """Decode a picture over the background: uint8 [height, width, 3]."""
    header = headers.read_header(encoded)
    with _require(header.fault == "", header.fault):
        image = _decode(tf.identity(encoded), header)
    channels = tf.shape(image)[2]
    rgb = tf.cond(
        channels % 2 == 1,
        lambda: tf.tile(image, [1, 1, 3 // channels]),  # repeats gray
        lambda: _composite(image, background),
    )
    return _turn(rgb, header.orientation)


def _decode(encoded: tf.Tensor, header: Header) -> tf.Tensor:
    """Decode a picture: uint8 [height, width, 1 to 4]."""
    is_bmp = tf.strings.substr(tf.strings.join([encoded, b"\0\0"]), 0, 2) == b"BM"
    image = tf.case(
        [
            (tf.io.is_jpeg(encoded), lambda: _decode_jpeg(encoded, header.noisy)),
            # A single transparent color is decoded only if alpha is requested.
            (header.has_alpha, lambda: tf.io.decode_png(encoded, channels=4)),
            # The fourth byte has no meaning.
            (is_bmp, lambda: tf.io.decode_bmp(encoded)[..., :3]),
        ],
        lambda: tf.io.decode_png(encoded),
    )
    return tf.ensure_shape(image, [None, None, None])


def _decode_jpeg(encoded: tf.Tensor, noisy: tf.Tensor) -> tf.Tensor:
    """Decode a JPEG: uint8 [height, width, 3].

    `noisy` is the file with noise after its scans, which changes truncated pictures.
    """
    # The fast default differs from Pillow's decoder by up to 20 levels.
    image = tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    # The last row is left out if it has no blocks of its own: only if it is decoded,
    # libjpeg warns of the noise on stderr, and of that in progressive files.
    rows = tf.where(height % 8 == 1, height, height - 1)
    other = tf.io.decode_and_crop_jpeg(
        noisy, [0, 0, rows, width], 3, dct_method="INTEGER_ACCURATE"
    )
    is_whole = tf.reduce_all(other == image[:rows])
    with _require(is_whole, "the JPEG is truncated: the end of a scan is missing"):
        return tf.identity(image)


def _composite(image: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    """Composite gray or RGB with alpha over the background: to RGB."""
    colors = tf.shape(image)[2] - 1
    values = tf.cast(image, tf.float32)
    rgb = tf.tile(values[:, :, :colors], [1, 1, 3 // colors])
    alpha = values[:, :, -1:] / 255.0
    return _to_levels(alpha * rgb + (1 - alpha) * tf.constant(background, tf.float32))


def _turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turn a picture upright by its EXIF orientation, 1 to 8."""

    def swap() -> tf.Tensor:
        return tf.transpose(image, [1, 0, 2])

    turns = [
        lambda: image,
        lambda: image[:, ::-1],
        lambda: image[::-1, ::-1],
        lambda: image[::-1],
        swap,
        lambda: swap()[:, ::-1],
        lambda: swap()[::-1, ::-1],
        lambda: swap()[::-1],
    ]
    return tf.switch_case(orientation - 1, turns)


def _fit_square(image: tf.Tensor, image_size: int, fit: str) -> tf.Tensor:
    """Resize uint8 [height, width, 3] to uint8 [image_size, image_size, 3]."""
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    inner = [image_size, image_size]
    if fit == "crop":
        side = tf.minimum(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif fit == "pad":
        longer = tf.maximum(height, width)
        inner = [
            tf.maximum(1, (2 * side * image_size + longer) // (2 * longer))
            for side in (height, width)
        ]
    top, left = ((image_size - side) // 2 for side in inner)
    image = tf.image.pad_to_bounding_box(
        _resize(image, inner), top, left, image_size, image_size
    )
    return tf.ensure_shape(image, [image_size, image_size, 3])


def _resize(image: tf.Tensor, size: list[int | tf.Tensor]) -> tf.Tensor:
    # Pillow rounds between its two passes, which also clips the first one's overshoot.
    for step in ([tf.shape(image)[0], size[1]], size):
        resized = tf.image.resize(
            tf.cast(image, tf.float32),
            step,
            method=tf.image.ResizeMethod.LANCZOS3,
            antialias=True,
        )
        image = _to_levels(resized)
    return image


def _to_levels(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
