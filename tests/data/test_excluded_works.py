"""Works of an artist who said no stay out, in whatever file they lie."""

import dataclasses
import pathlib

import pytest
from PIL import Image

from helpers.pictures import PORTRAITS, make_pictures
from tfstyle.core.cli import UserError
from tfstyle.data import record_writer, records
from tfstyle.data.collections import sources
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.excluded_works import ExcludedWorks
from tfstyle.data.pictures import Conversion
from tfstyle.data.pictures.faces import Face

RULE = SplitRule(min_images_per_artist=4, min_test_images=1)
SIZE = 64


@pytest.fixture
def collection(tmp_path) -> pathlib.Path:
    """Artist a, excluded, and works of a in the folders of b and c."""
    root = make_pictures(tmp_path / "in", "bcd", size=SIZE)
    (root / "a").mkdir()
    for number, path in enumerate(sorted(PORTRAITS.glob("adventurer/*"))[:6]):
        work = Image.open(path).convert("RGB")
        work.save(root / "a" / f"{number}.png")
        if number == 0:  # equal pixels in another format
            work.save(root / "b" / "saved.bmp")
        if number == 1:  # twice, and once more as a larger JPEG
            work.save(root / "b" / "again.tiff")
            work.save(root / "c" / "again.webp", lossless=True)
            work.resize((96, 96)).save(root / "c" / "large.jpg", quality=85)
    return root


def write(root, folder, exclude, rule=RULE, **settings) -> records.Dataset:
    found, skipped = sources.scan_artist_folders(str(root), exclude)
    return record_writer.write_dataset(
        str(folder),
        found,
        Conversion(SIZE),
        rule,
        skipped=skipped,
        excluded=sources.list_excluded(str(root), skipped),
        **settings,
    )


def read_skipped(folder) -> dict[str, tuple[str, str]]:
    _, *rows = (
        line.split("\t") for line in (folder / "skipped.tsv").read_text().splitlines()
    )
    return {name: (reason, copy) for name, reason, copy in rows}


def test_equal_pixels_and_near_copies_of_excluded_works_stay_out(
    collection, tmp_path, caplog
):
    """Before, equal pixels were ambiguous; without the other artist they came in."""
    folder = tmp_path / "out"

    dataset = write(collection, folder, {"a"})

    rows = read_skipped(folder)
    assert {name: row for name, row in rows.items() if row[0] != sources.EXCLUDED} == {
        "b/saved.bmp": ("copy_of_excluded", "a/0.png"),
        "b/again.tiff": ("copy_of_excluded", "a/1.png"),
        "c/again.webp": ("copy_of_excluded", "a/1.png"),
        "c/large.jpg": ("near_copy_of_excluded", "a/1.png"),
    }
    assert dataset.num_examples("train", "validation", "test") == 3 * 6
    assert dataset.skipped["copy_of_excluded"] == 3
    (note,) = (text for text in caplog.messages if "nearly identical to works" in text)
    assert "c/large.jpg (a/1.png)" in note and "--nojoin_near_duplicates" in note


def test_near_copies_stay_in_with_near_duplicates_not_joined(collection, tmp_path):
    rule = dataclasses.replace(RULE, join_near_duplicates=False)

    dataset = write(collection, tmp_path / "out", {"a"}, rule)

    assert "near_copy_of_excluded" not in dataset.skipped
    assert dataset.skipped["copy_of_excluded"] == 3


def test_copies_are_found_by_several_processes_alike(collection, tmp_path, monkeypatch):
    monkeypatch.setattr("tfstyle.data.collections.conversion_pool._MIN_PER_WORKER", 2)

    one = write(collection, tmp_path / "one", {"a"})
    two = write(collection, tmp_path / "two", {"a"}, num_workers=2)

    assert dataclasses.replace(one, records_dir="") == dataclasses.replace(
        two, records_dir=""
    )


def test_a_large_copy_of_a_work_that_is_too_small_itself_stays_out(tmp_path):
    root = make_pictures(tmp_path / "in", "bc", size=SIZE)
    (root / "a").mkdir()
    work = Image.open(next(PORTRAITS.glob("adventurer/*"))).convert("RGB")
    work.resize((12, 12), Image.Resampling.BOX).resize((40, 40)).save(
        root / "b" / "large.png"
    )
    work.resize((12, 12), Image.Resampling.BOX).save(root / "a" / "small.png")

    write(root, tmp_path / "out", {"a"})

    reason, copy = read_skipped(tmp_path / "out")["b/large.png"]
    assert (reason, copy) == ("near_copy_of_excluded", "a/small.png")


def test_excluded_works_that_cannot_be_read_are_counted(tmp_path, caplog):
    make_pictures(tmp_path, "a", count=1)
    (tmp_path / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    works = [
        sources.Source(str(path), "a", path.name) for path in (tmp_path / "a").iterdir()
    ]

    ExcludedWorks(works, Conversion(8), 1, find_near=True)

    assert any(
        "1 work of excluded artists cannot be read" in m for m in caplog.messages
    )


def test_other_excluded_works_make_records_out_of_date(collection, tmp_path):
    found, skipped = sources.scan_artist_folders(str(collection), {"a"})
    works = sources.list_excluded(str(collection), skipped)
    settings = record_writer.make_settings(found, Conversion(SIZE), RULE, 0, works)
    without = record_writer.make_settings(found, Conversion(SIZE), RULE, 0, works[1:])

    dataset = write(collection, tmp_path / "out", {"a"})

    assert records.find_dataset(dataset.records_dir, settings) == dataset
    assert records.find_dataset(dataset.records_dir, without) is None


def test_a_collection_of_copies_alone_is_refused(collection, tmp_path):
    for folder in "bcd":
        for path in (collection / folder).iterdir():
            path.unlink()
        for number in range(4):
            work = Image.open(collection / "a" / f"{number}.png")
            work.save(collection / folder / f"{number}.bmp")

    with pytest.raises(UserError, match="no picture is usable; .*12 copy_of_excluded"):
        write(collection, tmp_path / "out", {"a"})


@pytest.mark.parametrize("find_near", [True, False])
def test_whole_pictures_are_compared_where_faces_are_cut_out(tmp_path, find_near):
    """Other boxes, another format, another size; a picture of its own stays."""
    paths = sorted(PORTRAITS.glob("adventurer/*"))[:3]
    works = [Image.open(path).convert("RGB") for path in paths]
    for number, work in enumerate(works):
        work.save(tmp_path / f"{number}.png")
    works[0].save(tmp_path / "equal.bmp")
    works[1].resize((96, 96)).save(tmp_path / "near.jpg", quality=85)
    excluded = [
        sources.Source(str(tmp_path / f"{number}.png"), "a", f"{number}.png", face=face)
        for number, face in ((0, Face(4, 4, 40, 40)), (1, None), (1, Face(9, 9, 9, 9)))
    ]
    files = ("equal.bmp", "near.jpg", "2.png")
    found = [
        sources.Source(str(tmp_path / file), "b", f"{file}#{number}", face=face)
        for file in files
        for number, face in enumerate((Face(20, 16, 30, 30), Face(1, 1, 50, 50)))
    ]

    finder = ExcludedWorks(excluded, Conversion(SIZE), 1, find_near)
    left = finder.drop_copies(found)

    assert left == found[2 * find_near + 2 :]
    near = [(f"near.jpg#{number}", "near_copy_of_excluded") for number in range(2)]
    assert finder.skipped == [
        *((f"equal.bmp#{number}", "copy_of_excluded") for number in range(2)),
        *(near if find_near else []),
    ]
    assert finder.copies["equal.bmp#1"] == "0.png"
