"""Training one stage: build, resume, fit, finish."""

import contextlib
import dataclasses
import logging
import pathlib
import time
from collections.abc import Callable, Sequence

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.names import show
from tfstyle.core.paths import quote
from tfstyle.data import input_pipeline, records
from tfstyle.modeling import stages
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.objectives.augmentation import Augmentation
from tfstyle.modeling.objectives.passes import compute_artist_means
from tfstyle.modeling.stages import factories, optimizers
from tfstyle.modeling.stages.stage import BuildContext, Stage
from tfstyle.runs.checkpoints import restore
from tfstyle.runs.description import StageDescription
from tfstyle.runs.folder import StageFolder, stage_lock
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import devices, finishing, identity
from tfstyle.training.callbacks import Housekeeping
from tfstyle.training.monitoring import Monitor
from tfstyle.training.settings import Paths, TrainSettings
from tfstyle.training.workers.group import Alone

logger = logging.getLogger(__name__)


def list_configurables() -> dict[str, Callable]:
    """Return everything that a gin file may bind, by its name in gin."""
    return {
        "train": TrainSettings,
        "train_batches": input_pipeline.PipelineSettings,
        "pruning": Pruning,
        **{spec.name: spec.settings for spec in stages.specs()},
        "augmentation": Augmentation,
        "style_encoder": factories.style_encoder,
        "content_encoder": factories.content_encoder,
        "content_decoder": factories.content_decoder,
        "generator": factories.generator,
        "discriminators": factories.discriminators,
        "adam": optimizers.adam,
        "rmsprop": optimizers.rmsprop,
    }


def train(paths: Paths, settings: TrainSettings) -> None:
    """Train a stage to its end, resuming what is there.

    Raises:
        UserError: if something about settings, records or folders is wrong, or a
            loss is not finite.
        KeyboardInterrupt: if stopped by a signal, after a checkpoint.
    """
    spec = stages.spec(settings.stage)
    identity.check_folders(paths.run_dir, paths.init_from)
    dataset = records.read_dataset(paths.records_dir)
    input_pipeline.check_image_size(dataset, settings.image_size)
    keeps_best = settings.keeps_best(dataset)
    with (
        # Before TensorFlow computes anything.
        devices.join_workers(settings, identity.list_common(paths, dataset)) as group,
        identity.open_earlier_stages(spec, paths, dataset, group) as run,
    ):
        model = build_stage(settings, run, dataset, group.strategy)
        identity.check_pruning(spec, model)
        steps = settings.last_step(
            input_pipeline.steps_per_epoch(
                dataset, settings.splits, settings.batch_size, model.images_per_artist
            )
        )
        model.check_steps(steps)
        description = identity.describe_stage(
            settings, steps, model, dataset, paths, run
        )
        training = _Training(
            paths,
            settings,
            TrainedRun(paths.run_dir),
            dataset,
            model,
            description,
            keeps_best,
            group,
        )
        training.check_initial_weights()
        if not paths.restart:
            training.folder.check_parts()
        writes = group.is_chief and not paths.dry_run
        lock = stage_lock(training.folder) if writes else contextlib.nullcontext()
        with lock, input_pipeline.report_bad_records(lambda: dataset):
            training.prepare()
            is_done = training.agree_on_start()
            if paths.dry_run:
                training.log_plan()
            elif not is_done:
                training.run_to_end()
            elif group.is_chief:
                training.confirm()


