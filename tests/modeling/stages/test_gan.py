"""What may be added to the generator stage: each against a second derivation."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import color
from tfstyle.modeling.objectives import augmentation
from tfstyle.modeling.objectives import style as objectives
from tfstyle.modeling.objectives.draws import BatchDraws

ALL = (
    "gan.reconstruction_share = 0.5",
    "gan.reconstruction_weight = 1.0",
    "gan.reconstruction_steps = 1",
    "gan.decoder_weight = 2.0",
    "gan.r1_weight = 1.0",
    "gan.r1_interval = 2",
    "gan.real_style_share = 0.5",
    "gan.augmentation = ('color', 'translation', 'cutout')",
)


@pytest.fixture
def images(tiny_batch) -> tf.Tensor:
    return color.rgb_to_lab(tiny_batch()["image"])


def draws_at(step: int, rows: int = 4) -> BatchDraws:
    return BatchDraws(3, tf.constant(step, tf.int64), tf.constant(0), rows, rows)


def gradients_at(model, images, step: int) -> list[list[np.ndarray]]:
    """Of generator and discriminators, in the phase of a step."""
    model.set_phase(step, None)
    groups = model.compute_gradients(images, None, draws_at(step))
    return [[one.numpy() for one in group] for group in groups]


def assert_close(one, other, tolerance=1e-5):
    for left, right in zip(one, other, strict=True):
        scale = max(np.abs(right).max(), 1e-3)
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * scale)


def differ(one, other) -> bool:
    return any(not np.allclose(a, b) for a, b in zip(one, other, strict=True))


def test_additions_that_are_off_are_not_part_of_a_runs_identity(tiny_stage):
    """So a run from before them goes on."""
    off = tiny_stage("gan").settings
    on = tiny_stage("gan", *ALL).settings

    assert set(off) == {
        "code_dims",
        "style_weight",
        "content_weight",
        "reconstruction_share",
        "reconstruction_weight",
        "reconstruction_steps",
    }
    added = {
        "decoder_weight": 2.0,
        "r1_weight": 1.0,
        "r1_interval": 2,
        "real_style_share": 0.5,
        "augmentation": ("color", "translation", "cutout"),
    }
    assert {name: on[name] for name in set(on) - set(off)} == added


# Codes.


def test_a_share_of_random_codes_has_real_styles(tiny_stage, images):
    """Beside random contents; rows that are rebuilt have both codes of a picture."""
    given = ("gan.reconstruction_share = 0.5", "gan.real_style_share = 0.5")
    model = tiny_stage("gan", *given)
    real_styles = model.style_encoder(images).numpy()
    real_contents = model.content_encoder(images).numpy()
    real_share = []

    for step in range(40):
        styles, contents, rebuilt = model._codes(images, draws_at(step))

        own_style = (np.abs(styles - real_styles) < 1e-5).all(axis=1)
        own_content = (np.abs(contents - real_contents) < 1e-5).all(axis=1)
        np.testing.assert_array_equal(rebuilt, [0, 1, 0, 1])
        np.testing.assert_array_equal(own_content, [False, True, False, True])
        assert own_style[1::2].all()
        real_share.extend(own_style[::2])

    # Of 80 fair throws: three deviations of sqrt(80) / 2.
    assert abs(sum(real_share) - 40) < 3 * 80**0.5 / 2


# The decoder's pictures.


def test_pictures_of_random_codes_are_drawn_towards_the_decoders(tiny_stage, images):
    """By the mean square of averages over squares of 4 x 4 pixels; in every phase.

    Rows 1 and 3 of 4 are compared with their pictures instead.
    """
    start = (
        "gan.reconstruction_share = 0.5",
        "gan.reconstruction_weight = 0.0",
        "gan.reconstruction_steps = 1",
    )
    model = tiny_stage("gan", *start, "gan.decoder_weight = 3.0", plain_steps=True)
    draws = draws_at(0)
    styles, contents, _ = model._codes(images, draws)
    noise = draws.normal("noise", model.noise_dims)
    given = model.content_decoder([styles, contents])
    size = images.shape[1]
    with tf.GradientTape() as tape:
        fakes = model.generator([styles, contents, noise], training=True)
        loss = 0.0
        for row in (0, 2):
            for i, j in np.ndindex(size // 4, size // 4):
                square = (row, slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 4))
                off = tf.reduce_mean(fakes[square] - given[square], axis=[0, 1])
                loss += tf.reduce_sum(tf.square(off)) / (3 * (size // 4) ** 2)
        loss *= 3.0 / 4
    expected = tape.gradient(loss, model.generator.trainable_variables)

    gradients, _ = gradients_at(model, images, 0)

    assert_close(gradients, [one.numpy() for one in expected])
    assert any(np.abs(one).max() > 1e-4 for one in gradients)


def test_the_decoder_itself_is_not_trained(tiny_stage):
    model = tiny_stage("gan", *ALL)
    assert not model.content_decoder.trainable_variables


# The start.

LIKE_DECODER = (
    "generator.features = (4, 8)",
    "generator.blocks = (1, 1)",
    "generator.hidden = True",
    "gan.start = 'decoder'",
)


def test_a_generator_that_starts_as_the_decoder_draws_what_it_draws(tiny_stage, images):
    model = tiny_stage("gan", *LIKE_DECODER)
    styles, contents = model.style_encoder(images), model.content_encoder(images)
    expected = model.content_decoder([styles, contents])
    for seed in (0, 1):
        noise = tf.random.stateless_normal([len(images), model.noise_dims], [seed, 0])
        for network in (model.generator, model.average):
            drawn = network([styles, contents, noise])
            np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "other", ["generator.hidden = False", "generator.features = (4, 6)"]
)
def test_a_generator_unlike_the_decoder_cannot_start_as_it(tiny_stage, other):
    with pytest.raises(ValueError, match="a generator like the content decoder"):
        tiny_stage("gan", *LIKE_DECODER, other)


def test_an_unknown_start_is_refused(tiny_stage):
    with pytest.raises(ValueError, match="'zeros'"):
        tiny_stage("gan", "gan.start = 'zeros'")


# R1.


def test_the_gradient_penalty_is_half_a_squared_norm():
    gradients = np.random.default_rng(0).normal(size=[3, 2, 2, 3])
    expected = [0.5 * np.linalg.norm(one) ** 2 for one in gradients]

    np.testing.assert_allclose(objectives.gradient_penalty(gradients), expected)


def penalty_by_jacobians(model, images, step=0) -> float:
    """Mean over pictures of the mean over networks, patches: half squared slopes.

    Each patch is judged alone, its slope a Jacobian instead of a summed gradient.
    """
    discriminators = model.discriminators
    count = sum(discriminators.patch_counts)
    offsets = draws_at(step).uniform("real patches", count, 2)
    found = []
    for k, patches in enumerate(discriminators.patches(images, offsets)):
        norms = []
        for patch in patches:
            one = tf.Variable(patch[None])
            with tf.GradientTape() as tape:
                logit = discriminators.layers[k](one)
            norms.append(float(tf.norm(tape.jacobian(logit, one))))
        found.append(np.mean(np.square(norms)) / 2)
    return float(np.mean(found))


@pytest.fixture
def wakeful(tiny_stage):
    """A gan stage whose residuals count, so that every weight bears on D's slopes."""

    def make(*bindings, **options):
        return tiny_stage("gan", *bindings, plain_steps=True, **options)

    return make


