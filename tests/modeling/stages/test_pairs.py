"""The metric stage with objectives on pairs within a batch: equation 1, triplets."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.stages import (
    begin_phase,
    fit,
    make_batch,
    make_mean_codes,
    make_tiny_stage,
)
from tfstyle.core.cli import UserError
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.addons import triplet_loss
from tfstyle.modeling.objectives import style
from tfstyle.modeling.objectives.draws import BatchDraws

PAIRS = ("pairwise", "triplet")


def compute_semihard_triplet_loss(codes, artist_ids, margin=1.0):
    """FaceNet's loss, one pair after the other (arXiv 1503.03832, section 3.2)."""
    distances = np.linalg.norm(codes[:, None] - codes[None], axis=-1)
    costs = []
    for a in range(len(codes)):
        others = distances[a][artist_ids != artist_ids[a]]
        for p in np.flatnonzero(artist_ids == artist_ids[a]):
            if p == a:
                continue
            # the nearest negative that is farther than the positive, else the farthest
            farther = others[others > distances[a, p]]
            negative = farther.min() if len(farther) else others.max()
            costs.append(max(0.0, margin + distances[a, p] - negative))
    return np.mean(costs)


def make_pairs_stage(objective):
    """Build a stage that has begun, so that its scales are those of the first step."""
    model = make_tiny_stage("metric", f'metric.objective = "{objective}"')
    begin_phase(model, make_mean_codes(model.dims))
    return model


def test_triplet_loss_is_facenets():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=[12, 5]).astype(np.float32)
    artist_ids = np.repeat(np.arange(3), 4)

    loss = triplet_loss(tf.constant(codes), tf.constant(artist_ids))

    expected = compute_semihard_triplet_loss(codes, artist_ids)
    assert float(loss) == pytest.approx(expected, 1e-5)


def test_pairwise_trains_equation_1_of_the_batch():
    model = make_pairs_stage("pairwise")
    batch = make_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"]))
    expected = style.pairwise_metric_loss(
        codes, batch["artist"], model.presumed_styles.prefix_scales, 0.995
    )

    assert fit(model, 1)["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_triplet_trains_the_mean_over_its_drawn_prefixes(monkeypatch):
    model = make_pairs_stage("triplet")
    batch = make_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"])).numpy()
    artist_ids = batch["artist"].numpy()
    lengths = [1, 1, 2, 3, 4, 5, 6, 6]

    def draw(draws, purpose, count, dims, t):
        assert (count, dims, t) == (len(lengths), model.dims, 0.995)
        return tf.constant(lengths)

    monkeypatch.setattr(BatchDraws, "shared_prefix_lengths", draw)
    expected = np.mean(
        [compute_semihard_triplet_loss(codes[:, :d], artist_ids) for d in lengths]
    )

    assert fit(model, 1)["loss"] == pytest.approx(expected, rel=1e-4)


def test_triplets_of_a_single_artist_cost_nothing():
    """They have no negatives."""
    batch = {**make_batch(), "artist": tf.constant([1, 1, 1, 1], tf.int64)}

    assert fit(make_pairs_stage("triplet"), 1, batch)["loss"] == 0


@pytest.mark.parametrize("objective", PAIRS)
def test_training_on_pairs_does_not_change_presumed_styles(objective):
    model = make_pairs_stage(objective)
    assert not model.learns_presumed_styles
    styles = model.presumed_styles.styles.numpy()
    variables = model.style_encoder.trainable_variables
    before = [variable.numpy() for variable in variables]

    fit(model, 3)

    np.testing.assert_array_equal(model.presumed_styles.styles.numpy(), styles)
    assert all(
        (variable.numpy() != value).any()
        for variable, value in zip(variables, before, strict=True)
    )


def test_equation_1_trains_the_scales():
    model = make_pairs_stage("pairwise")
    before = model.presumed_styles.prefix_scales.numpy()

    fit(model, 2)

    assert (model.presumed_styles.prefix_scales.numpy() != before).all()


@pytest.mark.parametrize("objective", PAIRS)
def test_the_pipeline_learns_how_many_pictures_by_an_artist_a_batch_needs(objective):
    assert make_pairs_stage(objective).images_per_artist == 4
    assert make_tiny_stage("metric").images_per_artist is None


@pytest.mark.parametrize("objective", PAIRS)
def test_accumulation_which_would_split_pairs_is_refused(objective):
    with pytest.raises(UserError, match="train.accumulation_steps"):
        make_tiny_stage(
            "metric", f'metric.objective = "{objective}"', accumulation_steps=2
        )
