"""Without test pictures nothing is called a test number, or perfect by definition."""

import dataclasses
import json
import math
import shutil

import pytest

from tfstyle.analysis.evaluation.run import EVALUATION_FILE, Evaluation, evaluate_run
from tfstyle.analysis.reporting.report import draw_runs
from tfstyle.analysis.results import name_pictures
from tfstyle.runs.trained_run import TrainedRun


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> TrainedRun:
    """A copy of the tiny run, whose records have no test pictures."""
    run_dir = tmp_path_factory.mktemp("no_test") / "run"
    run = TrainedRun(shutil.copytree(tiny_run, run_dir))
    dataset = run.dataset
    run.__dict__["dataset"] = dataclasses.replace(
        dataset,
        shards={**dataset.shards, "test": ()},
        artists=tuple(dataclasses.replace(a, test=0) for a in dataset.artists),
    )
    return run


@pytest.fixture(scope="module")
def evaluation(run) -> Evaluation:
    return evaluate_run(run)


@pytest.fixture(scope="module")
def stored(run, evaluation) -> dict:
    """evaluation.json, which must be JSON as others read it: without NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    text = (run.path / EVALUATION_FILE).read_text()
    return json.loads(text, parse_constant=refuse)


def test_the_summary_says_what_was_measured(evaluation):
    first, note, *lines = evaluation.summarize()

    assert first.startswith("0 test pictures of 3 artists")
    assert note == "note: these are numbers of training pictures"
    assert not any("test picture" in line for line in lines)
    assert any("training pictures" in line for line in lines)


def test_what_training_pictures_say_about_themselves_is_not_defined(evaluation, stored):
    baselines, leak = evaluation.style.baselines, evaluation.content.leak
    assert math.isnan(baselines.nearest_pixels) and math.isnan(leak.mlp)
    assert baselines.test_accuracy is None
    quality = evaluation.generator.quality.kinds
    assert math.isnan(quality["generated"].copies["mean"])
    assert math.isnan(quality["real"].nearest_distance["mean"])
    assert "undefined" in baselines.list_values().values()

    assert stored["split"] == "train" and stored["test_pictures"] == 0
    assert stored["style"]["baselines"]["nearest_pixels"] is None
    assert stored["content"]["leak"]["mlp"] is None
    copies = stored["generator"]["quality"]["kinds"]["generated"]["copies"]
    assert copies == {"mean": None, "deviation": None}


def test_an_evaluation_reads_back_what_is_not_defined(run, evaluation):
    again = Evaluation.read(run)
    assert again is not None
    assert again.summarize() == evaluation.summarize()


def test_the_report_calls_no_training_picture_a_test_picture(run, evaluation):
    (report,) = draw_runs([run])

    text = report.read_text()
    assert "All numbers are of training pictures" in text
    assert text.count("test picture") == 1  # there are 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("accuracy of test pictures", "accuracy of training pictures"),
        ("Test pictures, by pixels", "Training pictures, by pixels"),
        ("the latest pictures", "the latest pictures"),
    ],
)
def test_pictures_are_called_by_their_split(text, named):
    assert name_pictures(text, "train") == named
    assert name_pictures(text, "test") == text
