"""The classifier stage: the reference of the style space (section 6.1)."""

import dataclasses
from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import typed
from tfstyle.metrics import prefix
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import (
    PictureTable,
    collect_codes,
    nearest_works_table,
)
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.artist_layers import ArtistLogits
from tfstyle.modeling.objectives.augmentation import Augmentation
from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.stages import factories, stage
from tfstyle.modeling.stages.optimizers import adam


@gin.configurable(name_or_fn="classifier")
@dataclasses.dataclass(frozen=True)
class ClassifierSettings:
    """Settings of the classifier stage; bound in gin as `classifier.NAME`.

    Raises:
        UserError: if t is out of its range.
    """

    # Nested dropout's parameter, as the metric's; None keeps all features.
    t: stage.NestedDropout | None = 0.995
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)
    optimizer: stage.MakeOptimizer = adam

    def __post_init__(self) -> None:
        typed.check_fields(self, "classifier")


class ClassifierModel(stage.Stage):
    """The metric stage's network, trained to classify artists."""

    network_names = ("style_encoder", "artist_logits")

    def __init__(
        self, settings: ClassifierSettings, context: stage.BuildContext
    ) -> None:
        super().__init__(settings, context, name=SPEC.name)
        self.style_encoder = factories.style_encoder()
        self.style_encoder.build_variables(context.image_size)
        self.dims = self.style_encoder.dims
        self.artist_logits = ArtistLogits(len(context.artist_counts), self.dims)
        self._t, self._augmentation = settings.t, settings.augmentation
        self.declare_means("loss", "eval_loss")

    def compute_gradients(
        self, images: tf.Tensor, artist_ids: tf.Tensor, draws: BatchDraws
    ) -> stage.Gradients:
        lengths = self._all_dims(artist_ids)
        if self._t is not None:
            lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        images = self._augmentation.apply(images, draws)
        with tf.GradientTape() as tape:
            features = self.style_encoder(images, training=True)
            losses = self.artist_logits.losses(features, artist_ids, lengths)
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(
        self, images: tf.Tensor, artist_ids: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        features = self.style_encoder(images, training=False)
        all_dims = self._all_dims(artist_ids)
        return {"loss": self.artist_logits.losses(features, artist_ids, all_dims)}

    def measure(self, view: stage.EvalView) -> stage.EvalNumbers:
        numbers = super().measure(view).numbers
        seen = collect_codes(self.style_encoder, view.batches)
        kernel, bias = (v.numpy() for v in self.artist_logits.weights)
        predicted = prefix.largest_logits(seen.codes, kernel, bias)
        accuracy = prefix.share_correct(predicted, seen.artist_ids)
        figure_1, score = passes.measure_figure_1(seen, accuracy, view.pruning)
        return stage.EvalNumbers({**numbers, **figure_1}, score)

    def preview(
        self, pictures: np.ndarray, names: Sequence[str], view: stage.EvalView
    ) -> PictureTable:
        return nearest_works_table(self.style_encoder, pictures, names, view.batches)

    def _all_dims(self, artist_ids: tf.Tensor) -> tf.Tensor:
        return tf.fill(tf.shape(artist_ids), self.dims)


def build(settings: ClassifierSettings, context: stage.BuildContext) -> stage.Built:
    """Build the classifier stage and its optimizer: as the metric's."""
    return ClassifierModel(settings, context), [settings.optimizer()]


def classify(read_array: stage.ReadArray, codes: np.ndarray) -> np.ndarray:
    """Find the artist of the largest logit by every prefix of the features."""
    kernel, bias = (read_array(f"artist_logits/{name}") for name in ("kernel", "bias"))
    return prefix.largest_logits(codes, kernel, bias)


SPEC = stage.StageSpec(
    name="classifier",
    settings=ClassifierSettings,
    build=build,
    network_classes=(networks.StyleEncoder,),
    classify=classify,
)
