"""`python -m tfstyle.train` as users type it: stopped, resumed, refused.

All runs train tiny networks on `small_records`, each in a process of its own.
"""

import json
import os
import pty
import shutil
import signal
import time

import numpy as np
import pytest

from helpers import configuration as tiny
from helpers.commands import (
    ROOT,
    STEPS,
    interrupt_training,
    list_files,
    refuse_training,
    train,
    train_command,
)
from helpers.runs import read_arrays
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.artist_layers import mean_prefix_distances
from tfstyle.modeling.stages.metric import MetricSettings
from tfstyle.runs.folder import StageFolder

pytestmark = pytest.mark.slow


def assert_same_arrays(prefix, other_prefix):
    arrays, others = read_arrays(prefix), read_arrays(other_prefix)
    assert arrays.keys() == others.keys() and len(arrays) > 10
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, others[name], err_msg=name)


def assert_same_end(folder, other):
    """Compare everything that a finished stage leaves: to the last bit."""
    for checkpoint in (f"step-{STEPS}", "final/weights"):
        assert_same_arrays(
            folder / "checkpoints" / checkpoint, other / "checkpoints" / checkpoint
        )
    for name in ("style_statistics.npz", "content_statistics.npz"):
        assert (folder / name).exists() == (other / name).exists()
        if (folder / name).exists():
            left, right = np.load(folder / name), np.load(other / name)
            for key in left.files:
                np.testing.assert_array_equal(left[key], right[key])


def read_log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").open()]


def list_places(log):
    return [(line["kind"], line["step"], line["name"]) for line in log]


def assert_ordered(log):
    """Every number once, in the order of steps, at the steps that are due."""
    places = list_places(log)
    assert len(set(places)) == len(places)
    steps = [line["step"] for line in log]
    assert steps == sorted(steps)
    logged, evaluated = (
        set(range(interval, STEPS + 1, interval))
        for interval in (tiny.LOG_INTERVAL, tiny.EVAL_INTERVAL)
    )
    # Test numbers are logged beside the training's.
    due = {"train": logged | evaluated, "eval": evaluated}
    for kind, expected in due.items():
        assert {line["step"] for line in log if line["kind"] == kind} == expected


def assert_same_log(folder, other):
    """Train numbers are means since the last line, which a stop cuts; eval are not."""
    log, other_log = read_log(folder), read_log(other)
    assert_ordered(log)
    assert_ordered(other_log)
    assert list_places(log) == list_places(other_log)
    values, other_values = (
        [line["value"] for line in lines if line["kind"] == "eval"]
        for lines in (log, other_log)
    )
    assert values == other_values and values


@pytest.fixture(scope="module")
def run(small_records, tmp_path_factory):
    """A run whose metric stage was trained without a stop."""
    folder = tmp_path_factory.mktemp("resume") / "run"
    output = train("metric", small_records, folder)
    assert "from the beginning" in output
    assert f"trained to step {STEPS}" in output
    return folder


@pytest.fixture(scope="module")
def run_with_vae(run, small_records):
    """The same with a vae stage."""
    train("vae", small_records, run)
    return run


@pytest.fixture
def copy_of_run(run, tmp_path):
    """A copy of the metric stage, to be changed."""
    shutil.copytree(run / "metric", tmp_path / "copy" / "metric")
    return tmp_path / "copy"


def test_an_interrupted_metric_stage_resumes_bit_for_bit(run, small_records, tmp_path):
    broken = tmp_path / "run"
    step = interrupt_training("metric", small_records, broken, after_step=5)
    # As if a killed attempt had gone further, half a line included.
    log = broken / "metric" / "metrics.jsonl"
    late = {"kind": "train", "stage": "metric", "step": STEPS, "name": "loss"}
    with log.open("a") as file:
        file.write(json.dumps({**late, "value": 1.0}) + "\n" + '{"kind": "tr')
    output = train("metric", small_records, broken)
    assert f"resuming from step {step}" in output
    assert_same_end(run / "metric", broken / "metric")
    assert_same_log(run / "metric", broken / "metric")
    assert (broken / "metric" / "FINISHED").read_text() == f"step {STEPS}\n"


