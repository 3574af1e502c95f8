"""Draw the paper's figures for a run, and a report that shows and explains them all.

    python -m tfstyle.figures --run_dir=runs/default

Writes RUN_DIR/figures/*.png and RUN_DIR/report.html, evaluating the run first if
that was not done. A stage that is not trained is left out and said. Lines
`dimension<TAB>name` in RUN_DIR/dimension_names.tsv name style dimensions in both.
"""

import pathlib

from absl import flags

from tfstyle import command

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_SEED = flags.DEFINE_integer("seed", 0, "Of random codes and chosen pictures.")


def main() -> None:
    """Draw and say where."""
    from tfstyle import drawing

    report = drawing.draw_run(pathlib.Path(_RUN_DIR.value), _SEED.value)
    print(f"figures: {report.parent / 'figures'}\nreport:  {report}")


if __name__ == "__main__":
    command.run(main)
