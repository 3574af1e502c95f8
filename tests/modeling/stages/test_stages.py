"""The four training stages, tiny: what a step changes, and what it must not."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives import style as objectives

STAGES = ("metric", "classifier", "vae", "gan")


def values_of(network):
    return [variable.numpy().copy() for variable in network.variables]


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def changed(before, after):
    return [(left != right).any() for left, right in zip(before, after, strict=True)]


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_trains_every_network_and_counts(
    stage, tiny_stage, train_tiny, stage_weights
):
    model = tiny_stage(stage)
    before = stage_weights(model)
    losses = train_tiny(model, steps=3)
    after = stage_weights(model)
    assert model.steps_done == 3
    assert all(int(one.iterations) == 3 for one in model.optimizer)
    for network in model.networks:
        names = [name for name in before if name.startswith(f"{network}/")]
        still = [name for name in names if (before[name] == after[name]).all()]
        # three steps reach behind the residuals, which start at weight zero
        assert not still
    assert all(np.isfinite(value) for value in losses.values())
    trained = [v for group in model.parameter_groups for v in group]
    assert len({id(one) for one in trained}) == len(trained)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_accumulated_parts_give_the_whole_batchs_step(
    stage, tiny_stage, train_tiny, stage_weights, check_trained_alike
):
    """Gradients of two halves add up to the whole's; only their rounding differs."""
    whole = tiny_stage(stage, plain_steps=True)
    halves = tiny_stage(stage, plain_steps=True, accumulation_steps=2)
    before = stage_weights(whole)
    losses = [train_tiny(model, steps=3) for model in (whole, halves)]
    check_trained_alike(before, stage_weights(whole), stage_weights(halves))
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_continues_bit_for_bit(
    stage, tiny_stage, train_tiny, stage_weights, tmp_path
):
    """So training is repeatable, and draws depend on the step, not the call of fit."""
    stopped = tiny_stage(stage)
    train_tiny(stopped, steps=2)
    path = tf.train.Checkpoint(**stopped.checkpoint_items()).save(str(tmp_path / "c"))
    train_tiny(stopped, steps=2)
    resumed = tiny_stage(stage)
    status = tf.train.Checkpoint(**resumed.checkpoint_items()).restore(path)
    status.assert_existing_objects_matched()
    assert resumed.steps_done == 2
    train_tiny(resumed, steps=2)
    one, other = stage_weights(stopped), stage_weights(resumed)
    assert one.keys() == other.keys()
    assert_same(one.values(), other.values())


@pytest.mark.parametrize("stage", ["vae", "gan"])
def test_frozen_encoders_do_not_change(stage, tiny_stage, train_tiny):
    model = tiny_stage(stage)
    frozen = [model.style_encoder]
    if stage == "gan":
        frozen.append(model.content_encoder)
    before = [values_of(one) for one in frozen]
    train_tiny(model, steps=4)
    for values, encoder in zip(before, frozen, strict=True):
        assert values
        assert_same(values, values_of(encoder))
        own = {id(variable) for variable in encoder.variables}
        assert not any(id(v) in own for group in model.parameter_groups for v in group)


@pytest.mark.parametrize("stage", STAGES)
def test_undeclared_means_are_refused(stage, tiny_stage):
    with pytest.raises(KeyError, match="elsewhere"):
        tiny_stage(stage).record("elsewhere", tf.zeros([1]))


@pytest.mark.parametrize("stage", STAGES)
def test_evaluation_counts_only_what_the_mask_shows(stage, tiny_stage, tiny_batch):
    """Two of four rows are filling; the mean must be that of the other two."""
    model = tiny_stage(stage)
    batch = {**tiny_batch(), "mask": tf.constant([1.0, 0, 1, 0])}
    batch["filename"] = tf.constant([""] * 4)
    results = model.evaluate(
        tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True
    )
    terms = model.evaluation_terms(color.rgb_to_lab(batch["image"]), batch["artist"])
    assert terms
    for name, values in terms.items():
        expected = (values[0] + values[2]) / 2
        assert results[f"test_{name}"] == pytest.approx(float(expected), rel=1e-4)


