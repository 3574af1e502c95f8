"""The README's commands are real: files and flags exist, and they run in order."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def _blocks() -> list[list[list[str]]]:
    """Commands of each bash block of the README, split into words."""
    text = (ROOT / "README.md").read_text()
    return [
        [shlex.split(line) for line in block.strip().splitlines()]
        for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    ]


COMMANDS = [command for block in _blocks() for command in block]


def _module_file(command: list[str]) -> pathlib.Path:
    if command[1] == "-m":
        return ROOT / (command[2].replace(".", "/") + ".py")
    return ROOT / command[1]


def test_the_readme_starts_with_the_two_commands():
    assert COMMANDS[:2] == [["bash", "tools/quickstart.sh"], ["bash", "tools/test.sh"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_files_and_flags_of_every_command_exist(command):
    source = _module_file(command).read_text()
    for argument in command[2:]:
        if not argument.startswith("--"):
            continue
        flag, value = argument.removeprefix("--").split("=", 1)
        assert f'"{flag}"' in source
        if flag == "gin_file":
            assert (ROOT / value).is_file()


def test_the_quickstart_runs_the_readme_commands():
    script = (ROOT / "tools" / "quickstart.sh").read_text()
    steps = next(block for block in _blocks() if len(block) > 5)
    for command in steps:
        program = command[2] if command[1] == "-m" else command[1]
        assert program in script


@pytest.mark.slow
def test_the_step_by_step_commands_run_in_order_and_serve(tmp_path):
    for name in ("gin", "tools", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    *commands, serve = next(block for block in _blocks() if len(block) > 5)
    for command in commands:
        if command[2] == "tfstyle.train":
            # The README's configurations, cut to a few steps.
            command = [*command, "--gin_param=train.steps=3"]
            command.append("--gin_param=train.eval_interval=3")
            if "gan.gin" in " ".join(command):
                command.append("--gin_param=gan.reconstruction_steps=1")
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    server = subprocess.Popen(
        [*serve, "--rest_api_port=0"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line)
        if line.strip() == "ready":
            break
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=60) == 0
    assert any("style_transfer" in line for line in lines)
    assert (tmp_path / "runs" / "portraits" / "report.html").exists()
