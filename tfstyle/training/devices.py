"""On which devices a stage is trained, and whether XLA compiles its steps."""

import contextlib

import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.modeling.stages.stage import Stage
from tfstyle.training.settings import TrainSettings


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Make the distribution strategy that a configuration names.

    Raises:
        UserError: if there is no such strategy.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        # Without growth the first process takes all the memory of every GPU. Once a
        # device is in use it is too late, so it stays as it was set first.
        # Nor can devices grow that the caller has divided.
        with contextlib.suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "one_device":
        gpus = tf.config.list_logical_devices("GPU")
        return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "/cpu:0")
    raise UserError(
        'train.strategy must be "mirrored", "multi_worker" or "one_device", '
        f"got {name!r}"
    )


def choose_xla(
    settings: TrainSettings, model: Stage, strategy: tf.distribute.Strategy
) -> bool:
    """Decide whether XLA compiles the step: by itself on GPUs, if it can.

    Raises:
        UserError: if it is asked for and cannot.
    """
    several = strategy.num_replicas_in_sync > 1
    if several and model.images_per_artist:  # compared with those of other replicas
        if settings.jit_compile:
            raise UserError(
                "train.jit_compile = True: XLA cannot compile an objective that "
                "compares pictures of several replicas; leave the setting out"
            )
        return False
    if settings.jit_compile is None:
        return bool(tf.config.list_logical_devices("GPU"))
    return settings.jit_compile
