"""Whatever is a picture is found, once; all else is named with the reason."""

import os
import pathlib
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.pictures import encode_picture
from tfstyle.data.collections import walking
from tfstyle.data.pictures import recognition

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, [8, 8, 3], np.uint8))
LARGER = NOISE.resize((16, 16))
PNG = encode_picture(NOISE)


TGA_MODES = ("L", "LA", "P", "RGB", "RGBA")
KRITA = b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/x-krita"
OTHERS = ("DDS", "DIB", "ICNS", "ICO", "IM", "JPEG2000", "PCX", "SGI", "EPS")


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """A folder with a picture."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.png").write_bytes(PNG)
    return tmp_path / "root"


def walk(root, *rule):
    """Return names of pictures, and the reasons of what is left out."""
    found, skipped = walking.walk(root, *rule)
    names = [os.path.relpath(path, root) for path in found]
    return names, {path[len(f"{root}/") :]: reason for path, reason in skipped}


@pytest.mark.parametrize(
    "content, reason",
    [
        *(
            (encode_picture(NOISE, name), None)
            for name in ("PNG", "JPEG", "GIF", "BMP")
        ),
        *((encode_picture(NOISE, name), None) for name in ("WEBP", "TIFF", "PPM")),
        (encode_picture(NOISE, "AVIF"), None),
        *((encode_picture(NOISE.convert(mode), "TGA"), None) for mode in TGA_MODES),
        (encode_picture(NOISE, "TGA", rle=True), None),
        (b"Pf\n8 8\n-1\n" + bytes(256), None),
        *((encode_picture(LARGER, name), "unsupported_format") for name in OTHERS),
        (encode_picture(NOISE.convert("1"), "MSP"), "unsupported_format"),
        (encode_picture(NOISE.convert("1"), "PPM"), None),
        (encode_picture(NOISE, "TIFF", big_tiff=True), None),
        (b"MM\x00*" + bytes(20), None),
        (b"", "not_a_picture"),
        (b"notes on BM and P1", "not_a_picture"),
        (b"BMW and other cars, a list of forty words", "not_a_picture"),
        (b"P6 is the name of my pen", "not_a_picture"),
        (b"<html><svg>", "not_a_picture"),
        (b"PK\x03\x04", "not_a_picture"),
        (b"\x00\x01\x00\x00\x00\x0c\x00\x80" + bytes(40), "not_a_picture"),  # a font
        (b"\x00\x00\x00\x01Bud1\x00\x00", "not_a_picture"),  # of macOS
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not_a_picture"),  # Thumbs.db
        (struct.pack(">I", 24) + b"ftypisom", "not_a_picture"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not_a_picture"),
        (bytes(512), "not_a_picture"),
        (b"\n1. a list", "not_a_picture"),
        (b"# notes\n#define a word", "not_a_picture"),
        (b"%PDF-1.7", "not_a_picture"),
        (struct.pack(">I", 24) + b"ftypheic", "unsupported_format"),
        (b"8BPS\x00\x01", "unsupported_format"),
        (b"\xff\x0a\xfa", "unsupported_format"),
        (bytes(3) + b"\x0cJXL \r\n\x87\n", "unsupported_format"),
        (bytes(3) + b"\x0cjP  \r\n\x87\n", "unsupported_format"),
        (b'<?xml version="1.0"?>\n<svg xmlns="..">', "unsupported_format"),
        (b"\xef\xbb\xbf<!-- by hand -->\n<svg>", "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported_format"),
        (b"qoif" + bytes(4), "unsupported_format"),
        (b"gimp xcf v011", "unsupported_format"),
        (b"CSFCHUNK" + bytes(8), "unsupported_format"),
        (KRITA, "unsupported_format"),
        (b"#define a_width 8\n", "unsupported_format"),
        (b"P7\nWIDTH 8", "unsupported_format"),
        (struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1heic", "unsupported_format"),
        (struct.pack(">I", 28) + b"ftypmif1\0\0\0\0mif1miafavif", None),
    ],
)
@pytest.mark.parametrize("name", ["scan", "0001.jpg~", "photo.jpeg.1", "é.txt"])
def test_content_decides_where_the_suffix_does_not(root, name, content, reason):
    (root / name).write_bytes(content)

    found, skipped = walk(root)

    assert (name in found) == (reason is None)
    assert skipped == ({} if reason is None else {name: reason})


@pytest.mark.parametrize("name", ["a.PNG", "b.JpEg", "c.tga", "d.TIF"])
def test_a_file_with_the_suffix_of_a_picture_is_judged_when_it_is_read(root, name):
    (root / name).write_bytes(b"")
    assert name in walk(root)[0]


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "@EADIR", "#recycle", "#snapshot", "$RECYCLE.BIN", "__MACOSX", "Thumbs"]
    + [
        "lost+found",
        "System Volume Information",
        "RECYCLER",
        "@Recycle",
        "~snapshot",
        "@GMT-2024.05.01-10.00.00",
        "Mine.lrdata",
        "Mine.lrcat-data",
        "FOUND.000",
        "found.017",
        "RECYCLER.BIN",
        "LOST.DIR",
    ],
)
def test_folders_of_systems_are_left_out_at_any_depth(root, folder):
    for place in (root / folder, root / "inner" / folder / "0.png"):
        place.mkdir(parents=True)
        (place / "SYNOPHOTO_THUMB_M.jpg").write_bytes(PNG)

    assert walk(root) == (
        ["a.png"],
        {f"{folder}/": "system_folder", f"inner/{folder}/": "system_folder"},
    )
    assert walk(root / folder)[0] == ["SYNOPHOTO_THUMB_M.jpg"]  # if asked for


@pytest.mark.parametrize("folder", [".thumbnails", ".AppleDouble", ".git", ".trash"])
def test_what_is_hidden_is_left_out(root, folder):
    (root / folder).mkdir()
    (root / folder / "0.png").write_bytes(PNG)
    (root / "._a.png").write_bytes(PNG)
    assert walk(root) == (["a.png"], {f"{folder}/": "hidden", "._a.png": "hidden"})


@pytest.mark.parametrize("suffix", ["photoslibrary", "photolibrary", "cocatalog"])
def test_of_a_library_of_pictures_only_the_originals_are_works(root, suffix):
    library = root / "inner" / f"Mine.{suffix}"
    for folder in ("originals/A", "Masters", "resources/derivatives", "Thumbnails"):
        (library / folder).mkdir(parents=True)
        (library / folder / "0.png").write_bytes(PNG)

    names, skipped = walk(root)

    name = f"inner/Mine.{suffix}"
    assert names == ["a.png", f"{name}/Masters/0.png", f"{name}/originals/A/0.png"]
    assert skipped == dict.fromkeys(
        (f"{name}/Thumbnails/", f"{name}/resources/"), "system_folder"
    )


@pytest.mark.parametrize("name", ["Thumbs", "Masters", "resources", "Thumbnails"])
def test_the_folder_of_an_artist_may_have_the_name_of_previews(name):
    assert walking.classify_folder(name) is None


@pytest.mark.parametrize(
    "name",
    ["@artist", "#hash", "recycled paper", "thumb", "Thumbnails", "originals"]
    + ["resources", "found.art", "found.0001", "lrdata"],
)
def test_other_names_with_such_signs_are_folders_of_pictures(root, name):
    (root / name).mkdir()
    (root / name / "0.png").write_bytes(PNG)
    assert walk(root) == (["a.png", f"{name}/0.png"], {})


def test_linked_folders_are_walked_once(root, tmp_path):
    for folder in ("root/real/deep", "outside/more"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").write_bytes(PNG)
    (root / "b").symlink_to(tmp_path / "outside")
    (root / "again").symlink_to(tmp_path / "outside" / "more")
    (root / "c").symlink_to(root / "real")
    (tmp_path / "outside" / "back").symlink_to(root)

    found, skipped = walk(root)

    assert found == ["a.png", "real/deep/0.png", "again/0.png"]
    assert skipped == {
        "b/back/": "repeated_folder",
        "b/more/": "repeated_folder",
        "c/": "repeated_folder",
    }


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "inner", "loop", "other"])
def test_loops_of_links_end(root, target):
    (root / "inner").mkdir()
    (root / "inner" / "loop").symlink_to(target)
    (root / "inner" / "other").symlink_to("loop")

    found, skipped = walk(root)

    assert found == ["a.png"]
    assert {"inner/loop", "inner/other"} <= {name.rstrip("/") for name in skipped}
    assert set(skipped.values()) <= {"repeated_folder", "unreadable"}


def test_a_rule_refuses_links_to_folders_and_files(root, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "0.png").write_bytes(PNG)
    (root / "folder").symlink_to(tmp_path / "theirs")
    (root / "file.png").symlink_to(tmp_path / "theirs" / "0.png")
    rule = {str(tmp_path / "theirs"): "asked", str(tmp_path / "theirs/0.png"): "asked"}

    assert walk(root, rule.get) == (
        ["a.png"],
        {"folder/": "asked", "file.png": "asked"},
    )


def test_nothing_that_is_no_regular_file_is_opened(root):
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe")
    (root / "zeros.png").symlink_to("/dev/zero")
    (root / "gone.png").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket.png"))

        found, skipped = walk(root)

    assert found == ["a.png"]
    assert skipped == {
        **dict.fromkeys(
            ("pipe", "pipe.png", "socket.png", "zeros.png"), "not_a_regular_file"
        ),
        "gone.png": "unreadable",
    }


def test_folders_that_cannot_be_read_are_named(root):
    """The path of the innermost one is longer than the system allows."""
    program = f"""
import os
os.chdir({str(root)!r})
for _ in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
open("lost.png", "w").close()
"""
    subprocess.run([sys.executable, "-c", program], check=True)

    found, skipped = walk(root)

    assert found == ["a.png"]
    (name,) = skipped
    assert skipped[name] == "unreadable_folder" and name.startswith("dddd")


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_what_may_not_be_read_is_named(root):
    (root / "closed").mkdir(mode=0o000)
    (root / "closed file").touch(mode=0o000)
    assert walk(root)[1] == {
        "closed/": "unreadable_folder",
        "closed file": "unreadable",
    }


def test_random_bytes_are_no_pictures():
    """Each format has a mark, or a header that contradicts most bytes."""
    rng = np.random.default_rng(0)
    starts = [rng.integers(0, 256, 64, np.uint8).tobytes() for _ in range(20_000)]

    assert not [start for start in starts if recognition.recognize(start)]
