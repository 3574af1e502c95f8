"""The training stages, in the order in which a run is trained.

A new stage is a module with a `StageSpec`, named here.
"""

from tfstyle.core.cli import UserError
from tfstyle.core.typed import shorten
from tfstyle.modeling.stages import classifier, gan, metric, vae
from tfstyle.modeling.stages.stage import StageSpec

_SPECS: dict[str, StageSpec] = {
    spec.name: spec for spec in (metric.SPEC, classifier.SPEC, vae.SPEC, gan.SPEC)
}


def names() -> tuple[str, ...]:
    """Return the names of all stages, in the order in which a run is trained."""
    return tuple(_SPECS)


def specs() -> tuple[StageSpec, ...]:
    """Return all stages, in the same order."""
    return tuple(_SPECS.values())


def spec(name: str) -> StageSpec:
    """Look up a stage.

    Raises:
        UserError: if there is no stage of this name.
    """
    if name not in _SPECS:
        raise UserError(f"train.stage must be one of {names()}, got {shorten(name)}")
    return _SPECS[name]


def register(new: StageSpec) -> None:
    """Add a stage behind the others; one of the same name is replaced."""
    _SPECS[new.name] = new
