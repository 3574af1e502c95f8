"""Two replicas train like one: weights, statistics and moving averages.

TensorFlow fixes its devices when it starts, so each case runs in a process of its own,
which is this module; in two of them, if the replicas are workers:

    python -m modeling.stages.test_replicas CASE REPLICAS WEIGHTS.npz [xla]
    TF_CONFIG=.. python -m modeling.stages.test_replicas CASE 2 WEIGHTS.npz [xla]
"""

import contextlib
import json
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from helpers.commands import ROOT, read_output, run, run_workers
from helpers.stages import (
    GAN_ADDITIONS,
    assert_trained_alike,
    copy_weights,
    fit,
    make_tiny_stage,
)
from tfstyle.training.workers import cluster
from tfstyle.training.workers.group import ALONE, join

STEPS = 3
# The stage and the bindings of each case.
CASES = {
    "metric": ("metric", []),
    "softmax": ("metric", ['metric.objective = "softmax"']),
    # With scales of 1, by which weights move further.
    "pairwise": (
        "metric",
        ['metric.objective = "pairwise"', "metric.start_distance = None"],
    ),
    "triplet": (
        "metric",
        ['metric.objective = "triplet"', "metric.start_distance = None"],
    ),
    "classifier": ("classifier", []),
    # Neither the KL's share of the loss nor that of real codes depends on replicas.
    "vae": ("vae", ["vae.kl_weight = 1e3"]),
    "gan": (
        "gan",
        ["gan.reconstruction_share = 0.5", "gan.reconstruction_weight = 1.0"],
    ),
    "gan with all additions": ("gan", GAN_ADDITIONS),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_give_the_weights_of_one(case, tmp_path):
    (losses, before, after), (other_losses, _, other_after) = (
        _train(tmp_path, case, replicas) for replicas in (1, 2)
    )
    if CASES[case][0] == "gan":
        assert any(name.startswith("generator_average/") for name in after)
    if case in ("pairwise", "triplet"):
        # Of these only equation 1's scales are trained, and they move little.
        presumed = [_take_presumed(values) for values in (before, after, other_after)]
        start, end, other_end = (values["log_prefix_scales:0"] for values in presumed)
        assert (end != start).all() == (case == "pairwise")
        np.testing.assert_allclose(other_end - start, end - start, rtol=0.05, atol=1e-7)
    assert_trained_alike(before, after, other_after)
    for name, value in losses.items():
        assert other_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "replicas"),
    [("metric", 1), ("metric", 2), ("vae", 1), ("gan", 1)],
)
def test_xla_gives_the_weights_of_tensorflow_alone(case, replicas, tmp_path):
    (losses, before, after), (other_losses, _, other_after) = (
        _train(tmp_path, case, replicas, *options) for options in ((), ("xla",))
    )
    assert_trained_alike(before, after, other_after)
    for name, value in losses.items():
        assert other_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("case", ["triplet", "gan with all additions"])
def test_two_workers_give_the_weights_of_two_replicas(case, tmp_path):
    (losses, before, after), (other_losses, _, other_after) = (
        _train(tmp_path, case, 2, workers=workers) for workers in (1, 2)
    )
    assert_trained_alike(before, after, other_after)
    for name, value in losses.items():
        assert other_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def _train(folder, case, replicas, *options, workers=1):
    """Train in a process or several; return losses, weights before and afterwards."""
    path = folder / f"{workers}-{replicas}{''.join(options)}.npz"
    command = [sys.executable, "-m", "modeling.stages.test_replicas"]
    arguments = (case, str(replicas), str(path), *options)
    if workers > 1:
        done = run_workers([*command, *arguments], workers, cwd=ROOT / "tests")[0]
    else:
        done = run(command, *arguments, cwd=ROOT / "tests", timeout=300)
    report = json.loads(read_output(done).splitlines()[-1])
    assert report["replicas"] == replicas
    with np.load(path) as loaded:
        arrays = dict(loaded)
    weights = (_take_prefixed(arrays, prefix) for prefix in ("before/", "after/"))
    return report["losses"], *weights


def _take_prefixed(arrays, prefix):
    return {
        name.removeprefix(prefix): values
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


def _take_presumed(weights):
    """Remove the presumed styles' weights from `weights`; return them by last names."""
    names = [name for name in weights if name.startswith("presumed_styles/")]
    return {name.split("/")[-1]: weights.pop(name) for name in names}


def _main(case: str, replicas: int, path: str, *options: str) -> None:
    # Code that XLA makes in a hurry is fast enough for a few steps.
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    stage, bindings = CASES[case]
    workers = os.environ.get(cluster.VARIABLE)
    if workers:
        joined = join(
            cluster.read_cluster(workers), tf.distribute.MultiWorkerMirroredStrategy, []
        )
    else:
        joined = contextlib.nullcontext(ALONE)
    with joined as group:
        strategy = group.strategy or _mirror(replicas)
        model = make_tiny_stage(
            stage,
            *bindings,
            strategy=strategy,
            plain_steps=True,
            with_xla="xla" in options,
        )
        before = copy_weights(model)
        losses = fit(model, STEPS, group=group)
        after = copy_weights(model)
    assert model.steps_done == STEPS
    if group.is_chief:
        arrays = {f"before/{name}": value for name, value in before.items()}
        arrays |= {f"after/{name}": value for name, value in after.items()}
        np.savez(path, **arrays)
    print(json.dumps({"replicas": strategy.num_replicas_in_sync, "losses": losses}))


def _mirror(replicas: int) -> tf.distribute.Strategy:
    """Make a strategy of logical CPUs."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    return tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
