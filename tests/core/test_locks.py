"""Two processes never write to one folder, and no lock harms or blocks anybody."""

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from tfstyle.core import locks
from tfstyle.core.cli import UserError
from tfstyle.core.locks import folder_lock, sibling_lock

HOLD = (
    "import sys, time\n"
    "from tfstyle.core.locks import folder_lock\n"
    "with folder_lock(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)\n"
)
# Reads a number, waits a moment and writes the next one, several times.
COUNT = (
    "import pathlib, sys, time\n"
    "from tfstyle.core.locks import folder_lock\n"
    "path = pathlib.Path(sys.argv[1], 'number')\n"
    "for _ in range(10):\n"
    "    with folder_lock(sys.argv[1], wait=True):\n"
    "        number = int(path.read_text()) if path.exists() else 0\n"
    "        time.sleep(0.001)\n"
    "        path.write_text(str(number + 1))\n"
)


def start(program: str, folder: pathlib.Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def names_in(folder: pathlib.Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path / "out"."""
    with start(HOLD, tmp_path / "out") as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_refused_with_one_line_that_names_the_folder(
    holder, tmp_path
):
    with (
        pytest.raises(UserError, match="another command is writing to") as caught,
        folder_lock(tmp_path / "out"),
    ):
        pass
    assert str(tmp_path / "out") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_waiting_for_a_lock_ends_with_the_same_line(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.2)
    with (
        pytest.raises(UserError, match="another command is writing to"),
        folder_lock(tmp_path / "out", wait=True),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lock_ends_with_its_process(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait(timeout=30)

    with folder_lock(tmp_path / "out"):
        pass
    assert not list(tmp_path.glob("out/*"))


def test_other_folders_and_other_parts_of_a_folder_are_free(holder, tmp_path):
    with (
        folder_lock(tmp_path),
        folder_lock(tmp_path / "out2"),
        folder_lock(tmp_path / "out", name=".part.lock"),
    ):
        pass


def test_processes_that_wait_lose_no_update(tmp_path):
    processes = [start(COUNT, tmp_path / "out") for _ in range(6)]

    assert [process.wait(timeout=60) for process in processes] == [0] * 6

    assert (tmp_path / "out" / "number").read_text() == "60"
    assert names_in(tmp_path / "out") == ["number"]


def test_a_folder_is_created_and_removed_if_nothing_was_written(tmp_path):
    with folder_lock(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").is_dir()
    assert not list(tmp_path.iterdir())

    with folder_lock(tmp_path / "new" / "folder"):
        (tmp_path / "new" / "file").touch()
    assert names_in(tmp_path / "new") == ["file"]


def test_an_error_inside_passes_and_frees_the_lock(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), folder_lock(tmp_path):
            _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_a_symbolic_link_in_place_of_the_lock_file_is_refused(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("content")
    (tmp_path / "out").mkdir()
    for target in (precious, tmp_path / "missing", tmp_path):
        link = tmp_path / "out" / locks.LOCK_FILE
        link.symlink_to(target)
        with pytest.raises(UserError, match="delete it"), folder_lock(tmp_path / "out"):
            pass
        assert link.is_symlink()
        link.unlink()
    assert precious.read_text() == "content"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_place_of_the_lock_file_is_refused(tmp_path, make):
    make(tmp_path / locks.LOCK_FILE)

    with (
        pytest.raises(UserError, match=r"\.tfstyle\.lock is no lock file"),
        folder_lock(tmp_path),
    ):
        pass
    assert (tmp_path / locks.LOCK_FILE).exists()


@pytest.mark.parametrize("linked", [False, True])
def test_a_file_with_content_in_place_of_the_lock_file_is_unchanged(tmp_path, linked):
    path = tmp_path / locks.LOCK_FILE
    path.write_text("not ours")
    if linked:
        os.link(path, tmp_path / "its other name")

    with folder_lock(tmp_path):
        pass

    assert path.read_text() == "not ours"


def test_a_lock_file_that_was_left_behind_blocks_nobody(tmp_path):
    (tmp_path / locks.LOCK_FILE).touch(mode=0o444)

    with folder_lock(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_replaced_meanwhile_is_no_longer_the_lock(tmp_path):
    """Its holder must not delete the new one, which another process may hold."""
    path = tmp_path / locks.LOCK_FILE
    with folder_lock(tmp_path):
        path.unlink()
        path.touch()
    assert path.exists()


@pytest.mark.parametrize("folder", ["/sys/tfstyle/out", "/proc/tfstyle"])
def test_a_folder_that_cannot_be_created_is_named(folder):
    with (
        pytest.raises(UserError, match=f"cannot write to {folder}: "),
        folder_lock(folder),
    ):
        pass


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name, reason in {
        **dict.fromkeys(["out", "out/inner"], "out is not a folder"),
        **dict.fromkeys(["link", "link/inner"], "link is a link that leads nowhere"),
    }.items():
        folder = tmp_path / name
        with (
            pytest.raises(
                UserError, match=f"cannot write to {folder}: {tmp_path}/{reason}"
            ),
            folder_lock(folder),
        ):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with (
        pytest.raises(UserError, match="cannot write to .*: Permission denied"),
        folder_lock(tmp_path),
    ):
        pass
    with sibling_lock(tmp_path / "stage"):  # what is inside may be writable
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_noted(tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)  # no such disk is at hand
    with folder_lock(tmp_path):
        pass
    with sibling_lock(tmp_path / "stage"):
        pass

    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(f"note: {tmp_path} cannot be locked (")


# Locks beside a folder.


def test_a_folder_may_be_deleted_while_its_sibling_lock_is_held(tmp_path):
    (tmp_path / "stage").mkdir()
    with sibling_lock(tmp_path / "stage"):
        (tmp_path / "stage").rmdir()
        with (
            pytest.raises(UserError, match="is writing to .*stage"),
            sibling_lock(tmp_path / "stage"),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_links_to_one_folder_have_one_sibling_lock(tmp_path):
    for name in ("a/stage", "b", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "b" / "stage").symlink_to("../a/stage")
    (tmp_path / "c" / "other").symlink_to("../a/stage")
    with (
        sibling_lock(tmp_path / "b" / "stage"),
        pytest.raises(UserError, match="is writing to .*c/other"),
        sibling_lock(tmp_path / "c" / "other"),
    ):
        pass


def test_a_symbolic_link_in_place_of_a_sibling_lock_is_refused(tmp_path):
    (tmp_path / "precious").write_text("content")
    (tmp_path / ".stage.lock").symlink_to("precious")

    with pytest.raises(UserError, match="delete it"), sibling_lock(tmp_path / "stage"):
        pass
    assert (tmp_path / "precious").read_text() == "content"
