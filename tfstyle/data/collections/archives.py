"""Archives: zip and tar files, unpacked into a folder without trusting them.

Only regular files and folders are unpacked, and only below the target folder. Names
stay the bytes that the archive holds (see `core.names`).
"""

import bz2
import calendar
import contextlib
import dataclasses
import errno
import gzip
import io
import lzma
import os
import pathlib
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.core.progress import progress_bar

SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),
)
# What damaged compressed files raise, beside OSError without a number.
COMPRESSION_ERRORS = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
# ValueError: a name that is not UTF-8 although its flag says so, or impossible numbers.
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, ValueError, *COMPRESSION_ERRORS)
_BLOCK = 1 << 20
_LAST_SECOND = 1 << 32  # that any file system stores
# Heads of a tar file that hold names and other fields of the next member.
_NAME_TYPES = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE),
    *(tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_MOST_NAME_BYTES = 1 << 20
_ENCRYPTED, _NAME_IS_UTF_8 = 1, 1 << 11  # flags of a zip file's member
_MADE_ON_DOS = 0
_UNICODE_PATH = 0x7075  # a zip file's extra field: the name in UTF-8
# Errors about a name, not about the disk.
_BAD_NAME = {
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.EINVAL, errno.EILSEQ),
}


@dataclasses.dataclass(frozen=True)
class _Member:
    """A member of an archive.

    Attributes:
        name: its path.
        reason: why it is left out, or None.
        size: its bytes, unpacked.
        bytes_left: what this and later members take, as far as is known.
        packed: how many bytes of the archive are read after it.
        seconds: its modification time.
        is_folder: whether it is a folder.
        open: opens its content; None for the content of another member.
        copy_of: the name of that member.
        alone: whether other members are whole if this is damaged.
    """

    name: str
    reason: str | None
    size: int
    bytes_left: int
    packed: int
    seconds: float
    is_folder: bool
    open: Callable[[], IO[bytes] | None] | None
    copy_of: str = ""
    alone: bool = False


class _MemberError(Exception):
    """A member that is left out; the text is the reason."""


def is_archive(path: str) -> bool:
    """Return whether a path is a file with the suffix of an archive."""
    return path.lower().endswith(SUFFIXES) and pathlib.Path(path).is_file()


def list_names(path: str) -> list[str]:
    """List the names of an archive, with suffix and without; none of anything else."""
    name = pathlib.PurePath(path).name
    if not is_archive(path):
        return []
    suffixes = [end for end in SUFFIXES if name.lower().endswith(end)]
    return [name, *(name[: -len(end)] for end in suffixes)]


def unpack(path: str, folder: pathlib.Path, max_bytes: int) -> list[tuple[str, str]]:
    """Unpack an archive into an empty folder.

    Args:
        path: the archive, with one of `SUFFIXES`.
        folder: where to unpack it.
        max_bytes: larger members are left out.

    Returns:
        The names of the members that are left out, with the reasons "impossible_path"
        (absolute, with `..`, or not possible on this disk), "link_in_archive"
        (symbolic), "encrypted", "too_large", "unreadable" (damaged, or compressed in
        an unknown way), "not_a_regular_file", and "repeated_member" (a later one has
        the same name).

    Raises:
        UserError: the archive is damaged, or too large for the disk.
        OSError: writing failed; `filename` is set.
    """
    left_out = []
    read = _read_zip if path.lower().endswith(".zip") else _read_tar
    total = pathlib.Path(path).stat().st_size
    with progress_bar(max(1, total), "unpacking") as bar:
        try:
            for member in read(path, max_bytes):
                _require_space(member, path, folder)
                try:
                    if _store(member, folder):
                        left_out.append((member.name, "repeated_member"))
                except _MemberError as error:
                    left_out.append((member.name, str(error)))
                bar.update(max(0, min(member.packed, total) - bar.n))
        except UserError:
            raise
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and not _is_damage(error):
                error.filename = error.filename or str(folder)  # a full disk has none
                raise
            raise UserError(
                f"{names.show(path)} is cut short, damaged, or no archive"
                f" ({str(error) or type(error).__name__}): copy or download it again"
            ) from None
    return left_out


def open_compressed(file: io.BufferedReader) -> IO[bytes]:
    """Return the content of a plain, gzip, bzip2, or xz file, told by its first bytes.

    Reading it raises `COMPRESSION_ERRORS` or OSError if the file is damaged.
    """
    start = file.peek(6)
    for magic, opener in _OPENERS.items():
        if start.startswith(magic):
            content: IO[bytes] = opener(file)
            return content
    return file


def _store(member: _Member, folder: pathlib.Path) -> bool:
    """Write a member below the folder; return whether it replaces an earlier one.

    Raises:
        _MemberError: it is left out.
    """
    if member.reason:
        raise _MemberError(member.reason)
    path = _place(member.name, folder)
    try:
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        replaced = os.path.lexists(path)
        if member.open is None and replaced:
            with contextlib.suppress(FileNotFoundError):
                if path.samefile(_place(member.copy_of, folder)):
                    return False  # as GNU tar stores a file that is listed twice
        with path.open("wb") as file:
            try:
                _copy(member, folder, file)
            except _MemberError:
                path.unlink()
                raise
    except OSError as error:
        if error.errno not in _BAD_NAME:
            raise
        raise _MemberError("impossible_path") from None
    # The same in each unpacking: records tell by it whether a picture has changed.
    in_range = 0 <= member.seconds <= _LAST_SECOND  # a tar file may say 1e400 or nan
    seconds = int(member.seconds) if in_range else 0
    os.utime(path, (seconds, seconds))
    return replaced


