"""The gan stage as in the paper."""

import numpy as np
import pytest

from helpers import configuration as tiny
from helpers.layers import differ
from helpers.stages import fit, make_tiny_stage
from tfstyle.core.cli import UserError


def test_the_average_starts_as_the_generator():
    model = make_tiny_stage("gan")

    assert not differ(model.average.get_weights(), model.generator.get_weights())
    assert not model.average.trainable_variables


def test_the_average_follows_its_decay():
    """With decay min(.999, (1 + step) / (10 + step)): .1, 2/11, 3/12 .. at first."""
    model = make_tiny_stage("gan")
    expected = [value.astype(np.float64) for value in model.generator.get_weights()]
    for step in range(4):
        fit(model, steps=1)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = [
            decay * mean + (1 - decay) * value
            for mean, value in zip(expected, model.generator.get_weights(), strict=True)
        ]
        for value, mean in zip(model.average.get_weights(), expected, strict=True):
            np.testing.assert_allclose(value, mean, rtol=1e-5, atol=1e-7)
    assert differ(model.average.get_weights(), model.generator.get_weights())


def test_the_averages_decay_ends_at_999_thousandths():
    """At step 20000, (1 + step) / (10 + step) would be .99955."""
    model = make_tiny_stage("gan", "rmsprop.learning_rate = 1e-2")
    model.step.assign(20000)
    before = model.average.get_weights()

    fit(model, steps=1)

    for old, value, mean in zip(
        before, model.generator.get_weights(), model.average.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mean, 0.999 * old + 0.001 * value, atol=1e-7)


def test_losses_start_as_for_undecided_discriminators_and_random_codes():
    """-log D is about log 2 each; the code losses are positive."""
    losses = fit(make_tiny_stage("gan"), steps=1)

    assert 0.5 < losses["discriminator_loss"] < 5
    assert 0.2 < losses["generator_loss"] < 4
    assert losses["style_loss"] > 0 and losses["content_loss"] > 0


def test_a_code_too_short_for_style_and_content_is_refused():
    needed = f"{tiny.STYLE_DIMS} style and {tiny.CONTENT_DIMS} content"
    with pytest.raises(UserError, match=f"gan.code_dims=9 .* {needed}"):
        make_tiny_stage("gan", "gan.code_dims = 9")


def test_dimensions_that_are_neither_style_nor_content_are_noise():
    code_dims = tiny.STYLE_DIMS + tiny.CONTENT_DIMS + 5
    model = make_tiny_stage("gan", f"gan.code_dims = {code_dims}")

    assert model.code_sizes == [tiny.STYLE_DIMS, tiny.CONTENT_DIMS, 5]


def test_the_discriminators_may_have_a_learning_rate_of_their_own():
    fast = (
        "gan.discriminator_optimizer = @fast/rmsprop",
        "fast/rmsprop.learning_rate = 1e-2",
    )

    def measure_largest_moves(model) -> list[float]:
        """How far a first step moves the farthest weight of each optimizer."""
        before = [
            [variable.numpy() for variable in group] for group in model.parameter_groups
        ]
        fit(model, steps=1)
        return [
            max(
                np.abs(variable.numpy() - old).max()
                for variable, old in zip(group, values, strict=True)
            )
            for group, values in zip(model.parameter_groups, before, strict=True)
        ]

    # The tiny configuration's rate is 1e-3.
    alike = measure_largest_moves(make_tiny_stage("gan"))
    faster = measure_largest_moves(make_tiny_stage("gan", *fast))
    np.testing.assert_allclose(faster, [alike[0], 10 * alike[1]], rtol=1e-3)
