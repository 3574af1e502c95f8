"""The end of a stage: which weights go on, how many dimensions, which statistics."""

import dataclasses
import pathlib
import shutil

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.metrics import prefix
from tfstyle.modeling.networks import frozen_codes
from tfstyle.modeling.networks.codes import collect_codes, mean_by_artist
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs.statistics import CodeStatistics


@gin.configurable(name_or_fn="pruning")
@dataclasses.dataclass(frozen=True)
class Pruning:
    """What of the codes goes on to later stages; bound in gin as `pruning.NAME`.

    Args:
        style_dims: of the style code; None takes the recommended number.
        content_dims: of the content code; None takes the recommended number. Section
            5.2 keeps 32 and 128.
        tolerance: loss of accuracy, or relative growth of the reconstruction error,
            that the recommended number may cost against the full code.
        normalize_content: normalize content codes by the training pictures' mean and
            deviation, as style codes are, so that contents drawn from N(0, I) are like
            those of pictures. "given_style" first takes out what a quadratic function
            of the style code tells of them, so that this holds in every style. The
            paper normalizes the style code only.
    """

    style_dims: int | None = 32
    content_dims: int | None = 128
    tolerance: float = 0.01
    normalize_content: bool | str = False

    def __post_init__(self):
        if self.normalize_content not in (False, True, "given_style"):
            raise UserError(
                'pruning.normalize_content must be True, False or "given_style", got '
                f"{self.normalize_content!r}"
            )


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
    """Finish a trained stage again if by now other codes are to go on."""
    if folder.stage not in runs.STATISTICS_FILES:
        return
    pruning = Pruning()
    kind = {"metric": "style_dims", "vae": "content_dims"}[folder.stage]
    wanted = getattr(pruning, kind) or runs.read_recommendation(folder.run_dir)[kind]
    normalize_content = folder.stage == "vae" and pruning.normalize_content
    statistics = runs.load_statistics(folder)
    if (statistics.dims, statistics.normalized) != (wanted, normalize_content):
        finish(folder, dataset, checkpoint)
        normalized = ", normalized" if normalize_content else ""
        if normalize_content == "given_style":
            normalized += " given the style"
        print(f"{folder.stage}: pruned to {wanted} dimensions{normalized}")


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
    pruning = Pruning()
    encoder = runs.load_network(folder, "style_encoder")
    codes = collect_codes(encoder, passes.split_batches(dataset, "train"))
    (presumed_styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    if folder.read()["identity"]["objective"].get("objective") != "presumed":
        # Those of the last evaluation, which an unfinished stage has left behind.
        presumed_styles = mean_by_artist(
            codes.codes, codes.artist_ids, len(dataset.artists)
        )
    test = collect_codes(encoder, passes.test_batches(dataset))
    accuracy = prefix.prefix_accuracy(test.codes, test.artist_ids, presumed_styles)
    recommended = prefix.recommended_dims(accuracy, pruning.tolerance)
    runs.update_recommendation(folder.run_dir, style_dims=recommended)
    kept = _kept("style", pruning.style_dims, recommended, encoder)
    _statistics(codes, kept, len(dataset.artists)).write(
        folder.path / runs.STATISTICS_FILES["metric"]
    )


def _write_content_statistics(folder, dataset):
    pruning = Pruning()
    style_encoder = runs.load_style_encoder(folder.run_dir)
    encoder = runs.load_network(folder, "content_encoder")
    decoder = runs.load_network(folder, "content_decoder")
    dims = prefix.curve_dims(encoder.get_config()["dims"])
    errors = passes.reconstruction_errors(
        style_encoder, encoder, decoder, passes.test_batches(dataset), dims
    )
    recommended = prefix.recommended_dims_by_error(errors, dims, pruning.tolerance)
    runs.update_recommendation(folder.run_dir, content_dims=recommended)
    kept = _kept("content", pruning.content_dims, recommended, encoder)
    splits = folder.read()["identity"]["splits"]
    batches = passes.split_batches(dataset, *splits)
    codes = collect_codes(encoder, batches)
    statistics = dataclasses.replace(
        _statistics(codes, kept, len(dataset.artists)),
        normalize_content=bool(pruning.normalize_content),
    )
    if pruning.normalize_content == "given_style":
        statistics = _given_style(statistics, codes, style_encoder, batches)
    still = int((np.square(statistics.deviation) <= passes.ACTIVE_VARIANCE).sum())
    if pruning.normalize_content and still:
        print(
            f"note: {still} of the {kept} content dimensions hardly vary over pictures;"
            " normalized they are mostly noise, so keep fewer (pruning.content_dims)"
        )
    statistics.write(folder.path / runs.STATISTICS_FILES["vae"])


def _given_style(statistics, codes, style_encoder, batches) -> CodeStatistics:
    """Take what styles tell of contents out of them."""
    styles = collect_codes(style_encoder, batches).codes
    contents = codes.codes[:, : statistics.dims].astype(np.float64) - statistics.mean
    deviation, coefficients = frozen_codes.fit_expected_content(styles, contents)
    expected = frozen_codes.expected_content(
        tf.constant(styles, tf.float64), coefficients
    )
    rest = contents / deviation - expected.numpy()
    artists = len(statistics.artist_means)
    return CodeStatistics(
        statistics.mean,
        deviation.astype(np.float32),
        mean_by_artist(rest, codes.artist_ids, artists).astype(np.float32),
        normalize_content=True,
        given_style=coefficients.astype(np.float32),
    )


def _kept(kind: str, wanted: int | None, recommended: int, encoder) -> int:
    dims = encoder.get_config()["dims"]
    if wanted is not None and not 1 <= wanted <= dims:
        raise UserError(
            f"pruning.{kind}_dims={wanted}, but the encoder has {dims} dimensions"
        )
    return wanted or recommended


def _statistics(codes, dims: int, artists: int) -> CodeStatistics:
    kept = codes.codes[:, :dims].astype(np.float64)
    mean, deviation = kept.mean(axis=0), kept.std(axis=0)
    # A dimension that never varies carries nothing; leave it at zero.
    deviation = np.where(deviation > 0, deviation, 1)
    normalized = (kept - mean) / deviation
    return CodeStatistics(
        mean.astype(np.float32),
        deviation.astype(np.float32),
        mean_by_artist(normalized, codes.artist_ids, artists).astype(np.float32),
    )
