"""The end of a stage: its final weights, pruning, code statistics."""

import logging

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.names import format_count
from tfstyle.data import records
from tfstyle.modeling.networks.frozen_codes import (
    CodeStatistics,
    ContentNormalization,
    Pruning,
)
from tfstyle.modeling.objectives.passes import ACTIVE_VARIANCE
from tfstyle.modeling.stages.stage import TrainedStage
from tfstyle.runs import folder as runs
from tfstyle.runs.checkpoints import find_damage
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun

logger = logging.getLogger(__name__)


def finish(
    folder: StageFolder, dataset: records.Dataset, checkpoint: str | None = None
) -> None:
    """Put a stage's final weights in place and compute what later stages need.

    The stage is trained or stopped. Its final weights are those of the checkpoint
    "best" (by validation numbers), "last", or None: the best if there is one.

    Raises:
        UserError: if there is no such checkpoint, or the encoder has fewer dimensions
            than are to be kept.
    """
    _choose_weights(folder, checkpoint)
    _compute_codes(folder, dataset)


def repair(
    folder: StageFolder, dataset: records.Dataset, checkpoint: str | None
) -> None:
    """Make damaged or missing files of a finished stage again, with a message.

    Raises:
        UserError: if the final weights are damaged and no checkpoint is whole.
    """
    prefix = folder.final_weights
    problem = find_damage(prefix) if prefix else "they are missing"
    if problem:
        logger.warning(
            "warning: the final weights of %s are taken from a checkpoint again (%s)",
            *(folder.path, problem),
        )
        finish(folder, dataset, checkpoint)
        return
    try:
        if folder.spec.code is not None:
            folder.load_statistics()
    except UserError:
        file = folder.statistics_file
        logger.warning("warning: %s is damaged or missing; it is made again", file)
        _compute_codes(folder, dataset)


def _compute_codes(folder: StageFolder, dataset: records.Dataset) -> None:
    """Compute what later stages need of a stage with a code from its final weights."""
    code = folder.spec.code
    if code is None:
        return
    description, pruning = folder.read(), Pruning()
    trained = TrainedStage(
        load_network=folder.load_network,
        read_array=folder.read_array,
        objective=description.objective,
        splits=description.identity["splits"],
        dataset=dataset,
        codes=TrainedRun(folder.run_dir),
        pruning=pruning,
    )
    recommended = code.recommend_dims(trained)
    runs.update_recommendation(folder.run_dir, **{f"{code.kind}_dims": recommended})
    dims = pruning.dims_of(code.kind) or recommended
    statistics = code.compute_statistics(trained, dims)
    pruning.check_dims(code.kind, statistics.dims)
    assert folder.statistics_file is not None
    statistics.write(folder.statistics_file)
    _warn_of_inactive_dims(code.kind, statistics)


def renew_pruning(
    folder: StageFolder, dataset: records.Dataset, checkpoint: str | None
) -> None:
    """Finish a trained stage again if the pruning settings have changed since."""
    code = folder.spec.code
    if code is None:
        return
    pruning, statistics = Pruning(), folder.load_statistics()
    dims = pruning.dims_of(code.kind)
    if dims is None:
        recommended = runs.read_recommendation(folder.run_dir)
        # Without it, everything is computed again.
        dims = recommended.get(f"{code.kind}_dims", 0)
    normalization = statistics.normalization
    if code.kind == "content":
        normalization = ContentNormalization(pruning.content_normalization)
    if (statistics.dims, statistics.normalization) == (dims, normalization):
        return
    finish(folder, dataset, checkpoint)
    pruned = format_count(folder.load_statistics().dims, "dimension")
    if code.kind == "content":
        pruned += f", normalization {normalization.value!r}"
    logger.info("%s: pruned to %s", folder.stage, pruned)


def _warn_of_inactive_dims(kind: str, statistics: CodeStatistics) -> None:
    inactive = int((statistics.deviation**2 <= ACTIVE_VARIANCE).sum())
    if inactive and statistics.normalization is not ContentNormalization.NONE:
        logger.info(
            "note: inactive %s dimensions: %d of %d; normalized they are mostly noise, "
            "so keep fewer (pruning.%s_dims)",
            *(kind, inactive, statistics.dims, kind),
        )


def _choose_weights(folder: StageFolder, checkpoint: str | None) -> None:
    choices = {
        "best": [folder.best],
        "last": [folder.resumable],
        None: [folder.best, folder.resumable],
    }[checkpoint]
    for checkpoints in choices:
        step = checkpoints.find_newest_whole()
        if step is not None:
            break
    else:
        damaged = [
            str(checkpoints.prefix(step))
            for checkpoints in choices
            for step in checkpoints.steps
        ]
        if damaged:
            raise UserError(f"no checkpoint is whole of {', '.join(damaged)}")
        raise UserError(
            f"{folder.path} has no {checkpoint or 'step'} checkpoint yet "
            '(train.checkpoint is "best", "last" or None)'
        )
    with files.temporary_folder(folder.checkpoints / "final.tmp") as temporary:
        checkpoints.copy(step, temporary / runs.FINAL_NAME)
        files.replace_folder(temporary, folder.checkpoints / "final")
