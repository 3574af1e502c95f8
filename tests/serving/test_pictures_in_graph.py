"""Pictures decoded in a served graph are those that the records would hold.

`pictures.to_square_rgb` is the reference. Opaque pictures of 8 bits and pictures with
alpha agree within 1 grey level. The exceptions are asserted as such: 16-bit greys,
of which TensorFlow drops the low byte, are one level off before they are resized.
"""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfstyle.data.pictures import FITS, to_square_rgb
from tfstyle.modeling.networks import color
from tfstyle.serving.pictures_in_graph import decode_pictures, encode_pictures

SIZE = 32
ORANGE = "#ff8000"
# Same, smaller, larger, odd, wide, tall, extreme: (width, height).
SIZES = [(32, 32), (20, 13), (64, 64), (33, 31), (97, 61), (61, 97), (5, 200)]
RESIZED = (61, 45)


def noise(width, height, channels=3, seed=0) -> np.ndarray:
    """The hardest case: every pixel is an edge, and LANCZOS overshoots everywhere."""
    generator = np.random.default_rng(seed)
    shape = [height, width, channels] if channels > 1 else [height, width]
    return generator.integers(0, 256, shape, np.uint8)


def drawing(width, height) -> Image.Image:
    """Flat colors, lines and a gradient."""
    values = np.zeros([height, width, 3], np.uint8)
    values[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    values[height // 3 :, width // 4 :, 1] = 200
    values[:: max(2, height // 5)] = (10, 20, 250)
    return Image.fromarray(values)


def encode(image, encoding="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


def with_alpha(image, alpha) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def decode(*data: bytes, fit="crop", background=ORANGE, size=SIZE) -> np.ndarray:
    rgb = tuple(bytes.fromhex(background[1:]))
    lab = decode_pictures(tf.constant(list(data)), size, fit, rgb)
    assert lab.shape == (len(data), size, size, 3)
    return color.lab_to_rgb(lab).numpy().astype(np.int32)


def largest_difference(data: bytes, fit="crop", size=SIZE) -> int:
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(to_square_rgb(image, size, fit, ORANGE), np.int32)
    return abs(decode(data, fit=fit, size=size)[0] - expected).max()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["noise", "drawing"])
def test_any_size_is_resized_as_by_pillow(kind, size, fit):
    picture = drawing(*size) if kind == "drawing" else Image.fromarray(noise(*size))

    assert largest_difference(encode(picture), fit) <= (0 if size == (32, 32) else 1)


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_one_pixel_fills_the_square(fit):
    got = decode(encode(Image.new("RGB", (1, 1), (9, 80, 200))), fit=fit)[0]

    assert (got == (9, 80, 200)).all()


def test_padding_is_black_and_centred():
    # 40 x 20 becomes 32 x 16: 8 black rows above and below.
    got = decode(encode(Image.new("RGB", (40, 20), (255, 255, 255))), fit="pad")[0]

    assert (got[8:24] == 255).all()
    assert (got[:8] == 0).all() and (got[24:] == 0).all()


def test_crop_takes_the_centre_square():
    # Red, green, blue thirds: the centre square is green.
    values = np.zeros([32, 96, 3], np.uint8)
    for third in range(3):
        values[:, 32 * third : 32 * (third + 1), third] = 255

    assert (decode(encode(Image.fromarray(values)))[0] == (0, 255, 0)).all()


OPAQUE = {
    "png rgb": lambda p: encode(p),
    "png grey": lambda p: encode(p.convert("L")),
    "png 1 bit": lambda p: encode(p.convert("1")),
    "png palette of 4 bits": lambda p: encode(p.quantize(16)),
    "png palette of 8 bits": lambda p: encode(p.quantize(200)),
    "jpeg rgb": lambda p: encode(p, "JPEG", quality=90, subsampling=0),
    "jpeg with coarse color": lambda p: encode(p, "JPEG", quality=90),
    "jpeg progressive": lambda p: encode(p, "JPEG", progressive=True),
    "jpeg grey": lambda p: encode(p.convert("L"), "JPEG"),
    "jpeg cmyk": lambda p: encode(p.convert("CMYK"), "JPEG", quality=95),
    "bmp of 24 bits": lambda p: encode(p, "BMP"),
    "gif": lambda p: encode(p, "GIF"),
}


@pytest.mark.parametrize("size", [(32, 32), RESIZED], ids=str)
@pytest.mark.parametrize("kind", OPAQUE)
def test_opaque_formats_agree_within_a_level(kind, size):
    assert largest_difference(OPAQUE[kind](drawing(*size))) <= 1


def gradient(width, height) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), [height, 1])


TRANSPARENT = {
    "gradient": lambda p: encode(with_alpha(p, gradient(*p.size))),
    "hard edges": lambda p: encode(
        with_alpha(p, (noise(*p.size, 1) > 128).astype(np.uint8) * 255)
    ),
    "noise": lambda p: encode(with_alpha(p, noise(*p.size, 1))),
    "grey with alpha": lambda p: encode(
        with_alpha(p.convert("L"), gradient(*p.size)).convert("LA")
    ),
    "palette with a transparent entry": lambda p: encode(
        p.quantize(16), transparency=3
    ),
    "palette with alpha": lambda p: encode(
        p.quantize(16), transparency=bytes(range(0, 256, 16))
    ),
    "rgb with a transparent color": lambda p: encode(
        p, transparency=p.getpixel((9, 11))
    ),
    "grey with a transparent level": lambda p: encode(
        p.convert("L"), transparency=p.convert("L").getpixel((9, 11))
    ),
}


@pytest.mark.parametrize("size", [(32, 32), RESIZED], ids=str)
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_shows_the_background_as_in_the_records(kind, size):
    data = TRANSPARENT[kind](drawing(*size))
    with Image.open(io.BytesIO(data)) as image:
        assert image.has_transparency_data
    background = decode(data, background=ORANGE) != decode(data, background="#000000")

    assert background.any()
    assert largest_difference(data) <= 1


@pytest.mark.parametrize(("size", "bound"), [((32, 32), 1), (RESIZED, 2)], ids=str)
def test_sixteen_bit_greys_lose_their_low_byte(size, bound):
    # Of level 255 / 65535 TensorFlow keeps 255 >> 8 = 0, Pillow rounds 255 / 257 to 1.
    values = np.random.default_rng(0).integers(0, 65536, size[::-1], np.uint16)

    assert largest_difference(encode(Image.fromarray(values))) <= bound


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_colors_and_alphas_are_read(channels):
    values = np.zeros([40, 50, channels], np.uint16)
    values[...] = np.linspace(0, 65535, 50).astype(np.uint16)[:, None]
    values[..., -1] = values[::-1, ::-1, -1]

    assert largest_difference(tf.io.encode_png(values).numpy()) <= 1


def test_of_an_animation_the_first_frame_is_taken():
    frames = [drawing(*RESIZED), Image.new("RGB", RESIZED, (255, 0, 0))]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert largest_difference(data) <= 1


def test_pictures_of_many_kinds_share_a_batch():
    picture = drawing(*RESIZED)
    data = [OPAQUE["jpeg rgb"](picture), TRANSPARENT["gradient"](picture)]
    data += [OPAQUE["png grey"](picture), OPAQUE["gif"](drawing(20, 13))]

    batch = decode(*data)

    for row, one in zip(batch, data, strict=True):
        np.testing.assert_array_equal(row, decode(one)[0])


def test_pillow_reads_what_is_encoded():
    pictures = np.stack([noise(SIZE, SIZE, seed=seed) for seed in range(3)])

    encoded = encode_pictures(color.rgb_to_lab(pictures)).numpy()

    for data, picture in zip(encoded, pictures, strict=True):
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(image), picture)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"\x89PNG",
        encode(Image.fromarray(noise(64, 64)))[:900],
        encode(drawing(64, 64), "JPEG")[:400],
        encode(drawing(64, 64), "TIFF"),
        encode(drawing(64, 64), "WEBP"),
    ],
    ids=["nothing", "text", "a stub", "half a png", "half a jpeg", "tiff", "webp"],
)
@pytest.mark.parametrize("mode", ["eager", "in a graph"])
def test_what_is_no_picture_is_an_invalid_argument(data, mode):
    def call(encoded):
        return decode_pictures(encoded, SIZE, "crop", (0, 0, 0))

    run = tf.function(call) if mode == "in a graph" else call
    good = encode(drawing(8, 8))

    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.constant([good, data]))
