"""Paths are expanded once, quoted for any shell, and no patterns to TensorFlow."""

import os
import pathlib
import subprocess

import pytest
import tensorflow as tf

from helpers.commands import run_code
from helpers.paths import NAMES
from tfstyle.core import paths


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~", "/home/me"),
        ("~/runs/first", "/home/me/runs/first"),
        ("~nobody-of-this-name/runs", "~nobody-of-this-name/runs"),
        ("runs/~/first", "runs/~/first"),
        ("./~", "./~"),
        ("", ""),
    ],
)
def test_only_a_leading_home_is_expanded(path, expanded, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.expand(path) == expanded


@pytest.mark.parametrize(
    "name", [*NAMES, "$HOME", "~/runs", "`id`", "a;b", "!!", "tab\t", "\x1b[31m"]
)
def test_a_quoted_name_is_pasted_as_it_is(name):
    """And no control character reaches the terminal."""
    quoted = paths.quote(name)

    assert quoted.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True
    )
    path = paths.expand(os.fsdecode(done.stdout))
    assert path == name or path == f"./{name}"


@pytest.mark.parametrize("name", NAMES)
def test_tensorflow_takes_every_name_literally(name, tmp_path):
    folder = tmp_path / name / "inner"
    folder.mkdir(parents=True)
    saved = tf.train.Checkpoint(values=tf.Variable([1.0, 2.0]))

    saved.write(paths.for_tensorflow(folder / "step-1"))

    assert (folder / "step-1.index").is_file()
    saved.values.assign([0.0, 0.0])
    saved.read(paths.for_tensorflow(folder / "step-1")).assert_consumed()
    assert saved.values.numpy().tolist() == [1.0, 2.0]


def test_a_folder_that_a_name_would_match_as_a_pattern_is_not_read(tmp_path):
    for name, value in (("a*", 1.0), ("ab", 2.0), ("a?", 3.0)):
        (tmp_path / name).mkdir()
        saved = tf.train.Checkpoint(value=tf.Variable(value))
        saved.write(paths.for_tensorflow(tmp_path / name / "step"))
    read = tf.train.Checkpoint(value=tf.Variable(0.0))
    for name, value in (("a*", 1.0), ("a?", 3.0)):
        read.read(paths.for_tensorflow(tmp_path / name / "step"))
        assert read.value.numpy() == value


def test_a_plain_path_is_only_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.for_tensorflow("ü b/c:d") == str(tmp_path / "ü b" / "c:d")
    assert paths.for_tensorflow("gs://b/c") == str(tmp_path / "gs:" / "b" / "c")


def test_links_are_deleted_at_the_end(tmp_path):
    odd = tmp_path / "a[b]"
    odd.mkdir()
    program = (
        "import sys; from tfstyle.core import paths;"
        "print(paths.for_tensorflow(sys.argv[1]))"
    )
    link = pathlib.Path(run_code(program, str(odd / "file")).stdout.strip())

    assert link.name == "file"
    assert not link.parent.exists() and not link.parent.parent.exists()
    assert odd.is_dir()


def test_what_keeps_a_folder_from_being_created_is_found(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(tmp_path)
    reasons = {
        **dict.fromkeys([".", "new", "new/inner", "link", "link/new"], None),
        **dict.fromkeys(["file", "file/inner"], "file is not a folder"),
        **dict.fromkeys(
            ["dangling", "dangling/a/b"], "dangling is a link that leads nowhere"
        ),
        "loop": "loop is a link that leads nowhere",
    }
    expected = {
        name: reason and f"{tmp_path}/{reason}" for name, reason in reasons.items()
    }
    assert {name: paths.find_obstacle(tmp_path / name) for name in reasons} == expected
    monkeypatch.chdir(tmp_path)
    assert paths.find_obstacle("dangling") == reasons["dangling"]

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert paths.find_obstacle(tmp_path) is None
    assert paths.find_obstacle("new") == ". cannot be written"
