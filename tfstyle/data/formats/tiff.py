"""Read TIFF files of any samples: 1 to 64 bits, integers and floats, planes, tiles.

Pillow reads few of these, and some of them wrongly. It reads the directory, and
decompresses blocks as if they were gray pictures, so that no codec is written here.
Files whose codec sees pictures instead of bytes, such as JPEG, are left to Pillow.
"""

import dataclasses
import io
import lzma
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image

from tfstyle.data.formats import samples
from tfstyle.data.formats.errors import PictureError, SizeCheck
from tfstyle.data.formats.tiff_directory import DEFLATE, LZMA, Directory, decompress

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCC, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # samples of a color
_NONE = 1
_WITH_PREDICTOR = (5, *DEFLATE, LZMA)  # 5: LZW
_CODECS = (_NONE, 32773, *_WITH_PREDICTOR)  # 32773: PackBits
_CODECS_OF_PICTURES = (2, 3, 4, 6, 7)  # fax, JPEG
_SIGNED, _FLOAT = 2, 3
_SAMPLE_FORMATS = (1, _FLOAT, 4)  # 1: unsigned, 4: undefined
_ASSOCIATED, _UNASSOCIATED = (1,), (2, 999)  # kinds of alpha; 999: Corel Draw
_SPECIAL_INKS = 2
_GRAY_OR_RGB = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
_MULTIPLIED = (_BLACK_IS_ZERO, _RGB)  # colors for which associated alpha is defined
# Hostile files share parts, or have more of them, and take minutes.
_MAX_BLOCKS, _MAX_STORED = 100_000, 2**30
# Bytes that may follow those of a block; of a last strip, which may have more rows.
_MAX_REST, _MAX_LAST_REST = 2**16, 2**28
_SAMPLES_AT_ONCE = 2**20  # that are scaled, so that little memory is needed
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
    file: IO[bytes], check_size: SizeCheck
) -> tuple[Image.Image, Image.Image | None] | None:
    """Read the first picture of a TIFF file, upright.

    Args:
        file: the file; its profile, if any, goes to the `info` of the picture.
        check_size: is called before pixels are read.

    Returns:
        The colors, with 8 bits (L, RGB, CMYK or LAB), and the alpha channel, if any; or
        None if Pillow is to read the file.

    Raises:
        PictureError: samples have no defined meaning, or the file is truncated.
    """
    directory = Directory(file)
    if directory.read_number(254, 0) & 1:
        raise PictureError(
            "unsupported", "TIFF that begins with a preview, as raw files"
        )
    layout = _Layout.read(directory)
    layout.check_size(check_size)
    if layout.compression in _CODECS_OF_PICTURES:
        return None
    layout.check()
    layout.check_blocks(file.seek(0, io.SEEK_END))
    colors, alpha = _to_images(layout, _read_levels(file, layout), directory)
    turn = TURNS.get(directory.read_number(274, 1))
    if turn is not None:
        colors = colors.transpose(turn)
        alpha = alpha and alpha.transpose(turn)
    if profile := directory.read_bytes(34675):
        colors.info["icc_profile"] = profile
    return colors, alpha


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
    def read(cls, directory: Directory) -> "_Layout":
        width, height = directory.read_number(256, 0), directory.read_number(257, 0)
        channels = directory.read_number(277, 1)
        photometric = directory.read_number(
            262, _RGB if channels > 2 else _WHITE_IS_ZERO
        )
        is_tiled = 324 in directory
        rows = min(directory.read_number(278, height), height)
        block = (rows, width)
        if is_tiled:
            block = (directory.read_number(323, 0), directory.read_number(322, 0))
        return cls(
            width=width,
            height=height,
            channels=channels,
            bits=directory.read_numbers(258, (1,)),
            sample_format=directory.read_numbers(339, (1,)),
            photometric=photometric,
            extra=directory.read_numbers(338, ()),
            order=directory.order,
            compression=directory.read_number(259, _NONE),
            predictor=directory.read_number(317, 1),
            is_planar=directory.read_number(284, 1) == 2 and channels > 1,
            has_reversed_bits=directory.read_number(266, 1) == 2,
            subsampling=directory.read_numbers(530, (2, 2)),
            ink_set=directory.read_number(332, 1),
            block=block,
            offsets=directory.read_places(324 if is_tiled else 273),
            counts=directory.read_places(325 if is_tiled else 279),
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
    def shown(self) -> tuple[int, ...]:
        """The places of the samples that are shown: the colors, and alpha if any."""
        alpha = () if self.alpha is None else (self.alpha,)
        return (*range(self.colors), *alpha)

    @property
    def is_associated(self) -> bool:
        """Whether colors are multiplied by alpha."""
        kinds = () if self.alpha is None else self.extra[self.alpha - self.colors :]
        return kinds[:1] == _ASSOCIATED

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def block_channels(self) -> int:
        return 1 if self.is_planar else self.channels

    @property
    def blocks_of_plane(self) -> int:
        height, width = self.block
        return -(-self.height // height) * -(-self.width // width)

    def check_size(self, check_size: SizeCheck) -> None:
        """Check the picture, and the tiles, which may be larger."""
        bits = self.channels * max(self.bits)
        check_size(*self.size, bits)
        height, width = self.block
        check_size(max(self.width, width), max(self.height, height), bits)

    @property
    def has_subsampled_color(self) -> bool:
        return self.photometric == _YCC and set(self.subsampling) != {1}

    def check(self) -> None:
        """Raise PictureError unless the samples can be read and have a meaning."""
        name = f"{'/'.join(map(str, self.bits))}-bit samples"
        is_mixed = len({*self.bits}) != 1 or len({*self.sample_format}) != 1
        is_lab = self.photometric == _LAB and self.channels == 3
        is_signed = _SIGNED in self.sample_format and not is_lab
        for is_refused, text in (
            (self.compression not in _CODECS, f"of compression {self.compression}"),
            (self.photometric not in _COLORS, f"of photometric {self.photometric}"),
            (is_mixed, "with samples of different types"),
            (is_signed, f"with signed {name}, which have no defined white"),
        ):
            if is_refused:
                raise PictureError("unsupported", f"TIFF {text}")
        bits, sample_format = self.bits[0], self.sample_format[0]
        is_known = sample_format in (*_SAMPLE_FORMATS, _SIGNED) and (
            bits in (16, 32, 64) if sample_format == _FLOAT else 1 <= bits <= 32
        )
        is_known &= self.photometric not in (_YCC, _LAB) or bits in (8, 16)
        is_known &= self.photometric != _YCC or (bits == 8 and not self.is_planar)
        is_known &= not self.has_subsampled_color or self.channels == 3
        is_known &= self.photometric != _PALETTE or bits <= 16
        is_known &= sample_format != _FLOAT or self.photometric in _GRAY_OR_RGB
        is_known &= not self.is_associated or self.photometric in _MULTIPLIED
        is_known &= self.ink_set != _SPECIAL_INKS
        differences = 3 if sample_format == _FLOAT else 2 if bits in (8, 16, 32) else 1
        is_known &= self.predictor in (1, differences)
        if not is_known:
            raise PictureError(
                "unsupported",
                f"TIFF with {name} (format {sample_format}), photometric"
                f" {self.photometric}, extra samples {self.extra}, predictor"
                f" {self.predictor}",
            )
        if not self.colors <= self.channels <= self.colors + 16 or not all(self.block):
            raise PictureError("unreadable", "the TIFF directory contradicts itself")

    def check_blocks(self, file_size: int) -> None:
        """Raise PictureError if blocks are too many, or share too much of the file."""
        blocks = self.blocks_of_plane * (self.channels if self.is_planar else 1)
        stored = sum(min(count, file_size) for count in self.counts[:blocks])
        if blocks > _MAX_BLOCKS or stored > _MAX_STORED:
            raise PictureError(
                "too_large", f"{blocks} blocks of {stored} bytes in a TIFF file"
            )


def _read_levels(file: IO[bytes], layout: _Layout) -> np.ndarray:
    """Read the samples that are shown: [height, width, colors (+ alpha)].

    They are scaled to 8 bits, but for the indices of palettes.
    """
    if layout.has_subsampled_color:
        return _read_subsampled(file, layout)
    is_float = layout.sample_format[0] == _FLOAT
    is_palette = layout.photometric == _PALETTE
    kind = np.float32 if is_float else np.uint16 if is_palette else np.uint8
    result = np.empty([layout.height, layout.width, len(layout.shown)], kind)
    for index, top, left, plane in _list_blocks(layout):
        places = [i for i, n in enumerate(layout.shown) if plane in (n, None)]
        if not places:
            continue
        samples_of_row = layout.block[1] * layout.block_channels
        row_size = -(-samples_of_row * layout.bits[0] // 8)
        rows = min(layout.block[0], layout.height - top)
        data = _read_block(file, layout, index, row_size, rows)
        step = max(1, _SAMPLES_AT_ONCE // samples_of_row)
        for start in range(0, rows, step):
            rows_at_once = data[start * row_size : (start + step) * row_size]
            values = _parse_block(rows_at_once, layout)
            target = result[top + start :, left : left + layout.block[1]]
            for place in places:
                channel = layout.shown[place] if plane is None else 0
                part = values[:, : target.shape[1], channel]
                target[: len(part), :, place] = _reduce(part, layout, place)
    if not is_float:
        return result
    # Alpha has a white of its own.
    colors = layout.colors
    groups = (result[..., :colors], result[..., colors:])
    return np.concatenate([samples.scale_floats(v) for v in groups if v.size], axis=-1)


def _list_blocks(layout: _Layout) -> Iterator[tuple[int, int, int, int | None]]:
    """List index, top, left, and plane of all strips or tiles; None is all planes."""
    height, width = layout.block
    index = 0
    for plane in range(layout.channels) if layout.is_planar else (None,):
        for top in range(0, layout.height, height):
            for left in range(0, layout.width, width):
                yield index, top, left, plane
                index += 1


def _read_subsampled(file: IO[bytes], layout: _Layout) -> np.ndarray:
    """Read Y, Cb, Cr with fewer samples of color, repeated for each pixel."""
    horizontal, vertical = layout.subsampling
    height, width = layout.block
    if width != layout.width or height % vertical and height != layout.height:
        raise PictureError("unsupported", "TIFF tiles of subsampled YCbCr")
    row_size = -(-width // horizontal) * (horizontal * vertical + 2)
    strips = []
    for index, top in enumerate(range(0, layout.height, height)):
        rows = -(-min(height, layout.height - top) // vertical)
        data = _read_block(file, layout, index, row_size, rows)
        strips.append(samples.expand_subsampled(data, rows, horizontal, vertical))
    return np.concatenate(strips)[: layout.height, : layout.width]


def _read_block(
    file: IO[bytes], layout: _Layout, index: int, row_size: int, rows: int
) -> bytes:
    """Read and decompress the first rows of a strip or tile."""
    is_compressed = layout.compression != _NONE
    if index >= len(layout.offsets) or (is_compressed and index >= len(layout.counts)):
        raise PictureError("truncated", f"there is no block {index} of the TIFF file")
    file.seek(layout.offsets[index])
    size = rows * row_size
    data = file.read(layout.counts[index] if is_compressed else size)
    if layout.has_reversed_bits:
        data = data.translate(_REVERSED_BITS)
    try:
        if is_compressed:
            rest = max(0, layout.block[0] * row_size - size) + _MAX_REST
            if (index + 1) % layout.blocks_of_plane == 0:
                rest = _MAX_LAST_REST
            data = decompress(data, layout.compression, row_size, rows, rest)
    except (zlib.error, lzma.LZMAError, OSError):
        raise PictureError("unreadable", f"block {index} is damaged") from None
    if len(data) < size:
        raise PictureError("truncated", f"block {index}: {len(data)} of {size} bytes")
    return data


def _parse_block(data: bytes, layout: _Layout) -> np.ndarray:
    """Convert bytes of whole rows of a block to samples [rows, width, channels]."""
    width, channels = layout.block[1], layout.block_channels
    bits, count = layout.bits[0], width * channels
    rows = np.frombuffer(data, np.uint8).reshape(-1, -(-count * bits // 8))
    predictor = layout.predictor if layout.compression in _WITH_PREDICTOR else 1
    if predictor == 3:
        values = samples.undo_float_predictor(rows, bits, channels)
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


def _reduce(values: np.ndarray, layout: _Layout, place: int) -> np.ndarray:
    """Scale the samples of a channel to 8 bits, if that depends on nothing else."""
    bits = layout.bits[0]
    if layout.sample_format[0] == _FLOAT or layout.photometric == _PALETTE:
        return values
    if layout.photometric == _LAB and place in (1, 2):
        return values if bits == 8 else samples.round_signed(values)
    return samples.scale_integers(values, bits)


def _to_images(
    layout: _Layout, levels: np.ndarray, directory: Directory
) -> tuple[Image.Image, Image.Image | None]:
    """Convert what `_read_levels` returns to a picture and its alpha channel."""
    colors, opacity = np.split(levels, [layout.colors], axis=-1)
    if layout.photometric == _PALETTE:
        table = directory.read_numbers(320, ())
        colors = samples.look_up(colors[..., 0], table, layout.bits[0])
        opacity = samples.scale_integers(opacity, layout.bits[0])
    elif layout.photometric == _WHITE_IS_ZERO:
        colors = 255 - colors
    elif layout.photometric == _YCC:
        luma = directory.read_ratios(529, samples.LUMA)
        limits = directory.read_ratios(532, samples.YCC_LIMITS)
        colors = samples.convert_ycc(colors, luma, limits)
    elif layout.is_associated:
        colors = samples.divide_by_alpha(colors, opacity)
    if layout.photometric in (_CMYK, _LAB):
        mode = "CMYK" if layout.photometric == _CMYK else "LAB"
        image = Image.frombytes(mode, layout.size, colors.tobytes(), "raw", mode)
    else:
        image = Image.fromarray(
            np.squeeze(colors, 2) if colors.shape[2] == 1 else colors
        )
    return image, Image.fromarray(opacity[..., 0]) if opacity.size else None
