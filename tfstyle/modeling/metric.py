"""The style stages: metric learning (section 3) and its reference, a classifier."""

from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf

from tfstyle.modeling import networks, objectives, table_1
from tfstyle.modeling.nested_dropout import prefix_probabilities
from tfstyle.modeling.optimizers import adam
from tfstyle.modeling.stage import Stage

# Mean scaled distance between artists that a warm start sets: there the attraction
# t^2 and the repulsion exp(-t^2) both have a slope.
WARM_START_DISTANCE = 1.2


class PresumedStyles(tf.keras.layers.Layer):
    """The learned s_i of every artist and the scales h_d of every prefix.

    Args:
        artists: N.
        dims: D.
        initial_deviation: of the random presumed styles at the start.
    """

    def __init__(self, artists: int, dims: int, initial_deviation=1.0, **kwargs):
        super().__init__(**kwargs)
        # Dense, because equation 2 touches every artist in every step.
        self.styles = self.add_weight(
            "styles",
            [artists, dims],
            initializer=tf.keras.initializers.RandomNormal(stddev=initial_deviation),
        )
        self.log_prefix_scales = self.add_weight(
            "log_prefix_scales", [dims], initializer="zeros"
        )

    @property
    def prefix_scales(self) -> tf.Tensor:
        """h_d, float32 [dims]: exponentials, so that they stay positive."""
        return tf.exp(self.log_prefix_scales)


