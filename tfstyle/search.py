"""Find the artists and works nearest in style to pictures.

    python -m tfstyle.search --run_dir=runs/default picture.png --output=found.png

Prints the nearest artists of the run, enrolled ones too, and the nearest of its
training and test pictures, which --output draws. The first search makes an index,
RUN_DIR/metric/index.npz; where that cannot be written, each search takes as long.
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_COUNT = flags.DEFINE_integer(
    "count", 10, "Artists and works to find for each picture.", lower_bound=1
)
_OUTPUT = flags.DEFINE_string("output", None, "A .png of the works, if wanted.")


def main(paths: list[str]) -> None:
    """Search, print and draw."""
    output = _OUTPUT.value
    if not paths:
        raise cli.UserError("give one or more pictures to search for (see --help)")
    if output is not None:
        cli.check_output(output, ".png")
    from tfstyle.analysis.drawing import grids
    from tfstyle.exploration import searching

    run_dir = pathlib.Path(_RUN_DIR.value)
    found = searching.search(run_dir, paths, _COUNT.value)
    for line in searching.table(found):
        print(line)
    if output:
        grids.write_picture(searching.draw_sheet(run_dir, found), output)
        print(f"sheet: {output}")


if __name__ == "__main__":
    cli.run(main, positional=True)
