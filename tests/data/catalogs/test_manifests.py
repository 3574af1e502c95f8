"""Manifests in each format, and the rows that cannot be used."""

import json
import os
import sys

import pytest

from tfstyle.core.cli import UserError
from tfstyle.data.catalogs import manifests
from tfstyle.data.catalogs.manifests import Entry, Fault
from tfstyle.data.pictures.faces import Face

ROW = {"path": "ana/1.png", "artist": "ana"}


def read(tmp_path, *lines, name="manifest.jsonl"):
    path = tmp_path / name
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts))
    return manifests.read_manifest(str(path))


def test_a_row_may_hold_everything(tmp_path):
    row = {
        **ROW,
        "box": [1, 2.5, 30, 40],
        "angle": -12,
        "likelihood": 0.75,
        "group": 17,
        "content": "A",
        "license": "CC0",
        "creator": "Ana",
    }
    entries, faults, ignored = read(tmp_path, ROW, row)

    assert entries == [
        Entry(1, "ana/1.png", "ana"),
        Entry(
            *(2, "ana/1.png", "ana", Face(1, 2.5, 30, 40, -12), 0.75),
            *("17", "A", "CC0", "Ana"),
        ),
    ]
    assert not faults and not ignored


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.jsonl"])
def test_a_list_of_objects_is_read_like_lines(name, indent, tmp_path):
    rows = [ROW, {"path": "b.png"}, {**ROW, "path": "c.png"}]

    entries, faults, _ = read(tmp_path, json.dumps(rows, indent=indent), name=name)

    assert entries == [Entry(1, "ana/1.png", "ana"), Entry(3, "c.png", "ana")]
    assert [(fault.row, fault.reason) for fault in faults] == [(2, "no_artist")]


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        ("{", "no_json", "Expecting"),
        ("[1, 2]", "no_object", "must be an object"),
        ({"path": "a.png"}, "no_artist", "artist is missing"),
        ({"artist": "ana"}, "no_path", "path is missing"),
        ({**ROW, "boxx": [1, 2, 3, 4]}, "unknown_key", "boxx is none of angle, artist"),
        ({**ROW, "box": [1, 2, 0, 4]}, "bad_box", "above 0, got 0 and 4"),
        ({**ROW, "box": [1, 2, 3, -4]}, "bad_box", "above 0, got 3 and -4"),
        ({**ROW, "box": [1, 2, 3]}, "bad_box", "must be [x, y, width, height]"),
        ({**ROW, "box": 7}, "bad_box", "must be [x, y, width, height]"),
        ({**ROW, "box": {}}, "bad_box", "must be [x, y, width, height]"),
        ({**ROW, "box": [1, 2, "x", 4]}, "bad_number", "got 'x'"),
        ('{"path": "a", "artist": "b", "box": [1, 2, NaN, 4]}', "bad_box", "finite"),
        ({**ROW, "box": [1, 2, 3, 4], "angle": "up"}, "bad_number", "got 'up'"),
        ({**ROW, "angle": 5}, "bad_box", "an angle needs a box"),
        ({**ROW, "artist": ["ana"]}, "bad_artist", "must be text"),
        ({**ROW, "likelihood": [1]}, "bad_number", "got [1]"),
        ('{"path": "\\ud800.png", "artist": "ana"}', "bad_path", "half a character"),
        ('{"path": "a.png", "artist": "\\ud800"}', "bad_artist", "half a character"),
        ({**ROW, "path": "a\0b"}, "bad_path", "zero character"),
        ("[" * 100_000, "no_json", "recursion"),
    ],
)
def test_a_faulty_row_is_named_and_the_others_used(tmp_path, line, reason, detail):
    entries, (fault,), _ = read(tmp_path, ROW, line, ROW)
    assert [entry.row for entry in entries] == [1, 3]
    assert (fault.row, fault.reason) == (2, reason)
    assert detail in fault.detail


