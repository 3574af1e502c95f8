"""A collection's folders, and lists of artists to leave out of it."""

import os

from tfstyle.data.refusals.exclusions import read_exclusions

MANGA = os.fsdecode("漫画".encode("cp932"))
UMLAUT = os.fsdecode("Ärger".encode("latin-1"))
FOLDERS = (
    *("Artist One", "artist one", "Artist Two", "#hash", "#", "Smith", "Smith, John"),
    *("AC_DC", "DC", "it's", "Caf\u00e9", "Cafe\u0301", "a\nb", "- dash", "100%"),
    *("back\\slash", "[x]", "山田\u3000太郎", "One", "Ünïcode", 'quo"te', "trail "),
    *("Tom & Jerry", "@artist", MANGA, UMLAUT),
)


def read(root, content, **settings):
    """Read a list that holds a text, or bytes."""
    path = root.parent / "list"
    path.write_bytes(content if isinstance(content, bytes) else os.fsencode(content))
    return read_exclusions([str(path)], str(root), **settings)
