"""Files are whole or not there, and a failed one is named."""

import errno

import numpy as np
import pytest

from tfstyle.core import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


def test_a_full_disk_is_reported_with_the_files_own_name(tmp_path):
    path = tmp_path / "picture.png"
    with (
        pytest.raises(OSError) as caught,
        files.replacing(path),
        open("/dev/full", "w") as full,
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
        files.replacing(tmp_path / "copy"),
    ):
        (tmp_path / "original").read_bytes()
    assert caught.value.filename == str(tmp_path / "original")


def test_arrays_read_back_under_a_name_of_any_suffix(tmp_path):
    codes = np.arange(6, dtype=np.float32).reshape(2, 3)
    files.write_npz(tmp_path / "new" / "codes", codes=codes)
    with np.load(tmp_path / "new" / "codes") as arrays:
        np.testing.assert_array_equal(arrays["codes"], codes)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["codes"]
