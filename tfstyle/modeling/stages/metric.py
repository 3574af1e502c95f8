"""The metric stage: the style space (section 3)."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.core.cli import UserError
from tfstyle.core.typed import OneOf, Range
from tfstyle.data import input_pipeline
from tfstyle.metrics import prefix
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import (
    PictureTable,
    collect_codes,
    nearest_works_table,
)
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.modeling.objectives import passes, style
from tfstyle.modeling.objectives.artist_layers import (
    ArtistLogits,
    PresumedStyles,
    mean_prefix_distances,
)
from tfstyle.modeling.objectives.augmentation import Augmentation
from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities
from tfstyle.modeling.stages import factories, stage
from tfstyle.modeling.stages.optimizers import adam

# Compare the pictures of a batch with each other.
PAIR_OBJECTIVES = ("pairwise", "triplet")
OBJECTIVES = ("presumed", "softmax", *PAIR_OBJECTIVES)
STARTS = ("random", "mean_codes")
# Prefixes that the triplet loss of a step averages; it has no closed form over all.
_TRIPLET_PREFIXES = 8
# Where the variables lie in a checkpoint.
_STYLES = "presumed_styles/styles"


@gin.configurable(name_or_fn="metric")
@dataclasses.dataclass(frozen=True)
class MetricSettings:
    """Settings of the metric stage; bound in gin as `metric.NAME`.

    Raises:
        UserError: if a value is out of its range.
    """

    t: stage.NestedDropout = 0.995  # nested dropout's parameter (Table 2)
    # "presumed" (equation 2), or "softmax", which repels similar artists most; or, on
    # pairs within a batch, "pairwise" (equation 1) or "triplet" (semi-hard, by
    # tensorflow-addons).
    objective: Annotated[str, OneOf(OBJECTIVES)] = "presumed"
    # Of the own artist's squared distance in "softmax".
    attraction_weight: stage.Weight = 0.1
    # K pictures by each artist of a batch, for "pairwise" and "triplet".
    images_per_artist: typed.Count = 4
    # Of the presumed styles; or "mean_codes" of the artists.
    start: Annotated[str, OneOf(STARTS)] = "random"
    # Mean scaled distance between artists at the start, to which the scales h_d are set
    # for every prefix; None for scales of 1, with which the repulsion has no gradient
    # between random styles. At the default the attraction t^2 and the repulsion
    # exp(-t^2) both have one. The paper does not mention the start.
    start_distance: Annotated[float, Range(0, 1000, above=True)] | None = 1.2
    # Number of first steps that train S to classify, under the same nested dropout; the
    # presumed styles then start at its mean codes.
    warm_start_steps: Annotated[int, Range(0, 1e15)] = 0
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    optimizer: stage.MakeOptimizer = adam

    def __post_init__(self) -> None:
        typed.check_fields(self, "metric")
        if self.compares_pairs and self.images_per_artist < 2:
            raise UserError(
                f"metric.images_per_artist must be at least 2, got "
                f"{self.images_per_artist}: metric.objective = {self.objective!r} "
                "needs pairs by one artist"
            )

    @property
    def compares_pairs(self) -> bool:
        """Whether the objective compares the pictures of a batch with each other."""
        return self.objective in PAIR_OBJECTIVES


class MetricModel(stage.Stage):
    """The style encoder with presumed styles: equations 2 and 3, or their softmax.

    "pairwise" and "triplet" compare the pictures of a batch with each other, so a batch
    must hold several by each artist, which weights pairs differently from equation 1
    over all pictures. A batch that happens to be by a single artist has no pairs that
    differ, and only attracts. These objectives have no presumed styles; the artists'
    mean codes, assigned before each evaluation, serve as such.
    """

    network_names = ("style_encoder", "presumed_styles")

    def __init__(self, settings: MetricSettings, context: stage.BuildContext) -> None:
        super().__init__(settings, context, name=SPEC.name)
        if settings.compares_pairs:
            self.images_per_artist = settings.images_per_artist
            if context.accumulation_steps > 1:
                raise UserError(
                    f"metric.objective = {settings.objective!r} compares all pictures "
                    "of a batch: lower train.batch_size instead of raising "
                    "train.accumulation_steps"
                )
        self.style_encoder = factories.style_encoder()
        self.style_encoder.build_variables(context.image_size)
        self.dims = self.style_encoder.dims
        prefix_probabilities(self.dims, settings.t)  # checks the dimensions
        artists = len(context.artist_counts)
        self.presumed_styles = PresumedStyles(
            artists, self.dims, settings.start_distance, not settings.compares_pairs
        )
        self._settings = settings
        self._artist_counts = tf.constant(context.artist_counts, tf.float32)
        self._in_warm_start = False
        self.artist_logits = None
        if settings.warm_start_steps:
            self.artist_logits = ArtistLogits(artists, self.dims)
        self.declare_means("loss", "classification_loss")
        if not settings.compares_pairs:
            self.declare_means("own_distance", "eval_loss")

    @property
    def learns_presumed_styles(self) -> bool:
        """Whether steps train presumed styles; if not, mean codes serve as such."""
        return not (self._settings.compares_pairs or self._in_warm_start)

    @property
    def parameter_groups(self) -> list[list[tf.Variable]]:
        (group,) = super().parameter_groups
        if self.artist_logits is not None:
            group += self.artist_logits.trainable_variables
        return [group]

    def checkpoint_items(self) -> dict:
        items = super().checkpoint_items()
        if self.artist_logits is not None:
            items["artist_logits"] = self.artist_logits
        return items

    def phase_ends(self) -> list[int]:
        steps = self._settings.warm_start_steps
        return [steps] if steps else []

    def check_steps(self, steps: int) -> None:
        if self._settings.warm_start_steps >= steps:
            raise UserError(
                f"metric.warm_start_steps={self._settings.warm_start_steps} leaves "
                f"none of the {steps} steps to the style space: raise train.steps"
            )

    def set_phase(self, step: int, artist_means: Callable[[], np.ndarray]) -> None:
        settings = self._settings
        self._in_warm_start = step < settings.warm_start_steps
        starts_random = settings.start == "random" and not settings.compares_pairs
        if step == settings.warm_start_steps and (step or not starts_random):
            self.meet_artists(artist_means)
        self.make_train_function(force=True)

    def meet_artists(self, artist_means: Callable[[], np.ndarray]) -> None:
        """Start presumed styles at mean codes, and scales at `start_distance`."""
        means = artist_means()
        self.presumed_styles.styles.assign(means)
        if self._settings.start_distance is not None:
            distances = mean_prefix_distances(means)
            scales = self._settings.start_distance / np.maximum(distances, 1e-6)
            self.presumed_styles.log_prefix_scales.assign(np.log(scales))

    def compute_gradients(
        self, images: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> stage.Gradients:
        images = self._settings.augmentation.apply(images, draws)
        with tf.GradientTape() as tape:
            codes = self.style_encoder(images, training=True)
            if self._in_warm_start:
                loss = self._classification_loss(codes, artist_ids, draws)
            elif self._settings.compares_pairs:
                loss = self._batch_loss(codes, artist_ids, draws)
            else:
                loss = self._presumed_loss(codes, artist_ids, draws)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(
        self, images: tf.Tensor, artist_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        if self._settings.compares_pairs:
            return {}
        codes = self.style_encoder(images, training=False)
        all_dims = tf.fill(tf.shape(artist_ids), self.dims)
        return {"loss": self._example_losses(codes, artist_ids, all_dims)}

    def measure(self, view: stage.EvalView) -> stage.EvalNumbers:
        if not self.learns_presumed_styles:
            means = passes.compute_artist_means(self.style_encoder, view.dataset)
            self.presumed_styles.styles.assign(means)
        numbers = super().measure(view).numbers
        seen = collect_codes(self.style_encoder, view.batches)
        styles = self.presumed_styles.styles.numpy()
        accuracy = prefix.prefix_accuracy(seen.codes, seen.artist_ids, styles)
        figure_1, score = passes.measure_figure_1(seen, accuracy, view.pruning)
        scales = self.presumed_styles.prefix_scales.numpy()
        objective = self._settings.objective
        if objective == "triplet":  # compares distances as they are
            scales = np.ones_like(scales)
        saturates = objective in ("presumed", "pairwise")
        distances, warning = passes.measure_style_distances(
            seen, styles, scales, saturates
        )
        numbers = {**numbers, **figure_1, **distances}
        if self._in_warm_start:
            # A classifier's codes are no style space: neither the best nor unhealthy.
            return stage.EvalNumbers(numbers)
        return stage.EvalNumbers(numbers, score, warning)

    def preview(
        self, pictures: np.ndarray, names: Sequence[str], view: stage.EvalView
    ) -> PictureTable:
        return nearest_works_table(self.style_encoder, pictures, names, view.batches)

    def _classification_loss(
        self, codes: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> tf.Tensor:
        assert self.artist_logits is not None
        lengths = draws.prefix_lengths("prefix", self.dims, self._settings.t)
        losses = self.artist_logits.losses(codes, artist_ids, lengths)
        self.record("classification_loss", losses)
        return tf.reduce_sum(losses) / draws.total

    def _presumed_loss(
        self, codes: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> tf.Tensor:
        lengths = draws.prefix_lengths("prefix", self.dims, self._settings.t)
        losses = self._example_losses(codes, artist_ids, lengths)
        own_styles = tf.gather(self.presumed_styles.styles, artist_ids)
        self.record("loss", losses)
        self.record("own_distance", tf.norm(codes - own_styles, axis=-1))
        return tf.reduce_sum(losses) / draws.total

    def _batch_loss(
        self, codes: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> tf.Tensor:
        """Compute equation 1 or the triplet loss of the global batch."""
        context = tf.distribute.get_replica_context()
        codes = tf.ensure_shape(context.all_gather(codes, axis=0), [None, self.dims])
        artist_ids = context.all_gather(artist_ids, axis=0)
        if self._settings.objective == "pairwise":
            scales = self.presumed_styles.prefix_scales
            loss = style.pairwise_metric_loss(
                codes, artist_ids, scales, self._settings.t
            )
        else:
            lengths = draws.shared_prefix_lengths(
                "prefix", _TRIPLET_PREFIXES, self.dims, self._settings.t
            )
            loss = style.triplet_prefix_loss(codes, artist_ids, lengths)
        self.record("loss", loss)
        # Each replica differentiates the whole, and gradients are summed.
        return loss / context.num_replicas_in_sync

    def _example_losses(
        self, codes: tf.Tensor, artist_ids: tf.Tensor, prefix_lengths: tf.Tensor
    ) -> tf.Tensor:
        """Compute the objective; equation 2 is exact over all prefixes."""
        settings, presumed = self._settings, self.presumed_styles
        compared = (codes, artist_ids, presumed.styles, presumed.prefix_scales)
        if settings.objective == "softmax":
            return style.softmax_metric_loss(
                *compared, prefix_lengths, settings.attraction_weight
            )
        return style.presumed_style_loss(*compared, self._artist_counts, settings.t)


def build(settings: MetricSettings, context: stage.BuildContext) -> stage.Built:
    """Build the metric stage and its optimizer (Table 2, first row)."""
    return MetricModel(settings, context), [settings.optimizer()]


def classify(read_array: stage.ReadArray, codes: np.ndarray) -> np.ndarray:
    """Find the nearest presumed style by every prefix."""
    return prefix.nearest_styles(codes, read_array(_STYLES))


def recommend_dims(trained: stage.TrainedStage) -> int:
    """Recommend the number of style dimensions by validation accuracy (section 3)."""
    encoder = trained.load_network("style_encoder")
    presumed_styles = trained.read_array(_STYLES)
    if trained.objective.get("objective") in PAIR_OBJECTIVES:
        # Those in the checkpoint are of the last evaluation, not of its weights.
        presumed_styles = passes.compute_artist_means(encoder, trained.dataset)
    dataset = trained.dataset
    batches = input_pipeline.eval_batches(dataset, dataset.validation_split)
    seen = collect_codes(encoder, batches)
    accuracy = prefix.prefix_accuracy(seen.codes, seen.artist_ids, presumed_styles)
    return prefix.recommended_dims(accuracy, trained.pruning.tolerance)


def compute_statistics(trained: stage.TrainedStage, dims: int) -> CodeStatistics:
    """Compute the statistics of the first `dims` style dimensions (section 4)."""
    batches = input_pipeline.eval_batches(trained.dataset, "train")
    train = collect_codes(trained.load_network("style_encoder"), batches)
    return CodeStatistics.of_codes(
        train.codes[:, :dims], train.artist_ids, len(trained.dataset.artists)
    )


SPEC = stage.StageSpec(
    name="metric",
    settings=MetricSettings,
    build=build,
    network_classes=(networks.StyleEncoder,),
    code=stage.Code(
        "style", "style_statistics.npz", recommend_dims, compute_statistics
    ),
    classify=classify,
)
