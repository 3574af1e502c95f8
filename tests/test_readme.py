"""The documents are true: their commands run, their links and tables hold."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import gin
import pytest

import tfstyle
from tfstyle.core import gin_config
from tfstyle.training import trainer
from tfstyle.training.workers.cluster import read_cluster

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = ("README.md", "EXPERIMENTS.md", "WORKSPACE.md", "CHANGELOG.md")


def command_blocks(document: str) -> list[list[list[str]]]:
    """The commands of each bash block of a document, split into words."""
    text = (ROOT / document).read_text()
    return [
        [shlex.split(line) for line in block.strip().splitlines()]
        for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    ]


def step_by_step() -> list[list[str]]:
    """The README's commands from pictures to a server."""
    return next(block for block in command_blocks("README.md") if len(block) > 5)


README_COMMANDS = [line for block in command_blocks("README.md") for line in block]
PYTHON_COMMANDS = [
    command
    for document in DOCUMENTS
    for block in command_blocks(document)
    for command in block
    if command[0] == "python"
]
TRAIN_COMMANDS = [line for line in PYTHON_COMMANDS if line[2] == "tfstyle.train"]


def flag_values(command: list[str], name: str) -> list[str]:
    """The values of a repeatable flag."""
    prefix = f"--{name}="
    return [word.removeprefix(prefix) for word in command if word.startswith(prefix)]


def test_the_readme_starts_with_the_two_commands():
    expected = [["bash", "tools/quickstart.sh"], ["bash", "tools/test.sh"]]
    assert README_COMMANDS[:2] == expected
    for _, script in expected:
        assert (ROOT / script).is_file()


@pytest.mark.parametrize("command", PYTHON_COMMANDS, ids=" ".join)
def test_the_program_and_flags_of_every_command_exist(command):
    program = command[1]
    if program == "-m":
        program = command[2].replace(".", "/") + ".py"
    source = (ROOT / program).read_text()
    for word in command[2:]:
        if word.startswith("--"):
            flag = word.removeprefix("--").partition("=")[0]
            assert f'"{flag}"' in source or f'"--{flag}"' in source


@pytest.mark.parametrize("command", TRAIN_COMMANDS, ids=" ".join)
def test_the_settings_of_every_training_command_are_valid(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", [""])
    gin.clear_config()
    try:
        gin_config.parse(
            flag_values(command, "gin_file"),
            flag_values(command, "gin_param"),
            trainer.list_configurables(),
        )
    finally:
        gin.clear_config()


def test_the_slurm_script_numbers_the_nodes_as_tf_config_does(tmp_path):
    """With stand-ins for Slurm's commands, which print or start what they should."""
    scripts = {
        "scontrol": "test $3 = 'node[1-2]' && printf 'node1\\nnode2\\n'",
        "srun": 'for SLURM_NODEID in 0 1; do export SLURM_NODEID; "$@"; done',
        "python": 'echo $TF_CONFIG; printf "%s\\n" "$@" >> arguments',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-2]",
    }
    done = subprocess.run(
        ["bash", str(ROOT / "tools" / "slurm.sh"), "--run_dir=a b"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    workers = [read_cluster(line) for line in done.stdout.splitlines()]
    assert [worker.index for worker in workers] == [0, 1]
    assert {worker.addresses for worker in workers} == {("node1:12345", "node2:12345")}
    arguments = (tmp_path / "arguments").read_text().splitlines()
    strategy = '--gin_param=train.strategy="multi_worker"'
    assert arguments == ["-m", "tfstyle.train", strategy, "--run_dir=a b"] * 2


def test_the_quickstart_runs_the_readme_commands():
    script = (ROOT / "tools" / "quickstart.sh").read_text()
    for command in step_by_step():
        program = command[2] if command[1] == "-m" else command[1]
        assert program in script


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document):
    text = (ROOT / document).read_text()
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = ROOT / (path or document)
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def headings(document: pathlib.Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


def test_the_table_of_rooms_lists_every_module():
    text = (ROOT / "WORKSPACE.md").read_text()
    rows = re.findall(r"^\| \d+ \| `(.+?)` \| (.*) \|$", text, flags=re.MULTILINE)
    listed = {room: re.findall(r"(?:^|; )`(\w+)`", modules) for room, modules in rows}
    package = ROOT / "tfstyle"
    expected = {}
    for path in sorted(package.rglob("*.py")):
        if path.name != "__init__.py":
            room = ".".join(path.relative_to(package).parts[:-1]) or "commands"
            expected.setdefault(room, []).append(path.stem)
    assert {room: sorted(modules) for room, modules in listed.items()} == expected


def test_the_citation_names_the_present_version():
    assert f"version: {tfstyle.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.slow
def test_the_step_by_step_commands_run_in_order_and_serve(tmp_path):
    for name in ("gin", "tools", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    *commands, serve = step_by_step()
    for command in commands:
        if command[2] == "tfstyle.train":
            # The README's configurations, cut to a few steps.
            command = [*command, "--gin_param=train.steps=3"]
            command.append("--gin_param=train.eval_interval=3")
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
