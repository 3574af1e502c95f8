"""What all training stages share: their description, and one train_step."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import tensorflow as tf

from tfstyle.core.typed import Range
from tfstyle.data.records import Dataset
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import PictureTable
from tfstyle.modeling.networks.frozen_codes import CodeStatistics, FrozenCodes, Pruning
from tfstyle.modeling.objectives.draws import BatchDraws

Batch = Mapping[str, tf.Tensor]
Gradients = list[list[tf.Tensor]]
# Reads a variable by its path in the checkpoint, such as presumed_styles/styles.
ReadArray = Callable[[str], np.ndarray]


# Annotations of the stages' settings.
NestedDropout = Annotated[float, Range(0, 1, above=True)]  # its parameter t
Weight = Annotated[float, Range(0, 1e6)]  # of a term of a loss
MakeOptimizer = Callable[..., tf.keras.optimizers.Optimizer]

# A stage, and an optimizer for each of its parameter groups.
Built = tuple["Stage", list[tf.keras.optimizers.Optimizer]]


@dataclasses.dataclass(frozen=True)
class BuildContext:
    """What a stage is built from, beside its own settings."""

    image_size: int  # side of the pictures in pixels
    seed: int  # of every random draw
    artist_counts: Sequence[int] | np.ndarray  # training pictures of each artist
    codes: FrozenCodes
    # Parts into which each replica's share of a batch is split, one after the other, to
    # save memory; the gradients are the same.
    accumulation_steps: int = 1


@dataclasses.dataclass(frozen=True)
class TrainedStage:
    """A stage with its final weights, from which its code statistics are computed."""

    load_network: Callable[[str], tf.keras.Model]  # by name
    read_array: ReadArray
    objective: Mapping[str, Any]  # the stage's settings, as in its identity
    splits: Sequence[str]  # that it was trained on
    dataset: Dataset
    codes: FrozenCodes
    pruning: Pruning


@dataclasses.dataclass(frozen=True)
class Code:
    """The code that a stage's encoder gives to later stages."""

    kind: str  # "style" or "content", as in the names of the pruning settings
    statistics_file: str  # in the stage folder
    recommend_dims: Callable[[TrainedStage], int]
    # Computes the statistics of the first so many dimensions.
    compute_statistics: Callable[[TrainedStage, int], CodeStatistics]


@dataclasses.dataclass(frozen=True)
class StageSpec:
    """A training stage as the rest of the program knows it."""

    name: str  # of the stage's folder in a run, and of its settings in gin
    # Frozen dataclass, the gin-configurable; its fields are part of the run's identity.
    settings: type
    # Makes the stage and its optimizers. The `Stage` evaluates and previews itself.
    build: Callable[[Any, BuildContext], Built]
    network_classes: tuple[type, ...]  # which a run rebuilds by their names
    needs: tuple[str, ...] = ()  # names of the stages on whose codes it is trained
    code: Code | None = None  # that it gives to later stages
    # Finds the artist of each picture by every prefix, int32 [n, dims], from
    # (read_array, raw codes [n, dims]); for stages that figure 1 shows.
    classify: Callable[[ReadArray, np.ndarray], np.ndarray] | None = None
    keeps_best: bool = True  # the final weights may be the best by validation numbers


@dataclasses.dataclass(frozen=True)
class EvalView:
    """What a stage sees of the run while it evaluates itself."""

    dataset: Dataset
    batches: tf.data.Dataset  # evaluation batches of `dataset.validation_split`
    pruning: Pruning
    # Loads the classifier's encoder, if trained; no stage is trained against it.
    load_judge: Callable[[], tf.keras.Model | None]


@dataclasses.dataclass(frozen=True)
class EvalNumbers:
    """Numbers by name, the score of the best weights, and what looks wrong."""

    numbers: dict[str, float]
    score: float | None = None
    warning: str | None = None


