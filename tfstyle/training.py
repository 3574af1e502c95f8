"""Training one stage: build, resume, fit, finish."""

import contextlib
import dataclasses
import math
import pathlib
import time

import gin
import tensorflow as tf

from tfstyle import callbacks, finishing, guards, lineage, runs
from tfstyle.analysis import evaluation
from tfstyle.analysis.monitoring import Monitor
from tfstyle.command import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.modeling import gan, metric, optimizers, table_1, vae
from tfstyle.modeling.stage import Stage

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where a stage reads and writes, and what to do with what is there."""

    records_dir: str
    run_dir: pathlib.Path
    gin_dir: pathlib.Path
    restart: bool = False
    init_from: str | None = None
    allow_unfinished: bool = False
    dry_run: bool = False


@gin.configurable(name_or_fn="train")
@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a stage is trained; bound in gin as `train.NAME`.

    Args:
        stage: "metric", "classifier", "vae" or "gan".
        batch_size: pictures per step over all replicas.
        steps: where training ends; or
        epochs: passes over the training pictures.
        image_size: side of the pictures; the records' must be the same.
        splits: what is trained on.
        seed: of weights, order and every random draw.
        log_interval, eval_interval, preview_interval, checkpoint_interval: in steps.
        checkpoints_kept: to resume from.
        checkpoint: weights that go on: "best", "last", or None for the stage's own
            rule (the best where test pictures are not trained on, the gan's last).
        strategy: "mirrored" (all GPUs, or the CPU), "multi_worker" (TF_CONFIG) or
            "one_device".
        precision: "float32", "mixed_float16" or "mixed_bfloat16".
        accumulation_steps: parts of each batch, one after the other, to save memory.
        deterministic: bit-for-bit repeatable on GPUs too, slower.
        jit_compile: compile the step with XLA; on one replica only.
    """

    stage: str = gin.REQUIRED
    batch_size: int = gin.REQUIRED
    steps: int | None = None
    epochs: float | None = None
    image_size: int = 256
    splits: tuple[str, ...] = ("train",)
    seed: int = 0
    log_interval: int = 100
    eval_interval: int = 2000
    preview_interval: int = 2000
    checkpoint_interval: int = 2000
    checkpoints_kept: int = 2
    checkpoint: str | None = None
    strategy: str = "mirrored"
    precision: str = "float32"
    accumulation_steps: int = 1
    deterministic: bool = False
    jit_compile: bool = False

    def __post_init__(self):
        if (self.steps is None) == (self.epochs is None):
            raise UserError(
                "set one of train.steps and train.epochs, got "
                f"steps={self.steps}, epochs={self.epochs}"
            )
        for name in (
            *("epochs" if self.steps is None else "steps", "batch_size", "image_size"),
            *("accumulation_steps", "checkpoints_kept", "checkpoint_interval"),
            *("log_interval", "eval_interval", "preview_interval"),
        ):
            value = getattr(self, name)
            kinds = (int, float) if name == "epochs" else (int,)
            if not isinstance(value, kinds) or value <= 0:
                raise UserError(f"train.{name} must be a number above 0, got {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"train.seed must be a number from 0 on, got {self.seed!r}")
        if isinstance(self.splits, str) or not {"train", "test"}.issuperset(
            self.splits
        ):
            raise UserError(
                'train.splits must be ("train",) or ("train", "test"), got '
                f"{self.splits!r}"
            )
        allowed = (None, "last") if self.stage == "gan" else (None, "last", "best")
        if self.checkpoint not in allowed:
            raise UserError(
                f"train.checkpoint must be one of {allowed} for the {self.stage} "
                f"stage, got {self.checkpoint!r}"
            )

    def last_step(self, examples: int) -> int:
        """Give the step at which training ends, for so many training pictures."""
        if self.epochs is None:
            assert self.steps is not None
            return self.steps
        return math.ceil(self.epochs * (examples // self.batch_size))


def read_settings() -> TrainSettings:
    """Take the settings from the parsed gin files.

    Raises:
        UserError: if one is missing that has no default.
    """
    try:
        return TrainSettings()
    except RuntimeError as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}") from None


# Everything that a gin file may bind, by name.
CONFIGURABLES = {
    "train": TrainSettings,
    "train_batches": input_pipeline.endless_batches,
    "pruning": runs.pruning,
    "metric": metric.metric,
    "classifier": metric.classifier,
    "vae": vae.vae,
    "gan": gan.gan,
    "style_encoder": table_1.style_encoder,
    "content_encoder": table_1.content_encoder,
    "content_decoder": table_1.content_decoder,
    "generator": table_1.generator,
    "discriminators": table_1.discriminators,
    "adam": optimizers.adam,
    "rmsprop": optimizers.rmsprop,
}


def train(paths: Paths, settings: TrainSettings) -> None:
    """Train a stage to its end, continuing what is there.

    Raises:
        UserError: if something about settings, records or folders is wrong, or a
            loss stops being finite.
        KeyboardInterrupt: if stopped by a signal, after a checkpoint.
    """
    if settings.stage not in runs.STAGES:
        raise UserError(
            f"train.stage must be one of {runs.STAGES}, got {settings.stage!r}"
        )
    folder = runs.StageFolder(paths.run_dir, settings.stage)
    dataset = records.read_dataset(paths.records_dir)
    input_pipeline.check_image_size(dataset, settings.image_size)
    steps = settings.last_step(dataset.num_examples(*settings.splits))
    lineage.require_earlier_stages(
        settings.stage,
        paths.run_dir,
        dataset,
        paths.allow_unfinished,
        f"python -m tfstyle.train --gin_file={paths.gin_dir}/{{}}.gin "
        f"--records_dir={paths.records_dir} --run_dir={paths.run_dir}",
    )

    model = build_stage(settings, paths.run_dir, dataset)
    lineage.check_pruning(model)
    run = lineage.describe_run(settings, steps, model, dataset, paths.run_dir)
    if paths.dry_run:
        _print_plan(run, dataset, settings, folder)
        return
    with guards.only_one(folder):
        _train_built(paths, settings, folder, dataset, model, run)


def _train_built(paths, settings, folder, dataset, model, run) -> None:
    """Train a built stage from where it is."""
    steps = run["steps"]
    if paths.restart:
        folder.remove()
    lineage.check_identity(folder, run)
    saved = tf.train.Checkpoint(**model.checkpoint_items())
    manager = tf.train.CheckpointManager(
        saved,
        str(folder.checkpoints),
        settings.checkpoints_kept,
        checkpoint_name="step",
    )
    if manager.latest_checkpoint:
        lineage.restore(saved, manager.latest_checkpoint)
    elif list(folder.checkpoints.glob("step-*.index")):
        raise UserError(
            f"{folder.checkpoints} holds checkpoints, but the file `checkpoint` that "
            "names the newest is gone: put it back, or pass --restart to begin again"
        )
    elif paths.init_from:
        lineage.initialize_from(model, run, pathlib.Path(paths.init_from))
        if settings.stage == "metric":
            model.start_from(evaluation.artist_means(model.style_encoder, dataset))
    start = model.steps_done
    if start >= steps and folder.finished:
        print(f"{settings.stage}: already trained to step {start} in {folder.path}")
        finishing.renew_pruning(folder, dataset, settings.checkpoint)
        return

    began = time.time()
    _print_plan(run, dataset, settings, folder, start)
    folder.mark_unfinished()
    folder.write(run)
    _write_operative_config(folder)
    housekeeping = _housekeeping(folder, dataset, settings, steps, model, manager)
    with guards.explained_failures(
        dataset, settings.splits, settings.batch_size, settings.accumulation_steps
    ):
        _fit(model, housekeeping, dataset, settings, steps)
        _write_operative_config(folder)  # the pipeline's settings are in use by now
        finishing.finish(folder, dataset, settings.checkpoint)
    folder.mark_finished(steps)
    print(
        f"{settings.stage}: trained to step {steps} "
        f"({(time.time() - began) / 60:.1f} minutes now)\n"
        f"  pictures: {folder.previews}\n"
        f"  curves:   tensorboard --logdir={paths.run_dir}",
        flush=True,
    )


def _write_operative_config(folder):
    runs.write_text(folder.path / "operative_config.gin", gin.operative_config_str())


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Make the distribution strategy that a configuration names.

    Raises:
        UserError: if there is no such strategy.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        # Without growth the first process takes all the memory of every GPU.
        # Once a device is in use it is too late, and so it stays as it was set first.
        with contextlib.suppress(RuntimeError):
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


def build_stage(
    settings: TrainSettings, run_dir: pathlib.Path, dataset: records.Dataset
) -> Stage:
    """Build and compile a stage under its strategy, with its optimizers' variables.

    Args:
        settings: of training.
        run_dir: holds the earlier stages that vae and gan need.
        dataset: the records.

    Raises:
        UserError: if the settings do not fit each other.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    if settings.precision not in PRECISIONS:
        raise UserError(
            f"train.precision must be one of {PRECISIONS}, got {settings.precision!r}"
        )
    tf.keras.mixed_precision.set_global_policy(settings.precision)
    strategy = make_strategy(settings.strategy)
    parts = strategy.num_replicas_in_sync * settings.accumulation_steps
    if settings.batch_size % parts:
        raise UserError(
            f"train.batch_size={settings.batch_size} must divide by "
            f"{strategy.num_replicas_in_sync} replicas x "
            f"train.accumulation_steps={settings.accumulation_steps}"
        )
    common = {
        "image_size": settings.image_size,
        "seed": settings.seed,
        "accumulation_steps": settings.accumulation_steps,
    }
    with strategy.scope():
        try:
            if settings.stage == "metric":
                built = metric.metric(
                    artist_counts=dataset.artist_counts("train"), **common
                )
            elif settings.stage == "classifier":
                built = metric.classifier(artists=len(dataset.artists), **common)
            elif settings.stage == "vae":
                built = vae.vae(runs.load_style_encoder(run_dir), **common)
            else:
                built = gan.gan(
                    runs.load_style_encoder(run_dir),
                    runs.load_content_encoder(run_dir),
                    **common,
                )
        except UserError:
            raise
        except (ValueError, TypeError) as error:
            raise UserError(f"configuration: {error}") from error
        model, optimizer_list = built
        model.compile(optimizer=optimizer_list, jit_compile=settings.jit_compile)
        for optimizer, variables in zip(
            model.optimizer, model.parameter_groups, strict=True
        ):
            optimizer.build(list(variables))
    return model


def _housekeeping(folder, dataset, settings, steps, model, manager):
    keeps_best = settings.stage != "gan" and "test" not in settings.splits
    best_manager = None
    if keeps_best and settings.checkpoint != "last":
        best_manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**model.networks),
            str(folder.checkpoints / "best"),
            max_to_keep=1,
            checkpoint_name="step",
        )
    style_dims, _, tolerance = runs.pruning()
    housekeeping = callbacks.Housekeeping(
        folder,
        steps=steps,
        start=model.steps_done,
        batch_size=settings.batch_size,
        seed=settings.seed,
        intervals=callbacks.Intervals(
            settings.log_interval,
            settings.eval_interval,
            settings.preview_interval,
            settings.checkpoint_interval,
        ),
        manager=manager,
        best_manager=best_manager,
        monitor=Monitor(
            dataset, folder.previews, settings.batch_size, style_dims, tolerance
        ),
    )
    housekeeping.listen_for_signals()
    return housekeeping


def _fit(model, housekeeping, dataset, settings, steps):
    for end in [*model.phase_ends(), steps]:
        end, here = min(end, steps), model.steps_done
        if here >= end:
            continue
        model.set_phase(
            here, lambda: evaluation.artist_means(model.style_encoder, dataset)
        )
        batches = input_pipeline.train_batches(
            dataset,
            settings.splits,
            settings.batch_size,
            settings.seed,
            here,
            model.images_per_artist,
        )
        model.fit(
            batches, steps_per_epoch=end - here, verbose=0, callbacks=[housekeeping]
        )


def _print_plan(run, dataset, settings, folder, start=0):
    counts = "  ".join(
        f"{name} {one['parameters'] / 1e6:.2f}M"
        for name, one in run["networks"].items()
    )
    pictures = dataset.num_examples(*settings.splits)
    until = "from the beginning" if not start else f"continuing from step {start}"
    print(
        f"{run['stage']}: {run['steps']} steps of {settings.batch_size} pictures, "
        f"{until}\n"
        f"  pictures: {pictures} of {len(dataset.artists)} artists, "
        f"{settings.image_size}x{settings.image_size} ({dataset.records_dir})\n"
        f"  networks: {counts}\n"
        f"  strategy: {settings.strategy}, {run['replicas']} replica(s), "
        f"{settings.precision}\n"
        f"  folder:   {folder.path}",
        flush=True,
    )