def test_the_penalty_is_the_slope_at_each_networks_patches(wakeful, images):
    model = wakeful("gan.r1_weight = 3.0")

    gradients_at(model, images, 0)

    logged = model._means["gradient_penalty"].result().numpy()
    expected = 3 * penalty_by_jacobians(model, images)
    assert expected > 0
    assert logged == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_the_penaltys_gradient_is_its_slope_by_finite_differences(wakeful, images):
    """Along its own direction, a central difference must give the gradient's norm."""
    on = wakeful("gan.r1_weight = 1.0")
    off = wakeful()
    (generator, with_penalty), (other, without) = (
        gradients_at(model, images, 0) for model in (on, off)
    )
    assert_close(generator, other)
    slope = [one - two for one, two in zip(with_penalty, without, strict=True)]
    norm = np.sqrt(sum(np.square(one).sum() for one in slope))
    assert norm > 0

    variables = on.discriminators.trainable_variables
    start = [variable.numpy() for variable in variables]
    values = []
    length = 2e-3
    for sign in (1, -1):
        for variable, value, along in zip(variables, start, slope, strict=True):
            variable.assign(value + sign * length * along / norm)
        values.append(penalty_by_jacobians(on, images))

    measured = (values[0] - values[1]) / (2 * length)
    assert measured == pytest.approx(norm, rel=0.02)


def test_a_lazy_penalty_comes_seldom_and_strong(wakeful, images):
    """Every third step three times the gradient, in between none."""
    lazy = wakeful("gan.r1_weight = 1.0", "gan.r1_interval = 3")
    eager, off = wakeful("gan.r1_weight = 1.0"), wakeful()
    for step in range(4):
        measured, every, without = (
            gradients_at(model, images, step)[1] for model in (lazy, eager, off)
        )
        factor = 3 if step % 3 == 0 else 0
        expected = [b + factor * (a - b) for a, b in zip(every, without, strict=True)]
        assert_close(measured, expected)


# Augmentation.


