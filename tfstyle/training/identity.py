"""What a stage is: what it builds on, its identity, its first weights."""

import pathlib
from typing import Any

import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline, records
from tfstyle.modeling.stages.stage import Stage
from tfstyle.runs import folder as runs
from tfstyle.runs import style_space
from tfstyle.training import finishing


def require_earlier_stages(
    stage: str,
    run_dir: pathlib.Path,
    dataset: records.Dataset,
    allow_unfinished: bool,
    train_command: str,
) -> None:
    """Refuse to train on stages that are missing or unfinished.

    Args:
        stage: that is to be trained.
        run_dir: the run.
        dataset: the records.
        allow_unfinished: take an unfinished stage as it is.
        train_command: the command that trains a stage, with {} for its name.

    Raises:
        UserError: with the command that makes the stage.
    """
    for earlier in runs.EARLIER_STAGES.get(stage, ()):
        folder = runs.StageFolder(run_dir, earlier)
        remedy = train_command.format(earlier)
        if not folder.exists:
            raise UserError(
                f"the {stage} stage needs a trained {earlier} stage in "
                f"{run_dir}; make it with: {remedy}"
            )
        if folder.finished:
            recorded = folder.read()["identity"]["earlier_stages"]
            if recorded == runs.earlier_digests(earlier, run_dir):
                continue
            raise UserError(
                f"the {earlier} stage in {run_dir} was trained on codes that are gone; "
                f"train it again with: {remedy} --restart"
            )
        if not allow_unfinished:
            raise UserError(
                f"the {earlier} stage in {run_dir} is unfinished; finish it "
                f"with: {remedy} (or pass --allow_unfinished to use it as it is)"
            )
        finishing.finish(folder, dataset)


def check_folders(run_dir: pathlib.Path, init_from: str | None) -> None:
    """Refuse a run that is no folder, and first weights out of the run itself.

    Raises:
        UserError: with the flag.
    """
    there = next(one for one in (run_dir, *run_dir.parents) if one.exists())
    if not there.is_dir():
        raise UserError(f"--run_dir={run_dir}: {there} is not a folder")
    if init_from and pathlib.Path(init_from).resolve() == run_dir.resolve():
        raise UserError(
            f"--init_from={init_from} is the run itself: choose another --run_dir"
        )


def dependents(folder: runs.StageFolder) -> list[str]:
    """Tell what is to be made again once a stage has other codes.

    Args:
        folder: of the stage, in whatever state.

    Returns:
        Such as "stages to train again with --restart: vae, gan"; nothing if no finished
        stage and no enrolled artist answers to the codes as they are now.
    """
    stages, enrolled = [], []
    try:
        current = runs.earlier_digests("gan", folder.run_dir).get(folder.stage)
        if not current:
            return []
        for stage in runs.EARLIER_STAGES:
            later = runs.StageFolder(folder.run_dir, stage)
            # What is missing or unfinished answers to nothing.
            known = later.read()["identity"]["earlier_stages"] if later.finished else {}
            if known.get(folder.stage) == current:
                stages.append(stage)
        if folder.stage == "metric":
            enrolled = style_space.read_enrolled(folder.run_dir).names
    except UserError:
        return []  # nothing answers to what is damaged
    told = {
        "stages to train again with --restart": stages,
        "artists to enrol again": enrolled,
    }
    return [f"{what}: {', '.join(names)}" for what, names in told.items() if names]


def check_pruning(model: Stage) -> None:
    """Refuse to keep more dimensions than a stage's encoder has, before training it.

    Raises:
        UserError: with the setting.
    """
    pruning = finishing.Pruning()
    wanted = {"metric": pruning.style_dims, "vae": pruning.content_dims}.get(model.name)
    kind = {"metric": "style", "vae": "content"}.get(model.name)
    if wanted is None:
        return
    if not isinstance(wanted, int) or not 1 <= wanted <= model.dims:
        raise UserError(
            f"pruning.{kind}_dims={wanted!r}, but the encoder has {model.dims} "
            "dimensions"
        )


def restore(saved: tf.train.Checkpoint, prefix: str) -> None:
    """Restore a checkpoint whole.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        saved.restore(prefix).assert_existing_objects_matched()
    except (tf.errors.OpError, IndexError) as error:
        raise UserError(
            f"the checkpoint {prefix} is damaged ({str(error)[:100]}): pass --restart "
            "to begin again"
        ) from error


def check_identity(folder: runs.StageFolder, run: dict[str, Any]) -> None:
    """Refuse to resume a stage that was trained with other settings.

    Raises:
        UserError: with the settings that differ, old and new.
    """
    if not folder.exists:
        return
    changed = runs.differences(folder.read()["identity"], run["identity"])
    if changed:
        raise UserError(
            f"{folder.path} was trained with other settings ("
            + "; ".join(changed)
            + "): restore them, choose another --run_dir, or pass --restart to begin "
            "again"
        )


def initialize_from(model: Stage, run: dict[str, Any], other_run: pathlib.Path) -> None:
    """Take another run's final weights; what depends on its artists starts anew.

    Raises:
        UserError: if the other run's stage is missing, unfinished, damaged or has other
            networks.
    """
    other = runs.StageFolder(other_run, model.name)
    if not other.exists:
        raise UserError(f"--init_from={other_run} holds no {model.name} stage")
    described = other.read()["networks"]
    if other.final_weights is None:
        raise UserError(
            f"--init_from={other_run}: its {model.name} stage is unfinished"
        )
    changed = runs.differences(
        {name: one["config"] for name, one in described.items()},
        run["identity"]["networks"],
    )
    if changed:
        raise UserError(
            f"--init_from={other_run} has other networks: {'; '.join(changed)}"
        )
    taken = {name: model.networks[name] for name in described}
    try:
        status = tf.train.Checkpoint(**taken).restore(other.final_weights)
    except (tf.errors.OpError, IndexError) as error:
        raise UserError(
            f"--init_from={other_run}: {other.final_weights} is damaged "
            f"({str(error)[:100]})"
        ) from error
    status.assert_existing_objects_matched()


def describe_run(
    settings, steps: int, model: Stage, dataset: records.Dataset, run_dir: pathlib.Path
) -> dict[str, Any]:
    """Give what run.json holds; its "identity" is what a resumed run must keep.

    Args:
        settings: `train_settings.TrainSettings`.
        steps: where training ends.
        model: the stage, built and compiled.
        dataset: the records.
        run_dir: the run.
    """
    described = runs.describe_networks(model.networks)
    return {
        "format_version": runs.FORMAT_VERSION,
        "stage": settings.stage,
        "steps": steps,
        "strategy": settings.strategy,
        "replicas": model.distribute_strategy.num_replicas_in_sync,
        "dataset": {
            "records_dir": str(pathlib.Path(dataset.records_dir).resolve()),
            "digest": dataset.digest,
            "image_size": dataset.image_size,
            "fit": dataset.fit,
            "background": dataset.background,
            "artists": dataset.artist_names,
        },
        "networks": described,
        "code_dims": model.code_dims,
        "identity": {
            "image_size": settings.image_size,
            "batch_size": settings.batch_size,
            "splits": list(settings.splits),
            "seed": settings.seed,
            "shuffle_buffer": input_pipeline.shuffle_buffer(),
            "precision": settings.precision,
            "objective": model.settings,
            "optimizers": [one.get_config() for one in model.optimizer],
            "networks": {name: one["config"] for name, one in described.items()},
            "earlier_stages": runs.earlier_digests(settings.stage, run_dir),
            "dataset": dataset.digest,
        },
    }
