"""Tiny stages on random frozen networks, and checks of what training changes.

They are plain functions, so that a process of its own can import them too.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import gin
import numpy as np
import tensorflow as tf

from helpers import configuration as tiny
from tfstyle.core import gin_config
from tfstyle.modeling import stages
from tfstyle.modeling.networks import frozen_codes
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.stages import factories
from tfstyle.modeling.stages.stage import BuildContext
from tfstyle.training import trainer
from tfstyle.training.workers.group import ALONE

ROWS = 4  # of a batch
ARTIST_COUNTS = (5, 2, 9)
# What the gan stage adds to the paper, except for its warm start.
GAN_ADDITIONS = (
    "gan.reconstruction_share = 0.5",
    "gan.reconstruction_weight = 1.0",
    "gan.decoder_weight = 2.0",
    "gan.r1_weight = 1.0",
    "gan.r1_interval = 2",
    "gan.style_prior = 'artists'",
    "gan.feature_weight = 1.0",
    "discriminators.conditional = True",
)
# The generator's warm start.
LIKE_DECODER = ("generator.hidden = True", "gan.start = 'decoder'")

# Where a gradient is zero except for rounding (an always active unit's threshold,
# WNAdd's s at r = 0), Adam and RMSprop enlarge it to whole steps. Comparisons up to
# rounding take plain gradient steps instead, at these rates.
SGD_RATES = {"metric": 1e-3, "classifier": 1e-2, "vae": 1e-5, "gan": 1e-2}


@contextlib.contextmanager
def tiny_configuration(*bindings: str) -> Iterator[None]:
    """Bind the tiny configuration in gin, and unbind everything afterwards."""
    gin.clear_config()
    try:
        bindings = (*tiny.list_bindings(), *bindings)
        gin_config.parse([], bindings, trainer.list_configurables())
        yield
    finally:
        gin.clear_config()


@dataclasses.dataclass(frozen=True)
class UntrainedCodes:
    """Random networks as configured, pruned, in place of those of earlier stages."""

    image_size: int
    pruning: Pruning

    @property
    def style_statistics(self) -> frozen_codes.CodeStatistics:
        """Random codes' statistics, of which only the artists' means are used."""
        rng = np.random.default_rng(17)
        codes = rng.normal(size=[8 * len(ARTIST_COUNTS), self.pruning.style_dims])
        ids = np.arange(len(codes)) % len(ARTIST_COUNTS)
        return frozen_codes.CodeStatistics.of_codes(codes, ids, len(ARTIST_COUNTS))

    @functools.cached_property
    def style_encoder(self) -> frozen_codes.NormalizedEncoder:
        """S with the dimensions that pruning keeps."""
        return self._freeze(factories.style_encoder(), self.pruning.style_dims)

    @functools.cached_property
    def content_encoder(self) -> frozen_codes.NormalizedEncoder:
        """Enc with the dimensions that pruning keeps."""
        return self._freeze(factories.content_encoder(), self.pruning.content_dims)

    @functools.cached_property
    def code_decoder(self) -> frozen_codes.CodeDecoder:
        """Dec, whose code has all of Enc's dimensions."""
        decoder = factories.content_decoder(self.image_size)
        dims = factories.content_encoder().dims
        decoder.build_variables(self.image_size, [self.pruning.style_dims, dims])
        scale = self._make_scale(self.pruning.content_dims)
        return frozen_codes.CodeDecoder(decoder, *scale, None, dims)

    def _freeze(self, network, dims: int) -> frozen_codes.NormalizedEncoder:
        network.build_variables(self.image_size)
        return frozen_codes.NormalizedEncoder(network, *self._make_scale(dims))

    @staticmethod
    def _make_scale(dims: int) -> tuple[np.ndarray, np.ndarray]:
        """Return means and deviations that differ from 0 and 1."""
        return np.linspace(-0.1, 0.1, dims), np.linspace(0.8, 1.2, dims)


