"""Two replicas train as one does: weights, statistics and moving averages.

TensorFlow fixes its devices when it starts, so that each case runs in a process of
its own, which is this file: python test_replicas.py STAGE REPLICAS WEIGHTS.npz
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

STEPS = 3
# Two of them are the metric stage with another objective, the last the gan's.
STAGES = ("metric", "pairwise", "triplet", "classifier", "vae", "gan", "additions")
# The share of real codes must not depend on replicas either.
_BINDINGS = {
    "gan": ["gan.reconstruction_share = 0.5", "gan.reconstruction_weight = 1.0"],
    # the gan stage with all that may be added to it
    "additions": [
        "gan.reconstruction_share = 0.5",
        "gan.reconstruction_weight = 1.0",
        "gan.r1_weight = 1.0",
        "gan.r1_interval = 2",
        "gan.real_style_share = 0.5",
        "gan.augmentation = ('color', 'translation', 'cutout')",
    ],
    # Neither must what the KL costs.
    "vae": [
        "vae.kl_weight = 1e3",
        "vae.free_bits = 0.002",
        "vae.kl_warmup_steps = 2",
    ],
    # with scales of 1, by which weights move more
    "pairwise": ['metric.objective = "pairwise"', "metric.start_distance = None"],
    "triplet": ['metric.objective = "triplet"', "metric.start_distance = None"],
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_replicas_give_the_weights_of_one(stage, tmp_path, check_trained_alike):
    runs = []
    for replicas in (1, 2):
        path = tmp_path / f"{replicas}.npz"
        done = subprocess.run(
            [sys.executable, __file__, stage, str(replicas), str(path)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        report = json.loads(done.stdout.splitlines()[-1])
        assert report["replicas"] == replicas
        with np.load(path) as arrays:
            runs.append((report["losses"], dict(arrays)))
    (losses, one), (other_losses, other) = runs
    before, after, other_after = (
        {
            name.removeprefix(prefix): values
            for name, values in arrays.items()
            if name.startswith(prefix)
        }
        for arrays, prefix in [(one, "before/"), (one, "after/"), (other, "after/")]
    )
    if stage in ("gan", "additions"):
        assert any(name.startswith("generator_average/") for name in after)
    if stage in ("pairwise", "triplet"):
        # Of these only equation 1's scales are trained, and they move little.
        moves = [_take_presumed(one) for one in (before, after, other_after)]
        start, end, other_end = (one["log_prefix_scales:0"] for one in moves)
        assert (end != start).all() == (stage == "pairwise")
        np.testing.assert_allclose(other_end - start, end - start, rtol=0.05, atol=1e-7)
    check_trained_alike(before, after, other_after)
    for name, value in losses.items():
        assert other_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def _take_presumed(weights):
    """Take the presumed styles' weights out of `weights`, by their last names."""
    names = [name for name in weights if name.startswith("presumed_styles/")]
    return {name.split("/")[-1]: weights.pop(name) for name in names}


def _main(stage: str, replicas: int, path: str) -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * replicas
    )
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
    from tiny_stages import fit, make_tiny_stage, weights_of

    strategy = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])
    bindings = _BINDINGS.get(stage, [])
    stage = {"pairwise": "metric", "triplet": "metric", "additions": "gan"}.get(
        stage, stage
    )
    model = make_tiny_stage(stage, *bindings, strategy=strategy, plain_steps=True)
    before = weights_of(model)
    losses = fit(model, STEPS)
    assert model.steps_done == STEPS
    arrays = {f"before/{name}": value for name, value in before.items()}
    arrays |= {f"after/{name}": value for name, value in weights_of(model).items()}
    np.savez(path, **arrays)
    print(json.dumps({"replicas": strategy.num_replicas_in_sync, "losses": losses}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
