"""The end of a stage: which weights go on, how many dimensions, which statistics."""

import pathlib
import shutil

import numpy as np
import tensorflow as tf

from tfstyle import runs
from tfstyle.analysis import evaluation, metrics
from tfstyle.analysis.codes import collect_codes, mean_by_artist
from tfstyle.command import UserError
from tfstyle.data import records


def finish(
    folder: runs.StageFolder, dataset: records.Dataset, checkpoint: str | None = None
) -> None:
    """Put a stage's final weights in place and compute what later stages need.

    Args:
        folder: of the stage, trained or stopped.
        dataset: the records that it is trained on.
        checkpoint: "best" (by test numbers), "last", or None: the best where there
            is one.

    Raises:
        UserError: if there is no such checkpoint.
    """
    _choose_weights(folder, checkpoint)
    if folder.stage == "metric":
        _write_style_statistics(folder, dataset)
    elif folder.stage == "vae":
        _write_content_statistics(folder, dataset)


def renew_pruning(
    folder: runs.StageFolder, dataset: records.Dataset, checkpoint: str | None
) -> None:
    """Finish a trained stage again if other dimensions are to be kept by now."""
    if folder.stage not in runs.STATISTICS_FILES:
        return
    wanted = dict(zip(("metric", "vae"), runs.pruning(), strict=False))[folder.stage]
    kind = {"metric": "style_dims", "vae": "content_dims"}[folder.stage]
    wanted = wanted or runs.read_recommendation(folder.run_dir)[kind]
    if runs.load_statistics(folder).dims != wanted:
        finish(folder, dataset, checkpoint)
        print(f"{folder.stage}: pruned to {wanted} dimensions")


def _choose_weights(folder: runs.StageFolder, checkpoint: str | None) -> None:
    best = tf.train.latest_checkpoint(str(folder.checkpoints / "best"))
    last = tf.train.latest_checkpoint(str(folder.checkpoints))
    source = {"best": best, "last": last, None: best or last}.get(checkpoint)
    if source is None:
        raise UserError(
            f"{folder.path} has no {checkpoint or 'step'} checkpoint yet "
            '(train.checkpoint is "best", "last" or None)'
        )
    source = pathlib.Path(source)
    final = folder.checkpoints / "final"
    making = folder.checkpoints / "final.tmp"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for file in source.parent.glob(f"{source.name}.*"):
        shutil.copyfile(file, making / (runs.FINAL_NAME + file.suffix))
    shutil.rmtree(final, ignore_errors=True)
    making.rename(final)


def _write_style_statistics(folder, dataset):
    style_dims, _, tolerance = runs.pruning()
    encoder = runs.load_network(folder, "style_encoder")
    (presumed_styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    test = collect_codes(encoder, evaluation.test_batches(dataset))
    accuracy = metrics.prefix_accuracy(test.codes, test.artist_ids, presumed_styles)
    recommended = metrics.recommended_dims(accuracy, tolerance)
    runs.update_recommendation(folder.run_dir, style_dims=recommended)
    kept = _kept("style", style_dims, recommended, encoder)
    codes = collect_codes(encoder, evaluation.split_batches(dataset, "train"))
    _statistics(codes, kept, len(dataset.artists)).write(
        folder.path / runs.STATISTICS_FILES["metric"]
    )


def _write_content_statistics(folder, dataset):
    _, content_dims, tolerance = runs.pruning()
    style_encoder = runs.load_style_encoder(folder.run_dir)
    encoder = runs.load_network(folder, "content_encoder")
    decoder = runs.load_network(folder, "content_decoder")
    dims = metrics.curve_dims(encoder.get_config()["dims"])
    errors = evaluation.reconstruction_errors(
        style_encoder, encoder, decoder, evaluation.test_batches(dataset), dims
    )
    recommended = metrics.recommended_dims_by_error(errors, dims, tolerance)
    runs.update_recommendation(folder.run_dir, content_dims=recommended)
    kept = _kept("content", content_dims, recommended, encoder)
    splits = folder.read()["identity"]["splits"]
    codes = collect_codes(encoder, evaluation.split_batches(dataset, *splits))
    _statistics(codes, kept, len(dataset.artists)).write(
        folder.path / runs.STATISTICS_FILES["vae"]
    )


def _kept(kind: str, wanted: int | None, recommended: int, encoder) -> int:
    dims = encoder.get_config()["dims"]
    if wanted is not None and not 1 <= wanted <= dims:
        raise UserError(
            f"pruning.{kind}_dims={wanted}, but the encoder has {dims} dimensions"
        )
    return wanted or recommended


def _statistics(codes, dims: int, artists: int) -> runs.CodeStatistics:
    kept = codes.codes[:, :dims].astype(np.float64)
    mean, deviation = kept.mean(axis=0), kept.std(axis=0)
    # A dimension that never varies carries nothing; leave it at zero.
    deviation = np.where(deviation > 0, deviation, 1)
    normalized = (kept - mean) / deviation
    return runs.CodeStatistics(
        mean.astype(np.float32),
        deviation.astype(np.float32),
        mean_by_artist(normalized, codes.artist_ids, artists).astype(np.float32),
    )
