"""Records that tests of all rooms share, made once per session by the real library."""

import dataclasses
import pathlib
import shutil

import gin
import pytest
import tensorflow as tf

from helpers import runs
from helpers.commands import read_output
from helpers.pictures import PORTRAITS, list_portraits
from tfstyle.data import record_writer, records
from tfstyle.data.collections import splits
from tfstyle.data.pictures import Conversion
from tfstyle.runs.trained_run import TrainedRun


@pytest.fixture(autouse=True)
def _capture_messages(caplog):
    """Capture the messages that commands show."""
    caplog.set_level("INFO", "tfstyle")


@pytest.fixture
def clean_gin(monkeypatch):
    """Remove bindings and search paths before and after a test, then a precision."""
    monkeypatch.setattr(gin.config, "_LOCATION_PREFIXES", [""])
    gin.clear_config()
    yield
    gin.clear_config()
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.fixture(scope="session")
def portraits_dir() -> str:
    """The pictures that ship with tfstyle: 12 artists x 60, 64x64."""
    return str(PORTRAITS)


@pytest.fixture(scope="session")
def portraits_records(tmp_path_factory) -> records.Dataset:
    """All of them at 64x64: per artist 50 train and 10 test pictures."""
    folder = tmp_path_factory.mktemp("portraits") / "records"
    sources = list_portraits(artists=range(12), count=60)
    return record_writer.write_dataset(str(folder), sources, Conversion(64))


@pytest.fixture(scope="session")
def small_records(tmp_path_factory) -> records.Dataset:
    """3 artists x 26 pictures at 32x32 in two shards.

    Per artist 20 to train, 2 to validate, and 4 to test.
    """
    sources = list_portraits(artists=range(3), count=26)
    rule = splits.SplitRule(min_images_per_artist=20, min_test_images=4)
    folder = tmp_path_factory.mktemp("small") / "records"
    return record_writer.write_dataset(
        str(folder), sources, Conversion(32), rule, num_shards=2
    )


@pytest.fixture(scope="session")
def labeled_records(tmp_path_factory) -> records.Dataset:
    """The pictures of small_records, with contents: the number of the file modulo 13.

    Contents are no part of the digest, so a run on small_records takes these too.
    """
    sources = [
        dataclasses.replace(source, content=f"{int(source.name[-9:-4]) % 13:02}")
        for source in list_portraits(artists=range(3), count=26)
    ]
    rule = splits.SplitRule(min_images_per_artist=20, min_test_images=4)
    folder = tmp_path_factory.mktemp("labeled") / "records"
    return record_writer.write_dataset(
        str(folder), sources, Conversion(32), rule, num_shards=2
    )


@pytest.fixture(scope="session")
def tiny_run(small_records, tmp_path_factory) -> pathlib.Path:
    """A run with all four stages trained on small_records; not to be written to."""
    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    read_output(runs.train_in_own_process(small_records.records_dir, run_dir))
    return run_dir


@pytest.fixture(scope="session")
def trained(tiny_run) -> TrainedRun:
    """The tiny run, opened once."""
    return TrainedRun(tiny_run)


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    """A copy of the tiny run, to be changed."""
    return pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> pathlib.Path:
    """Random weights of Keras' InceptionV3: trained ones are not in the package."""
    path = tmp_path_factory.mktemp("inception") / "notop.h5"
    network = tf.keras.applications.InceptionV3(include_top=False, weights=None)
    network.save_weights(path)
    return path
