"""Table 2's optimizers with their learning-rate ramp, and averages of weights."""

from collections.abc import Sequence
from typing import Annotated, Any

import gin
import tensorflow as tf

from tfstyle.core.typed import Entries, Range

# What is left of a learning rate that has fallen.
FALLEN = 0.02

_Rate = Annotated[float, Range(0, 1e30, above=True)]  # finite in float32
_Decay = Annotated[float, Range(0, 0.999999)]  # 1 in float32 from 0.99999998 on
_Epsilon = Annotated[float, Range(0, 1, above=True)]
_Steps = Annotated[int, Range(0, 1e15)]
_Fall = Annotated[Sequence[_Steps], Entries(2, 2, ascending=True)]


class LinearRamp(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate, reached linearly over the first `ramp_steps` steps.

    The first updates are divided by statistics of a single gradient; at the full rate
    they can throw strictly normalized networks far off.

    Args:
        learning_rate: the rate.
        ramp_steps: steps until it is reached.
        fall: the steps between which the rate falls linearly to FALLEN of itself; None
            for never, as in the paper.

    Raises:
        ValueError: if the rate is not above 0, or `fall` is not ascending.
    """

    def __init__(
        self,
        learning_rate: float,
        ramp_steps: int = 100,
        fall: Sequence[int] | None = None,
    ) -> None:
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if fall is not None and not (len(fall) == 2 and 0 <= fall[0] < fall[1]):
            raise ValueError(f"fall must be two ascending steps, got {fall}")
        self.learning_rate = learning_rate
        self.ramp_steps = ramp_steps
        self.fall = fall

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32) + 1
        share = tf.minimum(1.0, done / max(1, self.ramp_steps))
        if self.fall is not None:
            start, end = self.fall
            left = tf.clip_by_value((end - done) / (end - start), 0, 1)
            share *= FALLEN + (1 - FALLEN) * left
        return self.learning_rate * share

    def get_config(self) -> dict[str, Any]:
        config = {"learning_rate": self.learning_rate, "ramp_steps": self.ramp_steps}
        # Without it, as before there was one, so that older runs can be resumed.
        return config if self.fall is None else {**config, "fall": list(self.fall)}


@gin.configurable
def adam(
    learning_rate: _Rate = 1e-4,
    beta_1: _Decay = 0.9,
    beta_2: _Decay = 0.999,
    epsilon: _Epsilon = 1e-8,
    ramp_steps: _Steps = 100,
    fall: _Fall | None = None,
) -> tf.keras.optimizers.Optimizer:
    """Make Adam, the style encoder's optimizer (Table 2)."""
    return tf.keras.optimizers.Adam(
        LinearRamp(learning_rate, ramp_steps, fall),
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
    )


@gin.configurable
def rmsprop(
    learning_rate: _Rate = 2e-5,
    rho: _Decay = 0.9,
    epsilon: _Epsilon = 1e-16,
    ramp_steps: _Steps = 100,
    fall: _Fall | None = None,
) -> tf.keras.optimizers.Optimizer:
    """Make RMSprop as in reference [13] (Table 2).

    [13] adds 1e-8 outside the root; Keras adds epsilon inside, hence its square.
    """
    return tf.keras.optimizers.RMSprop(
        LinearRamp(learning_rate, ramp_steps, fall), rho=rho, epsilon=epsilon
    )


def move_average(
    average: tf.keras.Model, network: tf.keras.Model, decay: float | tf.Tensor
) -> None:
    """Move an average's weights towards a network's, on every replica alike.

    The average takes `decay`, from 0 (copy) to 1, of its weights and the rest of the
    network's.
    """

    def update(strategy: tf.distribute.Strategy) -> None:
        for mean, value in zip(average.variables, network.variables, strict=True):
            if not value.dtype.is_floating:
                continue
            strategy.extended.update(
                mean,
                lambda mean, value: mean.assign(
                    decay * mean + (1 - decay) * tf.cast(value, mean.dtype)
                ),
                args=(value,),
            )

    if tf.distribute.in_cross_replica_context():
        update(tf.distribute.get_strategy())
    else:
        tf.distribute.get_replica_context().merge_call(update)
