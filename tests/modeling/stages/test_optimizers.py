"""Learning rates by step."""

import pytest

from tfstyle.modeling.stages.optimizers import FALLEN, LinearRamp, adam


def test_a_rate_is_reached_linearly_and_kept():
    ramp = LinearRamp(0.5, ramp_steps=4)

    rates = [float(ramp(step)) for step in (0, 1, 3, 4, 10**6)]

    assert rates == pytest.approx([0.125, 0.25, 0.5, 0.5, 0.5])


def test_a_rate_falls_linearly_between_two_steps_and_never_to_zero():
    """The update after step 10 of a fall from 10 to 20 is at the whole rate."""
    ramp = LinearRamp(0.5, ramp_steps=1, fall=[10, 20])

    rates = [float(ramp(step)) for step in (0, 9, 14, 19, 10**6)]

    least = 0.5 * FALLEN
    halfway = (0.5 + least) / 2
    assert rates == pytest.approx([0.5, 0.5, halfway, least, least])


@pytest.mark.parametrize("fall", [(10,), (20, 10), (-1, 10), (5, 5)])
def test_a_fall_that_does_not_fall_is_refused(fall):
    with pytest.raises(ValueError, match="fall must be two ascending steps"):
        LinearRamp(0.5, fall=fall)


def test_the_fall_is_part_of_the_identity_only_if_there_is_one():
    """Runs from before it existed can be resumed."""
    config = adam(learning_rate=0.5).get_config()["learning_rate"]["config"]
    assert config == {"learning_rate": 0.5, "ramp_steps": 100}

    config = adam(learning_rate=0.5, fall=(1, 2)).get_config()
    assert config["learning_rate"]["config"]["fall"] == [1, 2]
