"""New pictures from random codes: what `python -m tfstyle.generate` does."""

import pathlib
import re

import numpy as np
from PIL import Image

from tfstyle.analysis.drawing import animation, grids
from tfstyle.core import files, folders
from tfstyle.core.cli import UserError
from tfstyle.exploration import encoding, synthesizing
from tfstyle.modeling.networks.codes import BATCH_SIZE, decode_codes

CODES_FILE = "codes.npz"
SHEET_FILE = "sheet.png"
ANIMATION_FILE = "interpolation.gif"
_OWN_FILES = re.compile(r"\d{5,}\.png|codes\.npz|sheet\.png|interpolation\.gif")
# Pictures on the sheet at most, and to a row.
_ON_SHEET, _PER_ROW = 64, 8


def generate(
    run_dir: pathlib.Path,
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

    A picture depends on the seed and its number, not on how many are made. With a
    style given it keeps the content and noise that it has without.

    Args:
        run_dir: the run, all but its classifier trained.
        output_dir: the folder to write.
        count: of pictures.
        seed: of their codes.
        artist: whose style all have; random styles if there is no mix either.
        mix: of artists' styles that all have, see `synthesizing.Artists.mixed`.
        interpolate: "NAME,NAME,..", to make an animation that leads through these
            artists' styles, with the content and noise of the first picture.
        frames: of the animation.
        overwrite: replace what an earlier call wrote.

    Raises:
        UserError: the run lacks a generator, an artist is unknown, or the folder
            holds something.
    """
    generator, code_dims = synthesizing.load_generator(run_dir)
    artists = synthesizing.Artists.load(run_dir)
    style = artists.wanted(artist, mix)
    through = [] if interpolate is None else artists.listed(interpolate)
    if interpolate is not None and not 2 <= len(through) <= frames:
        raise UserError(
            "--interpolate must name two artists or more, at most as many as there are"
            f" --frames={frames}, got {interpolate!r}"
        )
    codes = _random_codes(count, seed, code_dims, style)
    names = [f"{number:05d}.png" for number in range(count)]
    with folders.written_whole(
        output_dir, own_files=_OWN_FILES, last=CODES_FILE, overwrite=overwrite
    ) as partial_dir:
        folder = pathlib.Path(partial_dir)
        shown: list[np.ndarray] = []
        starts = range(0, count, BATCH_SIZE)
        for start in encoding.with_progress(starts, count, "generating"):
            here = slice(start, start + BATCH_SIZE)
            made = decode_codes(generator, *(one[here] for one in codes))
            for name, picture in zip(names[here], made, strict=True):
                Image.fromarray(picture).save(folder / name)
            shown += list(made[: _ON_SHEET - len(shown)])
        grids.write_picture(_sheet(shown), folder / SHEET_FILE)
        if through:
            styles = np.stack([artists.style(name) for name in through])
            path, nearest = animation.style_loop(styles, frames)
            contents, noises = (np.repeat(one[:1], frames, axis=0) for one in codes[1:])
            animation.write_gif(
                folder / ANIMATION_FILE,
                decode_codes(generator, path, contents, noises),
                [through[number] for number in nearest],
            )
        files.write_npz(
            folder / CODES_FILE,
            filenames=np.array(names),
            **dict(zip(("style", "content", "noise"), codes, strict=True)),
        )


def _random_codes(
    count: int, seed: int, code_dims: tuple[int, int, int], style: np.ndarray | None
) -> list[np.ndarray]:
    """Draw N(0, I) for style, content and noise (equation 6), float32 [count, ..]."""
    drawn = np.random.default_rng(seed).normal(size=[count, sum(code_dims)])
    styles, contents, noises = np.split(drawn, np.cumsum(code_dims)[:2], axis=1)
    if style is not None:
        styles = np.tile(style, [count, 1])
    return [one.astype(np.float32) for one in (styles, contents, noises)]


def _sheet(pictures: list[np.ndarray]) -> Image.Image:
    across = min(len(pictures), _PER_ROW)
    rows: list[list[np.ndarray | None]] = [
        list(pictures[first : first + across])
        for first in range(0, len(pictures), across)
    ]
    rows[-1] += [None] * (across - len(rows[-1]))
    return grids.picture_grid(rows)
