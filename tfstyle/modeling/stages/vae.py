"""The content stage: a VAE that is given the style for free (section 4, equation 4)."""

import gin
import tensorflow as tf

from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities
from tfstyle.modeling.stages import factories
from tfstyle.modeling.stages.optimizers import rmsprop
from tfstyle.modeling.stages.stage import Stage


class ContentVAE(Stage):
    """Enc and Dec; Dec also sees the frozen style encoder's code.

    Nested dropout hides dimension d from Dec in all steps but those whose prefix is at
    least d long, while "the KL-divergence part of the VAE loss remains unchanged": it
    is paid for all dimensions in every step. So against what it can save of the
    reconstruction error, dimension d pays its KL with the weight kl_weight / P(prefix
    >= d): as in a beta-VAE whose beta grows with d, for t = .995 and D = 512 from 1 at
    the first dimension to 2.0 at the 128th and 2,400 at the last, which is hardly
    worth what that one could hold.

    Args:
        style_encoder: frozen, gives normalized pruned style codes.
        content_encoder: Enc, built.
        content_decoder: Dec, built.
        t: nested dropout's parameter.
        kl_weight: of the KL divergence against the sum of squares; the paper's is 1.
        kl_warmup_steps: steps in which that weight rises from 0 in a straight line; 0
            in the paper.
        free_bits: nats of each dimension and picture that cost nothing, see
            `objectives.kl_beyond_free_bits`; 0 in the paper.
    """

    def __init__(
        self,
        style_encoder: frozen_codes.NormalizedEncoder,
        content_encoder: networks.ContentEncoder,
        content_decoder: networks.ContentDecoder,
        t: float = 0.995,
        kl_weight: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("kl_weight", kl_weight),
            ("kl_warmup_steps", kl_warmup_steps),
            ("free_bits", free_bits),
        ):
            if value < 0:
                raise ValueError(f"vae.{name} must be at least 0, got {value}")
        self.style_encoder = style_encoder
        self.style_encoder.trainable = False
        self.content_encoder = content_encoder
        self.content_decoder = content_decoder
        self.dims = content_encoder.get_config()["dims"]
        prefix_probabilities(self.dims, t)  # refuses a t out of range
        self._t = t
        self._kl_weight = kl_weight
        self._kl_warmup_steps = kl_warmup_steps
        self._free_bits = free_bits
        self.declare_means(
            "loss", "reconstruction", "kl", "test_reconstruction", "test_kl"
        )

    @property
    def networks(self):
        return {
            "content_encoder": self.content_encoder,
            "content_decoder": self.content_decoder,
        }

    @property
    def code_dims(self):
        return [self.style_encoder.dims, self.dims]

    @property
    def parameter_groups(self):
        return [
            self.content_encoder.trainable_variables
            + self.content_decoder.trainable_variables
        ]

    @property
    def in_kl_warmup(self) -> bool:
        """Whether the KL does not weigh in full yet, so that errors are too low."""
        return self.steps_done < self._kl_warmup_steps

    def compute_gradients(self, images, artist_ids, draws):
        styles = self.style_encoder(images, training=False)
        lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        mask = tf.sequence_mask(lengths, self.dims, tf.float32)
        noise = draws.normal("reparametrization", self.dims)
        with tf.GradientTape() as tape:
            mean, log_variance = self.content_encoder(images, training=True)
            codes = mean + tf.exp(0.5 * log_variance) * noise
            decoded = self.content_decoder([styles, codes * mask], training=True)
            reconstruction = objectives.reconstruction_loss(decoded, images)
            kl = objectives.kl_divergence(mean, log_variance)
            paid = kl
            if self._free_bits:
                paid = objectives.kl_beyond_free_bits(
                    objectives.kl_by_dimension(mean, log_variance), self._free_bits
                )
            losses = reconstruction + self._kl_weight_at(draws.step) * paid
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        self.record("reconstruction", reconstruction)
        self.record("kl", kl)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        mean, log_variance = self.content_encoder(images, training=False)
        return {
            "reconstruction": objectives.reconstruction_loss(
                self.content_decoder([self.style_encoder(images), mean]), images
            ),
            "kl": objectives.kl_divergence(mean, log_variance),
        }

    def _kl_weight_at(self, step: tf.Tensor) -> tf.Tensor | float:
        if not self._kl_warmup_steps:
            return self._kl_weight
        risen = tf.cast(step, tf.float32) / self._kl_warmup_steps
        return self._kl_weight * tf.minimum(risen, 1.0)


@gin.configurable
def vae(
    style_encoder: frozen_codes.NormalizedEncoder,
    image_size: int,
    seed: int,
    accumulation_steps: int = 1,
    t: float = 0.995,
    kl_weight: float = 1.0,
    kl_warmup_steps: int = 0,
    free_bits: float = 0.0,
    optimizer=rmsprop,
) -> tuple[ContentVAE, list]:
    """Build the content stage and its optimizers (Table 2, second row)."""
    encoder = factories.content_encoder()
    decoder = factories.content_decoder(image_size)
    encoder(tf.zeros([1, image_size, image_size, 3]))
    dims = encoder.get_config()["dims"]
    decoder([tf.zeros([1, style_encoder.dims]), tf.zeros([1, dims])])
    model = ContentVAE(
        style_encoder,
        encoder,
        decoder,
        t=t,
        kl_weight=kl_weight,
        kl_warmup_steps=kl_warmup_steps,
        free_bits=free_bits,
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings={
            "t": t,
            "kl_weight": kl_weight,
            # None where off, as in runs from before there were these settings.
            "kl_warmup_steps": kl_warmup_steps or None,
            "free_bits": free_bits or None,
        },
        name="vae",
    )
    return model, [optimizer()]