def _place(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Return where a member belongs, which is below the folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _MemberError("impossible_path")
    return folder.joinpath(*map(names.to_path, parts))


def _copy(member: _Member, folder: pathlib.Path, target: IO[bytes]) -> None:
    try:
        if member.open is None:
            # All files below the folder are regular ones, unpacked before.
            source: IO[bytes] | None = _place(member.copy_of, folder).open("rb")
        else:
            source = member.open()
        assert source is not None  # of a regular file
        with source:
            while block := source.read(_BLOCK):
                target.write(block)
    except FileNotFoundError:  # a hard link to a member that was left out
        raise _MemberError("link_in_archive") from None
    # The last two: for an unknown compression, and for a strange kind of encryption.
    except (*_DAMAGE, OSError, NotImplementedError, RuntimeError) as error:
        if not member.alone or (isinstance(error, OSError) and not _is_damage(error)):
            raise
        raise _MemberError("unreadable") from None


def _is_damage(error: OSError) -> bool:
    """Return whether an error is about what a file holds, not about the disk."""
    return isinstance(error, _DAMAGE) or error.errno is None


def _require_space(member: _Member, path: str, folder: pathlib.Path) -> None:
    free = shutil.disk_usage(folder).free
    if not member.reason and member.bytes_left > free:
        raise UserError(
            f"no space left on the disk: {names.show(path)} takes"
            f" {member.bytes_left / 1e9:.2f} GB more, unpacked, and"
            f" {names.show(str(folder.parent))} has {free / 1e9:.2f} GB: choose a"
            " folder on a larger disk"
        )


def _read_zip(path: str, max_bytes: int) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        bytes_left = sum(
            info.file_size for info in archive.infolist() if info.file_size <= max_bytes
        )
        packed = 0
        for info in archive.infolist():
            mode = info.external_attr >> 16
            reason = None
            if stat.S_ISLNK(mode):
                reason = "link_in_archive"
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                reason = "not_a_regular_file"
            elif info.flag_bits & _ENCRYPTED:
                reason = "encrypted"
            elif info.file_size > max_bytes:
                reason = "too_large"
            seconds = 0
            with contextlib.suppress(ValueError):  # month 0, of an unknown time
                seconds = calendar.timegm(info.date_time)
            packed += info.compress_size
            name = _read_zip_name(info)
            yield _Member(
                name=name,
                reason=reason,
                size=info.file_size,
                bytes_left=bytes_left,
                packed=packed,
                seconds=seconds,
                is_folder=name.endswith("/") or stat.S_ISDIR(mode),
                open=lambda info=info: archive.open(info),  # type: ignore[misc]
                alone=True,
            )
            if info.file_size <= max_bytes:
                bytes_left -= info.file_size


def _read_zip_name(info: zipfile.ZipInfo) -> str:
    """Return a name by its bytes, whatever encoding they are in.

    Only newer programs write UTF-8 and say so. Others write the encoding of their
    system, which zipfile takes for code page 437.
    """
    if info.flag_bits & _NAME_IS_UTF_8:
        name = names.decode(info.orig_filename.encode("utf-8", "surrogateescape"))
    else:
        data = info.orig_filename.encode("cp437")
        name = _find_unicode_path(info.extra, data) or names.decode(data)
    return name.replace("\\", "/") if info.create_system == _MADE_ON_DOS else name


def _find_unicode_path(extra: bytes, name: bytes) -> str | None:
    """Return the name in UTF-8 that some programs add, if it belongs to `name`."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and field[1:5] == struct.pack("<L", zlib.crc32(name)):
            return names.decode(field[5:])
    return None


class _TarInfo(tarfile.TarInfo):
    """Raises errors where tarfile takes a damaged head for the end of the archive.

    And where it would read a name of gigabytes into memory.
    """

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "_TarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.type in _NAME_TYPES and info.size > _MOST_NAME_BYTES:
            raise tarfile.ReadError(f"a name of {info.size} bytes")
        return info

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_TarInfo":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def _read_tar(path: str, max_bytes: int) -> Iterator[_Member]:
    with (
        pathlib.Path(path).open("rb") as stored,
        open_compressed(stored) as content,
        tarfile.open(
            fileobj=content,
            mode="r|",
            tarinfo=_TarInfo,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive,
    ):
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined] # else it keeps them all
            reason = None
            if info.issym():
                reason = "link_in_archive"
            elif not (info.isreg() or info.isdir() or info.islnk()):
                reason = "not_a_regular_file"
            elif info.size > max_bytes:
                reason = "too_large"
            yield _Member(
                name=info.name,
                reason=reason,
                size=info.size,
                bytes_left=info.size,
                packed=stored.tell(),
                seconds=info.mtime,
                is_folder=info.isdir(),
                open=None
                if info.islnk()
                else lambda info=info: archive.extractfile(info),  # type: ignore[misc]
                copy_of=info.linkname,
            )
        behind = False
        # What tarfile has read ahead first, then up to the checksum.
        while block := archive.fileobj.read(_BLOCK):  # type: ignore[union-attr]
            behind = behind or bool(block.strip(b"\0"))
        if behind:
            raise UserError(
                f"{names.show(path)} goes on behind its end, as several tar files that"
                " were joined do: unpack it (tar --ignore-zeros -xf), and pass the"
                " folder"
            )
