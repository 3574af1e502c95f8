"""What is served: four plain tf.Modules with named signatures.

Every input has a batch dimension and none is a scalar, so that a server can batch.
Pictures come in and go out encoded. Outputs with pictures are named `image_bytes`,
because TF Serving base64-encodes an output only if its name ends in `_bytes`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks.frozen_codes import NormalizedEncoder
from tfstyle.modeling.networks.networks import Generator
from tfstyle.modeling.networks.weight_norm import fold
from tfstyle.serving import pictures_in_graph

# Artists named by the style encoder, at most.
NEAREST_ARTISTS = 10

Decode = Callable[[tf.Tensor], tf.Tensor]


def make_decoder(image_size: int, fit: str, background: str) -> Decode:
    """Make the map from encoded pictures, string [B], to scaled Lab.

    Args:
        image_size, fit, background: as the records were made with.
    """
    red, green, blue = bytes.fromhex(background.removeprefix("#"))
    return lambda encoded: pictures_in_graph.decode_pictures(
        encoded, image_size, fit, (red, green, blue)
    )


class Servable(tf.Module):
    """Holds what a SavedModel needs: signatures, and the variables they use.

    Networks stay outside the module's attributes, so that only their variables are
    saved and not Keras' description of them.
    """

    def __init__(self, *networks: tf.keras.Model):
        super().__init__()
        for network in networks:
            fold(network)
        self._variables = [one for network in networks for one in network.variables]
        self._named: dict[str, Callable] = {}

    def add_signature(
        self, name: str, function: Callable, **inputs: tf.TensorSpec
    ) -> None:
        """Add a function of named tensors that returns a dict of named tensors."""
        specs = [
            tf.TensorSpec(spec.shape, spec.dtype, name=input_name)
            for input_name, spec in inputs.items()
        ]
        # Signatures are told apart by argument names, which a wrapper would lose.
        self._named[name] = tf.function(function, input_signature=specs)

    def save(self, path: str) -> None:
        """Write the SavedModel."""
        tf.saved_model.save(self, path, signatures=dict(self._named))


def style_encoder(
    encoder: NormalizedEncoder,
    decode: Decode,
    artist_names: Sequence[str],
    artist_means: np.ndarray,
    deviation: np.ndarray,
) -> Servable:
    """Pictures to style codes and the nearest artists.

    Signature serving_default: image_bytes string [B] -> style float32 [B, style]
    (normalized), nearest_artists string [B, k], nearest_distances float32 [B, k].
    Distances are those of the style space as learned: of codes before normalization.

    Args:
        encoder: S, normalized and pruned.
        decode: see `make_decoder`.
        artist_names: [N].
        artist_means: float32 [N, style], normalized.
        deviation: float32 [style], by which codes were divided.
    """
    nearest = min(NEAREST_ARTISTS, len(artist_names))
    servable = Servable(encoder)

    def encode(image_bytes):
        style = encoder(decode(image_bytes))
        differences = (style[:, None] - artist_means[None]) * deviation
        distances, artists = tf.math.top_k(-tf.norm(differences, axis=-1), nearest)
        return {
            "style": style,
            "nearest_artists": tf.gather(tf.constant(list(artist_names)), artists),
            "nearest_distances": -distances,
        }

    servable.add_signature("serving_default", encode, image_bytes=_strings())
    return servable


def content_encoder(encoder: NormalizedEncoder, decode: Decode) -> Servable:
    """Pictures to content codes.

    Signature serving_default: image_bytes string [B] -> content float32 [B, content].
    """
    servable = Servable(encoder)
    servable.add_signature(
        "serving_default",
        lambda image_bytes: {"content": encoder(decode(image_bytes))},
        image_bytes=_strings(),
    )
    return servable


def generator(network: Generator, code_dims: Sequence[int]) -> Servable:
    """Codes to pictures.

    Signatures, both -> image_bytes string [B], PNG:
        serving_default: style [B, style], content [B, content], noise [B, noise].
        sample: style, content, seed int64 [B]; a row's noise depends on its seed only.
    """
    style_dims, content_dims, noise_dims = code_dims
    servable = Servable(network)

    def generate(style, content, noise):
        images = network([style, content, noise])
        return {"image_bytes": pictures_in_graph.encode_pictures(images)}

    def sample(style, content, seed):
        noise = tf.map_fn(
            lambda one: tf.random.stateless_normal([noise_dims], tf.stack([one, 0])),
            seed,
            fn_output_signature=tf.TensorSpec([noise_dims], tf.float32),
        )
        return generate(style, content, noise)

    codes = {"style": _floats(style_dims), "content": _floats(content_dims)}
    servable.add_signature(
        "serving_default", generate, **codes, noise=_floats(noise_dims)
    )
    servable.add_signature(
        "sample", sample, **codes, seed=tf.TensorSpec([None], tf.int64)
    )
    return servable


def style_transfer(
    style: NormalizedEncoder,
    content: NormalizedEncoder,
    network: Generator,
    decode: Decode,
    noise: np.ndarray,
) -> Servable:
    """Two pictures to one: the content of the first in the style of the second.

    Signature serving_default: content_bytes, style_bytes string [B] -> image_bytes
    string [B], PNG.

    Args:
        style, content: S and Enc, normalized and pruned.
        network: G.
        decode: see `make_decoder`.
        noise: float32 [noise], the fixed unconditioned part of the code.
    """
    servable = Servable(style, content, network)

    def transfer(content_bytes, style_bytes):
        codes = style(decode(style_bytes)), content(decode(content_bytes))
        noises = tf.tile(tf.constant(noise)[None], [tf.shape(codes[0])[0], 1])
        images = network([*codes, noises])
        return {"image_bytes": pictures_in_graph.encode_pictures(images)}

    servable.add_signature(
        "serving_default", transfer, content_bytes=_strings(), style_bytes=_strings()
    )
    return servable


def _strings() -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string)


def _floats(dims: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, dims], tf.float32)
