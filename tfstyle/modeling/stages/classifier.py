"""The classifier stage: the reference of the style space (section 6.1)."""

import gin
import tensorflow as tf

from tfstyle.modeling.networks import networks
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.objectives.artist_layers import ArtistLogits
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities
from tfstyle.modeling.stages import factories
from tfstyle.modeling.stages.optimizers import adam
from tfstyle.modeling.stages.stage import Stage


class ClassifierModel(Stage):
    """The same network trained to tell artists apart (section 6.1's reference).

    Args:
        style_encoder: S, built; its codes are the classifier's features.
        artists: N.
        t: nested dropout's parameter; None for none, so that all D features are kept.
    """

    def __init__(
        self,
        style_encoder: networks.StyleEncoder,
        artists: int,
        t: float | None = 0.995,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.style_encoder = style_encoder
        self.dims = style_encoder.get_config()["dims"]
        self.artist_logits = ArtistLogits(artists, self.dims)
        if t is not None:
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
        if self._t is None:
            lengths = self._all_dims(artist_ids)
        else:
            lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        with tf.GradientTape() as tape:
            features = self.style_encoder(images, training=True)
            losses = self._example_losses(features, artist_ids, lengths)
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        features = self.style_encoder(images, training=False)
        all_dims = self._all_dims(artist_ids)
        return {"loss": self._example_losses(features, artist_ids, all_dims)}

    def _all_dims(self, artist_ids):
        return tf.fill(tf.shape(artist_ids), self.dims)

    def _example_losses(self, features, artist_ids, lengths):
        return objectives.prefix_classification_loss(
            features,
            artist_ids,
            self.artist_logits.kernel,
            self.artist_logits.bias,
            lengths,
        )


@gin.configurable
def classifier(
    image_size: int,
    artists: int,
    seed: int,
    accumulation_steps: int = 1,
    t: float | None = 0.995,
    optimizer=adam,
) -> tuple[ClassifierModel, list]:
    """Build the classifier stage and its optimizers: as the metric's."""
    encoder = factories.style_encoder()
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
