"""Converted pictures on a disk, until all are there and can be divided into splits.

A spool outlives the command that writes it: the next one goes on with the pictures
whose files have not changed, if it converts them in the same way.

It is a folder of files: one of each command, and those of workers on other machines. A
file begins with a line that says how its pictures were converted. Entries follow: a
line of text, the picture, and its fingerprint. A file ends where an entry is not whole.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import pathlib
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np
import PIL

import tfstyle
from tfstyle.core import names
from tfstyle.data.collections.conversion_pool import ConvertedPicture
from tfstyle.data.collections.near_duplicates import FINGERPRINT_BYTES
from tfstyle.data.collections.sources import Source
from tfstyle.data.pictures import Conversion

logger = logging.getLogger(__name__)

SUFFIX = ".pictures"
_MOST_LINE_BYTES = 4096
_MOST_OPEN_FILES = 100  # a pipeline may write thousands


def make_header(conversion: Conversion) -> bytes:
    """Return the first line of a file: equal lines mean that pictures are equal too."""
    settings = {
        **dataclasses.asdict(conversion),
        "tfstyle": tfstyle.__version__,
        "pillow": PIL.__version__,
    }
    return json.dumps(settings).encode() + b"\n"


def make_entry(key: str, picture: ConvertedPicture) -> bytes:
    """Return an entry; `key` is that of `sources.sign_source`."""
    content = hashlib.sha256(picture.encoded).hexdigest()
    check = zlib.crc32(picture.fingerprint)
    line = f"{key} {len(picture.encoded)} {content} {check}\n"
    return line.encode() + picture.encoded + picture.fingerprint


@contextlib.contextmanager
def open_spool(folder: pathlib.Path, conversion: Conversion) -> Iterator["Spool"]:
    """Yield a spool that is deleted after success, and kept after a failure."""
    with Spool(folder, conversion) as spool:
        try:
            yield spool
        except BaseException:
            if spool.keys:
                logger.info(
                    "note: %s kept in %s: the same command goes on from there",
                    names.format_count(len(spool.keys), "converted picture"),
                    names.show(str(folder)),
                )
            spool.remove_empty()
            raise
        spool.remove()


class Spool:
    """The converted pictures of a collection, in any order.

    As a context manager it closes its files.

    Attributes:
        folder: where it is.
        sources: the sources of the pictures.
        contents: the sha256 of each encoded picture.
        keys: of the pictures, and of those that were refused.
        refuse: returns whether a picture is left out of `sources`; set it before
            pictures are loaded.
    """

    def __init__(self, folder: pathlib.Path, conversion: Conversion) -> None:
        self.folder = folder
        self.sources: list[Source] = []
        self.contents: list[str] = []
        self.keys: set[str] = set()
        self.refuse: Callable[[Source, ConvertedPicture], bool] = lambda *_: False
        self._header = make_header(conversion)
        self._names: list[str] = []  # of the files that are read or written
        # Of each picture: its file, where it begins there, and its length.
        self._places: list[tuple[int, int, int]] = []
        folder.mkdir(exist_ok=True)
        self._fingerprints = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._output: IO[bytes] | None = None
        self._inputs: dict[int, IO[bytes]] = {}

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._output, self._fingerprints, *self._inputs.values()):
            if file is not None:
                file.close()

    def __len__(self) -> int:
        return len(self.sources)

    def resume(self, wanted: Mapping[str, Source]) -> None:
        """Load what an interrupted command has converted, and log it."""
        foreign = self.load(wanted)
        if self.keys:
            logger.info(
                "resuming with %s, %d left to convert",
                names.format_count(len(self.keys), "converted picture"),
                len(wanted) - len(self.keys),
            )
        elif foreign:
            logger.info(
                "note: pictures converted with other settings are converted again"
            )

    def load(self, wanted: Mapping[str, Source]) -> int:
        """Take over the pictures of files that were not loaded yet.

        Args:
            wanted: the sources, by key; pictures of others are ignored.

        Returns:
            The number of files that hold pictures of other conversions. They are
            deleted.
        """
        foreign = 0
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path.name in self._names:
                continue
            with path.open("rb") as file:
                if file.readline(_MOST_LINE_BYTES) == self._header:
                    self._names.append(path.name)
                    while self._load_entry(file, wanted):
                        pass
                    continue
            path.unlink()
            foreign += 1
        return foreign

    def add(self, key: str, source: Source, picture: ConvertedPicture) -> None:
        """Write a picture."""
        if self._output is None:
            self._names.append(self.make_name() + SUFFIX)
            self._output = (self.folder / self._names[-1]).open("xb")
            self._output.write(self._header)
        entry = make_entry(key, picture)
        begin = self._output.tell() + entry.index(b"\n") + 1
        self._output.write(entry)
        content = entry.split(b" ", 3)[2].decode()
        place = (len(self._names) - 1, begin, len(picture.encoded))
        self._append(key, source, content, place, picture)

    def make_name(self) -> str:
        """Return a name, without suffix, that sorts behind those of all other files."""
        numbers = (path.name.split("-")[0] for path in self.folder.glob(f"*{SUFFIX}"))
        taken = [int(number.removesuffix(SUFFIX)) for number in numbers]
        return f"{max(taken, default=-1) + 1:05d}"

    def read(self, index: int) -> bytes:
        """Return an encoded picture."""
        number, begin, length = self._places[index]
        if number not in self._inputs:
            if self._output is not None:
                self._output.flush()
            if len(self._inputs) == _MOST_OPEN_FILES:
                self._inputs.pop(next(iter(self._inputs))).close()
            path = self.folder / self._names[number]
            self._inputs[number] = path.open("rb")
        file = self._inputs[number]
        file.seek(begin)
        return file.read(length)

    def map_fingerprints(self) -> np.ndarray:
        """Return uint8 [n, FINGERPRINT_BYTES], the fingerprints of all pictures."""
        self._fingerprints.flush()
        shape = (len(self), FINGERPRINT_BYTES)
        return np.memmap(self._fingerprints, np.uint8, "r", shape=shape)

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_empty(self) -> None:
        """Delete the folder if no file is in it."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _load_entry(self, file: IO[bytes], wanted: Mapping[str, Source]) -> bool:
        """Read an entry; return False if there is no more, or not a whole one."""
        line: Any = file.readline(_MOST_LINE_BYTES)
        try:
            key, length, content, check = line.decode("ascii").split()
            begin, length, check = file.tell(), int(length), int(check)
        except ValueError:
            return False
        encoded = file.read(length)
        fingerprint = file.read(FINGERPRINT_BYTES)
        if hashlib.sha256(encoded).hexdigest() != content:
            return False
        if len(fingerprint) < FINGERPRINT_BYTES or zlib.crc32(fingerprint) != check:
            return False
        if key in wanted and key not in self.keys:
            place = (len(self._names) - 1, begin, length)
            picture = ConvertedPicture(encoded, fingerprint)
            self._append(key, wanted[key], content, place, picture)
        return True

    def _append(
        self,
        key: str,
        source: Source,
        content: str,
        place: tuple[int, int, int],
        picture: ConvertedPicture,
    ) -> None:
        self.keys.add(key)
        if self.refuse(source, picture):
            return
        self.sources.append(source)
        self.contents.append(content)
        self._places.append(place)
        self._fingerprints.write(picture.fingerprint)