# Metric.


@pytest.mark.parametrize("prefix", ["exact", "sampled"])
def test_metric_loss_falls_over_20_steps(tiny_stage, train_tiny, prefix):
    model = tiny_stage(
        "metric", f"metric.prefix = '{prefix}'", "adam.learning_rate = 1e-2"
    )
    first = train_tiny(model, steps=1)["loss"]
    train_tiny(model, steps=18)
    assert train_tiny(model, steps=1)["loss"] < 0.7 * first


def test_metric_loss_is_equation_2s_and_its_gradient_is_applied(
    tiny_stage, tiny_batch, train_tiny
):
    """The logged mean is that of the batch before its update."""
    model = tiny_stage("metric")
    batch = tiny_batch()
    codes = model.style_encoder(color.rgb_to_lab(batch["image"]))
    expected = objectives.presumed_style_loss(
        codes,
        batch["artist"],
        model.presumed_styles.styles,
        model.presumed_styles.prefix_scales,
        [5, 2, 9],
        0.995,
    )
    assert train_tiny(model, steps=1)["loss"] == pytest.approx(
        float(tf.reduce_mean(expected)), rel=1e-5
    )


def test_presumed_styles_and_prefix_scales_are_trained(tiny_stage, train_tiny):
    model = tiny_stage("metric")
    styles = model.presumed_styles.styles.numpy()
    before = model.presumed_styles.prefix_scales.numpy()
    train_tiny(model, steps=2)
    # every artist's, those outside the batch too: equation 2 sums over all
    assert (model.presumed_styles.styles.numpy() != styles).all()
    scales = model.presumed_styles.prefix_scales.numpy()
    assert (scales != before).all() and (scales > 0).all()


def test_an_unknown_prefix_rule_is_refused(tiny_stage):
    with pytest.raises(ValueError, match="'first'"):
        tiny_stage("metric", "metric.prefix = 'first'")


def test_classifier_loss_falls_over_20_steps(tiny_stage, train_tiny):
    model = tiny_stage("classifier", "adam.learning_rate = 1e-2")
    first = train_tiny(model, steps=1)["loss"]
    train_tiny(model, steps=18)
    assert train_tiny(model, steps=1)["loss"] < first


def test_a_classifier_without_nested_dropout_trains_on_all_its_features(
    tiny_stage, train_tiny, tiny_batch
):
    """The first step's loss is the cross-entropy by all features, from logits."""
    model = tiny_stage("classifier", "classifier.t = None", plain_steps=True)
    batch = tiny_batch()
    images = color.rgb_to_lab(batch["image"])
    features = model.style_encoder(images, training=True).numpy().astype(float)
    logits = features @ model.artist_logits.kernel.numpy()
    own = logits[np.arange(len(logits)), batch["artist"].numpy()]
    expected = (np.log(np.exp(logits).sum(axis=1)) - own).mean()

    assert train_tiny(model, steps=1)["loss"] == pytest.approx(expected, rel=1e-4)


# VAE.


def test_vae_loss_is_reconstruction_plus_weighted_kl(tiny_stage, train_tiny):
    losses = train_tiny(tiny_stage("vae", "vae.kl_weight = 0.5"), steps=1)
    expected = losses["reconstruction"] + 0.5 * losses["kl"]
    assert losses["loss"] == pytest.approx(expected, rel=1e-5)


def test_vae_kl_weight_rises_in_a_straight_line_over_its_warm_up(
    tiny_stage, train_tiny
):
    """By the step alone, so that a resumed run goes on where it was: 0, 1/4 .. 1, 1."""
    model = tiny_stage("vae", "vae.kl_weight = 2e5", "vae.kl_warmup_steps = 4")
    for step, weight in [(0, 0.0), (1, 5e4), (2, 1e5), (4, 2e5), (7, 2e5)]:
        model.step.assign(step)
        losses = train_tiny(model, steps=1)
        paid = losses["loss"] - losses["reconstruction"]
        assert losses["kl"] > 1e-4
        assert paid == pytest.approx(
            weight * losses["kl"], rel=1e-3, abs=1e-6 * losses["loss"]
        )


