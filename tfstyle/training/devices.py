"""On which devices a stage is trained, whether XLA compiles it, and why it fails."""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.modeling.stages.stage import Stage
from tfstyle.runs.folder import StageFolder
from tfstyle.training.settings import TrainSettings
from tfstyle.training.workers import cluster, group


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


def join_workers(
    settings: TrainSettings, common: Sequence[str]
) -> contextlib.AbstractContextManager[group.Alone]:
    """Join the other workers, if the strategy has several; see `group.join`.

    `common` is what all must agree on.

    Raises:
        UserError: if TF_CONFIG, which names them, is missing or wrong.
    """
    if settings.strategy != "multi_worker":
        return contextlib.nullcontext(group.ALONE)
    workers = cluster.read_cluster(os.environ.get(cluster.VARIABLE))
    make = functools.partial(make_strategy, settings.strategy)
    return group.join(workers, make, common)


def choose_xla(
    settings: TrainSettings, model: Stage, strategy: tf.distribute.Strategy
) -> bool:
    """Decide whether XLA compiles the step: by itself on GPUs, if it can.

    Raises:
        UserError: if it is asked for and cannot.
    """
    if settings.strategy == "multi_worker":
        if settings.jit_compile:
            raise UserError(
                "train.jit_compile = True: XLA is not used by several workers; leave "
                "the setting out"
            )
        return False
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


@contextlib.contextmanager
def explain_failures(
    dataset: records.Dataset, settings: TrainSettings, folder: StageFolder
) -> Iterator[None]:
    """Name the setting or file behind TensorFlow's errors.

    Raises:
        UserError: for a full disk, exhausted memory, a corrupt record, or a stage
            folder that has vanished.
    """
    try:
        with input_pipeline.report_bad_records(lambda: dataset):
            yield
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" in str(error):
            raise UserError(f"the disk is full: {error.message[:200]}") from error
        raise UserError(
            f"out of memory: lower train.batch_size={settings.batch_size}, or raise "
            f"train.accumulation_steps={settings.accumulation_steps} (same result, "
            "less memory)"
        ) from error
    except (OSError, tf.errors.OpError):
        folder.check_presence()
        raise
