"""`python -m tfstyle.train` as it is typed, on tiny networks, as a child process."""

import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 40
TINY = {
    "train.image_size": 32,
    "train.batch_size": 6,
    "train.steps": STEPS,
    "train.log_interval": 10,
    "train.eval_interval": 20,
    "train.preview_interval": 40,
    "train.checkpoint_interval": 5,
    "style_encoder.features": (4, 8),
    "style_encoder.blocks": (1, 1),
    "style_encoder.dims": 8,
    "pruning.style_dims": 4,
    "pruning.content_dims": 4,
}
OF_STAGE = {
    "metric": {"metric.t": 0.97, "adam.learning_rate": 1e-3},
    "vae": {
        "train.steps": 10,
        "content_encoder.features": (4, 8),
        "content_encoder.blocks": (1, 1),
        "content_encoder.dims": 8,
        "content_decoder.features": (4, 8),
        "content_decoder.blocks": (1, 1),
    },
    # stopped within the whole objective, after the warm start's six steps
    "gan": {
        "generator.features": (4, 8),
        "generator.blocks": (1, 1),
        "discriminators.features": (4, 8),
        "discriminators.blocks": (1, 1),
        "discriminators.patch_size": 16,
        "gan.code_dims": 12,
        "gan.reconstruction_steps": 6,
        "train.checkpoint_interval": 10,
    },
}


def command(stage, records, run_dir, *flags, **bindings):
    """Give the command line; bindings as train__steps=3."""
    given = {name.replace("__", "."): value for name, value in bindings.items()}
    settings = {**TINY, **OF_STAGE[stage], **given}
    return [
        sys.executable,
        "-m",
        "tfstyle.train",
        f"--gin_file=gin/quickstart/{stage}.gin",
        f"--records_dir={records.records_dir}",
        f"--run_dir={run_dir}",
        *[f"--gin_param={name} = {value!r}" for name, value in settings.items()],
        *flags,
    ]


def train(*args, **bindings):
    """Run the command to its end."""
    return subprocess.run(
        command(*args, **bindings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def succeed(*args, **bindings):
    done = train(*args, **bindings)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def refuse(*args, **bindings):
    """Expect exit code 1 and a single line of error; return that line."""
    done = train(*args, **bindings)
    assert done.returncode == 1, (done.stdout, done.stderr[-3000:])
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def interrupt(stage, records, run_dir, after_step, **bindings):
    """Send SIGINT once a step's checkpoint is there; return the step it stopped at."""
    saved = run_dir / stage / "checkpoints" / f"step-{after_step}.index"
    with subprocess.Popen(
        command(stage, records, run_dir, **bindings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            end = time.time() + 200
            while not saved.exists() and process.poll() is None and time.time() < end:
                time.sleep(0.002)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 130, errors[-3000:]
    words = errors.strip().splitlines()[-1].split()
    assert words[:3] == ["stopped", "after", "step"]
    step = int(words[3])
    assert after_step <= step < STEPS
    assert not (run_dir / stage / "FINISHED").exists()
    return step


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }
