"""A classifier is trained for few dimensions as the run's own, and measured."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tiny_run as tiny

from tfstyle.analysis.evaluation import run as measuring
from tfstyle.core.cli import UserError
from tfstyle.modeling.networks import codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs import retrained as retrained_runs
from tfstyle.training import retraining

# Stopped by the signal that it is sent, as a training is.
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
    return tiny.keep_stages(tiny_run, tmp_path / "run", "classifier")


@pytest.fixture(scope="module")
def retrained(tiny_run, tmp_path_factory) -> tuple[pathlib.Path, str]:
    """A run evaluated with --retrain=2, and what the command printed."""
    run_dir = tmp_path_factory.mktemp("retrained") / "run"
    tiny.keep_stages(tiny_run, run_dir, "classifier")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tfstyle.evaluate"),
            *(f"--run_dir={run_dir}", "--retrain=2"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return run_dir, done.stdout


def described(folder: runs.StageFolder, **changes) -> None:
    """Write run.json as it is, with changes of its identity."""
    run = folder.read()
    run["identity"].update(changes)
    folder.write(run)


def pretend_retrained(run_dir: pathlib.Path, d: int) -> runs.StageFolder:
    """Leave what a finished training for d leaves behind in run.json."""
    run = runs.StageFolder(run_dir, "classifier").read()
    run["identity"]["objective"]["t"] = None
    run["identity"]["networks"]["style_encoder"]["dims"] = d
    folder = retrained_runs.stage_folder(run_dir, d)
    folder.write(run)
    folder.mark_finished(run["steps"])
    return folder


def test_dimensions_are_taken_in_order_each_once(run_dir):
    assert retraining.wanted_dims(run_dir, "4, 1,2,4") == [1, 2, 4]


def test_all_are_those_of_the_curve(run_dir):
    assert retraining.wanted_dims(run_dir, "all") == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("wanted", ["0", "17", "x", "", "1,,2", "-1", "1.5", "²"])
def test_a_wrong_dimension_is_named_with_the_range(wanted, run_dir):
    with pytest.raises(UserError, match="all or numbers from 1 to 16") as caught:
        retraining.wanted_dims(run_dir, wanted)

    assert repr(wanted) in str(caught.value)


def test_without_a_classifier_the_command_that_makes_one_is_named(tiny_run, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")

    with pytest.raises(UserError, match="no classifier stage.*gin/classifier.gin"):
        retraining.wanted_dims(run_dir, "1")


def test_an_unfinished_classifier_is_to_be_finished_first(run_dir):
    runs.StageFolder(run_dir, "classifier").mark_unfinished()

    with pytest.raises(UserError, match="unfinished.*gin/classifier.gin"):
        retraining.wanted_dims(run_dir, "1")


def test_only_finished_classifiers_of_the_same_settings_count(run_dir, capsys):
    assert retrained_runs.finished_dims(run_dir) == []
    for d in (8, 1, 2, 4):
        pretend_retrained(run_dir, d)
    assert retrained_runs.finished_dims(run_dir) == [1, 2, 4, 8]
    retrained_runs.stage_folder(run_dir, 2).mark_unfinished()
    described(retrained_runs.stage_folder(run_dir, 8), seed=7)
    capsys.readouterr()

    assert retrained_runs.finished_dims(run_dir) == [1, 4]
    assert "--retrain=8 trains it again" in capsys.readouterr().out


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
def test_what_is_there_is_reused_continued_or_thrown_away(
    state, commands, run_dir, monkeypatch
):
    folder = retrained_runs.stage_folder(run_dir, 2)
    if state != "nothing":
        pretend_retrained(run_dir, 2)
    if state == "unfinished":
        folder.mark_unfinished()
    if state == "other seed":
        described(folder, seed=7)
    if state == "other records":
        described(folder, dataset="0" * 64)
    if state.endswith("steps"):
        run = folder.read()
        folder.write({**run, "steps": 10 if state == "fewer steps" else 30})
    given = []

    def train(command):
        given.append("train --restart" if "--restart" in command else "train")
        pretend_retrained(run_dir, 2)
        return 0

    monkeypatch.setattr(retraining, "_run", train)
    retraining.retrain(run_dir, [2])

    assert given == commands


def test_a_failed_training_ends_the_command(run_dir, monkeypatch):
    monkeypatch.setattr(retraining, "_run", lambda command: 1)
    with pytest.raises(UserError, match=re.escape("d=4 (2 of 3) failed")):
        pretend_retrained(run_dir, 1)
        retraining.retrain(run_dir, [1, 4, 8])


def test_a_stopped_training_stops_the_command(run_dir, monkeypatch):
    monkeypatch.setattr(retraining, "_run", lambda command: 130)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        retraining.retrain(run_dir, [4])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_training_and_is_waited_for(number, tmp_path, capfd):
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
    # which a training answers with a checkpoint, SIGHUP it does not
    assert capfd.readouterr().out == f"stopped by {int(signal.SIGTERM)}\n"
    assert after == signal.SIG_DFL


def test_a_signal_that_comes_too_late_for_the_training_still_stops(monkeypatch):
    """As if it had come while the training was finishing."""
    late = "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"
    ignoring = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {late}"
    assert retraining._run([sys.executable, "-c", ignoring]) == 130


def test_a_fine_tuned_classifier_is_not_trained_for_other_dimensions(run_dir):
    folder = runs.StageFolder(run_dir, "classifier")
    folder.write({**folder.read(), "init_from": "runs/other"})
    with pytest.raises(UserError, match="began from runs/other"):
        retraining.wanted_dims(run_dir, "2")


@pytest.mark.slow
def test_the_classifier_is_trained_with_the_settings_of_the_runs_own(retrained):
    run_dir, said = retrained
    own = runs.StageFolder(run_dir, "classifier").read()
    folder = runs.StageFolder(run_dir / "retrained" / "2", "classifier")

    trained = folder.read()

    assert runs.differences(own["identity"], trained["identity"]) == [
        "networks.style_encoder.dims: 16 -> 2",
        "objective.t: 0.995 -> null",
    ]
    assert trained["steps"] == own["steps"] == tiny.STEPS["classifier"]
    assert folder.finished
    kernel, _ = runs.load_arrays(folder, "artist_logits/kernel", "artist_logits/bias")
    assert kernel.shape == (2, 3)
    # The training's own progress is shown.
    assert "classifier trained for d=2 (1 of 1)" in said
    assert f"trained to step {tiny.STEPS['classifier']}" in said


@pytest.mark.slow
def test_it_is_measured_by_its_whole_code(retrained):
    """Accuracy by the largest logit, and equation 10, each from all pairs."""
    run_dir, said = retrained
    folder = retrained_runs.stage_folder(run_dir, 2)
    found = codes.collect_codes(
        runs.load_network(folder, "style_encoder"),
        passes.test_batches(runs.load_dataset(run_dir)),
    )
    x, labels = found.codes.astype(float), found.artist_ids
    kernel, bias = runs.load_arrays(
        folder, "artist_logits/kernel", "artist_logits/bias"
    )
    accuracy = ((x @ kernel + bias).argmax(axis=1) == labels).mean()
    means = np.stack([x[labels == one].mean(axis=0) for one in range(3)])
    within = np.square(x - means[labels]).sum(axis=1).mean()
    squares = np.square(x[:, None] - x[None]).sum(axis=-1)
    between = squares[labels[:, None] != labels[None]].mean()

    numbers = json.loads((run_dir / "evaluation.json").read_text())

    measured = numbers["style"]["retrained"]
    assert measured["dims"] == [2]
    assert measured["accuracy"] == pytest.approx([accuracy])
    assert measured["variance_ratio"] == pytest.approx([within / between], rel=1e-4)
    assert "classifier trained per d: d, accuracy, variance ratio" in said
    assert f"     2  {accuracy:6.1%}  {within / between:.4f}" in said
    lines = (run_dir / "classifier" / "metrics.jsonl").read_text().splitlines()
    values = {one["name"]: one for one in map(json.loads, lines)}
    assert values["figure_1/retrained_accuracy_2"]["value"] == measured["accuracy"][0]
    ratio = values["figure_1/retrained_variance_ratio_2"]
    assert (ratio["value"], ratio["count"]) == (measured["variance_ratio"][0], 12)


@pytest.mark.slow
def test_evaluation_without_retraining_reports_what_is_there(retrained, tmp_path):
    run_dir = pathlib.Path(shutil.copytree(retrained[0], tmp_path / "run"))
    before = measuring.read_numbers(run_dir)
    assert before is not None

    retraining.retrain(run_dir, [2])  # trains nothing
    assert measuring.measure_run(run_dir)["style"] == before["style"]

    # Numbers of other weights than those that are there are not read.
    tiny.change_weights(run_dir / "retrained" / "2", "classifier")
    assert measuring.read_numbers(run_dir) is None
    described(retrained_runs.stage_folder(run_dir, 2), seed=7)
    assert "retrained" not in measuring.measure_run(run_dir)["style"]


@pytest.mark.slow
def test_a_stopped_retraining_goes_on_where_it_was(retrained, tmp_path, capfd):
    """Its last checkpoint is there, so nothing but the end is left to do."""
    run_dir = pathlib.Path(shutil.copytree(retrained[0], tmp_path / "run"))
    folder = retrained_runs.stage_folder(run_dir, 2)
    weights = (folder.checkpoints / "final" / "weights.index").read_bytes()
    folder.mark_unfinished()

    retraining.retrain(run_dir, [2])

    assert "continuing from step 20" in capfd.readouterr().out
    assert folder.finished
    assert (folder.checkpoints / "final" / "weights.index").read_bytes() == weights
