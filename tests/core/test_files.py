"""Files and folders are written whole or not at all, and errors name them."""

import contextlib
import errno
import itertools
import pathlib
import re
import shutil
import threading
import time

import numpy as np
import pytest

from tfstyle.core import files
from tfstyle.core.cli import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.atomic_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_a_full_disk_is_reported_with_the_files_own_name(tmp_path):
    path = tmp_path / "picture.png"
    with (
        pytest.raises(OSError) as caught,
        files.atomic_file(path),
        pathlib.Path("/dev/full").open("w") as full,
    ):
        full.write("x")
        full.flush()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)


def test_a_file_that_cannot_be_opened_is_reported_without_the_temporary_name(tmp_path):
    path = tmp_path / "curve"
    with pytest.raises(IsADirectoryError) as caught:
        path.mkdir()
        files.write_text(path, "x")
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == [path]


def test_another_files_error_keeps_its_name(tmp_path):
    with (
        pytest.raises(FileNotFoundError) as caught,
        files.atomic_file(tmp_path / "copy"),
    ):
        (tmp_path / "original").read_bytes()
    assert caught.value.filename == str(tmp_path / "original")


def test_arrays_read_back_under_a_name_of_any_suffix(tmp_path):
    codes = np.arange(6, dtype=np.float32).reshape(2, 3)
    files.write_npz(tmp_path / "new" / "codes", codes=codes)
    with np.load(tmp_path / "new" / "codes") as arrays:
        np.testing.assert_array_equal(arrays["codes"], codes)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["codes"]


def test_values_of_numpy_and_paths_become_json(tmp_path):
    value = {"mean": np.float32(0.5), "counts": np.arange(3), "folder": tmp_path}
    files.write_json(tmp_path / "value.json", value)
    assert files.read_json(tmp_path / "value.json") == {
        "mean": 0.5,
        "counts": [0, 1, 2],
        "folder": str(tmp_path),
    }


def test_a_corrupt_json_file_is_a_user_error_that_names_it(tmp_path):
    path = tmp_path / "value.json"
    path.write_text("{")
    with pytest.raises(UserError, match="value.json is corrupt: Expecting property"):
        files.read_json(path)


def test_a_temporary_folder_starts_empty_and_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "making"
    path.mkdir(parents=True)
    (path / "leftover").touch()
    with files.temporary_folder(path) as folder:
        assert list(folder.iterdir()) == []
        (folder / "half").touch()
    assert not path.exists()


def test_a_renamed_temporary_folder_stays(tmp_path):
    with files.temporary_folder(tmp_path / "making") as folder:
        (folder / "model").touch()
        folder.rename(tmp_path / "final")
    assert sorted(tmp_path.rglob("*")) == [
        tmp_path / "final",
        tmp_path / "final" / "model",
    ]


OWN_FILES = re.compile(r"\d+\.png|index")


def write_folder(folder, *names, overwrite=False):
    with files.atomic_folder(
        folder, own_files=OWN_FILES, last="index", overwrite=overwrite
    ) as partial:
        for name in names:
            (partial / name).write_text("new")


def texts_in(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_files_of_a_folder_appear_together(tmp_path):
    write_folder(tmp_path / "out", "0.png", "index")

    assert texts_in(tmp_path / "out") == {"0.png": "new", "index": "new"}


@pytest.mark.parametrize("exists", [True, False])
def test_after_a_failure_a_folder_is_as_before(exists, tmp_path):
    folder = tmp_path / "out"
    if exists:
        write_folder(folder, "0.png", "index")
    with (
        pytest.raises(RuntimeError),
        files.atomic_folder(
            folder, own_files=OWN_FILES, last="index", overwrite=True
        ) as partial,
    ):
        (partial / "1.png").touch()
        raise RuntimeError
    assert folder.exists() == exists
    assert not exists or sorted(texts_in(folder)) == ["0.png", "index"]


def test_overwriting_replaces_own_files_and_keeps_those_of_others(tmp_path):
    write_folder(tmp_path, "0.png", "1.png", "index")
    (tmp_path / "notes").write_text("mine")

    write_folder(tmp_path, "0.png", "index", overwrite=True)

    assert texts_in(tmp_path) == {"0.png": "new", "index": "new", "notes": "mine"}


@pytest.mark.parametrize(
    ("names", "content"),
    [
        (["0.png", "index"], "the complete output of an earlier command"),
        (["notes"], r"other files \(notes\)"),
        # Not marked as unfinished by a partial folder: of another program.
        (["0.png"], r"other files \(0.png\)"),
    ],
)
def test_an_occupied_folder_is_refused(names, content, tmp_path):
    for name in names:
        (tmp_path / name).write_text("old")
    with pytest.raises(UserError, match=f"already holds {content}.*--overwrite"):
        write_folder(tmp_path, "0.png", "index")
    assert texts_in(tmp_path) == dict.fromkeys(names, "old")


def test_what_a_killed_process_left_behind_is_replaced(tmp_path):
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "2.png").touch()
    (tmp_path / "1.png").touch()

    write_folder(tmp_path, "0.png", "index")

    assert texts_in(tmp_path) == {"0.png": "new", "index": "new"}


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_after_a_failure_no_parent_of_a_new_folder_is_left(failure, tmp_path):
    with (
        pytest.raises(failure),
        files.atomic_folder(
            tmp_path / "a" / "b" / "c", own_files=OWN_FILES, last="i", overwrite=False
        ),
    ):
        raise failure
    assert list(tmp_path.iterdir()) == []