def test_a_line_in_another_encoding_is_one_faulty_row(tmp_path):
    path = tmp_path / "manifest.jsonl"
    good = json.dumps(ROW).encode()
    path.write_bytes(b"\xef\xbb\xbf" + good + b'\n{"path": "\xff"}\n\n' + good)
    entries, faults, _ = manifests.read_manifest(str(path))
    assert [entry.row for entry in entries] == [1, 4]
    assert [(fault.row, fault.reason) for fault in faults] == [(2, "no_json")]


def test_csv_has_boxes_as_text_and_empty_cells(tmp_path):
    entries, faults, _ = read(
        tmp_path,
        "path,artist,box,angle,group",
        'ana/1.png,ana,"[1, 2, 3, 4]",5,',
        "ana/2.png,ana,1 2 3 4,,g",
        "ana/3.png,ana,,,",
        "ana/4.png,ana,,,,too,many",
        name="manifest.csv",
    )
    assert [entry.face for entry in entries] == [
        Face(1, 2, 3, 4, 5),
        Face(1, 2, 3, 4),
        None,
    ]
    assert [entry.group for entry in entries] == ["", "g", ""]
    assert faults == [Fault(5, "no_table", "has too many cells")]


def test_metadata_of_an_imagefolder_is_read(tmp_path):
    """Artists are folders, unless a column names them; captions do not matter."""
    rows = [{"file_name": "ana/1.png", "text": "a cat"}]
    rows += [{"file_name": "2.png", "artist": "ben", "text": "a dog"}]
    entries, faults, ignored = read(tmp_path, *rows, name="metadata.jsonl")
    assert [(entry.path, entry.artist) for entry in entries] == [
        ("ana/1.png", "ana"),
        ("2.png", "ben"),
    ]
    assert not faults and ignored == {"text": 1}


def test_an_entry_is_known_by_picture_and_face(tmp_path):
    entries, _, _ = read(
        tmp_path,
        ROW,
        {**ROW, "group": "g"},
        {**ROW, "box": [1, 2, 3, 4]},
        {**ROW, "box": [1, 2, 3, 4], "angle": 1},
        {**ROW, "path": "ana/2.png"},
    )
    keys = [entry.key for entry in entries]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("manifest.txt", "must end in one of .jsonl, .json, .csv, .parquet"),
        ("missing.jsonl", "No such file"),
    ],
)
def test_no_manifest_is_an_error(tmp_path, name, message):
    path = tmp_path / name
    if name.startswith("manifest"):
        path.write_text("")
    with pytest.raises(UserError, match=message):
        manifests.read_manifest(str(path))


