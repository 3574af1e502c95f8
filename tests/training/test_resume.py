"""`python -m tfstyle.train` as it is typed: stopped, resumed, refused.

All runs train tiny networks on `small_records`, each in a process of its own.
"""

import json
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf
from train_command import STEPS, files_of, interrupt, refuse, succeed

from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.artist_layers import mean_prefix_distances
from tfstyle.modeling.stages.metric import START_DISTANCE
from tfstyle.runs import folder as runs

pytestmark = pytest.mark.slow


def arrays(prefix):
    """Read all variables of a checkpoint."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        # these count calls of save, and describe the others
        if "save_counter" not in name and name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def assert_same_arrays(one, other):
    one, other = arrays(one), arrays(other)
    assert one.keys() == other.keys() and len(one) > 10
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def assert_same_end(one, other):
    """Compare all that a finished stage leaves: to the last bit."""
    for checkpoint in (f"step-{STEPS}", "final/weights"):
        assert_same_arrays(
            one / "checkpoints" / checkpoint, other / "checkpoints" / checkpoint
        )
    for name in ("style_statistics.npz", "content_statistics.npz"):
        assert (one / name).exists() == (other / name).exists()
        if (one / name).exists():
            left, right = np.load(one / name), np.load(other / name)
            for key in left.files:
                np.testing.assert_array_equal(left[key], right[key])


def log_of(folder):
    return [json.loads(one) for one in (folder / "metrics.jsonl").open()]


def assert_ordered(log):
    """Every number once, in the order of steps, at the steps that are due."""
    places = [(line["kind"], line["step"], line["name"]) for line in log]
    assert len(set(places)) == len(places)
    steps = [line["step"] for line in log]
    assert steps == sorted(steps)
    due = {
        "train": set(range(10, STEPS + 1, 10)),
        "eval": {20, STEPS},
    }
    for kind, expected in due.items():
        assert {line["step"] for line in log if line["kind"] == kind} == expected


def assert_same_log(folder, other):
    """Train numbers are means since the last line, which a stop cuts; eval are not."""
    log, other_log = log_of(folder), log_of(other)
    assert_ordered(log)
    assert_ordered(other_log)
    places, other_places = (
        [(line["kind"], line["step"], line["name"]) for line in one]
        for one in (log, other_log)
    )
    assert places == other_places
    values, other_values = (
        [line["value"] for line in one if line["kind"] == "eval"]
        for one in (log, other_log)
    )
    assert values == other_values and values


@pytest.fixture(scope="module")
def run(small_records, tmp_path_factory):
    """A run whose metric stage was trained without a break."""
    folder = tmp_path_factory.mktemp("resume") / "run"
    done = succeed("metric", small_records, folder)
    assert "from the beginning" in done.stdout
    assert f"trained to step {STEPS}" in done.stdout
    return folder


@pytest.fixture(scope="module")
def run_with_vae(run, small_records):
    """The same with a vae stage."""
    succeed("vae", small_records, run)
    return run


@pytest.fixture
def copy_of_run(run, tmp_path):
    """A copy of the metric stage, to be changed."""
    shutil.copytree(run / "metric", tmp_path / "copy" / "metric")
    return tmp_path / "copy"


def test_an_interrupted_metric_stage_resumes_bit_for_bit(run, small_records, tmp_path):
    broken = tmp_path / "run"
    step = interrupt("metric", small_records, broken, after_step=5)
    # as if a killed attempt had gone further, half a line included
    log = broken / "metric" / "metrics.jsonl"
    late = {"kind": "train", "stage": "metric", "step": STEPS, "name": "loss"}
    with log.open("a") as file:
        file.write(json.dumps({**late, "value": 1.0}) + "\n" + '{"kind": "tr')
    done = succeed("metric", small_records, broken)
    assert f"continuing from step {step}" in done.stdout
    assert_same_end(run / "metric", broken / "metric")
    assert_same_log(run / "metric", broken / "metric")
    assert (broken / "metric" / "FINISHED").read_text() == f"step {STEPS}\n"


def test_an_interrupted_stage_on_pairs_resumes_bit_for_bit(small_records, tmp_path):
    """Its mean codes, put in place of presumed styles, depend on the weights alone."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pairs = {"metric__objective": "pairwise", "metric__images_per_artist": 2}
    succeed("metric", small_records, whole, **pairs)
    step = interrupt("metric", small_records, broken, after_step=5, **pairs)
    done = succeed("metric", small_records, broken, **pairs)
    assert f"continuing from step {step}" in done.stdout
    assert_same_end(whole / "metric", broken / "metric")
    assert_same_log(whole / "metric", broken / "metric")
    folder = runs.StageFolder(whole, "metric")
    (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    means = passes.artist_means(
        runs.load_network(folder, "style_encoder"), small_records
    )
    np.testing.assert_allclose(styles, means, rtol=1e-4, atol=1e-5)


def test_a_warm_start_is_scored_only_when_it_is_over(small_records, tmp_path):
    """Until then mean codes, not random presumed styles, say which artist is near."""
    succeed("metric", small_records, tmp_path, metric__warm_start_steps=20)
    folder = tmp_path / "metric"
    best = json.loads((folder / "checkpoints" / "best.json").read_text())
    assert best["step"] == STEPS
    losses = {
        (line["step"], line["name"])
        for line in log_of(folder)
        if "loss" in line["name"]
    }
    assert (20, "classification_loss") in losses and (20, "loss") not in losses
    assert (40, "loss") in losses and (40, "classification_loss") not in losses
    numbers = {(line["step"], line["name"]): line["value"] for line in log_of(folder)}
    # the classifier's mean codes are far from where random styles of deviation 1 are
    assert numbers[20, "same_distance_8"] < numbers[20, "different_distance_8"]


def test_a_warm_start_that_takes_all_steps_is_refused(small_records, tmp_path):
    said = refuse("metric", small_records, tmp_path, metric__warm_start_steps=STEPS)
    assert "leaves none of the 40 steps" in said
    assert not (tmp_path / "metric").exists()


def test_a_batch_that_is_no_number_of_groups_locks_nothing(small_records, tmp_path):
    pairs = {"metric__objective": "pairwise", "metric__images_per_artist": 4}
    assert "multiple of" in refuse("metric", small_records, tmp_path, **pairs)
    assert not (tmp_path / "metric").exists()


def test_fine_tuning_starts_from_the_new_artists_mean_codes(
    run, small_records, tmp_path
):
    fine_tuned = tmp_path / "fine"
    one_small_step = {"train__steps": 1, "adam__learning_rate": 1e-12}
    succeed("metric", small_records, fine_tuned, f"--init_from={run}", **one_small_step)
    folder, source = (runs.StageFolder(one, "metric") for one in (fine_tuned, run))
    (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    means = passes.artist_means(
        runs.load_network(source, "style_encoder"), small_records
    )
    np.testing.assert_allclose(styles, means, rtol=1e-4, atol=1e-5)
    (log_scales,) = runs.load_arrays(folder, "presumed_styles/log_prefix_scales")
    assert folder.read()["init_from"] == str(run)
    again = succeed(
        *("metric", small_records, fine_tuned, "--init_from=runs/other"),
        **{**one_small_step, "train__steps": 2},
    )
    assert "--init_from=runs/other is not used" in again.stdout
    assert folder.read()["init_from"] == str(run)
    distances = np.exp(log_scales) * mean_prefix_distances(means)
    np.testing.assert_allclose(distances, START_DISTANCE, rtol=1e-3)


def test_an_interrupted_gan_stage_resumes_bit_for_bit(
    run_with_vae, small_records, tmp_path
):
    """With both optimizers, the moving average and the warm start behind it."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        for stage in ("metric", "vae"):
            shutil.copytree(run_with_vae / stage, folder / stage)
    succeed("gan", small_records, whole)
    step = interrupt("gan", small_records, broken, after_step=10)
    done = succeed("gan", small_records, broken)
    assert f"continuing from step {step}" in done.stdout
    assert_same_end(whole / "gan", broken / "gan")
    assert_same_log(whole / "gan", broken / "gan")


def test_the_operative_configuration_holds_the_pipelines_settings(run):
    """So that it alone makes the same run again."""
    text = (run / "metric" / "operative_config.gin").read_text()
    assert "train_batches.shuffle_buffer = 4096" in text
    assert "metric.start_distance = 1.2" in text


def test_a_finished_stage_is_left_alone(copy_of_run, small_records):
    before = files_of(copy_of_run)
    began = time.time()
    done = succeed("metric", small_records, copy_of_run)
    assert f"already trained to step {STEPS}" in done.stdout
    assert files_of(copy_of_run) == before
    assert time.time() - began < 60


def test_more_steps_continue_a_finished_stage(copy_of_run, small_records):
    done = succeed("metric", small_records, copy_of_run, train__steps=STEPS + 10)
    assert f"continuing from step {STEPS}, where it was finished" in done.stdout
    assert (copy_of_run / "metric" / "FINISHED").read_text() == f"step {STEPS + 10}\n"
    assert max(line["step"] for line in log_of(copy_of_run / "metric")) == STEPS + 10


def test_restart_begins_again(run, copy_of_run, small_records):
    """From the same seed: the same weights, in a folder without old leftovers."""
    leftover = copy_of_run / "metric" / "leftover"
    leftover.write_text("")
    done = succeed("metric", small_records, copy_of_run, "--restart")
    assert "from the beginning" in done.stdout
    assert not leftover.exists()
    assert_same_end(run / "metric", copy_of_run / "metric")
    assert_ordered(log_of(copy_of_run / "metric"))


def test_another_batch_size_is_refused_on_resume(copy_of_run, small_records):
    before = files_of(copy_of_run)
    line = refuse("metric", small_records, copy_of_run, train__batch_size=4)
    assert "batch_size: 6 -> 4" in line
    assert "--restart" in line and "--run_dir" in line
    assert files_of(copy_of_run) == before


def test_other_networks_and_rates_are_refused_on_resume(copy_of_run, small_records):
    line = refuse(
        "metric",
        small_records,
        copy_of_run,
        style_encoder__dims=10,
        adam__learning_rate=0.5,
        metric__t=0.9,
    )
    assert "dims: 8 -> 10" in line
    assert "learning_rate: 0.001 -> 0.5" in line
    assert "objective.t: 0.97 -> 0.9" in line


def test_vae_before_metric_is_refused_with_the_command_that_makes_it(
    small_records, tmp_path
):
    line = refuse("vae", small_records, tmp_path / "empty")
    assert (
        "python -m tfstyle.train --gin_file=gin/quickstart/metric.gin "
        f"--records_dir={small_records.records_dir} --run_dir={tmp_path / 'empty'}"
    ) in line
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    "binding, wrong, nearest",
    [
        ("train.stepz = 3", "'stepz'", "steps"),
        ("trian.steps = 3", "'trian'", "train"),
    ],
)
def test_a_misspelt_binding_is_refused_with_the_nearest_name(
    small_records, tmp_path, binding, wrong, nearest
):
    line = refuse("metric", small_records, tmp_path / "no", f"--gin_param={binding}")
    assert wrong in line
    assert f"Did you mean {nearest}" in line
    assert not (tmp_path / "no").exists()


def test_records_of_another_image_size_are_refused(small_records, tmp_path):
    line = refuse("metric", small_records, tmp_path / "no", train__image_size=64)
    assert "32" in line and "64" in line and small_records.records_dir in line
    assert not (tmp_path / "no").exists()


def test_a_loss_that_is_not_finite_stops_the_run(small_records, tmp_path):
    """The first loss is the untrained networks'; the second, after an update of 1e30

    (squared, beyond float32's 3.4e38), is the first that is not finite.
    """
    line = refuse(
        "metric",
        small_records,
        tmp_path / "run",
        adam__learning_rate=1e30,
        adam__ramp_steps=1,
    )
    assert "loss became" in line and "at step 2;" in line
    assert "learning rate" in line
    assert not (tmp_path / "run" / "metric" / "FINISHED").exists()
    assert not list((tmp_path / "run" / "metric" / "checkpoints").glob("step-*"))


def test_a_dry_run_writes_nothing(small_records, tmp_path):
    before = files_of(pathlib.Path(small_records.records_dir))
    done = succeed("metric", small_records, tmp_path / "run", "--dry_run")
    assert f"{STEPS} steps of 6 pictures" in done.stdout
    assert os.listdir(tmp_path) == []
    assert files_of(pathlib.Path(small_records.records_dir)) == before
