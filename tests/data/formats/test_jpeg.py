"""A JPEG file that lacks only its end marker is whole; every other cut is a loss."""

import numpy as np
import pytest
from PIL import Image

from helpers.encoders import jpeg_segment
from helpers.pictures import encode_picture, open_picture
from tfstyle.data.formats import jpeg
from tfstyle.data.formats.errors import PictureError

END = b"\xff\xd9"


def make_jpeg(**options) -> bytes:
    # Of whole blocks: what is lost beyond the border of a picture is not missing.
    values = np.random.default_rng(0).integers(0, 256, [48, 64, 3], np.uint8)
    return encode_picture(Image.fromarray(values), "JPEG", **options)


def is_whole(data: bytes) -> bool:
    try:
        picture = jpeg.read_jpeg(data)
    except PictureError as error:
        assert error.reason == "truncated"
        return False
    with open_picture(picture.data) as image:
        return jpeg.is_whole(picture, image)


KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "full color": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 2},
    "optimized": {"optimize": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0, 1, 4000])
def test_a_missing_end_is_restored(kind, zeros):
    whole = make_jpeg(**KINDS[kind])
    cut = whole[:-2] + b"\0" * zeros

    assert is_whole(whole) and is_whole(cut)
    assert jpeg.read_jpeg(cut).data == whole
    assert not jpeg.read_jpeg(cut).is_ended and jpeg.read_jpeg(whole).is_ended


def list_cuts(whole: bytes) -> list[int]:
    sizes = [*range(len(whole) - 40, len(whole) - 4), *range(700, len(whole), 97)]
    return [size for size in sizes if size < len(whole) - 4]


@pytest.mark.parametrize("kind", KINDS)
def test_no_cut_file_is_whole(kind):
    whole = make_jpeg(**KINDS[kind])
    for size in list_cuts(whole):
        assert not is_whole(whole[:size]), size


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_marker_makes_no_cut_file_whole(kind):
    whole = make_jpeg(**KINDS[kind])
    for size in list_cuts(whole):
        for tail in (END, END + b"text", END + bytes(99)):
            assert not is_whole(whole[:size] + tail), (size, tail)


@pytest.mark.parametrize("length", [10, 5000])
def test_text_does_not_complete_a_cut_file(length):
    whole = make_jpeg()

    assert not is_whole(whole[:-300] + b"text"[:1] * length)


def test_a_progressive_file_cut_between_scans_is_not_whole():
    whole = make_jpeg(progressive=True)
    scans = [place for place in range(len(whole)) if whole[place:][:2] == b"\xff\xda"]
    for place in scans[1:]:
        # The tables of a scan may stand before it.
        start = place
        while whole.rfind(b"\xff\xc4", 0, start) > max(
            scan for scan in scans if scan < place
        ):
            start = whole.rfind(b"\xff\xc4", 0, start)
        assert not is_whole(whole[:start])
        assert not is_whole(whole[:start] + END)


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 9), (17, 16), (33, 40), (5, 100)], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_whole_files_of_all_sizes_are_whole(size, kind, mode):
    rng = np.random.default_rng(1)
    for level in (0, 255):  # flat, and noise
        values = 200 - rng.integers(0, level + 1, [*size, 3]) // 2
        picture = Image.fromarray(values.astype(np.uint8)).convert(mode)
        assert is_whole(encode_picture(picture, "JPEG", **KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_scans_of_usual_files_are_plain(kind):
    whole = make_jpeg(**KINDS[kind])

    assert jpeg.has_plain_scans(jpeg.read_jpeg(whole))
    filled = whole.removesuffix(END) + b"\xff" + END
    assert jpeg.read_jpeg(filled).data == whole


def test_a_table_that_hides_codes_is_not_plain():
    data = bytearray(make_jpeg(progressive=True))
    table = data.rindex(b"\xff\xc4")
    data[table + 3] -= 1

    assert not jpeg.has_plain_scans(jpeg.read_jpeg(bytes(data)))


def test_only_segments_of_the_picture_are_kept():
    plain = make_jpeg()
    profile, exif = b"profile" * 20_000, b"Exif\0\0" + b"structure"  # in three segments
    rich = make_jpeg(icc_profile=profile, exif=exif, comment=b"comment")
    assert rich.count(b"ICC_PROFILE\0") == 3
    rich = rich[:2] + jpeg_segment(0xE0, b"JFIF\0") + rich[2:] + b"more"

    picture = jpeg.read_jpeg(rich)

    assert picture.data == jpeg.read_jpeg(plain).data == plain
    assert (picture.profile, picture.exif) == (profile, (b"structure",))


@pytest.mark.parametrize(
    "numbers", [b"\1\2", b"\2\1", b"\1\1\1\1", b"\0\1", b"\1\2\3\2"], ids=str
)
def test_a_profile_of_which_parts_are_missing_is_none(numbers):
    parts = [numbers[i : i + 2] + b"part" for i in range(0, len(numbers), 2)]
    segments = [jpeg_segment(0xE2, b"ICC_PROFILE\0" + part) for part in parts]
    whole = make_jpeg()

    assert jpeg.read_jpeg(whole[:2] + b"".join(segments) + whole[2:]).profile is None


@pytest.mark.parametrize("size", range(2, 20))
def test_a_header_that_is_cut_off_is_truncated(size):
    assert not is_whole(make_jpeg()[:size])