@pytest.mark.parametrize(
    "failure", ["pyarrow requires NumPy 2.0 or newer, found 1.26.4", None]
)
def test_without_a_working_pyarrow_the_error_says_what_is_wrong(
    tmp_path, monkeypatch, failure
):
    """It is missing, or there but made for other versions of its requirements."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    if failure:
        broken = tmp_path / "packages" / "pyarrow"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text(f"raise ImportError({failure!r})")
        monkeypatch.delitem(sys.modules, "pyarrow")
        monkeypatch.syspath_prepend(tmp_path / "packages")
    path = tmp_path / "manifest.parquet"
    path.write_bytes(b"")
    with pytest.raises(UserError) as caught:
        manifests.read_manifest(str(path))
    assert "Parquet needs the package pyarrow" in str(caught.value)
    assert (failure or "None in sys.modules") in str(caught.value)
    install = "pip install -c tools/constraints.txt '.[parquet]'"
    assert str(caught.value).endswith(install)


def test_decisions_are_read_back(tmp_path):
    path = tmp_path / "decisions.json"
    path.write_text('{"format": 1, "dropped": ["a", "b"]}')
    assert manifests.read_decisions(str(path)) == {"a", "b"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2, "dropped": []}'])
def test_something_else_holds_no_decisions(tmp_path, text):
    path = tmp_path / "decisions.json"
    path.write_text(text)
    with pytest.raises(UserError, match="was not saved by the page"):
        manifests.read_decisions(str(path))


def test_a_row_of_csv_with_a_wrong_quote_is_one_fault(tmp_path):
    """And a cell of a million characters is none."""
    rows = ["path,artist,content", "1.png,a,", '"2.png"y,a,', f"3.png,a,{'x' * 10**6}"]
    entries, (fault,), _ = read(tmp_path, *rows, name="manifest.csv")
    assert [entry.path for entry in entries] == ["1.png", "3.png"]
    assert (fault.row, fault.reason) == (3, "no_table")


def test_a_quote_that_is_not_closed_is_an_error_rather_than_lost_rows(tmp_path):
    rows = ["path,artist", "1.png,a", '"2.png,a', "3.png,a"]
    with pytest.raises(UserError, match="row 3: a quote is not closed there"):
        read(tmp_path, *rows, name="manifest.csv")


def test_pipes_are_refused(tmp_path):
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    for read_file in (manifests.read_manifest, manifests.read_decisions):
        with pytest.raises(UserError, match="is not a file"):
            read_file(str(path))


def test_a_file_has_one_path_in_any_spelling(tmp_path):
    """As names in the records, the spellings stay as they are, and are unique."""
    (tmp_path / "A").mkdir()
    for name in ("0.png", "1.png", "0.png#2"):
        (tmp_path / "A" / name).write_bytes(name.encode())
    (tmp_path / "link.png").symlink_to("A/0.png")
    spellings = ["A/0.png", "./A/0.png", "A//0.png", "A/../A/0.png", "link.png"]
    spellings += [str(tmp_path / "A" / "0.png"), "A/0.png", "A/1.png", "A/0.png#2"]
    rows = [{"path": path, "artist": "ana"} for path in spellings]
    entries, _, _ = read(tmp_path, *rows)

    sources, skipped = manifests.list_sources(entries, str(tmp_path))

    assert not skipped
    paths = [source.path for source in sources]
    assert len(set(paths[:7])) == 1
    assert [path.rpartition("/")[2] for path in paths[6:]] == [
        *("0.png", "1.png", "0.png#2")
    ]
    assert [source.name for source in sources] == [
        *(*spellings[:6], "A/0.png#2#", "A/1.png", "A/0.png#2")
    ]


@pytest.mark.parametrize("head", ["Path,Artist", "path;artist", "a/1.png,a"])
def test_a_table_without_the_column_path_is_one_error(tmp_path, head):
    with pytest.raises(UserError, match="has no column 'path', but .*commas") as caught:
        read(tmp_path, head, *["a/1.png,a"] * 100, name="manifest.csv")
    assert head.split(",")[0] in str(caught.value)


@pytest.mark.parametrize("name", ["m.csv", "m.json", "m.jsonl"])
def test_utf_16_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_text("path,artist", "utf-16")
    with pytest.raises(UserError, match="is UTF-16 text: save it as UTF-8"):
        manifests.read_manifest(str(path))


def test_faults_of_a_reason_are_counted_after_some(tmp_path):
    rows = [f"{n}.png,a,x" for n in range(100)] + [",a"]
    _, faults, _ = read(tmp_path, "path,artist,mood", *rows, name="m.csv")
    assert len(faults) == 101
    lines = manifests.describe_faults("m.csv", faults)
    assert len(lines) == 12
    assert lines[0].startswith("m.csv, row 2: unknown_key, mood is none of")
    assert lines[10] == "m.csv: unknown_key in 90 more rows"
    assert lines[11].startswith("m.csv, row 102: no_path")


def test_rows_of_parquet_that_python_cannot_hold_are_faults(tmp_path):
    arrow = pytest.importorskip("pyarrow", exc_type=ImportError)
    from pyarrow import parquet

    paths = arrow.array([b"1.png", b"\xff.png", b"3.png", b"4.png"])
    times = arrow.array([None, None, 2**62, None], arrow.timestamp("us"))
    texts = arrow.Array.from_buffers(arrow.string(), 4, paths.buffers())
    columns = {"path": texts, "artist": ["a", "a", "a", None], "content": times}
    path = tmp_path / "manifest.parquet"
    parquet.write_table(arrow.table(columns), path)

    entries, faults, _ = manifests.read_manifest(str(path))

    assert entries == [Entry(1, "1.png", "a")]
    assert [(fault.row, fault.reason) for fault in faults] == [
        *((2, "no_value"), (3, "no_value"), (4, "no_artist"))
    ]
    parquet.write_table(arrow.table({"Path": ["1.png"]}), path)
    with pytest.raises(UserError, match="has no column 'path', but Path"):
        manifests.read_manifest(str(path))


def test_nan_is_a_missing_value(tmp_path):
    """As pandas writes them, in all columns."""
    keys = ["box", "angle", "likelihood", "group", "content", "licence", "creator"]
    row = {"path": "1.png", "artist": "ana"} | dict.fromkeys(keys, float("nan"))
    entries, faults, _ = read(tmp_path, row, {**row, "artist": float("nan")})
    assert entries == [Entry(1, "1.png", "ana")]
    assert [(fault.row, fault.reason) for fault in faults] == [(2, "no_artist")]


@pytest.mark.parametrize("angle", [0, 0.0, "0", "0.0", "-0", ""])
def test_without_a_box_an_angle_may_be_zero(tmp_path, angle):
    entries, faults, _ = read(tmp_path, {**ROW, "angle": angle})
    assert (len(entries), faults) == (1, [])


def test_copies_of_an_excluded_artists_works_are_out(tmp_path):
    """The file itself under another name, and an equal file; another file stays."""
    for name, data in (("1.png", b"one"), ("2.png", b"one"), ("3.png", b"two")):
        (tmp_path / name).write_bytes(data)
    rows = [{"path": "1.png", "artist": "ana"}]
    rows += [{"path": f"{number}.png", "artist": "ben"} for number in (1, 2, 3)]
    rows += [{"path": f"{'x' * 300}.png", "artist": "ben"}]
    entries, _, _ = read(tmp_path, *rows)

    sources, skipped = manifests.list_sources(entries, str(tmp_path), {"ana"})

    assert [source.name for source in sources] == ["3.png"]
    reasons = sorted(reason for _, reason in skipped)
    assert reasons == ["copy_of_excluded"] * 2 + ["excluded_artist", "missing_file"]


def test_works_are_excluded_by_artist_creator_or_folder(tmp_path):
    names = ("ana/1.png", "x/Ana B/2.png", "x/3.png", "x/4.png", "Ana/5.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    rows = [{"path": name, "artist": "ben"} for name in names]
    rows[2]["creator"] = "ana"
    entries, _, _ = read(tmp_path, *rows)

    sources, skipped = manifests.list_sources(entries, str(tmp_path), {"ana"})

    assert [source.name for source in sources] == [names[1], names[3], names[4]]
    assert skipped == [(names[0], "excluded_artist"), (names[2], "excluded_artist")]
    assert manifests.list_names(entries) == {"ana", "ben", "x", "Ana B", "Ana"}


def test_a_faulty_row_tells_whose_work_it_is_where_it_can(tmp_path):
    bad = [
        {**ROW, "box": [0, 0, -1, 5]},
        {**ROW, "unknown": 1},
        {**ROW, "content": [], "creator": "eva"},
        {"file_name": "c/d.png", "box": 3},
        {"artist": "ana"},
        [],
    ]
    _, faults, _ = read(tmp_path, *bad, "{")
    owners = [
        fault.entry and (fault.entry.path, fault.entry.artist, fault.entry.creator)
        for fault in faults
    ]
    ana = (ROW["path"], ROW["artist"], "")
    assert owners == [ana, ana, (*ana[:2], "eva"), ("c/d.png", "c", ""), *[None] * 3]
