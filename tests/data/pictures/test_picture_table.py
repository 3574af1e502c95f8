"""Every kind of file is converted to the pixels people see, or refused by name."""

import collections

import numpy as np
import pytest

from helpers.picture_table import BACKGROUND, ROWS, SIDE, Row
from helpers.pictures import open_picture
from tfstyle.data.pictures import Conversion, PictureError, load_picture

COLOR = "#{:02x}{:02x}{:02x}".format(*BACKGROUND)
SHOWN = [row for row in ROWS if row.pixels is not None]
REFUSED = [row for row in ROWS if row.pixels is None]


def load(row: Row, folder) -> np.ndarray:
    path = folder / "picture"
    path.write_bytes(row.data)
    size = SIDE if row.pixels is None else len(row.pixels)
    return np.asarray(load_picture(path, size, background=COLOR)).astype(int)


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: row.name)
def test_a_picture_is_what_its_bytes_say(row, tmp_path):
    assert abs(load(row, tmp_path) - row.pixels).max() <= row.tolerance


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_what_cannot_be_shown_rightly_is_refused_by_name(row, tmp_path):
    with pytest.raises(PictureError) as caught:
        load(row, tmp_path)

    assert row.reason in str(caught.value)
    # The name of an exception is for what nobody foresaw.
    assert "Error" not in str(caught.value)


@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_a_record_holds_no_profile(format, tmp_path):
    """Readers that know profiles would convert it again."""
    (row,) = [row for row in ROWS if row.name == "png rgb with a gray profile"]
    (tmp_path / "picture").write_bytes(row.data)

    encoded = Conversion(SIDE, format=format).encode_file(tmp_path / "picture")

    with open_picture(encoded) as image:
        assert "icc_profile" not in image.info


def test_the_table_holds_every_format():
    counts = collections.Counter(row.name.split()[0] for row in ROWS)

    assert len(ROWS) > 300
    assert counts.keys() >= {"png", "jpeg", "bmp", "gif", "tiff", "tga", "webp", "avif"}
    assert counts.keys() >= {"pbm", "pgm", "ppm", "pfm"}
