"""`python -m tfstyle.serve` as people run it."""

import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
import tiny_export
from PIL import Image

from tfstyle.serving.client import Client


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    return tiny_export.write_tiny_export(tmp_path_factory.mktemp("export"))


def serve(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tfstyle.serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fail(*arguments):
    process = serve(*arguments)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    return [line for line in errors.splitlines() if line.startswith("error: ")]


def read_welcome(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "ready\n":
            return "".join(lines)
    raise AssertionError(f"ended without being ready: {process.stderr.read()}")


@pytest.mark.skipif(not shutil.which("curl"), reason="the printed example needs curl")
def test_the_printed_example_transfers_a_picture_and_ctrl_c_is_success(
    export_dir, tmp_path
):
    # Larger than Linux takes as one argument of a command.
    noise = Image.effect_noise((500, 400), 100).convert("RGB")
    noise.save(tmp_path / "content.png")
    Image.new("RGB", (3, 3), (255, 0, 0)).save(tmp_path / "style.png")
    process = serve(f"--export_dir={export_dir}", "--rest_api_port=0")
    try:
        welcome = read_welcome(process)
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


def test_it_names_the_style_dimensions_and_sigterm_is_success(export_dir, tmp_path):
    shutil.copytree(export_dir / "line", tmp_path / "line")
    (tmp_path / "dimension_names.tsv").write_text("2\tthin lines\n")
    process = serve(f"--export_dir={tmp_path}", "--rest_api_port=0")
    try:
        welcome = read_welcome(process)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Traceback" not in errors
    assert "Example" not in welcome
    assert "  2 thin lines\n" in welcome


def test_a_port_in_use_is_named_with_its_flag(export_dir):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (error,) = fail(f"--export_dir={export_dir}", f"--rest_api_port={port}")

    assert f"port {port} of 127.0.0.1" in error
    assert "--rest_api_port" in error


def test_a_missing_export_folder_names_the_command_that_writes_it(tmp_path):
    (error,) = fail(f"--export_dir={tmp_path / 'none'}", "--rest_api_port=0")

    assert error.endswith(
        f"python -m tfstyle.export --run_dir=RUN_DIR --export_dir={tmp_path / 'none'}"
    )


def test_without_a_folder_the_flag_is_asked_for():
    (error,) = fail()

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
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert "--rest_api_port" in done.stdout
