"""The generator stage: a GAN conditioned on style and content (section 4)."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.objectives import augmentation as augmentations
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.stages import factories
from tfstyle.modeling.stages.moving_average import move_average
from tfstyle.modeling.stages.optimizers import rmsprop
from tfstyle.modeling.stages.stage import Stage

# Section 5.2: style, content and unconditioned dimensions together.
CODE_DIMS = 512
# Side of the squares by which G's pictures are compared with Dec's.
DECODER_POOLING = 4
# Additions to the paper, as they are when off. Off, they are left out of a run's
# identity, so that runs from before an addition go on.
_ADDITIONS_OFF = {
    "real_style_share": 0.0,
    "decoder_weight": 0.0,
    "r1_weight": 0.0,
    "r1_interval": 1,
    "start": "random",
    "augmentation": (),
}


class ConditionalGAN(Stage):
    """G, the discriminators, and the moving average of G that is shown and exported.

    Args:
        style_encoder: S, frozen, gives normalized pruned codes.
        content_encoder: Enc, frozen, gives pruned means.
        content_decoder: Dec, frozen, for such codes.
        generator: G, built.
        average: a second network like G, to hold its moving average.
        discriminators: D, built.
        noise_dims: unconditioned dimensions of G's code.
        style_weight: lambda_style.
        content_weight: lambda_content.
        reconstruction_share: share of each batch that G draws from the codes of real
            pictures, to be compared with those pictures; 0 in the paper.
        reconstruction_weight: of their mean squared error over pixels and channels.
        reconstruction_steps: how many steps at first train G on that error alone.
        real_style_share: share, in the long run, of the other codes whose style is that
            of a real picture, beside a random content; 0 in the paper. Real styles are
            clustered: a random one is seldom like them.
        decoder_weight: of the mean squared error to Dec's picture of the same codes,
            where they are random; of averages over squares of DECODER_POOLING pixels,
            so that G learns shape and color from Dec, not its blur.
        r1_weight: gamma of the R1 penalty, by which discriminators keep the slope
            small at real pictures. It is taken with respect to what each network is
            given: its patches of the pooled (and augmented) picture.
        r1_interval: the penalty enters every so many steps, times that number.
        augmentation: names of `augmentation.AUGMENTATIONS`; D sees real and generated
            pictures only so changed. S and Enc see them as they are.
    """

    def __init__(
        self,
        style_encoder: frozen_codes.NormalizedEncoder,
        content_encoder: frozen_codes.NormalizedEncoder,
        content_decoder: frozen_codes.CodeDecoder,
        generator: networks.Generator,
        average: networks.Generator,
        discriminators: networks.DiscriminatorConsortium,
        noise_dims: int,
        style_weight: float = 0.5,
        content_weight: float = 0.05,
        reconstruction_share: float = 0.0,
        reconstruction_weight: float = 0.0,
        reconstruction_steps: int = 0,
        real_style_share: float = 0.0,
        decoder_weight: float = 0.0,
        r1_weight: float = 0.0,
        r1_interval: int = 1,
        augmentation: Sequence[str] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not (0 <= reconstruction_share <= 1 and 0 <= real_style_share <= 1):
            raise ValueError(
                "reconstruction_share and real_style_share must be in 0 .. 1, got "
                f"{reconstruction_share} and {real_style_share}"
            )
        if not isinstance(r1_interval, int) or r1_interval < 1:
            raise ValueError(f"r1_interval must be from 1 on, got {r1_interval!r}")
        if min(r1_weight, decoder_weight) < 0:
            raise ValueError(
                "r1_weight and decoder_weight must be at least 0, got "
                f"{r1_weight} and {decoder_weight}"
            )
        for frozen in (style_encoder, content_encoder, content_decoder, average):
            frozen.trainable = False
        self.style_encoder = style_encoder
        self.content_encoder = content_encoder
        self.content_decoder = content_decoder
        self.generator = generator
        self.average = average
        self.discriminators = discriminators
        self.noise_dims = noise_dims
        self._style_weight = float(style_weight)
        self._content_weight = float(content_weight)
        self._reconstruction_share = reconstruction_share
        self._reconstruction_weight = float(reconstruction_weight)
        self._reconstruction_steps = reconstruction_steps
        self._real_style_share = real_style_share
        self._decoder_weight = float(decoder_weight)
        self._r1_weight = float(r1_weight)
        self._r1_interval = r1_interval
        self._augmentation = augmentations.checked(augmentation)
        move_average(average, generator, 0.0)
        self.declare_means(
            "discriminator_loss",
            "generator_loss",
            "style_loss",
            "content_loss",
            "reconstruction_error",
            "real_logit",
            "fake_logit",
            "gradient_penalty",
            "test_reconstruction",
            "test_style",
            "test_content",
        )

    @property
    def networks(self):
        return {
            "generator": self.generator,
            "generator_average": self.average,
            "discriminators": self.discriminators,
        }

    @property
    def code_dims(self):
        return [self.style_encoder.dims, self.content_encoder.dims, self.noise_dims]

    @property
    def parameter_groups(self):
        return [
            self.generator.trainable_variables,
            self.discriminators.trainable_variables,
        ]

    def phase_ends(self):
        return [self._reconstruction_steps] if self._reconstruction_steps else []

    def set_phase(self, step, artist_means):
        self._warm_start = step < self._reconstruction_steps
        self.make_train_function(force=True)

    def compute_gradients(self, images, artist_ids, draws):
        styles, contents, from_pictures = self._codes(images, draws)
        noise = draws.normal("noise", self.noise_dims)
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generator([styles, contents, noise], training=True)
            error = tf.reduce_mean(
                tf.math.squared_difference(fakes, images), axis=[1, 2, 3]
            )
            generator_total = self._reconstruction_weight * from_pictures * error
            if self._decoder_weight:
                decoded = self.content_decoder([styles, contents])
                off = objectives.pooled_squared_error(fakes, decoded, DECODER_POOLING)
                generator_total += self._decoder_weight * (1 - from_pictures) * off
            if not self._warm_start:
                fake_shown = self._shown(fakes, draws, "fake")
                fake_logits = self.discriminators(fake_shown, training=True)
                real_shown = self._shown(images, draws, "real")
                real_logits = self.discriminators(real_shown, training=True)
                adversarial = _mean_over_networks(
                    [objectives.generator_loss(one) for one in fake_logits]
                )
                fake_styles = self.style_encoder(fakes)
                fake_contents = self.content_encoder(fakes, fake_styles)
                style_loss = objectives.code_loss(fake_styles, styles)
                content_loss = objectives.code_loss(fake_contents, contents)
                generator_total += (
                    adversarial
                    + self._style_weight * style_loss
                    + self._content_weight * content_loss
                )
                discriminator_losses = _mean_over_networks(
                    [
                        objectives.discriminator_loss(real, fake)
                        for real, fake in zip(real_logits, fake_logits, strict=True)
                    ]
                )
                discriminator_loss = tf.reduce_sum(discriminator_losses) / draws.total
            loss = tf.reduce_sum(generator_total) / draws.total
        self.record("reconstruction_error", error, from_pictures)
        gradients = [self.group_gradients(tape, loss, 0)]
        if self._warm_start:
            gradients.append([tf.zeros_like(one) for one in self.parameter_groups[1]])
            return gradients
        gradients.append(self.group_gradients(tape, discriminator_loss, 1))
        if self._r1_weight:
            penalty = self._penalty_gradients(*real_shown, draws)
            gradients[1] = tf.nest.map_structure(tf.add, gradients[1], penalty)
        self.record("discriminator_loss", discriminator_losses)
        self.record("generator_loss", adversarial)
        self.record("style_loss", style_loss)
        self.record("content_loss", content_loss)
        self.record("real_logit", _mean_over_networks(real_logits))
        self.record("fake_logit", _mean_over_networks(fake_logits))
        return gradients

    def after_update(self):
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(0.999, step / (9 + step))
        move_average(self.average, self.generator, decay)

    def evaluation_terms(self, images, artist_ids):
        styles = self.style_encoder(images)
        contents = self.content_encoder(images, styles)
        noise = tf.random.stateless_normal(
            [tf.shape(images)[0], self.noise_dims], [self._seed, 0]
        )
        fakes = self.average([styles, contents, noise])
        fake_styles = self.style_encoder(fakes)
        fake_contents = self.content_encoder(fakes, fake_styles)
        return {
            "reconstruction": objectives.reconstruction_loss(fakes, images),
            "style": objectives.code_loss(fake_styles, styles),
            "content": objectives.code_loss(fake_contents, contents),
        }

    def _codes(self, images, draws):
        """Draw codes (equation 6); those of some rows, or their styles, are real."""
        styles = draws.normal("style", self.style_encoder.dims)
        contents = draws.normal("content", self.content_encoder.dims)
        share = self._reconstruction_share
        if not (share or self._real_style_share):
            return styles, contents, tf.zeros([draws.rows])
        # Evenly spread over the global batch, so that replicas do not matter.
        rows = tf.cast(draws.row_indices(), tf.float32)
        rebuilt = tf.floor((rows + 1) * share) > tf.floor(rows * share)
        own_style = draws.uniform("real style") < self._real_style_share
        own_styles = self.style_encoder(images)
        own_contents = self.content_encoder(images, own_styles)
        styles = tf.where((rebuilt | own_style)[:, None], own_styles, styles)
        contents = tf.where(rebuilt[:, None], own_contents, contents)
        return styles, contents, tf.cast(rebuilt, tf.float32)

    def _shown(self, images, draws, purpose):
        """Give what discriminators are called with: pictures and patches' offsets."""
        patches = sum(self.discriminators.patch_counts)
        offsets = draws.uniform(f"{purpose} patches", patches, 2)
        shown = augmentations.augment(images, self._augmentation, draws, purpose)
        return [shown, offsets]

    def _penalty_gradients(self, images, offsets, draws):
        """Differentiate what R1 adds to the discriminators' loss in this step."""
        weight = self._r1_weight * self._r1_interval

        def differentiated():
            patches = self.discriminators.patches(images, offsets)
            with tf.GradientTape() as tape:
                with tf.GradientTape() as inner:
                    inner.watch(patches)
                    logits = self.discriminators.judge(patches)
                # Each logit depends on its own patch alone.
                slopes = inner.gradient(logits, patches)
                penalties = weight * _mean_over_networks(
                    [
                        tf.reshape(objectives.gradient_penalty(slope), tf.shape(logit))
                        for slope, logit in zip(slopes, logits, strict=True)
                    ]
                )
                loss = tf.reduce_sum(penalties) / draws.total
            return self.group_gradients(tape, loss, 1), penalties

        def left_out():
            zeros = [tf.zeros(one.shape) for one in self.parameter_groups[1]]
            return zeros, tf.zeros([draws.rows])

        due = tf.equal(draws.step % self._r1_interval, 0)
        gradients, penalties = tf.cond(due, differentiated, left_out)
        self.record("gradient_penalty", penalties)
        return gradients


