"""An export folder of tiny models with the signatures of tfstyle.export.

The style of a picture is its mean color, its content is its size.
"""

from pathlib import Path

import tensorflow as tf

_SEEDS = tf.TensorSpec([None], tf.int64, name="seed")


def write_tiny_export(folder: Path) -> Path:
    """Write all tiny models to `folder`, and files that a server must ignore."""
    _save(folder / "line" / "1", serving_default=_line(1.0))
    _save(folder / "line" / "2", serving_default=_line(2.0))
    _save(folder / "pair" / "1", serving_default=_pair, twice=_twice)
    _save(folder / "style_encoder" / "1", serving_default=_encode_style)
    _save(folder / "content_encoder" / "1", serving_default=_encode_content)
    _save(folder / "generator" / "1", sample=_sample, draw=_draw_seeds)
    _save(folder / "style_transfer" / "7", serving_default=_transfer)
    (folder / "line" / "latest").mkdir()
    (folder / "line" / "3").mkdir()
    (folder / "pictures").mkdir()
    (folder / "models.config").write_text("")
    return folder


def _save(folder: Path, **signatures: tf.types.experimental.GenericFunction) -> None:
    tf.saved_model.save(tf.Module(), str(folder), signatures=signatures)


def _line(slope: float) -> tf.types.experimental.GenericFunction:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def line(x):
        return {"y": slope * x + 0.5}

    return line


@tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), _SEEDS])
def _pair(a, seed):
    return {"sum": tf.reduce_sum(a, axis=1), "seed": seed}


@tf.function(input_signature=[_SEEDS])
def _twice(seed):
    return {"twice": tf.concat([seed, seed], axis=0), "seed": seed}


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
def _encode_style(image_bytes):
    style = tf.map_fn(_mean_color, image_bytes, fn_output_signature=tf.float32)
    count = tf.shape(style)[0]
    return {
        "style": style,
        "nearest_artists": tf.tile([["ann", "bob"]], [count, 1]),
        "nearest_distances": tf.tile([[0.25, 0.5]], [count, 1]),
    }


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
def _encode_content(image_bytes):
    sizes = tf.map_fn(_size, image_bytes, fn_output_signature=tf.int32)
    return {"content": tf.cast(sizes, tf.float32)}


@tf.function(
    input_signature=[
        tf.TensorSpec([None, 3], tf.float32, name="style"),
        tf.TensorSpec([None, 2], tf.float32, name="content"),
        _SEEDS,
    ]
)
def _sample(style, content, seed):
    # The seed shows as the red of every pixel.
    red = tf.cast(seed, tf.float32)[:, None] / 255.0
    return {
        "image_bytes": _draw(tf.concat([red, style[:, 1:]], axis=1), content),
    }


@tf.function(input_signature=[_SEEDS])
def _draw_seeds(seed):
    # Black but for the red of the seed, and 6 x 4 pixels.
    count = tf.shape(seed)[0]
    style, content = tf.zeros([count, 3]), tf.tile([[4.0, 6.0]], [count, 1])
    return {"style": style, "content": content, **_sample(style, content, seed)}


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.string, name="content_bytes"),
        tf.TensorSpec([None], tf.string, name="style_bytes"),
    ]
)
def _transfer(content_bytes, style_bytes):
    colors = tf.map_fn(_mean_color, style_bytes, fn_output_signature=tf.float32)
    sizes = tf.map_fn(_size, content_bytes, fn_output_signature=tf.int32)
    return {"image_bytes": _draw(colors, tf.cast(sizes, tf.float32))}


def _decode(data):
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _mean_color(data):
    return tf.reduce_mean(tf.cast(_decode(data), tf.float32) / 255.0, axis=[0, 1])


def _size(data):
    return tf.shape(_decode(data))[:2]


def _draw(colors, sizes):
    def draw(row):
        color, size = row
        shape = tf.concat([tf.cast(size, tf.int32), [3]], axis=0)
        pixels = tf.broadcast_to(tf.cast(tf.round(255.0 * color), tf.uint8), shape)
        return tf.io.encode_png(pixels)

    return tf.map_fn(draw, (colors, sizes), fn_output_signature=tf.string)
