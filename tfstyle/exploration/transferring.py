"""Generate the content of pictures in another style."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Collection, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from tfstyle.analysis.drawing import grids
from tfstyle.core import files, progress
from tfstyle.core.cli import UserError
from tfstyle.core.locks import folder_lock
from tfstyle.core.names import format_count, show, to_path
from tfstyle.data import pictures
from tfstyle.data.collections.sources import Source
from tfstyle.exploration.collection import PictureFiles, log_skipped
from tfstyle.exploration.refinement import refine_codes
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.runs.trained_run import TrainedRun

# On the sheet at most: rows, and pictures of the style in each.
_MAX_ROWS, _MAX_STYLES = 16, 4
# Gradients take far more memory than pictures.
_REFINED_AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class TargetStyle:
    """The style to transfer to pictures; one of the three is set."""

    pictures: Sequence[str] = ()  # files, or folders of them: their mean code
    artist: str | None = None
    mix: str | None = None  # see `ArtistStyles.mix_styles`


@dataclasses.dataclass(frozen=True)
class TransferResult:
    """A generated picture."""

    name: str  # of the content picture
    path: str  # of the result
    errors: tuple[float, float] | None  # see `RefinedCodes`; None if not refined


class IncompleteTransferError(UserError):
    """Some pictures could not be used; the others are transferred.

    Args:
        unusable: number of pictures.
        results: of the others.
    """

    def __init__(self, unusable: int, results: list[TransferResult]) -> None:
        pictures = format_count(unusable, "picture")
        super().__init__(f"{pictures} could not be used; see the output above")
        self.results = results


def lock_output(
    contents: Sequence[str], output: str
) -> contextlib.AbstractContextManager[None]:
    """Hold the lock of the folder that `transfer` writes to, if it is one.

    Raises:
        UserError: another process is writing to the folder.
    """
    is_file = os.path.lexists(output) and not pathlib.Path(output).is_dir()
    if _has_one_result(contents) or is_file:
        return contextlib.nullcontext()
    return folder_lock(output)


def transfer(
    run: TrainedRun,
    contents: Sequence[str],
    target: TargetStyle,
    output: str,
    noise_seed: int = 0,
    refine_steps: int = 0,
    sheet: str | None = None,
    overwrite: bool = False,
) -> list[TransferResult]:
    """Generate each content picture in another style; write each result at once.

    Contents are picture files, or folders of them. `output` is the file to write for a
    single content file, otherwise a folder. All results share the unconditioned code of
    `noise_seed`. `sheet` is a .png file for contents, results and pictures of the
    style. For `refine_steps` see `refinement.refine_codes`.

    Raises:
        UserError: the run has no generator, an artist is unknown, no picture is usable,
            or a file exists already or is given for two purposes.
        IncompleteTransferError: at the end, if some pictures could not be used.
    """
    content_files = PictureFiles.find(contents)
    paths = _choose_paths(contents, content_files.sources, output)
    style_files = PictureFiles.find(target.pictures)
    left_out = len(content_files.skipped) + len(style_files.skipped)  # not pictures
    inputs = [*content_files.sources, *style_files.sources]
    _check_paths(inputs, paths.values(), sheet, overwrite)
    generator = run.generator  # fails before the style is encoded
    style, style_pictures = _find_style(run, target, style_files)
    noise = np.random.default_rng(noise_seed).normal(size=run.noise_dims)
    results: list[TransferResult] = []
    rows: list[list[np.ndarray]] = []
    if refine_steps:  # has its own progress bar
        batches = content_files.load(run, batch_size=_REFINED_AT_ONCE)
    else:
        batches = content_files.load(run, "transferring")
    for sources, images in batches:
        generated, errors = _transfer_batch(
            run, generator, images, style, noise, refine_steps
        )
        for source, content, picture, error in zip(
            sources, images, generated, errors, strict=True
        ):
            _write_picture(picture, paths[source])
            results.append(TransferResult(source.name, paths[source], error))
            if len(rows) < _MAX_ROWS:
                rows.append([content, picture, *style_pictures])
    if sheet is not None:
        names = [result.name for result in results[: len(rows)]]
        grids.write_picture(_draw_sheet(rows, names, target), sheet)
    skipped = [*style_files.skipped, *content_files.skipped]
    log_skipped(skipped)
    unusable = len(skipped) - left_out
    if unusable:
        raise IncompleteTransferError(unusable, results)
    return results


def format_results(results: Sequence[TransferResult]) -> list[str]:
    """Format a line for each result."""
    error = " (reconstruction error of the content {:.1f} -> {:.1f})"
    return [
        f"{show(result.name)}: {show(result.path)}"
        + (error.format(*result.errors) if result.errors else "")
        for result in results
    ]


def _has_one_result(contents: Sequence[str]) -> bool:
    # Not pathlib, which raises an error for names that are too long.
    return len(contents) == 1 and not os.path.isdir(contents[0])  # noqa: PTH112


def _choose_paths(
    contents: Sequence[str], sources: Sequence[Source], output: str
) -> dict[Source, str]:
    """Choose the path of each content's result; no two are the same."""
    if _has_one_result(contents):
        return {sources[0]: output}
    if os.path.lexists(output) and not pathlib.Path(output).is_dir():
        raise UserError(
            f"--output={show(output)} must be a folder for several contents"
        )
    paths: dict[Source, str] = {}
    taken: set[str] = set()
    for source in sources:
        # Pictures of a folder keep their subfolder; single files lose their folder.
        name = pathlib.PurePath(to_path(source.name))
        stem = unique = str(
            name.stem if str(name) == source.path else name.with_suffix("")
        )
        number = 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        paths[source] = str(pathlib.Path(output, f"{unique}.png"))
    return paths


def _check_paths(
    inputs: Sequence[Source],
    paths: Collection[str],
    sheet: str | None,
    overwrite: bool,
) -> None:
    """Refuse to overwrite what the same command reads or writes, and older files."""
    used = {os.path.realpath(source.path) for source in inputs}
    for path in paths:
        if os.path.realpath(path) in used:
            raise UserError(
                f"{show(path)} is a picture to transfer from: choose another --output"
            )
    used.update(map(os.path.realpath, paths))
    if sheet is not None and os.path.realpath(sheet) in used:
        raise UserError(
            f"--sheet={show(sheet)} is also one of the contents, styles or results:"
            " choose another file"
        )
    for path in paths:
        if os.path.lexists(path) and not overwrite:
            raise UserError(
                f"{show(path)} already exists: choose another --output, or add"
                " --overwrite"
            )


def _find_style(
    run: TrainedRun, target: TargetStyle, style_files: PictureFiles
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the style, float [style], and some of the pictures that define it."""
    if not target.pictures:
        style = run.artists.choose_style(target.artist, target.mix)
        assert style is not None
        return style, []
    codes: list[np.ndarray] = []
    shown: list[np.ndarray] = []
    for _, images in style_files.load(run, "encoding"):
        codes.append(run.encode_style(images))
        shown += list(images[: _MAX_STYLES - len(shown)])
    return np.concatenate(codes).astype(np.float64).mean(axis=0), shown


def _transfer_batch(
    run: TrainedRun,
    generator: tf.keras.Model,
    images: np.ndarray,
    style: np.ndarray,
    noise: np.ndarray,
    refine_steps: int,
) -> tuple[np.ndarray, Sequence[tuple[float, float] | None]]:
    """Generate contents in a style; return pictures and `TransferResult.errors`."""
    contents = run.encode_content(images)
    styles, noises = (np.tile(code, [len(images), 1]) for code in (style, noise))
    if not refine_steps:
        return decode_codes(generator, styles, contents, noises), [None] * len(images)
    steps = progress.track(range(refine_steps), refine_steps, "refining")
    own_styles = run.encode_style(images)
    refined = refine_codes(generator, images, own_styles, contents, noises, steps)
    errors = np.stack([refined.errors_before, refined.errors_after], axis=1)
    generated = decode_codes(generator, styles, refined.contents, refined.noises)
    return generated, [(before, after) for before, after in errors.tolist()]


def _write_picture(picture: np.ndarray, path: str) -> None:
    format = pictures.RESULT_FORMATS[pathlib.Path(path).suffix]
    with files.atomic_file(path) as temporary:
        temporary.write_bytes(pictures.encode_picture(Image.fromarray(picture), format))


def _draw_sheet(
    rows: list[list[np.ndarray]], names: Sequence[str], target: TargetStyle
) -> Image.Image:
    title = show(target.artist or target.mix or "")
    return grids.draw_grid(
        rows,
        row_captions=[show(pathlib.Path(name).name) for name in names],
        column_captions=["content", "result", *["style"] * (len(rows[0]) - 2)],
        title=f"style: {title}" if title else None,
    )
