"""Pictures decoded in a served graph are those that the records would hold.

`pictures.to_square_rgb` is the reference. Opaque pictures with 8 bits and pictures with
alpha agree within 1 level. The exception has its own test: 16-bit gray, of which
TensorFlow drops the low byte, differs by up to 1 level before it is resized.
"""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers.pictures import encode_picture, open_picture
from tfstyle.data.pictures import FITS, to_square_rgb
from tfstyle.modeling.networks import color
from tfstyle.serving.pictures_in_graph import decode_pictures, encode_pictures

SIZE = 32
ORANGE = "#ff8000"
# Same, smaller, larger, odd, wide, tall, extreme: (width, height).
SIZES = [(32, 32), (20, 13), (64, 64), (33, 31), (97, 61), (61, 97), (5, 200)]
RESIZED = (61, 45)


def noise(width, height, channels=3, seed=0) -> np.ndarray:
    """Draw the hardest case: every pixel is an edge, and LANCZOS overshoots."""
    rng = np.random.default_rng(seed)
    shape = [height, width, channels] if channels > 1 else [height, width]
    return rng.integers(0, 256, shape, np.uint8)


def drawing(width, height) -> Image.Image:
    """Draw flat colors, lines and a gradient."""
    values = np.zeros([height, width, 3], np.uint8)
    values[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    values[height // 3 :, width // 4 :, 1] = 200
    values[:: max(2, height // 5)] = (10, 20, 250)
    return Image.fromarray(values)


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
    with open_picture(data) as image:
        expected = np.asarray(to_square_rgb(image, size, fit, ORANGE), np.int32)
    return abs(decode(data, fit=fit, size=size)[0] - expected).max()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["noise", "drawing"])
def test_any_size_is_resized_like_by_pillow(kind, size, fit):
    picture = drawing(*size) if kind == "drawing" else Image.fromarray(noise(*size))

    assert largest_difference(encode_picture(picture), fit) <= (
        0 if size == (32, 32) else 1
    )


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_one_pixel_fills_the_square(fit):
    picture = decode(encode_picture(Image.new("RGB", (1, 1), (9, 80, 200))), fit=fit)[0]

    assert (picture == (9, 80, 200)).all()


def test_padding_is_black_and_centered():
    # 40 x 20 becomes 32 x 16, with 8 black rows above and below.
    white = Image.new("RGB", (40, 20), (255, 255, 255))
    picture = decode(encode_picture(white), fit="pad")[0]

    assert (picture[8:24] == 255).all()
    assert (picture[:8] == 0).all() and (picture[24:] == 0).all()


def test_crop_cuts_out_the_center_square():
    # A red, a green and a blue third: the center square is green.
    values = np.zeros([32, 96, 3], np.uint8)
    for third in range(3):
        values[:, 32 * third : 32 * (third + 1), third] = 255

    assert (decode(encode_picture(Image.fromarray(values)))[0] == (0, 255, 0)).all()


OPAQUE = {
    "png rgb": lambda p: encode_picture(p),
    "png gray": lambda p: encode_picture(p.convert("L")),
    "png 1 bit": lambda p: encode_picture(p.convert("1")),
    "png palette with 4 bits": lambda p: encode_picture(p.quantize(16)),
    "png palette with 8 bits": lambda p: encode_picture(p.quantize(200)),
    "jpeg rgb": lambda p: encode_picture(p, "JPEG", quality=90, subsampling=0),
    "jpeg with coarse color": lambda p: encode_picture(p, "JPEG", quality=90),
    "jpeg progressive": lambda p: encode_picture(p, "JPEG", progressive=True),
    "jpeg gray": lambda p: encode_picture(p.convert("L"), "JPEG"),
    "jpeg cmyk": lambda p: encode_picture(p.convert("CMYK"), "JPEG", quality=95),
    "bmp with 24 bits": lambda p: encode_picture(p, "BMP"),
}


@pytest.mark.parametrize("size", [(32, 32), RESIZED], ids=str)
@pytest.mark.parametrize("kind", OPAQUE)
def test_opaque_formats_agree_within_a_level(kind, size):
    assert largest_difference(OPAQUE[kind](drawing(*size))) <= 1


def gradient(width, height) -> np.ndarray:
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), [height, 1])


TRANSPARENT = {
    "gradient": lambda p: encode_picture(with_alpha(p, gradient(*p.size))),
    "hard edges": lambda p: encode_picture(
        with_alpha(p, (noise(*p.size, 1) > 128).astype(np.uint8) * 255)
    ),
    "noise": lambda p: encode_picture(with_alpha(p, noise(*p.size, 1))),
    "gray with alpha": lambda p: encode_picture(
        with_alpha(p.convert("L"), gradient(*p.size)).convert("LA")
    ),
    "palette with a transparent entry": lambda p: encode_picture(
        p.quantize(16), transparency=3
    ),
    "palette with alpha": lambda p: encode_picture(
        p.quantize(16), transparency=bytes(range(0, 256, 16))
    ),
    "rgb with a transparent color": lambda p: encode_picture(
        p, transparency=p.getpixel((9, 11))
    ),
    "gray with a transparent level": lambda p: encode_picture(
        p.convert("L"), transparency=p.convert("L").getpixel((9, 11))
    ),
}


@pytest.mark.parametrize("size", [(32, 32), RESIZED], ids=str)
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_shows_the_background_like_in_the_records(kind, size):
    data = TRANSPARENT[kind](drawing(*size))
    with open_picture(data) as image:
        assert image.has_transparency_data
    background = decode(data, background=ORANGE) != decode(data, background="#000000")

    assert background.any()
    assert largest_difference(data) <= 1


@pytest.mark.parametrize(("size", "bound"), [((32, 32), 1), (RESIZED, 2)], ids=str)
def test_16_bit_gray_loses_its_low_byte(size, bound):
    # Of level 255 / 65535, TensorFlow keeps 255 >> 8 = 0; Pillow rounds 255 / 257 to 1.
    values = np.random.default_rng(0).integers(0, 65536, size[::-1], np.uint16)

    assert largest_difference(encode_picture(Image.fromarray(values))) <= bound


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colors_and_alpha_are_decoded(channels):
    values = np.zeros([40, 50, channels], np.uint16)
    values[...] = np.linspace(0, 65535, 50).astype(np.uint16)[:, None]
    values[..., -1] = values[::-1, ::-1, -1]

    assert largest_difference(tf.io.encode_png(values).numpy()) <= 1


@pytest.mark.parametrize("size", [(40, 33), (40, 40), (33, 17), (99, 1)], ids=str)
@pytest.mark.parametrize("kind", ["rgb", "with coarse color", "progressive", "gray"])
def test_a_truncated_jpeg_with_an_end_is_refused(kind, size):
    data = OPAQUE[f"jpeg {kind}"](Image.fromarray(noise(*size)))
    place = data.rindex(b"\xff\xda")
    middle = (place + len(data)) // 2 + 8

    assert largest_difference(data) <= 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="truncated"):
        decode(data[:middle] + b"\xff\xd9")


