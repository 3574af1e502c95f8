"""New artists in a trained style space: what `python -m tfstyle.enrol` does."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfstyle.core.cli import UserError
from tfstyle.exploration import encoding
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.runs import folder as runs
from tfstyle.runs import style_space


def enrol(
    run_dir: pathlib.Path, name: str, paths: Sequence[str]
) -> tuple[int, int | None, list[encoding.LeftOut]]:
    """Give an artist the mean style code of pictures, in place of an earlier one.

    Args:
        run_dir: the run, its metric stage trained.
        name: of the artist.
        paths: picture files, or folders of them.

    Returns:
        The number of pictures used, that of the enrolment that this one replaces, and
        the files left out.

    Raises:
        UserError: no usable picture, or a name that cannot be taken.
    """
    folder = runs.StageFolder(run_dir, "metric")
    if name in folder.read()["dataset"]["artists"]:
        raise UserError(
            f"--name={name} is an artist that {run_dir} was trained on: choose another"
            " name"
        )
    if not name.strip() or not name.isprintable():
        raise UserError(f"--name must be a name, got {name!r}")
    if not paths:
        raise UserError(f"give one or more pictures by {name} (see --help)")
    space = style_space.StyleSpace.load(run_dir)
    sources, left_out = encoding.find_pictures(paths)
    batches = encoding.picture_batches(sources, space.collection, left_out)
    codes = collect_codes(
        space.encoder, encoding.with_progress(batches, len(sources))
    ).codes
    enrolled = style_space.read_enrolled(run_dir)
    replaced = dict(zip(enrolled.names, enrolled.counts.tolist(), strict=True))
    mean = codes.astype(np.float64).mean(axis=0)
    style_space.write_enrolled(run_dir, enrolled.plus(name, mean, len(codes)))
    return len(codes), replaced.get(name), left_out


def remove(run_dir: pathlib.Path, name: str) -> None:
    """Take an enrolled artist out of the space.

    Raises:
        UserError: if nobody of this name is enrolled.
    """
    enrolled = style_space.read_enrolled(run_dir, tell=True)
    if name not in enrolled.names:
        who = ", ".join(enrolled.names) or "nobody"
        raise UserError(f"{name} is not enrolled in {run_dir}; enrolled: {who}")
    style_space.write_enrolled(run_dir, enrolled.without(name))
