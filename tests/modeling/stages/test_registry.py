"""The registry of stages: their order, and what each says of itself."""

import dataclasses

import pytest

from tfstyle.core.cli import UserError
from tfstyle.modeling import stages


@pytest.fixture(autouse=True)
def _restore_registry(monkeypatch):
    monkeypatch.setattr(stages, "_SPECS", dict(stages._SPECS))


def test_stages_are_listed_in_the_order_of_training():
    assert stages.names() == ("metric", "classifier", "vae", "gan")
    assert tuple(spec.name for spec in stages.specs()) == stages.names()


def test_a_stage_needs_only_stages_before_it_that_have_a_code():
    for number, spec in enumerate(stages.specs()):
        assert set(spec.needs) <= set(stages.names()[:number])
        assert all(stages.spec(name).code is not None for name in spec.needs)


def test_codes_are_of_different_kinds_in_different_files():
    codes = [spec.code for spec in stages.specs() if spec.code is not None]
    assert [code.kind for code in codes] == ["style", "content"]
    assert len({code.statistics_file for code in codes}) == len(codes)


def test_an_unknown_stage_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UserError, match=r"one of \('metric', .*'gan'\), got 'metrik'"):
        stages.spec("metrik")


def test_a_registered_stage_follows_the_others():
    toy = dataclasses.replace(stages.spec("vae"), name="toy")

    stages.register(toy)

    assert stages.names() == ("metric", "classifier", "vae", "gan", "toy")
    assert stages.spec("toy") is stages.specs()[-1] is toy


def test_a_stage_of_the_same_name_replaces_the_registered_one():
    other = dataclasses.replace(stages.spec("vae"), keeps_best=False)

    stages.register(other)

    assert stages.names() == ("metric", "classifier", "vae", "gan")
    assert stages.spec("vae") is other
