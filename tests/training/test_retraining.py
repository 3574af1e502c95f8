"""A classifier is trained for few dimensions like the run's own, and measured."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import threading
import time

import numpy as np
import pytest

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import module, read_output, run
from tfstyle.analysis.evaluation.run import evaluate_run, load_current
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.modeling.networks import codes
from tfstyle.runs import retrained
from tfstyle.runs.description import list_differences
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import retraining

# Ends when it gets the signal, as a training does.
STOPPED = """
import pathlib, signal, sys, time
def stop(number, frame):
    print("stopped by", number, flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).touch()
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    return runs.keep_stages(tiny_run, tmp_path / "run", "classifier")


@pytest.fixture(scope="module")
def evaluated(tiny_run, tmp_path_factory) -> tuple[pathlib.Path, str]:
    """A run evaluated with --retrain=2, and what the command printed."""
    run_dir = tmp_path_factory.mktemp("retrained") / "run"
    runs.keep_stages(tiny_run, run_dir, "classifier")
    flags = (f"--run_dir={run_dir}", "--retrain=2")
    return run_dir, read_output(run(module("evaluate"), *flags, timeout=300))


# The flag.


def test_dimensions_are_sorted_without_repetition(run_dir):
    assert retraining.parse_dims(TrainedRun(run_dir), "4, 1,2,4") == [1, 2, 4]


def test_all_dimensions_are_those_of_the_curve(run_dir):
    assert retraining.parse_dims(TrainedRun(run_dir), "all") == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("text", ["0", "17", "x", "", "1,,2", "-1", "1.5", "²"])
def test_a_wrong_dimension_is_named_with_the_range(text, run_dir):
    with pytest.raises(UserError, match="all or numbers from 1 to 16") as caught:
        retraining.parse_dims(TrainedRun(run_dir), text)

    assert repr(text) in str(caught.value)


def test_without_a_classifier_the_error_has_the_command_that_trains_one(
    tiny_run, tmp_path
):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")

    with pytest.raises(UserError, match="no classifier stage.*gin/classifier.gin"):
        retraining.parse_dims(TrainedRun(run_dir), "1")


def test_an_unfinished_classifier_must_be_resumed_first(run_dir):
    StageFolder(run_dir, "classifier").mark_unfinished()

    with pytest.raises(UserError, match="unfinished.*gin/classifier.gin"):
        retraining.parse_dims(TrainedRun(run_dir), "1")


def test_a_fine_tuned_classifier_is_not_trained_for_other_dimensions(run_dir):
    folder = StageFolder(run_dir, "classifier")
    folder.write(dataclasses.replace(folder.read(), init_from="runs/other"))

    with pytest.raises(UserError, match="started from runs/other"):
        retraining.parse_dims(TrainedRun(run_dir), "2")


# Which trainings are run.


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        ("nothing", ["train"]),
        ("finished", []),
        ("unfinished", ["train"]),
        ("other seed", ["train --restart"]),
        ("other records", ["train --restart"]),
        ("fewer steps", ["train"]),
        ("more steps", ["train --restart"]),
    ],
)
def test_an_existing_classifier_is_used_resumed_or_restarted(
    state, commands, run_dir, monkeypatch
):
    folder = retrained.stage_folder(run_dir, 2)
    if state != "nothing":
        runs.pretend_retrained(run_dir, 2)
    if state == "unfinished":
        folder.mark_unfinished()
    if state == "other seed":
        runs.change_identity(folder, seed=7)
    if state == "other records":
        runs.change_identity(folder, dataset="0" * 64)
    if state.endswith("steps"):
        steps = 10 if state == "fewer steps" else 30
        folder.write(dataclasses.replace(folder.read(), steps=steps))
    started = []

    def train(command):
        started.append("train --restart" if "--restart" in command else "train")
        runs.pretend_retrained(run_dir, 2)
        return 0

    monkeypatch.setattr(retraining, "_run", train)
    retraining.retrain(run_dir, [2])

    assert started == commands


def test_a_failed_training_ends_the_command(run_dir, monkeypatch):
    monkeypatch.setattr(retraining, "_run", lambda command: 1)
    runs.pretend_retrained(run_dir, 1)

    with pytest.raises(UserError, match=re.escape("d=4 (2 of 3) failed")):
        retraining.retrain(run_dir, [1, 4, 8])


def test_a_stopped_training_stops_the_command(run_dir, monkeypatch):
    monkeypatch.setattr(retraining, "_run", lambda command: 130)

    with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
        retraining.retrain(run_dir, [4])


