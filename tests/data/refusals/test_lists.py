"""A list is read in any encoding, or refused by what it is."""

import os

import pytest

from helpers.artist_lists import read
from tfstyle.core.cli import UserError
from tfstyle.data.refusals.exclusions import read_exclusions


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n", b"\xef\xbb\xbf", b"[]"])
def test_an_empty_list_is_an_error(collection, content):
    with pytest.raises(UserError, match="names nobody"):
        read(collection, content)


def test_lists_that_cannot_be_read_are_errors(collection, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        ("", "is empty"),
        ("none.txt", "No such file"),
        (str(collection), "is not a file"),
        (str(tmp_path / "pipe"), "is not a file"),
        ("/dev/zero", "is not a file"),
    ):
        with pytest.raises(UserError, match=f"--exclude_artists.*{message}"):
            read_exclusions([path], str(collection))


@pytest.mark.parametrize(
    "name, encoding",
    [
        ("\u05e9\u05dc\u05d5\u05dd", "cp1255"),
        ("\u0645\u0631\u062d\u0628\u0627", "cp1256"),
    ],
)
def test_lists_in_the_code_pages_of_windows_are_read(collection, name, encoding):
    (collection / name).mkdir()
    assert read(collection, name.encode(encoding)).folders == {name}


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    "start, kind",
    [
        (b"PK\x03\x04\x14\0\0\0\x08\0", "ZIP"),
        (b"%PDF-1.4\n1 0 obj\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office"),
        (b"{\\rtf1\\ansi Artist Two}", "RTF"),
        (b"\x1f\x8b\x08\0", "compressed"),
    ],
)
def test_a_document_is_refused_by_its_first_bytes(collection, start, kind, allow):
    with pytest.raises(UserError, match=f"list is .*{kind}.*, not text: save it as"):
        read(collection, start + b"\nArtist Two\n", allow_unmatched=allow)


@pytest.mark.parametrize("name", ["BZhang", "7z", "icns", "GIF89a", "Rar!", "P1 1"])
def test_names_that_begin_like_other_files_are_names(collection, name):
    (collection / name).mkdir()
    assert read(collection, f"{name}\n").folders == {name}
    assert read(collection, name.encode("utf-16")).folders == {name}


def test_colors_of_a_terminal_are_no_part_of_a_name(collection):
    (collection / "\x1b[31mRed").mkdir()
    colored = "\x1b[0m\x1b[01;34mArtist Two\x1b[0m/\n\x1b[01;34mOne\x1b[0m\n"
    assert read(collection, colored).folders == {"Artist Two", "One"}
    assert read(collection, "\x1b[31mRed\n").folders == {"\x1b[31mRed"}


def test_a_list_of_brackets_is_an_error_of_one_line(collection):
    with pytest.raises(UserError, match="matches no folder"):
        read(collection, "[" * 100_000)
