"""Works of excluded artists, so that none comes back from another folder.

A copy may be another file: saved again in another format, size, or quality. Excluded
works are therefore converted like the pictures of the records, and compared with each.
Where faces are cut out, whole pictures are compared, too.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfstyle.core import names
from tfstyle.core.progress import track
from tfstyle.data.collections.conversion_pool import ConvertedPicture, convert_all
from tfstyle.data.collections.near_duplicates import FINGERPRINT_BYTES, NearFinder
from tfstyle.data.collections.sources import COPIED, Source
from tfstyle.data.collections.walking import SkippedFile
from tfstyle.data.pictures import Conversion

logger = logging.getLogger(__name__)

NEAR = "near_copy_of_excluded"
_NAMED = 5  # pictures in a note


class ExcludedWorks:
    """Finds pictures that are copies of excluded works.

    Args:
        sources: the excluded works; those that cannot be read are skipped.
        conversion: that of the records.
        num_workers: processes that convert them.
        find_near: whether near-identical pictures count as copies, too.

    Attributes:
        skipped: the pictures that `refuse` refused, with the reason.
        copies: the excluded work of each, by name.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        conversion: Conversion,
        num_workers: int,
        find_near: bool,
    ) -> None:
        # A copy may be larger than a work that is too small itself.
        self._conversion = dataclasses.replace(conversion, min_size=1)
        self._num_workers = num_workers
        faces = [source for source in sources if source.face]
        whole = [source for source in sources if not source.face]
        sources = [*_list_whole([*whole, *faces]), *faces]
        results = convert_all(sources, self._conversion, num_workers)
        if sources:
            results = track(results, len(sources), "reading excluded works")
        self.skipped: list[SkippedFile] = []
        self.copies: dict[str, str] = {}
        self._names: list[str] = []
        self._by_content: dict[str, str] = {}
        fingerprints = bytearray()
        unreadable = 0
        for source, result in results:
            if not isinstance(result, ConvertedPicture):
                unreadable += source.face is None
                continue
            self._by_content.setdefault(hash_content(result), source.name)
            if find_near:
                self._names.append(source.name)
                fingerprints += result.fingerprint
        if unreadable:
            logger.info(
                "note: %s of excluded artists cannot be read; only equal files of such "
                "works are left out in other folders",
                names.format_count(unreadable, "work"),
            )
        shape = (len(self._names), FINGERPRINT_BYTES)
        rows = np.frombuffer(fingerprints, np.uint8).reshape(shape)
        self._near = NearFinder(rows) if self._names else None

    def drop_copies(self, sources: Sequence[Source]) -> list[Source]:
        """Return sources without faces in whole pictures that are copies; note these.

        `refuse` compares the faces, and pictures that are used as a whole.
        """
        whole = _list_whole([source for source in sources if source.face])
        if not whole or not self._by_content:
            return [*sources]
        results = track(
            convert_all(whole, self._conversion, self._num_workers),
            *(len(whole), "comparing whole pictures"),
        )
        copies: dict[str, tuple[str, str]] = {}
        for source, result in results:
            found = isinstance(result, ConvertedPicture) and self.find(result)
            if found:
                copies[source.path] = found
        left = []
        for source in sources:
            if source.face and source.path in copies:
                reason, self.copies[source.name] = copies[source.path]
                self.skipped.append((source.name, reason))
            else:
                left.append(source)
        return left

    def refuse(self, source: Source, picture: ConvertedPicture) -> bool:
        """Return whether a picture is left out, and note it if it is."""
        found = self.find(picture)
        if found is None:
            return False
        reason, self.copies[source.name] = found
        self.skipped.append((source.name, reason))
        return True

    def find(self, picture: ConvertedPicture) -> tuple[str, str] | None:
        """Return why a picture is left out, and the excluded work; None if it is not.

        The reason is `sources.COPIED` for equal pixels, `NEAR` for nearly equal ones.
        """
        name = self._by_content.get(hash_content(picture))
        if name is not None:
            return COPIED, name
        row = self._near.find(picture.fingerprint) if self._near else None
        return None if row is None else (NEAR, self._names[row])


def _list_whole(sources: Iterable[Source]) -> list[Source]:
    """Return each picture once, as a whole."""
    by_path: dict[str, Source] = {}
    for source in sources:
        by_path.setdefault(source.path, dataclasses.replace(source, face=None))
    return [*by_path.values()]


def hash_content(picture: ConvertedPicture) -> str:
    """Return sha256 of a picture as records hold it; equal for equal pixels."""
    return hashlib.sha256(picture.encoded).hexdigest()


def log_near_copies(skipped: Iterable[SkippedFile], copies: Mapping[str, str]) -> None:
    """Log a note that names pictures left out as near-identical to excluded works.

    Args:
        skipped: names and reasons of pictures that are left out.
        copies: the excluded work of each that is a copy.
    """
    near = [name for name, reason in skipped if reason == NEAR]
    if near:
        shown = [
            f"{names.show(name)} ({names.show(copies[name])})" for name in near[:_NAMED]
        ]
        logger.info(
            "note: %s nearly identical to works of excluded artists and left out: %s%s "
            "(--nojoin_near_duplicates keeps such pictures)",
            names.format_count(len(near), "picture is", "pictures are"),
            *(", ".join(shown), ", .." * (len(near) > _NAMED)),
        )
