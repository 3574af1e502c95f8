"""Tests of tools/similar_artists.py as a command."""

import pathlib
import shutil

import numpy as np
from PIL import Image

from helpers import commands


def run(input_dir, output_dir, *settings):
    folders = (f"--input_dir={input_dir}", f"--output_dir={output_dir}")
    return commands.run(commands.tool("similar_artists"), *folders, *settings)


def copy_few(portraits_dir, folder):
    """Copy 6 pictures of each of two artists to a folder; return the folder."""
    for artist in ("dylan", "lorelei"):
        for picture in sorted(pathlib.Path(portraits_dir, artist).glob("*.png"))[:6]:
            (folder / artist).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / artist)
    return folder


def read(path):
    return np.asarray(Image.open(path), np.float64)


def test_each_artist_becomes_several_artists_who_differ(portraits_dir, tmp_path):
    settings = ("--variants=3", "--pictures=5", "--image_size=32", "--jitter=0")
    input_dir = copy_few(portraits_dir, tmp_path / "in")
    outputs = [tmp_path / "first", tmp_path / "second"]
    for output in outputs:
        shown = commands.read_output(run(input_dir, output, *settings))
    assert "6 artists with 5 pictures each" in shown
    first, second = outputs
    names = sorted(folder.name for folder in first.iterdir())
    assert names == [f"{a}-{k}" for a in ("dylan", "lorelei") for k in range(3)]
    files = sorted(path.relative_to(first) for path in first.rglob("*.png"))
    assert len(files) == 30
    for file in files:  # the same seed gives the same bytes
        assert (first / file).read_bytes() == (second / file).read_bytes()
    shared = {path.name for path in (first / "dylan-0").iterdir()} & {
        path.name for path in (first / "dylan-1").iterdir()
    }
    assert shared  # five of six pictures each
    for name in shared:
        left, right = (read(first / f"dylan-{k}" / name) for k in (0, 1))
        assert left.shape == (32, 32, 3)
        assert np.abs(left - right).mean() > 1


def test_errors_leave_nothing_behind(portraits_dir, tmp_path):
    input_dir = copy_few(portraits_dir, tmp_path / "in")
    result = run(input_dir, tmp_path / "out", "--pictures=7")
    assert result.returncode == 1
    assert "dylan has 6 pictures: lower --pictures from 7" in result.stderr
    shutil.rmtree(input_dir / "dylan")
    (input_dir / "lorelei" / "broken.png").write_bytes(b"no picture")
    result = run(input_dir, tmp_path / "out", "--pictures=7")
    assert result.returncode == 1
    assert "broken.png: not_a_picture" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
