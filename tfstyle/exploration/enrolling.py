"""Add artists to a trained style space, and remove them, without training."""

from collections.abc import Callable, Sequence

import numpy as np

from tfstyle.core.cli import UserError
from tfstyle.core.locks import folder_lock
from tfstyle.core.names import clean_line, resolve, show
from tfstyle.exploration.collection import PictureFiles, log_skipped
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.runs import style_space
from tfstyle.runs.style_space import Enrolled
from tfstyle.runs.trained_run import TrainedRun


def enroll_artist(
    run: TrainedRun, name: str, paths: Sequence[str]
) -> tuple[int, int | None]:
    """Enroll an artist with the mean style code of picture files or folders of them.

    An earlier enrollment of the same name is replaced.

    Returns:
        The number of pictures used, and that of the replaced enrollment, if any.

    Raises:
        UserError: the name cannot be used, or no picture is usable.
    """
    name = resolve(name, run.artists.names)
    if name in run.collection.artists:
        raise UserError(
            f"--name={show(name)} is an artist that {run.path} was trained on: choose"
            " another name"
        )
    if not name.strip() or name != clean_line(name):
        raise UserError(f"--name must be printable text, got {name!r}")
    if not paths:
        raise UserError(f"pass one or more pictures by {show(name)} (see --help)")
    encoder = run.style_encoder
    _ = run.enrolled  # refuses a corrupt file before pictures are encoded
    pictures = PictureFiles.find(paths)
    codes = collect_codes(encoder, pictures.load_padded(run, "encoding")).codes
    mean = codes.astype(np.float64).mean(axis=0)
    before = _update(run, lambda enrolled: enrolled.add(name, mean, len(codes)))
    counts = dict(zip(before.names, before.counts.tolist(), strict=True))
    log_skipped(pictures.skipped)
    return len(codes), counts.get(name)


def remove_artist(run: TrainedRun, name: str) -> None:
    """Remove an enrolled artist.

    Raises:
        UserError: no enrolled artist has this name.
    """
    name = resolve(name, run.enrolled.names)

    def remove(enrolled: Enrolled) -> Enrolled:
        if name not in enrolled.names:
            names = ", ".join(map(show, enrolled.names)) or "nobody"
            raise UserError(
                f"{show(name)} is not enrolled in {run.path}; enrolled: {names}"
            )
        return enrolled.remove(name)

    _update(run, remove)


def _update(run: TrainedRun, change: Callable[[Enrolled], Enrolled]) -> Enrolled:
    """Change the enrolled artists, whoever else changes them; return those before."""
    statistics = run.style_statistics
    path = run.enrolled_file
    with folder_lock(path.parent, name=".enrolled.lock", wait=True):
        # Others may have enrolled artists since the run was opened.
        enrolled, _ = style_space.read_enrolled(
            path, statistics.digest, statistics.dims
        )
        run.save_enrolled(change(enrolled))
    return enrolled
