"""`tools/inspect_tfrecords.py` as a user runs it."""

import pathlib
import re
import shutil

import pytest
import tensorflow as tf
from PIL import Image

from helpers.commands import error_line, read_output, run, tool

TOOL = tool("inspect_tfrecords")


@pytest.fixture
def folder(small_records, tmp_path) -> pathlib.Path:
    """A copy of the small records: 3 artists with 20, 2 and 4 pictures."""
    return pathlib.Path(shutil.copytree(small_records.records_dir, tmp_path / "r"))


def table_in(output: str) -> list[list[str]]:
    return [
        line.split()
        for line in output.splitlines()
        if re.match(r" +(label|\d+|total) ", line)
    ]


def test_pictures_are_counted_per_artist_and_split(folder, small_records):
    output = read_output(run(TOOL, str(folder)))

    assert table_in(output) == [
        ["label", "train", "validation", "test", "artist"],
        *(
            [str(label), "20", "2", "4", name]
            for label, name in enumerate(small_records.artist_names)
        ),
        ["total", "60", "6", "12"],
    ]
    assert "pictures   32x32 pixels, crop, on #ffffff\n" in output
    size = sum(path.stat().st_size for path in folder.glob("*.tfrecord"))
    assert f"records    {folder}: 6 files, {size / 2**20:.1f} MiB\n" in output


def test_sizes_and_features_are_summarized(folder, small_records):
    lines = read_output(run(TOOL, str(folder))).splitlines()

    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    for split, examples in {"train": 60, "validation": 6, "test": 12, "": 78}.items():
        paths = list(folder.glob(f"{split}*.tfrecord"))
        size = sum(path.stat().st_size for path in paths)
        expected = [
            len(paths),
            examples,
            f"{size / 2**20:.1f}",
            f"{size / examples:.0f}",
        ]
        line = next(line for line in lines if line.startswith(split or "total"))
        assert line.split()[1:] == list(map(str, expected))
    (record,) = tf.data.TFRecordDataset(small_records.shard_paths("test")).take(1)
    features = tf.train.Example.FromString(record.numpy()).features.feature
    kinds = {"bytes_list": "string", "int64_list": "int64"}
    shown = {name: row[:2] for name, row in rows.items() if name.startswith("image/")}
    assert shown == {
        name: [kinds[feature.WhichOneof("kind")], "[]"]
        for name, feature in features.items()
    }
    assert " ".join(rows["image/encoded"][2:]) == "png of uint8 [32, 32, 3]"


def test_the_same_is_counted_without_dataset_json(folder):
    expected = table_in(read_output(run(TOOL, str(folder))))
    (folder / "dataset.json").unlink()

    output = read_output(run(TOOL, str(folder), "--verify"))

    assert table_in(output) == expected
    assert f"note: {folder} has no dataset.json" in output
    assert output.endswith("all records are intact\n")


def test_intact_records_are_verified(folder):
    output = read_output(run(TOOL, "--verify", str(folder)))

    assert output.endswith("all records are intact\n")


@pytest.mark.parametrize("index", ["intact", "missing", "corrupt"])
def test_each_fault_is_listed_with_its_place_and_the_exit_code_is_1(folder, index):
    path = folder / "test-00001-of-00002.tfrecord"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    content[-1] ^= 1
    path.write_bytes(content)
    if index == "missing":
        (folder / "dataset.json").unlink()
    elif index == "corrupt":
        (folder / "dataset.json").write_text("{}")

    done = run(TOOL, str(folder), "--verify")

    faults = [line for line in done.stdout.splitlines() if " is corrupt" in line]
    places = [fault.split(" is corrupt")[0] for fault in faults]
    assert f"record 0 (from byte 0) of {path}" in places
    assert any(re.match(rf"record 5 \(from byte \d+\) of {path}", p) for p in places)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {len(faults)} faults in {folder}"


def test_files_that_are_not_those_of_dataset_json_are_named_without_verifying(folder):
    path = folder / "train-00000-of-00002.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    (folder / "test-00000-of-00002.tfrecord").unlink()
    (folder / "test-00000-of-00009.tfrecord").touch()

    done = run(TOOL, str(folder))

    assert f"{path} has " in done.stdout
    assert "test-00000-of-00002.tfrecord is missing\n" in done.stdout
    assert "test-00000-of-00009.tfrecord is not listed in dataset.json" in done.stdout
    assert error_line(done) == f"error: 2 faults in {folder}"


@pytest.mark.parametrize("index", [True, False])
def test_no_name_of_a_folder_or_file_forges_a_line(folder, tmp_path, index):
    forged = folder.rename(tmp_path / "r\nall records are intact\\")
    if not index:
        (forged / "dataset.json").unlink()
    shard = forged / "train-00000-of-00002.tfrecord"
    shutil.copyfile(shard, forged / "train-00007-of-00008.tfrecord")
    shard.write_bytes(shard.read_bytes()[:-1])
    sheet = tmp_path / "s\nall records are intact.png"

    done = run(TOOL, str(forged), "--verify", f"--sheet={sheet}")

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("all records")]
    shown = rf"{tmp_path}/r\nall records are intact\\"
    (counted,) = (line for line in lines if line.startswith("records "))
    assert counted.startswith(f"records    {shown}: ")
    assert any(line.startswith("note: ") and shown in line for line in lines)
    assert rf"sheet      {tmp_path}/s\nall records are intact.png" in lines


@pytest.mark.parametrize("index", [True, False])
def test_the_sheet_has_a_row_for_each_artist(folder, tmp_path, index):
    if not index:
        (folder / "dataset.json").unlink()
    sheet = tmp_path / "sheet.png"

    read_output(run(TOOL, str(folder), f"--sheet={sheet}"))

    with Image.open(sheet) as image:
        # Pictures of 32 pixels are enlarged three times, 8 in each of 3 rows.
        assert image.width > 8 * 96 and 3 * 96 < image.height < 4 * 96
    assert "already exists" in error_line(run(TOOL, str(folder), f"--sheet={sheet}"))
    read_output(run(TOOL, str(folder), f"--sheet={sheet}", "--overwrite"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "pass one records folder, got 0"),
        (["a", "b"], "pass one records folder, got 2"),
        (["nowhere"], "there is no folder nowhere"),
        (["."], ". holds no records"),
        ([".", "--sheet=a.jpg"], "--sheet must be a .png file"),
    ],
)
def test_misuse_is_one_line(arguments, message, tmp_path):
    assert message in error_line(run(TOOL, *arguments, cwd=tmp_path))