class Stage(tf.keras.Model, abc.ABC):
    """Networks, objectives and a train_step, run by Keras' compile and fit.

    A subclass has networks as attributes, named in `network_names`, and computes
    gradients of losses divided by the global batch size, since gradients are summed
    over replicas.

    Args:
        settings: the stage's settings, a frozen dataclass.
        context: see `BuildContext`.
    """

    # Attributes that are trained networks, as later stages and exports load them.
    network_names: tuple[str, ...] = ()

    # K pictures by each artist of a batch, where a loss compares them; None: any mix.
    images_per_artist: int | None = None
    # Dimensions of the code that the stage's encoder gives; 0 without one.
    dims: int = 0
    # Whether XLA compiles the steps.
    with_xla: bool = False
    # Sizes of the codes that the stage's decoder takes; empty without one.
    code_sizes: Sequence[int] = ()

    def __init__(self, settings: Any, context: BuildContext, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Not `settings`: Keras would track the attribute.
        self._stage_settings = settings
        self._seed = context.seed
        self._accumulation_steps = context.accumulation_steps
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="step",
        )
        self._means: dict[str, tf.keras.metrics.Mean] = {}
        # Each replica returns the means over all; Keras would add those of workers up.
        self.distribute_reduction_method = "first"

    @property
    def objective(self) -> dict[str, Any]:
        """The settings that a resumed run must have kept, as JSON values."""
        # Optimizers describe themselves in the identity.
        return {
            name: value
            for name, value in dataclasses.asdict(self._stage_settings).items()
            if not callable(value)
        }

    @property
    def networks(self) -> dict[str, tf.keras.Model]:
        """The trained networks by name."""
        return {name: getattr(self, name) for name in self.network_names}

    @property
    def parameter_groups(self) -> list[list[tf.Variable]]:
        """The trained variables, a list for each optimizer given to compile."""
        networks = self.networks.values()
        return [[v for network in networks for v in network.trainable_variables]]

    @abc.abstractmethod
    def compute_gradients(
        self, images: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> Gradients:
        """Compute gradients and record losses with `record`.

        Args:
            images: float32 [rows, size, size, 3], scaled Lab.
            artist_ids: int64 [rows].
            draws: of these rows.

        Returns:
            Gradients of losses divided by draws.total, grouped as `parameter_groups`.
        """

    @abc.abstractmethod
    def evaluation_terms(
        self, images: tf.Tensor, artist_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Compute what `evaluate` averages, float32 [batch] by name."""

    def measure(self, view: EvalView) -> EvalNumbers:
        """Compute numbers, and the score by which the best weights are kept."""
        results = self.evaluate(view.batches, verbose=0, return_dict=True)
        return EvalNumbers(
            {name: value for name, value in results.items() if name.startswith("eval_")}
        )

    def preview(
        self, pictures: np.ndarray, names: Sequence[str], view: EvalView
    ) -> PictureTable | None:
        """Lay out pictures that show what the stage has learned; None for nothing.

        Args:
            pictures: uint8 [n, size, size, 3], the same in each preview.
            names: [n], of their artists.
            view: see `EvalView`.
        """
        return None

    @property
    def steps_done(self) -> int:
        """The step, as a Python number."""
        return int(self.step.numpy())

    def phase_ends(self) -> list[int]:
        """Return the steps after which `set_phase` must be called again."""
        return []

    def set_phase(self, step: int, artist_means: Callable[[], np.ndarray]) -> None:
        """Prepare for training from `step` to the end of its phase.

        `artist_means` computes each artist's mean raw code, float [N, D], over the
        training pictures by the stage's style encoder as it is.
        """

    def meet_artists(self, artist_means: Callable[[], np.ndarray]) -> None:
        """Prepare for the artists of the records, after weights of another run."""

    def check_steps(self, steps: int) -> None:
        """Refuse with a UserError steps that leave out a part of the training."""

    def checkpoint_items(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, by name."""
        items = {
            f"optimizer_{k}": optimizer for k, optimizer in enumerate(self.optimizer)
        }
        return {**self.networks, **items, "step": self.step}

    def compile_step(
        self, optimizers: list[tf.keras.optimizers.Optimizer], with_xla: bool
    ) -> None:
        """Compile the stage with its optimizers, and its steps with XLA if asked to.

        With one replica the whole step is compiled, with several the gradients:
        replicas wait for each other where gradients are added up, which XLA's
        functions cannot.
        """
        self.with_xla = with_xla
        self.compile(optimizer=optimizers, jit_compile=with_xla and self._is_alone)

    @property
    def _is_alone(self) -> bool:
        """Whether there is one replica."""
        return self.distribute_strategy.num_replicas_in_sync == 1

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        accumulate = self._accumulate
        if self.with_xla and not self._is_alone:
            accumulate = tf.function(accumulate, jit_compile=True)
        gradients = accumulate(batch)
        for optimizer, variables, group in zip(
            self.optimizer, self.parameter_groups, gradients, strict=True
        ):
            if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
                group = optimizer.get_unscaled_gradients(group)
            # Of one replica there is nothing to add up, and XLA could not compile it.
            optimizer.apply_gradients(
                zip(group, variables, strict=True),
                skip_gradients_aggregation=self._is_alone,
            )
        self.step.assign_add(1)
        self.after_update()
        return self._results()

    def after_update(self) -> None:
        """Do what follows the optimizers in each step."""

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        images = color.rgb_to_lab(batch["image"])
        terms = self.evaluation_terms(images, batch["artist"])
        for name, values in terms.items():
            self.record(f"eval_{name}", values, batch["mask"])
        return self._results()

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        return list(self._means.values())

    def record(
        self, name: str, values: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Add values, one per example, to the running mean `name`."""
        if name not in self._means:
            # Keras traces within the strategy's scope; variables need to leave the
            # graph that is being traced.
            raise KeyError(f"{name} is not among the declared means")
        self._means[name].update_state(values, sample_weight)

    def declare_means(self, *names: str) -> None:
        """Create running means; call this while building."""
        for name in names:
            self._means[name] = tf.keras.metrics.Mean(name)

    def group_gradients(
        self, tape: tf.GradientTape, loss: tf.Tensor, group: int
    ) -> list[tf.Tensor]:
        """Differentiate a scalar loss by the variables of a parameter group.

        The gradients are scaled if the group's optimizer scales losses, and zeros where
        the loss does not depend on a variable.
        """
        optimizer = self.optimizer[group]
        scale = None
        if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
            scale = tf.cast(optimizer.loss_scale, loss.dtype)
        return tape.gradient(
            loss,
            list(self.parameter_groups[group]),
            output_gradients=scale,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )

    def _accumulate(self, batch: Batch) -> Gradients:
        context = tf.distribute.get_replica_context()
        local = batch["artist"].shape[0]
        rows = local // self._accumulation_steps
        total: Gradients = []
        for part in range(self._accumulation_steps):
            here = slice(part * rows, (part + 1) * rows)
            gradients = self.compute_gradients(
                color.rgb_to_lab(batch["image"][here]),
                batch["artist"][here],
                BatchDraws(
                    seed=self._seed,
                    step=self.step,
                    start=context.replica_id_in_sync_group * local + part * rows,
                    rows=rows,
                    total=local * context.num_replicas_in_sync,
                ),
            )
            if part:
                gradients = tf.nest.map_structure(tf.add, total, gradients)
            total = gradients
        return total

    def _results(self) -> dict[str, tf.Tensor]:
        return {name: mean.result() for name, mean in self._means.items()}
