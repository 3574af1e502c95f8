"""The gan stage: a generator conditioned on style and content (section 4)."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.core.cli import UserError
from tfstyle.core.typed import OneOf, Range
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import (
    ARTIST,
    PICTURE,
    STYLE_SOURCES,
    UNIFORMS,
    ArtistPrior,
    PictureTable,
    decode_codes,
    encode_pictures,
    style_by_content_table,
)
from tfstyle.modeling.networks.discriminators import DiscriminatorConsortium
from tfstyle.modeling.objectives import generation
from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.objectives.likeness import Likeness, spread_artist_ids
from tfstyle.modeling.objectives.passes import compute_artist_means
from tfstyle.modeling.stages import factories, stage
from tfstyle.modeling.stages.optimizers import move_average, rmsprop

STARTS = ("random", "decoder")
# Where random styles come from: N(0, I), or `ArtistPrior`.
NORMAL, ARTISTS = STYLE_PRIORS = ("normal", "artists")
# Side, in pixels, of the squares over which G's pictures are compared with Dec's.
DECODER_POOLING = 4
# Generated pictures that an evaluation compares with real ones, at most.
_MOST_COMPARED = 1000


@gin.configurable(name_or_fn="gan")
@dataclasses.dataclass(frozen=True)
class GANSettings:
    """Settings of the gan stage; bound in gin as `gan.NAME`.

    Those from `reconstruction_share` to `start` are additions to the paper, off here.

    Raises:
        UserError: if a value is out of its range.
    """

    code_dims: networks.Dims = 512  # style, content and noise together (section 5.2)
    style_weight: stage.Weight = 0.5  # lambda_style of equation 6 (section 5.2)
    content_weight: stage.Weight = 0.05  # lambda_content
    # Share of each batch that rebuilds real pictures.
    reconstruction_share: Annotated[float, Range(0, 1)] = 0.0
    # Share of each batch that shows contents of real pictures in random styles, as
    # transfers do; at most what `reconstruction_share` leaves.
    transfer_share: Annotated[float, Range(0, 1)] = 0.0
    # Of the mean squared error of rebuilt pictures over pixels and channels.
    reconstruction_weight: stage.Weight = 0.0
    # Of random styles: "normal", N(0, I) as in equation 6, or "artists": near artists
    # and between them (see `ArtistPrior`).
    style_prior: Annotated[str, OneOf(STYLE_PRIORS)] = NORMAL
    # Of the style of real pictures in training, see `vae.style_source`.
    style_source: Annotated[str, OneOf(STYLE_SOURCES)] = PICTURE
    # Of the mean difference between the discriminators' features of these pictures and
    # of the real ones, at the same patches (feature matching).
    feature_weight: stage.Weight = 0.0
    # Of the mean squared error to Dec's picture of the same codes, for rows without a
    # real picture; over averages of DECODER_POOLING squared pixels, so that G learns
    # shape and color from Dec, not its blur.
    decoder_weight: stage.Weight = 0.0
    # Gamma of the R1 penalty (arXiv 1801.04406) on the discriminators' gradient by what
    # each network sees: its patches of the pooled real picture.
    r1_weight: stage.Weight = 0.0
    # The penalty applies every so many steps, times that number.
    r1_interval: typed.Count = 1
    # Of G's weights: "random", or "decoder": those of Dec, which needs the same levels
    # and `generator.hidden = True`.
    start: Annotated[str, OneOf(STARTS)] = "random"
    generator_optimizer: stage.MakeOptimizer = rmsprop
    # A gin scope gives it a learning rate of its own (arXiv 1706.08500).
    discriminator_optimizer: stage.MakeOptimizer = rmsprop

    def __post_init__(self) -> None:
        typed.check_fields(self, "gan")
        shares = self.reconstruction_share + self.transfer_share
        if shares > 1:
            raise UserError(
                "gan.reconstruction_share and gan.transfer_share are shares of one "
                f"batch, and together {shares:g}, above 1"
            )


class ConditionalGAN(stage.Stage):
    """G, the discriminators, and the moving average of G that is shown and exported.

    S, Enc and Dec of the context are frozen.
    """

    def __init__(self, settings: GANSettings, context: stage.BuildContext) -> None:
        super().__init__(settings, context, name=SPEC.name)
        size, frozen = context.image_size, context.codes
        self.style_encoder = frozen.style_encoder
        self.content_encoder = frozen.content_encoder
        self.content_decoder = frozen.code_decoder
        self._settings = settings
        self._prior = ArtistPrior.of_artist_means(frozen.style_statistics.artist_means)
        self.code_sizes = self._compute_code_sizes()
        self.generator = factories.generator(size)
        self.average = factories.generator(size)
        self.generator.build_variables(size, self.code_sizes)
        self.average.build_variables(size, self.code_sizes)
        if settings.start == "decoder":
            style_dims, _, noise_dims = self.code_sizes
            linear = self.content_decoder.linear(style_dims, noise_dims)
            self.generator.start_as(self.content_decoder.decoder, *linear)
        self.discriminators = factories.discriminators(size, self.style_encoder.dims)
        self.discriminators.build_variables(size)
        # The training pictures by a judge's features, and the styles to generate.
        self._reference: tuple[Likeness, np.ndarray] | None = None
        encoders = (self.style_encoder, self.content_encoder)
        for network in (*encoders, self.content_decoder, self.average):
            network.trainable = False
        move_average(self.average, self.generator, 0.0)
        self.declare_means("discriminator_loss", "generator_loss", "gradient_penalty")
        self.declare_means("style_loss", "content_loss", "reconstruction_error")
        if settings.feature_weight:
            self.declare_means("feature_difference")
        self.declare_means("real_logit", "fake_logit")
        self.declare_means("eval_reconstruction", "eval_style", "eval_content")

    @property
    def networks(self) -> dict[str, tf.keras.Model]:
        return {
            "generator": self.generator,
            "generator_average": self.average,
            "discriminators": self.discriminators,
        }

    @property
    def parameter_groups(self) -> list[list[tf.Variable]]:
        return [
            self.generator.trainable_variables,
            self.discriminators.trainable_variables,
        ]

    def compute_gradients(
        self, images: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> stage.Gradients:
        if self._settings.style_source == ARTIST:
            normals = draws.normal("own style", self.style_encoder.dims)
            real_styles = self._prior.near(artist_ids, normals)
        else:
            real_styles = self.style_encoder(images)
        codes = styles, contents, rebuilt = self._draw_codes(images, real_styles, draws)
        noise = draws.normal("noise", self.code_sizes[2])
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generator([styles, contents, noise], training=True)
            losses = self._supervised_losses(fakes, images, codes)
            real_offsets = self._draw_offsets(draws, "real")
            fake_offsets = self._draw_offsets(draws, "fake")
            if self._settings.feature_weight:
                # What is compared must be at the same place.
                is_rebuilt = rebuilt[:, None, None] > 0
                fake_offsets = tf.where(is_rebuilt, real_offsets, fake_offsets)
            fake_logits, fake_features = self.discriminators(
                [fakes, fake_offsets, styles], with_features=True
            )
            real_logits, real_features = self.discriminators(
                [images, real_offsets, real_styles], with_features=True
            )
            losses += self._adversarial_losses(fakes, fake_logits, styles, contents)
            if self._settings.feature_weight:
                difference = generation.consortium_feature_difference(
                    fake_features, real_features, draws.rows
                )
                self.record("feature_difference", difference, rebuilt)
                losses += float(self._settings.feature_weight) * rebuilt * difference
            discriminator_losses = generation.consortium_discriminator_loss(
                real_logits, fake_logits
            )
            discriminator_loss = tf.reduce_sum(discriminator_losses) / draws.total
            loss = tf.reduce_sum(losses) / draws.total
        self.record("discriminator_loss", discriminator_losses)
        self.record("real_logit", generation.mean_over_networks(real_logits))
        self.record("fake_logit", generation.mean_over_networks(fake_logits))
        gradients = [
            self.group_gradients(tape, loss, 0),
            self.group_gradients(tape, discriminator_loss, 1),
        ]
        if self._settings.r1_weight:
            inputs = (images, real_offsets, real_styles)
            penalty = self._penalty_gradients(inputs, draws)
            gradients[1] = tf.nest.map_structure(tf.add, gradients[1], penalty)
        return gradients

    def after_update(self) -> None:
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(0.999, step / (9 + step))
        move_average(self.average, self.generator, decay)

    def evaluation_terms(
        self, images: tf.Tensor, artist_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        styles = self.style_encoder(images)
        contents = self.content_encoder(images, styles)
        rows, first = tf.shape(images)[0], tf.constant(0)
        draws = BatchDraws(self._seed, tf.constant(0, tf.int64), first, rows, rows)
        noise = draws.normal("noise of evaluations", self.code_sizes[2])
        fakes = self.average([styles, contents, noise])
        style_loss, content_loss = self._code_losses(fakes, styles, contents)
        return {
            "reconstruction": generation.reconstruction_loss(fakes, images),
            "style": style_loss,
            "content": content_loss,
        }

    def measure(self, view: stage.EvalView) -> stage.EvalNumbers:
        numbers = super().measure(view).numbers
        judge = view.load_judge()
        if judge is not None:
            numbers["frechet_distance"] = self._measure_frechet_distance(judge, view)
        return stage.EvalNumbers(numbers)

    def preview(
        self, pictures: np.ndarray, names: Sequence[str], view: stage.EvalView
    ) -> PictureTable:
        styles = encode_pictures(self.style_encoder, pictures)
        contents = encode_pictures(self.content_encoder, pictures)
        noises = np.random.default_rng(0).normal(size=(len(styles), self.code_sizes[2]))
        return style_by_content_table(
            self.average,
            (pictures, styles),
            (pictures, contents),
            noises,
            names,
            "columns: style of the picture above; rows: content of that at the left",
        )

    def _compute_code_sizes(self) -> list[int]:
        """Return the dimensions of style, content and noise."""
        total = self._settings.code_dims
        style_dims, content_dims = self.style_encoder.dims, self.content_encoder.dims
        if style_dims + content_dims > total:
            raise UserError(
                f"gan.code_dims={total} is less than the {style_dims} style "
                f"and {content_dims} content dimensions together"
            )
        return [style_dims, content_dims, total - style_dims - content_dims]

    def _draw_codes(
        self, images: tf.Tensor, real_styles: tf.Tensor, draws: BatchDraws
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Draw codes (equation 6); some rows have codes of their picture instead.

        Returns styles, contents, and float32 [rows], 1 for rows with both of these.
        """
        styles = draws.normal("style", self.style_encoder.dims)
        contents = draws.normal("content", self.content_encoder.dims)
        if self._settings.style_prior == ARTISTS:
            uniforms = draws.uniform("artists", UNIFORMS)
            styles = self._prior.transform(uniforms, styles)
        share = self._settings.reconstruction_share
        if not share + self._settings.transfer_share:
            return styles, contents, tf.zeros([draws.rows])
        rebuilt = draws.spread_rows(share)
        shown = rebuilt | draws.spread_rows(self._settings.transfer_share, share)
        real_contents = self.content_encoder(images, real_styles)
        styles = tf.where(rebuilt[:, None], real_styles, styles)
        contents = tf.where(shown[:, None], real_contents, contents)
        return styles, contents, tf.cast(rebuilt, tf.float32)

    def _draw_offsets(self, draws: BatchDraws, kind: str) -> tf.Tensor:
        patches = sum(self.discriminators.patch_counts)
        return draws.uniform(f"{kind} patches", patches, 2)

    def _supervised_losses(
        self,
        fakes: tf.Tensor,
        images: tf.Tensor,
        codes: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    ) -> tf.Tensor:
        """Compare G's pictures with real ones and with Dec's, float32 [rows]."""
        settings, (styles, contents, from_pictures) = self._settings, codes
        error = tf.reduce_mean(
            tf.math.squared_difference(fakes, images), axis=[1, 2, 3]
        )
        self.record("reconstruction_error", error, from_pictures)
        losses = float(settings.reconstruction_weight) * from_pictures * error
        if settings.decoder_weight:
            decoded = self.content_decoder([styles, contents])
            difference = generation.pooled_squared_error(
                fakes, decoded, DECODER_POOLING
            )
            losses += float(settings.decoder_weight) * (1 - from_pictures) * difference
        return losses

    def _adversarial_losses(
        self,
        fakes: tf.Tensor,
        fake_logits: list[tf.Tensor],
        styles: tf.Tensor,
        contents: tf.Tensor,
    ) -> tf.Tensor:
        """Compute G's loss of equation 6, float32 [rows]."""
        adversarial = generation.consortium_generator_loss(fake_logits)
        style_loss, content_loss = self._code_losses(fakes, styles, contents)
        self.record("generator_loss", adversarial)
        self.record("style_loss", style_loss)
        self.record("content_loss", content_loss)
        return (
            adversarial
            + float(self._settings.style_weight) * style_loss
            + float(self._settings.content_weight) * content_loss
        )

    def _code_losses(
        self, fakes: tf.Tensor, styles: tf.Tensor, contents: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute equations 8 and 9, float32 [rows] each."""
        fake_styles = self.style_encoder(fakes)
        fake_contents = self.content_encoder(fakes, fake_styles)
        style_loss = generation.code_loss(fake_styles, styles)
        return style_loss, generation.code_loss(fake_contents, contents)

    def _penalty_gradients(
        self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor], draws: BatchDraws
    ) -> list[tf.Tensor]:
        """Differentiate what R1 adds to the discriminators' loss in this step.

        Inputs are those of the discriminators for the real pictures.
        """
        images, offsets, styles = inputs
        weight = float(self._settings.r1_weight) * self._settings.r1_interval

        def judge(watched: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            return self.discriminators.judge_patches(watched, styles)

        def differentiate() -> tuple[list[tf.Tensor], tf.Tensor]:
            patches = self.discriminators.extract_patches_by_scale(images, offsets)
            with tf.GradientTape() as tape:
                penalties = weight * generation.consortium_penalty(judge, patches)
                loss = tf.reduce_sum(penalties) / draws.total
            return self.group_gradients(tape, loss, 1), penalties

        def skip() -> tuple[list[tf.Tensor], tf.Tensor]:
            zeros = [tf.zeros(variable.shape) for variable in self.parameter_groups[1]]
            return zeros, tf.zeros([draws.rows])

        due = tf.equal(draws.step % self._settings.r1_interval, 0)
        gradients, penalties = tf.cond(due, differentiate, skip)
        self.record("gradient_penalty", penalties)
        return gradients

    def _measure_frechet_distance(
        self, judge: tf.keras.Model, view: stage.EvalView
    ) -> float:
        """Compare generated with training pictures by the judge's features.

        As many as there are validation pictures, in the mean styles of these pictures'
        artists; the random codes are the same every time.
        """
        dataset = view.dataset
        if self._reference is None:
            artist_ids = spread_artist_ids(
                dataset, dataset.validation_split, _MOST_COMPARED
            )
            means = compute_artist_means(self.style_encoder, dataset)
            self._reference = Likeness(judge, dataset), means[artist_ids]
        likeness, styles = self._reference
        rng = np.random.default_rng(0)
        contents, noises = (
            rng.normal(size=[len(styles), dims]) for dims in self.code_sizes[1:]
        )
        pictures = decode_codes(self.average, styles, contents, noises)
        return likeness.frechet_distance(pictures)


def build(settings: GANSettings, context: stage.BuildContext) -> stage.Built:
    """Build the gan stage and its two optimizers (Table 2, third row)."""
    optimizers = [settings.generator_optimizer(), settings.discriminator_optimizer()]
    return ConditionalGAN(settings, context), optimizers


SPEC = stage.StageSpec(
    name="gan",
    settings=GANSettings,
    build=build,
    network_classes=(networks.Generator, DiscriminatorConsortium),
    needs=("metric", "vae"),
    keeps_best=False,
)
