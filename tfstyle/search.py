"""Find the artists and works that are nearest in style to pictures.

    python -m tfstyle.search --run_dir=runs/default picture.png --output=found.png

Prints the nearest artists of the run, including enrolled ones, and the nearest of its
training and test pictures; --output draws these pictures. The first search stores an
index in RUN_DIR/metric/index.npz. If that file cannot be written, every search takes as
long as the first.
"""

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import show

_RUN_DIR = cli.define_path("run_dir", "runs/default", "The trained run.")
_RECORDS_DIR = cli.define_path(
    "records_dir", None, "Where the run's records are now, if they were moved."
)
_COUNT = flags.DEFINE_integer(
    "count",
    10,
    "Number of artists, and of works, to find for each picture.",
    lower_bound=1,
)
_OUTPUT = cli.define_path("output", None, "A .png file to draw the works in.")


def main(paths: list[str]) -> None:
    """Search, print the results and draw the works."""
    output = _OUTPUT.value
    if not paths:
        raise cli.UserError("pass one or more pictures to search for (see --help)")
    if output is not None:
        cli.check_output(output, ".png")
    from tfstyle.analysis.drawing import grids
    from tfstyle.exploration import searching
    from tfstyle.runs.trained_run import TrainedRun

    run = TrainedRun(_RUN_DIR.value, _RECORDS_DIR.value)
    results = searching.search(run, paths, _COUNT.value)
    for line in searching.format_results(results):
        print(line)
    if output:
        grids.write_picture(searching.draw_sheet(run, results), output)
        print(f"sheet: {show(output)}")


if __name__ == "__main__":
    cli.run(main, positional=True)
