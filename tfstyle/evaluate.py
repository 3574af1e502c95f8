"""Measure a run on its test pictures.

    python -m tfstyle.evaluate --run_dir=runs/default

Writes RUN_DIR/evaluation.json and appends to each stage's metrics.jsonl. A stage that
is not trained is left out and said.
"""

import pathlib

from absl import flags

from tfstyle import command

_RUN_DIR = flags.DEFINE_string("run_dir", "runs/default", "The trained run.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.01,
    "What pruning may cost: loss of accuracy, or relative growth of the error.",
)


def main() -> None:
    """Measure, write and print."""
    from tfstyle import measuring

    numbers = measuring.measure_run(pathlib.Path(_RUN_DIR.value), _TOLERANCE.value)
    for line in measuring.summary(numbers):
        print(line)


if __name__ == "__main__":
    command.run(main)
