"""Encoded pictures to the networks' input and back, inside a served graph.

The same conversion as `tfstyle.data.pictures`, which made the records.
"""

import tensorflow as tf

from tfstyle.modeling.networks import color

# A PNG's first bytes; its header ends in bits per channel and color type.
_PNG = b"\x89PNG"
_PNG_HEADER = 26
_PALETTE = 3


def decode_pictures(
    encoded: tf.Tensor, image_size: int, fit: str, background: tuple[int, int, int]
) -> tf.Tensor:
    """Decode pictures of any size to scaled Lab.

    Args:
        encoded: string [batch]; JPEG, PNG, BMP of 24 bits or GIF (its first frame;
            what is transparent in it is black).
        image_size: side of the square result.
        fit: "crop", "pad" or "stretch", as in `pictures.to_square_rgb`.
        background: RGB levels behind transparent pixels.

    Returns:
        float32 [batch, image_size, image_size, 3], scaled Lab.
    """
    images = tf.map_fn(
        lambda one: _decode_picture(one, image_size, fit, background),
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


def _decode_picture(encoded, image_size, fit, background):
    image = tf.case(
        [
            (
                tf.io.is_jpeg(encoded),
                # The fast default differs from Pillow's decoder by up to 20 levels.
                lambda: tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE"),
            ),
            # One color marked as transparent is seen only if alpha is asked for.
            (_gives_alpha(encoded), lambda: tf.io.decode_png(encoded, channels=4)),
        ],
        lambda: tf.io.decode_image(encoded, channels=0, expand_animations=False),
    )
    image = _opaque_rgb(image, background)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    if fit == "pad":
        longer = tf.maximum(height, width)
        inner = [
            tf.maximum(1, (2 * side * image_size + longer) // (2 * longer))
            for side in (height, width)
        ]
        image = _resize(image, inner)
        top, left = (image_size - inner[0]) // 2, (image_size - inner[1]) // 2
        return tf.ensure_shape(
            tf.pad(
                image,
                [
                    [top, image_size - inner[0] - top],
                    [left, image_size - inner[1] - left],
                    [0, 0],
                ],
            ),
            [image_size, image_size, 3],
        )
    if fit == "crop":
        side = tf.minimum(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    return tf.ensure_shape(
        _resize(image, [image_size, image_size]), [image_size, image_size, 3]
    )


def _gives_alpha(encoded):
    """Whether decode_png can be asked for alpha: it spoils palettes and 1 to 4 bits."""
    start = tf.strings.substr(encoded, 0, _PNG_HEADER)
    start = tf.strings.substr(
        tf.strings.join([start, b"\0" * _PNG_HEADER]), 0, _PNG_HEADER
    )
    header = tf.io.decode_raw(start, tf.uint8)
    is_png = tf.reduce_all(header[: len(_PNG)] == tf.constant(list(_PNG), tf.uint8))
    bits, color_type = header[-2], header[-1]
    return is_png & (bits >= 8) & (color_type != _PALETTE)


def _opaque_rgb(image, background):
    """Lay 1 to 4 decoded channels over the background: uint8 [h, w, 3]."""
    image = tf.ensure_shape(image, [None, None, None])
    channels = tf.shape(image)[2]
    has_alpha = 1 - channels % 2
    values = tf.cast(image, tf.float32)
    # Grey is repeated to three channels.
    rgb = tf.tile(
        values[:, :, : channels - has_alpha],
        [1, 1, 3 // (channels - has_alpha)],
    )
    alpha = tf.where(has_alpha == 1, values[:, :, -1:] / 255.0, 1.0)
    paper = tf.constant(background, tf.float32)
    return _to_levels(alpha * rgb + (1 - alpha) * paper)


def _resize(image, size):
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


def _to_levels(values):
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)
