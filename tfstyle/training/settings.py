"""How a stage is trained: the gin settings `train.NAME`."""

import dataclasses
import math

import gin

from tfstyle.core.cli import UserError

_SEEDS = 2**32  # that NumPy takes
_ENDLESS = 1e15  # steps or passes


@gin.configurable(name_or_fn="train")
@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How a stage is trained; bound in gin as `train.NAME`.

    Args:
        stage: "metric", "classifier", "vae" or "gan".
        batch_size: pictures per step over all replicas.
        steps: where training ends; or
        epochs: passes over the training pictures.
        image_size: side of the pictures; the records' must be the same.
        splits: what is trained on.
        seed: of weights, order and every random draw.
        log_interval, eval_interval, preview_interval, checkpoint_interval: in steps.
        checkpoints_kept: to resume from.
        checkpoint: weights that go on: "best", "last", or None for the stage's own
            rule (the best where test pictures are not trained on, the gan's last).
        strategy: "mirrored" (all GPUs, or the CPU), "multi_worker" (TF_CONFIG) or
            "one_device".
        precision: "float32", "mixed_float16" or "mixed_bfloat16".
        accumulation_steps: parts of each batch, one after the other, to save memory.
        deterministic: bit-for-bit repeatable on GPUs too, slower.
        jit_compile: compile the step with XLA; on one replica only.
    """

    stage: str = gin.REQUIRED
    batch_size: int = gin.REQUIRED
    steps: int | None = None
    epochs: float | None = None
    image_size: int = 256
    splits: tuple[str, ...] = ("train",)
    seed: int = 0
    log_interval: int = 100
    eval_interval: int = 2000
    preview_interval: int = 2000
    checkpoint_interval: int = 2000
    checkpoints_kept: int = 2
    checkpoint: str | None = None
    strategy: str = "mirrored"
    precision: str = "float32"
    accumulation_steps: int = 1
    deterministic: bool = False
    jit_compile: bool = False

    def __post_init__(self):
        if (self.steps is None) == (self.epochs is None):
            raise UserError(
                "set one of train.steps and train.epochs, got "
                f"steps={self.steps}, epochs={self.epochs}"
            )
        for name in (
            *("epochs" if self.steps is None else "steps", "batch_size", "image_size"),
            *("accumulation_steps", "checkpoints_kept", "checkpoint_interval"),
            *("log_interval", "eval_interval", "preview_interval"),
        ):
            value = getattr(self, name)
            kinds = (int, float) if name == "epochs" else (int,)
            # True is an int to Python.
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise UserError(f"train.{name} must be a number above 0, got {value!r}")
            if not 0 < value < _ENDLESS:
                raise UserError(
                    f"train.{name} must be above 0 and below 1e15, got {value!r}"
                )
        if type(self.seed) is not int or not 0 <= self.seed < _SEEDS:
            raise UserError(
                f"train.seed must be a number from 0 to {_SEEDS - 1}, got {self.seed!r}"
            )
        if isinstance(self.splits, str) or not {"train", "test"}.issuperset(
            self.splits
        ):
            raise UserError(
                'train.splits must be ("train",) or ("train", "test"), got '
                f"{self.splits!r}"
            )
        allowed = (None, "last") if self.stage == "gan" else (None, "last", "best")
        if self.checkpoint not in allowed:
            raise UserError(
                f"train.checkpoint must be one of {allowed} for the {self.stage} "
                f"stage, got {self.checkpoint!r}"
            )

    def last_step(self, steps_per_epoch: int) -> int:
        """Give the step at which training ends."""
        if self.epochs is None:
            assert self.steps is not None
            return self.steps
        return math.ceil(self.epochs * steps_per_epoch)


def read_settings() -> TrainSettings:
    """Take the settings from the parsed gin files.

    Raises:
        UserError: if one is missing that has no default.
    """
    try:
        return TrainSettings()
    except RuntimeError as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}") from None
