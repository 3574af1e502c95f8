"""Text on pictures in any script, in a font that has its characters.

matplotlib's DejaVu Sans covers Latin, Greek and Cyrillic. For other scripts the fonts
installed on this machine are searched. Characters that no font has are shown as code
points, so that two names never look alike.
"""

import dataclasses
import functools
import logging
import unicodedata
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

from tfstyle.core.names import clean_line, spell_out

logger = logging.getLogger(__name__)

_INK = (32, 32, 32)
_DEJAVU = str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))

Position = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Caption:
    """A text and the font to draw it in."""

    text: str
    font: ImageFont.FreeTypeFont

    @property
    def width(self) -> float:
        """The width of the text in pixels."""
        return self.font.getlength(self.text)

    def draw(self, draw: ImageDraw.ImageDraw, position: Position, anchor: str) -> None:
        """Draw the text at (x, y), the point that Pillow's `anchor` refers to."""
        draw.text(position, self.text, _INK, self.font, anchor)

    def box(
        self, draw: ImageDraw.ImageDraw, position: Position, anchor: str
    ) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of what `draw` covers."""
        return draw.textbbox(position, self.text, self.font, anchor)


def fit_text(text: str, size: int, room: float) -> Caption:
    """Choose a font for a text and cut the text to a width.

    Args:
        text: in any script; characters that are invisible, or that no font has, become
            code points.
        size: of the font, in pixels.
        room: width in pixels; a longer text ends in "...".
    """
    text = clean_line(" ".join(unicodedata.normalize("NFC", text).split()))
    path = _choose_font(text)
    missing = _missing_characters(path, text)
    if missing:
        _warn_of_missing_characters()
        escapes = {ord(c): spell_out(c) for c in missing}
        text = text.translate(escapes)
    font = _load_font(path, size)
    if font.getlength(text) <= room:
        return Caption(text, font)
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return Caption(text.rstrip() + "...", font)


def _choose_font(text: str) -> str:
    """Choose the first font that has all characters, else one that has the most."""
    chosen, missing = _DEJAVU, _missing_characters(_DEJAVU, text)
    for path in _installed_fonts() if missing else ():
        lacking = _missing_characters(path, text)
        if len(lacking) < len(missing):
            chosen, missing = path, lacking
        if not missing:
            break
    return chosen


def _installed_fonts() -> list[str]:
    """List the fonts that matplotlib finds, upright ones of regular weight first."""
    from matplotlib import font_manager  # its first import searches the machine

    fonts = sorted(
        font_manager.fontManager.ttflist,
        key=lambda font: (font.style != "normal", font.weight != 400, font.fname),
    )
    # The last resort font has a placeholder for every character.
    return [font.fname for font in fonts if not font.name.startswith("Last Resort")]


def _missing_characters(path: str, text: str) -> set[str]:
    font = _load_characters(path)
    if font is None:
        return set(text)
    return {character for character in text if not font.get_char_index(ord(character))}


@functools.lru_cache(maxsize=64)
def _load_characters(path: str) -> FT2Font | None:
    try:
        return FT2Font(path)
    except (OSError, RuntimeError):
        return None  # removed since matplotlib found it, or corrupt


@functools.cache
def _load_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@functools.cache
def _warn_of_missing_characters() -> None:
    logger.warning(
        "note: no installed font has some characters of the captions; they are shown"
        " as code points. Install Noto Sans CJK, for example."
    )
