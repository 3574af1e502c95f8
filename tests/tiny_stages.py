"""Tiny stages and checks that the tests of the models share.

They are plain functions, so that a process of its own can import them too.
"""

import contextlib

import gin
import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.stages import classifier, gan, metric, vae

IMAGE_SIZE = 32
BATCH = 4
ARTIST_COUNTS = (5, 2, 9)
STYLE_DIMS = 3
CONTENT_DIMS = 4
TINY = """
style_encoder.features = (4, 8)
style_encoder.blocks = (1, 1)
style_encoder.dims = 6
content_encoder.features = (4, 8)
content_encoder.blocks = (1, 1)
content_encoder.dims = 5
content_decoder.features = (4, 8)
content_decoder.blocks = (1, 1)
generator.features = (4, 8)
generator.blocks = (1, 2)
discriminators.features = (4, 8)
discriminators.blocks = (1, 1)
discriminators.patch_size = 16
gan.code_dims = 10
adam.learning_rate = 1e-3
rmsprop.learning_rate = 1e-3
adam.ramp_steps = 1
rmsprop.ramp_steps = 1
"""


@contextlib.contextmanager
def tiny_configuration(*bindings: str):
    """Bind small networks in gin, and unbind everything afterwards."""
    gin.clear_config()
    try:
        gin.parse_config(TINY)
        gin.parse_config("\n".join(bindings))
        yield
    finally:
        gin.clear_config()


# Where a gradient is zero but for rounding (an always active unit's threshold, WNAdd's
# s at r = 0), Adam and RMSprop blow that up to whole steps. Comparisons up to rounding
# take plain gradient steps instead, at these rates.
SGD_RATES = {"metric": 1e-3, "classifier": 1e-2, "vae": 1e-5, "gan": 1e-2}


def make_tiny_stage(
    stage: str,
    *bindings: str,
    accumulation_steps: int = 1,
    strategy=None,
    plain_steps: bool = False,
):
    """Build a stage by its own factory, compiled, on random frozen encoders.

    With plain_steps it takes gradient steps with momentum, and residuals count from
    the start, so that every weight's gradient does.
    """
    tf.keras.utils.set_random_seed(7)
    common = {
        "image_size": IMAGE_SIZE,
        "seed": 3,
        "accumulation_steps": accumulation_steps,
    }
    strategy = strategy or tf.distribute.get_strategy()
    with tiny_configuration(*bindings), strategy.scope():
        if stage == "metric":
            model, optimizers = metric.metric(artist_counts=ARTIST_COUNTS, **common)
        elif stage == "classifier":
            model, optimizers = classifier.classifier(
                artists=len(ARTIST_COUNTS), **common
            )
        elif stage == "vae":
            model, optimizers = vae.vae(_frozen(networks.StyleEncoder), **common)
        else:
            model, optimizers = gan.gan(
                _frozen(networks.StyleEncoder),
                _frozen(networks.ContentEncoder),
                _frozen_decoder(),
                **common,
            )
        if plain_steps:
            rate = SGD_RATES[stage]
            optimizers = [tf.keras.optimizers.SGD(rate, 0.9) for _ in optimizers]
            for network in model.networks.values():
                for variable in network.variables:
                    if "residual_weight" in variable.name:
                        variable.assign(tf.fill(variable.shape, 0.5))
        model.compile(optimizer=optimizers)
        for optimizer, variables in zip(
            model.optimizer, model.parameter_groups, strict=True
        ):
            optimizer.build(list(variables))
    return model


def fit(model, steps: int, batch=None) -> dict[str, float]:
    """Train on one batch again and again; return the means over these steps."""
    batch = batch or make_batch()
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    phase = sum(end <= model.steps_done for end in model.phase_ends())
    if getattr(model, "tiny_phase", None) != phase:  # tracing again is slow
        model.set_phase(model.steps_done, lambda: mean_codes(model.dims))
        model.tiny_phase = phase
    history = model.fit(
        batches.with_options(options), steps_per_epoch=steps, verbose=0
    ).history
    return {name: values[-1] for name, values in history.items()}


def mean_codes(dims: int) -> np.ndarray:
    """Give each artist a mean code for the metric stage to start from."""
    return np.random.default_rng(13).normal(size=[len(ARTIST_COUNTS), dims])


def make_batch(rows: int = BATCH) -> dict[str, tf.Tensor]:
    """Make random pictures of artists 0, 1, 2, 0 .."""
    random = np.random.default_rng(11)
    pictures = random.integers(0, 256, [rows, IMAGE_SIZE, IMAGE_SIZE, 3])
    return {
        "image": tf.constant(pictures, tf.uint8),
        "artist": tf.constant(np.arange(rows) % len(ARTIST_COUNTS), tf.int64),
    }


def weights_of(model) -> dict[str, np.ndarray]:
    """Copy the values of all networks of a stage, by names that are its own."""
    return {
        f"{name}/{number}/{variable.name.split('/')[-1]}": variable.numpy().copy()
        for name, network in model.networks.items()
        for number, variable in enumerate(network.variables)
    }


def assert_trained_alike(before, one, other) -> None:
    """Check that weights moved, and to the same place up to a thousandth of the way."""
    assert before.keys() == one.keys() == other.keys()
    for network in {name.split("/")[0] for name in before}:
        names = [name for name in before if name.startswith(f"{network}/")]
        moved = max(np.abs(one[name] - before[name]).max() for name in names)
        assert moved > 1e-4, network
        for name in names:
            np.testing.assert_allclose(
                other[name], one[name], rtol=0, atol=min(1e-5, 1e-3 * moved) + 1e-7
            )


def _frozen(kind):
    dims = {networks.StyleEncoder: STYLE_DIMS, networks.ContentEncoder: CONTENT_DIMS}
    encoder = kind((4, 8), (1, 1), dims=6)
    encoder(tf.zeros([1, IMAGE_SIZE, IMAGE_SIZE, 3]))
    kept = dims[kind]
    return frozen_codes.NormalizedEncoder(
        encoder, np.linspace(-0.1, 0.1, kept), np.linspace(0.8, 1.2, kept)
    )


def _frozen_decoder():
    decoder = networks.ContentDecoder((4, 8), (1, 1), IMAGE_SIZE)
    decoder([tf.zeros([1, STYLE_DIMS]), tf.zeros([1, 6])])
    mean, deviation = np.zeros(CONTENT_DIMS), np.ones(CONTENT_DIMS)
    return frozen_codes.CodeDecoder(decoder, mean, deviation, None, content_dims=6)