def test_a_closed_terminal_ends_training_with_a_checkpoint(small_records, tmp_path):
    """As a lost connection does; no other checkpoint is due before the last step."""
    many = 100_000
    settings = {"train__steps": many, "train__checkpoint_interval": many}
    run_dir = tmp_path / "run"
    command = train_command("metric", small_records, run_dir, **settings)
    process, terminal = pty.fork()
    if not process:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # pytest may run under nohup
        os.chdir(ROOT)
        os.execv(command[0], command)
    while not (run_dir / "metric" / "metrics.jsonl").exists():
        time.sleep(0.05)

    os.close(terminal)

    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130
    (checkpoint,) = run_dir.glob("metric/checkpoints/step-*.index")
    assert 1 <= int(checkpoint.stem.removeprefix("step-")) < many


def test_an_interrupted_stage_on_pairs_resumes_bit_for_bit(small_records, tmp_path):
    """Its mean codes, which replace presumed styles, depend on the weights alone."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pairs = {"metric__objective": "pairwise", "metric__images_per_artist": 2}
    train("metric", small_records, whole, **pairs)
    step = interrupt_training("metric", small_records, broken, after_step=5, **pairs)
    output = train("metric", small_records, broken, **pairs)
    assert f"resuming from step {step}" in output
    assert_same_end(whole / "metric", broken / "metric")
    assert_same_log(whole / "metric", broken / "metric")
    folder = StageFolder(whole, "metric")
    styles = folder.read_array("presumed_styles/styles")
    means = passes.compute_artist_means(
        folder.load_network("style_encoder"), small_records
    )
    np.testing.assert_allclose(styles, means, rtol=1e-4, atol=1e-5)


def test_a_warm_start_is_scored_only_when_it_is_over(small_records, tmp_path):
    """Until then artists are at their mean codes, not at random presumed styles."""
    train("metric", small_records, tmp_path, metric__warm_start_steps=20)
    folder = tmp_path / "metric"
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    assert best["step"] > 20
    losses = {
        (line["step"], line["name"])
        for line in read_log(folder)
        if "loss" in line["name"]
    }
    assert (20, "classification_loss") in losses and (20, "loss") not in losses
    assert (40, "loss") in losses and (40, "classification_loss") not in losses
    numbers = {(line["step"], line["name"]): line["value"] for line in read_log(folder)}
    # Mean codes of an untrained encoder are close together; random styles are 1.2 apart
    # (metric.start_distance), and so about 0.85 from codes in their middle.
    assert numbers[20, "different_distance_8"] < 0.65


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric__warm_start_steps": STEPS}, f"leaves none of the {STEPS} steps"),
        (
            {"metric__objective": "pairwise", "metric__images_per_artist": 3},
            "multiple of",
        ),
        ({"train__image_size": 64}, f"set train.image_size = {tiny.IMAGE_SIZE}"),
    ],
)
def test_settings_that_cannot_be_trained_lock_nothing(
    settings, message, small_records, tmp_path
):
    line = refuse_training("metric", small_records, tmp_path / "run", **settings)
    assert message in line
    assert not (tmp_path / "run").exists()


def test_fine_tuning_starts_from_the_new_artists_mean_codes(
    run, small_records, tmp_path
):
    fine_tuned = tmp_path / "fine"
    one_small_step = {"train__steps": 1, "adam__learning_rate": 1e-12}
    train("metric", small_records, fine_tuned, f"--init_from={run}", **one_small_step)
    folder, source = StageFolder(fine_tuned, "metric"), StageFolder(run, "metric")
    styles = folder.read_array("presumed_styles/styles")
    means = passes.compute_artist_means(
        source.load_network("style_encoder"), small_records
    )
    np.testing.assert_allclose(styles, means, rtol=1e-4, atol=1e-5)
    log_scales = folder.read_array("presumed_styles/log_prefix_scales")
    distances = np.exp(log_scales) * mean_prefix_distances(means)
    np.testing.assert_allclose(distances, MetricSettings().start_distance, rtol=1e-3)
    assert folder.read().init_from == str(run)
    output = train(
        *("metric", small_records, fine_tuned, "--init_from=runs/other"),
        **{**one_small_step, "train__steps": 2},
    )
    assert "--init_from=runs/other is not used" in output
    assert folder.read().init_from == str(run)


def test_an_interrupted_gan_stage_resumes_bit_for_bit(
    run_with_vae, small_records, tmp_path
):
    """With both optimizers, the moving average and the warm start behind it."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        for stage in ("metric", "vae"):
            shutil.copytree(run_with_vae / stage, folder / stage)
    train("gan", small_records, whole)
    step = interrupt_training("gan", small_records, broken, after_step=10)
    output = train("gan", small_records, broken)
    assert f"resuming from step {step}" in output
    assert_same_end(whole / "gan", broken / "gan")
    assert_same_log(whole / "gan", broken / "gan")


