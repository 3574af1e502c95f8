"""tools/make_tfrecords.py --manifest: works, faces, contents, and rights."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import commands
from helpers.commands import read_output, tool
from helpers.pictures import make_pictures
from tfstyle.analysis.reporting.report import _tabulate_rights
from tfstyle.data import records
from tfstyle.data.catalogs.manifests import read_manifest
from tfstyle.data.collections import splits
from tfstyle.data.examples import read_example
from tfstyle.data.pictures import load_upright
from tfstyle.data.pictures.faces import Face, cut_face

SMALL = ("--image_size=16", "--min_images_per_artist=3", "--min_test_images=1")


@pytest.fixture
def folder(tmp_path):
    """Two artists with 6 pictures of 40x40 pixels."""
    return make_pictures(tmp_path / "pictures", ["a", "b"], size=40)


def list_works(folder, **changes):
    """Return a row for each picture; changes are functions of artist and number."""
    return [
        {
            "path": f"{artist}/{number}.png",
            "artist": artist.upper(),
            **{name: make(artist, number) for name, make in changes.items()},
        }
        for artist in "ab"
        for number in range(6)
    ]


def make_records(folder, rows, *flags):
    manifest = folder / "works.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    manifest.write_text("\n".join(lines))
    output = folder.parent / "records"
    done = commands.run(
        tool("make_tfrecords"),
        *SMALL,
        *(f"--manifest={manifest}", f"--output_dir={output}"),
        *flags,
    )
    return done, output


def read_examples(output):
    """Return the split of each example, and the example."""
    dataset = records.read_dataset(str(output))
    return [
        (split, read_example(record.numpy()))
        for split, _, path in dataset.list_shards()
        for record in tf.data.TFRecordDataset(path)
    ]


def decode(example):
    return np.asarray(Image.open(io.BytesIO(example.encoded)))


def test_works_are_as_the_manifest_lists_them(folder):
    """With faces that lie at 5, 5 in one artist's pictures, tilted by 30 degrees."""
    rows = list_works(
        folder,
        content=lambda artist, number: f"glyph {number}",
        licence=lambda artist, number: "CC0" if artist == "a" else "",
        creator=lambda artist, number: "Ana" if artist == "a" else "",
    )
    for row in rows[:6]:
        row.update(box=[5, 5, 20, 20], angle=30)
    done, output = make_records(folder, rows)

    assert "artists    2" in read_output(done)
    dataset = records.read_dataset(str(output))
    assert dataset.artist_names == ["A", "B"]
    assert dataset.contents == tuple(f"glyph {number}" for number in range(6))
    rights = {(r.licence, r.creator): r.pictures for r in dataset.rights}
    assert rights == {("CC0", "Ana"): 6, ("", ""): 6}
    assert _tabulate_rights(dataset)[1:] == [
        ["unknown", "unknown", 6],
        ["CC0", "Ana", 6],
    ]
    examples = read_examples(output)
    assert len(examples) == 12
    for _, example in examples:
        name = example.filename
        number = int(name[2])
        assert (example.content_label, example.content_text) == (
            number,
            f"glyph {number}",
        )
        whole = load_upright(folder / name)
        if example.artist == "A":
            expected = cut_face(whole, Face(5, 5, 20, 20, 30), 16)
        else:
            expected = whole.resize((16, 16), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(decode(example), expected)


def test_faulty_rows_are_named_counted_and_left_out(folder):
    rows = list_works(folder)
    rows += ["{", {"path": "a/9.png", "artist": "A"}]
    rows += [{**rows[0], "box": [0, 0, -1, 5]}, {**rows[0], "boxes": 1}]
    rows += [{**rows[0], "box": [900, 900, 20, 20]}, {**rows[0], "box": [0, 0, 2, 2]}]
    done, output = make_records(folder, rows, "--max_skipped_fraction=0.5")

    text = read_output(done)
    for part in ("row 13: no_json", "row 15: bad_box", "row 16: unknown_key, boxes"):
        assert part in text
    skipped = records.read_dataset(str(output)).skipped
    assert skipped == {
        **{"no_json": 1, "missing_file": 1, "bad_box": 1, "unknown_key": 1},
        **{"face_outside": 1, "too_small": 1},
    }
    table = (output / records.SKIPPED_FILE).read_text()
    assert "a/9.png\tmissing_file" in table
    assert "works.jsonl:13\tno_json" in table


def test_faces_of_a_picture_stay_in_one_split(folder):
    """Two faces in each picture: 12 examples for each artist, in whole pictures."""
    rows = list_works(folder, box=lambda artist, number: [0, 0, 20, 20])
    rows += list_works(folder, box=lambda artist, number: [20, 20, 20, 20])
    done, output = make_records(folder, rows, "--min_test_images=4")
    read_output(done)
    sides = {}
    for split, example in read_examples(output):
        sides.setdefault(example.filename.partition("#")[0], []).append(split)
    assert len(sides) == 12
    assert all(len(splits) == 2 and len(set(splits)) == 1 for splits in sides.values())


def test_excluded_artists_and_dropped_faces_are_out(folder):
    rows = list_works(folder, artist=lambda artist, number: artist * 2)
    make_pictures(folder, ["c"], count=4, size=40)
    rows += [{"path": f"c/{number}.png", "artist": "Cé"} for number in range(4)]
    names = folder.parent / "no.txt"
    names.write_text("cé\n")
    manifest = folder / "works.jsonl"
    make_records(folder, rows)
    key = read_manifest(str(manifest))[0][0].key
    decisions = folder.parent / "decisions.json"
    decisions.write_text(json.dumps({"format": 1, "dropped": [key, "unknown"]}))

    done, output = make_records(
        folder,
        rows,
        *(f"--exclude_artists={names}", f"--decisions={decisions}", "--overwrite"),
    )

    text = read_output(done)
    assert "1 decision about" in text and "1 artist, 4 pictures" in text
    dataset = records.read_dataset(str(output))
    assert dataset.artist_names == ["aa", "bb"]
    assert dataset.skipped == {"excluded_artist": 4, "dropped_in_review": 1}


def test_works_of_excluded_artists_stay_out_whatever_a_row_says(folder):
    """By creator, by folder, by a faulty row, and as copies with other boxes."""
    rows = list_works(folder)
    make_pictures(folder, ["c", "a/c"], count=4, size=40)
    rows += [{"path": f"c/{number}.png", "artist": "c"} for number in range(3)]
    rows[-1]["box"] = [5, 5, 20, 20]
    # Faulty; the same file by another artist.
    rows += [{"path": "c/3.png", "artist": "c", "box": [0, 0, -1, 5]}]
    rows += [{"path": "c/3.png", "artist": "A", "box": [0, 0, 20, 20]}]
    # Other files of excluded works, of which other parts are used.
    for number in (0, 2, 3):
        picture = Image.open(folder / "c" / f"{number}.png").convert("RGB")
        picture.save(folder / "b" / f"again{number}.bmp")
        row = {"path": f"b/again{number}.bmp", "artist": "B", "box": [9, 3, 22, 22]}
        rows.append(row)
    rows += [{"path": "a/c/1.png", "artist": "A"}]
    rows += [{"path": "a/c/2.png", "artist": "A", "creator": "C"}]
    names = folder.parent / "no.txt"
    names.write_text("c\n")

    done, output = make_records(folder, rows, f"--exclude_artists={names}")

    text = read_output(done)
    dataset = records.read_dataset(str(output))
    assert dataset.artist_names == ["A", "B"]
    assert dataset.num_examples(*splits.SPLITS) == len(list_works(folder))
    assert sum(dataset.skipped.values()) == len(rows) - len(list_works(folder))
    table = (output / records.SKIPPED_FILE).read_text()
    for number in (0, 2, 3):
        assert f"b/again{number}.bmp\tcopy_of_excluded\tc/{number}.png" in table
    assert "excluded   " in text


def test_links_to_the_works_of_an_excluded_artist_stay_out(folder):
    """A linked folder and a linked file, named by rows of other artists."""
    make_pictures(folder, ["c"], count=4, size=40)
    (folder / "zz").symlink_to("c")
    (folder / "a" / "x.png").symlink_to("../c/3.png")
    elsewhere = make_pictures(folder.parent / "elsewhere", ["c"], count=2, size=40)
    (folder / "yy").symlink_to(elsewhere / "c")
    rows = list_works(folder)
    links = [*(f"zz/{number}.png" for number in range(3)), "a/x.png", "yy/0.png"]
    rows += [{"path": path, "artist": "Zed"} for path in links]
    names = folder.parent / "no.txt"
    names.write_text("c\n")

    done, output = make_records(folder, rows, f"--exclude_artists={names}")

    assert "excluded   1 artist, 5 pictures" in read_output(done)
    dataset = records.read_dataset(str(output))
    assert dataset.artist_names == ["A", "B"]
    assert dataset.skipped == {"excluded_artist": 5}


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ([], [], "lists no usable picture (it is empty)"),
        (["{"], [], "lists no usable picture (1 no_json)"),
        (
            [{"path": "nowhere.png", "artist": "a"}],
            [],
            "lists no usable picture (1 missing_file); paths are relative to",
        ),
        ([], ["--decisions=missing.json"], "--decisions=missing.json: No such file"),
        ([], ["--manifest=works.txt"], "must end in one of .jsonl"),
    ],
)
def test_a_manifest_without_works_is_one_line(folder, rows, flags, message):
    done, output = make_records(folder, rows, *flags)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith("error: ") and message in line
    assert not output.exists()


def test_decisions_need_their_manifest(folder):
    done = commands.run(
        tool("make_tfrecords"),
        *(f"--input_dir={folder}", f"--output_dir={folder.parent / 'records'}"),
        "--decisions=decisions.json",
    )
    assert "--decisions needs the --manifest" in done.stderr
