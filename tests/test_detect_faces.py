"""tools/detect_faces.py: drawn faces in a folder of artists, end to end."""

import json
import os

import pytest
from PIL import Image

from helpers import commands
from helpers.commands import error_line, read_output, tool
from tfstyle.data.catalogs.face_detection import draw_test_face
from tfstyle.data.catalogs.manifests import read_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A face, a face on its side, two faces, none, and no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    face = draw_test_face(120)
    side = Image.new("RGB", (200, 200), "white")
    side.paste(face.rotate(50, Image.Resampling.BICUBIC, fillcolor="white"), (40, 40))
    two = Image.new("RGB", (300, 150), "white")
    two.paste(face, (10, 10))
    two.paste(face, (170, 20))
    pictures = {"ana/1.png": face, "ana/2.png": side, "ben/1.png": two}
    pictures["ben/2.png"] = Image.new("RGB", (100, 100), "white")
    for name, picture in pictures.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    (folder / "ben" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return folder


def detect(folder, output, *flags):
    return commands.run(
        tool("detect_faces"), f"--input_dir={folder}", f"--output={output}", *flags
    )


def test_faces_become_a_manifest(folder, tmp_path):
    output = tmp_path / "faces.jsonl"
    text = read_output(detect(folder, output))

    assert "pictures   5, 1 without a face, 1 unusable" in text
    assert "unusable   ben/3.png: " in text
    assert "faces      4" in text
    entries, faults, _ = read_manifest(str(output))
    assert not faults
    assert [(entry.path, entry.artist) for entry in entries] == [
        *[("ana/1.png", "ana"), ("ana/2.png", "ana")],
        *[("ben/1.png", "ben"), ("ben/1.png", "ben")],
    ]
    angles = [entry.face.angle for entry in entries]
    assert angles == pytest.approx([0, 50, 0, 0], abs=6)
    assert not list(tmp_path.glob("*.partial"))
    assert "already exists" in error_line(detect(folder, output))


def test_works_of_excluded_artists_are_not_searched(folder, tmp_path):
    names, output = tmp_path / "no.txt", tmp_path / "faces.jsonl"
    names.write_text("Ben/\n")

    text = read_output(
        detect(folder, output, "--tilts=0", f"--exclude_artists={names}")
    )

    assert "pictures   2," in text and "unusable   ben" not in text
    assert {entry.artist for entry in read_manifest(str(output))[0]} == {"ana"}


def test_what_is_skipped_is_named_by_reason_and_no_name_forges_a_line(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "ana" / "@eaDir").mkdir(parents=True)
    draw_test_face(120).save(folder / "ana" / "1.png")
    forged = "x.png\nfaces      99\nmanifest   other.jsonl\nb.png"
    (folder / "ana" / forged).write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    (folder / "ana" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "ana" / "a\nfaces 98").write_text("notes")
    for number in range(12):
        (folder / "ana" / f".{number:02d}").touch()
    os.mkfifo(folder / "ana" / "pipe")
    output = tmp_path / "o\nfaces 97.jsonl"

    lines = read_output(detect(folder, output, "--tilts=0")).splitlines()

    hidden = ", ".join(f"ana/.{number:02d}" for number in range(10))
    escaped = r"x.png\nfaces      99\nmanifest   other.jsonl\nb.png"
    assert [line for line in lines if line.startswith("skipped")] == [
        f"skipped    12 hidden: {hidden} and 2 more",
        "skipped    1 system_folder: ana/@eaDir/",
        r"skipped    1 not_a_picture: ana/a\nfaces 98",
        "skipped    1 unsupported_format: ana/phone.heic",
        "skipped    1 not_a_regular_file: ana/pipe",
    ]
    assert lines[0].startswith(f"unusable   ana/{escaped}: ")
    assert lines[-3].startswith("skipped")
    assert lines[-2:] == [
        "faces      1",
        rf"manifest   {tmp_path}/o\nfaces 97.jsonl",
    ]


@pytest.mark.parametrize("damaged", ['{"pa', '{"path": 1}\n', "}\n", "[1]\n\0}\n"])
def test_an_interrupted_run_goes_on_where_it_stopped(damaged, folder, tmp_path):
    """The partial file claims another result for one picture, which is kept."""
    output, partial = tmp_path / "faces.jsonl", tmp_path / "faces.jsonl.partial"
    read_output(detect(folder, output, "--tilts=0"))
    whole = output.read_text()
    output.unlink()
    settings = {"max_side": 1000, "tilts": [0], "min_likelihood": 0.5}
    settings.update(widen=1.7, raise_by=0.1, cascade=None)
    lines = [{"settings": settings}, {"path": "ana/1.png", "faces": []}]
    partial.write_text("".join(json.dumps(line) + "\n" for line in lines) + damaged)

    text = read_output(detect(folder, output, "--tilts=0"))

    assert "resuming after 1 picture (" in text
    assert output.read_text() == "".join(whole.splitlines(keepends=True)[1:])

    output.unlink()
    partial.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = read_output(detect(folder, output, "--tilts=0", "--widen=2"))
    assert "is of other settings and is started over" in text
    assert len(output.read_text().splitlines()) == len(whole.splitlines())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tilts=x"], "--tilts must be whole degrees, as in 0,50,-50, got x"),
        (["--tilts="], "--tilts is empty"),
        (["--output=faces.txt"], "--output must be a .jsonl file"),
        (["--input_dir=nowhere"], "--input_dir=nowhere is not a folder"),
    ],
)
def test_a_mistake_is_one_line(folder, tmp_path, flags, message):
    done = detect(folder, tmp_path / "faces.jsonl", *flags)
    assert message in error_line(done)
