"""A work is found again in other sizes and qualities; other works are not."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import PORTRAITS, encode_picture
from tfstyle.data.collections import near_duplicates
from tfstyle.data.pictures import Conversion

SIZE = 64


def fingerprint(picture, tmp_path) -> np.ndarray:
    """Return the fingerprint that a picture has in records."""
    picture.save(tmp_path / "picture.png")
    encoded = Conversion(SIZE).encode_file(tmp_path / "picture.png")
    return np.frombuffer(near_duplicates.compute_fingerprint(encoded), np.uint8)


def find(*fingerprints):
    return near_duplicates.find_pairs(
        np.stack(fingerprints), np.arange(len(fingerprints))
    )


def reencode(picture, encoding, **options):
    return Image.open(io.BytesIO(encode_picture(picture, encoding, **options))).convert(
        "RGB"
    )


def draw_work(seed: int) -> Image.Image:
    """Draw soft shapes and sharp lines, 256x256."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, [6, 6, 3], np.uint8))
    picture = np.asarray(soft.resize((256, 256), Image.Resampling.BICUBIC)).copy()
    for _ in range(8):
        x, y = rng.integers(20, 200, 2)
        picture[y : y + 4, x : x + 50] = picture[y : y + 40, x : x + 3] = 0
    return Image.fromarray(picture)


@pytest.mark.parametrize(
    "change",
    [
        lambda work: work.resize((64, 64), Image.Resampling.LANCZOS),
        lambda work: work.resize((100, 100), Image.Resampling.BILINEAR),
        lambda work: work.resize((128, 128), Image.Resampling.NEAREST),
        lambda work: work.resize((600, 600), Image.Resampling.BICUBIC),
        lambda work: reencode(work, "JPEG", quality=30),
        lambda work: reencode(work, "WEBP", quality=30),
        lambda work: reencode(work.resize((128, 128)), "JPEG", quality=75),
        lambda work: reencode(work.resize((90, 90)), "JPEG", quality=60),
        lambda work: reencode(work.resize((64, 64)), "JPEG", quality=60),
        lambda work: work.quantize(256, kmeans=2).convert("RGB"),
        lambda work: work.crop((1, 1, 255, 255)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_work_is_near_its_other_sizes_and_qualities(change, seed, tmp_path):
    work = draw_work(seed)
    pair = [fingerprint(picture, tmp_path) for picture in (work, change(work))]
    assert find(*pair) == [(0, 1)]


@pytest.mark.parametrize(
    "change",
    [
        lambda work: work.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        lambda work: work.rotate(8),
        lambda work: Image.blend(work, draw_work(9), 0.5),
        lambda work: Image.eval(work, lambda value: 255 - value),
        lambda work: work.paste((255, 0, 0), (100, 100, 140, 130)) or work,
    ],
)
def test_another_work_is_not_near(change, tmp_path):
    original = fingerprint(draw_work(0), tmp_path)
    assert find(original, fingerprint(change(draw_work(0)), tmp_path)) == []


@pytest.mark.parametrize("number", [5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_a_colorful_work_is_near_its_thumbnail(number, seed, tmp_path):
    """JPEG stores one color for 2x2 pixels, here of 16x16 that the work has."""
    rng = np.random.default_rng(seed)
    colors = Image.fromarray(rng.integers(60, 200, [number, number, 3], np.uint8))
    work = colors.resize((1000, 1000), Image.Resampling.NEAREST)
    thumbnail = reencode(work.resize((64, 64)), "JPEG", quality=60)
    pair = [fingerprint(picture, tmp_path) for picture in (work, thumbnail)]

    assert find(*pair) == [(0, 1)]


def test_a_work_in_other_colors_is_not_near(tmp_path):
    """Of the same lightness everywhere."""
    works = []
    for red, blue in ((198, 98), (158, 203)):  # 0.299 * 40 = 0.114 * 105
        values = np.full([64, 64, 3], 128, np.uint8)
        values[20:40, 20:40] = (red, 128, blue)
        works.append(fingerprint(Image.fromarray(values), tmp_path))
    assert find(*works) == []


def test_faint_drawings_are_compared_by_their_own_contrast(tmp_path):
    """Gray lines on white differ by few levels, wherever they are."""
    sheets = []
    for row in (40, 90, 140):
        values = np.full([256, 256, 3], 255, np.uint8)
        values[row : row + 6, 50:200] = 200
        sheets.append(fingerprint(Image.fromarray(values), tmp_path))
    assert find(*sheets) == []
    assert find(sheets[0], sheets[0]) == [(0, 1)]


def test_pairs_are_those_of_comparing_all_with_all():
    """By the definition, in a plain double loop; on purpose with many near pairs."""
    rng = np.random.default_rng(0)
    bases = rng.integers(0, 256, [40, near_duplicates.FINGERPRINT_BYTES])
    noise = rng.normal(0, [[[2]], [[3]], [[4]], [[5]]], [4, 40, bases.shape[1]])
    prints = np.clip(bases + noise, 0, 255).reshape(160, -1).astype(np.uint8)
    expected = []
    for i, left in enumerate(prints.astype(float)):
        for j, right in enumerate(prints.astype(float)[:i]):
            difference = left - right
            red, green, blue = difference.reshape(-1, 3).T
            y = 0.299 * red + 0.587 * green + 0.114 * blue
            color = np.maximum(abs(blue - y) / 1.772, abs(red - y) / 1.402)
            span = max(np.ptp(left), np.ptp(right))
            is_similar = abs(y).max() <= span / 10 and color.max() <= span / 8
            if is_similar and np.mean(difference**2) <= 36:
                expected.append((j, i))

    pairs = near_duplicates.find_pairs(prints, np.arange(160))

    assert pairs == sorted(expected)
    assert 40 <= len(pairs) < 6 * 40


def test_portraits_of_a_designer_are_different_works():
    """They are assembled from the same parts."""
    prints = [
        near_duplicates.compute_fingerprint(Conversion(SIZE).encode_file(path))
        for path in sorted(PORTRAITS.glob("*/*.png"))
    ]
    rows = np.stack([np.frombuffer(data, np.uint8) for data in prints])
    assert len(rows) == 720
    assert near_duplicates.find_pairs(rows, np.arange(len(rows))) == []


def test_the_first_near_picture_is_found_as_by_comparing_with_all():
    rng = np.random.default_rng(4)
    given = rng.integers(0, 256, [30, near_duplicates.FINGERPRINT_BYTES], np.uint8)
    given[20] = given[7]
    finder = near_duplicates.NearFinder(given)

    for row, expected in ((3, 3), (7, 7), (20, 7)):
        changed = np.clip(given[row].astype(int) + rng.integers(-3, 4), 0, 255)
        assert finder.find(changed.astype(np.uint8).tobytes()) == expected
    assert finder.find((255 - given[5]).tobytes()) is None
