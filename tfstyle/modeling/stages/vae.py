"""The vae stage: a content code that is given the style for free (section 4)."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.core.typed import OneOf
from tfstyle.data import input_pipeline
from tfstyle.metrics import prefix
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import (
    ARTIST,
    PICTURE,
    STYLE_SOURCES,
    ArtistPrior,
    PictureTable,
    collect_codes,
    decode_codes,
    encode_pictures,
)
from tfstyle.modeling.networks.frozen_codes import CodeStatistics, ContentNormalization
from tfstyle.modeling.objectives import generation, passes
from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities
from tfstyle.modeling.stages import factories, stage
from tfstyle.modeling.stages.optimizers import rmsprop

# Content dimensions from which a preview rebuilds pictures, beside all.
_PREVIEW_DIMS = (0, 8, 32)


@gin.configurable(name_or_fn="vae")
@dataclasses.dataclass(frozen=True)
class VAESettings:
    """Settings of the vae stage; bound in gin as `vae.NAME`.

    Raises:
        UserError: if a value is out of its range.
    """

    t: stage.NestedDropout = 0.995  # nested dropout's parameter (Table 2)
    kl_weight: stage.Weight = 1.0  # against the sum of squares; the paper's is 1
    # Of the style that Dec is given in training: "picture", S's code of the picture; or
    # "artist", a code like those of the artist's works. The latter cannot tell what
    # this work shows, so that the content code must hold all of it.
    style_source: Annotated[str, OneOf(STYLE_SOURCES)] = PICTURE
    optimizer: stage.MakeOptimizer = rmsprop

    def __post_init__(self) -> None:
        typed.check_fields(self, "vae")


class ContentVAE(stage.Stage):
    """Enc and Dec; Dec also sees the frozen style encoder's code.

    Nested dropout hides dimension d from Dec in all steps except those whose prefix is
    at least d long, while "the KL-divergence part of the VAE loss remains unchanged":
    it is paid for all dimensions in every step. So dimension d pays its KL, relative to
    the reconstruction error that it can save, with the weight kl_weight / P(prefix >=
    d). This is a beta-VAE whose beta grows with d: for t = .995 and D = 512 from 1 at
    the first dimension to 2.0 at the 128th and 2,400 at the last, which is hardly worth
    what it could hold.
    """

    network_names = ("content_encoder", "content_decoder")

    def __init__(self, settings: VAESettings, context: stage.BuildContext) -> None:
        super().__init__(settings, context, name=SPEC.name)
        size = context.image_size
        self.style_encoder = context.codes.style_encoder
        self.style_encoder.trainable = False
        self.content_encoder = factories.content_encoder()
        self.content_decoder = factories.content_decoder(size)
        self.content_encoder.build_variables(size)
        self.dims = self.content_encoder.dims
        prefix_probabilities(self.dims, settings.t)  # checks the dimensions
        self.code_sizes = [self.style_encoder.dims, self.dims]
        self.content_decoder.build_variables(size, self.code_sizes)
        self._settings = settings
        self._prior = ArtistPrior.of_artist_means(
            context.codes.style_statistics.artist_means
        )
        self.declare_means(
            "loss", "reconstruction", "kl", "eval_reconstruction", "eval_kl"
        )

    def compute_gradients(
        self, images: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> stage.Gradients:
        if self._settings.style_source == ARTIST:
            styles = self._prior.near(
                artist_ids, draws.normal("style", self.code_sizes[0])
            )
        else:
            styles = self.style_encoder(images, training=False)
        mask = draws.prefix_mask("prefix", self.dims, self._settings.t)
        noise = draws.normal("reparametrization", self.dims)
        with tf.GradientTape() as tape:
            mean, log_variance = self.content_encoder(images, training=True)
            codes = mean + tf.exp(0.5 * log_variance) * noise
            decoded = self.content_decoder([styles, codes * mask], training=True)
            reconstruction = generation.reconstruction_loss(decoded, images)
            kl = generation.kl_divergence(mean, log_variance)
            losses = reconstruction + self._settings.kl_weight * kl
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        self.record("reconstruction", reconstruction)
        self.record("kl", kl)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(
        self, images: tf.Tensor, artist_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        mean, log_variance = self.content_encoder(images, training=False)
        return {
            "reconstruction": generation.reconstruction_loss(
                self.content_decoder([self.style_encoder(images), mean]), images
            ),
            "kl": generation.kl_divergence(mean, log_variance),
        }

    def measure(self, view: stage.EvalView) -> stage.EvalNumbers:
        numbers = super().measure(view).numbers
        score = -numbers["eval_reconstruction"]
        use = passes.measure_content_use(self.content_encoder, view.batches)
        numbers["active_units"] = int(use.active.sum())
        for d in prefix.curve_dims(self.dims):
            numbers[f"kl_of_dimension_{d}"] = float(use.kl[d - 1])
        return stage.EvalNumbers(numbers, score)

    def preview(
        self, pictures: np.ndarray, names: Sequence[str], view: stage.EvalView
    ) -> PictureTable:
        """Rebuild pictures from their style and the first content dimensions."""
        styles = encode_pictures(self.style_encoder, pictures)
        contents = encode_pictures(self.content_encoder, pictures)
        rows: list[list[np.ndarray | None]] = [list(pictures)]
        captions = ["picture"]
        for d in (*_PREVIEW_DIMS, self.dims):
            if d <= self.dims:
                prefixes = contents * (np.arange(self.dims) < d)
                rows.append([*decode_codes(self.content_decoder, styles, prefixes)])
                captions.append(f"{d} content dims")
        return PictureTable(
            rows,
            row_captions=captions,
            column_captions=names,
            title="pictures from style and the first content dimensions",
            row_breaks=[1],
        )


def build(settings: VAESettings, context: stage.BuildContext) -> stage.Built:
    """Build the vae stage and its optimizer (Table 2, second row)."""
    return ContentVAE(settings, context), [settings.optimizer()]


def recommend_dims(trained: stage.TrainedStage) -> int:
    """Recommend the number of content dimensions by their error (section 4)."""
    encoder = trained.load_network("content_encoder")
    dims = prefix.curve_dims(encoder.dims)
    errors = passes.measure_reconstruction_errors(
        trained.codes.style_encoder,
        encoder,
        trained.load_network("content_decoder"),
        input_pipeline.eval_batches(trained.dataset, trained.dataset.validation_split),
        dims,
    )
    return prefix.recommended_dims_by_error(
        errors.tolist(), dims, trained.pruning.tolerance
    )


def compute_statistics(trained: stage.TrainedStage, dims: int) -> CodeStatistics:
    """Compute the statistics of the first `dims` content dimensions."""
    normalization = ContentNormalization(trained.pruning.content_normalization)
    batches = input_pipeline.eval_batches(trained.dataset, *trained.splits)
    train = collect_codes(trained.load_network("content_encoder"), batches)
    codes = train.codes[:, :dims]
    statistics = CodeStatistics.of_codes(
        codes, train.artist_ids, len(trained.dataset.artists), normalization
    )
    if normalization is ContentNormalization.GIVEN_STYLE:
        styles = collect_codes(trained.codes.style_encoder, batches).codes
        statistics = statistics.subtract_style(codes, styles, train.artist_ids)
    return statistics


SPEC = stage.StageSpec(
    name="vae",
    settings=VAESettings,
    build=build,
    network_classes=(networks.ContentEncoder, networks.ContentDecoder),
    needs=("metric",),
    code=stage.Code(
        "content", "content_statistics.npz", recommend_dims, compute_statistics
    ),
)