def build_stage(
    settings: TrainSettings,
    run: TrainedRun,
    dataset: records.Dataset,
    strategy: tf.distribute.Strategy | None = None,
) -> Stage:
    """Build and compile a stage under its strategy, with its optimizers' variables.

    `strategy` is that of the settings, if it was made before.

    Raises:
        UserError: if the settings do not fit each other.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.mixed_precision.set_global_policy(settings.precision)
    strategy = strategy or devices.make_strategy(settings.strategy)
    parts = strategy.num_replicas_in_sync * settings.accumulation_steps
    if settings.batch_size % parts:
        raise UserError(
            f"train.batch_size={settings.batch_size} must divide by "
            f"{strategy.num_replicas_in_sync} replicas x "
            f"train.accumulation_steps={settings.accumulation_steps}"
        )
    context = BuildContext(
        image_size=settings.image_size,
        seed=settings.seed,
        artist_counts=dataset.artist_counts("train"),
        codes=run,
        accumulation_steps=settings.accumulation_steps,
    )
    spec = stages.spec(settings.stage)
    with strategy.scope():
        try:
            model, optimizer_list = spec.build(spec.settings(), context)
        except UserError:
            raise
        except (ValueError, TypeError) as error:
            raise UserError(f"configuration: {error}") from error
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"out of memory while the networks of the {spec.name} stage are built: "
                "lower their features, blocks, or dims"
            ) from error
        model.compile_step(
            optimizer_list, devices.choose_xla(settings, model, strategy)
        )
        for optimizer, variables in zip(
            model.optimizer, model.parameter_groups, strict=True
        ):
            optimizer.build(list(variables))
    return model


@dataclasses.dataclass
class _Training:
    """One training of a stage, from preparing its folder to its final weights."""

    paths: Paths
    settings: TrainSettings
    run: TrainedRun
    dataset: records.Dataset
    model: Stage  # built and compiled
    description: StageDescription  # for run.json
    keeps_best: bool  # the best weights are final, not the last
    group: Alone  # of the workers that train together
    dependents: Sequence[str] = ()
    saved: tf.train.Checkpoint | None = None  # what is resumed from

    @property
    def folder(self) -> StageFolder:
        """The stage's folder."""
        return self.run.folder(self.settings.stage)

    @property
    def is_done(self) -> bool:
        """Whether the stage was trained to its end before."""
        done = self.model.steps_done >= self.description.steps
        return done and self.folder.finished

    @property
    def _other_run(self) -> pathlib.Path | None:
        """The run that the first weights are to be taken from."""
        init_from = self.paths.init_from
        return pathlib.Path(init_from) if init_from else None

    def check_initial_weights(self) -> None:
        """Refuse a run without the first weights, before a folder is written."""
        begins = self.paths.restart or not self.folder.resumable.steps
        if self._other_run and begins:
            identity.check_initial_weights(self.description, self._other_run)

    def prepare(self) -> None:
        """Restore the newest checkpoint, or take first weights from another run."""
        model, folder = self.model, self.folder
        self.dependents = identity.list_dependents(folder)
        self.saved = tf.train.Checkpoint(**model.checkpoint_items())
        step, resumable = 0, False
        if not self.paths.restart:
            identity.check_identity(folder, self.description)
            step, resumable = identity.find_step(
                folder, self.description.steps, self.settings.checkpoint_interval
            )
        elif self._other_run:  # before anything is deleted: it may be corrupt
            identity.initialize_from(model, self.description, self._other_run)
        if self.paths.restart and not self.paths.dry_run and self.group.is_chief:
            folder.remove()
        if resumable:
            prefix = folder.resumable.prefix(step)
            restore(self.saved, prefix, f"the checkpoint {prefix} does not fit")
        elif step:
            model.step.assign(step)  # where it was finished
        elif self._other_run and not self.paths.restart:
            identity.initialize_from(model, self.description, self._other_run)
        if model.steps_done:
            self._resume_description()

    def agree_on_start(self) -> bool:
        """Return whether the chief finds the stage trained to its end.

        Raises:
            UserError: if it finds another step than this worker.
        """
        chiefs = self.group.meet(f"{self.model.steps_done} {self.is_done}")
        step, is_done = chiefs.split()
        if int(step) != self.model.steps_done:
            raise UserError(
                f"{self.folder.path} is at step {self.model.steps_done} here, but at "
                f"step {step} where the chief is: all workers need the same --run_dir, "
                "on a disk that they share"
            )
        return is_done == str(True)

    def confirm(self) -> None:
        """Report a stage that was trained before, and renew its pruning if needed."""
        folder = self.folder
        logger.info(
            "%s: already trained to step %d in %s",
            *(folder.stage, self.model.steps_done, folder.path),
        )
        folder.write(
            dataclasses.replace(folder.read(), dataset=self.description.dataset)
        )
        checkpoint = self._final_choice
        finishing.repair(folder, self.dataset, checkpoint)
        finishing.renew_pruning(folder, self.dataset, checkpoint)
        if identity.list_dependents(folder) != self.dependents:  # other codes
            self._log_dependents()

    def run_to_end(self) -> None:
        """Train, finish, and mark the stage as finished."""
        settings, folder, model = self.settings, self.folder, self.model
        start_time, start = time.time(), model.steps_done
        steps = self.description.steps
        self.log_plan()
        if self.group.is_chief:
            self._log_dependents()
            folder.mark_unfinished()
            folder.write(self.description)
            _write_operative_config(folder)
        monitor = Monitor(self.run, folder.stage, self.dataset, settings.batch_size)
        housekeeping = Housekeeping(
            *(folder, settings, model, steps, self.saved, monitor),
            *(self.keeps_best, self.group),
        )
        housekeeping.listen_for_signals()
        with devices.explain_failures(self.dataset, settings, folder):
            if self.description.init_from and not start:
                model.meet_artists(self._artist_means)
            with housekeeping.progress:  # closed before an error is shown
                self._fit(housekeeping, steps)
            if not self.group.is_chief:
                return  # the chief finishes the stage
            _write_operative_config(folder)  # the pipeline's settings are in use now
            finishing.finish(folder, self.dataset, self._final_choice)
        folder.mark_finished(steps)
        minutes = (time.time() - start_time) / 60
        _log_lines(
            f"{folder.stage}: trained to step {steps} ({minutes:.1f} minutes now)",
            f"  pictures: {show(str(folder.previews))}",
            f"  curves:   tensorboard --logdir={quote(self.paths.run_dir)}",
        )

    @property
    def _final_choice(self) -> str | None:
        """Which checkpoint becomes the final weights; see `train.checkpoint`."""
        # A best checkpoint of older versions may be left, chosen by test pictures.
        return self.settings.checkpoint if self.keeps_best else "last"

    def log_plan(self) -> None:
        """Log what will be trained, from the present step on; the chief does."""
        if not self.group.is_chief:
            return
        settings, described = self.settings, self.description
        start = self.model.steps_done
        counts = "  ".join(
            f"{name} {network['parameters'] / 1e6:.2f}M"
            for name, network in described.networks.items()
        )
        pictures = self.dataset.num_examples(*settings.splits)
        begin = f"resuming from step {start}" if start else "from the beginning"
        if start and self.folder.finished:
            begin += ", where it was finished"
        if self.is_done:
            begin = "which are trained already"
        if self.paths.dry_run and self.paths.restart and self.folder.exists:
            begin += ", deleting what it has trained so far"
        size = settings.image_size
        _log_lines(
            f"{described.stage}: {described.steps} steps of {settings.batch_size} "
            f"pictures, {begin}",
            f"  pictures: {pictures} of {len(self.dataset.artists)} artists, "
            f"{size}x{size} ({show(self.dataset.records_dir)})",
            f"  networks: {counts}",
            f"  strategy: {settings.strategy}, {described.replicas} replica(s), "
            f"{settings.precision}{', XLA' if self.model.with_xla else ''}",
            f"  folder:   {show(str(self.folder.path))}",
        )
        if self.model.with_xla and not self.is_done:
            logger.info("XLA compiles the step first, for a minute or two")
        if not self.dataset.has_validation:
            logger.info(
                "note: %s has no validation pictures, so the final weights are the "
                "last, and test pictures are shown while training; newer records have "
                "some",
                self.dataset.records_dir,
            )

    def _resume_description(self) -> None:
        """Keep where the first weights came from, and steps beyond those asked for."""
        settings, folder, start = self.settings, self.folder, self.model.steps_done
        asked, init_from = self.paths.init_from, folder.read().init_from
        steps = self.description.steps
        self.description = dataclasses.replace(
            self.description, init_from=init_from, steps=max(start, steps)
        )
        if asked not in (None, init_from):
            logger.info(
                "--init_from=%s is not used: training of %s has begun",
                *(asked, folder.path),
            )
        if start > steps:
            limit = f"train.steps={settings.steps}"
            if settings.steps is None:
                limit = f"train.epochs={settings.epochs}"
            logger.info("%s: already at step %d, beyond %s", folder.stage, start, limit)

    def _fit(self, housekeeping: Housekeeping, steps: int) -> None:
        settings, model = self.settings, self.model
        for phase_end in [*model.phase_ends(), steps]:
            end, start = min(phase_end, steps), model.steps_done
            if start >= end:
                continue
            model.set_phase(start, self._artist_means)
            batches = input_pipeline.train_batches(
                self.dataset,
                settings.splits,
                settings.batch_size,
                settings.seed,
                start,
                model.images_per_artist,
                self.group.share,
            )
            model.fit(
                self.group.distribute(batches),
                steps_per_epoch=end - start,
                verbose=0,
                callbacks=[housekeeping],
            )

    def _artist_means(self) -> np.ndarray:
        means = compute_artist_means(self.model.style_encoder, self.dataset)
        return self.group.take_chiefs(means)

    def _log_dependents(self) -> None:
        if self.dependents:
            logger.info(
                "note: with other codes of the %s stage in %s there will be %s",
                *(self.folder.stage, self.folder.run_dir, "; ".join(self.dependents)),
            )


def _log_lines(*lines: str) -> None:
    for line in lines:
        logger.info("%s", line)


def _write_operative_config(folder: StageFolder) -> None:
    files.write_text(folder.path / "operative_config.gin", gin.operative_config_str())
