"""metrics.jsonl has every number once, also after a resumption."""

import json

import pytest
import tensorflow as tf

from helpers import configuration as tiny
from helpers import runs
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.metrics_log import MetricsLog, log_evaluation


@pytest.fixture
def folder(tmp_path) -> StageFolder:
    folder = StageFolder(tmp_path, "metric")
    folder.path.mkdir()
    return folder


def read_lines(folder):
    return [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]


def read_scalars(folder, kind):
    """Return {(tag, step): value} of TensorBoard's event files."""
    scalars = {}
    for path in (folder.path / "tensorboard" / kind).iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                scalars[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return scalars


def test_a_number_is_a_line_with_its_step_count_and_seed(folder):
    log = MetricsLog(folder, 0, seed=7)
    log.write("train", 10, {"loss": 0.5, "accuracy_1": 1}, count=80, seconds=1.23456)
    log.write("eval", 10, {"eval_loss": 0.25}, count=12, seconds=2)

    lines = read_lines(folder)
    assert [(line["kind"], line["name"], line["value"]) for line in lines] == [
        ("train", "loss", 0.5),
        ("train", "accuracy_1", 1.0),
        ("eval", "eval_loss", 0.25),
    ]
    assert all(line["time"] > 1e9 for line in lines)
    del lines[0]["time"]
    assert lines[0] == {
        "kind": "train",
        "stage": "metric",
        "step": 10,
        "name": "loss",
        "value": 0.5,
        "count": 80,
        "seed": 7,
        "seconds": 1.235,
    }
    assert read_scalars(folder, "train") == {("loss", 10): 0.5, ("accuracy_1", 10): 1.0}
    assert read_scalars(folder, "eval") == {("eval_loss", 10): 0.25}


def test_lines_after_the_resumed_step_are_deleted(folder):
    """Also half a line, of a killed process."""
    log = MetricsLog(folder, 0, seed=0)
    for step in (10, 20, 30):
        log.write("train", step, {"loss": step}, count=1, seconds=0)
    with folder.metrics_file.open("a") as file:
        file.write('{"kind": "tr')

    MetricsLog(folder, 20, seed=0).write("train", 30, {"loss": 3}, 1, 0)

    values = [(line["step"], line["value"]) for line in read_lines(folder)]
    assert values == [(10, 10), (20, 20), (30, 3)]


def test_an_evaluation_is_logged_at_the_last_step(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "classifier")
    folder = StageFolder(run_dir, "classifier")
    before = read_lines(folder)

    log_evaluation(folder, {"figure_1/accuracy_1": 0.75}, count=12, start=0.0)

    *unchanged, line = read_lines(folder)
    assert unchanged == before
    assert (line["kind"], line["step"]) == ("eval", tiny.STEPS["classifier"])
    assert (line["value"], line["count"], line["seed"]) == (0.75, 12, 0)
