import hashlib

import numpy as np
import pytest

from tfstyle.data.collections.conversion_pool import ConvertedPicture
from tfstyle.data.collections.near_duplicates import FINGERPRINT_BYTES
from tfstyle.data.collections.sources import Source
from tfstyle.data.conversion.spool import Spool
from tfstyle.data.pictures import Conversion

CONVERSION = Conversion(8)
SOURCES = {f"key{i}": Source(f"/{i}.png", "a", f"{i}.png") for i in range(4)}
PICTURES = {
    key: ConvertedPicture(
        f"picture\n{i}".encode() * (i + 1), bytes([i]) * FINGERPRINT_BYTES
    )
    for i, key in enumerate(SOURCES)
}


def fill(folder, keys) -> None:
    with Spool(folder, CONVERSION) as spool:
        spool.load(SOURCES)
        for key in keys:
            spool.add(key, SOURCES[key], PICTURES[key])


def assert_holds(spool, keys) -> None:
    assert spool.keys == set(keys) and len(spool) == len(keys)
    assert spool.sources == [SOURCES[key] for key in keys]
    encoded = [PICTURES[key].encoded for key in keys]
    assert [spool.read(i) for i in range(len(keys))] == encoded
    assert spool.contents == [hashlib.sha256(data).hexdigest() for data in encoded]
    fingerprints = [list(PICTURES[key].fingerprint) for key in keys]
    np.testing.assert_array_equal(spool.map_fingerprints(), fingerprints)


def test_pictures_of_earlier_calls_and_this_one_are_read_alike(tmp_path):
    fill(tmp_path / "spool", ["key2"])
    fill(tmp_path / "spool", ["key0"])
    with Spool(tmp_path / "spool", CONVERSION) as spool:
        assert spool.load(SOURCES) == 0
        spool.add("key3", SOURCES["key3"], PICTURES["key3"])
        assert_holds(spool, ["key2", "key0", "key3"])


def test_pictures_of_other_sources_are_ignored(tmp_path):
    fill(tmp_path / "spool", SOURCES)
    wanted = {key: SOURCES[key] for key in ("key0", "key3")}
    with Spool(tmp_path / "spool", CONVERSION) as spool:
        spool.load(wanted)
        assert_holds(spool, ["key0", "key3"])


def test_wherever_a_file_ends_its_whole_pictures_are_read(tmp_path):
    """As after a killed process, or where a disk lost what was not written yet."""
    fill(tmp_path / "spool", ["key0", "key1"])
    path = tmp_path / "spool" / "00000.pictures"
    data = path.read_bytes()
    begin = data.index(b"key1")
    for end in [begin, *range(begin + 1, len(data), 37), len(data) - 1]:
        for tail in (b"", bytes(len(data) - end)):
            path.write_bytes(data[:end] + tail)
            with Spool(tmp_path / "spool", CONVERSION) as spool:
                spool.load(SOURCES)
                assert_holds(spool, ["key0"])


@pytest.mark.parametrize("other", [Conversion(9), Conversion(8, format="jpeg")])
def test_pictures_of_another_conversion_are_deleted(tmp_path, other):
    fill(tmp_path / "spool", SOURCES)
    with Spool(tmp_path / "spool", other) as spool:
        assert spool.load(SOURCES) == 1
        assert len(spool) == 0
    assert not list((tmp_path / "spool").iterdir())


def test_files_of_workers_are_loaded_when_they_are_there(tmp_path):
    fill(tmp_path / "other", ["key1"])
    with Spool(tmp_path / "spool", CONVERSION) as spool:
        name = spool.make_name()
        path = tmp_path / "spool" / f"{name}-00000-of-00001.pictures"
        (tmp_path / "other" / "00000.pictures").rename(path)
        spool.load(SOURCES)
        spool.load(SOURCES)  # changes nothing
        assert spool.make_name() > name
        spool.add("key0", SOURCES["key0"], PICTURES["key0"])
        assert_holds(spool, ["key1", "key0"])