def test_vae_free_bits_replace_the_kl_of_what_is_below_them(
    tiny_stage, train_tiny, tiny_batch
):
    """The logged KL stays the real one; the loss is that of a loop."""
    model = tiny_stage("vae", "vae.kl_weight = 1e5", "vae.free_bits = 0.002")
    images = color.rgb_to_lab(tiny_batch()["image"])
    outputs = model.content_encoder(images, training=True)
    mean, log_variance = (one.numpy().astype(np.float64) for one in outputs)
    kl = (np.exp(log_variance) + mean**2 - 1 - log_variance) / 2
    paid = [sum(max(one, 0.002) for one in row) for row in kl]
    assert 0 < (kl < 0.002).sum() < kl.size  # else this could not fail

    losses = train_tiny(model, steps=1)

    assert losses["kl"] == pytest.approx(kl.sum(axis=1).mean(), rel=1e-3)
    assert losses["loss"] - losses["reconstruction"] == pytest.approx(
        1e5 * np.mean(paid), rel=1e-3
    )


def test_vae_settings_that_are_off_leave_runs_from_before_them_alone(tiny_stage):
    """A missing entry of run.json counts as None, see `runs.differences`."""
    off, on = (
        tiny_stage("vae", *bindings).settings
        for bindings in [(), ("vae.free_bits = 0.5", "vae.kl_warmup_steps = 9")]
    )
    assert {name for name, value in off.items() if value is not None} == {
        "t",
        "kl_weight",
    }
    assert (on["free_bits"], on["kl_warmup_steps"]) == (0.5, 9)


@pytest.mark.parametrize("name", ["kl_weight", "kl_warmup_steps", "free_bits"])
def test_vae_settings_below_zero_are_refused(tiny_stage, name):
    with pytest.raises(ValueError, match=f"vae.{name} must be at least 0, got -1"):
        tiny_stage("vae", f"vae.{name} = -1")


def test_vae_loss_falls(tiny_stage, train_tiny):
    model = tiny_stage("vae", "rmsprop.learning_rate = 3e-3")
    first = train_tiny(model, steps=1)["loss"]
    train_tiny(model, steps=18)
    assert train_tiny(model, steps=1)["loss"] < 0.9 * first


# GAN.


def test_gan_average_starts_as_the_generator(tiny_stage):
    model = tiny_stage("gan")
    assert_same(values_of(model.average), values_of(model.generator))
    assert not model.average.trainable_variables


def test_gan_average_follows_its_decay(tiny_stage, train_tiny):
    """With decay min(.999, (1 + step) / (10 + step)): .1, 2/11, 3/12 .. at first."""
    model = tiny_stage("gan")
    expected = [one.astype(np.float64) for one in values_of(model.generator)]
    for step in range(4):
        train_tiny(model, steps=1)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = [
            decay * mean + (1 - decay) * value
            for mean, value in zip(expected, values_of(model.generator), strict=True)
        ]
        for mean, value in zip(expected, values_of(model.average), strict=True):
            np.testing.assert_allclose(value, mean, rtol=1e-5, atol=1e-7)
    assert any(changed(values_of(model.average), values_of(model.generator)))


def test_gan_averages_decay_ends_at_999_thousandths(tiny_stage, train_tiny):
    """At step 20000, (1 + step) / (10 + step) would be .99955."""
    model = tiny_stage("gan", "rmsprop.learning_rate = 1e-2")
    model.step.assign(20000)
    before = values_of(model.average)
    train_tiny(model, steps=1)
    for old, value, mean in zip(
        before, values_of(model.generator), values_of(model.average), strict=True
    ):
        np.testing.assert_allclose(mean, 0.999 * old + 0.001 * value, atol=1e-7)


