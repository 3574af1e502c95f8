"""What a stage builds on, its identity, its first weights."""

import contextlib
import logging
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import gin
import tensorflow as tf

import tfstyle
from tfstyle.core.cli import UserError
from tfstyle.core.paths import find_obstacle, quote
from tfstyle.data import records
from tfstyle.data.input_pipeline import PipelineSettings
from tfstyle.modeling import stages
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.stages.stage import Stage, StageSpec
from tfstyle.runs import advice, style_space
from tfstyle.runs.checkpoints import find_damage, restore
from tfstyle.runs.description import (
    Collection,
    StageDescription,
    describe_networks,
    list_changes,
    list_differences,
)
from tfstyle.runs.folder import (
    StageFolder,
    is_outdated,
    read_code_digests,
    stage_lock,
)
from tfstyle.runs.metrics_log import find_last_step
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import finishing
from tfstyle.training.settings import Paths, TrainSettings
from tfstyle.training.workers.group import ALONE, Alone

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def open_earlier_stages(
    spec: StageSpec,
    paths: Paths,
    dataset: records.Dataset,
    group: Alone = ALONE,
) -> Iterator[TrainedRun]:
    """Yield a run with all that a stage builds on.

    If `paths` allows unfinished stages, their weights of now become final, in a dry run
    those of a temporary copy. Of a group of workers, the chief sees to that.

    Raises:
        UserError: an earlier stage is missing, outdated, or unfinished; with the
            command that trains it.
    """
    unfinished = _list_unfinished(spec, paths, Collection.of_dataset(dataset))
    if not (unfinished and paths.dry_run):
        for folder in unfinished if group.is_chief else []:
            with stage_lock(folder):
                finishing.finish(folder, dataset)
        group.meet()
        yield TrainedRun(paths.run_dir)
        return
    with tempfile.TemporaryDirectory(prefix="tfstyle-") as temporary:
        copy = pathlib.Path(temporary)
        for name in (*spec.needs, *_list_needs(spec.needs)):
            if not (copy / name).exists():
                _link_files(StageFolder(paths.run_dir, name), copy)
        for folder in unfinished:
            finishing.finish(StageFolder(copy, folder.stage), dataset)
        yield TrainedRun(copy)


def _list_needs(names: Sequence[str]) -> list[str]:
    return [name for earlier in names for name in stages.spec(earlier).needs]


def _link_files(folder: StageFolder, run_dir: pathlib.Path) -> None:
    """Make a copy of a stage in another run, whose files are links."""
    shutil.copytree(
        folder.path.resolve(),
        run_dir / folder.stage,
        copy_function=lambda source, target: pathlib.Path(target).symlink_to(source),
        ignore=shutil.ignore_patterns("tensorboard", "previews"),
    )


def _list_unfinished(
    spec: StageSpec, paths: Paths, collection: Collection
) -> list[StageFolder]:
    """List the unfinished stages that a stage builds on, if `paths` allows them.

    All must be trained on the records of `collection`.
    """
    unfinished = []
    for earlier in spec.needs:
        folder = StageFolder(paths.run_dir, earlier)
        remedy = (
            "python -m tfstyle.train "
            f"--gin_file={quote(paths.gin_dir / f'{earlier}.gin')} "
            f"--records_dir={quote(paths.records_dir)} "
            f"--run_dir={quote(paths.run_dir)}"
        )
        if not folder.exists:
            raise UserError(
                f"the {spec.name} stage needs a trained {earlier} stage in "
                f"{paths.run_dir}; train it with: {remedy}"
            )
        difference = folder.read().dataset.describe_difference(collection)
        if difference:
            raise UserError(
                f"the {spec.name} stage needs the records that the {earlier} stage in "
                f"{paths.run_dir} was trained on: {difference}"
            )
        if folder.finished:
            if is_outdated(folder):
                raise UserError(
                    advice.describe_outdated(earlier, paths.run_dir, remedy)
                )
        elif paths.allow_unfinished:
            unfinished.append(folder)
        else:
            raise UserError(
                advice.describe_unfinished(earlier, paths.run_dir, remedy)
                + " (or pass --allow_unfinished to use it as it is)"
            )
    return unfinished