# Signals.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_training_which_is_waited_for(number, tmp_path, capfd):
    ready = tmp_path / "ready"
    # Under nohup, or in the background of a script, it may be ignored.
    before = signal.signal(number, signal.SIG_DFL)

    def send():
        while not ready.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
    code = retraining._run([sys.executable, "-c", STOPPED, str(ready)])
    after = signal.signal(number, before)

    assert code == 130
    # A training answers SIGTERM with a checkpoint; SIGHUP would end it without one.
    assert capfd.readouterr().out == f"stopped by {int(signal.SIGTERM)}\n"
    assert after == signal.SIG_DFL


def test_a_signal_that_is_too_late_for_the_training_still_stops():
    """As if it had been sent while the training was finishing."""
    late = "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"
    ignoring = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {late}"

    assert retraining._run([sys.executable, "-c", ignoring]) == 130


# Real trainings.


@pytest.mark.slow
def test_the_classifier_is_trained_with_the_settings_of_the_runs_own(evaluated):
    run_dir, output = evaluated
    classifier = StageFolder(run_dir, "classifier").read()
    folder = retrained.stage_folder(run_dir, 2)

    description = folder.read()

    assert list_differences(classifier.identity, description.identity) == [
        "networks.style_encoder.dims: 16 -> 2",
        "objective.t: 0.995 -> null",
    ]
    assert description.steps == classifier.steps == tiny.STEPS["classifier"]
    assert folder.finished
    assert folder.read_array("artist_logits/kernel").shape == (2, 3)
    # The training's own progress is shown.
    assert "classifier trained for d=2 (1 of 1)" in output
    assert f"trained to step {tiny.STEPS['classifier']}" in output


@pytest.mark.slow
def test_it_is_measured_by_its_whole_code(evaluated):
    """Accuracy by the largest logit, and equation 10, each from all pairs."""
    run_dir, output = evaluated
    folder = retrained.stage_folder(run_dir, 2)
    dataset = TrainedRun(run_dir).dataset
    test = codes.collect_codes(
        folder.load_network("style_encoder"),
        input_pipeline.eval_batches(dataset, dataset.test_split),
    )
    x, labels = test.codes.astype(float), test.artist_ids
    kernel = folder.read_array("artist_logits/kernel")
    bias = folder.read_array("artist_logits/bias")
    accuracy = ((x @ kernel + bias).argmax(axis=1) == labels).mean()
    means = np.stack([x[labels == artist].mean(axis=0) for artist in range(3)])
    within = np.square(x - means[labels]).sum(axis=1).mean()
    squares = np.square(x[:, None] - x[None]).sum(axis=-1)
    between = squares[labels[:, None] != labels[None]].mean()

    evaluation = json.loads((run_dir / "evaluation.json").read_text())

    measured = evaluation["style"]["retrained"]
    assert measured["dims"] == [2]
    assert measured["accuracy"] == pytest.approx([accuracy])
    assert measured["variance_ratio"] == pytest.approx([within / between], rel=1e-4)
    assert "classifier trained per d: d, accuracy, variance ratio" in output
    assert f"     2  {accuracy:6.1%}  {within / between:.4f}" in output
    lines = (run_dir / "classifier" / "metrics.jsonl").read_text().splitlines()
    entries = {entry["name"]: entry for entry in map(json.loads, lines)}
    logged = entries["figure_1/retrained_accuracy_2"]["value"]
    assert logged == measured["accuracy"][0]
    ratio = entries["figure_1/retrained_variance_ratio_2"]
    assert (ratio["value"], ratio["count"]) == (measured["variance_ratio"][0], 12)


@pytest.mark.slow
def test_evaluation_without_retraining_reports_existing_classifiers(
    evaluated, tmp_path
):
    run_dir = pathlib.Path(shutil.copytree(evaluated[0], tmp_path / "run"))
    before = load_current(TrainedRun(run_dir))
    assert before is not None

    retraining.retrain(run_dir, [2])  # trains nothing
    assert evaluate_run(TrainedRun(run_dir)).style == before.style

    # The evaluation of other weights is out of date.
    runs.change_weights(run_dir / "retrained" / "2", "classifier")
    assert load_current(TrainedRun(run_dir)) is None
    runs.change_identity(retrained.stage_folder(run_dir, 2), seed=7)
    assert evaluate_run(TrainedRun(run_dir)).style.retrained is None


@pytest.mark.slow
def test_a_stopped_retraining_resumes(evaluated, tmp_path, capfd):
    """Its last checkpoint exists, so it only has to finish."""
    run_dir = pathlib.Path(shutil.copytree(evaluated[0], tmp_path / "run"))
    folder = retrained.stage_folder(run_dir, 2)
    weights = (folder.checkpoints / "final" / "weights.index").read_bytes()
    folder.mark_unfinished()

    retraining.retrain(run_dir, [2])

    assert "resuming from step 20" in capfd.readouterr().out
    assert folder.finished
    assert (folder.checkpoints / "final" / "weights.index").read_bytes() == weights
