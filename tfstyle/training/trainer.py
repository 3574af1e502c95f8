"""Training one stage: build, resume, fit, finish."""

import contextlib
import dataclasses
import pathlib
import time

import gin
import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.stages import classifier, factories, gan, metric, optimizers, vae
from tfstyle.modeling.stages.stage import Stage
from tfstyle.runs import folder as runs
from tfstyle.training import callbacks, finishing, guards, identity
from tfstyle.training.monitoring import Monitor
from tfstyle.training.settings import TrainSettings

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


# Everything that a gin file may bind, by name.
CONFIGURABLES = {
    "train": TrainSettings,
    "train_batches": input_pipeline.endless_batches,
    "pruning": finishing.Pruning,
    "metric": metric.metric,
    "classifier": classifier.classifier,
    "vae": vae.vae,
    "gan": gan.gan,
    "style_encoder": factories.style_encoder,
    "content_encoder": factories.content_encoder,
    "content_decoder": factories.content_decoder,
    "generator": factories.generator,
    "discriminators": factories.discriminators,
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
    identity.check_folders(paths.run_dir, paths.init_from)
    dataset = records.read_dataset(paths.records_dir)
    input_pipeline.check_image_size(dataset, settings.image_size)
    identity.require_earlier_stages(
        settings.stage,
        paths.run_dir,
        dataset,
        paths.allow_unfinished,
        f"python -m tfstyle.train --gin_file={paths.gin_dir}/{{}}.gin "
        f"--records_dir={paths.records_dir} --run_dir={paths.run_dir}",
    )

    model = build_stage(settings, paths.run_dir, dataset)
    identity.check_pruning(model)
    steps = settings.last_step(
        input_pipeline.steps_per_epoch(
            dataset, settings.splits, settings.batch_size, model.images_per_artist
        )
    )
    if settings.stage == "metric" and max(model.phase_ends(), default=0) >= steps:
        raise UserError(
            f"metric.warm_start_steps={model.phase_ends()[0]} leaves none of the "
            f"{steps} steps to the style space: raise train.steps"
        )
    run = identity.describe_run(settings, steps, model, dataset, paths.run_dir)
    run["init_from"] = paths.init_from
    run["gin_dir"] = str(paths.gin_dir)
    if paths.dry_run:
        _print_plan(run, dataset, settings, folder)
        return
    with guards.only_one(folder):
        _train_built(paths, settings, folder, dataset, model, run)


def _train_built(paths, settings, folder, dataset, model, run) -> None:
    """Train a built stage from where it is."""
    dependents = identity.dependents(folder)
    if paths.restart:
        if paths.init_from:  # before what is trained is gone: it may be misspelt
            identity.initialize_from(model, run, pathlib.Path(paths.init_from))
        folder.remove()
    identity.check_identity(folder, run)
    saved = tf.train.Checkpoint(**model.checkpoint_items())
    manager = tf.train.CheckpointManager(
        saved,
        str(folder.checkpoints),
        settings.checkpoints_kept,
        checkpoint_name="step",
    )
    if manager.latest_checkpoint:
        identity.restore(saved, manager.latest_checkpoint)
    elif list(folder.checkpoints.glob("step-*.index")):
        raise UserError(
            f"{folder.checkpoints} holds checkpoints, but the file `checkpoint` that "
            "names the newest is gone: put it back, or pass --restart to begin again"
        )
    elif paths.init_from:
        identity.initialize_from(model, run, pathlib.Path(paths.init_from))
    start = model.steps_done
    if start:
        run["init_from"] = folder.read().get("init_from")
        if paths.init_from not in (None, run["init_from"]):
            print(f"--init_from={paths.init_from} is not used: {folder.path} has begun")
    if start >= run["steps"] and folder.finished:
        print(f"{settings.stage}: already trained to step {start} in {folder.path}")
        finishing.renew_pruning(folder, dataset, settings.checkpoint)
        if identity.dependents(folder) != dependents:  # pruned to other codes
            _print_dependents(folder, dependents)
        return
    if start > run["steps"]:
        asked = f"train.steps={settings.steps}"
        if settings.steps is None:
            asked = f"train.epochs={settings.epochs}"
        print(f"{settings.stage}: already at step {start}, beyond {asked}")
    steps = run["steps"] = max(run["steps"], start)

    began = time.time()
    _print_plan(run, dataset, settings, folder, start)
    _print_dependents(folder, dependents)
    folder.mark_unfinished()
    folder.write(run)
    _write_operative_config(folder)
    housekeeping = _housekeeping(folder, dataset, settings, steps, model, manager)
    with guards.explained_failures(
        dataset, settings.splits, settings.batch_size, settings.accumulation_steps
    ):
        if settings.stage == "metric" and run["init_from"] and not start:
            model.start_from(passes.artist_means(model.style_encoder, dataset))
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
    files.write_text(folder.path / "operative_config.gin", gin.operative_config_str())


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
                built = classifier.classifier(artists=len(dataset.artists), **common)
            elif settings.stage == "vae":
                built = vae.vae(runs.load_style_encoder(run_dir), **common)
            else:
                built = gan.gan(
                    runs.load_style_encoder(run_dir),
                    runs.load_content_encoder(run_dir),
                    runs.load_code_decoder(run_dir),
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
    pruning = finishing.Pruning()
    style_dims, tolerance = pruning.style_dims, pruning.tolerance
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
            dataset,
            folder.previews,
            settings.batch_size,
            style_dims,
            tolerance,
            _judge(folder) if folder.stage == "gan" else None,
        ),
    )
    housekeeping.listen_for_signals()
    return housekeeping


def _judge(folder) -> tf.keras.Model | None:
    """Load the run's classifier, if it is trained, to judge generated pictures."""
    classifier_folder = runs.StageFolder(folder.run_dir, "classifier")
    if not classifier_folder.finished:
        return None
    return runs.load_network(classifier_folder, "style_encoder")


def _fit(model, housekeeping, dataset, settings, steps):
    for end in [*model.phase_ends(), steps]:
        end, here = min(end, steps), model.steps_done
        if here >= end:
            continue
        model.set_phase(here, lambda: passes.artist_means(model.style_encoder, dataset))
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


def _print_dependents(folder, dependents):
    if dependents:
        print(
            f"note: with other codes of the {folder.stage} stage in {folder.run_dir} "
            f"there will be {'; '.join(dependents)}",
            flush=True,
        )


def _print_plan(run, dataset, settings, folder, start=0):
    counts = "  ".join(
        f"{name} {one['parameters'] / 1e6:.2f}M"
        for name, one in run["networks"].items()
    )
    pictures = dataset.num_examples(*settings.splits)
    until = "from the beginning" if not start else f"continuing from step {start}"
    if start and folder.finished:
        until += ", where it was finished"
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
