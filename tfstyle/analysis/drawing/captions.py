"""Text on pictures, in whatever script: which font has its characters.

matplotlib's DejaVu Sans knows Latin, Greek and Cyrillic. For others a font of this
machine is looked for; what none has is written as its code point, so that two names
never look alike.
"""

import dataclasses
import functools
import os
import pathlib
import re
import unicodedata

import matplotlib
from PIL import ImageDraw, ImageFont

_INK = (32, 32, 32)
_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts"),
)
# Fonts that have thousands of characters, by their files' names.
_LARGE = re.compile(
    r"(Noto|Source).*(CJK|Han)|NotoSans(JP|SC|TC|KR)|^ipa|^wqy|Hiragino|ヒラギノ|^msgothic"
    r"|^msyh|^malgun|PingFang|Gothic|DroidSansFallback|Arial Unicode|unifont",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Caption:
    """A text with the font to draw it in, which has all of its characters."""

    text: str
    font: ImageFont.FreeTypeFont

    @property
    def width(self) -> float:
        return self.font.getlength(self.text)

    def draw(self, draw: ImageDraw.ImageDraw, place, anchor: str) -> None:
        """Write the text at (x, y), which is where Pillow's `anchor` says."""
        draw.text(place, self.text, _INK, self.font, anchor)

    def box(self, draw: ImageDraw.ImageDraw, place, anchor: str):
        """Give left, top, right and bottom of what `draw` covers."""
        return draw.textbbox(place, self.text, self.font, anchor)


def fitted(text: str, size: int, room: float) -> Caption:
    """Find a font for a text, and cut it to its place.

    Args:
        text: in any script; what no font has is replaced by its code points.
        size: of the font, in pixels.
        room: pixels that there are; a longer text ends in "...".
    """
    text = " ".join(unicodedata.normalize("NFC", text).split())
    font = _font_for(text, size)
    if not all(_has(font, one) for one in text):
        _tell()
        text = "".join(
            one if _has(font, one) else one.encode("unicode_escape").decode()
            for one in text
        )
    if font.getlength(text) <= room:
        return Caption(text, font)
    while text and font.getlength(text + "...") > room:
        text = text[:-1]
    return Caption(text.rstrip() + "...", font)


def _font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Take the first font that has all characters, else that which has the most."""
    first = _load(str(_dejavu()), size)
    assert first is not None
    best, most = first, sum(_has(first, one) for one in text)
    if most == len(text):
        return first
    for path in _large_fonts():
        font = _load(path, size)
        if font is None:
            continue
        count = sum(_has(font, one) for one in text)
        if count > most:
            best, most = font, count
        if most == len(text):
            break
    return best


def _dejavu() -> pathlib.Path:
    return pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@functools.cache
def _large_fonts() -> list[str]:
    """Find this machine's fonts with thousands of characters, regular ones first."""
    found = [
        path
        for folder in _FOLDERS
        for path in pathlib.Path(os.path.expanduser(folder)).rglob("*")
        if path.suffix.lower() in (".ttf", ".ttc", ".otf") and _LARGE.search(path.name)
    ]
    found.sort(key=lambda path: ("regular" not in path.name.lower(), path.name))
    return [str(path) for path in found]


@functools.cache
def _load(path: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(path, size)
    except OSError:
        return None  # damaged, or of a kind that FreeType does not know


@functools.cache
def _has(font: ImageFont.FreeTypeFont, character: str) -> bool:
    """Tell whether a font has a character: if not, it draws the same for all."""
    if "\ud800" <= character <= "\udfff":  # a part of a file name that is no text
        return False
    if character == " ":
        return True
    drawn, none = font.getmask(character), font.getmask("\uffff")
    return drawn.size != none.size or bytes(drawn) != bytes(none)


@functools.cache
def _tell() -> None:
    print(
        "note: no font here has some characters of the captions, which show their code"
        " points instead: install Noto Sans CJK, say",
        flush=True,
    )