class ArtistLogits(tf.keras.layers.Layer):
    """The classifier's last layer; its first d rows classify from d features."""

    def __init__(self, artists: int, dims: int, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(
            "kernel", [dims, artists], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [artists], initializer="zeros")


def mean_prefix_distances(points: np.ndarray) -> np.ndarray:
    """Average the distance between different points by each prefix.

    Args:
        points: float [N, D].

    Returns:
        float64 [D], mean over i != j of ||x_i[d] - x_j[d]||.
    """
    points = np.asarray(points, np.float64)
    total = np.zeros(points.shape[1])
    # One point against all at a time: [N, N, D] would not fit for many artists.
    for point in points:
        squares = np.cumsum(np.square(points - point), axis=1)
        total += np.sqrt(squares).sum(axis=0)
    return total / max(1, len(points) * (len(points) - 1))


class MetricModel(Stage):
    """The style encoder with presumed styles: equations 2 and 3.

    Args:
        style_encoder: S, built.
        artist_counts: [N], training pictures of each artist.
        t: nested dropout's parameter.
        prefix: "exact" (all D prefixes) or "sampled" (one per picture, equal in mean).
        initial_deviation: of the presumed styles.
        warm_start_steps: how many steps at first train S to classify, under the same
            nested dropout; presumed styles and scales start from its codes then. The
            paper does not say where its start lies.
    """

    def __init__(
        self,
        style_encoder: networks.StyleEncoder,
        artist_counts: Sequence[int] | np.ndarray,
        t: float = 0.995,
        prefix: str = "exact",
        initial_deviation: float = 1.0,
        warm_start_steps: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if prefix not in ("exact", "sampled"):
            raise ValueError(f'prefix must be "exact" or "sampled", got {prefix!r}')
        self.style_encoder = style_encoder
        self.dims = style_encoder.get_config()["dims"]
        self.presumed_styles = PresumedStyles(
            len(artist_counts), self.dims, initial_deviation
        )
        self._artist_counts = tf.constant(artist_counts, tf.float32)
        prefix_probabilities(self.dims, t)  # refuses a t out of range
        self._t = t
        self._prefix = prefix
        self._warm_start_steps = warm_start_steps
        self._in_warm_start = False
        self.artist_logits = None
        if warm_start_steps:
            self.artist_logits = ArtistLogits(len(artist_counts), self.dims)
        self.declare_means("loss", "own_distance", "classification_loss", "test_loss")

    @property
    def networks(self):
        return {
            "style_encoder": self.style_encoder,
            "presumed_styles": self.presumed_styles,
        }

    @property
    def parameter_groups(self):
        group = (
            self.style_encoder.trainable_variables
            + self.presumed_styles.trainable_variables
        )
        if self.artist_logits is not None:
            group = group + self.artist_logits.trainable_variables
        return [group]

    def checkpoint_items(self):
        items = super().checkpoint_items()
        if self.artist_logits is not None:
            items["artist_logits"] = self.artist_logits
        return items

    def phase_ends(self):
        return [self._warm_start_steps] if self._warm_start_steps else []

    def set_phase(self, step, artist_means):
        self._in_warm_start = step < self._warm_start_steps
        if self._warm_start_steps and step == self._warm_start_steps:
            self.start_from(artist_means())
        self.make_train_function(force=True)

    def start_from(self, artist_means: np.ndarray) -> None:
        """Start presumed styles at mean codes, and scales where both losses pull.

        Args:
            artist_means: float [N, D], each artist's mean code.
        """
        distances = mean_prefix_distances(artist_means)
        scales = WARM_START_DISTANCE / np.maximum(distances, 1e-6)
        self.presumed_styles.styles.assign(artist_means)
        self.presumed_styles.log_prefix_scales.assign(np.log(scales))

    def compute_gradients(self, images, artist_ids, draws):
        lengths = None
        if self._prefix == "sampled" or self._in_warm_start:
            lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        with tf.GradientTape() as tape:
            codes = self.style_encoder(images, training=True)
            if self._in_warm_start:
                losses = objectives.prefix_classification_loss(
                    codes,
                    artist_ids,
                    self.artist_logits.kernel,
                    self.artist_logits.bias,
                    lengths,
                )
            else:
                losses = self._example_losses(codes, artist_ids, lengths)
            loss = tf.reduce_sum(losses) / draws.total
        if self._in_warm_start:
            self.record("classification_loss", losses)
        else:
            own_styles = tf.gather(self.presumed_styles.styles, artist_ids)
            self.record("loss", losses)
            self.record("own_distance", tf.norm(codes - own_styles, axis=-1))
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        codes = self.style_encoder(images, training=False)
        return {"loss": self._example_losses(codes, artist_ids, None)}

    def _example_losses(self, codes, artist_ids, lengths):
        return objectives.presumed_style_loss(
            codes,
            artist_ids,
            self.presumed_styles.styles,
            self.presumed_styles.prefix_scales,
            self._artist_counts,
            self._t,
            lengths,
        )


class ClassifierModel(Stage):
    """The same network trained to tell artists apart (section 6.1's reference).

    Args:
        style_encoder: S, built; its codes are the classifier's features.
        artists: N.
        t: nested dropout's parameter.
    """

    def __init__(
        self,
        style_encoder: networks.StyleEncoder,
        artists: int,
        t: float = 0.995,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.style_encoder = style_encoder
        self.dims = style_encoder.get_config()["dims"]
        self.artist_logits = ArtistLogits(artists, self.dims)
        prefix_probabilities(self.dims, t)  # refuses a t out of range
        self._t = t
        self.declare_means("loss", "test_loss")

    @property
    def networks(self):
        return {
            "style_encoder": self.style_encoder,
            "artist_logits": self.artist_logits,
        }

    @property
    def parameter_groups(self):
        return [
            self.style_encoder.trainable_variables
            + self.artist_logits.trainable_variables
        ]

    def compute_gradients(self, images, artist_ids, draws):
        lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        with tf.GradientTape() as tape:
            features = self.style_encoder(images, training=True)
            losses = self._example_losses(features, artist_ids, lengths)
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        features = self.style_encoder(images, training=False)
        all_dims = tf.fill(tf.shape(artist_ids), self.dims)
        return {"loss": self._example_losses(features, artist_ids, all_dims)}

    def _example_losses(self, features, artist_ids, lengths):
        return objectives.prefix_classification_loss(
            features,
            artist_ids,
            self.artist_logits.kernel,
            self.artist_logits.bias,
            lengths,
        )


@gin.configurable
def metric(
    image_size: int,
    artist_counts,
    seed: int,
    accumulation_steps: int = 1,
    t: float = 0.995,
    prefix: str = "exact",
    initial_deviation: float = 1.0,
    warm_start_steps: int = 0,
    optimizer=adam,
) -> tuple[MetricModel, list]:
    """Build the metric stage and its optimizers (Table 2, first row)."""
    encoder = table_1.style_encoder()
    encoder(tf.zeros([1, image_size, image_size, 3]))
    model = MetricModel(
        encoder,
        artist_counts,
        t=t,
        prefix=prefix,
        initial_deviation=initial_deviation,
        warm_start_steps=warm_start_steps,
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings={
            "t": t,
            "prefix": prefix,
            "initial_deviation": initial_deviation,
            "warm_start_steps": warm_start_steps,
        },
        name="metric",
    )
    return model, [optimizer()]


@gin.configurable
def classifier(
    image_size: int,
    artists: int,
    seed: int,
    accumulation_steps: int = 1,
    t: float = 0.995,
    optimizer=adam,
) -> tuple[ClassifierModel, list]:
    """Build the classifier stage and its optimizers: as the metric's."""
    encoder = table_1.style_encoder()
    encoder(tf.zeros([1, image_size, image_size, 3]))
    model = ClassifierModel(
        encoder,
        artists,
        t=t,
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings={"t": t},
        name="classifier",
    )
    return model, [optimizer()]