def check_folders(run_dir: pathlib.Path, init_from: str | None) -> None:
    """Refuse a run that is no folder, and first weights from the run itself.

    Raises:
        UserError: naming the flag.
    """
    obstacle = find_obstacle(run_dir)
    if obstacle:
        raise UserError(f"--run_dir={run_dir}: {obstacle}")
    if init_from and pathlib.Path(init_from).resolve() == run_dir.resolve():
        raise UserError(
            f"--init_from={init_from} is the run itself: choose another --run_dir"
        )


def list_common(paths: Paths, dataset: records.Dataset) -> list[str]:
    """List, a line each, what all workers that train together must agree on."""
    flags = ("restart", "init_from", "allow_unfinished", "dry_run")
    settings = gin.config_str().splitlines()
    return [
        f"tfstyle {tfstyle.__version__}, TensorFlow {tf.__version__}",
        f"records {dataset.digest}",
        f"{len(tf.config.list_physical_devices('GPU'))} GPUs",
        *(f"--{name}={getattr(paths, name)}" for name in flags),
        *(line for line in settings if line and not line.startswith("#")),
    ]


def list_dependents(folder: StageFolder) -> list[str]:
    """Describe what must be made again if a stage gets other codes.

    Returns:
        Such as "stages to train again with --restart: vae, gan"; nothing if no finished
        stage and no enrolled artist depends on the present codes.
    """
    code, path = folder.spec.code, folder.statistics_file
    if code is None or path is None or not path.exists():
        return []
    dependents, enrolled = [], []
    try:
        statistics = folder.load_statistics()
        for spec in stages.specs():
            later = StageFolder(folder.run_dir, spec.name)
            # Missing and unfinished stages do not depend on anything.
            known = later.read().identity["earlier_stages"] if later.finished else {}
            if known.get(folder.stage) == statistics.digest:
                dependents.append(spec.name)
        if code.kind == "style":
            enrolled = style_space.read_enrolled(
                folder.path / style_space.ENROLLED_FILE,
                statistics.digest,
                statistics.dims,
            )[0].names
    except UserError:
        return []  # nothing depends on what is corrupt
    lists = {
        "stages to train again with --restart": dependents,
        "artists to enrol again": enrolled,
    }
    return [f"{what}: {', '.join(names)}" for what, names in lists.items() if names]


def check_pruning(spec: StageSpec, model: Stage) -> None:
    """Refuse, before training, to keep more dimensions than an encoder has."""
    if spec.code is not None:
        Pruning().check_dims(spec.code.kind, model.dims)


def check_identity(folder: StageFolder, description: StageDescription) -> None:
    """Refuse to resume a stage that was trained with other settings.

    Raises:
        UserError: with the settings that differ, old and new.
    """
    if not folder.exists:
        return
    trained = folder.read()
    trained.dataset.note_unknown_splits(description.dataset)
    changes = list_changes(trained, description)
    if changes:
        raise UserError(
            f"{folder.path} was trained with other settings ({'; '.join(changes)}): "
            "restore them, choose another --run_dir, or pass --restart to start over"
        )


