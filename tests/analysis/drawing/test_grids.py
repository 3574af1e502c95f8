"""Sheets show the exact pixels of pictures; files are complete or absent."""

import types

import numpy as np
import pytest
from PIL import Image

from tfstyle.analysis.drawing import grids

WHITE = (255, 255, 255)


def flat(color, size=64):
    return np.full((size, size, 3), color, np.uint8)


def boxes_of(sheet, color):
    """Return the box of a color: left, top, right and bottom (exclusive)."""
    y, x = np.nonzero((np.asarray(sheet) == color).all(axis=2))
    return x.min(), y.min(), x.max() + 1, y.max() + 1


def test_small_pictures_are_enlarged_pixel_by_pixel():
    """64 < 96 <= 2 * 64: each pixel becomes 2 x 2 equal ones."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    sheet = np.asarray(grids.draw_grid(picture[None, None]))
    margin = (sheet.shape[0] - 128) // 2
    tile = sheet[margin : margin + 128, margin : margin + 128]
    np.testing.assert_array_equal(tile, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert tuple(sheet[0, 0]) == WHITE


@pytest.mark.parametrize(
    "size, tile", [(1, 96), (32, 96), (95, 190), (96, 96), (256, 256)]
)
def test_tiles_are_the_smallest_multiple_of_at_least_96(size, tile):
    left, top, right, bottom = boxes_of(
        grids.draw_grid([[flat((9, 9, 9), size)]]), (9, 9, 9)
    )
    assert (right - left, bottom - top) == (tile, tile)


def test_rows_and_columns_keep_their_places():
    """[[red, blue], [empty, green]]: blue is right of red, green is below blue."""
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    sheet = grids.draw_grid([[flat(red), flat(blue)], [None, flat(green)]], gap=4)
    left, top, right, bottom = boxes_of(sheet, red)
    assert boxes_of(sheet, blue) == (right + 4, top, right + 132, bottom)
    assert boxes_of(sheet, green) == (right + 4, bottom + 4, right + 132, bottom + 132)
    empty = np.asarray(sheet)[bottom + 4 :, : right + 1]
    assert (empty == 255).all()


def test_a_white_picture_has_an_edge_of_one_pixel_in_the_gap():
    """128 white pixels within an outline of 130; without a gap there is no room."""
    sheet = grids.draw_grid([[flat(255)]], gap=4)
    y, x = np.nonzero((np.asarray(sheet) != 255).any(axis=2))
    assert (np.ptp(x) + 1, np.ptp(y) + 1) == (130, 130)
    assert len(x) == 4 * 130 - 4
    assert (np.asarray(grids.draw_grid([[flat(255)]], gap=0)) == 255).all()


def test_a_break_widens_only_its_own_gap():
    colors = [(10, 0, 0), (20, 0, 0), (30, 0, 0)]
    sheet = grids.draw_grid([[flat(c) for c in colors]], gap=4, column_breaks=[1])
    first, second, third = (boxes_of(sheet, color) for color in colors)
    assert second[0] - first[2] > 12
    assert third[0] - second[2] == 4


def ink(sheet, left, top, right, bottom):
    part = np.asarray(sheet.convert("L"))[top:bottom, left:right]
    return int((part < 128).sum())


def test_captions_stand_above_columns_and_left_of_rows():
    red = (255, 0, 0)
    bare = grids.draw_grid([[flat(red)]])
    captioned = grids.draw_grid([[flat(red)]], ["artist"], ["content"], "Title")
    left, top, right, _ = boxes_of(captioned, red)
    assert (left, top) > boxes_of(bare, red)[:2]
    assert ink(captioned, 0, top, left, captioned.height) > 20, "row caption"
    assert ink(captioned, left, top - 25, right, top - 1) > 20, "column caption"
    assert ink(captioned, 0, 0, captioned.width, top - 25) > 20, "title"
    assert ink(bare, 0, 0, bare.width, boxes_of(bare, red)[1] - 1) == 0


def test_a_long_column_caption_stays_over_its_column():
    red, blue = (255, 0, 0), (0, 0, 255)
    sheet = grids.draw_grid([[flat(red), flat(blue)]], column_captions=["W" * 200, ""])
    left, top, right, _ = boxes_of(sheet, red)
    assert ink(sheet, left, 0, right, top - 1) > 20
    assert ink(sheet, right, 0, sheet.width, top - 1) == 0


def test_a_long_row_caption_widens_the_sheet_only_so_far():
    """At most two tiles of 128 and the margins."""
    sheet = grids.draw_grid([[flat(0)]], row_captions=["artist " * 100])
    assert sheet.width < 128 + 2 * 128 + 50


def test_a_title_may_be_wider_than_a_narrow_grid():
    narrow = grids.draw_grid([[flat(0)]])
    titled = grids.draw_grid([[flat(0)]], title="Reconstruction of one picture")
    longer = grids.draw_grid([[flat(0)]], title="Reconstruction " * 50)
    assert narrow.width < titled.width < longer.width < 530


def test_names_in_other_scripts_look_different():
    first, second = (
        grids.draw_grid([[flat(0)]], title=name) for name in ("葛飾北斎", "歌川広重")
    )
    assert first.size != second.size or first.tobytes() != second.tobytes()


@pytest.mark.parametrize(
    "images, message",
    [
        ([], r"equal lengths, got \[\]"),
        ([[flat(0)], [flat(0), None]], r"equal lengths, got \[1, 2\]"),
        ([[None]], r"single shape and type, got \[\]"),
        ([[flat(0), flat(0, 32)]], "single shape"),
        ([[flat(0).astype(np.float32)]], "uint8 .* got float32"),
        ([[flat(0)[..., 0]]], r"got uint8 \[64, 64\]"),
    ],
)
def test_a_grid_rejects(images, message):
    with pytest.raises(ValueError, match=message):
        grids.draw_grid(images)


@pytest.mark.parametrize("captions", [{"row_captions": []}, {"column_captions": "ab"}])
def test_a_grid_rejects_a_wrong_number_of_captions(captions):
    with pytest.raises(ValueError, match="need as many captions"):
        grids.draw_grid([[flat(0)]], **captions)


def test_groups_stand_apart_and_fill_rows():
    """Three pairs, two to a row: the third starts the second row under the first."""
    pairs = [(flat((i, 0, 0)), flat((i, 9, 0))) for i in (1, 2, 3)]
    sheet = grids.draw_groups(pairs, ("picture", "reconstruction"), groups_per_row=2)
    first, second, third = (boxes_of(sheet, (i, 0, 0)) for i in (1, 2, 3))
    partner = boxes_of(sheet, (1, 9, 0))
    assert partner[0] - first[2] < second[0] - partner[2]
    assert first[1] == partner[1] == second[1]
    assert third[0] == first[0] and third[1] > first[3]


def test_fewer_groups_than_fit_a_row_leave_no_empty_columns():
    pairs = [(flat(1), flat(2))]
    narrow = grids.draw_groups(pairs, ("a", "b"), groups_per_row=1)
    wide = grids.draw_groups(pairs, ("a", "b"), groups_per_row=5)
    assert wide.size == narrow.size


def test_groups_must_match_their_captions():
    with pytest.raises(ValueError, match="3 captions"):
        grids.draw_groups([(flat(0), flat(0))], ("content", "result", "style"), 1)


def test_a_written_picture_reads_back_the_same(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    path = tmp_path / "new" / "folder" / "picture.png"
    grids.write_picture(Image.fromarray(picture), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_a_table_is_drawn_as_a_grid():
    """The fields of a table are the arguments of a grid."""
    fields = {
        "rows": [[flat(1), flat(2)], [None, flat(3)]],
        "row_captions": ["a", "b"],
        "column_captions": ["c", "d"],
        "title": "e",
        "row_breaks": [1],
        "column_breaks": [1],
    }
    sheet = grids.draw_table(types.SimpleNamespace(**fields))
    assert sheet == grids.draw_grid(fields.pop("rows"), **fields)


def test_stacked_sheets_keep_their_pixels_and_start_at_the_left():
    red, blue = np.array([255, 0, 0]), np.array([0, 0, 255])
    wide = Image.fromarray(np.full((2, 5, 3), red, np.uint8))
    narrow = Image.fromarray(np.full((3, 4, 3), blue, np.uint8))
    whole = grids.stack_sheets([wide, narrow])

    assert whole.size == (5, 5)
    assert boxes_of(whole, red) == (0, 0, 5, 2)
    assert boxes_of(whole, blue) == (0, 2, 4, 5)
    assert whole.getpixel((4, 4)) == WHITE
