"""Names given to style dimensions by hand: RUN_DIR/dimension_names.tsv."""

import pathlib

from tfstyle.core.cli import UserError
from tfstyle.runs import folder as runs

# Names given to style dimensions by hand; export copies it.
NAMES_FILE = "dimension_names.tsv"


def read_dimension_names(run_dir: pathlib.Path) -> dict[int, str]:
    """Read the names that were given to a run's dimensions; none without metric.

    Raises:
        UserError: the file is malformed.
    """
    folder = runs.StageFolder(run_dir, "metric")
    if not folder.finished:
        return {}
    return read_names(run_dir / NAMES_FILE, runs.load_statistics(folder).dims)


def read_names(path: pathlib.Path, dims: int) -> dict[int, str]:
    """Read names given to dimensions by hand, lines of dimension<TAB>name.

    Empty lines and a first line `dimension<TAB>name` are allowed.

    Args:
        path: of the file; no file means no names.
        dims: how many dimensions there are.

    Returns:
        {dimension, from 1: name}.

    Raises:
        UserError: a line that is not a dimension, a tab and a name, a dimension that
            is not there, or one named twice.
    """
    if not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be UTF-8 text: {error}") from None
    names: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip() or (number == 1 and cells == ["dimension", "name"]):
            continue
        if len(cells) != 2 or not all(cells):
            raise UserError(
                f"{path}, line {number}: must be a dimension, a tab and its name, got"
                f" {line!r}"
            )
        if not cells[0].isdecimal() or not 1 <= int(cells[0]) <= dims:
            raise UserError(
                f"{path}, line {number}: the dimension must be a number from 1 to"
                f" {dims}, got {cells[0]!r}"
            )
        if int(cells[0]) in names:
            raise UserError(
                f"{path}, line {number}: dimension {cells[0]} is named twice, got"
                f" {names[int(cells[0])]!r} and {cells[1]!r}"
            )
        names[int(cells[0])] = cells[1]
    return names
