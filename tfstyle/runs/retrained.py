"""Classifiers trained for few dimensions each, in RUN_DIR/retrained/D."""

import copy
import dataclasses
import logging
import pathlib

from tfstyle.modeling.stages import classifier
from tfstyle.runs import description
from tfstyle.runs.description import StageDescription
from tfstyle.runs.folder import StageFolder

logger = logging.getLogger(__name__)


def stage_folder(run_dir: pathlib.Path, d: int) -> StageFolder:
    """Return the folder of the classifier trained for d dimensions."""
    return StageFolder(run_dir / "retrained" / str(d), classifier.SPEC.name)


def find_folders(run_dir: pathlib.Path) -> dict[int, StageFolder]:
    """Return the folders of all finished classifiers by their dimensions, in order."""
    names = [path.name for path in (run_dir / "retrained").glob("*")]
    folders = {
        d: stage_folder(run_dir, d)
        for d in sorted(int(name) for name in names if name.isdigit())
    }
    return {d: folder for d, folder in folders.items() if folder.finished}


def find_current(run_dir: pathlib.Path) -> dict[int, StageFolder]:
    """Return those of `find_folders` that are trained like the classifier stage.

    The others are skipped with a message.
    """
    current = {}
    for d, folder in find_folders(run_dir).items():
        if is_current(run_dir, d):
            current[d] = folder
        else:
            logger.info(
                "skipped %s: its settings are not those of the classifier stage; "
                "--retrain=%d trains it again",
                folder.path,
                d,
            )
    return current


def is_current(run_dir: pathlib.Path, d: int) -> bool:
    """Return whether a finished classifier for d is trained like the run's own."""
    folder = stage_folder(run_dir, d)
    if not folder.exists or not folder.finished or list_changes(run_dir, d):
        return False
    return folder.read().steps == describe_classifier(run_dir).steps


def list_changes(run_dir: pathlib.Path, d: int) -> list[str]:
    """List what would keep a training for d from being resumed."""
    folder = stage_folder(run_dir, d)
    if not folder.exists:
        return []
    wanted, trained = describe_classifier(run_dir), folder.read()
    expected = copy.deepcopy(wanted.identity)
    expected["objective"]["t"] = None
    expected["networks"]["style_encoder"]["dims"] = d
    changes = description.list_changes(
        trained, dataclasses.replace(wanted, identity=expected)
    )
    if trained.steps > wanted.steps:
        changes.append(f"steps: {trained.steps} -> {wanted.steps}")
    return changes


def describe_classifier(run_dir: pathlib.Path) -> StageDescription:
    """Read the description of the run's own classifier stage."""
    return StageFolder(run_dir, classifier.SPEC.name).read()
