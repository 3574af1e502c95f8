"""Previews have the same inputs throughout a training; the judge is the run's."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers.layers import assert_same
from helpers.stages import make_tiny_stage
from tfstyle.data import input_pipeline
from tfstyle.modeling.networks.codes import PictureTable
from tfstyle.modeling.stages.stage import EvalNumbers
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import callbacks
from tfstyle.training.monitoring import PREVIEW_PICTURES, Monitor


class RecordingStage:
    """Keeps what it is called with."""

    def __init__(self, table: PictureTable | None = None) -> None:
        self.table = table
        self.previews: list = []
        self.judges: list = []

    def preview(self, pictures, names, view):
        self.previews.append((pictures, list(names)))
        return self.table

    def measure(self, view) -> EvalNumbers:
        self.judges.append(view.load_judge())
        return EvalNumbers({"number": 1.0})


@pytest.fixture
def run_dir(tmp_path) -> pathlib.Path:
    return tmp_path / "run"


@pytest.fixture
def make_monitor(small_records, run_dir):
    def make() -> Monitor:
        return Monitor(TrainedRun(run_dir), "metric", small_records, batch_size=8)

    return make


def test_previews_show_the_same_validation_pictures_after_a_resumption(
    make_monitor, run_dir, small_records
):
    stage = RecordingStage()
    for step in (5, 10):
        make_monitor().preview(stage, step)

    (pictures, names), (later_pictures, later_names) = stage.previews
    np.testing.assert_array_equal(later_pictures, pictures)
    assert later_names == names
    assert len(pictures) == 6 < PREVIEW_PICTURES, "all there are"
    assert set(names) == set(small_records.artist_names)
    unseen = input_pipeline.read_pictures(small_records, ["validation"], range(6))
    for picture in pictures:
        assert any(np.array_equal(picture, other) for other in unseen)
    # Without a table there is no picture; the inputs are stored.
    files = [path.name for path in (run_dir / "metric" / "previews").iterdir()]
    assert files == ["inputs.npz"]


def test_the_stored_inputs_are_used_again(make_monitor, run_dir):
    stage = RecordingStage()
    make_monitor().preview(stage, 5)
    path = run_dir / "metric" / "previews" / "inputs.npz"
    with np.load(path) as arrays:
        stored = dict(arrays)
    stored["pictures"] = 255 - stored["pictures"]
    np.savez(path, **stored)

    make_monitor().preview(stage, 10)

    np.testing.assert_array_equal(stage.previews[1][0], 255 - stage.previews[0][0])


def test_a_preview_is_a_picture_named_by_its_step(make_monitor, run_dir):
    cell = np.zeros([32, 32, 3], np.uint8)
    stage = RecordingStage(PictureTable([[cell, cell], [cell, None]], title="title"))

    make_monitor().preview(stage, 1500)

    with Image.open(run_dir / "metric" / "previews" / "step-0001500.png") as picture:
        assert picture.width > 64 and picture.height > 64


def test_a_real_stage_is_measured_and_shown(make_monitor, run_dir):
    model, monitor = make_tiny_stage("vae"), make_monitor()

    test = monitor.evaluate(model)
    monitor.preview(model, 0)

    assert test.score == -test.numbers["eval_reconstruction"]
    assert monitor.count == 6
    assert (run_dir / "metric" / "previews" / "step-0000000.png").exists()


def test_the_judge_is_the_classifier_once_it_is_finished(
    make_monitor, run_dir, tiny_run
):
    stage, monitor = RecordingStage(), make_monitor()
    monitor.evaluate(stage)
    shutil.copytree(tiny_run / "classifier", run_dir / "classifier")
    monitor.evaluate(stage)
    monitor.evaluate(stage)

    before, judge, again = stage.judges
    assert before is None
    assert judge is again
    expected = TrainedRun(tiny_run).network("classifier", "style_encoder")
    assert_same(judge.get_weights(), expected.get_weights())


def test_a_number_that_is_not_defined_is_undefined_in_the_log():
    numbers = {"loss": 0.25, "variance_ratio": float("nan")}
    assert callbacks.format_numbers(numbers) == "loss 0.25  variance_ratio undefined"
