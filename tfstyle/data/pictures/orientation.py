"""Turn pictures upright by their Exif data, as browsers do.

Not by XMP, which browsers ignore.
"""

import struct
from collections.abc import Iterable

from PIL import Image

from tfstyle.data.formats import tiff

_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_ENTRY_SIZE = 12


def find_turn(structures: Iterable[bytes]) -> Image.Transpose | None:
    """Return how to turn a picture upright, if at all.

    Args:
        structures: TIFF structures of Exif data. The first orientation counts.
    """
    orientations = map(read_orientation, structures)
    first = next((o for o in orientations if o is not None), 1)
    return tiff.TURNS.get(first)


def find_turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how to turn a picture of Pillow's upright, if at all."""
    return find_turn([(image.info.get("exif") or b"").removeprefix(_PREFIX)])


def read_orientation(structure: bytes) -> int | None:
    """Read the orientation, which may be invalid, from a TIFF structure.

    It is a SHORT among the entries of the first directory, however many of them are
    whole; other types do not count. None if there is none.
    """
    order = _BYTE_ORDERS.get(structure[:4])
    if order is None or len(structure) < 8:
        return None
    (place,) = struct.unpack_from(order + "I", structure, 4)
    if place + 2 > len(structure):
        return None
    (count,) = struct.unpack_from(order + "H", structure, place)
    first = place + 2
    for entry in range(first, first + count * _ENTRY_SIZE, _ENTRY_SIZE):
        if entry + _ENTRY_SIZE > len(structure):
            return None
        tag, kind, length, value = struct.unpack_from(order + "HHIH", structure, entry)
        if (tag, kind, length) == (_ORIENTATION, _SHORT, 1):
            return int(value)
    return None
