import pathlib

import numpy as np
import pytest
from PIL import Image

from helpers.picture_table import BACKGROUND, ROWS
from helpers.pictures import encode_picture, open_picture
from tfstyle.data import pictures
from tfstyle.data.pictures import PictureError, load_picture, to_square_rgb

RED = (255, 0, 0)
BEHIND = "#{:02x}{:02x}{:02x}".format(*BACKGROUND)
READ_BY_PILLOW = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "TGA", "PPM")


def pixel(image: Image.Image) -> tuple[int, int, int]:
    assert image.mode == "RGB"
    return image.getpixel((image.width // 2, image.height // 2))


def half_transparent(mode: str) -> Image.Image:
    return Image.new("RGBA", (8, 8), (*RED, 0)).convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_every_color_mode_becomes_rgb(mode):
    white = Image.new("RGB", (8, 8), "white").convert(mode)
    assert pixel(to_square_rgb(white, 4)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_background_shows_through_transparency(mode):
    assert pixel(to_square_rgb(half_transparent(mode), 4, background="#204060")) == (
        0x20,
        0x40,
        0x60,
    )


def test_the_background_shows_through_a_transparent_palette_entry(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *RED])
    image.save(tmp_path / "a.png", transparency=1)
    assert pixel(load_picture(tmp_path / "a.png", 4, background="blue")) == (0, 0, 255)


def test_the_background_shows_through_a_transparent_gray(tmp_path):
    Image.new("L", (8, 8), 9).save(tmp_path / "a.png", transparency=9)
    assert pixel(load_picture(tmp_path / "a.png", 4)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, suffix):
    # 0x8080 is 128 * 257, so exactly 128 in 8 bits.
    gray = Image.fromarray(np.full([8, 8], 0x8080, np.uint16))
    assert gray.mode == "I;16"
    gray.save(tmp_path / f"a.{suffix}")
    assert pixel(load_picture(tmp_path / f"a.{suffix}", 4)) == (128, 128, 128)


def test_16_bit_gray_in_32_bits_is_scaled():
    gray = Image.fromarray(np.full([8, 8], 0x4040, np.int32))
    assert gray.mode == "I"
    assert pixel(to_square_rgb(gray, 4)) == (64, 64, 64)


@pytest.mark.parametrize("levels", [[0, 255], [-1, 9000], [0, 65536], [7, 7]])
def test_integers_that_do_not_fill_16_bits_are_refused(levels):
    """They would come out black, or be cut off."""
    with pytest.raises(PictureError, match=f"from {levels[0]} to {levels[1]}"):
        to_square_rgb(Image.fromarray(np.array([levels], np.int32)), 4)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I"])
def test_16_bits_in_memory_are_scaled_whatever_their_order(mode):
    values = np.full([8, 8], 0x4040)
    kind = {"I": "i4", "I;16B": ">u2"}.get(mode, "<u2")
    image = Image.frombytes(mode, (8, 8), values.astype(kind).tobytes())

    assert pixel(to_square_rgb(image, 4)) == (64, 64, 64)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_loaded_picture_is_read_from_its_file(row, tmp_path):
    """Pillow's pixels may be others."""
    (tmp_path / "picture").write_bytes(row.data)
    try:
        with Image.open(tmp_path / "picture", formats=READ_BY_PILLOW) as loaded:
            loaded.load()
    except Exception:
        return  # Pillow does not read it

    if row.pixels is None:
        with pytest.raises(PictureError):
            to_square_rgb(loaded, 16)
    else:
        size = len(row.pixels)
        shown = np.asarray(to_square_rgb(loaded, size, background=BEHIND))
        assert abs(shown.astype(int) - row.pixels).max() <= row.tolerance


def test_a_loaded_picture_that_was_changed_is_taken_as_it_is(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as loaded:
        loaded.load()
    loaded.paste(RED, (0, 0, 8, 8))

    assert pixel(to_square_rgb(loaded, 4)) == RED


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_loaded_tiff_without_a_file_is_refused(kind):
    """Whether white is 0 is known no more, nor whether samples have a sign."""
    data = encode_picture(Image.fromarray(np.full([8, 8], 999, kind)), "TIFF")
    loaded = open_picture(data)
    loaded.load()

    with pytest.raises(PictureError, match="pass the file"):
        to_square_rgb(loaded, 4)


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_gray_is_scaled_to_its_range(white):
    values = np.array([[0.0, white], [white, np.nan]], np.float32)
    result = np.asarray(to_square_rgb(Image.fromarray(values), 2))[..., 0]
    np.testing.assert_array_equal(result, [[0, 255], [255, 0]])


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 8))
    image.paste(RED, (0, 0, 8, 4))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    turned = load_picture(tmp_path / "a.png", 8)
    assert turned.getpixel((7, 4)) == RED  # now the right half
    assert turned.getpixel((0, 4)) == (0, 0, 0)


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixel(load_picture(tmp_path / "a.gif", 4)) == RED


def wide_picture() -> Image.Image:
    """12x4: red, green and blue squares side by side."""
    image = Image.new("RGB", (12, 4))
    for i, name in enumerate(["red", "lime", "blue"]):
        image.paste(name, (4 * i, 0, 4 * i + 4, 4))
    return image


def test_crop_takes_the_center_square():
    result = np.asarray(to_square_rgb(wide_picture(), 4, "crop"))
    np.testing.assert_array_equal(result, np.full([4, 4, 3], [0, 255, 0]))


def test_pad_keeps_everything_between_black_bars():
    result = np.asarray(to_square_rgb(wide_picture(), 12, "pad"))
    np.testing.assert_array_equal(result[4:8], np.asarray(wide_picture()))
    assert not result[:4].any() and not result[8:].any()


def test_pad_of_an_extreme_shape_keeps_at_least_a_line():
    result = np.asarray(to_square_rgb(Image.new("RGB", (400, 1), "white"), 16, "pad"))
    assert result.shape == (16, 16, 3) and (result.sum(axis=(1, 2)) > 0).sum() == 1


def test_stretch_ignores_the_aspect_ratio():
    result = to_square_rgb(wide_picture(), 12, "stretch")
    assert [result.getpixel((x, 6)) for x in (1, 10)] == [RED, (0, 0, 255)]


def test_a_square_picture_of_the_right_size_is_unchanged():
    values = np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8)
    np.testing.assert_array_equal(to_square_rgb(Image.fromarray(values), 8), values)


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="got 'zoom'"):
        to_square_rgb(wide_picture(), 4, "zoom")


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not_a_picture"),
        (b"<html>not found</html>", "not_a_picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason_for(tmp_path / "a.jpg") == reason


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_file_cut_off_at_any_point_is_skipped_or_taken(tmp_path, format):
    values = np.random.default_rng(0).integers(0, 256, [40, 40, 3], np.uint8)
    whole = encode_picture(Image.fromarray(values), format)
    for part in np.linspace(0, 0.9, 19):
        (tmp_path / "a").write_bytes(whole[: int(part * len(whole))])
        assert reason_for(tmp_path / "a") in (
            "truncated",
            "unreadable",
            "not_a_picture",
        )


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
@pytest.mark.parametrize("options", [{}, {"quality": 100}])
def test_a_cut_webp_or_avif_is_truncated(format, options, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, [50, 60, 3], np.uint8)
    data = encode_picture(Image.fromarray(values), format, **options)
    for size in range(32, len(data), 61):
        (tmp_path / "cut").write_bytes(data[:size])
        assert reason_for(tmp_path / "cut") == "truncated"


def test_a_webp_with_damaged_pixels_is_said_to_be_damaged(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, [50, 60, 3], np.uint8)
    data = bytearray(encode_picture(Image.fromarray(values), "WEBP"))
    data[20:30] = bytes(10)
    (tmp_path / "a.webp").write_bytes(data)

    with pytest.raises(PictureError, match="unreadable: a damaged WebP file"):
        load_picture(tmp_path / "a.webp", 8)


def test_corrupt_bytes_raise_nothing_else(tmp_path, portraits_dir):
    whole = (pathlib.Path(portraits_dir) / "micah" / "00000.png").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        corrupt = bytearray(whole)
        for position in rng.integers(0, len(whole), 5):
            corrupt[position] = rng.integers(256)
        (tmp_path / "a.png").write_bytes(corrupt)
        reason_for(tmp_path / "a.png")


def test_small_pictures_are_skipped_by_their_shorter_side(tmp_path):
    Image.new("RGB", (100, 15)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="too_small: 100x15, needs 16x16"):
        load_picture(tmp_path / "a.png", 64, min_size=16)
    assert load_picture(tmp_path / "a.png", 64, min_size=15).size == (64, 64)


@pytest.mark.parametrize("size", [(10_000, 9_000), (20_000, 10_000)])
def test_decompression_bombs_are_skipped_undecoded(tmp_path, size):
    Image.new("1", size).save(tmp_path / "a.png")
    assert reason_for(tmp_path / "a.png") == "too_large"


def test_missing_files_and_folders_are_unreadable(tmp_path):
    assert reason_for(tmp_path / "none.png") == "unreadable"
    assert reason_for(tmp_path) == "unreadable"


@pytest.mark.parametrize("format, exact", [("png", True), ("jpeg", False)])
def test_encoded_pictures_decode_to_about_the_same(format, exact, portraits_dir):
    path = pathlib.Path(portraits_dir) / "lorelei" / "00000.png"
    conversion = pictures.Conversion(64, format=format)
    encoded = open_picture(conversion.encode_file(path))
    assert encoded.format == format.upper()
    difference = np.subtract(np.asarray(encoded), load_picture(path, 64), dtype=float)
    assert np.abs(difference).mean() <= (0 if exact else 3)


def test_colors_are_normalized():
    assert pictures.normalize_color("white") == "#ffffff"
    assert pictures.normalize_color("#0A0b0C80") == "#0a0b0c"
    with pytest.raises(ValueError):
        pictures.normalize_color("whitish")


def reason_for(path) -> str | None:
    try:
        load_picture(path, 16)
    except PictureError as error:
        return error.reason
    return None
