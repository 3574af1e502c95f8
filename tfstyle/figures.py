"""Draw the paper's figures for runs, and reports that show and explain all results.

    python -m tfstyle.figures --run_dir=runs/default
    python -m tfstyle.figures --run_dir=runs/first --run_dir=runs/second

Writes RUN_DIR/figures/*.png and RUN_DIR/report.html. A run that is not evaluated yet is
evaluated first. Untrained stages are skipped with a message. Lines
`dimension<TAB>name` in RUN_DIR/dimension_names.tsv name style dimensions in both. With
several runs of the same records, figure 1 of the first shows means over all of them.
"""

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import show

_RUN_DIR = cli.define_paths("run_dir", "runs/default", "A trained run.")
_RECORDS_DIR = cli.define_path(
    "records_dir", None, "Where the run's records are now, if they were moved."
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of random codes and chosen pictures.", lower_bound=0
)
_MAP = flags.DEFINE_enum(
    "map",
    "pca",
    ["pca", "umap"],
    "Layout of the map of artists: pca keeps distances, umap neighbors (needs"
    " `pip install -c tools/constraints.txt '.[map]'`).",
)


def main() -> None:
    """Draw the figures, and print where they are."""
    from tfstyle.analysis.evaluation.comparison import check_comparable
    from tfstyle.analysis.reporting.report import draw_runs
    from tfstyle.runs.folder import results_lock
    from tfstyle.runs.trained_run import TrainedRun

    runs = [TrainedRun(run_dir, _RECORDS_DIR.value) for run_dir in _RUN_DIR.value]
    check_comparable(runs)  # refuses a run that is given twice
    with results_lock(run.path for run in runs):
        reports = draw_runs(runs, _SEED.value, _MAP.value)
    for report in reports:
        print(f"figures: {show(str(report.parent / 'figures'))}")
        print(f"report:  {show(str(report))}")


if __name__ == "__main__":
    cli.run(main)
