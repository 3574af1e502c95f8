"""Encoders of picture files, written by hand from the formats' specifications.

They write what Pillow cannot, and the pixels of their files are known by construction.
Compressed formats use codes that do not compress.
"""

import lzma
import struct
import zlib

import numpy as np

# PNG color types.
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
_ADAM7 += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x, y, step in x, step in y


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Pack the rows of [height, n] samples of 1 to 64 bits, high bits first."""
    if bits in (8, 16, 32, 64):
        return values.astype(f">u{bits // 8}").tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    spread = (values[..., None].astype(np.int64) >> shifts) & 1
    return np.packbits(
        spread.reshape(len(values), -1).astype(np.uint8), axis=1
    ).tobytes()


# PNG


def png_chunk(kind: bytes, data: bytes = b"", crc: int | None = None) -> bytes:
    """Write a chunk; `crc` replaces the right checksum."""
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def write_png(
    values: np.ndarray,
    color_type: int,
    bits: int = 8,
    before: bytes = b"",
    after: bytes = b"",
    interlace: bool = False,
    end: bytes | None = None,
) -> bytes:
    """Write samples [height, width] or [height, width, channels].

    `before` and `after` are chunks before and after the pixels.
    """
    values = values if values.ndim == 3 else values[..., None]
    height, width, _ = values.shape
    header = struct.pack(
        ">IIBBBBB", width, height, bits, color_type, 0, 0, int(interlace)
    )
    parts = [values]
    if interlace:
        parts = [values[y::down, x::right] for x, y, right, down in _ADAM7]
    raw = b""
    for part in parts:
        if part.size:
            rows = part.reshape(len(part), -1)
            raw += b"".join(b"\0" + pack_bits(row[None], bits) for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", zlib.compress(raw))
        + after
        + (png_chunk(b"IEND") if end is None else end)
    )


# BMP


def write_bmp(
    data: bytes,
    width: int,
    height: int,
    bits: int,
    palette: np.ndarray | None = None,
    compression: int = 0,
    header_size: int = 40,
    masks: tuple[int, ...] = (),
    tail: bytes = b"",
    colors_used: int | None = None,
) -> bytes:
    """Write a BMP around its pixel data; a negative height is top-down.

    `masks` follow a header of 40 bytes, or are part of a longer one. `tail` fills the
    rest of the header.
    """
    colors = 0 if palette is None else len(palette)
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
        table = b"" if palette is None else palette[:, ::-1].astype(np.uint8).tobytes()
    else:
        used = colors if colors_used is None else colors_used
        header = struct.pack(
            "<IiiHHIIiiII",
            header_size,
            width,
            height,
            1,
            bits,
            compression,
            len(data),
            2835,
            2835,
            used,
            0,
        )
        header += struct.pack(f"<{len(masks)}I", *masks) + tail
        header += b"\0" * (header_size - len(header))
        table = b"".join(bytes([b, g, r, 0]) for r, g, b in (palette if colors else []))
    offset = 14 + len(header) + len(table)
    file_header = b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return file_header + header + table + data


def bmp_rows(packed_rows: list[bytes]) -> bytes:
    """Pad rows to 4 bytes, the last row first."""
    return b"".join(row + b"\0" * (-len(row) % 4) for row in reversed(packed_rows))


def bmp_rle8(values: np.ndarray) -> bytes:
    """Alternate runs, and absolute parts of odd lengths."""
    data = b""
    for row in values[::-1]:
        data += bytes([1, row[0], 1, row[1]])
        rest = [int(v) for v in row[2:]]
        part, rest = rest[:5], rest[5:]
        data += bytes([0, len(part), *part]) + b"\0" * (len(part) % 2)
        for value in rest:
            data += bytes([1, value])
        data += b"\0\0"
    return data + b"\0\1"


def bmp_rle4(values: np.ndarray) -> bytes:
    """Runs of two values, and absolute parts of odd lengths."""
    data = b""
    for row in values[::-1]:
        data += bytes([2, row[0] << 4 | row[1]])
        rest = [int(v) for v in row[2:]]
        part, rest = rest[:5], rest[5:]
        nibbles = [*part, *[0] * (-len(part) % 4)]
        data += bytes([0, len(part)])
        data += bytes(
            nibbles[i] << 4 | nibbles[i + 1] for i in range(0, len(nibbles), 2)
        )
        for value in rest:
            data += bytes([1, value << 4])
        data += b"\0\0"
    return data + b"\0\1"


# GIF


def write_gif(
    values: np.ndarray,
    palette: np.ndarray,
    transparent: int | None = None,
    screen: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    local: bool = False,
    background: int = 0,
    disposal: int = 0,
    interlace: bool = False,
    extensions: bytes = b"",
    frames: bytes = b"",
) -> bytes:
    """Write palette indices [height, width] as the first frame; `frames` follow."""
    height, width = values.shape
    screen_width, screen_height = screen or (width, height)
    bits = max(1, int(len(palette) - 1).bit_length())
    table = np.zeros([2**bits, 3], np.uint8)
    table[: len(palette)] = palette
    flags = 0x70 | (0 if local else 0x80 | (bits - 1))
    data = b"GIF89a" + struct.pack(
        "<HHBBB", screen_width, screen_height, flags, background, 0
    )
    data += b"" if local else table.tobytes()
    data += extensions
    return (
        data
        + gif_frame(
            values,
            table,
            at,
            transparent,
            local,
            disposal=disposal,
            interlace=interlace,
        )
        + frames
        + b";"
    )


def gif_frame(
    values: np.ndarray,
    table: np.ndarray,
    at: tuple[int, int] = (0, 0),
    transparent: int | None = None,
    local: bool = True,
    disposal: int = 0,
    interlace: bool = False,
) -> bytes:
    """Write one frame with its control extension."""
    height, width = values.shape
    bits = max(1, int(len(table) - 1).bit_length())
    control = disposal << 2 | (transparent is not None)
    data = b"\x21\xf9\x04" + struct.pack("<BHBB", control, 5, transparent or 0, 0)
    flags = (0x80 | (bits - 1) if local else 0) | (0x40 if interlace else 0)
    data += b"," + struct.pack("<HHHHB", *at, width, height, flags)
    data += table.tobytes() if local else b""
    rows = list(range(height))
    if interlace:
        rows = [*rows[::8], *rows[4::8], *rows[2::4], *rows[1::2]]
    code_bits = max(2, bits)
    packed = _lzw_uncompressed(values[rows].ravel(), code_bits, high_first=False)
    data += bytes([code_bits])
    for i in range(0, len(packed), 255):
        data += bytes([len(packed[i : i + 255])]) + packed[i : i + 255]
    return data + b"\0"


def _lzw_uncompressed(values: np.ndarray, bits: int, high_first: bool) -> bytes:
    """Write LZW with a clear code before the codes would become longer."""
    clear, end, size = 2**bits, 2**bits + 1, bits + 1
    codes = []
    for i, value in enumerate(values):
        if i % max(2, 2**bits - 4) == 0:
            codes.append(clear)
        codes.append(int(value))
    codes.append(end)
    shifts = range(size - 1, -1, -1) if high_first else range(size)
    flat = [(code >> shift) & 1 for code in codes for shift in shifts]
    order = "big" if high_first else "little"
    return np.packbits(np.array(flat, np.uint8), bitorder=order).tobytes()


# TIFF

NONE, LZW, DEFLATE, PACKBITS, LZMA = 1, 5, 8, 32773, 34925
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def write_tiff(
    values: np.ndarray,
    photometric: int,
    bits: int = 8,
    sample_format: int = UNSIGNED,
    order: str = "<",
    compression: int = NONE,
    predictor: int = 1,
    planar: int = 1,
    rows_per_strip: int | None = None,
    tile: int | None = None,
    extra: tuple[int, ...] = (),
    tags: dict[int, tuple[int, tuple | bytes]] | None = None,
    fill_order: int = 1,
    big: bool = False,
) -> bytes:
    """Write samples [height, width] or [height, width, channels].

    `tile` is a side of square tiles. `tags` adds or replaces tags: (type, values).
    """
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    blocks, step = [], tile or rows_per_strip or height
    planes = [values[..., i : i + 1] for i in range(channels)]
    for plane in planes if planar == 2 else [values]:
        for top in range(0, height, step):
            block = plane[top : top + step]
            if not tile:
                blocks.append(block)
                continue
            for left in range(0, width, tile):
                part = block[:, left : left + tile]
                padding = [(0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)]
                blocks.append(np.pad(part, padding))
    encoded = [
        _encode_block(block, bits, sample_format, order, compression, predictor)
        for block in blocks
    ]
    if fill_order == 2:
        reverse = bytes(int(f"{i:08b}"[::-1], 2) for i in range(256))
        encoded = [data.translate(reverse) for data in encoded]
    entries: dict[int, tuple[int, tuple | bytes]] = {
        256: (4, (width,)),
        257: (4, (height,)),
        258: (3, (bits,) * channels),
        259: (3, (compression,)),
        262: (3, (photometric,)),
        266: (3, (fill_order,)),
        277: (3, (channels,)),
        284: (3, (planar,)),
        317: (3, (predictor,)),
        339: (3, (sample_format,) * channels),
    }
    if extra:
        entries[338] = (3, extra)
    if tile:
        entries |= {322: (4, (tile,)), 323: (4, (tile,))}
    else:
        entries[278] = (4, (step,))
    entries |= tags or {}
    offsets, counts = (324, 325) if tile else (273, 279)
    entries[counts] = (4, tuple(map(len, encoded)))
    entries[offsets] = (4, (0,) * len(encoded))
    start = len(_tiff_header(entries, order, big))
    places = np.cumsum([start, *map(len, encoded)])[:-1]
    entries[offsets] = (4, tuple(map(int, places)))
    return _tiff_header(entries, order, big) + b"".join(encoded)


def _encode_block(
    block: np.ndarray,
    bits: int,
    sample_format: int,
    order: str,
    compression: int,
    predictor: int,
) -> bytes:
    height, width, channels = block.shape
    if sample_format == FLOAT:
        data = block.astype(f"{order}f{bits // 8}")
    elif bits in (8, 16, 32, 64):
        data = block.astype(
            f"{order}{'i' if sample_format == SIGNED else 'u'}{bits // 8}"
        )
    if predictor == 2:
        unsigned = data.astype(f"u{bits // 8}")
        unsigned[:, 1:] = unsigned[:, 1:] - unsigned[:, :-1]
        data = unsigned.astype(f"{order}u{bits // 8}")
    if predictor == 3:
        planes = block.astype(f">f{bits // 8}").view(np.uint8)
        planes = planes.reshape(height, width * channels, bits // 8)
        rows = planes.transpose(0, 2, 1).reshape(height, -1, channels)
        rows = rows.copy()
        rows[:, 1:] = rows[:, 1:] - rows[:, :-1]
        raw = rows.tobytes()
    elif bits in (8, 16, 32, 64):
        raw = data.tobytes()
    else:
        raw = pack_bits(block.reshape(height, -1), bits)
    if compression == DEFLATE:
        return zlib.compress(raw)
    if compression == LZMA:
        return lzma.compress(raw)
    if compression == LZW:
        return _lzw_uncompressed(np.frombuffer(raw, np.uint8), 8, high_first=True)
    if compression == PACKBITS:
        parts = (raw[i : i + 100] for i in range(0, len(raw), 100))
        return b"".join(bytes([len(part) - 1]) + part for part in parts)
    return raw


_TIFF_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "B", 16: "Q"}


def _tiff_header(entries: dict, order: str, big: bool) -> bytes:
    """Write the file's and the directory's header, and values that do not fit in it."""
    count_format, offset_format, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        order + "H", 43 if big else 42
    )
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    entry_size = 20 if big else 12
    start = len(head) + struct.calcsize(order + count_format)
    start += entry_size * len(entries) + struct.calcsize(order + offset_format)
    directory, overflow = b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        if isinstance(values, bytes):
            data, number = values, len(values)
        else:
            number = len(values) // (2 if kind == 5 else 1)
            data = struct.pack(f"{order}{len(values)}{_TIFF_TYPES[kind][0]}", *values)
        directory += struct.pack(
            order + "HH" + ("Q" if big else "I"), tag, kind, number
        )
        if len(data) <= inline:
            directory += data + b"\0" * (inline - len(data))
        else:
            directory += struct.pack(order + offset_format, start + len(overflow))
            overflow += data + b"\0" * (len(data) % 2)
    number = struct.pack(order + count_format, len(entries))
    return head + number + directory + struct.pack(order + offset_format, 0) + overflow


# TGA


def write_tga(
    pixels: bytes,
    width: int,
    height: int,
    kind: int,
    depth: int,
    flags: int = 0x20,
    palette: bytes = b"",
    palette_depth: int = 0,
    identifier: bytes = b"",
    attributes: int | None = None,
) -> bytes:
    """Write a TGA around its pixels; flags 0x20 means the top row first.

    `attributes` is the kind of alpha in the extension area of TGA 2.0.
    """
    number = len(palette) * 8 // palette_depth if palette else 0
    header = struct.pack(
        "<BBBHHBHHHHBB",
        len(identifier),
        int(bool(palette)),
        kind,
        0,
        number,
        palette_depth,
        0,
        0,
        width,
        height,
        depth,
        flags,
    )
    data = header + identifier + palette + pixels
    if attributes is None:
        return data
    extension = struct.pack("<H", 495) + b"\0" * 492 + bytes([attributes])
    footer = struct.pack("<II", len(data), 0) + b"TRUEVISION-XFILE.\0"
    return data + extension + footer


def tga_rle(pixels: np.ndarray) -> bytes:
    """Encode [n, bytes per pixel]: a run of one, then raw packets."""
    data = b"\x80" + pixels[0].tobytes()
    for i in range(1, len(pixels), 100):
        part = pixels[i : i + 100]
        data += bytes([len(part) - 1]) + part.tobytes()
    return data


# JPEG, baseline, of blocks of one color: only the DC coefficient is not zero.

# The standard Huffman table of luminance DC, and an AC table that holds only the end of
# block.
_DC_COUNTS = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])


def jpeg_segment(marker: int, data: bytes) -> bytes:
    """Write a marker segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def write_jpeg(
    blocks: np.ndarray,
    identifiers: bytes | None = None,
    segments: bytes = b"",
    adobe: int | None = None,
    end: bytes = b"\xff\xd9",
    precision: int = 8,
) -> bytes:
    """Write the components' levels of each 8x8 block, [rows, columns, channels].

    `adobe` is the transform of an Adobe segment.
    """
    rows, columns, channels = blocks.shape
    identifiers = identifiers or bytes(range(1, channels + 1))
    data = b"\xff\xd8" + segments
    if adobe is not None:
        data += jpeg_segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe))
    # Quantized by 8, so that a DC coefficient of 1 is one level.
    data += jpeg_segment(0xDB, b"\0" + bytes([8] + [1] * 63))
    frame = struct.pack(">BHHB", precision, rows * 8, columns * 8, channels)
    frame += b"".join(bytes([i, 0x11, 0]) for i in identifiers)
    data += jpeg_segment(0xC0, frame)
    data += jpeg_segment(0xC4, b"\0" + _DC_COUNTS + bytes(range(12)))
    data += jpeg_segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    scan = bytes([channels]) + b"".join(bytes([i, 0]) for i in identifiers)
    data += jpeg_segment(0xDA, scan + bytes([0, 63, 0]))
    return data + _encode_blocks(blocks.astype(int) - 128) + end


def _encode_blocks(levels: np.ndarray) -> bytes:
    codes, code, symbol = {}, 0, 0
    for length, number in enumerate(_DC_COUNTS, 1):
        for _ in range(number):
            codes[symbol] = f"{code:0{length}b}"
            code, symbol = code + 1, symbol + 1
        code <<= 1
    bits, last = [], np.zeros(levels.shape[2], int)
    for block in levels.reshape(-1, levels.shape[2]):
        for channel, level in enumerate(block):
            difference = int(level - last[channel])
            size = abs(difference).bit_length()
            bits.append(codes[size])
            if size:
                value = difference if difference > 0 else difference + 2**size - 1
                bits.append(f"{value:0{size}b}")
            bits.append("0")  # the end of the block
        last = block
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    data = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
    return data.replace(b"\xff", b"\xff\0")


def exif(orientation: int, order: str = "<") -> bytes:
    """Write EXIF data (a TIFF without pixels) with an orientation."""
    return _tiff_header({274: (3, (orientation,))}, order, big=False)


def exif_entries(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Write little-endian EXIF data of tags, types, counts and four bytes each."""
    data = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, kind, count, value in entries:
        data += struct.pack("<HHI", tag, kind, count) + value
    return data + b"\0\0\0\0"
