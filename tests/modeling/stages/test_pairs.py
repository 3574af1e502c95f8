"""The metric stage with objectives on pairs within a batch: equation 1, triplets."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.addons import triplet_loss
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.stages import metric

PAIRS = ("pairwise", "triplet")


def semihard_triplet_loss(codes, artist_ids, margin=1.0):
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


def pairs_stage(tiny_stage, objective):
    """Start it, so that its scales are those of the first step."""
    model = tiny_stage("metric", f'metric.objective = "{objective}"')
    means = np.random.default_rng(1).normal(size=[3, model.dims])
    model.set_phase(0, lambda: means)
    model.tiny_phase = 0  # that phase is prepared
    return model


def test_triplet_loss_is_facenets():
    random = np.random.default_rng(0)
    codes = random.normal(size=[12, 5]).astype(np.float32)
    artist_ids = np.repeat(np.arange(3), 4)
    found = triplet_loss(tf.constant(codes), tf.constant(artist_ids))
    assert float(found) == pytest.approx(semihard_triplet_loss(codes, artist_ids), 1e-5)


def test_pairwise_trains_equation_1_of_the_batch(tiny_stage, train_tiny, tiny_batch):
    model = pairs_stage(tiny_stage, "pairwise")
    batch = tiny_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"]))
    expected = objectives.pairwise_metric_loss(
        codes, batch["artist"], model.presumed_styles.prefix_scales, 0.995
    )
    assert train_tiny(model, 1)["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_triplet_trains_the_mean_over_its_drawn_prefixes(
    tiny_stage, train_tiny, tiny_batch, monkeypatch
):
    model = pairs_stage(tiny_stage, "triplet")
    batch = tiny_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"])).numpy()
    lengths = [1, 1, 2, 3, 4, 5, 6, 6]
    monkeypatch.setattr(
        metric.tf,
        "sequence_mask",
        lambda drawn, dims, dtype: tf.constant(
            np.arange(dims) < np.array(lengths)[:, None], dtype
        ),
    )
    expected = np.mean(
        [semihard_triplet_loss(codes[:, :d], batch["artist"].numpy()) for d in lengths]
    )
    assert train_tiny(model, 1)["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_batch_of_one_artist_costs_triplets_nothing(
    tiny_stage, train_tiny, tiny_batch
):
    """It has no negatives."""
    batch = {**tiny_batch(), "artist": tf.constant([1, 1, 1, 1], tf.int64)}
    model = pairs_stage(tiny_stage, "triplet")
    assert train_tiny(model, 1, batch)["loss"] == 0


@pytest.mark.parametrize("objective", PAIRS)
def test_training_on_pairs_leaves_presumed_styles_alone(
    objective, tiny_stage, train_tiny
):
    model = pairs_stage(tiny_stage, objective)
    assert not model.learns_presumed_styles
    before = model.presumed_styles.styles.numpy()
    encoder = [one.numpy() for one in model.style_encoder.trainable_variables]
    train_tiny(model, 3)
    np.testing.assert_array_equal(model.presumed_styles.styles.numpy(), before)
    after = [one.numpy() for one in model.style_encoder.trainable_variables]
    assert all((x != y).any() for x, y in zip(encoder, after, strict=True))


def test_the_scales_are_trained_by_equation_1(tiny_stage, train_tiny):
    model = pairs_stage(tiny_stage, "pairwise")
    before = model.presumed_styles.prefix_scales.numpy()
    train_tiny(model, 2)
    assert (model.presumed_styles.prefix_scales.numpy() != before).all()


@pytest.mark.parametrize("objective", PAIRS)
def test_images_per_artist_are_said_to_the_pipeline(objective, tiny_stage):
    model = pairs_stage(tiny_stage, objective)
    assert model.images_per_artist == 4
    assert tiny_stage("metric").images_per_artist is None


@pytest.mark.parametrize(
    ("binding", "parts", "said"),
    [
        ('metric.prefix = "sampled"', 1, "sampled"),
        ("metric.images_per_artist = 1", 1, "images_per_artist must be at least 2"),
        ("metric.t = 0.9", 2, "train.accumulation_steps"),
    ],
)
def test_what_does_not_go_with_pairs_is_refused(binding, parts, said, tiny_stage):
    with pytest.raises(ValueError, match=said):
        tiny_stage(
            "metric",
            'metric.objective = "pairwise"',
            binding,
            accumulation_steps=parts,
        )


def test_an_unknown_objective_is_refused(tiny_stage):
    with pytest.raises(ValueError, match="presumed"):
        pairs_stage(tiny_stage, "contrastive")
