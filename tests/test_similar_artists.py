"""tools/similar_artists.py as it is typed."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).parent.parent


def make(input_dir, output_dir, *settings):
    return subprocess.run(
        [
            *(sys.executable, "tools/similar_artists.py"),
            f"--input_dir={input_dir}",
            f"--output_dir={output_dir}",
            *settings,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )


def few(portraits_dir, folder):
    for artist in ("dylan", "lorelei"):
        for picture in sorted(pathlib.Path(portraits_dir, artist).glob("*.png"))[:6]:
            (folder / artist).mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / artist)
    return folder


def read(path):
    return np.asarray(Image.open(path), np.float64)


def test_each_artist_becomes_several_who_draw_differently(portraits_dir, tmp_path):
    settings = ("--variants=3", "--pictures=5", "--image_size=32", "--jitter=0")
    input_dir = few(portraits_dir, tmp_path / "in")
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        done = make(input_dir, output, *settings)
        assert done.returncode == 0, done.stderr
    assert "6 artists with 5 pictures each" in done.stdout
    names = sorted(one.name for one in outputs[0].iterdir())
    assert names == [f"{a}-{k}" for a in ("dylan", "lorelei") for k in range(3)]
    files = sorted(one.relative_to(outputs[0]) for one in outputs[0].rglob("*.png"))
    assert len(files) == 30
    for file in files:  # the same seed, the same bytes
        assert (outputs[0] / file).read_bytes() == (outputs[1] / file).read_bytes()
    shared = {one.name for one in (outputs[0] / "dylan-0").iterdir()} & {
        one.name for one in (outputs[0] / "dylan-1").iterdir()
    }
    assert shared  # five out of six overlap
    for name in shared:
        one, other = (read(outputs[0] / f"dylan-{k}" / name) for k in (0, 1))
        assert one.shape == (32, 32, 3)
        assert np.abs(one - other).mean() > 1


def test_mistakes_leave_nothing_behind(portraits_dir, tmp_path):
    input_dir = few(portraits_dir, tmp_path / "in")
    done = make(input_dir, tmp_path / "out", "--pictures=7")
    assert done.returncode == 1
    assert "dylan has 6 pictures: lower --pictures from 7" in done.stderr
    shutil.rmtree(input_dir / "dylan")
    (input_dir / "lorelei" / "broken.png").write_bytes(b"no picture")
    done = make(input_dir, tmp_path / "out", "--pictures=7")
    assert done.returncode == 1
    assert "broken.png: not_a_picture" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["in"]
