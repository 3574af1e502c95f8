"""Any name is shown on one printable line, from which it can be restored."""

import os
import subprocess

import pytest

from tfstyle.core import names

# Names as file systems hold them, and how they are shown.
SHOWN = {
    b"Artist One": "Artist One",
    "Øyvind 葛飾北斎".encode(): "Øyvind 葛飾北斎",
    "山田\u3000太郎".encode(): "山田\u3000太郎",
    "👩\u200d🎨 می\u200cخواهم".encode(): "👩\u200d🎨 می\u200cخواهم",
    "漫画".encode("cp932"): r"\x96\x9f\x89\xe6",
    b"caf\xe9": r"caf\xe9",
    "café\u0085".encode(): r"café\u0085",
    b"a\nb\tc\rd": r"a\nb\tc\rd",
    b"\x1b[31mred\x07\x7f": r"\x1b[31mred\x07\x7f",
    "\u009b2J".encode(): r"\u009b2J",
    b"back\\slash": r"back\\slash",
    b"looks\\x41like": r"looks\\x41like",
    "gnp.\u202etxt".encode(): r"gnp.\u202etxt",
    "a\u2028b\u2029\ufeff".encode(): r"a\u2028b\u2029\ufeff",
    "\U000e0041tag".encode(): r"\U000e0041tag",
    b"<script>&amp;\"'": "<script>&amp;\"'",
    b"\xff\xfe\\n": r"\xff\xfe\\n",
    b"": "",
}


@pytest.mark.parametrize("data", SHOWN, ids=repr)
def test_a_name_is_shown_and_restored(data):
    name = names.decode(data)
    shown = names.show(name)

    assert shown == SHOWN[data]
    assert names.clean(shown) == names.clean_line(shown) == shown
    assert len(shown.encode().splitlines()) == bool(data)
    assert names.encode(names.read(shown)) == data
    assert names.from_path(os.fsdecode(data)) == name
    assert names.to_path(name) == os.fsdecode(data)


def test_names_that_differ_are_shown_differently():
    assert len(set(map(names.show, map(names.decode, SHOWN)))) == len(SHOWN)
    assert names.spell_out("é") == r"\u00e9" != names.spell_out("e\u0301")


@pytest.mark.parametrize(
    "text, name",
    [
        ("Ana", "Ana"),
        (r"AC\DC", r"AC\DC"),  # known as it is
        (r"Mot\xe9", "Mot\udce9"),  # known, as it is shown
        (r"a\\b", r"a\b"),  # as a new name would be shown
        (r"new\d", r"new\d"),  # no name is shown like this
        (r"c\u202ed", "c\u202ed"),
    ],
)
def test_a_name_is_taken_as_it_is_or_as_it_is_shown(text, name):
    assert names.resolve(text, ["Ana", r"AC\DC", "Mot\udce9"]) == name


@pytest.mark.parametrize(
    "text, name",
    [
        (r"Caf\303\251", "Café"),  # ls -b, and git
        (r"a\ b", "a b"),
        (r"\#hash", "#hash"),
        (r"\e[0m\a", "\x1b[0m\a"),
        ("\\xc3\\xa9", "é"),
        ("ends in \\", "ends in \\"),
        (r"\U00110000", r"\U00110000"),  # no character has this number
    ],
)
def test_escapes_of_other_programs_are_read(text, name):
    assert names.read(text) == name


@pytest.mark.parametrize("data", [d for d in SHOWN if d], ids=repr)
def test_a_shell_reads_a_quoted_path_as_the_path(data):
    quoted = names.quote(os.fsdecode(data))

    assert names.clean_line(quoted) == quoted
    echoed = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert echoed.stdout == data


def test_a_text_keeps_its_lines():
    text = "a\tb\n\x1b[1mc\udce9\\\r\n"
    assert names.clean(text) == "a\tb\n\\x1b[1mc\\xe9\\\\r\n"
    assert names.clean_line(text) == r"a\tb\n\x1b[1mc\xe9\\r\n"


@pytest.mark.parametrize(
    ("text", "shown"), [("ab", "ab"), ("abc", "abc"), ("abcd", "abc..")]
)
def test_a_text_that_is_longer_is_cut(text, shown):
    assert names.cut(text, 3) == shown


def test_a_noun_is_in_the_number_of_its_count():
    counts = [names.format_count(number, "picture") for number in range(3)]
    assert counts == ["0 pictures", "1 picture", "2 pictures"]
    assert names.format_count(1, "copy is", "copies are") == "1 copy is"
    assert names.format_count(2, "copy is", "copies are") == "2 copies are"
