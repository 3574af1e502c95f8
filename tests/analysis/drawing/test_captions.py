"""Captions show a name in any script, or its code points, and never a placeholder."""

import pathlib
import types

import matplotlib
import pytest
from matplotlib import font_manager

from tfstyle.analysis.drawing import captions

FONTS = pathlib.Path(matplotlib.get_data_path(), "fonts/ttf")
STIX = str(FONTS / "STIXGeneral.ttf")
# In STIX but not in DejaVu (the second in its bold and italic, too); in neither.
WATCH, CIRCLED, HOKUSAI = "\u231a", "\u24b6", "葛飾北斎"


def installed(*paths, **attributes):
    """Describe fonts as matplotlib's font manager does."""
    kind = {"name": "STIXGeneral", "style": "normal", "weight": 400} | attributes
    return [types.SimpleNamespace(fname=str(path), **kind) for path in paths]


@pytest.fixture(autouse=True)
def fonts(monkeypatch):
    """Hide the fonts of the machine; returns the list that a test may fill."""
    captions._warn_of_missing_characters.cache_clear()
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    return font_manager.fontManager.ttflist


@pytest.mark.parametrize(
    "text", ["Vermeer", "Łukasz", "Иван Шишкин", "Ελ Γκρέκο", "Müller × Résumé − 5"]
)
def test_latin_cyrillic_and_greek_need_no_installed_font(text, caplog):
    caption = captions.fit_text(text, 14, 1000)
    assert caption.text == text
    assert pathlib.Path(caption.font.path).name == "DejaVuSans.ttf"
    assert caplog.text == ""


def test_what_no_font_has_is_shown_as_code_points_with_a_single_warning(caplog):
    assert captions.fit_text(f"K {HOKUSAI[:2]}", 14, 1000).text == r"K \u845b\u98fe"
    assert captions.fit_text(HOKUSAI[2:], 14, 1000).text == r"\u5317\u658e"
    (warning,) = caplog.messages
    assert warning.startswith("note: no installed font has")


def test_an_installed_font_is_used_for_what_dejavu_lacks(fonts, caplog):
    fonts += installed("/no/font.ttf", STIX)
    assert captions.fit_text("watch", 14, 1000).font.path != STIX
    caption = captions.fit_text(f"watch {WATCH}", 14, 1000)
    assert (caption.text, caption.font.path) == (f"watch {WATCH}", STIX)
    assert caplog.text == ""


def test_of_fonts_that_lack_characters_the_one_that_lacks_fewest_is_used(fonts):
    fonts += installed(STIX)
    caption = captions.fit_text(f"{WATCH}\u845b", 14, 1000)
    assert (caption.text, caption.font.path) == (WATCH + r"\u845b", STIX)


def test_upright_fonts_of_regular_weight_are_preferred(fonts):
    bold, italic = FONTS / "STIXGeneralBol.ttf", FONTS / "STIXGeneralItalic.ttf"
    fonts += installed(bold, weight=700)
    fonts += installed(italic, style="italic")
    assert captions.fit_text(CIRCLED, 14, 1000).font.path == str(bold)
    fonts += installed(STIX)
    assert captions.fit_text(CIRCLED, 14, 1000).font.path == STIX


def test_the_font_of_placeholders_is_never_used(fonts):
    fonts += installed(FONTS / "LastResortHE-Regular.ttf", name="Last Resort HE")
    assert captions.fit_text("葛", 14, 1000).text == r"\u845b"


def test_a_file_name_that_is_not_text_can_be_drawn():
    assert captions.fit_text("caf\udce9", 14, 1000).text == r"caf\xe9"


def test_a_longer_text_ends_in_dots_within_its_room():
    caption = captions.fit_text("artist " * 100, 14, 120)
    assert caption.text.endswith("...") and 100 < caption.width <= 120
