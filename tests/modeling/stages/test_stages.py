"""The four training stages, tiny: what a step changes, and what it must not."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.layers import assert_same, differ
from helpers.stages import (
    GAN_ADDITIONS,
    LIKE_DECODER,
    ROWS,
    assert_trained_alike,
    copy_weights,
    fit,
    make_batch,
    make_tiny_stage,
)
from tfstyle.modeling import stages
from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives import style
from tfstyle.modeling.objectives.augmentation import Augmentation
from tfstyle.modeling.objectives.draws import BatchDraws

STAGES = stages.names()
# And the gan stage with all its additions.
CASES = {stage: (stage,) for stage in STAGES}
CASES["additions"] = ("gan", *GAN_ADDITIONS)
CASES["augmented"] = ("metric", "augmentation.flip = True", "augmentation.shift = 0.2")


def fit_in_phases(model, steps: int) -> dict[str, float]:
    """Take a first step, after which a phase may end, and then more; return theirs."""
    fit(model, steps=1)
    return fit(model, steps)


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_trains_every_network_and_counts(stage):
    model = make_tiny_stage(stage, "generator.blocks = (1, 2)")
    before = copy_weights(model)

    losses = fit(model, steps=3)

    after = copy_weights(model)
    assert model.steps_done == 3
    assert all(int(optimizer.iterations) == 3 for optimizer in model.optimizer)
    # Residual weights start at zero: only the third step reaches all that is behind.
    assert not [name for name in before if (before[name] == after[name]).all()]
    assert all(np.isfinite(value) for value in losses.values())
    trained = [variable for group in model.parameter_groups for variable in group]
    assert len({id(variable) for variable in trained}) == len(trained)


@pytest.mark.parametrize(
    ("stage", "share"), [("metric", 0.7), ("classifier", 1), ("vae", 0.9)]
)
def test_losses_fall_over_20_steps(stage, share):
    model = make_tiny_stage(stage, "rmsprop.learning_rate = 3e-3")
    first = fit(model, steps=1)["loss"]
    fit(model, steps=18)
    assert fit(model, steps=1)["loss"] < share * first


@pytest.mark.parametrize("stage", ["metric", "classifier"])
def test_a_step_sees_augmented_pictures(stage):
    """A cutout of .9 leaves a tenth of each picture: the loss is that of the rest."""
    model = make_tiny_stage(stage, "augmentation.cutout = 0.9")
    plain = make_tiny_stage(stage)
    batch = make_batch()
    images = color.rgb_to_lab(batch["image"])
    draws = BatchDraws(3, tf.constant(0, tf.int64), tf.constant(0), ROWS, ROWS)
    cut = Augmentation(cutout=0.9).apply(images, draws)

    for each, pictures in ((model, images), (plain, cut)):
        each.compute_gradients(pictures, batch["artist"], draws)

    loss, other_loss = (float(each._means["loss"].result()) for each in (model, plain))
    assert loss == pytest.approx(other_loss, rel=1e-6)
    plain.reset_metrics()
    plain.compute_gradients(images, batch["artist"], draws)
    assert loss != pytest.approx(float(plain._means["loss"].result()), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_accumulated_parts_give_the_whole_batchs_step(case):
    """Gradients of two halves add up to the whole's; only their rounding differs."""
    whole = make_tiny_stage(*CASES[case], plain_steps=True)
    halves = make_tiny_stage(*CASES[case], plain_steps=True, accumulation_steps=2)
    before = copy_weights(whole)

    losses, other_losses = (fit_in_phases(model, steps=3) for model in (whole, halves))

    assert_trained_alike(before, copy_weights(whole), copy_weights(halves))
    for name, value in losses.items():
        assert other_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_resumes_bit_for_bit(case, tmp_path):
    """So training is repeatable, and draws depend on the step, not the call of fit."""
    stopped = make_tiny_stage(*CASES[case])
    fit_in_phases(stopped, steps=2)
    path = tf.train.Checkpoint(**stopped.checkpoint_items()).save(str(tmp_path / "c"))
    fit(stopped, steps=2)

    resumed = make_tiny_stage(*CASES[case])
    status = tf.train.Checkpoint(**resumed.checkpoint_items()).restore(path)
    status.assert_existing_objects_matched()
    assert resumed.steps_done == 3
    fit(resumed, steps=2)

    expected, weights = copy_weights(stopped), copy_weights(resumed)
    assert weights.keys() == expected.keys()
    assert_same(weights.values(), expected.values())


@pytest.mark.parametrize("stage", ["vae", "gan"])
def test_frozen_encoders_do_not_change(stage):
    model = make_tiny_stage(stage)
    encoders = [model.style_encoder]
    if stage == "gan":
        encoders.append(model.content_encoder)
    before = [encoder.get_weights() for encoder in encoders]

    fit(model, steps=4)

    trained = {id(v) for group in model.parameter_groups for v in group}
    for values, encoder in zip(before, encoders, strict=True):
        assert values
        assert_same(values, encoder.get_weights())
        assert trained.isdisjoint(id(variable) for variable in encoder.variables)


