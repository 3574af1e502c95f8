"""Spellings of artists' names and lists: which mean the same, and which look alike."""

import collections
import html
import re
import shlex
import unicodedata
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Sequence

from tfstyle.core import names

LINE_BREAK = r"\r\n|[\r\n]"
# Of names and lists that are not UTF-8: on Windows, in older archives, on older Macs.
_ENCODINGS = (
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252", "cp1250", "cp1251"),
    *("koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "cp850", "cp437"),
    *("cp866", "mac_roman"),
)
_TYPED = {ord(c): "'" for c in "\u2018\u2019\u02bc\u2032\u00b4`"} | {
    ord(c): "-" for c in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
}
_QUOTES = ('""', "''", "``", "“”", "„“", "‘’", "«»", "‹›", "「」", "『』", "<>")
_BULLET = re.compile(r"(?:[-*+•‣·–—>]|\d+[.)]|\[[ xX]\]|[│├└─|`\s-]*[─-])\s+")
_ANSI_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)  # of bash and ls
_COMMENT_BEHIND = re.compile(r"\s+#\s.*$")
_COLORS = re.compile("\x1b\\[[0-9;]*[mK]")  # of ls --color=always
_DATE = (
    r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}|\d{1,2}:\d\d|"
    r"(?<!\w)(?:\d{1,2}(?:st|nd|rd|th|\.)?\s+)?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
    r"\s+\d{1,4}(?!\w)"
    r"|(?<!\w)\d{1,2}(?:st|nd|rd|th|\.)?\s+"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*(?!\w)"
)
# What sets a remark apart from a name; Japanese forms of address are remarks.
_REMARK = re.compile(
    rf"{_DATE}|[()\[\]{{}}<>|:;,#=\t\"/\\*\u2022\u3001\uff08\uff09\uff1a]"
    r"|\s[-+&~\u2013\u2014]+|[-+&~\u2013\u2014]+\s|--+|\s{2,}"
    r"|(?:\u3055\u3093|\u69d8|\u6c0f|\u5148\u751f)$",
    re.IGNORECASE,
)
# Letters that look like Latin ones, small or as capitals: Cyrillic, then Greek.
_LOOKALIKES = str.maketrans(
    "авекмнорстухіјѕԁһ" + "αβεζηικμνορτυχ", "abekmhopctyxijsdh" + "abezhikmnoptyx"
)
# Between the names of several artists. A comma may also be within one's.
_JOINT = re.compile(
    r"[\s_]*[&+;|/\u3001\uff06\uff0b\u00d7][\s_]*"
    r"|[\s_]+(?:and|with|feat\.?|ft\.?|vs\.?|x)[\s_]+",
    re.IGNORECASE,
)
_COPY = re.compile(r"[\s_-]*(\(\d+\)|- ?copy( \(\d+\))?)\s*$", re.IGNORECASE)


def fold(name: str) -> str:
    """Remove differences that people do not see or type.

    These are case, spaces, compositions, and kinds of apostrophes and dashes.
    """
    text = unicodedata.normalize("NFKC", name.translate(_TYPED)).casefold()
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", text).split()) or name


def reduce(name: str) -> str:
    """Reduce a name to its letters and digits, without accents and marks of copies.

    Letters of other scripts that look like Latin ones count as these. Names that are
    equal then are similar, but may be those of two artists.
    """
    text = unicodedata.normalize("NFKD", _COPY.sub("", name)).casefold()
    text = text.translate(_LOOKALIKES)
    return "".join(c for c in text if c.isalnum())


def spell_words(text: str) -> str:
    """Return the words of a text between spaces, so that those of a name are found.

    In scripts without cases, which may have no spaces either, each letter is a word.
    """
    characters = (
        c
        if c.isdecimal() or c.upper() != c.lower()
        else f" {c} "
        if c.isalnum()
        else " "
        for c in fold(text)
    )
    return f" {' '.join(''.join(characters).split())} "


def decode_variants(name: str) -> list[str]:
    """List the texts that a name may be; several only if its bytes are not UTF-8."""
    if name.isprintable():
        return [name]
    try:
        data = names.encode(name)
    except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
        return [name]
    variants = [name]
    for encoding in ("utf-8", *_ENCODINGS):
        try:
            variants.append(data.decode(encoding))
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8":
            break
    return variants


def simplify(text: str) -> Iterator[str]:
    """Yield readings of a text without one of its decorations."""
    yield text.strip()
    yield _COLORS.sub("", text)
    yield text.rstrip("/")
    yield text.rstrip(",;")
    yield _COMMENT_BEHIND.sub("", text)
    yield _BULLET.sub("", text, count=1) if _BULLET.match(text) else text
    if text.endswith(("@", "/@")):  # of ls -F, for links
        yield text[:-1]
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        yield text[1:-1]
        yield text[1:-1].replace(text[-1] * 2, text[-1])  # of CSV
    if "'" in text or '"' in text or "\\" in text:
        plain = _ANSI_QUOTED.sub(lambda m: shlex.quote(names.read(m[1])), text)
        try:
            words = shlex.split(plain)
        except ValueError:
            words = []
        if len(words) == 1:
            yield words[0]
    if "\\" in text:
        yield names.read(text)
        if not re.search(r"\\\s", text):  # an escaped space is no path of Windows
            yield text.replace("\\", "/").rstrip("/")
    if text.startswith("file:"):
        yield urllib.parse.unquote(text[5:], errors="surrogateescape")
    if "%" in text:
        yield urllib.parse.unquote(text, errors="surrogateescape")
    if "&" in text:
        yield html.unescape(text)


def split_remarks(text: str) -> list[str]:
    """Split a text where punctuation or a date sets a remark apart."""
    return _REMARK.split(text.strip())


def split_artists(name: str) -> list[str]:
    """Return the names in one like "Ann & Bob"; none in the name of one artist."""
    parts = [part for part in _JOINT.split(name.strip()) if part]
    return parts if len(parts) > 1 else []


def is_named(name: str, keys: Collection[str]) -> bool:
    """Return whether a name, or one of the artists in it, has a key of `fold`."""
    return any(
        fold(part) in keys
        for text in decode_variants(name)
        for part in (text, *split_artists(text))
    )


def count_words(text: str) -> int:
    """Return the number of words between spaces and punctuation."""
    return len(re.findall(r"[^\W_]+", fold(text)))


def describe_twins(input_dir: str, folders: Iterable[str]) -> list[str]:
    """Return a note for each group of folders whose names look alike.

    They differ in case, spaces or Unicode compositions only, and count as different
    artists.
    """
    groups = collections.defaultdict(list)
    for folder in folders:
        groups[fold(names.from_path(folder))].append(names.from_path(folder))
    return [
        f"note: {len(twins)} folders of {names.show(input_dir)} look alike and count"
        f" as different artists: {' and '.join(_tell_apart(twins))}"
        for twins in groups.values()
        if len(twins) > 1
    ]


def _tell_apart(twins: Sequence[str]) -> list[str]:
    """Show names so that no two look the same."""
    shown = [names.show(name) for name in twins]
    if len({unicodedata.normalize("NFKC", name) for name in shown}) < len(twins):
        shown = [names.spell_out(name) for name in twins]
    return [f"'{name}'" for name in shown]
