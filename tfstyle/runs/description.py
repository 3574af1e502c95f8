"""run.json: what a stage was trained on, with which settings and networks."""

import dataclasses
import json
import logging
import pathlib
from typing import Any, TypedDict

from tfstyle.core import files, typed
from tfstyle.core.cli import UserError
from tfstyle.data.collections.splits import ARTIST_SPLITS, SplitRule
from tfstyle.data.pictures import FITS
from tfstyle.data.records import COLOR, Dataset
from tfstyle.modeling import stages

logger = logging.getLogger(__name__)

# Raised when run.json or the files beside it change; older runs are refused.
FORMAT_VERSION = 2


@dataclasses.dataclass(frozen=True)
class Collection:
    """The records that a stage was trained on, and how their pictures were made."""

    records_dir: str  # absolute
    digest: str
    image_size: int  # side of the pictures in pixels
    fit: str  # how pictures were squared: crop, pad or stretch
    background: str  # behind transparent pictures, #rrggbb
    artists: list[str]  # names, in the order of their labels
    # The division into splits, and the rule behind it; None in older records and runs.
    split_digest: str | None = None
    split_rule: dict[str, Any] | None = None

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> "Collection":
        """Describe records."""
        return cls(
            str(pathlib.Path(dataset.records_dir).resolve()),
            dataset.digest,
            dataset.image_size,
            dataset.fit,
            dataset.background,
            dataset.artist_names,
            dataset.split_digest,
            {
                field.name: dataset.settings.get(field.name)
                for field in dataclasses.fields(SplitRule)
            },
        )

    def describe_difference(self, other: "Collection") -> str | None:
        """Describe how other records differ from these; None if they are the same.

        The same records may have been moved. Their splits are compared if they are
        known of both.
        """
        here, there = self.records_dir, other.records_dir
        if self.digest != other.digest:
            return f"{there} holds other pictures than {here} did"
        digests = {self.split_digest, other.split_digest}
        if None in digests or len(digests) == 1:
            return None
        rules = [self.split_rule or {}, other.split_rule or {}]
        names = [name for name in rules[0] if rules[0][name] != rules[1].get(name)]
        old, new = (
            ", ".join(f"--{name}={rule.get(name)}" for name in names) for rule in rules
        )
        reason = f"were made with {new}, not {old}" if names else "have other groups"
        return (
            f"{there} holds the same pictures as {here} did, but in other splits: its "
            f"records {reason}"
        )

    def note_unknown_splits(self, other: "Collection") -> None:
        """Log a note if the splits of these or other records are not known."""
        if None in (self.split_digest, other.split_digest):
            logger.info(
                "note: that %s has the same training and test pictures as in training "
                "is not checked: %s of an older tfstyle does not tell",
                other.records_dir,
                "the run" if self.split_digest is None else "its dataset.json",
            )


# A network as `describe_networks` describes it.
Network = TypedDict(
    "Network", {"class": str, "config": dict[str, Any], "parameters": int}
)


class _Encoder(TypedDict):
    """What commands read of the configuration of a style encoder."""

    dims: int


class _Identity(TypedDict):
    """What commands read of the identity."""

    dataset: str
    earlier_stages: dict[str, str | None]
    networks: dict[str, dict[str, Any]]
    objective: dict[str, Any]
    seed: int
    splits: list[str]


@dataclasses.dataclass(frozen=True)
class StageDescription:
    """What run.json holds."""

    stage: str
    steps: int  # where training ends
    strategy: str  # of distribution
    replicas: int
    dataset: Collection
    networks: dict[str, Network]  # by name; networks are rebuilt by them
    code_sizes: list[int]  # of the codes that the stage's decoder takes
    # The settings that a resumed run must have kept, as JSON values.
    identity: dict[str, Any]
    init_from: str | None = None  # run that the first weights were taken from
    gin_dir: str = "gin"  # folder of the configuration
    format_version: int = FORMAT_VERSION

    @property
    def objective(self) -> dict[str, Any]:
        """The stage's own settings."""
        return self.identity["objective"]

    def write(self, path: pathlib.Path) -> None:
        """Write run.json."""
        files.write_json(path, {**vars(self), "dataset": vars(self.dataset)})

    @classmethod
    def read(cls, path: pathlib.Path) -> "StageDescription":
        """Read run.json.

        Raises:
            UserError: if the file is corrupt or of another version of tfstyle.
        """
        values = files.read_json(path)
        version = values.get("format_version") if isinstance(values, dict) else None
        if version is not None and version != FORMAT_VERSION:
            raise UserError(
                f"{path} has format version {version}, this version of tfstyle reads "
                f"{FORMAT_VERSION}: train the stage again with --restart"
            )
        try:
            description: StageDescription = typed.convert(cls, values)
            description._check()
        except ValueError as error:
            raise UserError(f"{path} is corrupt: {error}") from None
        return description

    def _check(self) -> None:
        """Raise ValueError if a part that commands rely on is missing or impossible."""
        spec = stages.spec(self.stage)
        typed.convert(_Identity, self.identity, "identity")
        unknown = set(self.identity["splits"]).difference(ARTIST_SPLITS)
        if unknown:
            raise ValueError(f"identity.splits has unknown {sorted(unknown)}")
        fit, background = self.dataset.fit, self.dataset.background
        if fit not in FITS or not COLOR.fullmatch(background):
            raise ValueError(f"fit or background is unknown: {fit!r}, {background!r}")
        numbers = {"steps": self.steps, "image_size": self.dataset.image_size}
        numbers |= {f"code_sizes[{i}]": size for i, size in enumerate(self.code_sizes)}
        for name, number in numbers.items():
            if number < 1:
                raise ValueError(f"{name} is {number}, not above 0")
        if spec.classify:
            encoder = self.networks.get("style_encoder")
            config = encoder["config"] if encoder else None
            typed.convert(_Encoder, config, "networks.style_encoder.config")


def describe_networks(networks: dict[str, Any]) -> dict[str, Any]:
    """Return what run.json records of `Stage.networks`; plain layers are skipped."""
    return {
        name: {
            "class": type(network).__name__,
            "config": network.get_config(),
            "parameters": int(network.count_params()),
        }
        for name, network in networks.items()
        if hasattr(network, "build_variables")
    }


def list_changes(old: StageDescription, new: StageDescription) -> list[str]:
    """List what keeps a stage from being resumed: settings, pictures, codes."""
    before, now = dict(old.identity), dict(new.identity)
    digests = [identity.pop("dataset", None) for identity in (before, now)]
    codes = [identity.pop("earlier_stages", None) or {} for identity in (before, now)]
    changes = list_differences(before, now)
    other = old.dataset.describe_difference(new.dataset)
    if other or digests[0] != digests[1]:
        changes.append(f"dataset: {other or 'other pictures'}")
    for stage in sorted({*codes[0], *codes[1]}):
        if codes[0].get(stage) != codes[1].get(stage):
            changes.append(f"earlier_stages: the {stage} stage has other codes now")
    return changes


def list_differences(old: Any, new: Any, name: str = "") -> list[str]:
    """List where two JSON values differ, as lines `name: old -> new`."""
    inner = []
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            inner.append((old.get(key), new.get(key), f"{name}.{key}".lstrip(".")))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, values in enumerate(zip(old, new, strict=True)):
            inner.append((*values, f"{name}[{index}]"))
    else:
        texts = [json.dumps(value, default=files.to_plain) for value in (old, new)]
        return [] if texts[0] == texts[1] else [f"{name}: {texts[0]} -> {texts[1]}"]
    return [line for values in inner for line in list_differences(*values)]
