r"""Names of artists, pictures and folders: in memory, shown, and stored.

In memory a name is text in which bytes that are not UTF-8 are lone surrogates, in any
locale. Shown on a terminal, in a caption, a report, a table or an exported model, it is
printable Unicode with the escapes of bash's $'..':

    \\          a backslash
    \n \t \r    a newline, a tab, a carriage return
    \xNN        another control character of ASCII, or a byte that is not UTF-8
    \uNNNN      another character that is invisible or changes the order of others;
    \UNNNNNNNN  likewise
"""

import codecs
import os
import re
import shlex
from collections.abc import Collection

# Not printable by Python's definition, but a part of words in many names: the
# ideographic space, and the joiners of Persian, Indic scripts and emoji.
_PART_OF_WORDS = frozenset("\u3000\u200c\u200d")
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}
_READ_SHORT = dict(zip("abefnrtv", b"\a\b\x1b\f\n\r\t\v", strict=True))
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))",
    re.DOTALL,
)

# An error handler of codecs, for streams: see `show`.
STREAM_ERRORS = "tfstyle_names"


def decode(data: bytes) -> str:
    """Return the name that records or a file system store as bytes."""
    return data.decode("utf-8", "surrogateescape")


def encode(name: str) -> bytes:
    """Return the bytes of a name, as a file system on Linux stores them."""
    return name.encode("utf-8", "surrogateescape")


def from_path(path: str) -> str:
    """Return the name of a path or an argument, as Python's locale decoded it."""
    return decode(os.fsencode(path))


def to_path(name: str) -> str:
    """Return a name as a path, as Python's locale decodes it."""
    return os.fsdecode(encode(name))


def show(name: str) -> str:
    """Return a name as printable text on one line, from which `read` restores it."""
    return clean_line(name.replace("\\", r"\\"))


def read(shown: str) -> str:
    r"""Return the name that `show` shows as a text.

    Octal bytes (`\303`) and other escapes of bash and `ls` are understood too.
    """

    def to_bytes(match: re.Match[str]) -> bytes:
        byte, short_code, long_code, octal, character = match.groups()
        if byte or octal:
            return bytes([int(byte, 16) if byte else int(octal, 8) & 255])
        code = short_code or long_code
        if code and int(code, 16) <= 0x10FFFF:
            return chr(int(code, 16)).encode("utf-8", "surrogatepass")
        if character in _READ_SHORT:
            return bytes([_READ_SHORT[character]])
        return encode(character or match[0])

    parts, end = [], 0
    for match in _ESCAPE.finditer(shown):
        parts += [encode(shown[end : match.start()]), to_bytes(match)]
        end = match.end()
    return decode(b"".join([*parts, encode(shown[end:])]))


def resolve(text: str, known: Collection[str]) -> str:
    """Return the name that a text means, as it is or as `show` shows it.

    Known names come first; a text that no name is shown as is the name itself.
    """
    name = read(text)
    if text in known or (name not in known and show(name) != text):
        return text
    return name


def clean(text: str) -> str:
    """Escape what is not printable in a text of several lines, but no backslashes.

    The text may hold names that `show` returned: they do not change.
    """
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" else _escape(c) for c in text)


def clean_line(text: str) -> str:
    """Escape what is not printable in a text, line breaks and tabs included."""
    return text if text.isprintable() else "".join(map(_escape, text))


def cut(text: str, length: int) -> str:
    """Return a text, or its first so many characters and two dots."""
    return text if len(text) <= length else f"{text[:length]}.."


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, or noun and verb: 1 picture, 2 pictures.

    The plural is the noun with an "s" unless it is given.
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def spell_out(name: str) -> str:
    """Return a name in ASCII, so that it differs from every name that looks alike."""
    return "".join(c if c.isascii() else _escape_any(c) for c in show(name))


def quote(path: str) -> str:
    """Return a path as an argument that a shell understands and a terminal can show."""
    name = from_path(path)
    if clean_line(name) == name:
        return shlex.quote(name)
    return "$'{}'".format(show(name).replace("'", r"\'"))


def _escape(character: str) -> str:
    if character.isprintable() or character in _PART_OF_WORDS:
        return character
    return _escape_any(character)


def _escape_any(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return rf"\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(character, rf"\x{code:02x}")
    return rf"\u{code:04x}" if code <= 0xFFFF else rf"\U{code:08x}"


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Escape the characters that a stream cannot encode."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_escape_any, characters)), error.end


codecs.register_error(STREAM_ERRORS, _escape_unencodable)