def test_no_warning_of_libjpeg_is_shown_for_usual_pictures(capfd):
    decode(OPAQUE["jpeg rgb"](drawing(64, 48)), OPAQUE["jpeg gray"](drawing(50, 47)))

    assert "JPEG" not in capfd.readouterr().err


def test_pictures_of_many_kinds_share_a_batch():
    picture = drawing(*RESIZED)
    data = [OPAQUE["jpeg rgb"](picture), TRANSPARENT["gradient"](picture)]
    data += [OPAQUE["png gray"](picture), OPAQUE["bmp with 24 bits"](drawing(20, 13))]

    batch = decode(*data)

    for row, encoded in zip(batch, data, strict=True):
        np.testing.assert_array_equal(row, decode(encoded)[0])


def test_pillow_reads_what_is_encoded():
    pictures = np.stack([noise(SIZE, SIZE, seed=seed) for seed in range(3)])

    encoded = encode_pictures(color.rgb_to_lab(pictures)).numpy()

    for data, picture in zip(encoded, pictures, strict=True):
        with open_picture(data) as image:
            assert (image.format, image.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(image), picture)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"\x89PNG",
        encode_picture(Image.fromarray(noise(64, 64)))[:900],
        encode_picture(drawing(64, 64), "JPEG")[:400],
        encode_picture(drawing(64, 64), "TIFF"),
        encode_picture(drawing(64, 64), "WEBP"),
    ],
    ids=["nothing", "text", "a stub", "half a png", "half a jpeg", "tiff", "webp"],
)
@pytest.mark.parametrize("mode", ["eager", "in a graph"])
def test_a_file_that_is_not_a_picture_is_an_invalid_argument(data, mode):
    def call(encoded):
        return decode_pictures(encoded, SIZE, "crop", (0, 0, 0))

    run = tf.function(call) if mode == "in a graph" else call
    good = encode_picture(drawing(8, 8))

    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.constant([good, data]))
