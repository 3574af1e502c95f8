"""Decode and encode pictures inside a served graph.

The conversion is that of `tfstyle.data.pictures`, by which the records were made.
"""

import tensorflow as tf

from tfstyle.modeling.networks import color

# First bytes of a PNG; its header ends in the bits per channel and the color type.
_PNG = b"\x89PNG"
_PNG_HEADER = 26
_PALETTE = 3


def decode_pictures(
    encoded: tf.Tensor, image_size: int, fit: str, background: tuple[int, int, int]
) -> tf.Tensor:
    """Decode pictures of any size to scaled Lab.

    Args:
        encoded: string [batch]; JPEG, PNG, BMP with 24 bits or GIF (the first frame;
            its transparent pixels become black).
        image_size: side of the square result.
        fit: "crop", "pad" or "stretch", as in `pictures.to_square_rgb`.
        background: RGB levels behind transparent pixels.

    Returns:
        float32 [batch, image_size, image_size, 3], scaled Lab.
    """
    images = tf.map_fn(
        lambda data: _fit_square(_decode_rgb(data, background), image_size, fit),
        encoded,
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


def _decode_rgb(encoded: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
    """Decode a picture over the background: uint8 [height, width, 3]."""
    image = tf.case(
        [
            (
                tf.io.is_jpeg(encoded),
                # The fast default differs from Pillow's decoder by up to 20 levels.
                lambda: tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE"),
            ),
            # A single transparent color is decoded only if alpha is requested.
            (
                _has_decodable_alpha(encoded),
                lambda: tf.io.decode_png(encoded, channels=4),
            ),
        ],
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False),
    )
    image = tf.ensure_shape(image, [None, None, None])
    channels = tf.shape(image)[2]
    alpha_channels = 1 - channels % 2
    colors = channels - alpha_channels
    values = tf.cast(image, tf.float32)
    rgb = tf.tile(values[:, :, :colors], [1, 1, 3 // colors])  # repeats gray
    alpha = tf.where(alpha_channels == 1, values[:, :, -1:] / 255.0, 1.0)
    return _to_levels(alpha * rgb + (1 - alpha) * tf.constant(background, tf.float32))


def _has_decodable_alpha(encoded: tf.Tensor) -> tf.Tensor:
    """Return whether a picture is a PNG from which alpha can be requested.

    decode_png corrupts palettes and channels of 1 to 4 bits if it is.
    """
    padded = tf.strings.join([encoded, b"\0" * _PNG_HEADER])
    header = tf.io.decode_raw(tf.strings.substr(padded, 0, _PNG_HEADER), tf.uint8)
    is_png = tf.reduce_all(header[: len(_PNG)] == tf.constant(list(_PNG), tf.uint8))
    bits, color_type = header[-2], header[-1]
    return is_png & (bits >= 8) & (color_type != _PALETTE)


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
