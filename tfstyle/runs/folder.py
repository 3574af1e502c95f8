"""The folder of one stage of a run: its files, and loading what they hold.

RUN_DIR/STAGE/run.json           networks, identity, records, steps
RUN_DIR/STAGE/metrics.jsonl      a line per logged number
RUN_DIR/STAGE/checkpoints/       step-*: to resume; best/; final/: the final weights
RUN_DIR/STAGE/*_statistics.npz   code statistics, of stages with a code
RUN_DIR/STAGE/FINISHED           written last
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.core import files, locks
from tfstyle.core.cli import UserError
from tfstyle.modeling import stages
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.modeling.stages.stage import StageSpec
from tfstyle.runs import advice
from tfstyle.runs.description import StageDescription

FINAL_NAME = "weights"


@dataclasses.dataclass(frozen=True)
class StageFolder:
    """Paths and files of one stage of a run."""

    run_dir: pathlib.Path
    stage: str

    @property
    def spec(self) -> StageSpec:
        return stages.spec(self.stage)

    @property
    def path(self) -> pathlib.Path:
        return self.run_dir / self.stage

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.path / "checkpoints"

    @property
    def previews(self) -> pathlib.Path:
        return self.path / "previews"

    @property
    def metrics_file(self) -> pathlib.Path:
        """The log of numbers."""
        return self.path / "metrics.jsonl"

    @property
    def statistics_file(self) -> pathlib.Path | None:
        """File of the code statistics; None for a stage without a code."""
        code = self.spec.code
        return None if code is None else self.path / code.statistics_file

    @property
    def exists(self) -> bool:
        """Whether training was started."""
        return (self.path / "run.json").exists()

    @property
    def finished(self) -> bool:
        """Whether training is complete."""
        return (self.path / "FINISHED").exists()

    @property
    def final_weights(self) -> str | None:
        """Prefix of the checkpoint of the final weights, if there is one."""
        prefix = self.checkpoints / "final" / FINAL_NAME
        return str(prefix) if prefix.with_suffix(".index").exists() else None

    @property
    def digest(self) -> str:
        """Identifies the final weights and codes of a finished stage."""
        # The index of a checkpoint holds the checksum of each tensor.
        paths = [self.checkpoints / "final" / f"{FINAL_NAME}.index"]
        if self.statistics_file is not None:
            paths.append(self.statistics_file)
        contents = b"".join(path.read_bytes() for path in paths if path.exists())
        return hashlib.sha256(contents).hexdigest()

    def read(self) -> StageDescription:
        """Read run.json.

        Raises:
            UserError: if the stage was never started, or the file is corrupt.
        """
        if not self.exists:
            raise UserError(advice.describe_missing(self.stage, self.run_dir))
        return StageDescription.read(self.path / "run.json")

    def write(self, description: StageDescription) -> None:
        """Write run.json."""
        description.write(self.path / "run.json")

    def mark_finished(self, step: int) -> None:
        """Record that the stage is trained; call this last."""
        files.write_text(self.path / "FINISHED", f"step {step}\n")

    def mark_unfinished(self) -> None:
        """Record that training continues."""
        (self.path / "FINISHED").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the stage and everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def load_network(self, name: str) -> tf.keras.Model:
        """Rebuild a network with its final weights.

        Args:
            name: as in the stage's `networks`.

        Raises:
            UserError: if the stage has no final weights, or they are corrupt.
        """
        description = self.read()
        if self.final_weights is None:
            raise UserError(advice.describe_unfinished(self.stage, self.run_dir))
        described = description.networks[name]
        classes = {cls.__name__: cls for cls in self.spec.network_classes}
        network = classes[described["class"]](**described["config"], name=name)
        network.build_variables(description.dataset.image_size, description.code_sizes)
        checkpoint = tf.train.Checkpoint(**{name: network})
        problem = f"the weights {self.final_weights} are corrupt"
        restore_checkpoint(checkpoint, self.final_weights, problem)
        return network

    def read_array(self, name: str) -> np.ndarray:
        """Read a variable of the final weights, such as presumed_styles/styles."""
        reader = tf.train.load_checkpoint(self.final_weights)
        return reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE")

    def load_statistics(self) -> CodeStatistics:
        """Read the code statistics of a stage that has a code.

        Raises:
            UserError: if the stage is missing or unfinished, or the file is corrupt.
        """
        self.read()
        path = self.statistics_file
        assert path is not None, f"{self.stage} has no code"
        if not path.exists():
            raise UserError(
                advice.describe_unfinished(self.stage, self.run_dir)
                + " (or pass --allow_unfinished to use it as it is)"
            )
        try:
            return CodeStatistics.read(path)
        except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            raise UserError(
                f"{path} is corrupt: delete it and {self.path / 'FINISHED'}, then make "
                f"it again with: {advice.train_command(self.stage, self.run_dir)}"
            ) from None


def restore_checkpoint(
    checkpoint: tf.train.Checkpoint, prefix: str, problem: str, remedy: str = ""
) -> None:
    """Restore everything that a checkpoint object holds now.

    Raises:
        UserError: "PROBLEM (REASON)REMEDY", if the file is corrupt.
    """
    try:
        status = checkpoint.restore(prefix)
    except (tf.errors.OpError, IndexError) as error:
        raise UserError(f"{problem} ({str(error)[:100]}){remedy}") from error
    status.assert_existing_objects_matched().expect_partial()


def stage_lock(folder: StageFolder) -> contextlib.AbstractContextManager[None]:
    """Hold a lock, so that two processes never train the same stage.

    Raises:
        UserError: if another process holds it.
    """
    return locks.sibling_lock(folder.path)


@contextlib.contextmanager
def results_lock(run_dirs: Iterable[pathlib.Path]) -> Iterator[None]:
    """Hold locks, so that two commands never write a run's evaluation or figures.

    Missing runs are not locked.

    Raises:
        UserError: if another process holds a lock, or a run cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for run_dir in filter(pathlib.Path.is_dir, run_dirs):
            stack.enter_context(locks.folder_lock(run_dir, name=".results.lock"))
        yield


def read_code_digests(
    run_dir: pathlib.Path, names: Sequence[str]
) -> dict[str, str | None]:
    """Identify the codes of stages; None for a stage without code statistics yet."""
    digests: dict[str, str | None] = {}
    for name in names:
        folder = StageFolder(run_dir, name)
        path = folder.statistics_file
        ready = path is not None and path.exists()
        digests[name] = folder.load_statistics().digest if ready else None
    return digests


def is_outdated(folder: StageFolder) -> bool:
    """Return whether a stage was trained on other codes than those of the run now."""
    trained_on = folder.read().identity["earlier_stages"]
    return trained_on != read_code_digests(folder.run_dir, folder.spec.needs)


def read_recommendation(run_dir: pathlib.Path) -> dict[str, int]:
    """Read RUN_DIR/recommendation.json: {style_dims, content_dims}; {} without it."""
    path = run_dir / "recommendation.json"
    return files.read_json(path) if path.exists() else {}


def update_recommendation(run_dir: pathlib.Path, **dims: int) -> None:
    """Set entries of recommendation.json."""
    with locks.folder_lock(run_dir, name=".recommendation.lock", wait=True):
        known = read_recommendation(run_dir)
        files.write_json(run_dir / "recommendation.json", {**known, **dims})
