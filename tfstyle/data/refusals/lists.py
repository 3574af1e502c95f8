"""Files of names: which are text, in which encoding, and what their lines are."""

import contextlib
import dataclasses
import json
import pathlib
import re

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.core.files import is_regular
from tfstyle.data.collections.spellings import LINE_BREAK
from tfstyle.data.pictures import recognition

_STREAM = re.compile("/dev/(stdin|null|fd/[0-9]+)")  # of shells: <(..)
_MAX_SHOWN = 100  # characters of a line
# Files that people take for lists, by their first bytes.
_DOCUMENTS = (
    (b"PK\x03\x04", "a ZIP archive or a document of an office program"),
    (b"\xd0\xcf\x11\xe0", "a document of an office program"),
    (b"%PDF-", "a PDF file"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ\0", "a compressed file"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!\x1a", "an archive"),
    (b"SQLite format 3\0", "a database"),
    (b"\x7fELF", "a program"),
)
# No list has them, whatever its encoding; text of two bytes a letter has zeros.
_NO_TEXT = re.compile(rb"[\x01-\x06\x0e-\x19]")


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a list."""

    path: str
    number: int
    text: str

    @property
    def shown(self) -> str:
        """The text, cut to a length that is read at once."""
        return names.cut(names.show(self.text.strip()), _MAX_SHOWN)

    @property
    def place(self) -> str:
        return f"{names.show(self.path)}, line {self.number}"


def read_list(path: str) -> list[list[Line]]:
    """Return the lines of a list; several times if its encoding is not certain."""
    shown = names.show(path)
    if not path:
        raise UserError("--exclude_artists is empty: pass a file")
    if not is_regular(path) and not _STREAM.fullmatch(path):
        raise UserError(f"--exclude_artists={shown} is not a file")
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"--exclude_artists={shown}: {error.strerror} (it must be a text file with"
            " a name on each line)"
        ) from None
    if kind := _recognize_document(data):
        raise UserError(
            f"--exclude_artists={shown} is {kind}, not text: save it as plain text with"
            " a name on each line"
        )
    readings = [
        [
            Line(path, number, text)
            for number, text in enumerate(texts, 1)
            if not is_blank(text)
        ]
        for texts in _decode_list(data)
    ]
    return [lines for lines in readings if lines]


def is_blank(text: str) -> bool:
    """Return whether a line says nothing."""
    return not text.strip("\ufeff \t\u3000")


def _decode_list(data: bytes) -> list[list[str]]:
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


def _recognize_document(data: bytes) -> str | None:
    """Return what a file is that is no text; None if it may be text."""
    for start, kind in _DOCUMENTS:
        is_plain = start.isascii() and start.decode().isprintable()
        # Such as names that begin with BZh.
        if data.startswith(start) and (
            not is_plain or start[:1] in b"%{" or _NO_TEXT.search(data)
        ):
            return kind
    picture = recognition.recognize(data[: recognition.BYTES_NEEDED])
    if picture and _NO_TEXT.search(data):
        return f"a picture ({picture.name})"
    return None


def _split_lines(text: str) -> list[str]:
    """Split a text into lines, or the entries of a JSON list."""
    if text.lstrip().startswith("["):
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError):
            entries = None
        if isinstance(entries, list) and all(isinstance(e, str) for e in entries):
            return [str(entry) for entry in entries]
    return re.split(LINE_BREAK, text)
