import io
import os
import pathlib
import stat
import struct
import tarfile
import types
import zipfile
import zlib

import pytest

from tfstyle.core import names
from tfstyle.core.cli import UserError
from tfstyle.data.collections import archives

LIMIT = 1000  # bytes of a member
TEXT = b"content"


def unpack(path, folder, limit=LIMIT):
    """Return what is left out, and the content of each file by its bytes' name."""
    folder.mkdir()
    left_out = archives.unpack(str(path), folder, limit)
    content = {
        names.from_path(str(found.relative_to(folder))): found.read_bytes()
        for found in folder.rglob("*")
        if found.is_file()
    }
    return left_out, content


def write_zip(path, members, **settings):
    """Write a zip file of (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path, members, mode="w"):
    """Write a tar file of (TarInfo or name, content)."""
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else None
            info = info or tarfile.TarInfo(member)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def link(kind, name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "suffix",
    [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"],
)
def test_files_of_every_kind_of_archive_are_unpacked(tmp_path, suffix):
    members = [("a/b/1.png", TEXT), ("./c/2", b""), ("Dürer/ü.png", b"3")]
    path = tmp_path / f"in{suffix}"
    if suffix == ".zip":
        write_zip(path, members, compression=zipfile.ZIP_DEFLATED)
    else:
        kinds = {".tgz": "gz", ".tbz2": "bz2", ".txz": "xz"}
        kind = kinds.get(suffix, suffix.removeprefix(".tar").strip("."))
        write_tar(path, members, f"w:{kind}")
    assert archives.is_archive(str(path))
    left_out, content = unpack(path, tmp_path / "out")
    assert left_out == []
    assert content == {"a/b/1.png": TEXT, "c/2": b"", "Dürer/ü.png": b"3"}


def test_nothing_is_written_outside_the_folder(tmp_path):
    bad = ["../up.png", "a/../../up.png", "/abs.png", "a/../b.png"]
    bad.append("x" * 300)  # longer than names can be
    for path in (
        write_zip(tmp_path / "a.zip", [*((n, TEXT) for n in bad), ("ok/1", TEXT)]),
        write_tar(tmp_path / "a.tar", [*((n, TEXT) for n in bad), ("ok/1", TEXT)]),
    ):
        left_out, content = unpack(path, tmp_path / f"{path.name}.out")
        assert left_out == [(name, "impossible_path") for name in bad]
        assert content == {"ok/1": TEXT}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a.tar", "a.tar.out", "a.zip", "a.zip.out"]
    )


def test_symbolic_links_and_devices_are_left_out(tmp_path):
    symbolic = zipfile.ZipInfo("link")
    symbolic.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", [(symbolic, b"/etc")])
    assert unpack(path, tmp_path / "zip") == ([("link", "link_in_archive")], {})

    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    members = [
        ("a/1", TEXT),
        (link(tarfile.LNKTYPE, "b/1", "a/1"), b""),  # has the content of the other
        (link(tarfile.SYMTYPE, "c", "/etc"), b""),
        ("c/passwd", b"mine"),  # no link leads it elsewhere
        (link(tarfile.LNKTYPE, "d", "../secret"), b""),
        (link(tarfile.LNKTYPE, "e", "nowhere"), b""),
        (pipe, b""),
    ]
    (tmp_path / "secret").write_bytes(b"secret")
    left_out, content = unpack(write_tar(tmp_path / "a.tar", members), tmp_path / "tar")
    assert content == {"a/1": TEXT, "b/1": TEXT, "c/passwd": b"mine"}
    assert left_out == [
        ("c", "link_in_archive"),
        ("d", "impossible_path"),
        ("e", "link_in_archive"),
        ("pipe", "not_a_regular_file"),
    ]


def test_members_above_the_limit_are_left_out_by_their_heads(tmp_path):
    big = bytes(LIMIT + 1)
    members = [("big", big), ("small", bytes(LIMIT))]
    for path in (
        write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED),
        write_tar(tmp_path / "a.tar.gz", members, "w:gz"),
    ):
        left_out, content = unpack(path, tmp_path / f"{path.name}.out")
        assert left_out == [("big", "too_large")]
        assert content == {"small": bytes(LIMIT)}


def test_a_member_that_is_larger_than_its_head_says_is_damaged(tmp_path):
    path = write_zip(
        tmp_path / "a.zip", [("x", bytes(900))], compression=zipfile.ZIP_DEFLATED
    )
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2") + 24  # the size in the directory
    data[place : place + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    assert unpack(path, tmp_path / "out") == ([("x", "unreadable")], {})


def test_an_archive_that_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    members = [("a", bytes(400)), ("b", bytes(400))]
    monkeypatch.setattr(
        archives.shutil,
        "disk_usage",
        lambda _: types.SimpleNamespace(free=500),
    )
    with pytest.raises(UserError, match="no space left on the disk: .*a.zip takes"):
        unpack(write_zip(tmp_path / "a.zip", members), tmp_path / "zip")
    # The sizes of a tar file are known one by one.
    path = write_tar(tmp_path / "a.tar", [("a", bytes(501))])
    with pytest.raises(UserError, match="no space left on the disk: .*a.tar takes"):
        unpack(path, tmp_path / "tar")


@pytest.mark.parametrize(
    ("name", "flags", "system", "extra", "expected"),
    [
        ("Dürer/1".encode(), 1 << 11, 0, b"", "Dürer/1"),
        # Of zip on Linux and macOS, which do not set the flag.
        ("Dürer/1".encode(), 0, 3, b"", "Dürer/1"),
        # Of Windows: code pages 437 and 932. Bytes stay what they are.
        ("Dürer/1".encode("cp437"), 0, 0, b"", "D\udc81rer/1"),
        ("高橋/1".encode("cp932"), 0, 0, b"", names.decode("高橋/1".encode("cp932"))),
        ("Dürer\\1".encode(), 0, 0, b"", "Dürer/1"),
        (b"a\\b/1", 0, 3, b"", "a\\b/1"),
        # The name in UTF-8 belongs to it only with the right checksum.
        (b"D?rer/1", 0, 0, b"right", "Dürer/1"),
        (b"D?rer/1", 0, 0, b"wrong", "D?rer/1"),
    ],
)
def test_names_of_zip_files_are_their_bytes(
    tmp_path, name, flags, system, extra, expected
):
    if extra:
        crc = zlib.crc32(name) ^ (extra == b"wrong")
        field = struct.pack("<BL", 1, crc) + "Dürer/1".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
    path = tmp_path / "a.zip"
    head = struct.pack(
        "<HHHHLLLHH", flags, 0, 0, 33, zlib.crc32(TEXT), 7, 7, len(name), len(extra)
    )
    local = b"PK\3\4" + struct.pack("<H", 20) + head + name + extra
    central = b"PK\1\2" + struct.pack("<BBH", 20, system, 20) + head
    central += struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name + extra
    end = b"PK\5\6" + struct.pack(
        "<HHHHLLH", 0, 0, 1, 1, len(central), len(local) + len(TEXT), 0
    )
    path.write_bytes(local + TEXT + central + end)
    assert unpack(path, tmp_path / "out") == ([], {expected: TEXT})


def test_damaged_and_encrypted_members_do_not_stop_the_others(tmp_path):
    path = write_zip(
        tmp_path / "a.zip", [("a", b"first"), ("b", b"second"), ("c", b"third")]
    )
    data = bytearray(path.read_bytes())
    data[data.index(b"second")] ^= 1  # the checksum is wrong now
    # The flag for encryption, in the directory.
    third = data.index(b"PK\1\2", data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 1)
    data[third + 8] |= 1
    path.write_bytes(data)
    left_out, content = unpack(path, tmp_path / "out")
    assert left_out == [("b", "unreadable"), ("c", "encrypted")]
    assert content == {"a": b"first"}


def test_an_unknown_compression_is_named(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("a", TEXT)])
    data = bytearray(path.read_bytes())
    for place in (8, data.index(b"PK\1\2") + 10):
        data[place] = 9  # deflate64
    path.write_bytes(data)
    assert unpack(path, tmp_path / "out") == ([("a", "unreadable")], {})


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
@pytest.mark.parametrize("change", ["cut", "tail", "text", "empty"])
def test_a_damaged_archive_is_one_line(tmp_path, suffix, change):
    if (suffix, change) == (".zip", "tail"):
        pytest.skip("the directory at the end is whole: members are damaged one by one")
    path = tmp_path / f"a{suffix}"
    members = [(str(i), os.urandom(900)) for i in range(50)]
    if suffix == ".zip":
        write_zip(path, members)
    else:
        write_tar(path, members, f"w:{suffix.removeprefix('.tar').strip('.')}")
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "cut": data[:middle],
            "tail": data[middle:],
            "text": b"hello",
            "empty": b"",
        }[change]
    )
    with pytest.raises(UserError, match=f"a{suffix} is cut short, damaged, or no"):
        unpack(path, tmp_path / "out")


def test_a_name_that_is_no_text_although_it_should_be_is_one_line(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("ü", TEXT)])
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xff"))
    with pytest.raises(UserError, match="a.zip is cut short, damaged, or no archive"):
        unpack(path, tmp_path / "out")


def test_a_tar_file_with_a_damaged_head_does_not_end_there(tmp_path):
    path = write_tar(tmp_path / "a.tar", [(str(i), TEXT) for i in range(3)])
    data = bytearray(path.read_bytes())
    data[1024] ^= 1  # the second member's name, which its checksum covers
    path.write_bytes(data)
    with pytest.raises(UserError, match="is cut short, damaged"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_wrong_checksum_of_the_compression_is_found(tmp_path, kind):
    path = write_tar(tmp_path / f"a.tar.{kind}", [("a", TEXT)], f"w:{kind}")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is cut short, damaged"):
        unpack(path, tmp_path / "out")


def test_the_last_of_members_with_one_name_counts(tmp_path):
    members = [("a", b"old"), ("a", b"new"), ("b", TEXT), ("b/c", TEXT)]
    with pytest.warns(UserWarning, match="Duplicate name"):
        write_zip(tmp_path / "a.zip", members)
    for path in (tmp_path / "a.zip", write_tar(tmp_path / "a.tar", members)):
        left_out, content = unpack(path, tmp_path / f"{path.name}.out")
        assert left_out == [("a", "repeated_member"), ("b/c", "impossible_path")]
        assert content == {"a": b"new", "b": TEXT}


def test_times_are_those_of_the_archive(tmp_path):
    info = tarfile.TarInfo("a")
    info.mtime = 1_000_000_001
    write_tar(tmp_path / "a.tar", [(info, b"")])
    unpack(tmp_path / "a.tar", tmp_path / "tar")
    assert (tmp_path / "tar" / "a").stat().st_mtime == 1_000_000_001
    member = zipfile.ZipInfo("a", (2001, 9, 9, 1, 46, 42))
    write_zip(tmp_path / "a.zip", [(member, b"")])
    unpack(tmp_path / "a.zip", tmp_path / "zip")
    assert (tmp_path / "zip" / "a").stat().st_mtime == 1_000_000_002  # in UTC


def test_only_files_with_the_suffix_are_archives(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    assert not archives.is_archive(str(tmp_path / "folder.zip"))
    assert not archives.is_archive(str(tmp_path / "missing.zip"))
    path = pathlib.Path(tmp_path, "A.ZIP")
    path.touch()
    assert archives.is_archive(str(path))


def test_a_hard_link_of_a_file_to_itself_changes_nothing(tmp_path):
    """GNU tar writes one for a file that its command line lists twice."""
    repeated = [link(tarfile.LNKTYPE, name, "a.png") for name in ("a.png", "./a.png")]
    members = [("a.png", TEXT), *((info, b"") for info in repeated)]
    path = write_tar(tmp_path / "in.tar", members)
    left_out, content = unpack(path, tmp_path / "out")
    assert (left_out, content) == ([], {"a.png": TEXT})


@pytest.mark.parametrize("time", ["1e400", "nan", "-1e400", "1e30"])
def test_impossible_times_are_the_first_second(tmp_path, time):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"mtime": time}
    path = write_tar(tmp_path / "in.tar", [(info, TEXT)])
    left_out, content = unpack(path, tmp_path / "out")
    assert (left_out, content) == ([], {"a.png": TEXT})
    assert (tmp_path / "out" / "a.png").stat().st_mtime == 0


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("size", [1, 200_000])  # less and more than tarfile reads ahead
def test_joined_tar_files_are_an_error_rather_than_a_part(tmp_path, suffix, size):
    mode = "w:gz" if suffix == ".tar.gz" else "w"
    parts = [
        write_tar(tmp_path / f"{name}.tar", [(f"{name}.png", b"x" * size)], mode)
        for name in "ab"
    ]
    joined = tmp_path / f"in{suffix}"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match="goes on behind its end.*ignore-zeros"):
        unpack(joined, tmp_path / "out", limit=10**6)


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE]
)
def test_names_of_megabytes_are_not_read_into_memory(tmp_path, kind):
    info = tarfile.TarInfo("a.png")
    info.type, info.size = kind, 3 << 20
    path = tmp_path / "in.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size + 1024))
    with pytest.raises(UserError, match="a name of 3145728 bytes"):
        unpack(path, tmp_path / "out")


def test_an_archive_has_its_name_with_and_without_suffix(tmp_path):
    for name in ("Works.ZIP", "old.works.tar.gz", "plain"):
        (tmp_path / name).touch()
    assert archives.list_names(str(tmp_path / "Works.ZIP")) == ["Works.ZIP", "Works"]
    names = archives.list_names(str(tmp_path / "old.works.tar.gz"))
    assert names == ["old.works.tar.gz", "old.works"]
    assert archives.list_names(str(tmp_path / "plain")) == []
    assert archives.list_names(str(tmp_path)) == []
