"""Convert samples of any type to 8 bits, and to plain colors."""

from collections.abc import Iterator, Sequence

import numpy as np

from tfstyle.data.formats.errors import PictureError

# Floating-point files do not say what is white. It is the first of these values that
# most samples do not exceed. Samples that are brighter than white, such as reflections
# and lamps, become white.
_FLOAT_WHITES = (1.0, 255.0, 65535.0)
# Pictures of white 255 or 65535 come from integers, so few samples exceed white, and
# some are as bright as this share of it. A high dynamic range differs.
_FEW, _BRIGHT = 0.01, 0.25
_DARKEST = 1 / 510  # of samples that are not black if white is 1
_PIXELS_AT_ONCE = 2**20  # that are converted, so that little memory is needed
# Of YCbCr: what red, green and blue add to Y; and black and white of Y, Cb and Cr.
LUMA = (0.299, 0.587, 0.114)
YCC_LIMITS = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_YCC_RANGES = np.array([255, 127, 127], np.float32)


def round_signed(values: np.ndarray) -> np.ndarray:
    """Round signed numbers of 16 bits, in 256ths, to signed numbers of 8 bits.

    Both are held as unsigned numbers.
    """
    rounded = (values.astype(np.int16).astype(np.int32) + 128) >> 8
    return np.minimum(rounded, 127).astype(np.uint8)


