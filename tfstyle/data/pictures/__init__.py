"""Picture files of any format, converted to square RGB pictures.

Nothing here imports TensorFlow, so worker processes start fast.
"""

from tfstyle.data.formats.errors import PictureError
from tfstyle.data.pictures.conversion import (
    FITS,
    FORMATS,
    RESULT_FORMATS,
    Conversion,
    encode_picture,
    load_picture,
    load_upright,
    normalize_color,
    to_square_rgb,
)
from tfstyle.data.pictures.opening import (
    MAX_BYTES,
    MAX_PIXELS,
    SUFFIXES,
    describe_source,
    make_picture,
    normalize,
    read_picture,
    read_source,
)

__all__ = [
    "FITS",
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "RESULT_FORMATS",
    "SUFFIXES",
    "Conversion",
    "PictureError",
    "describe_source",
    "encode_picture",
    "load_picture",
    "load_upright",
    "make_picture",
    "normalize",
    "normalize_color",
    "read_picture",
    "read_source",
    "to_square_rgb",
]
