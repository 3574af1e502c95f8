"""`python -m tfstyle.serve` as a user runs it."""

import re
import shutil
import signal
import socket
import subprocess

import pytest
from PIL import Image

from helpers.commands import (
    error_line,
    module,
    read_output,
    read_until_ready,
    run,
    run_code,
)
from tfstyle.serving.client import Client


def serve(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [*module("serve"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def get_error(*arguments) -> str:
    return error_line(run(module("serve"), *arguments))


@pytest.mark.skipif(not shutil.which("curl"), reason="the printed example needs curl")
def test_the_printed_example_transfers_a_picture_and_ctrl_c_is_success(
    tiny_models, tmp_path
):
    # Larger than an argument of a command may be on Linux.
    noise = Image.effect_noise((500, 400), 100).convert("RGB")
    noise.save(tmp_path / "content.png")
    Image.new("RGB", (3, 3), (255, 0, 0)).save(tmp_path / "style.png")
    process = serve(f"--export_dir={tiny_models}", "--rest_api_port=0")
    try:
        welcome = read_until_ready(process)
        url = re.search(r"http://127\.0\.0\.1:\d+", welcome).group()
        example = re.search(r"^  \{.*?transferred\.png$", welcome, re.M | re.S).group()
        subprocess.run(["sh", "-ec", example], cwd=tmp_path, check=True, timeout=60)
        assert Client(url).predict("line", {"x": [1]})["y"] == [2.5]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)

    assert f"{url}/v1/models/line  version 1, 2\n" in welcome
    with Image.open(tmp_path / "transferred.png") as image:
        assert (image.size, image.getpixel((0, 0))) == ((500, 400), (255, 0, 0))
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_it_prints_names_of_dimensions_and_sigterm_is_success(tiny_models, tmp_path):
    shutil.copytree(tiny_models / "line", tmp_path / "line")
    (tmp_path / "dimension_names.tsv").write_text("2\tthin lines\n")
    process = serve(f"--export_dir={tmp_path}", "--rest_api_port=0")
    try:
        welcome = read_until_ready(process)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "Example" not in welcome
    assert "  2 thin lines\n" in welcome


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"1\tdark\n2 light\n", "line 2: must be a dimension, a tab and its name"),
        (b"1\tda\x1b[31mrk\n", "line 1: must be a dimension, a tab and its name"),
        (b"first\tdark\n", "line 1: the dimension must be a number from 1 on"),
        (b"1\tdark\n\n1\tlight\n", "line 3: dimension 1 has two names"),
        (b"1\tgr\xf6\xdfer\n", "must be UTF-8 text"),
    ],
)
def test_a_bad_line_of_the_names_is_an_error_that_names_it(
    tiny_models, tmp_path, content, reason
):
    shutil.copytree(tiny_models / "line", tmp_path / "line")
    (tmp_path / "dimension_names.tsv").write_bytes(content)

    error = get_error(f"--export_dir={tmp_path}", "--rest_api_port=0")

    assert f"{tmp_path / 'dimension_names.tsv'}" in error
    assert reason in error


def test_the_error_about_a_port_in_use_names_the_flag(tiny_models):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = get_error(f"--export_dir={tiny_models}", f"--rest_api_port={port}")

    assert f"port {port} of 127.0.0.1: Address already in use; choose" in error
    assert "--rest_api_port" in error


def test_the_error_about_a_missing_folder_has_the_command_that_writes_it(tmp_path):
    error = get_error(f"--export_dir={tmp_path / 'none'}", "--rest_api_port=0")

    assert error.endswith(
        f"python -m tfstyle.export --run_dir=RUN_DIR --export_dir={tmp_path / 'none'}"
    )


def test_a_missing_flag_is_an_error_that_names_it():
    error = get_error()

    assert "--export_dir=EXPORT_DIR" in error


def test_help_does_not_wait_for_tensorflow():
    script = (
        "import runpy, sys\n"
        "sys.argv = ['tfstyle.serve', '--help']\n"
        "try:\n"
        "    runpy.run_module('tfstyle.serve', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    assert "--rest_api_port" in read_output(run_code(script))