def make_tiny_stage(
    stage: str,
    *bindings: str,
    accumulation_steps: int = 1,
    strategy=None,
    plain_steps: bool = False,
    with_xla: bool = False,
):
    """Build a stage as its `StageSpec` does, compiled, on random frozen networks.

    With plain_steps it takes gradient steps with momentum, and residuals have weights
    above 0 from the start, so that every variable has a gradient.
    """
    tf.keras.utils.set_random_seed(7)
    strategy = strategy or tf.distribute.get_strategy()
    with tiny_configuration(*bindings), strategy.scope():
        context = BuildContext(
            image_size=tiny.IMAGE_SIZE,
            seed=3,
            artist_counts=ARTIST_COUNTS,
            codes=UntrainedCodes(tiny.IMAGE_SIZE, Pruning()),
            accumulation_steps=accumulation_steps,
        )
        spec = stages.spec(stage)
        model, optimizers = spec.build(spec.settings(), context)
        if plain_steps:
            rate = SGD_RATES[stage]
            optimizers = [tf.keras.optimizers.SGD(rate, 0.9) for _ in optimizers]
            for network in model.networks.values():
                for variable in network.variables:
                    if "residual_weight" in variable.name:
                        variable.assign(tf.fill(variable.shape, 0.5))
        model.compile_step(optimizers, with_xla)
        for optimizer, variables in zip(
            model.optimizer, model.parameter_groups, strict=True
        ):
            optimizer.build(list(variables))
    return model


def fit(model, steps: int, batch=None, group=ALONE) -> dict[str, float]:
    """Train on the same batch in each step; return the means over these steps.

    Of a group of workers, each trains on its share.
    """
    batch = batch or make_batch()
    rows = len(batch["artist"]) // group.share.count
    begin = group.share.index * rows
    batch = {name: values[begin : begin + rows] for name, values in batch.items()}
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    if getattr(model, "tiny_phase", None) != _phase_of(model):  # tracing is slow
        begin_phase(model, make_mean_codes(model.dims))
    batches = group.distribute(batches.with_options(options))
    history = model.fit(batches, steps_per_epoch=steps, verbose=0).history
    return {name: values[-1] for name, values in history.items()}


def begin_phase(model, artist_means: np.ndarray) -> None:
    """Begin the phase of the stage's step, as the trainer does."""
    model.set_phase(model.steps_done, lambda: artist_means)
    model.tiny_phase = _phase_of(model)


def make_mean_codes(dims: int) -> np.ndarray:
    """Return a mean code for each artist, from which the metric stage can start."""
    return np.random.default_rng(13).normal(size=[len(ARTIST_COUNTS), dims])


def make_batch(rows: int = ROWS) -> dict[str, tf.Tensor]:
    """Return random pictures of artists 0, 1, 2, 0 .."""
    rng = np.random.default_rng(11)
    pictures = rng.integers(0, 256, [rows, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, 3])
    return {
        "image": tf.constant(pictures, tf.uint8),
        "artist": tf.constant(np.arange(rows) % len(ARTIST_COUNTS), tf.int64),
    }


def copy_weights(model) -> dict[str, np.ndarray]:
    """Copy the values of all networks of a stage, by unique names."""
    return {
        f"{name}/{number}/{variable.name.split('/')[-1]}": variable.numpy().copy()
        for name, network in model.networks.items()
        for number, variable in enumerate(network.variables)
    }


def assert_trained_alike(before, after, other_after) -> None:
    """Check that weights moved, and to the same place up to a thousandth of the way."""
    assert before.keys() == after.keys() == other_after.keys()
    for network in {name.split("/")[0] for name in before}:
        names = [name for name in before if name.startswith(f"{network}/")]
        moved = max(np.abs(after[name] - before[name]).max() for name in names)
        assert moved > 1e-4, network
        for name in names:
            np.testing.assert_allclose(
                other_after[name],
                after[name],
                rtol=0,
                atol=min(1e-5, 1e-3 * moved) + 1e-7,
            )


def _phase_of(model) -> int:
    return sum(end <= model.steps_done for end in model.phase_ends())
