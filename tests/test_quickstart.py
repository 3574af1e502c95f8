"""The quickstart on a folder of the user's: settings, refusals, and a whole run."""

import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys

import gin
import pytest

from helpers import configuration as tiny
from helpers.commands import ROOT
from helpers.pictures import make_pictures
from tfstyle.core import gin_config
from tfstyle.training import settings, trainer


def load_tool():
    path = ROOT / "tools" / "quickstart.py"
    spec = importlib.util.spec_from_file_location("quickstart", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["quickstart"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


quickstart = load_tool()


@pytest.fixture
def checkout(tmp_path) -> pathlib.Path:
    """A checkout whose environment is the one that runs the tests."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("gin", "tools", "tests", "tfstyle", "setup.cfg", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    files = "cat setup.cfg pyproject.toml tools/constraints.txt | cksum"
    digest = subprocess.check_output(files, shell=True, cwd=folder, text=True)
    (folder / ".venv" / ".tfstyle-installed").write_text(f" {digest}")
    return folder


def run(checkout, *arguments, **options) -> subprocess.CompletedProcess[str]:
    script = checkout / "tools" / "quickstart.sh"
    return subprocess.run(
        ["bash", str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        **options,
    )


@pytest.mark.parametrize(
    "counts, minimum, tests, artists",
    [
        ([60] * 12, 50, 10, 12),  # the shipped portraits: the tool's own defaults
        ([4, 4], 4, 1, 2),
        ([3, 4, 400], 4, 1, 2),  # one artist with many is not enough for more
        ([60, 60, 9], 50, 10, 2),  # 120 of 129 works are nine tenths
        ([60, 60, 19], 10, 2, 3),
        ([50, 49, 20], 20, 4, 3),
        ([20, 20, 1], 20, 4, 2),  # who has fewer than four is out anyway
    ],
)
def test_the_minimum_keeps_two_artists_and_nine_tenths(counts, minimum, tests, artists):
    plan = quickstart.plan_records({str(k): n for k, n in enumerate(counts)}, "folder")

    assert (plan.min_images_per_artist, plan.min_test_images) == (minimum, tests)
    assert plan.artists == artists
    assert plan.works == sum(n for n in counts if n >= minimum)


@pytest.mark.parametrize("counts", [{}, {"a": 3, "b": 3}, {"a": 1000, "b": 3}])
def test_fewer_than_two_artists_with_four_works_are_too_few(counts):
    with pytest.raises(quickstart.SetupError, match="too few works.* 4 pictures each"):
        quickstart.plan_records(counts, "folder")


@pytest.mark.parametrize("stage", quickstart.STEPS)
def test_the_shipped_number_of_pictures_has_the_shipped_settings(stage, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", [""])

    def read(bindings):
        gin.clear_config()
        files = [f"gin/quickstart/{stage}.gin"]
        try:
            gin_config.parse(files, bindings, trainer.list_configurables())
            falls = [
                gin.query_parameter(f"{name}.fall") for name in quickstart.FALLS[stage]
            ]
            return settings.read_settings(), falls
        finally:
            gin.clear_config()

    plan = quickstart.plan_training(stage, quickstart.SHIPPED_PICTURES)
    assert read(plan.list_bindings()) == read([])


@pytest.mark.parametrize(
    "pictures, steps, batch_size",
    [
        (1080, 2000, 32),
        (540, 1000, 32),
        (135, 250, 32),
        (20, 250, 16),  # no fewer steps, and no more pictures than there are
        (6, 250, 4),
        (1_000_000, 4000, 32),
    ],
)
def test_steps_are_in_proportion_to_pictures(pictures, steps, batch_size):
    plan = quickstart.plan_training("metric", pictures)

    assert (plan.steps, plan.batch_size) == (steps, batch_size)
    assert plan.falls == {"adam": steps // 2}


def test_names_of_runs_are_plain_and_differ_between_folders(tmp_path):
    names = [
        quickstart.name_run(str(tmp_path / folder), 64)
        for folder in ("a/My  pictures'*", "b/My  pictures'*", "a/…", "a/\udce9[x]")
    ]

    assert names[0].startswith("My-pictures-64-")
    assert names[2].startswith("pictures-64-")
    assert names[3].startswith("x-64-")
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    linked = quickstart.name_run(str(tmp_path / "link" / "…"), 64)
    assert linked == names[2], "a path of the same folder"
    assert quickstart.name_run(str(tmp_path / "a" / "…"), 32) != names[2]


def make_refused(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, str]]:
    """Folders that cannot be used, with what the message says."""
    (folder / "loose").mkdir()
    (folder / "loose" / "1.png").touch()
    (folder / "single" / "artist").mkdir(parents=True)
    for name, count in (("a", 9), ("b", 3)):
        (folder / "few" / name).mkdir(parents=True)
        for number in range(count):
            (folder / "few" / name / f"{number}.png").touch()
    return {
        "missing": (folder / "none", "does not exist"),
        "file": (folder / "loose" / "1.png", "is not a folder"),
        "loose": (folder / "loose", "1 file but no folders: put the works of each"),
        "single": (folder / "single", "one artist only (artist)"),
        "few": (folder / "few", "at least 4 pictures each; the most are a 9, b 3"),
    }


@pytest.mark.parametrize("kind", ["missing", "file", "loose", "single", "few"])
def test_a_useless_folder_is_refused_before_anything_is_installed(kind, tmp_path):
    folder, message = make_refused(tmp_path)[kind]
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("tools", "tfstyle"):
        (checkout / name).symlink_to(ROOT / name)
    # Without site packages, as a fresh Python is.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n')
    python.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    done = run(checkout, str(folder), env=environment)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a", "b"], "one folder of pictures is expected"),
        (["--image_size=64"], "needs your own PICTURES_DIR"),
        (["--size=64", "a"], "unknown flag --size=64"),
        ([""], "empty text"),
        ([".", "--image_size=100"], "must be one of 32, 64, 128, 256, got 100"),
    ],
)
def test_wrong_arguments_are_refused_by_name(checkout, arguments, message):
    done = run(checkout, *arguments)

    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.slow
def test_an_odd_folder_becomes_a_report_and_a_served_transfer(checkout, tmp_path):
    """Relative to another folder, resumed, with commands that can be pasted."""
    folder = tmp_path / "it's [new] é"
    make_pictures(folder, ["a b", "c*"], count=12, size=40)
    (folder / "a b" / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    sizes = [f"--gin_param={binding}" for binding in tiny.list_bindings()]
    wanted = ("style_encoder.", "content_", "generator.", "discriminators.")
    flags = [flag for flag in sizes if flag.split("=")[1].startswith(wanted)]
    flags += ["--gin_param=gan.code_dims=20", "--gin_param=pruning.style_dims=4"]
    flags += ["--gin_param=pruning.content_dims=6", "--gin_param=train.steps=2"]
    arguments = [folder.name, "--image_size=32", "--", *flags]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {**os.environ, "PORT": str(port)}
    done = run(checkout, *arguments, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    name = quickstart.name_run(str(folder), 32)
    for path in ("report.html", "served_transfer.png", "evaluation.json"):
        assert (checkout / "runs" / name / path).exists()
    assert (
        "artists with at least 10 works are used (2 artists, 25 works)" in done.stderr
    )
    assert "metric: 250 steps of 16 pictures" in done.stderr
    assert "skipped    1 not_a_picture" in done.stdout
    (command,) = re.findall(r"^== records: (.*)$", done.stdout, flags=re.MULTILINE)
    pasted = subprocess.run(
        ["bash", "-c", command], cwd=checkout, capture_output=True, text=True
    )
    assert "is up to date" in pasted.stdout, pasted.stderr
    shutil.rmtree(checkout / "runs" / name / "figures")
    (checkout / "runs" / name / "report.html").unlink()
    again = run(checkout, *arguments, cwd=tmp_path, env=environment)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already") == 7  # all but the figures
    shutil.copy(folder / "a b" / "0.png", folder / "a b" / "new.png")
    changed = run(checkout, *arguments, cwd=tmp_path, env=environment)
    assert changed.returncode == 1
    assert "pictures have changed, start over: rm -r " in changed.stderr
