"""Measure runs on their test pictures, and compare several.

    python -m tfstyle.evaluate --run_dir=runs/default
    python -m tfstyle.evaluate --run_dir=runs/first --run_dir=runs/second
    python -m tfstyle.evaluate --run_dir=runs/default --retrain=1,2,4
    python -m tfstyle.evaluate --run_dir=runs/default --stage=gan

Writes RUN_DIR/evaluation.json and appends to each stage's metrics.jsonl. Untrained
stages are skipped with a message. Several runs, for example with different seeds, must
be of the same records; their means and sample deviations are written to comparison.json
in the first one. With --stage, the results of other stages are kept if nothing that
they depend on was trained since.
"""

import pathlib

from absl import flags

from tfstyle.core import cli
from tfstyle.core.names import show

_RUN_DIR = cli.define_paths("run_dir", "runs/default", "A trained run.")
_RECORDS_DIR = cli.define_path(
    "records_dir", None, "Where the run's records are now, if they were moved."
)
_STAGE = flags.DEFINE_multi_string(
    "stage",
    None,
    "Stages to measure, such as gan or metric,classifier, instead of all trained ones; "
    "the results of the others are kept.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.01,
    "Loss of accuracy, or relative growth of the error, that pruning may cost.",
    lower_bound=0.0,
)
_RETRAIN = flags.DEFINE_string(
    "retrain",
    None,
    "Numbers of dimensions such as 1,2,4, or all of figure 1's. For each of them a "
    "classifier is trained with the settings of the run's own, which takes as long as "
    "that did. Run the same command again to resume.",
)
_INCEPTION = cli.define_path(
    "inception_weights",
    None,
    "Keras' InceptionV3 without its top (inception_v3_weights_tf_dim_ordering_tf_"
    "kernels_notop.h5), to compare generated pictures by its features too.",
)
_MATCH_FILENAMES = flags.DEFINE_bool(
    "match_filenames",
    False,
    "Works by different artists with the same file name show the same, such as letters "
    "in typefaces: compare style transfers with the true pictures. Content labels, in "
    "records of a manifest with contents, count instead and need no flag.",
)


def main() -> None:
    """Measure the runs, and print the results."""
    from tfstyle.analysis.evaluation.comparison import check_comparable, compare_runs
    from tfstyle.analysis.evaluation.run import evaluate_run
    from tfstyle.analysis.results import Options
    from tfstyle.modeling import stages
    from tfstyle.modeling.objectives.likeness import Inception
    from tfstyle.runs.folder import results_lock
    from tfstyle.runs.trained_run import TrainedRun
    from tfstyle.training import retraining

    names = None
    if _STAGE.value is not None:
        names = [name.strip() for value in _STAGE.value for name in value.split(",")]
        for name in names:
            if name not in stages.names():
                known = ", ".join(stages.names())
                raise cli.UserError(f"--stage must be of {known}, got {name!r}")
    inception = None
    if _INCEPTION.value is not None:
        inception = Inception(pathlib.Path(_INCEPTION.value))
    options = Options(_TOLERANCE.value, inception, _MATCH_FILENAMES.value)
    runs = [TrainedRun(run_dir, _RECORDS_DIR.value) for run_dir in _RUN_DIR.value]
    check_comparable(runs)
    with results_lock(run.path for run in runs):
        if _RETRAIN.value is not None:
            dims = [retraining.parse_dims(run, _RETRAIN.value) for run in runs]
            for run, numbers in zip(runs, dims, strict=True):
                retraining.retrain(run.path, numbers, _RECORDS_DIR.value)
        for run in runs:
            if len(runs) > 1:
                print(f"{show(str(run.path))}:")
            evaluation = evaluate_run(run, options, names)
            print("\n".join(evaluation.summarize()))
        in_figure_1 = any(
            stages.spec(name).classify for name in names or stages.names()
        )
        if len(runs) > 1 and in_figure_1:
            print("\n".join(compare_runs(runs, names).summarize()))


if __name__ == "__main__":
    cli.run(main)