def make_folder(path, text) -> pathlib.Path:
    path.mkdir()
    (path / "weights").write_text(text)
    return path


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_a_folder_takes_the_place_of_an_older_one(
    older, exchanges, tmp_path, monkeypatch
):
    if not exchanges:  # as on a system that cannot
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    if older:
        make_folder(tmp_path / "final", "old")
    new = make_folder(tmp_path / "new", "new")

    files.replace_folder(new, tmp_path / "final")

    assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert (tmp_path / "final" / "weights").read_text() == "new"


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("call", range(4))
def test_a_kill_at_any_moment_leaves_a_whole_folder(
    call, exchanges, tmp_path, monkeypatch
):
    """Each call that changes a folder is the last one in turn."""
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    final = make_folder(tmp_path / "final", "old")
    new = make_folder(tmp_path / "new", "new")
    calls = itertools.count()

    class Kill(BaseException):
        pass

    def kill_before(function):
        def wrapped(*arguments, **options):
            if next(calls) == call:
                raise Kill
            return function(*arguments, **options)

        return wrapped

    monkeypatch.setattr(pathlib.Path, "rename", kill_before(pathlib.Path.rename))
    monkeypatch.setattr(shutil, "rmtree", kill_before(shutil.rmtree))
    with contextlib.suppress(Kill):
        files.replace_folder(new, final)

    place = final if final.exists() else files.old_name(final)
    assert (place / "weights").read_text() in ("old", "new")
    assert final.exists() or not exchanges
    monkeypatch.undo()
    files.replace_folder(make_folder(tmp_path / "newer", "newer"), final)
    assert (final / "weights").read_text() == "newer"
    assert not files.old_name(final).exists()


def test_a_reader_always_finds_a_folder_that_is_replaced(tmp_path):
    final, stop, missing = tmp_path / "final", threading.Event(), []
    make_folder(final, "old")

    def watch():
        while not stop.is_set():
            if not (final / "weights").exists():
                missing.append(time.time())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(300):
        files.replace_folder(make_folder(tmp_path / f"new{number}", "new"), final)
    stop.set()
    watcher.join()
    assert not missing


@pytest.mark.parametrize(
    "content", [b"", b"?", b"null\n", b"PK\x03\x04", "half", "flip"]
)
def test_a_corrupt_archive_of_arrays_is_a_user_error_that_names_it(content, tmp_path):
    path = tmp_path / "codes.npz"
    files.write_npz(path, codes=np.arange(100.0))
    whole = bytearray(path.read_bytes())
    if content == "half":
        content = whole[: len(whole) // 2]
    elif content == "flip":
        whole[300] ^= 0x10
        content = whole
    path.write_bytes(content)
    with pytest.raises(UserError, match="codes.npz is corrupt"):
        files.read_npz(path)


@pytest.mark.parametrize("name", ["x" * 255, "\udcff", "a\nb"])
def test_a_file_of_any_name_is_written(name, tmp_path):
    files.write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_created_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write to .* is not a folder"):
        write_folder(tmp_path / "file" / "out", "index")


def test_a_full_disk_is_reported_with_the_folders_name(tmp_path):
    with (
        pytest.raises(OSError) as caught,
        files.atomic_folder(
            tmp_path / "out", own_files=OWN_FILES, last="index", overwrite=False
        ),
        pathlib.Path("/dev/full").open("w") as full,
    ):
        full.write("x")
        full.flush()
    assert caught.value.filename == str(tmp_path / "out")
    assert not (tmp_path / "out").exists()
