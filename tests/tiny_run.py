"""A complete run of tiny networks, trained for a few steps by the real training.

    python tests/tiny_run.py RECORDS_DIR RUN_DIR

It runs in a process of its own, because training sets seeds, signal handlers, gin and
Keras' precision for the whole process.
"""

import functools
import pathlib
import shutil
import subprocess
import sys

IMAGE_SIZE = 32
STYLE_DIMS, CONTENT_DIMS, NOISE_DIMS = 4, 6, 10
STEPS = {"metric": 40, "classifier": 20, "vae": 20, "gan": 8}
_SHARED = f"""
train.image_size = {IMAGE_SIZE}
train.batch_size = 8
train.log_interval = 4
train.eval_interval = 10
train.preview_interval = 20
train.checkpoint_interval = 20
style_encoder.features = (6, 8)
style_encoder.blocks = (1, 1)
style_encoder.dims = 16
content_encoder.features = (6, 8)
content_encoder.blocks = (1, 1)
content_encoder.dims = 12
content_decoder.features = (6, 8)
content_decoder.blocks = (1, 1)
generator.features = (6, 8)
generator.blocks = (1, 1)
discriminators.features = (6, 8)
discriminators.blocks = (1, 1)
discriminators.patch_size = 16
gan.code_dims = {STYLE_DIMS + CONTENT_DIMS + NOISE_DIMS}
pruning.style_dims = {STYLE_DIMS}
pruning.content_dims = {CONTENT_DIMS}
adam.learning_rate = 1e-2
rmsprop.learning_rate = 1e-3
adam.ramp_steps = 1
rmsprop.ramp_steps = 1
"""


def train_in_own_process(records_dir: str, run_dir: pathlib.Path) -> pathlib.Path:
    """Train all four stages; takes about half a minute on two cores."""
    command = [sys.executable, __file__, records_dir, str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return run_dir


@functools.cache
def export(run_dir: pathlib.Path) -> pathlib.Path:
    """Export the run beside itself, once for all tests; not to be written to."""
    from tfstyle.serving import exporting

    export_dir = run_dir.parent / "export"
    exporting.export_run(run_dir, export_dir, pathlib.PurePosixPath("/models"))
    return export_dir


def keep_stages(
    run_dir: pathlib.Path, copy: pathlib.Path, *stages: str
) -> pathlib.Path:
    """Copy a run with some of its stages, to write into."""
    for stage in stages:
        shutil.copytree(run_dir / stage, copy / stage)
    shutil.copy(run_dir / "recommendation.json", copy)
    return copy


def change_weights(run_dir: pathlib.Path, stage: str) -> None:
    """Change one of the tensors that go on from a stage, as training on would all."""
    import tensorflow as tf

    prefix = str(run_dir / stage / "checkpoints" / "final" / "weights")
    reader = tf.train.load_checkpoint(prefix)
    tensors = {
        name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()
    }
    kernel = next(name for name, one in tensors.items() if getattr(one, "ndim", 0) == 4)
    tensors[kernel] += 0.1
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def _main(records_dir: str, run_dir: str) -> None:
    import gin

    from tfstyle.core import gin_config
    from tfstyle.training import settings, trainer

    for stage, steps in STEPS.items():
        gin.clear_config()
        bindings = [f'train.stage = "{stage}"', f"train.steps = {steps}"]
        bindings += _SHARED.strip().splitlines()
        gin_config.parse([], bindings, trainer.CONFIGURABLES)
        trainer.train(
            trainer.Paths(records_dir, pathlib.Path(run_dir), pathlib.Path("gin")),
            settings.read_settings(),
        )


if __name__ == "__main__":
    _main(*sys.argv[1:])
