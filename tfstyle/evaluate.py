"""Measure runs on their test pictures, and compare several.

    python -m tfstyle.evaluate --run_dir=runs/default
    python -m tfstyle.evaluate --run_dir=runs/first --run_dir=runs/second
    python -m tfstyle.evaluate --run_dir=runs/default --retrain=1,2,4
    python -m tfstyle.evaluate --run_dir=runs/default --stage=gan

Writes RUN_DIR/evaluation.json and appends to each stage's metrics.jsonl. A stage that
is not trained is left out and said. Several runs, such as of different seeds, must be
of the same records: means and sample deviations over them go to comparison.json in the
first one. With --stage the numbers of other stages are kept, unless what they depend on
was trained since.
"""

import pathlib

from absl import flags

from tfstyle.core import cli

_RUN_DIR = flags.DEFINE_multi_string("run_dir", "runs/default", "A trained run.")
_STAGE = flags.DEFINE_multi_string(
    "stage",
    None,
    "Stages such as gan or metric,classifier to measure, instead of all that are "
    "trained; the numbers of the others stay as they were.",
)
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.01,
    "What pruning may cost: loss of accuracy, or relative growth of the error.",
)
_RETRAIN = flags.DEFINE_string(
    "retrain",
    None,
    "Dimensions such as 1,2,4, or all of figure 1's, for each of which a classifier is "
    "trained with the settings of the run's own. This costs a training per d; stopped, "
    "the same command goes on.",
)
_INCEPTION = flags.DEFINE_string(
    "inception_weights",
    None,
    "Keras' InceptionV3 without its top (inception_v3_weights_tf_dim_ordering_tf_"
    "kernels_notop.h5), to compare generated pictures by its features too.",
)


def main() -> None:
    """Measure, write and print."""
    from tfstyle.analysis.evaluation import comparison, run
    from tfstyle.modeling.objectives.likeness import Inception
    from tfstyle.runs import folder as runs
    from tfstyle.training import retraining

    stages = None
    if _STAGE.value is not None:
        stages = [one.strip() for value in _STAGE.value for one in value.split(",")]
        for one in stages:
            if one not in runs.STAGES:
                raise cli.UserError(
                    f"--stage must be of {', '.join(runs.STAGES)}, got {one!r}"
                )
    inception = None
    if _INCEPTION.value is not None:
        inception = Inception(pathlib.Path(_INCEPTION.value))
    run_dirs = [pathlib.Path(one) for one in _RUN_DIR.value]
    comparison.check_comparable(run_dirs)
    if _RETRAIN.value is not None:
        dims = [retraining.wanted_dims(one, _RETRAIN.value) for one in run_dirs]
        for run_dir, wanted in zip(run_dirs, dims, strict=True):
            retraining.retrain(run_dir, wanted)
    for run_dir in run_dirs:
        if len(run_dirs) > 1:
            print(f"{run_dir}:")
        numbers = run.measure_run(run_dir, _TOLERANCE.value, stages, inception)
        print("\n".join(run.summary(numbers)))
    has_style = stages is None or {"metric", "classifier"} & set(stages)
    if len(run_dirs) > 1 and has_style:
        compared = comparison.compare_runs(run_dirs, stages)
        print("\n".join(comparison.summary(compared)))


if __name__ == "__main__":
    cli.run(main)
