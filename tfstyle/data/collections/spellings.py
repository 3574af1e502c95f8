"""Spellings of artists' names and lists: which mean the same, and which look alike."""

import collections
import contextlib
import html
import json
import re
import shlex
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence

from tfstyle.core import names

LINE_BREAK = r"\r\n|[\r\n]"
# Of names and lists that are not UTF-8: on Windows, in older archives, on older Macs.
_ENCODINGS = (
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252", "cp1250", "cp1251"),
    *("koi8_r", "cp1253", "cp1254", "cp850", "cp437", "cp866", "mac_roman"),
)
_TYPED = {ord(c): "'" for c in "\u2018\u2019\u02bc\u2032\u00b4`"} | {
    ord(c): "-" for c in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
}
_QUOTES = ('""', "''", "``", "“”", "„“", "‘’", "«»", "‹›", "「」", "『』", "<>")
_BULLET = re.compile(r"(?:[-*+•‣·–—>]|\d+[.)]|\[[ xX]\]|[│├└─|`\s-]*[─-])\s+")
_ANSI_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)  # of bash and ls
_COMMENT_BEHIND = re.compile(r"\s+#\s.*$")
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

    Names that are equal then are similar, but may be those of two artists.
    """
    text = unicodedata.normalize("NFKD", _COPY.sub("", name)).casefold()
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


def decode_list(data: bytes) -> list[list[str]]:
    """Decode a list of names: text, JSON, or names that end in zero bytes.

    Text is UTF-8, UTF-16 or UTF-32. Bytes that are not UTF-8 become surrogates;
    `decode_variants` reads them.

    Returns:
        The lines; several readings if zero bytes may be of UTF-16 or end names, the
        likelier first.
    """
    for mark, encoding in (
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return [_split_lines(data.decode(encoding, "replace"))]
    if b"\0" not in data:
        return [_split_lines(names.decode(data.removeprefix(b"\xef\xbb\xbf")))]
    readings = [names.decode(data).split("\0")]  # of find -print0: with line breaks
    for encoding in ("utf-16-be", "utf-16-le"):
        with contextlib.suppress(UnicodeDecodeError):
            wide = _split_lines(data.decode(encoding))
            # Half the bytes of Latin text are zeros.
            likely = data[encoding == "utf-16-le" :: 2].count(0) > len(data) / 4
            readings.insert(0 if likely else len(readings), wide)
    return readings


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


def _split_lines(text: str) -> list[str]:
    """Split a text into lines, or the entries of a JSON list."""
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except ValueError:
            entries = None
        if isinstance(entries, list) and all(isinstance(e, str) for e in entries):
            return [str(entry) for entry in entries]
    return re.split(LINE_BREAK, text)


def _tell_apart(twins: Sequence[str]) -> list[str]:
    """Show names so that no two look the same."""
    shown = [names.show(name) for name in twins]
    if len({unicodedata.normalize("NFKC", name) for name in shown}) < len(twins):
        shown = [names.spell_out(name) for name in twins]
    return [f"'{name}'" for name in shown]