def _mean_over_networks(values: list[tf.Tensor]) -> tf.Tensor:
    """Average over patches, then networks: list of [batch, patches] -> [batch]."""
    return tf.add_n([tf.reduce_mean(one, axis=1) for one in values]) / len(values)


@gin.configurable
def gan(
    style_encoder: frozen_codes.NormalizedEncoder,
    content_encoder: frozen_codes.NormalizedEncoder,
    content_decoder: frozen_codes.CodeDecoder,
    image_size: int,
    seed: int,
    accumulation_steps: int = 1,
    code_dims: int = CODE_DIMS,
    style_weight: float = 0.5,
    content_weight: float = 0.05,
    reconstruction_share: float = 0.0,
    reconstruction_weight: float = 0.0,
    reconstruction_steps: int = 0,
    real_style_share: float = 0.0,
    decoder_weight: float = 0.0,
    r1_weight: float = 0.0,
    r1_interval: int = 1,
    augmentation: Sequence[str] = (),
    start: str = "random",
    generator_optimizer=rmsprop,
    discriminator_optimizer=rmsprop,
) -> tuple[ConditionalGAN, list]:
    """Build the generator stage and its optimizers (Table 2, third row).

    Not explained by `ConditionalGAN`: code_dims, of style, content and noise together;
    start, "random" or "decoder": as Dec, which needs `generator.hidden`; and the two
    optimizers, by gin scopes of different rates.
    """
    if start not in ("random", "decoder"):
        raise ValueError(f'gan.start must be "random" or "decoder", got {start!r}')
    noise_dims = code_dims - style_encoder.dims - content_encoder.dims
    if noise_dims < 0:
        raise ValueError(
            f"gan.code_dims={code_dims} is less than the {style_encoder.dims} style and"
            f" {content_encoder.dims} content dimensions together (an unfinished stage"
            " gives all it has, a finished one those that it keeps)"
        )
    dims = [style_encoder.dims, content_encoder.dims, noise_dims]
    codes = [tf.zeros([1, one]) for one in dims]
    generator, average = (factories.generator(image_size) for _ in range(2))
    generator(codes)
    average(codes)
    if start == "decoder":
        generator.start_as(
            content_decoder.decoder,
            *content_decoder.linear(style_encoder.dims, noise_dims),
        )
    discriminators = factories.discriminators(image_size)
    patches = sum(discriminators.patch_counts)
    discriminators(
        [tf.zeros([1, image_size, image_size, 3]), tf.zeros([1, patches, 2])]
    )
    optimizers = [generator_optimizer(), discriminator_optimizer()]
    objective: dict[str, Any] = {
        "style_weight": style_weight,
        "content_weight": content_weight,
        "reconstruction_share": reconstruction_share,
        "reconstruction_weight": reconstruction_weight,
        "reconstruction_steps": reconstruction_steps,
        "real_style_share": real_style_share,
        "decoder_weight": decoder_weight,
        "r1_weight": r1_weight,
        "r1_interval": r1_interval,
        "augmentation": augmentation,
    }
    settings = {"code_dims": code_dims, **objective, "start": start}
    model = ConditionalGAN(
        style_encoder,
        content_encoder,
        content_decoder,
        generator,
        average,
        discriminators,
        noise_dims,
        **objective,
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings={
            name: value
            for name, value in settings.items()
            if name not in _ADDITIONS_OFF or value != _ADDITIONS_OFF[name]
        },
        name="gan",
    )
    return model, optimizers
