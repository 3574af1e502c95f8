"""Picture files of any format, converted to square RGB pictures.

Nothing here imports TensorFlow, so worker processes start fast.
"""

from tfstyle.data.pictures.conversion import (
    FITS,
    FORMATS,
    RESULT_FORMATS,
    SUFFIXES,
    Conversion,
    PictureError,
    encode_picture,
    load_picture,
    normalize_color,
    to_square_rgb,
)

__all__ = [
    "FITS",
    "FORMATS",
    "RESULT_FORMATS",
    "SUFFIXES",
    "Conversion",
    "PictureError",
    "encode_picture",
    "load_picture",
    "normalize_color",
    "to_square_rgb",
]
