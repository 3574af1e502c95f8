"""Draw the paper's figures for runs, and reports that show and explain them all.

    python -m tfstyle.figures --run_dir=runs/default
    python -m tfstyle.figures --run_dir=runs/first --run_dir=runs/second

Writes RUN_DIR/figures/*.png and RUN_DIR/report.html, evaluating the run first if
that was not done. A stage that is not trained is left out and said. Lines
`dimension<TAB>name` in RUN_DIR/dimension_names.tsv name style dimensions in both. With
several runs of the same records, figure 1 of the first shows means over all of them.
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_multi_string("run_dir", "runs/default", "A trained run.")
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of random codes and chosen pictures.", lower_bound=0
)
_MAP = flags.DEFINE_enum(
    "map",
    "pca",
    ["pca", "umap"],
    "How the map lays out artists: pca keeps distances, umap neighbours (needs"
    " `pip install -c tools/constraints.txt '.[map]'`).",
)


def main() -> None:
    """Draw and say where."""
    from tfstyle.analysis.reporting import report as drawing

    run_dirs = [pathlib.Path(one) for one in _RUN_DIR.value]
    for report in drawing.draw_runs(run_dirs, _SEED.value, _MAP.value):
        print(f"figures: {report.parent / 'figures'}\nreport:  {report}")


if __name__ == "__main__":
    cli.run(main)
