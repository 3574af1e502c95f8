"""What a stage builds on, its identity, its first weights."""

import pathlib
from typing import Any

import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.data.input_pipeline import PipelineSettings
from tfstyle.modeling import stages
from tfstyle.modeling.networks.frozen_codes import Pruning
from tfstyle.modeling.stages.stage import Stage, StageSpec
from tfstyle.runs import advice, style_space
from tfstyle.runs.description import (
    Collection,
    StageDescription,
    describe_networks,
    list_differences,
)
from tfstyle.runs.folder import (
    StageFolder,
    is_outdated,
    read_code_digests,
    restore_checkpoint,
)
from tfstyle.training import finishing
from tfstyle.training.settings import Paths, TrainSettings


def require_earlier_stages(
    spec: StageSpec, paths: Paths, dataset: records.Dataset
) -> None:
    """Refuse to train a stage on others that are missing, outdated or unfinished.

    If `paths` allows unfinished stages, they are used as they are.

    Raises:
        UserError: with the command that trains the stage.
    """
    for earlier in spec.needs:
        folder = StageFolder(paths.run_dir, earlier)
        remedy = (
            f"python -m tfstyle.train --gin_file={paths.gin_dir}/{earlier}.gin "
            f"--records_dir={paths.records_dir} --run_dir={paths.run_dir}"
        )
        if not folder.exists:
            raise UserError(
                f"the {spec.name} stage needs a trained {earlier} stage in "
                f"{paths.run_dir}; train it with: {remedy}"
            )
        if folder.finished:
            if is_outdated(folder):
                raise UserError(
                    advice.describe_outdated(earlier, paths.run_dir, remedy)
                )
        elif paths.allow_unfinished:
            finishing.finish(folder, dataset)
        else:
            raise UserError(
                advice.describe_unfinished(earlier, paths.run_dir, remedy)
                + " (or pass --allow_unfinished to use it as it is)"
            )


def check_folders(run_dir: pathlib.Path, init_from: str | None) -> None:
    """Refuse a run that is no folder, and first weights from the run itself.

    Raises:
        UserError: naming the flag.
    """
    ancestor = next(path for path in (run_dir, *run_dir.parents) if path.exists())
    if not ancestor.is_dir():
        raise UserError(f"--run_dir={run_dir}: {ancestor} is not a folder")
    if init_from and pathlib.Path(init_from).resolve() == run_dir.resolve():
        raise UserError(
            f"--init_from={init_from} is the run itself: choose another --run_dir"
        )


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


def restore(saved: tf.train.Checkpoint, prefix: str) -> None:
    """Restore a checkpoint to resume from; see `restore_checkpoint`."""
    problem = f"the checkpoint {prefix} is corrupt"
    restore_checkpoint(saved, prefix, problem, ": pass --restart to start over")


def check_identity(folder: StageFolder, description: StageDescription) -> None:
    """Refuse to resume a stage that was trained with other settings.

    Raises:
        UserError: with the settings that differ, old and new.
    """
    if not folder.exists:
        return
    changes = list_differences(folder.read().identity, description.identity)
    if changes:
        raise UserError(
            f"{folder.path} was trained with other settings ({'; '.join(changes)}): "
            "restore them, choose another --run_dir, or pass --restart to start over"
        )


def initialize_from(
    model: Stage, description: StageDescription, other_run: pathlib.Path
) -> None:
    """Take another run's final weights; what depends on its artists starts over.

    Raises:
        UserError: if the other run's stage is missing, unfinished, corrupt or has other
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
    networks = {name: model.networks[name] for name in described}
    problem = f"{flag}: {folder.final_weights} is corrupt"
    restore_checkpoint(tf.train.Checkpoint(**networks), folder.final_weights, problem)


def describe_stage(
    settings: TrainSettings,
    steps: int,
    model: Stage,
    dataset: records.Dataset,
    paths: Paths,
) -> StageDescription:
    """Describe a built and compiled stage, to be trained to `steps`, for run.json.

    Its identity is what a resumed run must keep.
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
        "earlier_stages": read_code_digests(paths.run_dir, needs),
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