def test_the_operative_configuration_has_the_pipelines_settings(run):
    """So that it alone repeats the run."""
    text = (run / "metric" / "operative_config.gin").read_text()
    assert "train_batches.shuffle_buffer = 4096" in text
    assert "metric.start_distance = 1.2" in text


def test_a_finished_stage_is_not_changed(copy_of_run, small_records):
    before = list_files(copy_of_run)
    start = time.time()
    output = train("metric", small_records, copy_of_run)
    assert f"already trained to step {STEPS}" in output
    assert list_files(copy_of_run) == before
    assert time.time() - start < 60


def test_more_steps_resume_a_finished_stage(copy_of_run, small_records):
    output = train("metric", small_records, copy_of_run, train__steps=STEPS + 10)
    assert f"resuming from step {STEPS}, where it was finished" in output
    assert (copy_of_run / "metric" / "FINISHED").read_text() == f"step {STEPS + 10}\n"
    assert max(line["step"] for line in read_log(copy_of_run / "metric")) == STEPS + 10


def test_restart_starts_over(run, copy_of_run, small_records):
    """From the same seed: the same weights, in a folder without old files."""
    leftover = copy_of_run / "metric" / "leftover"
    leftover.write_text("")
    output = train("metric", small_records, copy_of_run, "--restart")
    assert "from the beginning" in output
    assert not leftover.exists()
    assert_same_end(run / "metric", copy_of_run / "metric")
    assert_ordered(read_log(copy_of_run / "metric"))


def test_other_settings_are_refused_on_resume(copy_of_run, small_records):
    before = list_files(copy_of_run)
    line = refuse_training(
        "metric",
        small_records,
        copy_of_run,
        train__batch_size=4,
        style_encoder__dims=10,
        adam__learning_rate=0.5,
        metric__t=0.9,
    )
    assert f"batch_size: {tiny.BATCH_SIZE} -> 4" in line
    assert f"dims: {tiny.STYLE_ENCODER_DIMS} -> 10" in line
    assert "learning_rate: 0.01 -> 0.5" in line
    assert "objective.t: 0.97 -> 0.9" in line
    assert "--restart" in line and "--run_dir" in line
    assert list_files(copy_of_run) == before


def test_a_misspelled_binding_is_an_error_that_suggests_the_closest_name(
    small_records, tmp_path
):
    line = refuse_training(
        "metric", small_records, tmp_path / "no", "--gin_param=train.stepz = 3"
    )
    assert "'stepz'" in line and "Did you mean steps" in line
    assert not (tmp_path / "no").exists()


def test_a_loss_that_is_not_finite_stops_the_run(small_records, tmp_path):
    """The first loss is the untrained networks'; the second, after an update of 1e30

    (squared, beyond float32's 3.4e38), is the first that is not finite.
    """
    line = refuse_training(
        "metric",
        small_records,
        tmp_path / "run",
        adam__learning_rate=1e30,
    )
    assert "loss became" in line and "at step 2;" in line
    assert "learning rate" in line
    assert not (tmp_path / "run" / "metric" / "FINISHED").exists()
    assert not list((tmp_path / "run" / "metric" / "checkpoints").glob("step-*"))
