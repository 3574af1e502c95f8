"""Captions say a name in whatever script, or its code points, and never a box."""

import pathlib

import matplotlib
import pytest

from tfstyle.analysis.drawing import captions

STIX = str(pathlib.Path(matplotlib.get_data_path(), "fonts/ttf/STIXGeneral.ttf"))
# In STIX and not in DejaVu; in neither.
WATCH, HOKUSAI = "\u231a", "葛飾北斎"


@pytest.fixture(autouse=True)
def no_fonts(monkeypatch):
    """As on a machine with no font but matplotlib's."""
    captions._tell.cache_clear()
    monkeypatch.setattr(captions, "_large_fonts", list)


@pytest.mark.parametrize(
    "text", ["Vermeer", "Łukasz", "Иван Шишкин", "Ελ Γκρέκο", "Müller × Résumé − 5"]
)
def test_latin_cyrillic_and_greek_need_no_font_of_the_machine(text, capsys):
    caption = captions.fitted(text, 14, 1000)
    assert caption.text == text
    assert all(captions._has(caption.font, one) for one in text)
    assert capsys.readouterr().out == ""


def test_what_no_font_has_is_written_as_code_points_and_said_once(capsys):
    assert captions.fitted(f"K {HOKUSAI[:2]}", 14, 1000).text == r"K \u845b\u98fe"
    other = captions.fitted(HOKUSAI[2:], 14, 1000).text
    assert other == r"\u5317\u658e"
    said = capsys.readouterr().out
    assert said.startswith("note: no font here has") and said.count("\n") == 1


def test_a_font_of_the_machine_is_taken_for_what_the_first_lacks(monkeypatch, capsys):
    monkeypatch.setattr(captions, "_large_fonts", lambda: ["/no/font.ttf", STIX])
    assert captions.fitted("watch", 14, 1000).font.path != STIX
    caption = captions.fitted(f"watch {WATCH}", 14, 1000)
    assert (caption.text, caption.font.path) == (f"watch {WATCH}", STIX)
    assert capsys.readouterr().out == ""


def test_of_fonts_that_lack_something_the_one_that_lacks_least_is_taken(monkeypatch):
    monkeypatch.setattr(captions, "_large_fonts", lambda: [STIX])
    caption = captions.fitted(f"{WATCH}\u845b", 14, 1000)
    assert (caption.text, caption.font.path) == (WATCH + r"\u845b", STIX)


def test_fonts_are_found_by_their_names_in_any_depth_regular_ones_first(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    wanted = ["opentype/NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", "a/wqy-z.ttf"]
    for name in [*wanted, "NotoSansCJK.txt", "Times.ttf", "NotoSans-Regular.ttf"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(captions, "_FOLDERS", [str(tmp_path), "/no/such/folder"])
    captions._large_fonts.cache_clear()
    try:
        found = captions._large_fonts()
    finally:
        captions._large_fonts.cache_clear()
    assert found == [str(tmp_path / name) for name in wanted]


def test_a_name_that_is_no_text_can_be_drawn():
    assert captions.fitted("caf\udce9", 14, 1000).text == r"caf\udce9"


def test_a_longer_text_ends_in_dots_within_its_room():
    caption = captions.fitted("artist " * 100, 14, 120)
    assert caption.text.endswith("...") and 100 < caption.width <= 120
