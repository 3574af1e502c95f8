"""Records made from a zip or tar file of folders."""

import json
import pathlib
import shutil
import tarfile
import zipfile

import pytest

from helpers import commands
from helpers.pictures import make_pictures
from tfstyle.core import names

TOOL = commands.tool("make_tfrecords")
SMALL = ("--image_size=8", "--min_images_per_artist=4", "--min_test_images=1")


def run(input_dir, output_dir, *flags):
    return commands.run(
        TOOL, f"--input_dir={input_dir}", f"--output_dir={output_dir}", *SMALL, *flags
    )


def error_line(result) -> str:
    """Return the line of an error, which follows lines on the progress."""
    assert result.returncode == 1, result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "error: " in line)
    return line


def content_of(folder) -> dict[str, bytes]:
    """Return the files, without the sources' times and sizes in dataset.json."""
    content = {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}
    index = json.loads(content["dataset.json"])
    del index["settings"]["sources"]
    return {**content, "dataset.json": index}


def skipped_in(folder) -> dict[str, str]:
    lines = pathlib.Path(folder, "skipped.tsv").read_text().splitlines()[1:]
    return {name: reason for name, reason, _ in (line.split("\t") for line in lines)}


@pytest.fixture
def pictures(tmp_path) -> pathlib.Path:
    """Two artists with inner folders, and what is left out."""
    folder = make_pictures(tmp_path / "collection", ["a", "Dürer"])
    make_pictures(folder, ["a/inner"], 2)
    make_pictures(folder, ["@eaDir/a", ".cache"], 1)
    (folder / "a" / "notes.txt").write_text("notes")
    (folder / "a" / "0.zip").write_bytes(b"PK\3\4")
    shutil.copy(folder / "a" / "0.png", folder / "loose.png")
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.mark.parametrize(
    ("suffix", "top"), [("zip", ""), ("tar.gz", "data/collection")]
)
def test_records_equal_those_of_the_unpacked_folder(pictures, tmp_path, suffix, top):
    path = tmp_path / f"in.{suffix}"
    files = [file for file in pictures.rglob("*") if file.is_file()]
    named = [(file, f"{top}/{file.relative_to(pictures)}".strip("/")) for file in files]
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file, name in named:
                archive.write(file, name)
    else:
        with tarfile.open(path, f"w:{suffix.partition('.')[2]}") as archive:
            for file, name in named:
                archive.add(file, name)
    output = commands.read_output(run(path, tmp_path / "archive"))
    commands.read_output(run(pictures, tmp_path / "folder"))
    assert content_of(tmp_path / "archive") == content_of(tmp_path / "folder")
    assert (f"note: the artist folders are in {top}" in output) == bool(top)
    again = commands.read_output(run(path, tmp_path / "archive"))
    assert "up to date" in again
    assert not list((tmp_path / "archive").glob(".*"))


def test_members_that_are_left_out_are_counted_and_named(pictures, tmp_path):
    path = tmp_path / "in.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(pictures, "top")
        link = tarfile.TarInfo("top/a/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("../up.png"))
        archive.addfile(tarfile.TarInfo("beside.png"))
    result = run(path, tmp_path / "out")
    output = commands.read_output(result)
    assert f"note: 1 member of {path} left out: link_in_archive, the" in output
    assert " impossible_path, the first is ../up.png" in output
    skipped = skipped_in(tmp_path / "out")
    assert skipped["a/link.png"] == "link_in_archive"
    assert skipped["../up.png"] == "impossible_path"
    assert skipped["beside.png"] == skipped["loose.png"] == "beside_artists"
    assert skipped["a/0.zip"] == skipped["a/notes.txt"] == "not_a_picture"
    assert not (tmp_path / "up.png").exists()


def test_names_in_another_encoding_are_kept(tmp_path):
    name = "高橋".encode("cp932")
    folder = make_pictures(tmp_path / "in", [names.to_path(names.decode(name)), "b"])
    with tarfile.open(tmp_path / "in.tar", "w") as archive:
        archive.add(folder, ".")
    excluded = tmp_path / "excluded.txt"
    excluded.write_text("高橋\n")  # in UTF-8
    out = tmp_path / "out"
    commands.read_output(run(tmp_path / "in.tar", out))
    dataset = json.loads((out / "dataset.json").read_text())
    assert names.decode(name) in [artist["name"] for artist in dataset["artists"]]
    result = run(
        *(tmp_path / "in.tar", out, "--overwrite", f"--exclude_artists={excluded}")
    )
    # Without this artist there is only one.
    assert "1 artist left to train on (b, " in error_line(result)


@pytest.mark.parametrize("damage", ["cut", "suffix", "empty", "broken pictures"])
def test_mistakes_name_the_archive_and_leave_nothing_behind(pictures, tmp_path, damage):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, file in enumerate(sorted(pictures.glob("*/*.png"))):
            if damage != "empty":
                broken = b"" if damage == "broken pictures" else file.read_bytes()
                archive.writestr(f"{'ab'[number % 2]}/{number}.png", broken)
    words = {
        "cut": f"{path} is cut short, damaged, or no archive",
        "suffix": f"--input_dir={tmp_path}/in.rar is neither a folder nor an archive",
        "empty": f"{path} holds no folders",
        "broken pictures": f"the first is {path}/a/0.png (",
    }[damage]
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "suffix":
        path = path.rename(tmp_path / "in.rar")
    assert words in error_line(run(path, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_manifest_lists_pictures_of_an_archive(pictures, tmp_path):
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in pictures.glob("*/*.png"):
            archive.write(file, f"works/{file.parent.name}-{file.name}")
    manifest = tmp_path / "works.jsonl"
    rows = [
        {"path": f"works/{artist}-{number}.png", "artist": artist}
        for artist in ("a", "Dürer")
        for number in range(6)
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = commands.read_output(run(path, tmp_path / "out", f"--manifest={manifest}"))
    assert "artists    2" in output
    assert skipped_in(tmp_path / "out") == {}
