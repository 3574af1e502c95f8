"""Animations that visit several styles and return to the first."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fit_text
from tfstyle.core.files import atomic_file

_MILLISECONDS = 80  # per frame; GIF counts in steps of 10
_SMALLEST_SIDE = 256  # pixels
_FONT = 16  # pixels


def interpolate_loop(styles: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate from style to style and back to the first, slowing down at each.

    Args:
        styles: float [k, dims].
        frames: number of codes to return, at least k. Each style is one of them; the
            first is not repeated at the end, where the loop starts over.

    Returns:
        codes: float [frames, dims].
        nearest: int [frames], index of the nearer of the two styles between which the
            code lies.

    Raises:
        ValueError: if there are fewer frames than styles.
    """
    count = len(styles)
    if not 0 < count <= frames:
        raise ValueError(f"{count} styles need as many frames, got {frames}")
    starts = np.round(np.arange(count + 1) * frames / count).astype(int)
    numbers = np.arange(frames)
    previous = np.searchsorted(starts, numbers, side="right") - 1
    following = (previous + 1) % count
    progress = (numbers - starts[previous]) / np.diff(starts)[previous]
    eased = progress**2 * (3 - 2 * progress)
    codes = styles[previous] + eased[:, None] * (styles[following] - styles[previous])
    return codes, np.where(progress < 0.5, previous, following)


def write_gif(
    path: str | os.PathLike[str], pictures: np.ndarray, captions: Sequence[str]
) -> None:
    """Write pictures as an endless GIF, complete or not at all.

    Small pictures are enlarged by an integer factor without smoothing.

    Args:
        path: of the GIF.
        pictures: uint8 [n, height, width, 3], RGB.
        captions: [n], below the pictures.
    """
    height, width = pictures.shape[1:3]
    scale = -(-_SMALLEST_SIDE // min(height, width))
    size = (width * scale, height * scale)
    frames = []
    for picture, caption in zip(pictures, captions, strict=True):
        frame = Image.new("RGB", (size[0], size[1] + 2 * _FONT), "white")
        tile = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
        frame.paste(tile, (0, 0))
        middle = (size[0] / 2, size[1] + _FONT)
        text = fit_text(caption, _FONT, size[0] - _FONT)
        text.draw(ImageDraw.Draw(frame), middle, "mm")
        frames.append(frame.quantize())
    with atomic_file(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=_MILLISECONDS,
            loop=0,
        )
