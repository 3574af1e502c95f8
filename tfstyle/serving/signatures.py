"""The four exported models: plain tf.Modules with named signatures.

Every input has a batch dimension and none is a scalar, so that a server can batch
requests. Pictures are encoded on input and output. Outputs with pictures are named
`image_bytes`, because TF Serving base64-encodes only outputs with the suffix `_bytes`.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfstyle.core.names import show
from tfstyle.modeling.networks.codes import UNIFORMS
from tfstyle.modeling.networks.weight_norm import fold
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import pictures_in_graph

# Number of artists that the style encoder returns, at most.
NEAREST_ARTISTS = 10
_STRINGS = tf.TensorSpec([None], tf.string)
# Seed of the noise vector that all style transfers share.
NOISE_SEED = 0

# What a seed is used for, so that the draws of a seed differ.
_NOISE, _STYLE, _ARTISTS, _CONTENT = range(4)

Outputs = dict[str, tf.Tensor]


class ExportedModel(tf.Module):
    """Signatures, and the variables that they use.

    Networks, whose kernels are folded in place, are not attributes, so that only their
    variables are saved and not Keras' description of them.
    """

    def __init__(self, *networks: tf.keras.Model) -> None:
        super().__init__()
        for network in networks:
            fold(network)
        self.weights = [weight for network in networks for weight in network.variables]
        self.functions: dict[str, Callable[..., Outputs]] = {}

    def add_signature(
        self, name: str, function: Callable[..., Outputs], **inputs: tf.TensorSpec
    ) -> None:
        """Add a function of named tensors that returns a dict of named tensors."""
        specs = [
            tf.TensorSpec(spec.shape, spec.dtype, name=input_name)
            for input_name, spec in inputs.items()
        ]
        # Not wrapped: inputs get their names from the function's arguments.
        self.functions[name] = tf.function(function, input_signature=specs)

    def save(self, path: str) -> None:
        """Write the SavedModel."""
        tf.saved_model.save(self, path, signatures=dict(self.functions))


def make_style_encoder(run: TrainedRun) -> ExportedModel:
    """Make the model from pictures to style codes and the nearest artists.

    Signature serving_default: image_bytes string [B] -> style float32 [B, style]
    (normalized), nearest_artists string [B, k], nearest_distances float32 [B, k].
    Names are as `core.names.show` shows them. Distances are those of the learned style
    space, before normalization.
    """
    encoder, decode, artists = run.style_encoder, _make_decoder(run), run.artists
    nearest = min(NEAREST_ARTISTS, len(artists.names))
    # Text in UTF-8, whatever bytes are in the names: a server writes it as JSON.
    names = tf.constant([show(name) for name in artists.names])
    model = ExportedModel(encoder)

    def encode(image_bytes: tf.Tensor) -> Outputs:
        style = encoder(decode(image_bytes))
        differences = (style[:, None] - artists.means[None]) * artists.deviation
        distances, rows = tf.math.top_k(-tf.norm(differences, axis=-1), nearest)
        return {
            "style": style,
            "nearest_artists": tf.gather(names, rows),
            "nearest_distances": -distances,
        }

    model.add_signature("serving_default", encode, image_bytes=_STRINGS)
    return model


def make_content_encoder(run: TrainedRun) -> ExportedModel:
    """Make the model from pictures to content codes.

    Signature serving_default: image_bytes string [B] -> content float32 [B, content].
    """
    encoder, decode = run.content_encoder, _make_decoder(run)
    model = ExportedModel(encoder)
    model.add_signature(
        "serving_default",
        lambda image_bytes: {"content": encoder(decode(image_bytes))},
        image_bytes=_STRINGS,
    )
    return model


def make_generator(run: TrainedRun) -> ExportedModel:
    """Make the model from codes to pictures.

    Signatures, all -> image_bytes string [B], PNG:
        serving_default: style [B, style], content [B, content], noise [B, noise].
        sample: style, content, seed int64 [B]; a row's noise depends on its seed only.
        draw: seed; also -> style, content. A row's codes depend on its seed only; its
            noise is that of `sample`. Styles are as `tfstyle.generate` draws them.
    """
    generator, prior = run.generator, run.style_prior
    style_dims, content_dims, noise_dims = run.code_sizes
    model = ExportedModel(generator)

    def generate(style: tf.Tensor, content: tf.Tensor, noise: tf.Tensor) -> Outputs:
        named = {"style": style, "content": content, "noise": noise}
        # An error of the request: pictures of such codes mean nothing.
        codes = [tf.debugging.check_numerics(v, name) for name, v in named.items()]
        images = generator(codes)
        return {"image_bytes": pictures_in_graph.encode_pictures(images)}

    def sample(style: tf.Tensor, content: tf.Tensor, seed: tf.Tensor) -> Outputs:
        return generate(style, content, _draw(seed, _NOISE, noise_dims))

    def draw(seed: tf.Tensor) -> Outputs:
        style = _draw(seed, _STYLE, style_dims)
        if prior is not None:
            uniform = tf.random.stateless_uniform
            style = prior.transform(_draw(seed, _ARTISTS, UNIFORMS, uniform), style)
        content = _draw(seed, _CONTENT, content_dims)
        return {"style": style, "content": content, **sample(style, content, seed)}

    codes = {"style": _floats(style_dims), "content": _floats(content_dims)}
    seeds = tf.TensorSpec([None], tf.int64)
    model.add_signature("serving_default", generate, **codes, noise=_floats(noise_dims))
    model.add_signature("sample", sample, **codes, seed=seeds)
    model.add_signature("draw", draw, seed=seeds)
    return model


def make_style_transfer(run: TrainedRun) -> ExportedModel:
    """Make the model that draws the content of a picture in the style of another.

    Signature serving_default: content_bytes, style_bytes string [B] -> image_bytes
    string [B], PNG.
    """
    style_encoder, content_encoder = run.style_encoder, run.content_encoder
    generator, decode = run.generator, _make_decoder(run)
    noise = draw_transfer_noise(run.noise_dims)
    model = ExportedModel(style_encoder, content_encoder, generator)

    def transfer(content_bytes: tf.Tensor, style_bytes: tf.Tensor) -> Outputs:
        style = style_encoder(decode(style_bytes))
        content = content_encoder(decode(content_bytes))
        noises = tf.tile(tf.constant(noise)[None], [tf.shape(style)[0], 1])
        images = generator([style, content, noises])
        return {"image_bytes": pictures_in_graph.encode_pictures(images)}

    model.add_signature(
        "serving_default", transfer, content_bytes=_STRINGS, style_bytes=_STRINGS
    )
    return model


def draw_transfer_noise(dims: int) -> np.ndarray:
    """Return the noise vector of style transfer, float32 [dims]."""
    return np.random.default_rng(NOISE_SEED).normal(size=dims).astype(np.float32)


def _draw(
    seeds: tf.Tensor,
    purpose: int,
    dims: int,
    distribution: Callable[..., tf.Tensor] = tf.random.stateless_normal,
) -> tf.Tensor:
    """Draw float32 [B, dims]; a row depends on its seed, int64 [B], alone."""
    return tf.map_fn(
        lambda seed: distribution([dims], tf.stack([seed, purpose])),
        seeds,
        fn_output_signature=tf.TensorSpec([dims], tf.float32),
    )


def _make_decoder(run: TrainedRun) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from encoded pictures, string [B], to scaled Lab."""
    # The run describes its pictures: the records may be on another machine.
    made_as = run.collection
    red, green, blue = bytes.fromhex(made_as.background.removeprefix("#"))
    return lambda encoded: pictures_in_graph.decode_pictures(
        encoded, made_as.image_size, made_as.fit, (red, green, blue)
    )


def _floats(dims: int) -> tf.TensorSpec:
    return tf.TensorSpec([None, dims], tf.float32)
