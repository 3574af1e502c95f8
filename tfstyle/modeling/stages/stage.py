"""What the four training stages share: one train_step for all of them."""

import abc
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives.draws import BatchDraws

Batch = Mapping[str, tf.Tensor]
Gradients = list[list[tf.Tensor]]


class Stage(tf.keras.Model, abc.ABC):
    """Networks, objectives and a train_step, to be run by Keras' compile and fit.

    A subclass fills `networks` and `parameter_groups` (variables, a list for each
    optimizer given to compile) and computes gradients of losses divided by the global
    batch size, since gradients are summed over replicas.

    Args:
        seed: of every random draw.
        accumulation_steps: parts into which each replica's share of a batch is split,
            one after the other, to save memory; the gradients are the same.
        settings: JSON-able values that a resumed run must have kept.
    """

    # K pictures by each artist of a batch, where a loss compares them; None: any mix.
    images_per_artist: int | None = None

    def __init__(self, seed: int, accumulation_steps: int, settings: Mapping, **kwargs):
        super().__init__(**kwargs)
        self._seed = seed
        self._accumulation_steps = accumulation_steps
        self._settings = dict(settings)
        self.step = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="step",
        )
        self._means: dict[str, tf.keras.metrics.Mean] = {}

    @property
    def settings(self) -> dict:
        """What a resumed run must have kept."""
        return dict(self._settings)

    @property
    @abc.abstractmethod
    def networks(self) -> dict[str, tf.keras.Model]:
        """The trained networks by name, as later stages and exports load them."""

    @property
    @abc.abstractmethod
    def parameter_groups(self) -> list[Sequence[tf.Variable]]:
        """The trained variables, a list for each optimizer."""

    @abc.abstractmethod
    def compute_gradients(self, images: tf.Tensor, artist_ids, draws) -> Gradients:
        """Compute gradients and record losses with `record`.

        Args:
            images: float32 [rows, size, size, 3], scaled Lab.
            artist_ids: int64 [rows].
            draws: `BatchDraws` of these rows.

        Returns:
            Gradients of losses divided by draws.total, grouped as `parameter_groups`.
        """

    @abc.abstractmethod
    def evaluation_terms(self, images, artist_ids) -> dict[str, tf.Tensor]:
        """Compute what `evaluate` averages, float32 [batch] by name."""

    @property
    def steps_done(self) -> int:
        """The step, as a Python number."""
        return int(self.step.numpy())

    @property
    def code_dims(self) -> list[int]:
        """Dimensions of the codes that the stage's decoder takes; empty without one."""
        return []

    def phase_ends(self) -> list[int]:
        """Give the steps after which `set_phase` must be called again."""
        return []

    def set_phase(self, step: int, artist_means: Callable[[], np.ndarray]) -> None:
        """Prepare for training from `step` to the end of its phase.

        Args:
            step: steps done.
            artist_means: computes the mean codes, float [N, D], of each artist's
                training pictures with a stage's style encoder as it is.
        """

    def checkpoint_items(self) -> dict:
        """Give everything that a resumed run needs, by name."""
        items = {f"optimizer_{k}": one for k, one in enumerate(self.optimizer)}
        return {**self.networks, **items, "step": self.step}

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        gradients = self._accumulate(batch)
        for optimizer, variables, group in zip(
            self.optimizer, self.parameter_groups, gradients, strict=True
        ):
            if isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer):
                group = optimizer.get_unscaled_gradients(group)
            optimizer.apply_gradients(zip(group, variables, strict=True))
        self.step.assign_add(1)
        self.after_update()
        return self._results()

    def after_update(self) -> None:
        """Do what follows the optimizers in each step."""

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        images = color.rgb_to_lab(batch["image"])
        terms = self.evaluation_terms(images, batch["artist"])
        for name, values in terms.items():
            self.record(f"test_{name}", values, batch["mask"])
        return self._results()

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        return list(self._means.values())

    def record(self, name: str, values: tf.Tensor, sample_weight=None) -> None:
        """Add values, one per example, to the running mean `name`."""
        if name not in self._means:
            # Keras traces within the strategy's scope; variables need to leave the
            # graph that is being traced.
            raise KeyError(f"{name} is not among the declared means")
        self._means[name].update_state(values, sample_weight)

    def declare_means(self, *names: str) -> None:
        """Create running means; to be called while building."""
        for name in names:
            self._means[name] = tf.keras.metrics.Mean(name)

    def group_gradients(
        self, tape: tf.GradientTape, loss: tf.Tensor, group: int
    ) -> list[tf.Tensor]:
        """Differentiate a scalar loss, scaled if the group's optimizer scales losses.

        Args:
            tape: that recorded the loss.
            loss: float32 scalar.
            group: index into `parameter_groups`.

        Returns:
            One gradient per variable; zeros where the loss does not depend on one.
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
        total: Gradients | None = None
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
            if total is None:
                total = gradients
            else:
                total = tf.nest.map_structure(tf.add, total, gradients)
        assert total is not None
        return total

    def _results(self) -> dict[str, tf.Tensor]:
        return {name: mean.result() for name, mean in self._means.items()}
