"""A table of picture files of all kinds, with the pixels that people see in them.

The files are written by hand (`encoders`), and the pixels follow from the formats'
specifications, not from a decoder. WebP and AVIF, which are too complex for that, are
written by Pillow without loss.
"""

import dataclasses
import functools
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from helpers import encoders as write
from helpers import icc
from helpers.pictures import encode_picture

SIDE = 16
BACKGROUND = (32, 64, 96)
_Y, _X = np.mgrid[:SIDE, :SIDE]
GRAY = (16 * _Y + _X).astype(np.uint8)  # all levels
COLOR = np.stack([17 * _X, 17 * _Y, 255 - 8 * _X - 8 * _Y], axis=-1).astype(np.uint8)
ALPHA = (17 * _Y).astype(np.uint8)
INK = np.stack([17 * _X, 17 * _Y, 8 * _X + 4 * _Y, 4 * _Y], axis=-1).astype(np.uint8)
INDEX = ((_X + 3 * _Y) % 16).astype(np.uint8)
PALETTE = np.stack(
    [17 * np.arange(16), 255 - 13 * np.arange(16), (80 * np.arange(16)) % 256], axis=1
).astype(np.uint8)
HALVES = np.where(_X < SIDE // 2, 1, 0).astype(np.uint8)
ANY_LEVELS = np.random.default_rng(0).integers(0, 65536, [SIDE, SIDE, 4])


@dataclasses.dataclass(frozen=True)
class Row:
    """A file with the picture it shows.

    Attributes:
        name: what is special about it.
        data: the file.
        pixels: uint8 [height, width, 3] over BACKGROUND; None if it must be refused.
        tolerance: levels by which a decoder may deviate.
        reason: part of the message if it must be refused.
    """

    name: str
    data: bytes
    pixels: np.ndarray | None
    tolerance: int = 0
    reason: str = ""


def over(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composite colors [.., 3] with alpha [..] from 0 to 255 over BACKGROUND."""
    share = alpha[..., None] / 255.0
    return np.rint(share * colors + (1 - share) * np.array(BACKGROUND)).astype(np.uint8)


def gray3(levels: np.ndarray) -> np.ndarray:
    """Repeat gray levels as colors."""
    return np.repeat(np.asarray(levels, np.uint8)[..., None], 3, axis=-1)


def scaled(values: np.ndarray, white: float) -> np.ndarray:
    """Scale values to 8 bits."""
    return np.rint(np.clip(values / white, 0, 1) * 255).astype(np.uint8)


def inked(levels: np.ndarray) -> np.ndarray:
    """Convert CMYK [.., 4] without a profile to RGB."""
    light = 255.0 - levels
    return np.rint(light[..., :3] * light[..., 3:] / 255).astype(np.uint8)


def _png_rows() -> Iterator[Row]:
    for interlace in (False, True):
        suffix = " interlaced" * interlace
        png = functools.partial(write.write_png, interlace=interlace)
        for bits in (1, 2, 4, 8, 16):
            white = 2**bits - 1
            levels = ANY_LEVELS[..., 0] & white
            key = int(levels[3, 5])
            shown = gray3(scaled(levels, white))
            transparent = np.where(levels == key, 0, 255)
            chunk = write.png_chunk(b"tRNS", key.to_bytes(2, "big"))
            yield Row(f"png gray {bits} bits{suffix}", png(levels, 0, bits), shown)
            yield Row(
                f"png gray {bits} bits tRNS{suffix}",
                png(levels, 0, bits, chunk),
                over(shown, transparent),
            )
            if bits <= 8:
                index = levels % 16
                table = write.png_chunk(b"PLTE", PALETTE[: 2**bits].tobytes())
                alphas = bytes([200, 0, 255, 90, 3][: 2**bits])
                known = np.full(16, 255)
                known[: len(alphas)] = list(alphas)
                yield Row(
                    f"png palette {bits} bits{suffix}",
                    png(index, 3, bits, table),
                    PALETTE[index],
                )
                yield Row(
                    f"png palette {bits} bits tRNS{suffix}",
                    png(index, 3, bits, table + write.png_chunk(b"tRNS", alphas)),
                    over(PALETTE[index], known[index]),
                    1,
                )
            if bits < 8:
                continue
            values = ANY_LEVELS & white
            shown = scaled(values, white)
            tolerance = int(bits == 16)  # the high byte instead of rounding
            color = values[..., :3]
            key = color[3, 5].tolist()
            chunk = write.png_chunk(
                b"tRNS", b"".join(v.to_bytes(2, "big") for v in key)
            )
            other = color.copy()
            other[4, 6] = color[3, 5]
            other[4, 6, 2] ^= 1  # nearly the transparent color
            shown_other = scaled(other, white)
            transparent = np.where((other == key).all(axis=-1), 0, 255)
            yield Row(
                f"png rgb {bits} bits{suffix}",
                png(color, 2, bits),
                shown[..., :3],
                tolerance,
            )
            yield Row(
                f"png rgb {bits} bits tRNS{suffix}",
                png(other, 2, bits, chunk),
                over(shown_other, transparent),
                tolerance,
            )
            yield Row(
                f"png gray alpha {bits} bits{suffix}",
                png(values[..., [0, 3]], 4, bits),
                over(gray3(shown[..., 0]), shown[..., 3]),
                1 + tolerance,
            )
            yield Row(
                f"png rgba {bits} bits{suffix}",
                png(values, 6, bits),
                over(shown[..., :3], shown[..., 3]),
                1 + tolerance,
            )
    yield from _png_chunk_rows()


def _png_chunk_rows() -> Iterator[Row]:
    def rgb(**options) -> bytes:
        return write.write_png(COLOR, write.RGB, **options)

    chunk = write.png_chunk
    adobe = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)
    iccp = chunk(b"iCCP", b"Adobe\0\0" + zlib.compress(adobe))
    shown = icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 563 / 256)
    yield Row("png AdobeRGB profile", rgb(before=iccp), shown, 2)
    rgba = np.concatenate([COLOR, ALPHA[..., None]], axis=-1)
    yield Row(
        "png AdobeRGB profile and alpha",
        write.write_png(rgba, write.RGBA, before=iccp),
        over(shown, ALPHA),
        2,
    )
    table = chunk(b"PLTE", PALETTE.tobytes()) + chunk(b"tRNS", b"\xff\0")
    shown_palette = icc.convert_rgb(PALETTE, icc.ADOBE_RGB_D50, 563 / 256)
    yield Row(
        "png palette with a profile and transparency",
        write.write_png(INDEX, write.PALETTE, 8, before=iccp + table),
        over(shown_palette[INDEX], np.where(INDEX == 1, 0, 255)),
        2,
    )
    gray = chunk(b"iCCP", b"gray\0\0" + zlib.compress(icc.gray_profile(1.5)))
    yield Row(
        "png gray profile",
        write.write_png(GRAY, write.GRAY, before=gray),
        icc.convert_gray(GRAY, 384 / 256),
        2,
    )
    yield Row(
        "png gray alpha profile",
        write.write_png(
            np.stack([GRAY, ALPHA], axis=-1), write.GRAY_ALPHA, before=gray
        ),
        over(icc.convert_gray(GRAY, 384 / 256), ALPHA),
        2,
    )
    yield Row(
        "png gray 16 bits with a profile",
        write.write_png(GRAY.astype(int) * 257, write.GRAY, 16, before=gray),
        icc.convert_gray(GRAY, 384 / 256),
        2,
    )
    yield Row("png rgb with a gray profile", rgb(before=gray), COLOR)
    yield Row(
        "png gray with an RGB profile",
        write.write_png(GRAY, write.GRAY, before=iccp),
        icc.convert_rgb(gray3(GRAY), icc.ADOBE_RGB_D50, 563 / 256),
        2,
    )
    srgb = icc.matrix_profile(icc.SRGB_D50, None, "sRGB")
    yield Row(
        "png sRGB profile",
        rgb(before=chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb))),
        COLOR,
        1,
    )
    corrupt = chunk(b"iCCP", b"bad\0\0" + zlib.compress(b"no profile" * 20))
    yield Row("png corrupt profile", rgb(before=corrupt), COLOR)
    yield Row(
        "png profile that is not compressed",
        rgb(before=chunk(b"iCCP", b"bad\0\0" + adobe)),
        COLOR,
    )
    gamma = chunk(b"gAMA", (45455).to_bytes(4, "big"))
    yield Row("png gAMA of sRGB", rgb(before=gamma), COLOR)
    yield Row(
        "png sRGB chunk beside another gAMA",
        rgb(before=chunk(b"sRGB", b"\0") + chunk(b"gAMA", (100000).to_bytes(4, "big"))),
        COLOR,
    )
    linear = chunk(b"gAMA", (100000).to_bytes(4, "big"))
    yield Row(
        "png linear gAMA",
        rgb(before=linear),
        icc.convert_rgb(COLOR, icc.SRGB_D50, 1),
        2,
    )
    yield Row(
        "png gray linear gAMA",
        write.write_png(GRAY, write.GRAY, before=linear),
        icc.convert_rgb(gray3(GRAY), icc.SRGB_D50, 1),
        2,
    )
    chroma = [31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000]
    chrm = chunk(b"cHRM", b"".join(v.to_bytes(4, "big") for v in chroma))
    yield Row(
        "png gAMA and cHRM of AdobeRGB",
        rgb(before=chunk(b"gAMA", (45470).to_bytes(4, "big")) + chrm),
        icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 100000 / 45470),
        2,
    )
    damaged = chunk(b"tEXt", b"Title\0damaged", crc=1)
    yield Row("png text with a wrong checksum", rgb(before=damaged), COLOR)
    yield Row("png time with a wrong checksum", rgb(after=damaged), COLOR)
    yield Row(
        "png pHYs with a wrong checksum",
        rgb(before=chunk(b"pHYs", b"\0\0\0\1\0\0\0\1\0", crc=7)),
        COLOR,
    )
    yield Row(
        "png profile with a wrong checksum",
        rgb(before=chunk(b"iCCP", b"A\0\0" + zlib.compress(adobe), crc=9)),
        COLOR,
    )
    yield Row("png without its end", rgb(end=b""), COLOR)
    yield Row(
        "png with a wrong checksum of its end",
        rgb(end=chunk(b"IEND", crc=3)),
        COLOR,
    )
    yield Row("png with data after its end", rgb() + b"more" * 99, COLOR)
    yield Row("png with an unknown chunk", rgb(before=chunk(b"teSt", b"\1\2\3")), COLOR)
    for where in ("before", "after"):
        rotated = chunk(b"eXIf", write.exif(6, ">"))
        yield Row(
            f"png rotated by EXIF {where} the pixels",
            rgb(**{where: rotated}),
            np.rot90(COLOR, -1),
        )
    yield from _png_odd_chunk_rows()
    yield from _png_damaged_rows()


def _png_odd_chunk_rows() -> Iterator[Row]:
    """Rows of chunks that viewers leave out, or of which they heed the first."""
    chunk = write.png_chunk

    def rgb(*chunks: bytes, **options) -> bytes:
        before = b"".join(chunks)
        return write.write_png(COLOR, write.RGB, before=before, **options)

    def numbers(kind: bytes, *values: int) -> bytes:
        return chunk(kind, b"".join(value.to_bytes(4, "big") for value in values))

    for kind in (
        b"gAMA",
        b"cHRM",
        b"cICP",
        b"sRGB",
        b"iCCP",
        b"pHYs",
        b"sBIT",
        b"tRNS",
    ):
        name = kind.decode()
        yield Row(f"png {name} of one byte", rgb(chunk(kind, b"\1")), COLOR)
    yield Row("png eXIf of one byte", rgb(chunk(b"eXIf", b"I")), COLOR)
    large = zlib.compress(bytes(2**21))
    yield Row("png large zTXt", rgb(chunk(b"zTXt", b"a\0\0" + large)), COLOR)
    yield Row("png large iTXt", rgb(chunk(b"iTXt", b"a\0\1\0\0\0" + large)), COLOR)
    adobe = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256) + bytes(2**21)
    yield Row(
        "png large profile",
        rgb(chunk(b"iCCP", b"Adobe\0\0" + zlib.compress(adobe))),
        icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 563 / 256),
        2,
    )
    stream = bytearray(zlib.compress(bytes(range(256)) * 9))
    stream[20] ^= 0xFF
    yield Row(
        "png profile of damaged data", rgb(chunk(b"iCCP", b"a\0\0" + stream)), COLOR
    )
    turn, upright = chunk(b"eXIf", write.exif(6)), chunk(b"eXIf", write.exif(1))
    yield Row("png EXIF turned, then upright", rgb(turn, upright), np.rot90(COLOR, -1))
    yield Row("png EXIF upright, then turned", rgb(upright, turn), COLOR)
    prefixed = chunk(b"eXIf", b"Exif\0\0" + write.exif(6))
    yield Row("png EXIF with the prefix of JPEG", rgb(prefixed), COLOR)
    linear, plain = numbers(b"gAMA", 100000), numbers(b"gAMA", 45455)
    light = icc.convert_rgb(COLOR, icc.SRGB_D50, 1)
    yield Row("png gAMA linear, then of sRGB", rgb(linear, plain), light, 2)
    yield Row("png gAMA of sRGB, then linear", rgb(plain, linear), COLOR)
    yield Row("png linear gAMA after the pixels", rgb(after=linear), COLOR)
    for gamma in (0, 1, 2**31, 2**32 - 1):
        yield Row(f"png gAMA {gamma}", rgb(numbers(b"gAMA", gamma)), COLOR)
    white, primaries = (31270, 32900), (64000, 33000, 30000, 60000, 15000, 6000)
    impossible = {
        "of zeros": (0,) * 8,
        "of no white": (0, 0, *primaries),
        "on a line": (*white, *(30000, 30000) * 3),
        "of huge numbers": (2**31,) * 8,
        "with white outside": (90000, 5000, *primaries),
    }
    for name, values in impossible.items():
        data = rgb(plain, numbers(b"cHRM", *values))
        yield Row(f"png gAMA and cHRM {name}", data, COLOR)
    ignored = {
        "PQ in limited range": (9, 16, 0, 0),
        "P3 in limited range": (12, 13, 0, 0),
        "of YCbCr": (12, 13, 1, 1),
        "unspecified": (2, 2, 0, 1),
        "reserved": (0, 255, 0, 1),
    }
    for name, values in ignored.items():
        yield Row(f"png cICP {name}", rgb(chunk(b"cICP", bytes(values))), COLOR)
    pq = chunk(b"cICP", bytes((9, 16, 0, 1)))
    yield Row("png cICP of PQ", rgb(pq), None, reason="high dynamic range (PQ)")

    def key(y: int, x: int) -> bytes:
        return chunk(b"tRNS", b"".join(bytes([0, level]) for level in COLOR[y, x]))

    is_key = np.equal(COLOR, COLOR[3, 5]).all(axis=-1)
    seen = over(COLOR, np.where(is_key, 0, 255))
    yield Row("png tRNS twice", rgb(key(3, 5), key(4, 6)), seen)
    yield Row("png tRNS after the pixels", rgb(after=key(3, 5)), COLOR)
    colors, alphas = chunk(b"PLTE", PALETTE.tobytes()), chunk(b"tRNS", b"\0\x80")
    more = chunk(b"tRNS", bytes(17))

    def indexed(*chunks: bytes) -> bytes:
        return write.write_png(INDEX, write.PALETTE, 8, before=b"".join(chunks))

    shown = PALETTE[INDEX]
    yield Row("png palette after tRNS", indexed(alphas, colors), shown)
    yield Row("png palette with too many alphas", indexed(colors, more), shown)
    yield Row("png palette before gAMA", indexed(colors, linear), shown)
    few = chunk(b"PLTE", PALETTE[:9].tobytes())
    known = np.where((INDEX < 9)[..., None], shown, 0)
    yield Row("png palette of too few colors", indexed(few), known)


def _png_damaged_rows() -> Iterator[Row]:
    """Rows whose pixels are not whole."""
    chunk = write.png_chunk
    whole = write.write_png(COLOR, write.RGB)
    place = whole.index(b"IDAT")
    yield Row("png cut in its pixels", whole[: place + 60], None, reason="truncated")
    yield Row("png header only", whole[:40], None, reason="truncated")
    flipped = bytearray(whole)
    flipped[place + 30] ^= 1
    yield Row("png with a flipped bit", bytes(flipped), None, reason="its IDAT chunk")
    rows = b"".join(b"\0" + row.tobytes() for row in COLOR)
    compressed = zlib.compress(rows)

    def of_pixels(*parts: bytes, between: bytes = b"") -> bytes:
        chunks = between.join(chunk(b"IDAT", part) for part in parts)
        return whole[: place - 4] + chunks + chunk(b"IEND")

    halves = compressed[:50], compressed[50:]
    yield Row("png pixels in two chunks", of_pixels(*halves), COLOR)
    text = chunk(b"tEXt", b"Title\0text")
    yield Row("png pixels interrupted by text", of_pixels(*halves, between=text), None)
    yield Row("png too many rows", of_pixels(zlib.compress(rows + rows)), COLOR)
    yield Row("png without a checksum of pixels", of_pixels(compressed[:-4]), COLOR)
    fewer = of_pixels(zlib.compress(rows[: 49 * 15]))
    yield Row("png too few rows", fewer, None, reason="735 of 784 bytes of pixels")
    wrong = of_pixels(compressed[:-1] + b"?")
    yield Row("png wrong checksum of pixels", wrong, None, reason="its pixels")
    filter_9 = of_pixels(zlib.compress(b"\x09" + rows[1:]))
    yield Row("png unknown filter", filter_9, None, reason="its pixels")
    colors = PALETTE.tobytes()
    for kind in (b"PLTE", b"tRNS"):
        table = chunk(b"PLTE", colors, crc=1 if kind == b"PLTE" else None)
        table += chunk(b"tRNS", b"\0", crc=1 if kind == b"tRNS" else None)
        data = write.write_png(INDEX, write.PALETTE, before=table)
        name = kind.decode()
        yield Row(
            f"png wrong checksum of {name}", data, None, reason=f"its {name} chunk"
        )
    for name, table in {
        "no palette": b"",
        "two palettes": chunk(b"PLTE", colors) * 2,
        "an empty palette": chunk(b"PLTE"),
        "a palette of 7 bytes": chunk(b"PLTE", colors[:7]),
    }.items():
        data = write.write_png(INDEX, write.PALETTE, before=table)
        yield Row(f"png {name}", data, None, reason="its palette")
    unknown = write.write_png(COLOR, write.RGB, before=chunk(b"ABCD"))
    yield Row("png unknown critical chunk", unknown, None, reason="a chunk ABCD")


def _jpeg_rows() -> Iterator[Row]:
    blocks = np.array([[30, 90], [200, 140]])
    color = np.array([[[200, 30, 60], [20, 180, 90]], [[90, 90, 250], [240, 220, 10]]])
    inks = np.array(
        [[[0, 200, 100, 0], [255, 0, 0, 50]], [[10, 20, 240, 100], [90, 90, 90, 200]]]
    )

    def big(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(values, 8, axis=0), 8, axis=1).astype(np.uint8)

    def ycc(rgb: np.ndarray) -> np.ndarray:
        matrix = [
            [0.299, 0.587, 0.114],
            [-0.168736, -0.331264, 0.5],
            [0.5, -0.418688, -0.081312],
        ]
        return np.rint(rgb @ np.array(matrix).T + [0, 128, 128])

    jpeg, segment = write.write_jpeg, write.jpeg_segment
    yield Row("jpeg gray", jpeg(blocks[..., None]), gray3(big(blocks)), 1)
    yield Row("jpeg ycc", jpeg(ycc(color)), big(color), 2)
    yield Row("jpeg rgb by Adobe", jpeg(color, adobe=0), big(color), 1)
    yield Row("jpeg rgb by letters", jpeg(color, identifiers=b"RGB"), big(color), 1)
    yield Row("jpeg ycc by Adobe", jpeg(ycc(color), adobe=1), big(color), 2)
    # As browsers, with inverted inks even if no Adobe segment says so.
    yield Row("jpeg cmyk", jpeg(255 - inks), big(inked(inks)), 2)
    yield Row("jpeg cmyk by Adobe", jpeg(255 - inks, adobe=0), big(inked(inks)), 2)
    # The values of YCCK are those of RGB 255 - C, .. of the stored, inverted inks.
    ycck = np.concatenate([ycc(inks[..., :3]), 255 - inks[..., 3:]], axis=-1)
    yield Row("jpeg ycck by Adobe", jpeg(ycck, adobe=2), big(inked(inks)), 3)
    for orientation in range(1, 9):
        app1 = segment(
            0xE1, b"Exif\0\0" + write.exif(orientation, "<>"[orientation % 2])
        )
        yield Row(
            f"jpeg orientation {orientation}",
            jpeg(ycc(color), segments=app1),
            turned(big(color), orientation),
            2,
        )
    odd = segment(0xE1, b"Exif\0\0" + write.exif(9))
    yield Row("jpeg orientation 9", jpeg(ycc(color), segments=odd), big(color), 2)
    broken = segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")
    yield Row("jpeg corrupt exif", jpeg(ycc(color), segments=broken), big(color), 2)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    yield Row(
        "jpeg orientation in XMP alone",
        jpeg(ycc(color), segments=segment(0xE1, xmp)),
        big(color),
        2,
    )
    p3 = icc.matrix_profile(icc.P3_D50, 563 / 256, "Display P3")
    for name, parts in {"one part": [p3], "two parts": [p3[:200], p3[200:]]}.items():
        segments = b"".join(
            segment(0xE2, b"ICC_PROFILE\0" + bytes([i, len(parts)]) + part)
            for i, part in enumerate(parts, 1)
        )
        yield Row(
            f"jpeg P3 profile in {name}",
            jpeg(ycc(color), segments=segments),
            icc.convert_rgb(big(color), icc.P3_D50, 563 / 256),
            4,
        )
    srgb = icc.matrix_profile(icc.SRGB_D50, None, "sRGB IEC61966-2.1")
    yield Row(
        "jpeg sRGB profile",
        jpeg(ycc(color), segments=segment(0xE2, b"ICC_PROFILE\0\1\1" + srgb)),
        big(color),
        2,
    )
    linear = icc.matrix_profile(icc.SRGB_D50, 1.0, "sRGB linear")
    yield Row(
        "jpeg linear profile named sRGB",
        jpeg(color, adobe=0, segments=segment(0xE2, b"ICC_PROFILE\0\1\1" + linear)),
        icc.convert_rgb(big(color), icc.SRGB_D50, 1.0),
        3,
    )
    bad = segment(0xE2, b"ICC_PROFILE\0\1\1" + b"nonsense" * 30)
    yield Row("jpeg corrupt profile", jpeg(ycc(color), segments=bad), big(color), 2)
    gray = segment(0xE2, b"ICC_PROFILE\0\1\1" + icc.gray_profile(1.0))
    yield Row(
        "jpeg gray profile",
        jpeg(blocks[..., None], segments=gray),
        icc.convert_gray(big(blocks), 1.0),
        3,
    )
    # Lab of paper and inks: each ink full or not, black last.
    rng = np.random.default_rng(1)
    corners = np.stack(
        [rng.integers(20, 90, 16), *rng.integers(-25, 25, [2, 16])], axis=1
    )
    corners[:, 0] = np.rint(np.rint(corners[:, 0] * 2.55) / 2.55)
    corners[0] = (100, 0, 0)
    corners[15] = (0, 0, 0)
    full = np.array([[[0, 0, 1, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 1, 1]]])
    places = full @ [8, 4, 2, 1]
    inks_profile = segment(0xE2, b"ICC_PROFILE\0\1\1" + icc.cmyk_profile(corners))
    yield Row(
        "jpeg cmyk with its profile",
        jpeg(255 - 255 * full, adobe=0, segments=inks_profile),
        big(icc.lab_to_srgb(corners.astype(float)[places])),
        4,
    )
    yield Row("jpeg without its end", jpeg(ycc(color), end=b""), big(color), 2)
    yield Row(
        "jpeg with data after its end", jpeg(ycc(color)) + b"\0" * 500, big(color), 2
    )
    yield from _jpeg_metadata_rows(jpeg(ycc(color)), big(color))
    cut, end, text = jpeg(ycc(color), end=b"")[:-6], b"\xff\xd9", b"some text " * 9
    for name, data in {
        "its pixels": cut,
        "its pixels, with an end": cut + end,
        "its pixels, with text": cut + text,
        "its pixels, with an end and text": cut + end + text,
    }.items():
        yield Row(f"jpeg cut in {name}", data, None, reason="truncated")
    yield Row(
        "jpeg cut and filled with zeros",
        jpeg(ycc(color), end=b"")[:-9] + b"\0" * 999,
        None,
    )


def _jpeg_metadata_rows(data: bytes, shown: np.ndarray) -> Iterator[Row]:
    """Rows of a picture with odd segments before its first one."""

    def with_segments(*segments: bytes) -> bytes:
        return data[:2] + b"".join(segments) + data[2:]

    def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
        return write.jpeg_segment(0xE1, b"Exif\0\0" + write.exif_entries(*entries))

    # Tag, type, count, value: browsers heed the first orientation that is a SHORT.
    six, one = (0x112, 3, 1, b"\6\0\0\0"), (0x112, 3, 1, b"\1\0\0\0")
    bad = (0x10F, 99, 2**31, b"\xff" * 4)
    empty = write.jpeg_segment(0xE1, b"Exif\0\0")
    for name, segments in {
        "after a bad tag": [exif(bad, six)],
        "after 600 tags": [exif(*[(0x1000, 3, 1, bytes(4))] * 600, six)],
        "before another": [exif(six, one)],
        "before one of another segment": [exif(six), exif(one)],
        "after an empty segment": [empty, exif(six)],
    }.items():
        rotated = np.rot90(shown, -1)
        yield Row(f"jpeg orientation {name}", with_segments(*segments), rotated, 2)
    for kind, value in {
        4: b"\6\0\0\0",
        8: b"\6\0\0\0",
        9: b"\6\0\0\0",
        11: b"\0\0\xc0@",
    }.items():
        entry = (0x112, kind, 1, value)
        yield Row(
            f"jpeg orientation of type {kind}", with_segments(exif(entry)), shown, 2
        )
    twice = (0x112, 3, 2, b"\6\0\6\0")
    yield Row("jpeg two values of orientation", with_segments(exif(twice)), shown, 2)
    for name, segment in {
        "a short JFIF segment": write.jpeg_segment(0xE0, b"JFIF\0"),
        "a profile of one byte": write.jpeg_segment(0xE2, b"ICC_PROFILE\0\1"),
        "a short Adobe segment": write.jpeg_segment(0xEE, b"Adobe"),
        "a damaged MPF segment": write.jpeg_segment(0xE2, b"MPF\0" + b"\xff" * 9),
    }.items():
        yield Row(f"jpeg with {name}", with_segments(segment), shown, 2)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels upright, as the EXIF specification defines orientations."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, -1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p),
    }[orientation](pixels)


def _bmp_of_words(words, bits, masks):
    """Encode a 16x16 BMP whose pixels are given as integers with bit fields."""
    packed = write.bmp_rows([row.tobytes() for row in words])
    return write.write_bmp(packed, 16, 16, bits, compression=3, masks=masks)


def _bmp_rows() -> Iterator[Row]:
    bmp, rows = write.write_bmp, write.bmp_rows
    for bits in (1, 2, 4, 8):
        index = INDEX % 2**bits
        table = PALETTE[: min(16, 2**bits)]
        packed = [write.pack_bits(row[None], bits) for row in index]
        for name, size in {"": 40, " OS/2": 12, " V4": 108, " V5": 124}.items():
            if size == 12 and 2**bits > 16:
                table = np.concatenate([PALETTE, np.zeros([240, 3], np.uint8)])
            yield Row(
                f"bmp {bits} bits{name}",
                bmp(rows(packed), 16, 16, bits, table, header_size=size),
                PALETTE[index],
            )
    packed = [write.pack_bits(row[None], 8) for row in GRAY]
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    yield Row("bmp 8 bits gray", bmp(rows(packed), 16, 16, 8, ramp), gray3(GRAY))
    yield Row(
        "bmp 8 bits inverted gray",
        bmp(rows(packed), 16, 16, 8, ramp[::-1]),
        gray3(255 - GRAY),
    )
    two = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    packed = [write.pack_bits(row[None], 8) for row in HALVES]
    yield Row(
        "bmp 8 bits of two colors",
        bmp(rows(packed), 16, 16, 8, two),
        gray3(HALVES * 255),
    )
    ramp4 = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 3, axis=1)
    packed = [write.pack_bits(row[None], 4) for row in INDEX]
    yield Row(
        "bmp 4 bits of dark grays", bmp(rows(packed), 16, 16, 4, ramp4), gray3(INDEX)
    )
    yield Row(
        "bmp RLE 8 bits",
        bmp(write.bmp_rle8(INDEX), 16, 16, 8, PALETTE, compression=1),
        PALETTE[INDEX],
    )
    yield Row(
        "bmp RLE 4 bits",
        bmp(write.bmp_rle4(INDEX), 16, 16, 4, PALETTE, compression=2),
        PALETTE[INDEX],
    )
    bgr = COLOR[..., ::-1]
    packed = [row.tobytes() for row in bgr]
    for name, size in {"": 40, " OS/2": 12, " V4": 108, " V5": 124}.items():
        yield Row(
            f"bmp 24 bits{name}", bmp(rows(packed), 16, 16, 24, header_size=size), COLOR
        )
    yield Row("bmp 24 bits top-down", bmp(b"".join(packed), 16, -16, 24), COLOR)
    yield Row(
        "bmp 24 bits of an odd width",
        bmp(rows([row.tobytes() for row in bgr[:15, :15]]), 15, 15, 24),
        COLOR[:15, :15],
    )
    five = COLOR.astype(int) >> 3
    shown5 = scaled(five, 31)
    words = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    yield Row(
        "bmp 16 bits", bmp(rows([r.tobytes() for r in words]), 16, 16, 16), shown5, 1
    )
    six = np.stack(
        [five[..., 0], COLOR[..., 1].astype(int) >> 2, five[..., 2]], axis=-1
    )
    words = (six[..., 0] << 11 | six[..., 1] << 5 | six[..., 2]).astype("<u2")
    shown6 = np.stack(
        [scaled(six[..., i], 2**n - 1) for i, n in enumerate((5, 6, 5))], -1
    )
    data = rows([r.tobytes() for r in words])
    masks = (0xF800, 0x7E0, 0x1F)
    yield Row(
        "bmp 16 bits 5-6-5",
        bmp(data, 16, 16, 16, compression=3, masks=masks),
        shown6,
        1,
    )
    four = COLOR.astype(int) >> 4
    words = (four[..., 0] << 8 | four[..., 1] << 4 | four[..., 2]).astype("<u2")
    yield Row(
        "bmp 16 bits 4-4-4",
        _bmp_of_words(words, 16, (0xF00, 0xF0, 0xF)),
        scaled(four, 15),
        1,
    )
    bgrx = np.concatenate([bgr, ALPHA[..., None]], axis=-1)
    packed = [row.tobytes() for row in bgrx]
    yield Row("bmp 32 bits", bmp(rows(packed), 16, 16, 32), COLOR)
    masks = (0xFF0000, 0xFF00, 0xFF)
    yield Row(
        "bmp 32 bits bitfields",
        bmp(rows(packed), 16, 16, 32, compression=3, masks=masks),
        COLOR,
    )
    yield Row(
        "bmp 32 bits alpha",
        bmp(
            rows(packed),
            16,
            16,
            32,
            compression=3,
            masks=(*masks, 0xFF000000),
            header_size=124,
        ),
        over(COLOR, ALPHA),
        1,
    )
    opaque = [
        np.concatenate([row, np.zeros([16, 1], np.uint8)], -1).tobytes() for row in bgr
    ]
    yield Row(
        "bmp 32 bits alpha of zeros",
        bmp(
            rows(opaque),
            16,
            16,
            32,
            compression=3,
            masks=(*masks, 0xFF000000),
            header_size=124,
        ),
        COLOR,
    )
    rgbx = [
        np.concatenate([row, np.zeros([16, 1], np.uint8)], -1).tobytes()
        for row in COLOR
    ]
    yield Row(
        "bmp 32 bits red first",
        bmp(rows(rgbx), 16, 16, 32, compression=3, masks=(0xFF, 0xFF00, 0xFF0000)),
        COLOR,
    )
    wide = COLOR.astype(int) * 4
    words = (wide[..., 0] << 20 | wide[..., 1] << 10 | wide[..., 2]).astype("<u4")
    yield Row(
        "bmp 32 bits of 10 bits",
        _bmp_of_words(words, 32, (0x3FF00000, 0xFFC00, 0x3FF)),
        scaled(wide, 1023),
        1,
    )
    profile = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)
    data = rows([row.tobytes() for row in bgr])
    tail = b"\0" * 16 + b"DEBM" + b"\0" * 48 + (0).to_bytes(4, "little")
    tail += (124 + len(data)).to_bytes(4, "little") + len(profile).to_bytes(4, "little")
    yield Row(
        "bmp V5 with a profile",
        bmp(data, 16, 16, 24, header_size=124, tail=tail) + profile,
        icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 563 / 256),
        2,
    )
    yield Row("bmp cut", bmp(data, 16, 16, 24)[:-99], None)
    odd = bmp(rows([row.tobytes() for row in bgr[:15, :15]]), 15, 15, 24)
    indices = rows([write.pack_bits(row[None], 4) for row in INDEX])
    for name, file, shown in (
        ("24 bits", odd, COLOR[:15, :15]),
        ("24 bits with a palette", bmp(data, 16, 16, 24, PALETTE), COLOR),
        ("4 bits", bmp(indices, 16, 16, 4, PALETTE), PALETTE[INDEX]),
        (
            "4 bits OS/2",
            bmp(indices, 16, 16, 4, PALETTE, header_size=12),
            PALETTE[INDEX],
        ),
        ("32 bits", bmp(rows(packed), 16, 16, 32, compression=3, masks=masks), COLOR),
    ):
        for offset in (0, 20):
            moved = file[:10] + offset.to_bytes(4, "little") + file[14:]
            yield Row(
                f"bmp {name} with pixels at {offset}",
                moved,
                shown if offset == 0 else None,
                reason="inside of its header",
            )
        for tail in (b"\0\0", b"\0" * 4, b"more"):
            yield Row(f"bmp {name} before {tail!r}", file + tail, shown)
    yield Row("bmp without its last padding", odd[:-3], COLOR[:15, :15])
    yield Row("bmp without its last byte", odd[:-4], None, reason="truncated")


def _gif_rows() -> Iterator[Row]:
    gif = write.write_gif
    shown = PALETTE[INDEX]
    yield Row("gif", gif(INDEX, PALETTE), shown)
    yield Row("gif of 256 colors", gif(GRAY, gray3(np.arange(256))), gray3(GRAY))
    yield Row("gif of two colors", gif(HALVES, PALETTE[:2]), PALETTE[HALVES])
    yield Row("gif interlaced", gif(INDEX, PALETTE, interlace=True), shown)
    yield Row("gif local palette", gif(INDEX, PALETTE, local=True), shown)
    alpha = np.where(INDEX == 5, 0, 255)
    yield Row(
        "gif transparency", gif(INDEX, PALETTE, transparent=5), over(shown, alpha)
    )
    for disposal in (1, 2, 3):
        more = write.gif_frame(INDEX[::-1], PALETTE, disposal=1)
        yield Row(
            f"gif animated, disposal {disposal}",
            gif(INDEX, PALETTE, disposal=disposal, frames=more),
            shown,
        )
    inside = np.zeros([16, 16], np.uint8)
    inside[4:12, 2:10] = 255
    canvas = np.zeros([16, 16], np.uint8)
    canvas[4:12, 2:10] = INDEX[:8, :8]
    part = {"screen": (16, 16), "at": (2, 4)}
    yield Row(
        "gif partial first frame",
        gif(INDEX[:8, :8], PALETTE, background=3, **part),
        over(PALETTE[canvas], inside),
    )
    inside[canvas == 5] = 0
    yield Row(
        "gif partial first frame with transparency",
        gif(INDEX[:8, :8], PALETTE, transparent=5, **part),
        over(PALETTE[canvas], inside),
    )
    profile = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)
    blocks = b"".join(
        bytes([len(profile[i : i + 255])]) + profile[i : i + 255]
        for i in range(0, len(profile), 255)
    )
    yield Row(
        "gif with a profile",
        gif(INDEX, PALETTE, extensions=b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0"),
        icc.convert_rgb(shown, icc.ADOBE_RGB_D50, 563 / 256),
        2,
    )
    yield Row("gif without its end", gif(INDEX, PALETTE)[:-1], shown)
    yield Row("gif cut", gif(INDEX, PALETTE)[:-99], None, reason="truncated")
    closed = gif(INDEX, PALETTE)[:-99] + b"\0;"
    yield Row("gif cut, with an end", closed, None, reason="truncated")
    rows = bytearray(gif(INDEX[:8], PALETTE))
    frame = rows.index(b",")
    rows[8] = rows[frame + 7] = 16  # heights of the screen and the frame
    yield Row("gif of too few rows", bytes(rows), None, reason="truncated")
    empty = bytearray(gif(INDEX, PALETTE))
    empty[empty.index(b",") + 5] = 0
    yield Row("gif of no width", bytes(empty), None, reason="has no pixels")
    codes = bytearray(gif(INDEX, PALETTE))
    codes[-60:-50] = b"\xff" * 10
    yield Row("gif of impossible codes", bytes(codes), None, reason="damaged")
    control = b"\x21\xf9\4\1\0\0\5\0"
    yield Row(
        "gif transparency in the first of two controls",
        gif(INDEX, PALETTE, extensions=control),
        over(shown, alpha),
    )
    yield Row(
        "gif short control", gif(INDEX, PALETTE, extensions=b"\x21\xf9\1\1\0"), shown
    )


def _tiff_rows() -> Iterator[Row]:
    tiff = write.write_tiff
    for order, ending in (("<", "little"), (">", "big")):
        for bits in (1, 2, 4, 6, 8, 12, 16, 32):
            white = 2**bits - 1
            levels = (ANY_LEVELS[..., 0] * 65537) & white
            for photometric in (1, 0):
                shown = scaled(levels, white)
                yield Row(
                    f"tiff gray {photometric}, {bits} bits, {ending}",
                    tiff(levels, photometric, bits, order=order),
                    gray3(shown if photometric else 255 - shown),
                )
        for bits in (16, 32, 64):
            values = np.linspace(-0.1, 1.02, 256).reshape(16, 16)
            for photometric in (1, 0):
                stored = values.astype(f"f{bits // 8}").astype(float)
                shown = scaled(stored, 1)
                yield Row(
                    f"tiff gray {photometric}, float {bits}, {ending}",
                    tiff(values, photometric, bits, write.FLOAT, order),
                    gray3(shown if photometric else 255 - shown),
                    1,  # halves are rounded in float32
                )
            yield Row(
                f"tiff rgb float {bits}, {ending}",
                tiff(COLOR / 255.0, 2, bits, write.FLOAT, order),
                COLOR,
            )
        for bits in (8, 16, 32):
            levels = ANY_LEVELS[..., 1].astype(np.int64) % 2**bits - 2 ** (bits - 1)
            yield Row(
                f"tiff gray signed {bits} bits, {ending}",
                tiff(levels, 1, bits, write.SIGNED, order),
                None,
                reason="signed",
            )
        for bits in (8, 16, 32):
            values = COLOR.astype(np.int64) * (2**bits - 1) // 255
            shown = scaled(values, 2**bits - 1)
            yield Row(
                f"tiff rgb {bits} bits, {ending}",
                tiff(values, 2, bits, order=order),
                shown,
                1,
            )
            for planar in (1, 2):
                rgba = np.concatenate(
                    [values, ALPHA[..., None] * ((2**bits - 1) // 255)], -1
                )
                yield Row(
                    f"tiff rgb alpha {bits} bits, planar {planar}, {ending}",
                    tiff(rgba, 2, bits, order=order, planar=planar, extra=(2,)),
                    over(shown, ALPHA),
                    2,
                )
            associated = rgba * [[[1, 1, 1, 0]]] * ALPHA[..., None] // 255
            associated[..., 3] = rgba[..., 3]
            yield Row(
                f"tiff rgb associated alpha {bits} bits, {ending}",
                tiff(associated, 2, bits, order=order, extra=(1,)),
                over(shown, ALPHA),
                3,
            )
        for bits in (8, 16):
            inks = INK.astype(np.int64) * ((2**bits - 1) // 255)
            yield Row(
                f"tiff cmyk {bits} bits, {ending}",
                tiff(inks, 5, bits, order=order),
                inked(INK),
                2,
            )
        lab = np.stack([_X * 6.0, _Y * 3.0 - 20, _X * 2.0 - 15], axis=-1)
        lab[..., 0] = np.rint(lab[..., 0] * 2.55) / 2.55
        stored = np.concatenate([np.rint(lab[..., :1] * 2.55), lab[..., 1:] % 256], -1)
        yield Row(
            f"tiff lab, {ending}",
            tiff(stored.astype(np.uint8), 8, order=order),
            icc.lab_to_srgb(lab),
            3,
        )
    color_map = np.concatenate(
        [PALETTE.T.astype(int) * 257, np.zeros([3, 240], int)], 1
    )
    for bits in (1, 2, 4, 8):
        index = INDEX % 2**bits
        table = tuple(color_map[:, : 2**bits].ravel().tolist())
        for order in "<>":
            yield Row(
                f"tiff palette {bits} bits {order}",
                tiff(index, 3, bits, order=order, tags={320: (3, table)}),
                PALETTE[index],
            )
    gray16 = ANY_LEVELS[..., 0]
    for name, code in {
        "lzw": write.LZW,
        "deflate": write.DEFLATE,
        "packbits": write.PACKBITS,
        "lzma": write.LZMA,
    }.items():
        yield Row(f"tiff rgb {name}", tiff(COLOR, 2, compression=code), COLOR)
        yield Row(
            f"tiff rgb {name} strips",
            tiff(COLOR, 2, compression=code, rows_per_strip=5),
            COLOR,
        )
        yield Row(
            f"tiff rgb {name} tiles of two planes",
            tiff(COLOR, 2, compression=code, tile=16, planar=2),
            COLOR,
        )
        for photometric in (0, 1):
            shown = scaled(gray16, 65535)
            yield Row(
                f"tiff gray {photometric} 16 bits {name} big",
                tiff(
                    gray16,
                    photometric,
                    16,
                    order=">",
                    compression=code,
                    rows_per_strip=3,
                ),
                gray3(shown if photometric else 255 - shown),
            )
        yield Row(
            f"tiff float {name}",
            tiff(GRAY / 255.0, 1, 32, write.FLOAT, compression=code, rows_per_strip=7),
            gray3(GRAY),
        )
        if code == write.PACKBITS:
            continue
        for bits in (8, 16, 32):
            values = COLOR.astype(np.int64) * ((2**bits - 1) // 255)
            for order in "<>":
                yield Row(
                    f"tiff rgb {bits} bits {name} predictor {order}",
                    tiff(
                        values,
                        2,
                        bits,
                        order=order,
                        compression=code,
                        predictor=2,
                        rows_per_strip=5,
                    ),
                    COLOR,
                )
        for bits in (16, 32):
            for order in "<>":
                yield Row(
                    f"tiff float {bits} {name} predictor {order}",
                    tiff(COLOR / 255.0, 2, bits, write.FLOAT, order, code, predictor=3),
                    COLOR,
                )
    for tile in (16, 32):
        yield Row(
            f"tiff gray 16 bits tiles of {tile}",
            tiff(gray16, 0, 16, tile=tile),
            gray3(255 - scaled(gray16, 65535)),
        )
    wide = np.tile(COLOR, [2, 2, 1])[:, :32]
    wide = np.concatenate([wide, wide[:, ::-1]], axis=0)[:32]
    yield Row("tiff four tiles", tiff(wide, 2, tile=16), wide)
    yield Row(
        "tiff float four tiles", tiff(wide / 255.0, 2, 32, write.FLOAT, tile=16), wide
    )
    yield Row("tiff planes", tiff(COLOR, 2, planar=2, rows_per_strip=4), COLOR)
    extra = np.concatenate([COLOR, ALPHA[..., None]], axis=-1)
    yield Row("tiff unspecified extra sample", tiff(extra, 2, extra=(0,)), COLOR)
    gray_alpha = np.stack([GRAY, ALPHA], axis=-1)
    yield Row(
        "tiff gray alpha", tiff(gray_alpha, 1, extra=(2,)), over(gray3(GRAY), ALPHA), 1
    )
    yield Row(
        "tiff gray alpha 16 bits",
        tiff(gray_alpha.astype(int) * 257, 1, 16, extra=(2,)),
        over(gray3(GRAY), ALPHA),
        1,
    )
    yield Row(
        "tiff white-is-zero alpha",
        tiff(gray_alpha, 0, extra=(2,)),
        over(gray3(255 - GRAY), ALPHA),
        1,
    )
    yield Row("tiff bit order", tiff(HALVES, 1, 1, fill_order=2), gray3(HALVES * 255))
    for order in "<>":
        yield Row(
            f"tiff BigTIFF {order}",
            tiff(gray16, 0, 16, order=order, big=True),
            gray3(255 - scaled(gray16, 65535)),
        )
    for orientation in range(2, 9):
        tags = {274: (3, (orientation,))}
        yield Row(
            f"tiff orientation {orientation}",
            tiff(COLOR, 2, tags=tags),
            turned(COLOR, orientation),
        )
        yield Row(
            f"tiff float orientation {orientation}",
            tiff(COLOR / 255.0, 2, 32, write.FLOAT, tags=tags),
            turned(COLOR, orientation),
        )
    profile = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)
    shown = icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 563 / 256)
    tags = {34675: (7, profile)}
    yield Row("tiff profile", tiff(COLOR, 2, tags=tags), shown, 2)
    yield Row(
        "tiff profile 16 bits",
        tiff(COLOR.astype(int) * 257, 2, 16, tags=tags),
        shown,
        2,
    )
    yield Row(
        "tiff profile float",
        tiff(COLOR / 255.0, 2, 32, write.FLOAT, tags=tags),
        shown,
        2,
    )
    bright = GRAY / 255.0
    bright[15, 15] = 1.001
    yield Row(
        "tiff float slightly above 1", tiff(bright, 1, 32, write.FLOAT), gray3(GRAY)
    )
    lamp = GRAY / 255.0
    lamp[15, 15] = 40
    yield Row("tiff float with a light", tiff(lamp, 1, 32, write.FLOAT), gray3(GRAY))
    yield Row("tiff float to 255", tiff(GRAY * 1.0, 1, 32, write.FLOAT), gray3(GRAY))
    yield Row(
        "tiff float to 65535", tiff(GRAY * 257.0, 1, 32, write.FLOAT), gray3(GRAY)
    )
    lights = np.where(_X == 3, 40.0, GRAY / 255)
    yield Row(
        "tiff float with many lights",
        tiff(lights, 1, 32, write.FLOAT),
        gray3(np.where(_X == 3, 255, GRAY)),
    )
    yield Row(
        "tiff float of high dynamic range",
        tiff(GRAY / 10.0, 1, 32, write.FLOAT),
        None,
        reason="white",
    )
    holes = GRAY / 255.0
    holes[0, 3], holes[0, 4], holes[0, 5] = np.nan, np.inf, -np.inf
    shown_holes = GRAY.copy()
    shown_holes[0, 3:6] = 0, 255, 0
    yield Row(
        "tiff float not finite", tiff(holes, 1, 32, write.FLOAT), gray3(shown_holes)
    )
    ycc = np.stack([GRAY, np.full_like(GRAY, 128), np.full_like(GRAY, 128)], axis=-1)
    subsampling = {530: (3, (1, 1))}
    yield Row("tiff ycc", tiff(ycc, 6, tags=subsampling), gray3(GRAY), 2)
    yield from _tiff_alpha_rows(lab, stored)
    yield from _tiff_ycc_rows()
    preview = tiff(COLOR, 2, tags={254: (4, (1,))})
    yield Row("tiff preview of a raw picture", preview, None, reason="preview")
    yield Row("tiff page", tiff(COLOR, 2, tags={254: (4, (2,))}), COLOR)
    yield Row("tiff mask", tiff(HALVES, 4, 1), None)
    many = np.repeat(GRAY[..., None], 17, axis=-1)
    yield Row("tiff of 17 channels", tiff(many, 1, extra=(0,) * 16), gray3(GRAY))
    yield Row(
        "tiff palette of floats",
        tiff(INDEX * 1.0, 3, 32, write.FLOAT),
        None,
        reason="photometric 3",
    )
    yield Row(
        "tiff zstd", tiff(COLOR, 2, compression=50000), None, reason="compression 50000"
    )
    yield Row("tiff cut", tiff(COLOR, 2)[:-99], None)
    yield Row("tiff float cut", tiff(COLOR / 255.0, 2, 32, write.FLOAT)[:-99], None)


def _tiff_alpha_rows(lab: np.ndarray, stored: np.ndarray) -> Iterator[Row]:
    """Alpha of each kind of colors; it may follow samples without a meaning."""
    tiff = write.write_tiff
    kinds = {
        "gray": (1, GRAY[..., None], gray3(GRAY)),
        "white-is-zero": (0, GRAY[..., None], gray3(255 - GRAY)),
        "rgb": (2, COLOR, COLOR),
        "palette": (3, INDEX[..., None], PALETTE[INDEX]),
        "cmyk": (5, INK, inked(INK)),
        "ycc": (6, np.stack([GRAY] + 2 * [np.full_like(GRAY, 128)], -1), gray3(GRAY)),
        "lab": (8, stored.astype(np.uint8), icc.lab_to_srgb(lab)),
    }
    table = np.concatenate([PALETTE.T.astype(int) * 257, np.zeros([3, 240], int)], 1)
    tags = {320: (3, tuple(table.ravel().tolist())), 530: (3, (1, 1))}
    for name, (photometric, colors, shown) in kinds.items():
        for extra in ((2,), (0, 2), (999, 0)):
            channels = [ALPHA if kind else GRAY for kind in extra]
            values = np.concatenate([colors, np.stack(channels, -1)], axis=-1)
            yield Row(
                f"tiff {name} with alpha {extra}",
                tiff(values, photometric, extra=extra, tags=tags),
                over(shown, ALPHA),
                3,
            )
        values = np.concatenate([colors, ALPHA[..., None]], axis=-1)
        if name not in ("gray", "rgb"):
            yield Row(
                f"tiff {name} with associated alpha",
                tiff(values, photometric, extra=(1,), tags=tags),
                None,
                reason="extra samples (1,)",
            )


def _tiff_ycc_rows() -> Iterator[Row]:
    """Y, Cb and Cr of other coefficients and ranges, by the equations of TIFF 6.0."""
    tiff = write.write_tiff
    color = 64 + COLOR // 2  # far from the limits
    for name, luma, limits in (
        ("of BT.709", (0.2125, 0.7154, 0.0721), (0, 255, 128, 255, 128, 255)),
        ("of studio range", (0.299, 0.587, 0.114), (15, 235, 128, 240, 128, 240)),
    ):
        red, green, blue = np.moveaxis(color.astype(float), -1, 0)
        y = luma[0] * red + luma[1] * green + luma[2] * blue
        cb, cr = (blue - y) / (2 - 2 * luma[2]), (red - y) / (2 - 2 * luma[0])
        stored = [
            low + values * (high - low) / coding
            for values, low, high, coding in (
                (y, *limits[:2], 255),
                (cb, *limits[2:4], 127),
                (cr, *limits[4:], 127),
            )
        ]
        values = np.rint(np.stack(stored, axis=-1)).astype(np.uint8)
        ratios = [part for n in luma for part in (round(n * 10000), 10000)]
        ranges = [part for n in limits for part in (n, 1)]
        tags = {530: (3, (1, 1)), 529: (5, tuple(ratios)), 532: (5, tuple(ranges))}
        yield Row(f"tiff ycc {name}", tiff(values, 6, tags=tags), color, 2)
        tags[532] = (5, (0, 1, 0, 1, 128, 1, 255, 1, 128, 1, 255, 1))
        yield Row(
            f"tiff ycc {name}, without a range",
            tiff(values, 6, tags=tags),
            None,
            reason="coefficients",
        )


def _tga_alpha_rows(bgra: np.ndarray) -> Iterator[Row]:
    """Kinds of alpha in the extension area: 0 none, 1 and 2 undefined, 3 useful, 4
    multiplied into the colors.
    """
    tga = write.write_tga
    share = ALPHA[..., None] / 255.0
    multiplied = bgra.copy()
    multiplied[..., :3] = np.rint(bgra[..., :3] * share)
    seen = over(COLOR, ALPHA)
    for flags in (0x20, 0x28):
        for kind, pixels, shown in (
            (0, bgra, seen if flags & 15 else COLOR),
            (1, bgra, COLOR),
            (2, bgra, COLOR),
            (3, bgra, seen),
            (4, multiplied, seen),
        ):
            yield Row(
                f"tga 32 bits with flags {flags}, alpha of kind {kind}",
                tga(pixels.tobytes(), 16, 16, 2, 32, flags, attributes=kind),
                shown,
                2,
            )
    gray = np.stack([GRAY, ALPHA], axis=-1)
    gray_multiplied = np.rint(gray * np.stack([share[..., 0], np.ones([16, 16])], -1))
    gray_seen = over(gray3(GRAY), ALPHA)
    for kind, pixels, shown in (
        (None, gray, gray_seen),
        (1, gray, gray3(GRAY)),
        (3, gray, gray_seen),
        (4, gray_multiplied.astype(np.uint8), gray_seen),
    ):
        for code in (3, 11):
            data = write.tga_rle(pixels.reshape(-1, 2)) if code == 11 else pixels
            yield Row(
                f"tga gray with alpha of kind {kind}, type {code}",
                tga(bytes(data), 16, 16, code, 16, 0x28, attributes=kind),
                shown,
                2,
            )
    bits = np.arange(16) % 3 != 0
    words = PALETTE.astype(int) >> 3
    words = bits << 15 | words[:, 0] << 10 | words[:, 1] << 5 | words[:, 2]
    shown = scaled((PALETTE >> 3)[INDEX], 31)
    for flags in (0x20, 0x21):
        yield Row(
            f"tga palette of 16 bits with flags {flags}",
            tga(
                INDEX.tobytes(),
                16,
                16,
                1,
                8,
                flags,
                palette=words.astype("<u2").tobytes(),
                palette_depth=16,
            ),
            over(shown, 255 * bits[INDEX]) if flags & 15 else shown,
            1,
        )
    for name, alpha in (("", np.arange(16) * 17), (" of zeros", np.zeros(16, int))):
        table = np.concatenate([PALETTE[:, ::-1], alpha[:, None]], 1).astype(np.uint8)
        yield Row(
            f"tga palette with alpha{name}",
            tga(
                INDEX.tobytes(),
                16,
                16,
                1,
                8,
                0x28,
                palette=table.tobytes(),
                palette_depth=32,
            ),
            PALETTE[INDEX] if name else over(PALETTE[INDEX], alpha[INDEX]),
            1,
        )
    yield Row(
        "tga of 16-bit indices",
        tga(
            INDEX.astype("<u2").tobytes(),
            16,
            16,
            1,
            16,
            palette=b"123",
            palette_depth=24,
        ),
        None,
        reason="TGA of type 1 and 16 bits",
    )


def _other_rows() -> Iterator[Row]:
    tga = write.write_tga
    bgr = COLOR[..., ::-1]
    bgra = np.concatenate([bgr, ALPHA[..., None]], axis=-1)
    yield Row("tga 24 bits", tga(bgr.tobytes(), 16, 16, 2, 24), COLOR)
    yield Row(
        "tga 24 bits bottom-up", tga(bgr[::-1].tobytes(), 16, 16, 2, 24, flags=0), COLOR
    )
    yield Row(
        "tga 24 bits right to left",
        tga(bgr[:, ::-1].tobytes(), 16, 16, 2, 24, flags=0x30),
        COLOR,
    )
    yield Row(
        "tga 24 bits RLE", tga(write.tga_rle(bgr.reshape(-1, 3)), 16, 16, 10, 24), COLOR
    )
    yield Row(
        "tga 32 bits",
        tga(bgra.tobytes(), 16, 16, 2, 32, flags=0x28),
        over(COLOR, ALPHA),
        1,
    )
    yield Row(
        "tga 32 bits RLE",
        tga(write.tga_rle(bgra.reshape(-1, 4)), 16, 16, 10, 32, flags=0x28),
        over(COLOR, ALPHA),
        1,
    )
    yield Row("tga gray", tga(GRAY.tobytes(), 16, 16, 3, 8), gray3(GRAY))
    yield Row(
        "tga gray RLE",
        tga(write.tga_rle(GRAY.reshape(-1, 1)), 16, 16, 11, 8),
        gray3(GRAY),
    )
    table = PALETTE[:, ::-1].tobytes()
    yield Row(
        "tga palette",
        tga(INDEX.tobytes(), 16, 16, 1, 8, palette=table, palette_depth=24),
        PALETTE[INDEX],
    )
    yield Row(
        "tga palette RLE",
        tga(
            write.tga_rle(INDEX.reshape(-1, 1)),
            16,
            16,
            9,
            8,
            palette=table,
            palette_depth=24,
        ),
        PALETTE[INDEX],
    )
    yield Row(
        "tga identifier",
        tga(GRAY.tobytes(), 16, 16, 3, 8, identifier=b"hello"),
        gray3(GRAY),
    )
    five = COLOR.astype(int) >> 3
    words = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2")
    yield Row("tga 16 bits", tga(words.tobytes(), 16, 16, 2, 16), scaled(five, 31), 1)
    yield Row(
        "tga 16 bits alpha bit",
        tga((words | 0x8000).astype("<u2").tobytes(), 16, 16, 2, 16, flags=0x21),
        scaled(five, 31),
        1,
    )

    yield from _tga_alpha_rows(bgra)

    def text(values: np.ndarray) -> bytes:
        return b" ".join(str(int(v)).encode() for v in values.ravel())

    yield Row("pbm", b"P1 16 16\n" + text(1 - HALVES), gray3(HALVES * 255))
    yield Row(
        "pbm packed",
        b"P4 16 16\n" + write.pack_bits(1 - HALVES, 1),
        gray3(HALVES * 255),
    )
    yield Row("pgm", b"P2 16 16 255\n" + text(GRAY), gray3(GRAY))
    yield Row("pgm packed", b"P5 16 16 255\n" + GRAY.tobytes(), gray3(GRAY))
    yield Row(
        "pgm with a comment",
        b"P5 # drawn\n16 16\n# white\n255\n" + GRAY.tobytes(),
        gray3(GRAY),
    )
    yield Row(
        "pgm of 100",
        b"P5 16 16 100\n" + (GRAY % 101).tobytes(),
        gray3(scaled(GRAY % 101, 100)),
    )
    gray16 = ANY_LEVELS[..., 0]
    yield Row(
        "pgm 16 bits",
        b"P5 16 16 65535\n" + gray16.astype(">u2").tobytes(),
        gray3(scaled(gray16, 65535)),
    )
    yield Row(
        "pgm of 1023",
        b"P5 16 16 1023\n" + (gray16 % 1024).astype(">u2").tobytes(),
        gray3(scaled(gray16 % 1024, 1023)),
    )
    yield Row("ppm", b"P3 16 16 255\n" + text(COLOR), COLOR)
    yield Row("ppm packed", b"P6 16 16 255\n" + COLOR.tobytes(), COLOR)
    color16 = ANY_LEVELS[..., :3]
    yield Row(
        "ppm 16 bits",
        b"P6 16 16 65535\n" + color16.astype(">u2").tobytes(),
        scaled(color16, 65535),
    )
    for order, scale in (("<", b"-1.0"), (">", b"1.0")):
        values = (GRAY[::-1] / 255.0).astype(f"{order}f4")
        yield Row(
            f"pfm {order}",
            b"Pf\n16 16\n" + scale + b"\n" + values.tobytes(),
            gray3(GRAY),
        )
    values = (COLOR[::-1] / 255.0).astype("<f4")
    color_pfm = b"PF\n16 16\n-1.0\n" + values.tobytes()
    yield Row("pfm color", color_pfm, None, reason="PFM")
    pam = b"P7\nWIDTH 16\nHEIGHT 16\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    yield Row("pam", pam + COLOR.tobytes(), None, reason="PAM")
    yield Row("ppm cut", b"P6 16 16 255\n" + COLOR.tobytes()[:-50], None)
    yield Row("tga cut", tga(bgr.tobytes(), 16, 16, 2, 24)[:-50], None)

    image = Image.fromarray(COLOR)
    rgba = Image.fromarray(np.concatenate([COLOR, ALPHA[..., None]], axis=-1))
    adobe = icc.matrix_profile(icc.ADOBE_RGB_D50, 563 / 256)
    shown = icc.convert_rgb(COLOR, icc.ADOBE_RGB_D50, 563 / 256)
    yield Row("webp", encode_picture(image, "WEBP", lossless=True), COLOR)
    yield Row(
        "webp alpha",
        encode_picture(rgba, "WEBP", lossless=True, exact=True),
        over(COLOR, ALPHA),
        1,
    )
    yield Row(
        "webp profile",
        encode_picture(image, "WEBP", lossless=True, icc_profile=adobe),
        shown,
        2,
    )
    rotated = Image.Exif()
    rotated[0x0112] = 6
    yield Row(
        "webp rotated",
        encode_picture(image, "WEBP", lossless=True, exif=rotated),
        np.rot90(COLOR, -1),
    )
    smooth = {"quality": 100, "subsampling": "4:4:4", "speed": 8}
    yield Row("avif", encode_picture(image, "AVIF", **smooth), COLOR, 4)
    yield Row(
        "avif alpha", encode_picture(rgba, "AVIF", **smooth), over(COLOR, ALPHA), 4
    )
    yield Row(
        "avif profile",
        encode_picture(image, "AVIF", icc_profile=adobe, **smooth),
        shown,
        8,
    )
    yield Row(
        "avif rotated",
        encode_picture(image, "AVIF", exif=rotated, **smooth),
        np.rot90(COLOR, -1),
        4,
    )
    yield Row("jpeg 2000", encode_picture(image, "JPEG2000"), None, reason="JPEG 2000")
    yield Row("ico", encode_picture(image, "ICO", sizes=[(16, 16)]), None, reason="ICO")
    yield Row("pcx", encode_picture(image, "PCX"), None, reason="PCX")
    yield Row("sgi", encode_picture(image, "SGI"), None, reason="SGI")
    yield Row("qoi", b"qoif" + bytes(99), None, reason="QOI")
    yield Row("psd", b"8BPS\0\1" + bytes(99), None, reason="PSD")
    yield Row("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", None, reason="EPS")
    yield Row("text", b"no picture", None, reason="no known picture format")


ROWS = [
    *_png_rows(),
    *_jpeg_rows(),
    *_bmp_rows(),
    *_gif_rows(),
    *_tiff_rows(),
    *_other_rows(),
]
