"""A complete run of tiny networks, trained for a few steps by the real training.

    cd tests && python -m helpers.runs RECORDS_DIR RUN_DIR

It is trained in a process of its own, because training sets seeds, signal handlers, gin
and Keras' precision for the whole process.
"""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import gin
import tensorflow as tf

from helpers import commands
from helpers import configuration as tiny
from tfstyle.core import gin_config
from tfstyle.runs import retrained
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import exporting
from tfstyle.training import settings, trainer


def train_in_own_process(
    records_dir: str, run_dir: pathlib.Path
) -> subprocess.CompletedProcess[str]:
    """Train all four stages; takes about half a minute on two cores."""
    command = [sys.executable, "-m", "helpers.runs", records_dir, str(run_dir)]
    return commands.run(command, cwd=commands.ROOT / "tests", timeout=400)


@functools.cache
def export(run_dir: pathlib.Path) -> pathlib.Path:
    """Export the run beside itself, once for all tests, which must not change it."""
    export_dir = run_dir.parent / "export"
    exporting.export_run(
        TrainedRun(run_dir), export_dir, pathlib.PurePosixPath("/models")
    )
    return export_dir


def read_arrays(prefix: pathlib.Path) -> dict[str, Any]:
    """Read all variables of a checkpoint."""
    reader = tf.train.load_checkpoint(str(prefix))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        # these count calls of save, and describe the others
        if "save_counter" not in name and name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def keep_stages(
    run_dir: pathlib.Path, copy: pathlib.Path, *stages: str
) -> pathlib.Path:
    """Copy a run with some of its stages; the copy may be changed."""
    for stage in stages:
        shutil.copytree(run_dir / stage, copy / stage)
    shutil.copy(run_dir / "recommendation.json", copy)
    return copy


def change_objective(run_dir: pathlib.Path, stage: str, **settings: Any) -> None:
    """Change settings of a trained stage in its run.json."""
    path = run_dir / stage / "run.json"
    described = json.loads(path.read_text())
    described["identity"]["objective"].update(settings)
    path.write_text(json.dumps(described))


def change_weights(run_dir: pathlib.Path, stage: str) -> None:
    """Change one tensor of a stage's final weights, as more training changes all."""
    prefix = str(run_dir / stage / "checkpoints" / "final" / "weights")
    reader = tf.train.load_checkpoint(prefix)
    tensors = {
        name: reader.get_tensor(name) for name in reader.get_variable_to_dtype_map()
    }
    kernel = next(
        name for name, tensor in tensors.items() if getattr(tensor, "ndim", 0) == 4
    )
    tensors[kernel] += 0.1
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def pretend_retrained(run_dir: pathlib.Path, d: int) -> StageFolder:
    """Leave what a finished training of a classifier for d dimensions leaves."""
    description = retrained.describe_classifier(run_dir)
    description.identity["objective"]["t"] = None
    description.identity["networks"]["style_encoder"]["dims"] = d
    folder = retrained.stage_folder(run_dir, d)
    folder.write(description)
    folder.mark_finished(description.steps)
    return folder


def change_identity(folder: StageFolder, **changes) -> None:
    """Change entries of the identity in a stage's run.json."""
    description = folder.read()
    description.identity.update(changes)
    folder.write(description)


def _main(records_dir: str, run_dir: str) -> None:
    for stage, steps in tiny.STEPS.items():
        gin.clear_config()
        bindings = {"train.stage": stage, "train.steps": steps, **tiny.SETTINGS}
        gin_config.parse([], tiny.list_bindings(bindings), trainer.list_configurables())
        trainer.train(
            settings.Paths(records_dir, pathlib.Path(run_dir), pathlib.Path("gin")),
            settings.read_settings(),
        )


if __name__ == "__main__":
    _main(*sys.argv[1:])
