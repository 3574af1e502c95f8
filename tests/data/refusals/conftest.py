"""A collection that tests of lists of artists share."""

import pathlib

import pytest

from helpers.artist_lists import FOLDERS


@pytest.fixture
def collection(tmp_path, monkeypatch) -> pathlib.Path:
    root = tmp_path / "pictures"
    for folder in (*FOLDERS, "Artist One/sub"):
        (root / folder).mkdir(parents=True)
    (root / "Artist One" / "0001.png").touch()
    (root / "no.txt").touch()
    monkeypatch.chdir(root)
    return root
