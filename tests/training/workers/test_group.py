"""`train.strategy = "multi_worker"` as users run it: real processes on this machine."""

import signal
import time

import numpy as np
import pytest

from helpers.commands import (
    ROOT,
    end_workers,
    error_line,
    list_files,
    read_output,
    run_workers,
    start_workers,
    train,
    train_command,
)
from helpers.runs import read_arrays

pytestmark = pytest.mark.slow

SETTINGS = {
    "train__steps": 8,
    "train__checkpoint_interval": 2,
    "train__eval_interval": 4,
    "train__preview_interval": 8,
}
MANY_STEPS = {**SETTINGS, "train__steps": 100_000, "train__checkpoint_interval": 1}


def command(small_records, run_dir, *flags, **settings):
    """Return the command of each worker."""
    strategy = '--gin_param=train.strategy = "multi_worker"'
    settings = {**SETTINGS, **settings}
    return train_command("metric", small_records, run_dir, strategy, *flags, **settings)


def wait_for(path, processes):
    """Wait for a file of a training."""
    while not path.exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def read_last(run_dir):
    return read_arrays(run_dir / "metric" / "checkpoints" / "step-8")


def test_stopped_and_resumed_workers_train_like_one_process(small_records, tmp_path):
    whole, broken, single = (tmp_path / name for name in ("whole", "broken", "single"))
    train("metric", small_records, single, **SETTINGS)
    chief, follower = map(
        read_output, run_workers(command(small_records, whole), cwd=ROOT)
    )
    assert "trained to step 8" in chief and "2 replica(s)" in chief
    (line,) = follower.splitlines()
    assert "worker 1 (localhost:" in line and "follows worker 0 (localhost:" in line
    resumable = command(small_records, broken)
    with start_workers(resumable, 2, ROOT) as processes:
        wait_for(broken / "metric" / "checkpoints" / "step-2.index", processes)
        processes[1].send_signal(signal.SIGTERM)
        stopped = end_workers(processes)
    stops = {done.stderr.strip().splitlines()[-1] for done in stopped}
    assert [done.returncode for done in stopped] == [130, 130]
    assert len(stops) == 1, "all stop after the same step"
    step = int(stops.pop().removeprefix("stopped after step ").split()[0])
    assert (broken / "metric" / "checkpoints" / f"step-{step}.index").exists()

    chief, _ = map(read_output, run_workers(resumable, cwd=ROOT))

    assert f"resuming from step {step}" in chief
    expected, resumed, alone = map(read_last, (whole, broken, single))
    assert expected.keys() == resumed.keys() == alone.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)
        scale = np.abs(values).max()
        np.testing.assert_allclose(alone[name], values, rtol=0, atol=1e-4 * scale)
    assert {path for path in list_files(whole) if "tfevents" not in path} == {
        path for path in list_files(single) if "tfevents" not in path
    }


@pytest.mark.parametrize("lost", [0, 1])
def test_the_loss_of_a_worker_ends_the_others_with_one_line(
    lost, small_records, tmp_path
):
    many = command(small_records, tmp_path, **MANY_STEPS)
    with start_workers(many, 2, ROOT) as processes:
        wait_for(tmp_path / "metric" / "checkpoints" / "step-1.index", processes)
        processes[lost].kill()
        start = time.monotonic()
        other = end_workers(processes)[1 - lost]
    assert time.monotonic() - start < 60
    assert other.returncode == 1
    assert "Traceback" not in other.stderr
    line = other.stderr.splitlines()[-1]
    assert line.startswith(f"error: worker {lost} (localhost:")
    assert line.endswith(
        "was lost; to resume from the last checkpoint, run the same command on all "
        "workers again"
    )


def test_workers_with_other_settings_are_refused(small_records, tmp_path):
    commands = [command(small_records, tmp_path, metric__t=t) for t in (0.97, 0.5)]
    lines = {error_line(done) for done in run_workers(commands, cwd=ROOT)}
    (line,) = lines
    assert line.startswith("error: worker 1 (localhost:")
    assert "(metric.t = 0.97 -> metric.t = 0.5)" in line
    assert not list(tmp_path.iterdir())


def test_a_worker_says_for_whom_it_waits_and_can_be_stopped(small_records, tmp_path):
    with start_workers(command(small_records, tmp_path), 2, ROOT) as processes:
        processes[1].kill()
        line = processes[0].stdout.readline()
        assert line.startswith("waiting for worker 1 (localhost:")
        processes[0].send_signal(signal.SIGINT)
        done = end_workers(processes)[0]
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
