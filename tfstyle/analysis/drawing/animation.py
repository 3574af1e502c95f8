"""Animations: from style to style and back to the first."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfstyle.analysis.drawing.captions import fitted
from tfstyle.analysis.drawing.grids import Path
from tfstyle.core.files import replacing

_MILLISECONDS = 80  # that a frame is shown; GIF counts in tens
_SMALLEST_SIDE = 256  # pixels
_FONT = 16


def style_loop(styles: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Lead through styles and back to the first, slowing down at each.

    Args:
        styles: float [k, dims].
        frames: how many codes to give, at least k. Each style is one of them; the
            first is not repeated at the end, after which the loop begins again.

    Returns:
        float [frames, dims], and int [frames], the style that each is nearer to on its
        way from one to the next.

    Raises:
        ValueError: if there are fewer frames than styles.
    """
    count = len(styles)
    if not 0 < count <= frames:
        raise ValueError(f"{count} styles need as many frames, got {frames}")
    starts = np.round(np.arange(count + 1) * frames / count).astype(int)
    numbers = np.arange(frames)
    here = np.searchsorted(starts, numbers, side="right") - 1
    after = (here + 1) % count
    done = (numbers - starts[here]) / np.diff(starts)[here]
    eased = done**2 * (3 - 2 * done)
    codes = styles[here] + eased[:, None] * (styles[after] - styles[here])
    return codes, np.where(done < 0.5, here, after)


def write_gif(path: Path, pictures: np.ndarray, captions: Sequence[str]) -> None:
    """Write pictures as an endless GIF, complete or not at all.

    Small pictures are enlarged by a whole factor without smoothing.

    Args:
        path: of the GIF.
        pictures: uint8 [n, height, width, 3], RGB.
        captions: [n], below them.
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
        text = fitted(caption, _FONT, size[0] - _FONT)
        text.draw(ImageDraw.Draw(frame), middle, "mm")
        frames.append(frame.quantize())
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=_MILLISECONDS,
            loop=0,
        )