def find_step(
    folder: StageFolder, steps: int, checkpoint_interval: int
) -> tuple[int, bool]:
    """Find where the training of a stage stands, whatever is damaged of it.

    Args:
        folder: of the stage.
        steps: the step to train to.
        checkpoint_interval: steps between checkpoints.

    Returns:
        The step, and whether it has a whole checkpoint to resume from. Without one it
        is 0, or the end of a finished stage, of which only the final weights are left.

    Raises:
        UserError: no checkpoint is whole, and training cannot be complete without one.
    """
    step = folder.resumable.find_newest_whole()
    if step is not None:
        return step, True
    logged = find_last_step(folder.metrics_file)
    kept = folder.resumable.steps or folder.final_weights
    if not (kept or folder.finished or logged >= checkpoint_interval):
        if logged:
            logger.warning(
                "warning: %s was trained to step %d, but has no checkpoint yet, so it "
                "starts over",
                *(folder.path, logged),
            )
        return 0, False
    final = folder.final_weights
    whole = final is not None and find_damage(final) is None
    if whole and folder.finished and folder.read().steps >= steps:
        return folder.read().steps, False
    remedy = "or pass --restart to delete what is left of it and start over"
    if whole:
        remedy = (
            "or pass another --run_dir and "
            f"--init_from={quote(folder.run_dir)} to train its final weights further"
        )
    raise UserError(
        f"training of {folder.path} cannot be resumed"
        + f" from step {logged}" * bool(logged)
        + f": no checkpoint in {folder.checkpoints} is whole; put back a copy, {remedy}"
    )


def check_initial_weights(
    description: StageDescription, other_run: pathlib.Path
) -> StageFolder:
    """Return the stage folder of another run whose final weights fit a stage.

    Raises:
        UserError: if the other run's stage is missing, unfinished, or has other
            networks.
    """
    flag = f"--init_from={other_run}"
    folder = StageFolder(other_run, description.stage)
    if not folder.exists:
        raise UserError(f"{flag} has no {description.stage} stage")
    described = folder.read().networks
    if folder.final_weights is None:
        raise UserError(f"{flag}: its {description.stage} stage is unfinished")
    changes = list_differences(
        {name: network["config"] for name, network in described.items()},
        description.identity["networks"],
    )
    if changes:
        raise UserError(f"{flag} has other networks: {'; '.join(changes)}")
    return folder


def initialize_from(
    model: Stage, description: StageDescription, other_run: pathlib.Path
) -> None:
    """Take another run's final weights; what depends on its artists starts over.

    Raises:
        UserError: as `check_initial_weights`, or if the weights are corrupt.
    """
    folder = check_initial_weights(description, other_run)
    assert folder.final_weights is not None
    networks = {name: model.networks[name] for name in folder.read().networks}
    problem = f"--init_from={other_run}: {folder.final_weights} is corrupt"
    restore(tf.train.Checkpoint(**networks), folder.final_weights, problem)


def describe_stage(
    settings: TrainSettings,
    steps: int,
    model: Stage,
    dataset: records.Dataset,
    paths: Paths,
    run: TrainedRun,
) -> StageDescription:
    """Describe a built and compiled stage, to be trained to `steps`, for run.json.

    `run` is what it builds on. Its identity is what a resumed run must keep.
    """
    networks = describe_networks(model.networks)
    needs = stages.spec(settings.stage).needs
    identity: dict[str, Any] = {
        "image_size": settings.image_size,
        "batch_size": settings.batch_size,
        "splits": list(settings.splits),
        "seed": settings.seed,
        "shuffle_buffer": PipelineSettings().shuffle_buffer,
        "precision": settings.precision,
        "objective": model.objective,
        "optimizers": [_without_modules(each.get_config()) for each in model.optimizer],
        "networks": {name: network["config"] for name, network in networks.items()},
        "earlier_stages": read_code_digests(run.path, needs),
        "dataset": dataset.digest,
    }
    return StageDescription(
        stage=settings.stage,
        steps=steps,
        strategy=settings.strategy,
        replicas=model.distribute_strategy.num_replicas_in_sync,
        dataset=Collection.of_dataset(dataset),
        networks=networks,
        code_sizes=list(model.code_sizes),
        identity=identity,
        init_from=paths.init_from,
        gin_dir=str(paths.gin_dir),
    )


def _without_modules(config: Any) -> Any:
    """Return an optimizer's settings without the modules that its parts are in.

    So a run can be resumed after a class was moved.
    """
    if isinstance(config, dict):
        return {
            key: _without_modules(value)
            for key, value in config.items()
            if not (key == "module" and "class_name" in config)
        }
    return config
