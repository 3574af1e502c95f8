"""Scale samples of any type to 8 bits."""

import numpy as np

# Floating-point files do not say what is white. It is the first of these values whose
# limit is above nearly all of a picture: a few pixels may be brighter than white, as
# reflections and lamps are, but a picture with white 255 is never as dark as 16.
_FLOAT_WHITES = ((1.0, 16.0), (255.0, 510.0), (65535.0, 131070.0))
_NEARLY_ALL = 99  # percent


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
    """
    white = _estimate_white(values)
    finite = np.nan_to_num(values.astype(np.float32), posinf=white, neginf=0.0)
    return np.rint(np.clip(finite, 0.0, white) * (255.0 / white)).astype(np.uint8)


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


def _estimate_white(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return 1.0
    bright = np.percentile(finite, _NEARLY_ALL)
    for white, limit in _FLOAT_WHITES:
        if bright <= limit:
            return white
    return float(finite.max())
