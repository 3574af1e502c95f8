"""How a stage is trained: the gin settings `train.NAME`."""

import dataclasses
import math
import pathlib
from typing import Annotated

import gin

from tfstyle.core import typed
from tfstyle.core.cli import UserError
from tfstyle.core.typed import Count, OneOf, Range
from tfstyle.data.collections.splits import ARTIST_SPLITS
from tfstyle.data.records import Dataset
from tfstyle.modeling import stages

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("mirrored", "multi_worker", "one_device")


@dataclasses.dataclass(frozen=True)
class Paths:
    """Where a stage reads and writes, and what to do with an existing one."""

    records_dir: str
    run_dir: pathlib.Path
    gin_dir: pathlib.Path  # folder of the configuration, recorded for advice
    restart: bool = False  # delete what the stage has trained so far
    init_from: str | None = None  # run whose same stage gives the first weights
    allow_unfinished: bool = False  # build on an unfinished earlier stage
    dry_run: bool = False  # build everything, write nothing


@gin.configurable(name_or_fn="train")
@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a stage is trained; bound in gin as `train.NAME`.

    Raises:
        UserError: if a value is out of its range.
    """

    stage: str = gin.REQUIRED  # "metric", "classifier", "vae" or "gan"
    batch_size: Count = gin.REQUIRED  # pictures per step over all replicas
    steps: Count | None = None  # where training ends; or
    # The same in passes over the training pictures.
    epochs: Annotated[float, Range(0, 1e15, above=True)] | None = None
    image_size: Count = 256  # side of the pictures, that of the records
    # To train on.
    splits: tuple[Annotated[str, OneOf(tuple(ARTIST_SPLITS))], ...] = ("train",)
    # Of weights, order and every random draw: what NumPy accepts.
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    # Steps between two entries of the log, evaluations, previews and checkpoints.
    log_interval: Count = 100
    eval_interval: Count = 2000
    preview_interval: Count = 2000
    checkpoint_interval: Count = 2000
    checkpoints_kept: Count = 2  # to resume from
    # The final weights: "best" (by validation numbers), "last", or None for the best if
    # there are validation pictures that are not trained on and the stage keeps its
    # best.
    checkpoint: str | None = None
    # "mirrored" (all GPUs, or the CPU), "one_device", or "multi_worker" (on several
    # machines, which TF_CONFIG lists).
    strategy: Annotated[str, OneOf(STRATEGIES)] = "mirrored"
    precision: Annotated[str, OneOf(PRECISIONS)] = "float32"
    accumulation_steps: Count = 1  # parts of each batch, in turn, to save memory
    deterministic: bool = False  # bit-for-bit repeatable on GPUs too, but slower
    # Whether XLA compiles the step; None for on GPUs alone, where it is faster.
    jit_compile: bool | None = None

    def __post_init__(self) -> None:
        typed.check_fields(self, "train")
        spec = stages.spec(self.stage)
        if (self.steps is None) == (self.epochs is None):
            raise UserError(
                "set one of train.steps and train.epochs, got "
                f"steps={self.steps}, epochs={self.epochs}"
            )
        if "train" not in self.splits:
            raise UserError(
                f'train.splits must be "train" and others of {ARTIST_SPLITS}, such as '
                f'("train",), got {self.splits!r}'
            )
        allowed = (None, "last", "best") if spec.keeps_best else (None, "last")
        if self.checkpoint not in allowed:
            raise UserError(
                f"train.checkpoint must be one of {allowed} for the {self.stage} "
                f"stage, got {typed.shorten(self.checkpoint)}"
            )

    def keeps_best(self, dataset: Dataset) -> bool:
        """Return whether the best weights by validation numbers are kept.

        Raises:
            UserError: if they are asked for, but there is nothing to choose by.
        """
        can_choose = dataset.has_validation and "validation" not in self.splits
        if self.checkpoint == "best" and not can_choose:
            raise UserError(
                'train.checkpoint = "best" needs validation pictures that are not '
                f"trained on: {dataset.records_dir} has "
                f"{dataset.num_examples('validation')}, and train.splits is "
                f"{self.splits!r}"
            )
        keeps = stages.spec(self.stage).keeps_best and self.checkpoint != "last"
        return keeps and can_choose

    def last_step(self, steps_per_epoch: int) -> int:
        """Return the step at which training ends."""
        if self.epochs is None:
            assert self.steps is not None
            return self.steps
        return math.ceil(self.epochs * steps_per_epoch)


def read_settings() -> TrainSettings:
    """Take the settings from the parsed gin files.

    Raises:
        UserError: if one is missing that has no default, or out of its range.
    """
    try:
        return TrainSettings()
    except RuntimeError as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}") from None
