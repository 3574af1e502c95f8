"""The end of a stage: its final weights, pruning, code statistics."""

import logging
import pathlib
import shutil

import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.modeling.networks.frozen_codes import (
    CodeStatistics,
    ContentNormalization,
    Pruning,
)
from tfstyle.modeling.objectives.passes import ACTIVE_VARIANCE
from tfstyle.modeling.stages.stage import TrainedStage
from tfstyle.runs import folder as runs
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
        dims = runs.read_recommendation(folder.run_dir)[f"{code.kind}_dims"]
    normalization, pruned = statistics.normalization, f"{dims} dimensions"
    if code.kind == "content":
        normalization = ContentNormalization(pruning.content_normalization)
        pruned += f", normalization {normalization.value!r}"
    if (statistics.dims, statistics.normalization) == (dims, normalization):
        return
    finish(folder, dataset, checkpoint)
    logger.info("%s: pruned to %s", folder.stage, pruned)


def _warn_of_inactive_dims(kind: str, statistics: CodeStatistics) -> None:
    inactive = int((statistics.deviation**2 <= ACTIVE_VARIANCE).sum())
    if inactive and statistics.normalization is not ContentNormalization.NONE:
        logger.info(
            "note: %d of the %d %s dimensions are inactive; normalized they are mostly "
            "noise, so keep fewer (pruning.%s_dims)",
            *(inactive, statistics.dims, kind, kind),
        )


def _choose_weights(folder: StageFolder, checkpoint: str | None) -> None:
    best = tf.train.latest_checkpoint(str(folder.checkpoints / "best"))
    last = tf.train.latest_checkpoint(str(folder.checkpoints))
    source = {"best": best, "last": last, None: best or last}.get(checkpoint)
    if source is None:
        raise UserError(
            f"{folder.path} has no {checkpoint or 'step'} checkpoint yet "
            '(train.checkpoint is "best", "last" or None)'
        )
    prefix = pathlib.Path(source)
    final = folder.checkpoints / "final"
    with files.temporary_folder(folder.checkpoints / "final.tmp") as temporary:
        for file in prefix.parent.glob(f"{prefix.name}.*"):
            shutil.copyfile(file, temporary / (runs.FINAL_NAME + file.suffix))
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
