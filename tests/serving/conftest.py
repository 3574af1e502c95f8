"""Tiny models that the tests of the server and its client share."""

import pathlib

import pytest

from helpers import exports


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> pathlib.Path:
    """An export folder of tiny models; not to be written to."""
    return exports.write_tiny_export(tmp_path_factory.mktemp("tiny_models"))
