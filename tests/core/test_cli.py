"""Commands write log messages as plain lines and fail with one line."""

import os
import pathlib
import pty
import subprocess
import sys

import pytest

from helpers.commands import error_line, run_code
from tfstyle.core import cli


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run `main`, as the program defines it, as a command."""
    return run_code(f"from tfstyle.core import cli\n{program}\ncli.run(main)")


MESSAGES = """
import logging
def main():
    for name in ("tfstyle.runs.folder", "other"):
        logger = logging.getLogger(name)
        logger.debug(f"{name}: a detail")
        logger.info(f"{name}: news")
        logger.warning(f"{name}: a warning")
"""


def test_messages_of_the_package_are_lines_on_stdout():
    done = run(MESSAGES)

    assert done.stdout.splitlines() == [
        "tfstyle.runs.folder: news",
        "tfstyle.runs.folder: a warning",
    ]
    assert "tfstyle" not in done.stderr


def test_a_library_user_sees_no_messages():
    program = f"import tfstyle.core.cli\n{MESSAGES}\nmain()"
    done = run_code(program)
    assert done.stdout == "" and "news" not in done.stderr


def test_a_message_does_not_tear_a_progress_bar():
    """Where both are on a terminal, a message clears the bar and stands alone."""
    program = """
import logging
from tfstyle.core import cli, progress
def main():
    for number in progress.track(range(2), 2, "encoding"):
        logging.getLogger("tfstyle").info(f"message {number}")
cli.run(main)
"""
    main_end, terminal = pty.openpty()
    with subprocess.Popen(
        [
            "sh",
            "-c",
            'stty rows 24 cols 100; exec "$0" -c "$1"',
            sys.executable,
            program,
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    text = b""
    try:
        while chunk := os.read(main_end, 4096):
            text += chunk
    except OSError:  # the end of a pseudo-terminal on Linux
        pass
    os.close(main_end)
    # What remains visible of each line is what follows the last carriage return.
    lines = text.decode().replace("\r\n", "\n").split("\n")
    visible = [line.split("\r")[-1].strip() for line in lines]
    assert visible[:2] == ["message 0", "message 1"]
    assert visible[2].startswith("encoding [====================] 2/2")


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        ("cli.UserError('no such run')", 1, "error: no such run"),
        ("KeyboardInterrupt", 130, "interrupted"),
        ("KeyboardInterrupt('stopped after step 3')", 130, "stopped after step 3"),
        (
            "OSError(28, 'No space left on device', 'codes.npz')",
            1,
            "error: no space left on the disk while writing codes.npz",
        ),
        (
            "RuntimeError('ABORTED: No space left on device')",
            1,
            "error: no space left on the disk: ABORTED: No space left on device",
        ),
        ("PermissionError(13, 'Permission denied', '/x')", 1,
         "error: /x: Permission denied"),
    ],
)  # fmt: skip
def test_an_expected_failure_is_one_line(failure, code, line):
    done = run(f"def main():\n    print('before', flush=True)\n    raise {failure}")

    assert done.returncode == code
    assert done.stderr == f"{line}\n"
    assert done.stdout == "before\n"


def test_a_mistake_in_the_program_keeps_its_traceback():
    done = run("def main():\n    raise KeyError('key')")

    assert done.returncode == 1
    assert "Traceback" in done.stderr and "KeyError: 'key'" in done.stderr


@pytest.mark.parametrize("inside", [".", "inner"])
def test_a_file_in_a_folders_place_is_one_line(inside, tmp_path):
    file = tmp_path / "figures"
    file.touch()

    done = run(f"import pathlib\nmain = pathlib.Path({str(file / inside)!r}).mkdir")

    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {file}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp932"])
def test_no_terminal_is_sent_what_it_cannot_show_or_would_obey(encoding):
    program = """
import logging
from tfstyle.core import cli
def main():
    text = "\\u98fe \\udc8a \\x1b[2J \\x9b3m \\u202e end"
    print(text)
    print("two\\nlines\\tkept")
    logging.getLogger("tfstyle").info(text)
    logging.getLogger("tfstyle").info("in %s", "a\\nforged: line")
    raise cli.UserError(f"{text}\\nforged: line")
cli.run(main)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
    )

    first = "飾" if encoding in ("utf-8", "cp932") else r"\u98fe"
    expected = rf"{first} \x8a \x1b[2J \u009b3m \u202e end"
    assert done.returncode == 1
    assert done.stdout.decode(encoding).splitlines() == [
        *(expected, "two", "lines\tkept", expected, r"in a\nforged: line")
    ]
    assert done.stderr.decode(encoding) == rf"error: {expected}\nforged: line" + "\n"


def test_a_reader_that_stops_reading_is_no_failure():
    program = "from tfstyle.core import cli; cli.run(lambda: print('x' * 1_000_000))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


def test_the_home_of_an_unknown_user_is_no_path():
    done = run_code(
        "from tfstyle.core import cli\n"
        "cli.define_path('output_dir', None, 'A folder.')\n"
        "cli.run(lambda: None)",
        "--output_dir=~nobody-of-this-name/x",
    )
    line = error_line(done)
    assert "there is no user 'nobody-of-this-name'" in line
    assert "write ./~nobody-of-this-name/x" in line


def test_a_writable_output_is_accepted_and_nothing_is_left_behind(tmp_path):
    cli.check_output(str(tmp_path / "new" / "folder" / "codes.npz"), ".npz", ".csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("codes.txt", r"--output must be a \.npz or \.csv file, got codes\.txt"),
        ("", "--output must be a .*, got nothing"),
        ("folder.npz", r"--output must be a .*, got folder\.npz"),
        ("codes.npz", r"--output=codes\.npz already exists: .* --overwrite"),
        ("codes.npz/more.npz", "cannot be written: .*codes.npz is not a folder"),
        ("link/codes.npz", "written: .*/link is a link that leads nowhere"),
        (f"{'x' * 252}.npz", "cannot be written: File name too long"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused(
    path, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("folder.npz").mkdir()
    pathlib.Path("codes.npz").touch()
    pathlib.Path("link").symlink_to("nowhere")

    with pytest.raises(cli.UserError, match=message):
        cli.check_output(path, ".npz", ".csv", overwrite=False)

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["codes.npz", "folder.npz", "link"]


def test_an_existing_output_may_be_replaced_by_default(tmp_path):
    (tmp_path / "sheet.png").touch()
    cli.check_output(str(tmp_path / "sheet.png"), ".png", flag="sheet")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Graph execution error:\n\nDetected at node 'Add' defined at (most recent"
            " call last):\n    File \"a.py\", line 1, in f\nNode: 'Add'\nToo bad."
            "\n\t [[{{node Add}}]] [Op:__inference_f_1]",
            "Too bad.",
        ),
        (
            "Graph execution error:\n\n2 root error(s) found.\n  (0)"
            " INVALID_ARGUMENT:  Too bad.\n\t [[{{node Add}}]]\n  (1) CANCELLED: x",
            "Too bad.",
        ),
        (
            "{{function_node __wrapped__DecodePng_device_CPU:0}} Too bad."
            " [Op:DecodePng] name: ",
            "Too bad.",
        ),
        ("assertion failed: [Too [bad].]\n\t [[{{node Assert}}]]", "Too [bad]."),
        ("", ""),
    ],
)
def test_an_error_of_tensorflow_is_reduced_to_the_line_that_describes_it(message, line):
    assert cli.summarize_error(message) == line
