"""Commands of tfstyle as users type them, each in a process of its own."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from helpers import configuration as tiny
from tfstyle.data.records import Dataset

ROOT = pathlib.Path(__file__).parents[2]
# Of a training, when nothing else is asked for.
STEPS = 40
_TRAINING = {"train.steps": STEPS, "train.checkpoint_interval": 5}
# What differs from gin/quickstart/STAGE.gin beside the sizes.
_STAGES = {
    "metric": {},
    "vae": {"train.steps": 10},
    "gan": {"train.checkpoint_interval": 10},
}


def module(verb: str) -> list[str]:
    """Return the command line of `python -m tfstyle.VERB`."""
    return [sys.executable, "-m", f"tfstyle.{verb}"]


def tool(name: str) -> list[str]:
    """Return the command line of a tool, such as `make_tfrecords`."""
    return [sys.executable, str(ROOT / "tools" / f"{name}.py")]


def run(
    command: Sequence[str],
    *arguments: str,
    cwd: pathlib.Path | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
    )


@contextlib.contextmanager
def start_workers(
    command: Sequence[str] | Sequence[Sequence[str]],
    count: int,
    cwd: pathlib.Path | None = None,
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start workers on this machine; those that are left are killed at the end.

    The command is that of all workers, or a list of commands.
    """
    with contextlib.ExitStack() as stack:
        sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        processes = []
        for index in range(count):
            config = {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
            process = subprocess.Popen(
                command if isinstance(command[0], str) else command[index],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=cwd,
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield processes


def end_workers(
    processes: Sequence[subprocess.Popen[str]], timeout: float = 400
) -> list[subprocess.CompletedProcess[str]]:
    """Wait for the end of workers."""
    done = []
    for process in processes:
        output, errors = process.communicate(timeout=timeout)
        code = process.returncode
        done.append(subprocess.CompletedProcess(process.args, code, output, errors))
    return done


def run_workers(
    command: Sequence[str] | Sequence[Sequence[str]],
    count: int = 2,
    cwd: pathlib.Path | None = None,
) -> list[subprocess.CompletedProcess[str]]:
    """Run workers to their end; arguments as for `start_workers`."""
    with start_workers(command, count, cwd) as processes:
        return end_workers(processes)


def run_code(
    program: str, *arguments: str, **settings
) -> subprocess.CompletedProcess[str]:
    """Run the text of a Python program; settings as for `run`."""
    return run([sys.executable, "-c", program], *arguments, **settings)


def read_output(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command wrote to stdout; it must have succeeded."""
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Return what `python -m tfstyle.serve` prints until it answers requests."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "ready\n":
            return "".join(lines)
    raise AssertionError(f"ended without being ready: {''.join(lines)}")


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on stderr of a command that failed as it should."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def train_command(
    stage: str, dataset: Dataset, run_dir: pathlib.Path, *flags: str, **bindings
) -> list[str]:
    """Return the command line of a tiny training; bindings such as train__steps=3."""
    values = {name.replace("__", "."): value for name, value in bindings.items()}
    settings = {**tiny.SETTINGS, **_TRAINING, **_STAGES[stage], **values}
    return [
        *module("train"),
        f"--gin_file=gin/quickstart/{stage}.gin",
        f"--records_dir={dataset.records_dir}",
        f"--run_dir={run_dir}",
        *[f"--gin_param={binding}" for binding in tiny.list_bindings(settings)],
        *flags,
    ]


def train(*args, **bindings) -> str:
    """Train to the end; arguments as for `train_command`. Return the output."""
    return read_output(run(train_command(*args, **bindings), cwd=ROOT, timeout=300))


def refuse_training(stage: str, *args, **bindings) -> str:
    """Expect exit code 1 and an error after the progress; return the error's line."""
    done = run(train_command(stage, *args, **bindings), cwd=ROOT, timeout=300)
    assert done.returncode == 1, (done.stdout, done.stderr[-3000:])
    *progress, line = done.stderr.strip().splitlines()
    assert all(text.startswith(f"{stage} [") for text in progress), done.stderr
    assert line.startswith("error: ")
    return line


def interrupt_training(
    stage: str, dataset: Dataset, run_dir: pathlib.Path, after_step: int, **bindings
) -> int:
    """Send SIGINT once a step's checkpoint exists; return the step of the stop."""
    checkpoint = run_dir / stage / "checkpoints" / f"step-{after_step}.index"
    with subprocess.Popen(
        train_command(stage, dataset, run_dir, **bindings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            end = time.time() + 200
            while not checkpoint.exists() and process.poll() is None:
                assert time.time() < end
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 130, errors[-3000:]
    words = errors.strip().splitlines()[-1].split()
    assert words[:3] == ["stopped", "after", "step"]
    step = int(words[3])
    assert after_step <= step < STEPS
    assert not (run_dir / stage / "FINISHED").exists()
    return step


def list_files(folder: pathlib.Path) -> dict[str, int]:
    """Return the times of all files in a folder, to see whether one was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }
