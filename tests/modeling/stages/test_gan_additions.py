"""Additions to the gan stage of the paper: each against a second derivation."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.stages import (
    GAN_ADDITIONS,
    LIKE_DECODER,
    ROWS,
    make_batch,
    make_tiny_stage,
)
from tfstyle.core.cli import UserError
from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives.draws import BatchDraws
from tfstyle.modeling.stages.gan import GANSettings


@pytest.fixture
def images() -> tf.Tensor:
    return color.rgb_to_lab(make_batch()["image"])


def make_draws(step: int) -> BatchDraws:
    return BatchDraws(3, tf.constant(step, tf.int64), tf.constant(0), ROWS, ROWS)


def compute_gradients(model, images, step: int) -> list[list[np.ndarray]]:
    """Of generator and discriminators, in the phase of a step."""
    model.set_phase(step, None)
    groups = model.compute_gradients(images, None, make_draws(step))
    return [[gradient.numpy() for gradient in group] for group in groups]


def make_wakeful_stage(*bindings, **options):
    """Build a stage whose residuals count: every weight affects D's slopes."""
    return make_tiny_stage("gan", *bindings, plain_steps=True, **options)


def assert_close(values, others, tolerance=1e-5):
    for left, right in zip(values, others, strict=True):
        scale = max(np.abs(right).max(), 1e-3)
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * scale)


# Codes.


def test_the_reconstruction_share_is_spread_over_the_batch(images):
    """Half of four rows, every other one: their codes are those of the pictures."""
    model = make_tiny_stage("gan", "gan.reconstruction_share = 0.5")
    draws = make_draws(0)

    styles, contents, from_pictures = model._draw_codes(
        images, model.style_encoder(images), draws
    )

    np.testing.assert_array_equal(from_pictures, [0, 1, 0, 1])
    real_styles, real_contents = (
        model.style_encoder(images),
        model.content_encoder(images),
    )
    np.testing.assert_array_equal(styles[1::2], real_styles[1::2])
    np.testing.assert_array_equal(contents[1::2], real_contents[1::2])
    random_styles = draws.normal("style", model.style_encoder.dims)
    np.testing.assert_array_equal(styles[::2], random_styles[::2])


def test_the_transfer_share_has_contents_of_pictures_in_random_styles(images):
    """Rows 1 and 3 of four are rebuilt; of the other two every other is row 2."""
    model = make_tiny_stage(
        "gan", "gan.reconstruction_share = 0.5", "gan.transfer_share = 0.25"
    )
    draws = make_draws(0)
    real_styles = model.style_encoder(images)
    real_contents = model.content_encoder(images)

    styles, contents, from_pictures = model._draw_codes(images, real_styles, draws)

    np.testing.assert_array_equal(from_pictures, [0, 1, 0, 1])
    np.testing.assert_array_equal(contents[1:], real_contents[1:])
    np.testing.assert_array_equal(styles[1::2], real_styles[1::2])
    random_styles = draws.normal("style", model.style_encoder.dims)
    np.testing.assert_array_equal(styles[::2], random_styles[::2])
    random_contents = draws.normal("content", model.content_encoder.dims)
    np.testing.assert_array_equal(contents[0], random_contents[0])


def test_shares_of_more_than_the_batch_are_refused():
    with pytest.raises(UserError, match=r"together 1\.25, above 1"):
        GANSettings(reconstruction_share=0.75, transfer_share=0.5)


def test_random_styles_are_of_the_artists_prior_if_asked(images):
    """Near artists' means and between two; other rows have their picture's style."""
    model = make_tiny_stage(
        "gan", "gan.reconstruction_share = 0.5", "gan.style_prior = 'artists'"
    )
    real_styles = model.style_encoder(images)
    draws = make_draws(5)
    styles, _, _ = model._draw_codes(images, real_styles, draws)
    means = model._prior.means
    uniforms = draws.uniform("artists", 3).numpy()
    normals = draws.normal("style", model.style_encoder.dims).numpy()

    np.testing.assert_array_equal(styles[1::2], real_styles[1::2])
    for row in (0, 2):
        first, second, share = uniforms[row]
        share = max(share - 0.5, 0) / 0.5
        center = (1 - share) * means[int(first * len(means))]
        center += share * means[int(second * len(means))]
        expected = center + normals[row] * model._prior.deviation
        np.testing.assert_allclose(styles[row], expected, rtol=1e-5, atol=1e-6)


def test_styles_of_real_pictures_are_near_their_artists_if_asked(images, monkeypatch):
    """For the pictures that are rebuilt, and for the discriminators' real ones."""
    artist_ids = tf.constant([2, 0, 1, 2])
    model = make_tiny_stage(
        "gan",
        "gan.reconstruction_share = 1.0",
        "gan.style_source = 'artist'",
        "discriminators.conditional = True",
    )
    draws = make_draws(4)
    normals = draws.normal("own style", model.style_encoder.dims).numpy()
    expected = model._prior.means[artist_ids] + normals * model._prior.deviation
    seen = []

    def judge(inputs, **options):
        seen.append(inputs)
        return type(model.discriminators).call(model.discriminators, inputs, **options)

    monkeypatch.setattr(model.discriminators, "call", judge)
    model.compute_gradients(images, artist_ids, draws)

    assert len(seen) == 2
    for _, _, styles in seen:
        np.testing.assert_allclose(styles, expected, rtol=1e-6)


# Features of discriminators.


def test_features_of_rebuilt_pictures_are_drawn_towards_those_of_the_originals(images):
    """The loss grows by weight x mean difference of rows 1 and 3, nothing else.

    Both pictures are cut at the same places; the gradient is that of a plain loop.
    """
    bindings = ("gan.reconstruction_share = 0.5", "gan.reconstruction_weight = 0.0")
    matched = make_wakeful_stage(*bindings, "gan.feature_weight = 6.0")
    draws = make_draws(0)
    real_styles = matched.style_encoder(images)
    styles, contents, _ = matched._draw_codes(images, real_styles, draws)
    noise = draws.normal("noise", matched.code_sizes[2])
    patches = sum(matched.discriminators.patch_counts)
    offsets = draws.uniform("real patches", patches, 2)
    with tf.GradientTape() as tape:
        fakes = matched.generator([styles, contents, noise], training=True)
        cut = matched.discriminators.extract_patches_by_scale
        fake_scales, real_scales = cut(fakes, offsets), cut(images, offsets)
        by_network = []
        for k, network in enumerate(matched.discriminators.layers):
            count = 4**k
            by_block = []
            _, fake_blocks = network(fake_scales[k], with_features=True)
            _, real_blocks = network(real_scales[k], with_features=True)
            for fake, real in zip(fake_blocks, real_blocks, strict=True):
                rows = [
                    tf.reduce_mean(tf.abs(fake - real)[row * count : (row + 1) * count])
                    for row in (1, 3)
                ]
                by_block.append(tf.add_n(rows))
            by_network.append(tf.add_n(by_block) / len(by_block))
        difference = tf.add_n(by_network) / len(by_network)
        loss = 6.0 * difference / ROWS
    expected = tape.gradient(loss, matched.generator.trainable_variables)
    # Without the weight the fakes of these rows are cut elsewhere; the loss of D's
    # logits is compared at the same places by a weight of almost nothing.
    plain = make_wakeful_stage(*bindings, "gan.feature_weight = 1e-12")

    gradients, _ = compute_gradients(matched, images, 0)
    base, _ = compute_gradients(plain, images, 0)

    added = [full - part for full, part in zip(gradients, base, strict=True)]
    assert any(np.abs(gradient).max() > 1e-4 for gradient in added)
    assert_close(added, [gradient.numpy() for gradient in expected], 1e-3)
    means = {mean.name: float(mean.result()) for mean in matched.metrics}
    assert means["feature_difference"] == pytest.approx(float(difference) / 2, rel=1e-4)


def test_conditional_discriminators_get_both_kinds_of_styles(images):
    """Real pictures come with the style encoder's codes, fakes with those given."""
    model = make_wakeful_stage("discriminators.conditional = True")
    told = []
    judge = model.discriminators.judge_patches

    def remember(patches, styles, with_features=False):
        told.append(styles)
        return judge(patches, styles, with_features)

    model.discriminators.judge_patches = remember
    compute_gradients(model, images, 0)

    given = make_draws(0).normal("style", model.style_encoder.dims)
    np.testing.assert_array_equal(told[0], given)
    np.testing.assert_array_equal(told[1], model.style_encoder(images))


# The decoder's pictures.


def test_pictures_of_random_codes_are_drawn_towards_the_decoders(images):
    """By the mean square of averages over squares of 4 x 4 pixels.

    Rows 1 and 3 of 4 are compared with their pictures instead.
    """
    model = make_wakeful_stage(
        "gan.reconstruction_share = 0.5", "gan.decoder_weight = 3"
    )
    draws = make_draws(0)
    real_styles = model.style_encoder(images)
    styles, contents, _ = model._draw_codes(images, real_styles, draws)
    noise = draws.normal("noise", model.code_sizes[2])
    decoded = model.content_decoder([styles, contents])
    squares = images.shape[1] // 4
    with tf.GradientTape() as tape:
        fakes = model.generator([styles, contents, noise], training=True)
        loss = 0.0
        for row in (0, 2):
            for i, j in np.ndindex(squares, squares):
                square = (row, slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))
                error = tf.reduce_mean(fakes[square] - decoded[square], axis=[0, 1])
                loss += tf.reduce_sum(tf.square(error)) / (3 * squares**2)
        loss *= 3.0 / ROWS
    expected = tape.gradient(loss, model.generator.trainable_variables)

    without = make_wakeful_stage("gan.reconstruction_share = 0.5")

    gradients, _ = compute_gradients(model, images, 0)
    base, _ = compute_gradients(without, images, 0)

    added = [full - part for full, part in zip(gradients, base, strict=True)]
    assert_close(added, [gradient.numpy() for gradient in expected], 1e-3)
    assert any(np.abs(gradient).max() > 1e-4 for gradient in added)


def test_the_decoder_itself_is_not_trained():
    assert not make_tiny_stage(
        "gan", *GAN_ADDITIONS
    ).content_decoder.trainable_variables


# The start.


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    # Half precision keeps 11 and 8 significant bits, over a dozen layers.
    [("float32", 1e-4), ("mixed_float16", 0.02), ("mixed_bfloat16", 0.1)],
)
def test_a_generator_that_starts_as_the_decoder_draws_the_same_pictures(
    precision, tolerance, images, dtype_policy
):
    dtype_policy(precision)
    model = make_tiny_stage("gan", *LIKE_DECODER)
    styles, contents = model.style_encoder(images), model.content_encoder(images)
    expected = model.content_decoder([styles, contents])
    for seed in (0, 1):
        shape = [len(images), model.code_sizes[2]]
        noise = tf.random.stateless_normal(shape, [seed, 0])
        for network in (model.generator, model.average):
            pictures = network([styles, contents, noise])
            np.testing.assert_allclose(pictures, expected, rtol=1e-3, atol=tolerance)


@pytest.mark.parametrize(
    "binding", ["generator.hidden = False", "generator.features = (6, 6)"]
)
def test_a_generator_unlike_the_decoder_cannot_start_as_it(binding):
    with pytest.raises(ValueError, match="a generator like the content decoder"):
        make_tiny_stage("gan", *LIKE_DECODER, binding)


# R1.


def compute_penalty_by_jacobians(model, images, step=0) -> float:
    """Mean over pictures of the mean over networks, patches: half squared slopes.

    Each patch is judged alone, its slope a Jacobian instead of a summed gradient.
    """
    discriminators = model.discriminators
    count = sum(discriminators.patch_counts)
    offsets = make_draws(step).uniform("real patches", count, 2)
    patches_by_scale = discriminators.extract_patches_by_scale(images, offsets)
    penalties = []
    for k, patches in enumerate(patches_by_scale):
        norms = []
        for patch in patches:
            variable = tf.Variable(patch[None])
            with tf.GradientTape() as tape:
                logit = discriminators.layers[k](variable)
            norms.append(float(tf.norm(tape.jacobian(logit, variable))))
        penalties.append(np.mean(np.square(norms)) / 2)
    return float(np.mean(penalties))


def test_the_penalty_is_the_slope_at_each_networks_patches(images):
    model = make_wakeful_stage("gan.r1_weight = 3.0")

    compute_gradients(model, images, 0)

    means = {mean.name: float(mean.result()) for mean in model.metrics}
    expected = 3 * compute_penalty_by_jacobians(model, images)
    assert expected > 0
    assert means["gradient_penalty"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_penaltys_gradient_is_its_slope_by_finite_differences(images):
    """Along its own direction, a central difference must give the gradient's norm."""
    model = make_wakeful_stage("gan.r1_weight = 1.0")
    generator, with_penalty = compute_gradients(model, images, 0)
    other, without = compute_gradients(make_wakeful_stage(), images, 0)
    assert_close(generator, other)
    slope = [left - right for left, right in zip(with_penalty, without, strict=True)]
    norm = np.sqrt(sum(np.square(part).sum() for part in slope))
    assert norm > 0

    variables = model.discriminators.trainable_variables
    start = [variable.numpy() for variable in variables]
    penalties = []
    length = 3e-4  # so short that no activation changes its sign on the way
    for sign in (1, -1):
        for variable, value, part in zip(variables, start, slope, strict=True):
            variable.assign(value + sign * length * part / norm)
        penalties.append(compute_penalty_by_jacobians(model, images))

    measured = (penalties[0] - penalties[1]) / (2 * length)
    assert measured == pytest.approx(norm, rel=0.02)


def test_a_lazy_penalty_is_applied_seldom_and_strongly(images):
    """Every third step three times the gradient, in between none."""
    lazy = make_wakeful_stage("gan.r1_weight = 1.0", "gan.r1_interval = 3")
    eager, without = make_wakeful_stage("gan.r1_weight = 1.0"), make_wakeful_stage()
    for step in range(4):
        gradients, every_step, unpenalized = (
            compute_gradients(model, images, step)[1]
            for model in (lazy, eager, without)
        )
        factor = 3 if step % 3 == 0 else 0
        expected = [
            base + factor * (full - base)
            for full, base in zip(every_step, unpenalized, strict=True)
        ]
        assert_close(gradients, expected)
