"""Spellings of artists' names: which mean the same folder, and which look alike."""

import collections
import re
import unicodedata
from collections.abc import Iterable, Sequence

from tfstyle.core import names

# Of names and lists that are not UTF-8: on Windows, in older archives, on older Macs.
_ENCODINGS = (
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1252", "cp1250", "cp1251"),
    *("koi8_r", "cp1253", "cp1254", "cp850", "cp437", "cp866", "mac_roman"),
)
_TYPED = {ord(c): "'" for c in "\u2018\u2019\u02bc\u2032\u00b4`"} | {
    ord(c): "-" for c in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
}
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
