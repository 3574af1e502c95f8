"""Count the pixels of an encoded picture by its header, before it is decoded.

Only of the formats that TensorFlow decodes; it takes their sizes from the same bytes.
"""

from tfstyle.data.formats import bmp, jpeg, png


def count_pixels(data: bytes) -> int | None:
    """Return how many pixels decoding makes; None if it is of another format.

    A picture whose header is damaged has 0: it cannot be decoded.
    """
    if data.startswith(png.MAGIC[:4]):
        return _multiply(data[16:20], data[20:24], "big")
    if data.startswith(bmp.MAGIC):
        return _multiply(data[18:22], data[22:26], "little", signed=True)
    if data.startswith(jpeg.MAGIC):
        for marker, segment in jpeg.read_segments(data):
            if marker in jpeg.FRAMES:
                return _multiply(segment[1:3], segment[3:5], "big")
        return 0
    return None


def _multiply(first: bytes, second: bytes, order: str, signed: bool = False) -> int:
    width, height = (
        int.from_bytes(number, order, signed=signed)  # type: ignore[arg-type]
        for number in (first, second)
    )
    return abs(width * height)
