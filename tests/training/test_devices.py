"""Strategies, and when XLA compiles a step."""

import types

import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.training import devices
from tfstyle.training.settings import TrainSettings


def test_an_unknown_strategy_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UserError, match='"mirrored", "multi_worker" or .* got \'tpu\''):
        devices.make_strategy("tpu")


def test_several_workers_need_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    settings = TrainSettings(
        stage="metric", batch_size=8, steps=1, strategy="multi_worker"
    )
    with pytest.raises(UserError, match="needs TF_CONFIG in the environment"):
        devices.join_workers(settings, [])


def test_a_process_alone_agrees_with_itself():
    settings = TrainSettings(stage="metric", batch_size=8, steps=1)
    with devices.join_workers(settings, []) as group:
        assert group.is_chief
        assert group.meet("text") == "text"
        assert group.agree_to_stop(True) and not group.agree_to_stop(False)


@pytest.mark.parametrize("name", ["mirrored", "one_device"])
def test_a_strategy_on_the_cpu_has_one_replica(name):
    strategy = devices.make_strategy(name)
    assert isinstance(strategy, tf.distribute.Strategy)
    assert strategy.num_replicas_in_sync == 1


def test_devices_that_cannot_grow_are_no_reason_to_fail(monkeypatch):
    """As GPUs that the caller has divided; CPUs raise the same error."""
    cpus = tf.config.list_physical_devices("CPU")
    with pytest.raises(ValueError):
        tf.config.experimental.set_memory_growth(cpus[0], True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: cpus)

    devices.make_strategy("one_device")


@pytest.mark.parametrize(
    ("asked", "gpus", "replicas", "compares", "expected"),
    [
        (None, 0, 1, False, False),
        (None, 1, 1, False, True),
        (None, 2, 2, False, True),
        (None, 1, 1, True, True),
        (None, 2, 2, True, False),  # XLA cannot gather codes from replicas
        (True, 0, 1, False, True),
        (False, 1, 1, False, False),
    ],
)
def test_xla_compiles_on_gpus_unless_told_otherwise(
    asked, gpus, replicas, compares, expected, monkeypatch
):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind] * gpus)
    settings = TrainSettings(stage="metric", batch_size=8, steps=1, jit_compile=asked)
    model = types.SimpleNamespace(images_per_artist=4 if compares else None)
    strategy = types.SimpleNamespace(num_replicas_in_sync=replicas)
    assert devices.choose_xla(settings, model, strategy) == expected


def test_xla_is_refused_where_replicas_compare_their_pictures():
    settings = TrainSettings(stage="metric", batch_size=8, steps=1, jit_compile=True)
    model = types.SimpleNamespace(images_per_artist=4)
    strategy = types.SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(UserError, match="train.jit_compile = True: XLA cannot"):
        devices.choose_xla(settings, model, strategy)


@pytest.mark.parametrize(("asked", "refused"), [(None, False), (True, True)])
def test_several_workers_train_without_xla(asked, refused, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    settings = TrainSettings(
        **{"stage": "metric", "batch_size": 8, "steps": 1},
        strategy="multi_worker",
        jit_compile=asked,
    )
    model = types.SimpleNamespace(images_per_artist=None)
    strategy = types.SimpleNamespace(num_replicas_in_sync=2)
    if refused:
        with pytest.raises(UserError, match="XLA is not used by several workers"):
            devices.choose_xla(settings, model, strategy)
    else:
        assert not devices.choose_xla(settings, model, strategy)