@pytest.mark.parametrize("stage", STAGES)
def test_undeclared_means_are_refused(stage):
    with pytest.raises(KeyError, match="elsewhere"):
        make_tiny_stage(stage).record("elsewhere", tf.zeros([1]))


@pytest.mark.parametrize("stage", STAGES)
def test_evaluation_counts_only_what_the_mask_shows(stage):
    """Two of four rows are padding; the mean must be that of the other two."""
    model = make_tiny_stage(stage)
    batch = {**make_batch(), "mask": tf.constant([1.0, 0, 1, 0])}
    batch["filename"] = tf.constant([""] * 4)

    results = model.evaluate(
        tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True
    )

    terms = model.evaluation_terms(color.rgb_to_lab(batch["image"]), batch["artist"])
    assert terms
    for name, values in terms.items():
        expected = (values[0] + values[2]) / 2
        assert results[f"eval_{name}"] == pytest.approx(float(expected), rel=1e-4)


# VAE.


def test_the_decoder_sees_a_style_of_the_artist_not_of_the_picture_if_asked():
    """Two pictures change places, and with them their codes, but the styles stay."""
    model = make_tiny_stage("vae", "vae.style_source = 'artist'")
    batch = make_batch()
    images, ids = color.rgb_to_lab(batch["image"]), batch["artist"]
    draws = BatchDraws(3, tf.constant(1, tf.int64), tf.constant(0), ROWS, ROWS)
    prior = model._prior
    normals = draws.normal("style", len(prior.deviation)).numpy()
    expected = prior.means[ids] + normals * prior.deviation
    seen = []
    model.content_decoder.call = lambda inputs: seen.append(inputs[0]) or images

    for pictures in (images, images[::-1]):
        model.compute_gradients(pictures, ids, draws)

    assert len(seen) == 2
    for styles in seen:
        np.testing.assert_allclose(styles, expected, rtol=1e-6)


# Metric.


def test_metric_loss_is_equation_2s_and_its_gradient_is_applied():
    """The logged mean is that of the batch before its update."""
    model = make_tiny_stage("metric")
    batch = make_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"]))
    expected = style.presumed_style_loss(
        codes,
        batch["artist"],
        model.presumed_styles.styles,
        model.presumed_styles.prefix_scales,
        [5, 2, 9],
        0.995,
    )

    loss = fit(model, steps=1)["loss"]

    assert loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-5)


def test_presumed_styles_and_prefix_scales_are_trained():
    model = make_tiny_stage("metric")
    styles = model.presumed_styles.styles.numpy()
    before = model.presumed_styles.prefix_scales.numpy()

    fit(model, steps=2)

    # every artist's, those outside the batch too: equation 2 sums over all
    assert (model.presumed_styles.styles.numpy() != styles).all()
    scales = model.presumed_styles.prefix_scales.numpy()
    assert (scales != before).all() and (scales > 0).all()


# Classifier.


def test_a_classifier_without_nested_dropout_trains_on_all_its_features():
    """The first step's loss is the cross-entropy by all features, from logits."""
    model = make_tiny_stage("classifier", "classifier.t = None", plain_steps=True)
    batch = make_batch()
    images = color.rgb_to_lab(batch["image"])
    features = model.style_encoder(images, training=True).numpy().astype(float)
    logits = features @ model.artist_logits.kernel.numpy()
    true_logits = logits[np.arange(len(logits)), batch["artist"].numpy()]
    expected = (np.log(np.exp(logits).sum(axis=1)) - true_logits).mean()

    assert fit(model, steps=1)["loss"] == pytest.approx(expected, rel=1e-4)


# VAE.


def test_vae_loss_is_reconstruction_plus_weighted_kl():
    losses = fit(make_tiny_stage("vae", "vae.kl_weight = 0.5"), steps=1)

    expected = losses["reconstruction"] + 0.5 * losses["kl"]
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)


# Precision.


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_step_in_mixed_float16_is_finite(case, dtype_policy):
    """The first loss scale of 2^15 may overflow: then steps are skipped until it fits.

    The weights must have moved and stayed finite, and the loss must be float32's.
    """
    bindings = [*CASES[case], *(LIKE_DECODER if case == "additions" else ())]
    dtype_policy("mixed_float16")
    model = make_tiny_stage(*bindings)
    scaling = tf.keras.mixed_precision.LossScaleOptimizer
    assert all(isinstance(optimizer, scaling) for optimizer in model.optimizer)
    before = copy_weights(model)
    losses = fit(model, steps=1)
    fit(model, steps=9)
    after = copy_weights(model)
    assert all(np.isfinite(value).all() for value in after.values())
    assert differ(before.values(), after.values())
    assert all(value.dtype == np.float32 for value in after.values())

    dtype_policy("float32")
    exact = fit(make_tiny_stage(*bindings), steps=1)
    for name, value in exact.items():
        assert losses[name] == pytest.approx(value, rel=0.05, abs=0.02), name
