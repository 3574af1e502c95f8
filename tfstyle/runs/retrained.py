"""Classifiers trained for few dimensions each, in RUN_DIR/retrained/D."""

import copy
import pathlib
from typing import Any

from tfstyle.runs import folder as runs


def stage_folder(run_dir: pathlib.Path, d: int) -> runs.StageFolder:
    """Give the folder of the classifier trained for d dimensions."""
    return runs.StageFolder(run_dir / "retrained" / str(d), "classifier")


def finished_dims(run_dir: pathlib.Path) -> list[int]:
    """Find the numbers of dimensions for which a classifier is trained.

    Those that are of other settings than the classifier stage are left out and said.
    """
    found = []
    names = [path.name for path in (run_dir / "retrained").glob("*")]
    for d in sorted(int(name) for name in names if name.isdigit()):
        if not stage_folder(run_dir, d).finished:
            continue
        if is_current(run_dir, d):
            found.append(d)
        else:
            print(
                f"{stage_folder(run_dir, d).path} is not trained as the classifier "
                f"stage is, so it is left out; --retrain={d} trains it again"
            )
    return found


def is_current(run_dir: pathlib.Path, d: int) -> bool:
    """Tell whether a finished classifier for d is trained as the run's own."""
    folder = stage_folder(run_dir, d)
    if not folder.exists or not folder.finished or changes(run_dir, d):
        return False
    return folder.read()["steps"] == own_description(run_dir)["steps"]


def changes(run_dir: pathlib.Path, d: int) -> list[str]:
    """List what would keep a training for d from being continued."""
    folder = stage_folder(run_dir, d)
    if not folder.exists:
        return []
    own, there = own_description(run_dir), folder.read()
    expected = copy.deepcopy(own["identity"])
    expected["objective"]["t"] = None
    expected["networks"]["style_encoder"]["dims"] = d
    changed = runs.differences(there["identity"], expected)
    if there["steps"] > own["steps"]:
        changed.append(f"steps: {there['steps']} -> {own['steps']}")
    return changed


def own_description(run_dir: pathlib.Path) -> dict[str, Any]:
    return runs.StageFolder(run_dir, "classifier").read()
