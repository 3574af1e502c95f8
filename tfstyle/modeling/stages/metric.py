"""The metric stage: the style space (section 3)."""

from collections.abc import Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import networks
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.objectives.artist_layers import (
    ArtistLogits,
    PresumedStyles,
    mean_prefix_distances,
)
from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities
from tfstyle.modeling.stages import factories
from tfstyle.modeling.stages.optimizers import adam
from tfstyle.modeling.stages.stage import Stage

# Equation 2, or on pairs within a batch equation 1 and the triplet loss.
OBJECTIVES = ("presumed", "pairwise", "triplet")
# Prefixes that the triplet loss of a step averages; it has no closed form over all.
_TRIPLET_PREFIXES = 8
# Where presumed styles start.
STARTS = ("random", "mean_codes")
# Mean scaled distance between artists at the start: there the attraction t^2 and the
# repulsion exp(-t^2) both have a slope.
START_DISTANCE = 1.2


class MetricModel(Stage):
    """The style encoder with presumed styles: equations 2 and 3.

    The other objectives compare the pictures of a batch with each other, so that it
    must hold several by each artist, which weights pairs otherwise than equation 1
    over all pictures does. A batch that is of one artist by chance has no pairs that
    differ, and only attracts. They have no presumed styles; the artists' mean codes,
    put there before each evaluation, serve as such.

    Args:
        style_encoder: S, built.
        artist_counts: [N], training pictures of each artist.
        t: nested dropout's parameter.
        prefix: "exact" (all D prefixes) or "sampled" (one per picture, equal in mean).
        start: of presumed styles: "random", or "mean_codes" of the artists.
        start_distance: mean scaled distance between artists that the scales h_d give
            at the start by every prefix; None for scales of 1. The paper says nothing
            of its start; with scales of 1 the repulsion has no slope there. Objectives
            without presumed styles take the artists' mean codes for it.
        initial_deviation: of random presumed styles.
        warm_start_steps: how many steps at first train S to classify, under the same
            nested dropout; presumed styles start at its mean codes then.
        objective: "presumed", "pairwise" (equation 1) or "triplet" (semi-hard, of
            tensorflow-addons).
        images_per_artist: K pictures by each artist of a batch, for the latter two.
    """

    def __init__(
        self,
        style_encoder: networks.StyleEncoder,
        artist_counts: Sequence[int] | np.ndarray,
        t: float = 0.995,
        prefix: str = "exact",
        start: str = "random",
        start_distance: float | None = START_DISTANCE,
        initial_deviation: float = 1.0,
        warm_start_steps: int = 0,
        objective: str = "presumed",
        images_per_artist: int = 4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if prefix not in ("exact", "sampled"):
            raise ValueError(f'prefix must be "exact" or "sampled", got {prefix!r}')
        if objective not in OBJECTIVES:
            raise ValueError(f"objective: one of {OBJECTIVES}, got {objective!r}")
        if start not in STARTS:
            raise ValueError(f"start must be one of {STARTS}, got {start!r}")
        if start_distance is not None and not start_distance > 0:
            raise ValueError(f"start_distance must be above 0, got {start_distance}")
        if not initial_deviation > 0:
            raise ValueError(
                f"initial_deviation must be above 0, got {initial_deviation}"
            )
        if not isinstance(warm_start_steps, int) or warm_start_steps < 0:
            raise ValueError(
                f"warm_start_steps must be a number from 0 on, got {warm_start_steps}"
            )
        self.style_encoder = style_encoder
        self.dims = style_encoder.get_config()["dims"]
        self.presumed_styles = PresumedStyles(
            len(artist_counts),
            self.dims,
            initial_deviation,
            start_distance,
            learned=objective == "presumed",
        )
        self._objective = objective
        if objective != "presumed":
            self._check_pairs(prefix, images_per_artist)
            self.images_per_artist = images_per_artist
        self._artist_counts = tf.constant(artist_counts, tf.float32)
        prefix_probabilities(self.dims, t)  # refuses a t out of range
        self._t = t
        self._prefix = prefix
        self._start = start
        self._start_distance = start_distance
        self._warm_start_steps = warm_start_steps
        self._in_warm_start = False
        self.artist_logits = None
        if warm_start_steps:
            self.artist_logits = ArtistLogits(len(artist_counts), self.dims)
        self.declare_means("loss", "classification_loss")
        if objective == "presumed":
            self.declare_means("own_distance", "test_loss")

    def _check_pairs(self, prefix, images_per_artist):
        if prefix != "exact":
            raise ValueError(
                f'objective {self._objective!r} compares pictures: prefix="sampled" '
                'draws one for each, and is for objective "presumed" alone'
            )
        if images_per_artist < 2:
            raise ValueError(
                f"images_per_artist must be at least 2, got {images_per_artist}: "
                f"objective {self._objective!r} needs pairs by one artist"
            )
        if self._accumulation_steps > 1:
            raise ValueError(
                f"objective {self._objective!r} compares all pictures of a batch: "
                "lower train.batch_size instead of raising train.accumulation_steps"
            )

    @property
    def objective(self) -> str:
        """One of OBJECTIVES."""
        return self._objective

    @property
    def in_warm_start(self) -> bool:
        """Whether steps train S to classify for now."""
        return self._in_warm_start

    @property
    def learns_presumed_styles(self) -> bool:
        """Whether steps train presumed styles; if not, mean codes serve as such."""
        return self._objective == "presumed" and not self._in_warm_start

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
        starts_random = self._start == "random" and self._objective == "presumed"
        if step == self._warm_start_steps and (step or not starts_random):
            self.start_from(artist_means())
        self.make_train_function(force=True)

    def start_from(self, artist_means: np.ndarray) -> None:
        """Start presumed styles at mean codes, and scales at `start_distance`.

        Args:
            artist_means: float [N, D], each artist's mean code.
        """
        self.presumed_styles.styles.assign(artist_means)
        if self._start_distance is not None:
            distances = mean_prefix_distances(artist_means)
            scales = self._start_distance / np.maximum(distances, 1e-6)
            self.presumed_styles.log_prefix_scales.assign(np.log(scales))

    def compute_gradients(self, images, artist_ids, draws):
        with tf.GradientTape() as tape:
            codes = self.style_encoder(images, training=True)
            if self._in_warm_start:
                loss = self._classification_loss(codes, artist_ids, draws)
            elif self._objective == "presumed":
                loss = self._presumed_loss(codes, artist_ids, draws)
            else:
                loss = self._batch_loss(codes, artist_ids, draws)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        if self._objective != "presumed":
            return {}
        codes = self.style_encoder(images, training=False)
        return {"loss": self._example_losses(codes, artist_ids, None)}

    def _classification_loss(self, codes, artist_ids, draws):
        losses = objectives.prefix_classification_loss(
            codes,
            artist_ids,
            self.artist_logits.kernel,
            self.artist_logits.bias,
            draws.prefix_lengths("prefix", self.dims, self._t),
        )
        self.record("classification_loss", losses)
        return tf.reduce_sum(losses) / draws.total

    def _presumed_loss(self, codes, artist_ids, draws):
        lengths = None
        if self._prefix == "sampled":
            lengths = draws.prefix_lengths("prefix", self.dims, self._t)
        losses = self._example_losses(codes, artist_ids, lengths)
        own_styles = tf.gather(self.presumed_styles.styles, artist_ids)
        self.record("loss", losses)
        self.record("own_distance", tf.norm(codes - own_styles, axis=-1))
        return tf.reduce_sum(losses) / draws.total

    def _batch_loss(self, codes, artist_ids, draws):
        """Compute equation 1 or the triplet loss of the global batch."""
        context = tf.distribute.get_replica_context()
        codes = tf.ensure_shape(context.all_gather(codes, axis=0), [None, self.dims])
        artist_ids = context.all_gather(artist_ids, axis=0)
        if self._objective == "pairwise":
            scales = self.presumed_styles.prefix_scales
            loss = objectives.pairwise_metric_loss(codes, artist_ids, scales, self._t)
        else:
            loss = self._triplet_loss(codes, artist_ids, draws)
        self.record("loss", loss)
        # Each replica differentiates the whole, and gradients are summed.
        return loss / context.num_replicas_in_sync

    def _triplet_loss(self, codes, artist_ids, draws):
        # Imported here, because tensorflow-addons is slow to import.
        from tfstyle.modeling.networks.addons import triplet_loss

        lengths = draws.shared_prefix_lengths(
            "prefix", _TRIPLET_PREFIXES, self.dims, self._t
        )
        masks = tf.sequence_mask(lengths, self.dims, codes.dtype)
        losses = [
            triplet_loss(codes * masks[k], artist_ids) for k in range(_TRIPLET_PREFIXES)
        ]
        # Without a second artist there is no negative: tfa would take a positive.
        has_negatives = tf.reduce_any(artist_ids != artist_ids[0])
        return tf.where(has_negatives, tf.add_n(losses) / _TRIPLET_PREFIXES, 0.0)

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


@gin.configurable
def metric(
    image_size: int,
    artist_counts,
    seed: int,
    accumulation_steps: int = 1,
    t: float = 0.995,
    prefix: str = "exact",
    start: str = "random",
    start_distance: float | None = START_DISTANCE,
    initial_deviation: float = 1.0,
    warm_start_steps: int = 0,
    objective: str = "presumed",
    images_per_artist: int = 4,
    optimizer=adam,
) -> tuple[MetricModel, list]:
    """Build the metric stage and its optimizers (Table 2, first row)."""
    settings: dict[str, Any] = {
        "t": t,
        "prefix": prefix,
        "start": start,
        "start_distance": start_distance,
        "initial_deviation": initial_deviation,
        "warm_start_steps": warm_start_steps,
        "objective": objective,
        "images_per_artist": images_per_artist,
    }
    encoder = factories.style_encoder()
    encoder(tf.zeros([1, image_size, image_size, 3]))
    model = MetricModel(
        encoder,
        artist_counts,
        **settings,
        seed=seed,
        accumulation_steps=accumulation_steps,
        settings=settings,
        name="metric",
    )
    return model, [optimizer()]
