"""The style stages: metric learning (section 3) and its reference, a classifier."""

from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf

from tfstyle.modeling import networks, objectives, table_1
from tfstyle.modeling.optimizers import adam
from tfstyle.modeling.stage import Stage


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


class MetricModel(Stage):
    """The style encoder with presumed styles: equations 2 and 3.

    Args:
        style_encoder: S, built.
        artist_counts: [N], training pictures of each artist.
        t: nested dropout's parameter.
        prefix: "exact" (all D prefixes) or "sampled" (one per picture, equal in mean).
        initial_deviation: of the presumed styles.
    """

    def __init__(
        self,
        style_encoder: networks.StyleEncoder,
        artist_counts: Sequence[int] | np.ndarray,
        t: float = 0.995,
        prefix: str = "exact",
        initial_deviation: float = 1.0,
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
        self._t = t
        self._prefix = prefix
        self.declare_means("loss", "own_distance", "test_loss")

    @property
    def networks(self):
        return {
            "style_encoder": self.style_encoder,
            "presumed_styles": self.presumed_styles,
        }

    @property
    def parameter_groups(self):
        return [
            self.style_encoder.trainable_variables
            + self.presumed_styles.trainable_variables
        ]

    def compute_gradients(self, images, artist_ids, draws):
        lengths = None
        if self._prefix == "sampled":
            lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        with tf.GradientTape() as tape:
            codes = self.style_encoder(images, training=True)
            losses = self._example_losses(codes, artist_ids, lengths)
            loss = tf.reduce_sum(losses) / draws.total
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


class ArtistLogits(tf.keras.layers.Layer):
    """The classifier's last layer; its first d rows classify from d features."""

    def __init__(self, artists: int, dims: int, **kwargs):
        super().__init__(**kwargs)
        self.kernel = self.add_weight(
            "kernel", [dims, artists], initializer="glorot_uniform"
        )
        self.bias = self.add_weight("bias", [artists], initializer="zeros")


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
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings={
            "t": t,
            "prefix": prefix,
            "initial_deviation": initial_deviation,
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
