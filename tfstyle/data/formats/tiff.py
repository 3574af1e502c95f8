"""Read TIFF files of any samples: 1 to 64 bits, integers and floats, planes, tiles.

Pillow reads few of these, and some of them wrongly. It reads the directory, and
decompresses blocks as if they were gray pictures, so that no codec is written here.
Files whose codec sees pictures instead of bytes, such as JPEG, are left to Pillow.
"""

import dataclasses
import io
import struct
import zlib
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from PIL import Image, TiffImagePlugin

from tfstyle.data.formats import samples
from tfstyle.data.formats.errors import PictureError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # samples of a color
_NONE, _DEFLATE = 1, (8, 32946)
_WITH_PREDICTOR = (5, *_DEFLATE, 34925, 50000)  # 5: LZW, 34925: LZMA, 50000: Zstandard
_CODECS = (_NONE, 32773, *_WITH_PREDICTOR)  # 32773: PackBits
_SIGNED, _FLOAT = 2, 3
_SAMPLE_FORMATS = (1, _FLOAT, 4)  # 1: unsigned, 4: undefined
_ASSOCIATED, _UNASSOCIATED = (1,), (2, 999)  # kinds of alpha; 999: Corel Draw
_SPECIAL_INKS = 2
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# How to turn a picture upright, by its orientation in EXIF or TIFF.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_tiff(
    file: IO[bytes], check_size: Callable[[int, int], None]
) -> Image.Image | None:
    """Read the first picture of a TIFF file, upright.

    Args:
        file: the file; its profile, if any, goes to the `info` of the picture.
        check_size: is called with width and height before pixels are read.

    Returns:
        A picture with 8 bits: L, LA, RGB, RGBA, CMYK or LAB; or None if Pillow is to
        read the file.

    Raises:
        PictureError: samples have no defined meaning, or the file is truncated.
    """
    file.seek(0)
    header = file.read(8)
    directory = TiffImagePlugin.ImageFileDirectory_v2(
        header + file.read(8) if header[2] == 43 or header[3] == 43 else header
    )
    file.seek(directory.next)
    directory.load(file)
    layout = _Layout.read(directory, ">" if header[:1] == b"M" else "<")
    if layout.compression not in _CODECS:
        return None
    if layout.photometric not in _COLORS:
        raise PictureError("unsupported", f"TIFF of photometric {layout.photometric}")
    check_size(layout.width, layout.height)
    layout.check()
    image = _to_image(layout, _read_samples(file, layout), directory)
    if profile := directory.get(34675):
        image.info["icc_profile"] = profile
    turn = TURNS.get(_number(directory, 274, 1))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where and how the samples of a picture are stored."""

    width: int
    height: int
    channels: int
    bits: tuple[int, ...]
    sample_format: tuple[int, ...]
    photometric: int
    extra: tuple[int, ...]
    order: str
    compression: int
    predictor: int
    is_planar: bool
    has_reversed_bits: bool
    subsampling: tuple[int, ...]
    ink_set: int
    block: tuple[int, int]  # height, width
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def read(cls, directory: Any, order: str) -> "_Layout":
        width, height = _number(directory, 256, 0), _number(directory, 257, 0)
        channels = _number(directory, 277, 1)
        photometric = _number(directory, 262, _RGB if channels > 2 else _WHITE_IS_ZERO)
        is_tiled = 324 in directory
        rows = min(_number(directory, 278, height), height)
        block = (rows, width)
        if is_tiled:
            block = (_number(directory, 323, 0), _number(directory, 322, 0))
        return cls(
            width=width,
            height=height,
            channels=channels,
            bits=_numbers(directory, 258, (1,)),
            sample_format=_numbers(directory, 339, (1,)),
            photometric=photometric,
            extra=_numbers(directory, 338, ()),
            order=order,
            compression=_number(directory, 259, _NONE),
            predictor=_number(directory, 317, 1),
            is_planar=_number(directory, 284, 1) == 2 and channels > 1,
            has_reversed_bits=_number(directory, 266, 1) == 2,
            subsampling=_numbers(directory, 530, (2, 2)),
            ink_set=_number(directory, 332, 1),
            block=block,
            offsets=_numbers(directory, 324 if is_tiled else 273, ()),
            counts=_numbers(directory, 325 if is_tiled else 279, ()),
        )

    @property
    def colors(self) -> int:
        """The number of samples that define a color."""
        return _COLORS[self.photometric]

    @property
    def alpha(self) -> int | None:
        """The place of the sample that is alpha, if any."""
        for place, kind in enumerate(self.extra, self.colors):
            if kind in _ASSOCIATED + _UNASSOCIATED and place < self.channels:
                return place
        # Files without a list of extra samples are usually of this kind.
        if self.photometric == _RGB and not self.extra and self.channels == 4:
            return 3
        return None

    @property
    def has_subsampled_color(self) -> bool:
        return self.photometric == _YCC and set(self.subsampling) != {1}

    def check(self) -> None:
        """Raise PictureError unless the samples can be read and have a meaning."""
        kinds = {*self.bits}, {*self.sample_format}
        name = f"{'/'.join(map(str, self.bits))}-bit samples"
        if any(len(kind) != 1 for kind in kinds):
            raise PictureError("unsupported", "TIFF with samples of different types")
        if _SIGNED in self.sample_format and self.photometric != _LAB:
            raise PictureError(
                "unsupported", f"TIFF with signed {name}, which have no defined white"
            )
        bits, sample_format = self.bits[0], self.sample_format[0]
        is_known = sample_format in (*_SAMPLE_FORMATS, _SIGNED) and (
            bits in (16, 32, 64) if sample_format == _FLOAT else 1 <= bits <= 32
        )
        is_known &= self.photometric not in (_YCC, _LAB) or bits in (8, 16)
        is_known &= self.photometric != _YCC or (bits == 8 and not self.is_planar)
        is_known &= self.photometric != _PALETTE or bits <= 16
        is_known &= sample_format != _FLOAT or self.colors in (1, 3)
        is_known &= self.ink_set != _SPECIAL_INKS
        predictors = {1, 2} if bits in (8, 16, 32) else {1}
        is_known &= self.predictor in (
            {1, 3} if sample_format == _FLOAT else predictors
        )
        if not is_known:
            raise PictureError(
                "unsupported",
                f"TIFF with {name} (format {sample_format}), photometric"
                f" {self.photometric}, predictor {self.predictor}",
            )
        if not self.colors <= self.channels <= self.colors + 16 or not all(self.block):
            raise PictureError("unreadable", "the TIFF directory contradicts itself")


def _read_samples(file: IO[bytes], layout: _Layout) -> np.ndarray:
    """Read all samples: [height, width, channels], of the type in the file."""
    if layout.has_subsampled_color:
        return _read_subsampled(file, layout)
    planes = layout.channels if layout.is_planar else 1
    channels = layout.channels // planes
    (height, width), result = layout.block, None
    columns = -(-layout.width // width)
    per_plane = columns * -(-layout.height // height)
    for index in range(per_plane * planes):
        plane, place = divmod(index, per_plane)
        top, left = place // columns * height, place % columns * width
        # The last strip holds fewer rows, but a tile is always whole.
        rows = min(height, layout.height - top) if columns == 1 else height
        row_size = -(-width * channels * layout.bits[0] // 8)
        needed = min(height, layout.height - top) * row_size
        data = _read_block(file, layout, index, row_size, rows, needed)
        block = _parse_block(data, layout, width, channels)
        if result is None:
            shape = [layout.height, layout.width, layout.channels]
            result = np.zeros(shape, block.dtype)
        part = result[top : top + height, left : left + width]
        part[..., plane : plane + channels] = block[: len(part), : part.shape[1]]
    assert result is not None
    return result


def _read_subsampled(file: IO[bytes], layout: _Layout) -> np.ndarray:
    """Read Y, Cb, Cr with fewer samples of color, repeated for each pixel."""
    horizontal, vertical = layout.subsampling
    height, width = layout.block
    if width != layout.width or height % vertical and height != layout.height:
        raise PictureError("unsupported", "TIFF tiles of subsampled YCbCr")
    columns = -(-width // horizontal)
    size = horizontal * vertical
    strips = []
    for index, top in enumerate(range(0, layout.height, height)):
        rows = -(-min(height, layout.height - top) // vertical)
        row_size = columns * (size + 2)
        data = _read_block(file, layout, index, row_size, rows, rows * row_size)
        units = np.frombuffer(data, np.uint8, rows * row_size)
        units = units.reshape(rows, columns, size + 2)
        light = units[..., :size].reshape(rows, columns, vertical, horizontal)
        light = light.transpose(0, 2, 1, 3).reshape(rows * vertical, -1)
        color = units[..., size:].repeat(vertical, axis=0).repeat(horizontal, axis=1)
        strips.append(np.concatenate([light[..., None], color], axis=-1))
    return np.concatenate(strips)[: layout.height, : layout.width]


def _read_block(
    file: IO[bytes], layout: _Layout, index: int, row_size: int, rows: int, needed: int
) -> bytes:
    """Read and decompress a strip or tile; it has at least `needed` bytes."""
    if index >= len(layout.offsets):
        raise PictureError("truncated", f"there is no block {index} of the TIFF file")
    file.seek(layout.offsets[index])
    size = rows * row_size
    is_raw = layout.compression == _NONE
    # Old writers leave counts out.
    count = layout.counts[index] if index < len(layout.counts) else size
    data = file.read(min(size, max(count, needed)) if is_raw else count)
    if layout.has_reversed_bits:
        data = data.translate(_REVERSED_BITS)
    if layout.compression in _DEFLATE:
        data = zlib.decompressobj().decompress(data, size)
    elif not is_raw:
        data = _decompress(data, layout.compression, row_size, rows)
    if len(data) < needed:
        raise PictureError(
            "truncated", f"block {index} has {len(data)} of {needed} bytes"
        )
    # Rows of a tile that are below the picture may be missing.
    return data[:size] + b"\0" * (size - len(data))


def _decompress(data: bytes, compression: int, row_size: int, rows: int) -> bytes:
    """Decompress by Pillow: a gray TIFF of the block's bytes, in one strip."""
    entries = [(256, row_size), (257, rows), (258, 8), (259, compression), (262, 1)]
    start = 8 + 2 + 12 * (len(entries) + 4) + 4
    entries += [(273, start), (277, 1), (278, rows), (279, len(data))]
    header = b"II*\0" + struct.pack("<IH", 8, len(entries))
    header += b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries)
    with Image.open(io.BytesIO(header + b"\0" * 4 + data), formats=["TIFF"]) as image:
        return image.tobytes()


