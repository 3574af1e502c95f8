"""Judges: small networks that tell what a picture shows, or who made it.

The protocol is the same for all collections. A judge is trained on real training
pictures only, at most 64 pixels wide. It has three convolutions of stride 2 and a
hidden layer, and sees each picture 30 times, in 100 to 1,000 batches of 64. No network
that the generator was trained against takes part, and nothing depends on the pictures
that are judged.
"""

import numpy as np
import tensorflow as tf

_SIZE = 64  # pixels; larger pictures are averaged
_FEATURES, _HIDDEN = (32, 64, 128), 128
_EPOCHS, _LEAST_STEPS, _MOST_STEPS = 30, 100, 1000
_BATCH_SIZE, _LEARNING_RATE = 64, 1e-3
_DROPOUT = 0.5


class Judge:
    """Tells the class of pictures.

    Args:
        pictures: real ones, uint8 [n, size, size, 3], RGB.
        labels: [n], of any type that sorts.
        seed: of the weights and of the order.
    """

    def __init__(self, pictures: np.ndarray, labels: np.ndarray, seed: int = 0) -> None:
        self._labels, classes = np.unique(labels, return_inverse=True)
        self._network = _build_network(len(self._labels), seed)
        steps = len(pictures) * _EPOCHS // _BATCH_SIZE
        steps = min(max(steps, _LEAST_STEPS), _MOST_STEPS)
        batches = tf.data.Dataset.from_tensor_slices((_shrink(pictures), classes))
        batches = batches.shuffle(len(pictures), seed=seed).repeat()
        options = tf.data.Options()
        options.deterministic = True
        self._network.fit(
            batches.batch(_BATCH_SIZE).take(steps).with_options(options),
            steps_per_epoch=steps,
            verbose=0,
        )

    def classify(self, pictures: np.ndarray) -> np.ndarray:
        """Return the label of each picture, uint8 [n, size, size, 3]."""
        logits = self._network.predict(_shrink(pictures), _BATCH_SIZE, verbose=0)
        return self._labels[logits.argmax(axis=1)]

    def measure_accuracy(self, pictures: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of pictures whose label is found."""
        return float(np.mean(self.classify(pictures) == labels))


def _build_network(classes: int, seed: int) -> tf.keras.Model:
    seeds = iter(range(100 * seed, 100 * seed + 100))

    def initialize() -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.HeUniform(next(seeds))

    layers = [tf.keras.layers.Rescaling(1 / 127.5, -1)]
    for features in _FEATURES:
        layers.append(
            tf.keras.layers.Conv2D(
                features,
                3,
                2,
                "same",
                activation="relu",
                kernel_initializer=initialize(),
            )
        )
    layers += [
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dropout(_DROPOUT, seed=next(seeds)),
        tf.keras.layers.Dense(
            _HIDDEN, activation="relu", kernel_initializer=initialize()
        ),
        tf.keras.layers.Dense(classes, kernel_initializer=initialize()),
    ]
    network = tf.keras.Sequential(layers)
    network.compile(
        tf.keras.optimizers.Adam(_LEARNING_RATE),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return network


def _shrink(pictures: np.ndarray) -> np.ndarray:
    """Average pictures down to the size that judges see; smaller ones stay."""
    factor = -(-pictures.shape[1] // _SIZE)
    if factor == 1:
        return pictures
    size = pictures.shape[1] // factor
    return np.concatenate(
        [
            tf.image.resize(pictures[start : start + 256], [size, size], "area")
            .numpy()
            .round()
            .astype(np.uint8)
            for start in range(0, len(pictures), 256)
        ]
    )
