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


def make_detailed(**options) -> bytes:
    rows, columns = np.mgrid[:240, :320]
    waves = np.sin(rows / 7) + np.cos(columns / 5) + np.sin((rows + columns) / 29)
    noise = np.random.default_rng(2).normal(0, 8, [240, 320, 3])
    levels = np.clip(waves[..., None] * 40 + 128 + noise, 0, 255).astype(np.uint8)
    return encode_picture(Image.fromarray(levels), "JPEG", quality=88, **options)


RESTARTS = {
    "rows": {"restart_marker_rows": 1},
    "blocks": {"restart_marker_blocks": 3},
    "progressive": {"restart_marker_rows": 1, "progressive": True},
    "optimized": {"restart_marker_rows": 1, "optimize": True},
    "full color": {"restart_marker_blocks": 7, "subsampling": 0},
}


def find_restarts(data: bytes) -> list[int]:
    return [
        place
        for place in range(len(data) - 1)
        if data[place] == 0xFF and 0xD0 <= data[place + 1] <= 0xD7
    ]


@pytest.mark.parametrize("kind", RESTARTS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(320, 240), (37, 41), (9, 8), (8, 150)], ids=str)
def test_whole_files_with_restarts_are_whole(kind, mode, size):
    with open_picture(make_detailed()) as picture:
        picture = picture.resize(size).convert(mode)
        assert is_whole(encode_picture(picture, "JPEG", **RESTARTS[kind]))


@pytest.mark.parametrize("kind", RESTARTS)
def test_a_file_without_one_of_its_restarts_is_not_whole(kind):
    whole = make_detailed(**RESTARTS[kind])
    places = find_restarts(whole)
    assert len(places) >= 14
    for place in places[:: len(places) // 12]:
        other = bytes([0xD0 + (whole[place + 1] + 1) % 8])
        assert not is_whole(whole[:place] + whole[place + 2 :])
        assert not is_whole(whole[: place + 1] + other + whole[place + 2 :])


@pytest.mark.parametrize("kind", RESTARTS)
def test_restarts_of_which_no_scan_tells_are_not_whole(kind):
    whole = make_detailed(**RESTARTS[kind])
    place = whole.index(b"\xff\xdd\0\4")

    assert not is_whole(whole[:place] + whole[place + 6 :])


def test_an_interval_of_which_blocks_are_lost_is_not_whole():
    whole = make_detailed(restart_marker_rows=1)
    for place in find_restarts(whole)[::3]:
        assert not is_whole(whole[: place - 40] + whole[place:])


@pytest.mark.parametrize("kind", ["rows", "blocks", "full color"])
@pytest.mark.parametrize("hole", [512, 2048, 4096])
def test_a_file_with_a_hole_is_not_whole(kind, hole):
    whole = make_detailed(**RESTARTS[kind])
    for place in range(1024, len(whole) - hole, 1500):
        assert not is_whole(whole[:place] + bytes(hole) + whole[place + hole :])


@pytest.mark.parametrize("options", [*KINDS.values(), *RESTARTS.values()], ids=str)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_large_even_areas_are_no_holes(options, level):
    even = Image.new("RGB", (800, 900), (level, level, level))
    with open_picture(make_detailed()) as picture:
        even.paste(picture, (50, 60))
    for mode in ("L", "RGB"):
        assert is_whole(encode_picture(even.convert(mode), "JPEG", **options))


def test_a_restart_after_the_last_interval_is_taken():
    whole = make_detailed(restart_marker_rows=1)
    last = whole[find_restarts(whole)[-1] + 1]
    further = bytes([0xFF, 0xD0 + (last + 1) % 8])

    assert is_whole(whole[:-2] + further + END)
    assert not is_whole(whole[:-2] + further * 2 + END)


@pytest.mark.parametrize(
    ("part", "count", "name"),
    [
        (b"\xff\xd0", 600_000, "more than 500000 markers"),
        (b"\xff\xfe\0\2", 30_000, "more than 20000 segments"),
        (b"\xff\xda\0\2", 99, "100 scans"),
    ],
    ids=["restarts", "comments", "scans"],
)
def test_a_file_of_very_many_parts_is_refused_by_name(part, count, name):
    whole = make_jpeg()

    with pytest.raises(PictureError, match=name):
        jpeg.read_jpeg(whole[:-2] + part * count + END)


@pytest.mark.parametrize("marker", [b"\xff\xe0", b"\xff\xdb", b"\xff\xda", END])
def test_millions_of_fill_bytes_change_nothing(marker):
    whole = make_jpeg()
    filled = whole.replace(marker, b"\xff" * 20_000_000 + marker, 1)

    assert is_whole(filled)
    if marker != END:
        assert jpeg.read_jpeg(filled).data == whole
