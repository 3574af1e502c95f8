"""Commands that read the records of a run name the file that is corrupt."""

import json
import pathlib
import shutil

import pytest

from helpers import runs
from tfstyle.analysis.evaluation.run import evaluate_run
from tfstyle.analysis.reporting.report import draw_run
from tfstyle.core.cli import UserError
from tfstyle.exploration import searching
from tfstyle.runs.trained_run import TrainedRun

ACTIONS = {
    "evaluate": lambda run: evaluate_run(run),
    "figures": lambda run: draw_run(run),
    "search": lambda run: searching.load_index(run),
}


@pytest.fixture
def run_dir(tiny_run, small_records, tmp_path) -> pathlib.Path:
    """A run of the metric stage with records of its own, which may be changed."""
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    shutil.copytree(small_records.records_dir, tmp_path / "records")
    path = run_dir / "metric" / "run.json"
    described = json.loads(path.read_text())
    described["dataset"]["records_dir"] = str(tmp_path / "records")
    path.write_text(json.dumps(described))
    return run_dir


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("place", [0.5, 1.0])
def test_a_flipped_byte_is_named_with_its_file(run_dir, tmp_path, action, place):
    path = tmp_path / "records" / "test-00001-of-00002.tfrecord"
    content = bytearray(path.read_bytes())
    content[int((len(content) - 1) * place)] ^= 1
    path.write_bytes(content)

    with pytest.raises(UserError) as error:
        action(TrainedRun(run_dir))

    assert f"of {path} is corrupt: its checksum is wrong" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_a_file_in_the_place_of_another_is_named(run_dir, tmp_path, action):
    path = tmp_path / "records" / "test-00001-of-00002.tfrecord"
    shutil.copy(path.with_name("test-00000-of-00002.tfrecord"), path)

    with pytest.raises(UserError, match=f"{path} "):
        action(TrainedRun(run_dir))
