"""Table 2's optimizers, with the learning-rate ramp that strict normalization needs."""

import gin
import tensorflow as tf


class LinearRamp(tf.keras.optimizers.schedules.LearningRateSchedule):
    """A constant rate that is reached linearly over the first `ramp_steps` steps.

    The first updates are divided by statistics of a single gradient; at the full rate
    they can throw strictly normalized networks far off.
    """

    def __init__(self, learning_rate: float, ramp_steps: int = 100):
        if not learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        self.learning_rate = learning_rate
        self.ramp_steps = ramp_steps

    def __call__(self, step):
        done = tf.cast(step, tf.float32) + 1
        return self.learning_rate * tf.minimum(1.0, done / max(1, self.ramp_steps))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "ramp_steps": self.ramp_steps}


@gin.configurable
def adam(
    learning_rate: float = 1e-4,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    ramp_steps: int = 100,
) -> tf.keras.optimizers.Optimizer:
    """Adam, the style encoder's optimizer (Table 2)."""
    return tf.keras.optimizers.Adam(
        LinearRamp(learning_rate, ramp_steps),
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=epsilon,
    )


@gin.configurable
def rmsprop(
    learning_rate: float = 2e-5,
    rho: float = 0.9,
    epsilon: float = 1e-16,
    ramp_steps: int = 100,
) -> tf.keras.optimizers.Optimizer:
    """RMSprop as in reference [13].

    [13] adds 1e-8 outside the root; Keras adds epsilon inside, hence its square.
    """
    return tf.keras.optimizers.RMSprop(
        LinearRamp(learning_rate, ramp_steps), rho=rho, epsilon=epsilon
    )
