"""Count the pixels of an encoded picture by its header, before it is decoded.

Only of the formats that TensorFlow decodes; it takes their sizes from the same bytes.
"""

from tfstyle.data.formats import bmp, gif, jpeg, png

# Frames of JPEG: start-of-frame markers, without DHT, JPG and DAC.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def count_pixels(data: bytes) -> int | None:
    """Return how many pixels decoding makes; None if it is no picture.

    Of an animated GIF, all frames are decoded. A picture whose header is damaged has 0:
    it cannot be decoded.
    """
    if data.startswith(png.MAGIC[:4]):
        return _multiply(data[16:20], data[20:24], "big")
    if data.startswith(bmp.MAGIC):
        return _multiply(data[18:22], data[22:26], "little", signed=True)
    if data.startswith(gif.MAGIC[0][:4]):
        frames = [frame.width * frame.height for frame in _read_frames(data)]
        return max(_multiply(data[6:8], data[8:10], "little"), sum(frames))
    if data.startswith(jpeg.MAGIC):
        for marker, segment in jpeg.read_segments(data):
            if marker in _FRAMES:
                return _multiply(segment[1:3], segment[3:5], "big")
        return 0
    return None


def _read_frames(data: bytes) -> list[gif.Frame]:
    return list(gif.read_frames(data)) if len(data) > 10 else []


def _multiply(first: bytes, second: bytes, order: str, signed: bool = False) -> int:
    width, height = (
        int.from_bytes(number, order, signed=signed)  # type: ignore[arg-type]
        for number in (first, second)
    )
    return abs(width * height)
