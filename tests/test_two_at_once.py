"""Two commands that write to one place at a time never spoil each other's work."""

import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from helpers import runs
from helpers.commands import error_line, list_files, module, read_output, run, tool
from helpers.pictures import PORTRAITS, make_pictures
from tfstyle.core.locks import folder_lock
from tfstyle.data import record_writer, records
from tfstyle.data.collections.sources import scan_artist_folders
from tfstyle.data.collections.splits import SPLITS, SplitRule
from tfstyle.data.pictures import Conversion
from tfstyle.runs.folder import StageFolder, results_lock, stage_lock
from tfstyle.runs.trained_run import TrainedRun

PICTURE = str(PORTRAITS / "micah" / "00007.png")
RECORDS = ("--image_size=8", "--min_images_per_artist=4", "--min_test_images=1")


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def pictures(tmp_path) -> pathlib.Path:
    return make_pictures(tmp_path / "pictures", ["a", "b"], count=150, size=100)


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_two_makers_of_records_the_second_is_refused(pictures, tmp_path, overwrite):
    out = tmp_path / "records"
    few = make_pictures(tmp_path / "few", ["c", "d"])
    if overwrite:  # an earlier good set
        sources, _ = scan_artist_folders(str(few))
        rule = SplitRule(4, min_test_images=1)
        record_writer.write_dataset(str(out), sources, Conversion(8), rule)
    flags = [*RECORDS, f"--output_dir={out}", *["--overwrite"] * overwrite]
    first = start(*tool("make_tfrecords"), f"--input_dir={pictures}", *flags)
    spool = out / ".converted" / "00000.pictures"
    while not spool.exists():
        assert first.poll() is None
        time.sleep(0.005)
    first.send_signal(signal.SIGSTOP)  # in the middle of its work

    second = run(tool("make_tfrecords"), f"--input_dir={few}", *flags, "--seed=7")
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate(timeout=60)

    assert f"another command is writing to {out}: " in error_line(second)
    assert first.returncode == 0, errors
    dataset = records.read_dataset(str(out))
    assert dataset.artist_names == ["a", "b"]
    assert dataset.num_examples(*SPLITS) == 300
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_simultaneous_enrolments_are_all_kept(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    names = [f"Artist {number}" for number in range(4)]

    commands = [
        start(*module("enrol"), f"--run_dir={run_dir}", f"--name={name}", PICTURE)
        for name in names
    ]
    for command in commands:
        _, errors = command.communicate(timeout=200)
        assert command.returncode == 0, errors

    assert sorted(TrainedRun(run_dir).enrolled.names) == names
    assert not list(run_dir.rglob("*.lock"))


def hold(command: str, run_dir: pathlib.Path, out: pathlib.Path):
    """Hold what a command holds while it writes."""
    if command == "train":
        return stage_lock(StageFolder(run_dir, "metric"))
    if command in ("evaluate", "figures"):
        return results_lock([run_dir])
    return folder_lock(out)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("export", ["--export_dir=OUT"]),
        ("generate", ["--output_dir=OUT"]),
        ("transfer", ["--style_artist=adventurer", "--output=OUT", PICTURE, PICTURE]),
        ("transfer", ["--style_artist=adventurer", "--output=OUT", str(PORTRAITS)]),
        ("evaluate", []),
        ("figures", []),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_second_command_is_refused_with_one_line(tiny_run, tmp_path, command, flags):
    run_dir = pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))
    out = tmp_path / "out"
    written = run_dir if command in ("evaluate", "figures") else out
    flags = [flag.replace("OUT", str(out)) for flag in flags]
    with hold(command, run_dir, out):
        before = list_files(tmp_path)
        done = run(module(command), f"--run_dir={run_dir}", *flags)
        assert list_files(tmp_path) == before

    assert f"another command is writing to {written}: " in error_line(done)


@pytest.mark.slow
def test_an_export_that_was_killed_blocks_nobody(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    out = tmp_path / "export"
    flags = (f"--run_dir={run_dir}", f"--export_dir={out}")
    killed = start(*module("export"), *flags)
    while not (out / ".making").exists():
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.communicate(timeout=60)

    output = read_output(run(module("export"), *flags))

    assert re.search("^version 1 of style_encoder ", output, re.MULTILINE)
    assert sorted(path.name for path in out.iterdir()) == [
        "batching.config",
        "export.json",
        "models.config",
        "style_encoder",
    ]
