"""Generate new pictures from random codes."""

import pathlib
import re

import numpy as np
import tensorflow as tf
from PIL import Image

from tfstyle.analysis.drawing import animation, grids
from tfstyle.core import files, progress
from tfstyle.core.cli import UserError
from tfstyle.core.locks import folder_lock
from tfstyle.core.names import show
from tfstyle.modeling.networks.codes import BATCH_SIZE, decode_codes
from tfstyle.runs.trained_run import TrainedRun

CODES_FILE = "codes.npz"
_OWN_FILES = re.compile(r"\d{5,}\.png|codes\.npz|sheet\.png|interpolation\.gif")
# Pictures on the sheet at most, and pictures per row.
_MAX_SHOWN, _PER_ROW = 64, 8


def generate(
    run: TrainedRun,
    output_dir: str,
    count: int = 16,
    seed: int = 0,
    artist: str | None = None,
    mix: str | None = None,
    interpolate: str | None = None,
    frames: int = 24,
    overwrite: bool = False,
) -> None:
    """Write pictures of random codes, their codes and a sheet, all or nothing.

    A picture is determined by the seed and its number, not by the count. With the style
    of an artist or a mix (`ArtistStyles.mix_styles`) it keeps the content and noise
    that it has with a random style. With interpolate="NAME,NAME,.." an animation passes
    through these artists' styles with the content and noise of the first picture.
    overwrite=True replaces the files of an earlier call.

    Raises:
        UserError: the run has no generator, an artist is unknown, or the folder is not
            empty or is being written by another process.
    """
    generator, artists = run.generator, run.artists
    style = artists.choose_style(artist, mix)
    names = [] if interpolate is None else artists.parse_names(interpolate)
    if interpolate is not None and not 2 <= len(names) <= frames:
        raise UserError(
            "--interpolate must name at least two artists, and at most --frames="
            f"{frames}, got {interpolate!r}"
        )
    codes = _draw_codes(run, count, seed, style)
    with (
        folder_lock(output_dir),
        files.atomic_folder(
            output_dir, own_files=_OWN_FILES, last=CODES_FILE, overwrite=overwrite
        ) as folder,
    ):
        filenames = _write_pictures(generator, codes, folder)
        if names:
            styles = np.stack([artists.get_style(name) for name in names])
            path, nearest = animation.interpolate_loop(styles, frames)
            rest = (codes[name][:1].repeat(frames, 0) for name in ("content", "noise"))
            pictures = decode_codes(generator, path, *rest)
            captions = [show(names[number]) for number in nearest]
            animation.write_gif(folder / "interpolation.gif", pictures, captions)
        files.write_npz(folder / CODES_FILE, filenames=np.array(filenames), **codes)


def _draw_codes(
    run: TrainedRun, count: int, seed: int, style: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Draw style, content and noise, float32 [count, ..].

    Content and noise are of N(0, I) (equation 6), styles of the run's prior.
    """
    code_sizes = run.code_sizes
    drawn = np.random.default_rng(seed).normal(size=[count, sum(code_sizes)])
    styles, contents, noises = np.split(drawn, np.cumsum(code_sizes)[:2], axis=1)
    if style is None:
        styles = run.draw_styles(styles, np.random.default_rng([seed, 1]))
    else:
        styles = np.tile(style, [count, 1])
    codes = {"style": styles, "content": contents, "noise": noises}
    return {name: code.astype(np.float32) for name, code in codes.items()}


def _write_pictures(
    generator: tf.keras.Model, codes: dict[str, np.ndarray], folder: pathlib.Path
) -> list[str]:
    """Write the picture of each code, and the sheet; return the pictures' names."""
    count = len(codes["style"])
    names = [f"{number:05d}.png" for number in range(count)]
    shown: list[np.ndarray] = []
    starts = range(0, count, BATCH_SIZE)
    for start in progress.track(starts, count, "generating", BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        pictures = decode_codes(generator, *(code[part] for code in codes.values()))
        for name, picture in zip(names[part], pictures, strict=True):
            Image.fromarray(picture).save(folder / name)
        shown += list(pictures[: _MAX_SHOWN - len(shown)])
    grids.write_picture(_draw_sheet(shown), folder / "sheet.png")
    return names


def _draw_sheet(pictures: list[np.ndarray]) -> Image.Image:
    columns = min(len(pictures), _PER_ROW)
    cells = [*pictures, *[None] * (-len(pictures) % columns)]
    starts = range(0, len(cells), columns)
    return grids.draw_grid([cells[start : start + columns] for start in starts])
