"""Names that a file system allows, and that shells, globs, and URLs take for more."""

import os

NAMES = [
    "exp[1]",
    "port [final]",
    "[!a]",
    "a*b",
    "what?",
    "back\\slash",
    "{a,b}",
    "with space",
    " leading and trailing ",
    "quote'",
    '"double"',
    "~tilde",
    "-dash",
    "#hash",
    "%41",
    "$HOME",
    "a:b",
    "gs:",
    "ünïcode",
    "名前",
    os.fsdecode(b"bytes\xff\x83"),
    "new\nline",
    "x" * 255,
]
