"""Records that tests of all rooms share, made once per session by the real library."""

import pathlib

import pytest
import tensorflow as tf
import tiny_run as tiny

from tfstyle.data import records, splits
from tfstyle.data.pictures import Conversion

PORTRAITS = pathlib.Path(__file__).parent / "pictures" / "portraits-64"


@pytest.fixture(scope="session")
def portraits_dir() -> str:
    """The pictures that ship with tfstyle: 12 artists x 60, 64x64."""
    return str(PORTRAITS)


@pytest.fixture(scope="session")
def portraits_records(tmp_path_factory) -> records.Dataset:
    """All of them at 64x64: per artist 50 train and 10 test pictures."""
    sources, _ = splits.scan_artist_folders(str(PORTRAITS))
    folder = tmp_path_factory.mktemp("portraits") / "records"
    return records.write_dataset(str(folder), sources, Conversion(64))


@pytest.fixture(scope="session")
def small_records(tmp_path_factory) -> records.Dataset:
    """3 artists x 24 pictures at 32x32 in two shards: per artist 20 train, 4 test."""
    sources, _ = splits.scan_artist_folders(str(PORTRAITS))
    artists = sorted({source.artist for source in sources})[:3]
    few = [
        source
        for artist in artists
        for source in [s for s in sources if s.artist == artist][:24]
    ]
    rule = splits.SplitRule(min_images_per_artist=20, min_test_images=4)
    folder = tmp_path_factory.mktemp("small") / "records"
    return records.write_dataset(str(folder), few, Conversion(32), rule, num_shards=2)


@pytest.fixture(scope="session")
def tiny_run(small_records, tmp_path_factory) -> pathlib.Path:
    """A run with all four stages trained on small_records; copy it to write there."""
    run_dir = tmp_path_factory.mktemp("tiny") / "run"
    return tiny.train_in_own_process(small_records.records_dir, run_dir)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> pathlib.Path:
    """Random weights of Keras' InceptionV3: trained ones are not in the package."""
    path = tmp_path_factory.mktemp("inception") / "notop.h5"
    network = tf.keras.applications.InceptionV3(include_top=False, weights=None)
    network.save_weights(path)
    return path