def _parse_block(data: bytes, layout: _Layout, width: int, channels: int) -> np.ndarray:
    """Convert the bytes of a block to samples [rows, width, channels]."""
    bits, count = layout.bits[0], width * channels
    rows = np.frombuffer(data, np.uint8).reshape(-1, -(-count * bits // 8))
    predictor = layout.predictor if layout.compression in _WITH_PREDICTOR else 1
    if predictor == 3:
        # The bytes of a row are sorted by significance; each is a difference to that
        # of the previous pixel.
        steps = rows.reshape(len(rows), -1, channels)
        sums = np.add.accumulate(steps, axis=1, dtype=np.uint8)
        planes = sums.reshape(len(rows), bits // 8, count).transpose(0, 2, 1)
        values = np.ascontiguousarray(planes).view(f">f{bits // 8}")
    elif layout.sample_format[0] == _FLOAT:
        values = rows.view(f"{layout.order}f{bits // 8}")
    elif bits in (8, 16, 32):
        values = rows.view(f"{layout.order}u{bits // 8}").astype(f"u{bits // 8}")
    else:
        values = samples.unpack_bits(rows, bits, count)
    values = values.reshape(len(rows), width, channels)
    if predictor == 2:
        values = np.add.accumulate(values, axis=1, dtype=values.dtype)
    return values


def _to_image(layout: _Layout, values: np.ndarray, directory: Any) -> Image.Image:
    """Convert samples [height, width, channels] to a picture with 8 bits."""
    colors, bits = values[..., : layout.colors], layout.bits[0]
    if layout.photometric == _PALETTE:
        levels = _look_up(colors[..., 0], _numbers(directory, 320, ()), bits)
    elif layout.photometric == _LAB:
        return _make_lab(colors, bits)
    else:
        levels = _scale(colors, layout)
    if layout.photometric == _WHITE_IS_ZERO:
        levels = 255 - levels
    if layout.photometric == _YCC:
        levels = np.asarray(Image.fromarray(levels, "YCbCr").convert("RGB"))
    if layout.photometric == _CMYK:
        return Image.fromarray(levels, "CMYK")
    alpha = layout.alpha
    if alpha is None:
        return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    opacity = _scale(values[..., alpha : alpha + 1], layout)
    if layout.extra[alpha - layout.colors :][:1] == _ASSOCIATED:
        levels = _divide(levels, opacity)
    return Image.fromarray(np.concatenate([levels, opacity], axis=-1))


def _scale(values: np.ndarray, layout: _Layout) -> np.ndarray:
    if layout.sample_format[0] == _FLOAT:
        return samples.scale_floats(values)
    return samples.scale_integers(values, layout.bits[0])


def _divide(levels: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Recover colors that were multiplied by their alpha."""
    share = np.maximum(opacity, 1).astype(np.float32) / 255
    return np.rint(np.minimum(levels / share, 255)).astype(np.uint8)


def _look_up(indices: np.ndarray, table: tuple[int, ...], bits: int) -> np.ndarray:
    if len(table) != 3 * 2**bits:
        raise PictureError("unreadable", "the TIFF palette has a wrong length")
    palette = np.array(table, np.uint32).reshape(3, -1).T
    # Some old writers store 8 bits instead of 16.
    bits_per_color = 16 if palette.max() > 255 else 8
    return samples.scale_integers(palette, bits_per_color)[indices]


def _make_lab(values: np.ndarray, bits: int) -> Image.Image:
    """Make a LAB picture from L and signed a, b with 8 or 16 bits."""
    if bits == 16:
        # 16 bits of a and b are in 256ths.
        lightness = samples.scale_integers(values[..., :1], 16)
        values = np.concatenate([lightness, values[..., 1:] >> 8], axis=-1)
    data = np.ascontiguousarray(values.astype(np.uint8)).tobytes()
    size = (values.shape[1], values.shape[0])
    return Image.frombytes("LAB", size, data, "raw", "LAB")


def _numbers(directory: Any, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    value = directory.get(tag, default)
    values = value if isinstance(value, tuple) else (value,)
    return tuple(int(number) for number in values)


def _number(directory: Any, tag: int, default: int) -> int:
    return next(iter(_numbers(directory, tag, (default,))), default)
