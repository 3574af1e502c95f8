import json
import pathlib

import pytest

from helpers.pictures import make_pictures
from tfstyle.core.cli import UserError
from tfstyle.data import record_writer, records
from tfstyle.data.collections.sources import Source, scan_artist_folders
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.pictures import Conversion
from tfstyle.data.pictures.faces import Face

pytest.importorskip("apache_beam", reason="needs the extra beam")

RULE = SplitRule(min_images_per_artist=4, min_test_images=1)
DIRECT = ["--runner=DirectRunner"]


def write(folder, sources, beam_options=None) -> dict[str, bytes]:
    """Write records of 8x8 pixels; return the content of their files."""
    dataset = record_writer.write_dataset(
        str(folder),
        sources,
        Conversion(8),
        RULE,
        max_skipped_fraction=0.5,
        beam_options=beam_options,
    )
    assert dataset == records.read_dataset(str(folder))
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


@pytest.fixture
def sources(tmp_path) -> list[Source]:
    """Pictures of two artists, one with bytes that are not UTF-8, and a broken one."""
    pictures = make_pictures(tmp_path / "in", ["a", "b\udcff"], count=20)
    (pictures / "a" / "broken.png").write_bytes(b"")
    found, _ = scan_artist_folders(str(pictures))
    return [
        *found,
        Source(found[0].path, "a", "face.png", face=Face(1, 1, 5, 5, angle=20)),
    ]


def test_records_are_those_of_other_ways_to_convert(sources, tmp_path, caplog):
    expected = write(tmp_path / "expected", sources)
    caplog.set_level("INFO")
    assert write(tmp_path / "out", sources, DIRECT) == expected
    assert "Apache Beam has converted 41 of 42 pictures" in caplog.text
    skipped = json.loads(expected["dataset.json"])["skipped"]
    assert skipped == {"not_a_picture": 1}


@pytest.mark.slow
def test_processes_give_the_same_records(sources, tmp_path):
    options = [*DIRECT, "--direct_running_mode=multi_processing"]
    expected = write(tmp_path / "expected", sources)
    written = write(tmp_path / "out", sources, [*options, "--direct_num_workers=2"])
    assert written == expected


def test_a_runner_that_does_not_exist_is_named(sources, tmp_path):
    with pytest.raises(UserError, match="--runner: .*NoRunner"):
        write(tmp_path / "out", sources, ["--runner=NoRunner"])
    assert not (tmp_path / "out").exists()