def scale_integers(values: np.ndarray, bits: int) -> np.ndarray:
    """Scale unsigned integers of `bits` bits to uint8, rounded."""
    if bits == 8:
        return values.astype(np.uint8)
    white = 2**bits - 1
    if bits <= 16:
        wide = values.astype(np.uint32)
        return ((wide * 255 + white // 2) // white).astype(np.uint8)
    return np.rint(values.astype(np.float64) * (255.0 / white)).astype(np.uint8)


def scale_floats(values: np.ndarray) -> np.ndarray:
    """Scale floating-point samples to uint8, from 0 to an estimate of white.

    Brighter samples become white; negative ones, and those that are no number, black.

    Raises:
        PictureError: what is white cannot be told.
    """
    result = np.empty(values.shape, np.uint8)
    white = _estimate_white(values)
    for part, target in zip(_split(values), _split(result), strict=True):
        finite = np.nan_to_num(part.astype(np.float32), posinf=white, neginf=0.0)
        target[...] = np.rint(np.clip(finite, 0.0, white) * (255.0 / white))
    return result


def unpack_bits(rows: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Unpack samples of `bits` bits, high bits first: uint32 [rows, count].

    Args:
        rows: uint8 [rows, bytes].
        bits: 1 to 32.
        count: samples of a row; the bits after them are ignored.
    """
    flat = np.unpackbits(rows, axis=1, count=count * bits)
    digits = flat.reshape(len(rows), count, bits)
    samples = np.zeros(digits.shape[:2], np.uint32)
    for place in range(bits):
        samples = (samples << np.uint32(1)) | digits[..., place]
    return samples


def undo_float_predictor(rows: np.ndarray, bits: int, channels: int) -> np.ndarray:
    """Restore floating-point samples whose bytes are stored as differences.

    The bytes of a row are sorted by significance; each is a difference to that of the
    previous pixel.

    Args:
        rows: uint8 [rows, bytes].
        bits: 16, 32 or 64.
        channels: samples of a pixel.

    Returns:
        Floating-point samples [rows, samples].
    """
    steps = rows.reshape(len(rows), -1, channels)
    sums = np.add.accumulate(steps, axis=1, dtype=np.uint8)
    planes = sums.reshape(len(rows), bits // 8, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(planes).view(f">f{bits // 8}")[..., 0]


def look_up(indices: np.ndarray, table: Sequence[int], bits: int) -> np.ndarray:
    """Look up colors in a palette of TIFF.

    Args:
        indices: unsigned integers [height, width].
        table: red of all colors, then green, then blue; 16 bits, or 8 by old writers.
        bits: of the indices.

    Returns:
        uint8 [height, width, 3].

    Raises:
        PictureError: the palette has another length.
    """
    if len(table) != 3 * 2**bits:
        raise PictureError("unreadable", "the palette has a wrong length")
    palette = np.array(table, np.uint32).reshape(3, -1).T
    return scale_integers(palette, 16 if palette.max() > 255 else 8)[indices]


def divide_by_alpha(levels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Recover colors uint8 [height, width, n] that were multiplied by their alpha.

    Args:
        levels: the products.
        alpha: uint8 [height, width, 1].
    """
    result = np.empty_like(levels)
    for part, opacity, target in zip(
        *map(_split, (levels, alpha, result)), strict=True
    ):
        share = np.maximum(opacity, 1).astype(np.float32) / 255
        target[...] = np.rint(np.minimum(part / share, 255))
    return result


def expand_subsampled(
    data: bytes, rows: int, horizontal: int, vertical: int
) -> np.ndarray:
    """Repeat Cb and Cr of YCbCr that are stored once for several pixels.

    Args:
        data: units of several Y, one Cb and one Cr.
        rows: of units.
        horizontal: how many Y of a unit are side by side.
        vertical: how many are above each other.

    Returns:
        uint8 [rows of pixels, width, 3].
    """
    size = horizontal * vertical
    units = np.frombuffer(data, np.uint8).reshape(rows, -1, size + 2)
    light = units[..., :size].reshape(rows, -1, vertical, horizontal)
    light = light.transpose(0, 2, 1, 3).reshape(rows * vertical, -1)
    color = units[..., size:].repeat(vertical, axis=0).repeat(horizontal, axis=1)
    return np.concatenate([light[..., None], color], axis=-1)


def convert_ycc(
    levels: np.ndarray, luma: Sequence[float], limits: Sequence[float]
) -> np.ndarray:
    """Convert YCbCr to RGB, by the equations of TIFF 6.0, section 21.

    Args:
        levels: uint8 [height, width, 3].
        luma: see LUMA.
        limits: see YCC_LIMITS.

    Returns:
        uint8 [height, width, 3].

    Raises:
        PictureError: `luma` or `limits` are impossible.
    """
    red, green, blue = luma
    black, white = np.array(limits, np.float32).reshape(3, 2).T
    if not min(luma) > 0 or not (white > black).all():
        raise PictureError("unsupported", "YCbCr with impossible coefficients")
    result = np.empty_like(levels)
    for part, target in zip(_split(levels), _split(result), strict=True):
        y, cb, cr = np.moveaxis((part - black) * (_YCC_RANGES / (white - black)), -1, 0)
        r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
        g = (y - red * r - blue * b) / green
        target[...] = np.rint(np.clip(np.stack([r, g, b], axis=-1), 0, 255))
    return result


def _estimate_white(values: np.ndarray) -> float:
    finite, positive, visible = _count_above(values, (-np.inf, 0.0, _DARKEST))
    if not positive and finite > values.size / 2:
        return 1.0
    for white in _FLOAT_WHITES:
        brighter, bright = _count_above(values, (white, _BRIGHT * white))
        if brighter < visible / 2:
            if white == 1.0 or brighter <= _FEW * visible <= bright:
                return white
            break
    raise PictureError(
        "unsupported",
        "floating-point samples whose white is neither 1 nor 255 nor 65535",
    )


def _count_above(values: np.ndarray, limits: Sequence[float]) -> list[int]:
    """Count the finite samples that are above each limit."""
    counts = np.zeros(len(limits), int)
    for part in _split(values):
        finite = part[np.isfinite(part)]
        counts += [np.count_nonzero(finite > limit) for limit in limits]
    return counts.tolist()


def _split(values: np.ndarray) -> Iterator[np.ndarray]:
    """Divide the rows of a picture into groups that need little memory."""
    width = int(np.prod(values.shape[1:2]))
    step = max(1, _PIXELS_AT_ONCE // width)
    for start in range(0, len(values), step):
        yield values[start : start + step]
