"""A JPEG file that lacks only its end marker is whole; every other cut is a loss."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import encode_picture, open_picture
from tfstyle.data.formats import jpeg


def make_jpeg(**options) -> bytes:
    # Of whole blocks: what is lost beyond the border of a picture is not missing.
    values = np.random.default_rng(0).integers(0, 256, [48, 64, 3], np.uint8)
    return encode_picture(Image.fromarray(values), "JPEG", **options)


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

    restored = jpeg.restore_end(io.BytesIO(whole[:-2] + b"\0" * zeros))

    assert restored is not None
    with open_picture(restored.read()) as image, open_picture(whole) as original:
        assert image.tobytes() == original.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_else_is_missing_is_not_restored(kind):
    whole = make_jpeg(**KINDS[kind])
    for size in [*range(len(whole) - 40, len(whole) - 4), *range(700, len(whole), 97)]:
        if size < len(whole) - 4:
            assert jpeg.restore_end(io.BytesIO(whole[:size])) is None, size


def test_a_progressive_file_cut_between_scans_is_not_restored():
    whole = make_jpeg(progressive=True)
    scans = [place for place in range(len(whole)) if whole[place:][:2] == b"\xff\xda"]
    assert len(scans) > 3
    for place in scans[1:]:
        # The tables of a scan may stand before it.
        start = place
        while whole.rfind(b"\xff\xc4", 0, start) > max(
            scan for scan in scans if scan < place
        ):
            start = whole.rfind(b"\xff\xc4", 0, start)
        assert jpeg.restore_end(io.BytesIO(whole[:start])) is None


def test_dropping_a_profile_keeps_everything_else():
    plain = make_jpeg()
    with_profile = make_jpeg(icc_profile=b"profile" * 20_000)  # in several segments
    assert with_profile.count(b"ICC_PROFILE\0") == 3

    assert jpeg.drop_profile(with_profile) == plain
    assert jpeg.drop_profile(plain) == plain
