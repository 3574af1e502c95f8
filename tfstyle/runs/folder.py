"""The folder of one stage of a run: its files, and loading what they hold.

RUN_DIR/STAGE/run.json           networks, identity, records, steps
RUN_DIR/STAGE/metrics.jsonl      a line per logged number
RUN_DIR/STAGE/checkpoints/       step-*: to resume; best/; final/: the final weights;
                                 run.json: a copy, read if the first is damaged
RUN_DIR/STAGE/*_statistics.npz   code statistics, of stages with a code
RUN_DIR/STAGE/FINISHED           written last
"""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.core import files, locks, typed
from tfstyle.core.cli import UserError
from tfstyle.core.names import format_count
from tfstyle.core.paths import find_obstacle
from tfstyle.modeling import stages
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.modeling.stages.stage import StageSpec
from tfstyle.runs import advice, checkpoints
from tfstyle.runs.checkpoints import Checkpoints
from tfstyle.runs.description import StageDescription

logger = logging.getLogger(__name__)

FINAL_NAME = "weights"
_DESCRIPTION_FILE = "run.json"


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
    def resumable(self) -> Checkpoints:
        """The checkpoints to resume from."""
        return Checkpoints(self.checkpoints)

    @property
    def best(self) -> Checkpoints:
        """The checkpoint of the best weights, for stages that keep them."""
        return Checkpoints(self.checkpoints / "best")

    @property
    def previews(self) -> pathlib.Path:
        return self.path / "previews"

    @property
    def tensorboard(self) -> pathlib.Path:
        return self.path / "tensorboard"

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
        return any(path.exists() for path in self._description_files)

    @property
    def _description_files(self) -> list[pathlib.Path]:
        """run.json, and its copy."""
        return [
            self.path / _DESCRIPTION_FILE,
            self.checkpoints / _DESCRIPTION_FILE,
        ]

    @property
    def finished(self) -> bool:
        """Whether training is complete."""
        return (self.path / "FINISHED").exists()

    @property
    def final_folder(self) -> pathlib.Path:
        """Where the final weights are, or will be."""
        folder = self.checkpoints / "final"
        old = files.old_name(folder)
        return old if old.is_dir() and not folder.is_dir() else folder

    @property
    def final_weights(self) -> pathlib.Path | None:
        """Prefix of the checkpoint of the final weights, if there is one."""
        prefix = self.final_folder / FINAL_NAME
        return prefix if prefix.with_suffix(".index").exists() else None

    @property
    def digest(self) -> str:
        """Identifies the final weights and codes of a finished stage."""
        # The index of a checkpoint holds the checksum of each tensor.
        paths = [self.final_folder / f"{FINAL_NAME}.index"]
        if self.statistics_file is not None:
            paths.append(self.statistics_file)
        contents = b"".join(files.read_bytes(path) for path in paths if path.exists())
        return hashlib.sha256(contents).hexdigest()

    def read(self) -> StageDescription:
        """Read run.json, or its copy if that is missing or corrupt.

        Raises:
            UserError: if the stage was never started, or both files are corrupt.
        """
        if not self.exists:
            raise UserError(advice.describe_missing(self.stage, self.run_dir))
        first, copy = self._description_files
        try:
            return StageDescription.read(first)
        except FileNotFoundError:
            problem = f"{first} is missing"
        except UserError as error:
            problem = str(error)
        try:
            description = StageDescription.read(copy)
        except (FileNotFoundError, UserError):
            remedy = advice.train_command(self.stage, self.run_dir)
            raise UserError(
                f"{problem}, and {copy} cannot be read either: put back one of them, "
                f"or train the stage again with: {remedy} --restart"
            ) from None
        _warn_once(f"{problem}; its copy {copy} is used")
        return description

    def write(self, description: StageDescription) -> None:
        """Write run.json and its copy, unless they hold the same already."""
        for path in self._description_files:
            with contextlib.suppress(UserError, FileNotFoundError):
                if StageDescription.read(path) == description:
                    continue
            description.write(path)

    def check_parts(self) -> None:
        """Refuse a folder in which training could not write, or into another one.

        Raises:
            UserError: a file is where a folder is needed, or previews would replace
                the files of a folder that is linked.
        """
        for path in (self.path, self.checkpoints, self.previews, self.tensorboard):
            if os.path.lexists(path) and (obstacle := find_obstacle(path)):
                raise UserError(f"{obstacle}: move it elsewhere")
        for path in (self.previews, self.tensorboard):
            if path.is_symlink():
                raise UserError(
                    f"{path} links to {path.resolve()}, where training would replace "
                    "files: remove the link"
                )

    def check_presence(self) -> None:
        """Refuse with a UserError to go on in a folder that was moved or deleted."""
        if not self.exists:
            raise UserError(
                f"{self.path} has vanished: it was moved or deleted during training, "
                "which stopped; run the same command again with its new --run_dir to "
                "resume from its last checkpoint"
            )

    def mark_finished(self, step: int) -> None:
        """Record that the stage is trained; call this last."""
        files.write_text(self.path / "FINISHED", f"step {step}\n")

    def mark_unfinished(self) -> None:
        """Record that training continues."""
        (self.path / "FINISHED").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the stage and everything in it; all of it or nothing.

        Raises:
            UserError: if the folder is a link, whose target may be another run's stage,
                or a part of it cannot be deleted.
        """
        if not os.path.lexists(self.path):
            return
        if self.path.is_symlink():
            raise UserError(
                f"--restart would delete what {self.path} links to, "
                f"{self.path.resolve()}: remove the link, or choose another --run_dir"
            )
        for folder, _, _ in os.walk(self.path):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UserError(
                    f"--restart deletes {self.path}, but {folder} cannot be written: "
                    "change its permissions, or choose another --run_dir"
                )
        removed = self.path.with_name(f".{self.stage}.removed")
        try:
            shutil.rmtree(removed, ignore_errors=True)
            self.path.rename(removed)
        except OSError as error:
            raise UserError(
                f"--restart cannot delete {self.path}: {error.strerror}"
            ) from None
        shutil.rmtree(removed, ignore_errors=True)
        if removed.exists():
            logger.warning("warning: %s could not be deleted to its end", removed)

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
        classes = {cls.__name__: cls for cls in self.spec.network_classes}
        try:
            described = description.networks[name]
            network = classes[described["class"]](**described["config"], name=name)
            network.build_variables(
                description.dataset.image_size, description.code_sizes
            )
        except (KeyError, TypeError, ValueError) as error:
            file = self._description_files[0]
            raise UserError(
                f"{file} is corrupt: networks.{name} cannot be built "
                f" ({' '.join(str(error).split())})"
            ) from error
        checkpoint = tf.train.Checkpoint(**{name: network})
        problem = f"the final weights {self.final_weights} are corrupt"
        remedy = advice.describe_remedy(self.stage, self.run_dir)
        checkpoints.restore(checkpoint, self.final_weights, problem, remedy)
        return network

    def read_array(self, name: str) -> np.ndarray:
        """Read a variable of the final weights, such as presumed_styles/styles."""
        assert self.final_weights is not None
        values = checkpoints.read_array(self.final_weights, name)
        assert values is not None, name
        return values

    def load_statistics(self) -> CodeStatistics:
        """Read the code statistics of a stage that has a code.

        Raises:
            UserError: if the stage is missing or unfinished, or the file is corrupt.
        """
        artists = self.read().dataset.artists
        path = self.statistics_file
        assert path is not None, f"{self.stage} has no code"
        try:
            statistics = CodeStatistics.read(path)
            count = len(statistics.artist_means)
            if count != len(artists):
                raise UserError(
                    f"{path} is corrupt: it has {format_count(count, 'artist')}, not"
                    f" {len(artists)}"
                )
            return statistics
        except FileNotFoundError:
            raise UserError(
                advice.describe_unfinished(self.stage, self.run_dir)
            ) from None
        except UserError as error:
            remedy = advice.describe_remedy(self.stage, self.run_dir)
            raise UserError(f"{error}{remedy}") from None


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("warning: %s", message)


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
    """Read RUN_DIR/recommendation.json: {style_dims, content_dims}.

    Without it, or if it is corrupt, the result is {}: it is computed again when a stage
    is finished.
    """
    path = run_dir / "recommendation.json"
    if not path.exists():
        return {}
    try:
        dims = files.read_json(path)
    except UserError as error:
        logger.warning("warning: %s", error)
        return {}
    try:
        recommended: dict[str, int] = typed.convert(dict[str, int], dims)
    except ValueError as error:
        logger.warning("warning: %s is corrupt (%s)", path, error)
        return {}
    return {name: number for name, number in recommended.items() if number > 0}


def update_recommendation(run_dir: pathlib.Path, **dims: int) -> None:
    """Set entries of recommendation.json."""
    with locks.folder_lock(run_dir, name=".recommendation.lock", wait=True):
        known = read_recommendation(run_dir)
        files.write_json(run_dir / "recommendation.json", {**known, **dims})