WARM_START = (
    "gan.reconstruction_share = 0.5",
    "gan.reconstruction_weight = 10.0",
    "gan.reconstruction_steps = 3",
)


def test_gan_warm_start_leaves_the_discriminators_unchanged(tiny_stage, train_tiny):
    model = tiny_stage("gan", *WARM_START)
    assert model.phase_ends() == [3]
    discriminators = values_of(model.discriminators)
    generator = values_of(model.generator)
    losses = train_tiny(model, steps=3)
    assert_same(discriminators, values_of(model.discriminators))
    assert any(changed(generator, values_of(model.generator)))
    assert losses["reconstruction_error"] > 0
    assert losses["discriminator_loss"] == 0  # never computed
    assert model.steps_done == 3

    losses = train_tiny(model, steps=2)
    assert all(changed(discriminators, values_of(model.discriminators))[:1])
    assert losses["discriminator_loss"] > 0


def test_gan_without_a_warm_start_has_one_phase(tiny_stage):
    assert tiny_stage("gan").phase_ends() == []


def test_gan_reconstruction_share_is_spread_over_the_batch(
    tiny_stage, train_tiny, tiny_batch
):
    """Half of four rows, every other one: their codes are those of the pictures."""
    from tfstyle.modeling.objectives.draws import BatchDraws

    model = tiny_stage("gan", *WARM_START)
    images = color.rgb_to_lab(tiny_batch()["image"])
    draws = BatchDraws(3, tf.constant(0, tf.int64), tf.constant(0), 4, 4)
    styles, contents, chosen = model._codes(images, draws)
    np.testing.assert_array_equal(chosen, [0, 1, 0, 1])
    of_pictures = model.style_encoder(images).numpy()
    np.testing.assert_array_equal(styles[1::2], of_pictures[1::2])
    np.testing.assert_array_equal(contents[1::2], model.content_encoder(images)[1::2])
    random = draws.normal("style", model.style_encoder.dims)
    np.testing.assert_array_equal(styles[::2], random[::2])


def test_gan_losses_start_where_an_undecided_discriminator_and_random_codes_put_them(
    tiny_stage, train_tiny
):
    """-log D is about log 2 each; the style code's loss is positive."""
    losses = train_tiny(tiny_stage("gan"), steps=1)
    assert 0.5 < losses["discriminator_loss"] < 5
    assert 0.2 < losses["generator_loss"] < 4
    assert losses["style_loss"] > 0 and losses["content_loss"] > 0


def test_gan_code_too_short_for_style_and_content_is_refused(tiny_stage):
    with pytest.raises(ValueError, match="gan.code_dims=6 .* 3 style and 4 content"):
        tiny_stage("gan", "gan.code_dims = 6")


# Precision.


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_step_in_mixed_float16_is_finite(
    stage, tiny_stage, train_tiny, stage_weights, dtype_policy
):
    """The first loss scale of 2^15 may overflow: then steps are skipped until it fits.

    The weights must have moved and stayed finite, and the loss must be float32's.
    """
    dtype_policy("mixed_float16")
    model = tiny_stage(stage)
    kind = tf.keras.mixed_precision.LossScaleOptimizer
    assert all(isinstance(one, kind) for one in model.optimizer)
    before = stage_weights(model)
    losses = train_tiny(model, steps=1)
    train_tiny(model, steps=9)
    after = stage_weights(model)
    assert all(np.isfinite(value).all() for value in after.values())
    assert any(changed(before.values(), after.values()))
    assert all(value.dtype == np.float32 for value in after.values())

    dtype_policy("float32")
    exact = train_tiny(tiny_stage(stage), steps=1)
    for name, value in exact.items():
        assert losses[name] == pytest.approx(value, rel=0.05, abs=0.02), name
