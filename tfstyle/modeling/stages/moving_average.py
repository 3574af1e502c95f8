"""A network that follows another one, to be shown and exported in its place."""

import tensorflow as tf


def move_average(average: tf.keras.Model, network: tf.keras.Model, decay) -> None:
    """Move an average's weights towards a network's, on every replica alike.

    Args:
        average: takes decay times its weights and the rest of the network's.
        network: of the same architecture.
        decay: float or scalar tensor; 0 copies.
    """

    def update(strategy):
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