def test_discriminators_see_both_kinds_of_pictures_augmented(tiny_stage, images):
    """The logged logits are those of pictures changed by hand, with draws of a kind."""
    names = ("color", "cutout")
    model = tiny_stage("gan", f"gan.augmentation = {names}")
    draws = draws_at(0)
    fakes = model.generator(
        [
            draws.normal("style", model.style_encoder.dims),
            draws.normal("content", model.content_encoder.dims),
            draws.normal("noise", model.noise_dims),
        ]
    )
    expected = {}
    for kind, pictures in (("real", images), ("fake", fakes)):
        changed = augmentation.augment(pictures, names, draws, kind)
        offsets = draws.uniform(
            f"{kind} patches", sum(model.discriminators.patch_counts), 2
        )
        logits = model.discriminators([changed, offsets])
        expected[kind] = np.mean([one.numpy().mean() for one in logits])

    gradients_at(model, images, 0)

    for kind, value in expected.items():
        logged = model._means[f"{kind}_logit"].result().numpy()
        assert logged == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_the_generator_learns_through_augmentation(tiny_stage, images):
    """Without codes' losses its gradient comes from D alone."""
    alone = ("gan.style_weight = 0.0", "gan.content_weight = 0.0")
    names = ("color", "translation", "cutout")
    model = tiny_stage("gan", *alone, f"gan.augmentation = {names}")

    generator, _ = gradients_at(model, images, 0)

    assert sum(np.abs(one).max() > 0 for one in generator) > len(generator) / 2


# All of them together.


@pytest.mark.slow
def test_with_all_additions_accumulated_parts_give_the_whole_batchs_step(
    wakeful, train_tiny, stage_weights, check_trained_alike
):
    whole, halves = wakeful(*ALL), wakeful(*ALL, accumulation_steps=2)
    before = stage_weights(whole)
    losses = []
    for model in (whole, halves):
        train_tiny(model, steps=1)  # the warm start
        losses.append(train_tiny(model, steps=3))
    check_trained_alike(before, stage_weights(whole), stage_weights(halves))
    assert losses[0]["gradient_penalty"] > 0
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.mark.slow
def test_with_all_additions_a_checkpoint_continues_bit_for_bit(
    tiny_stage, train_tiny, stage_weights, tmp_path
):
    stopped = tiny_stage("gan", *ALL)
    train_tiny(stopped, steps=1)
    train_tiny(stopped, steps=2)
    path = tf.train.Checkpoint(**stopped.checkpoint_items()).save(str(tmp_path / "c"))
    train_tiny(stopped, steps=3)
    resumed = tiny_stage("gan", *ALL)
    status = tf.train.Checkpoint(**resumed.checkpoint_items()).restore(path)
    status.assert_existing_objects_matched()
    train_tiny(resumed, steps=3)
    one, other = stage_weights(stopped), stage_weights(resumed)
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value)


@pytest.mark.slow
def test_with_all_additions_a_step_in_mixed_float16_is_finite(
    tiny_stage, train_tiny, stage_weights, dtype_policy
):
    dtype_policy("mixed_float16")
    model = tiny_stage("gan", *ALL)
    before = stage_weights(model)
    train_tiny(model, steps=1)
    losses = train_tiny(model, steps=9)
    after = stage_weights(model)
    assert all(np.isfinite(value) for value in losses.values())
    assert all(np.isfinite(value).all() for value in after.values())
    assert any((before[name] != after[name]).any() for name in before)


@pytest.mark.parametrize(
    "binding, message",
    [
        (
            "gan.augmentation = ('blur',)",
            r"color, translation, cutout, got \('blur',\)",
        ),
        ("gan.augmentation = 'color'", "a tuple of .* got 'color'"),
        ("gan.augmentation = True", "a tuple of .* got True"),
        ("gan.r1_weight = -1.0", "at least 0, got -1.0 and 0.0"),
        ("gan.r1_interval = 0", "r1_interval must be from 1 on, got 0"),
        ("gan.real_style_share = 1.5", "0 and 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(binding, message, tiny_stage):
    with pytest.raises(ValueError, match=message):
        tiny_stage("gan", binding)


def test_discriminators_may_learn_at_a_rate_of_their_own(tiny_stage, train_tiny):
    fast = (
        "gan.discriminator_optimizer = @fast/rmsprop",
        "fast/rmsprop.learning_rate = 1e-2",
    )

    def moved(model) -> list[float]:
        """How far a first step carries each group's farthest weight."""
        before = [[one.numpy() for one in group] for group in model.parameter_groups]
        train_tiny(model, steps=1)
        return [
            max(
                np.abs(one.numpy() - old).max()
                for one, old in zip(group, olds, strict=True)
            )
            for group, olds in zip(model.parameter_groups, before, strict=True)
        ]

    # TINY's rate is 1e-3.
    alike, faster = moved(tiny_stage("gan")), moved(tiny_stage("gan", *fast))
    np.testing.assert_allclose(faster, [alike[0], 10 * alike[1]], rtol=1e-3)
