"""The run folder: what a stage leaves behind, and how later commands load it.

RUN_DIR/recommendation.json      {style_dims, content_dims}
RUN_DIR/STAGE/run.json           networks, identity, dataset, device, steps
RUN_DIR/STAGE/metrics.jsonl      one line per logged number
RUN_DIR/STAGE/checkpoints/       step-*: to resume; best/; final: what goes on
RUN_DIR/STAGE/FINISHED           written last
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import zipfile
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.runs.advice import missing, train_command
from tfstyle.runs.statistics import CodeStatistics

STAGES = ("metric", "classifier", "vae", "gan")
# Stages whose code statistics a stage is trained on.
EARLIER_STAGES = {"vae": ("metric",), "gan": ("metric", "vae")}
FORMAT_VERSION = 1
FINAL_NAME = "weights"
STATISTICS_FILES = {
    "metric": "style_statistics.npz",
    "vae": "content_statistics.npz",
}


@dataclasses.dataclass(frozen=True)
class StageFolder:
    """Paths and files of one stage of a run."""

    run_dir: pathlib.Path
    stage: str

    @property
    def path(self) -> pathlib.Path:
        return self.run_dir / self.stage

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.path / "checkpoints"

    @property
    def previews(self) -> pathlib.Path:
        return self.path / "previews"

    @property
    def metrics_file(self) -> pathlib.Path:
        return self.path / "metrics.jsonl"

    @property
    def exists(self) -> bool:
        return (self.path / "run.json").exists()

    @property
    def finished(self) -> bool:
        return (self.path / "FINISHED").exists()

    @property
    def final_weights(self) -> str | None:
        """Prefix of the checkpoint of the networks that go on, if there is one."""
        prefix = self.checkpoints / "final" / FINAL_NAME
        return str(prefix) if prefix.with_suffix(".index").exists() else None

    @property
    def digest(self) -> str:
        """Identify the weights and codes that go on, of a finished stage."""
        # The index of a checkpoint holds the checksum of each tensor.
        parts = [self.checkpoints / "final" / f"{FINAL_NAME}.index"]
        if self.stage in STATISTICS_FILES:
            parts.append(self.path / STATISTICS_FILES[self.stage])
        held = b"".join(part.read_bytes() for part in parts if part.exists())
        return hashlib.sha256(held).hexdigest()

    def read(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            UserError: if the stage was never started or the file is damaged.
        """
        if not self.exists:
            raise UserError(missing(self.stage, self.run_dir))
        run = files.read_json(self.path / "run.json")
        if not isinstance(run, dict) or not run.keys() >= {"identity", "dataset"}:
            raise UserError(f"{self.path / 'run.json'} is damaged: it lacks entries")
        return run

    def write(self, run: dict[str, Any]) -> None:
        """Write run.json."""
        files.write_json(self.path / "run.json", run)

    def mark_finished(self, step: int) -> None:
        """Say that the stage is trained; to be called last."""
        files.write_text(self.path / "FINISHED", f"step {step}\n")

    def mark_unfinished(self) -> None:
        """Say that training goes on."""
        (self.path / "FINISHED").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the stage and all it holds."""
        shutil.rmtree(self.path, ignore_errors=True)


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """List where two JSON-able values differ, as lines `name: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in sorted(set(old) | set(new)):
            inner = f"{name}.{key}" if name else key
            lines += differences(old.get(key), new.get(key), inner)
        return lines
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        lines = []
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            lines += differences(one, other, f"{name}[{index}]")
        return lines
    same = json.dumps(old, default=files.plain) == json.dumps(new, default=files.plain)
    return [] if same else [f"{name}: {json.dumps(old)} -> {json.dumps(new)}"]


def read_recommendation(run_dir: pathlib.Path) -> dict[str, int]:
    """Read recommendation.json; empty if there is none."""
    path = run_dir / "recommendation.json"
    return files.read_json(path) if path.exists() else {}


def update_recommendation(run_dir: pathlib.Path, **dims: int) -> None:
    """Set entries of recommendation.json."""
    known = read_recommendation(run_dir)
    files.write_json(run_dir / "recommendation.json", {**known, **dims})


def load_network(folder: StageFolder, name: str) -> tf.keras.Model:
    """Rebuild one network of a trained stage with the weights that go on.

    Args:
        folder: of the stage.
        name: as in the stage's `networks`.

    Raises:
        UserError: if the stage has no final weights or lacks the network.
    """
    run = folder.read()
    if folder.final_weights is None:
        raise UserError(
            f"the {folder.stage} stage in {folder.run_dir} is unfinished; finish it "
            f"with: {train_command(folder.stage, folder.run_dir)}"
        )
    described = run["networks"][name]
    network = getattr(networks, described["class"])(**described["config"], name=name)
    network(_example_inputs(described, run))
    checkpoint = tf.train.Checkpoint(**{name: network})
    try:
        status = checkpoint.restore(folder.final_weights)
    except (tf.errors.OpError, IndexError) as error:
        raise UserError(
            f"the weights {folder.final_weights} are damaged: {str(error)[:100]}"
        ) from error
    status.assert_existing_objects_matched().expect_partial()
    return network


def load_arrays(folder: StageFolder, *names: str) -> list[np.ndarray]:
    """Read plain variables of the final weights, such as presumed styles.

    Args:
        folder: of the stage.
        names: `object/attribute`, as in the checkpoint.
    """
    reader = tf.train.load_checkpoint(folder.final_weights)
    return [reader.get_tensor(f"{one}/.ATTRIBUTES/VARIABLE_VALUE") for one in names]


def load_statistics(folder: StageFolder) -> CodeStatistics:
    """Read the code statistics of a metric or vae stage.

    Raises:
        UserError: if the stage is missing or unfinished, or the file is damaged.
    """
    folder.read()
    path = folder.path / STATISTICS_FILES[folder.stage]
    if not path.exists():
        raise UserError(
            f"the {folder.stage} stage in {folder.run_dir} is unfinished; finish it "
            f"with: {train_command(folder.stage, folder.run_dir)} "
            "(or pass --allow_unfinished to use it as it is)"
        )
    try:
        return CodeStatistics.read(path)
    except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        raise UserError(
            f"{path} is damaged: delete it and {folder.path / 'FINISHED'}, then make "
            f"it again with: {train_command(folder.stage, folder.run_dir)}"
        ) from None


def earlier_digests(stage: str, run_dir: pathlib.Path) -> dict[str, str | None]:
    """Identify the codes that a stage is trained on; None for a missing stage."""
    digests: dict[str, str | None] = {}
    for earlier in EARLIER_STAGES.get(stage, ()):
        folder = StageFolder(run_dir, earlier)
        known = (folder.path / STATISTICS_FILES[earlier]).exists()
        digests[earlier] = load_statistics(folder).digest if known else None
    return digests


def finished_stages(run_dir: pathlib.Path) -> dict[str, StageFolder]:
    """Find the finished stages of a run, by name.

    A stage whose earlier stages were trained again since is left out and said: its
    networks do not understand their codes.
    """
    found = {}
    for stage in STAGES:
        folder = StageFolder(run_dir, stage)
        if not folder.finished:
            continue
        recorded = folder.read()["identity"]["earlier_stages"]
        if recorded == earlier_digests(stage, run_dir):
            found[stage] = folder
        else:
            print(
                f"the {stage} stage in {run_dir} was trained on codes that are gone, "
                f"so it is left out; train it again with --restart"
            )
    return found


def load_style_encoder(run_dir: pathlib.Path) -> frozen_codes.NormalizedEncoder:
    """Load S of a run, pruned and normalized."""
    folder = StageFolder(run_dir, "metric")
    statistics = load_statistics(folder)
    encoder = load_network(folder, "style_encoder")
    return frozen_codes.NormalizedEncoder(
        encoder, statistics.mean, statistics.deviation
    )


def load_content_encoder(run_dir: pathlib.Path) -> frozen_codes.NormalizedEncoder:
    """Load Enc of a run, pruned: its mean, normalized if the statistics say so."""
    folder = StageFolder(run_dir, "vae")
    statistics = load_statistics(folder)
    encoder = load_network(folder, "content_encoder")
    scale = statistics.content_scale
    if statistics.given_style is None:
        return frozen_codes.NormalizedEncoder(encoder, *scale)
    return frozen_codes.StyleFreeEncoder(
        encoder, *scale, statistics.given_style, load_style_encoder(run_dir)
    )


def load_code_decoder(run_dir: pathlib.Path) -> frozen_codes.CodeDecoder:
    """Load Dec of a run, for codes of the run's normalized encoders."""
    folder = StageFolder(run_dir, "vae")
    statistics = load_statistics(folder)
    return frozen_codes.CodeDecoder(
        load_network(folder, "content_decoder"),
        *statistics.content_scale,
        statistics.given_style,
        content_dims=folder.read()["code_dims"][1],
    )


def load_dataset(run_dir: pathlib.Path) -> records.Dataset:
    """Open the records that a run was trained on.

    Raises:
        UserError: if no stage was started, or the records are gone or have changed.
    """
    for stage in STAGES:
        folder = StageFolder(run_dir, stage)
        if folder.exists:
            return load_stage_dataset(folder)
    if not run_dir.is_dir():
        raise UserError(missing("metric", run_dir))
    raise UserError(
        f"{run_dir} holds no trained stage; begin with: "
        f"{train_command('metric', run_dir)}"
    )


def load_stage_dataset(folder: StageFolder) -> records.Dataset:
    """Open the records that one stage was trained on; UserError as `load_dataset`."""
    described = folder.read()["dataset"]
    dataset = records.read_dataset(described["records_dir"])
    if dataset.digest != described["digest"]:
        raise UserError(
            f"{described['records_dir']} holds other pictures than {folder.path} "
            "was trained on"
        )
    return dataset


def describe_networks(stage_networks: dict[str, Any]) -> dict[str, Any]:
    """Give what run.json records of networks, for `load_network`."""
    return {
        name: {
            "class": type(network).__name__,
            "config": network.get_config(),
            "parameters": int(network.count_params()),
        }
        for name, network in stage_networks.items()
        if isinstance(network, tf.keras.Model)
    }


def _example_inputs(described: dict[str, Any], run: dict[str, Any]):
    """Zeros of the shapes that a network takes, to create its variables."""
    size = run["dataset"]["image_size"]
    images = tf.zeros([1, size, size, 3])
    kind, config = described["class"], described["config"]
    if kind == "Generator":
        return [tf.zeros([1, dims]) for dims in run["code_dims"]]
    if kind == "ContentDecoder":
        return [tf.zeros([1, dims]) for dims in run["code_dims"]]
    if kind == "DiscriminatorConsortium":
        scales = (config["image_size"] // config["patch_size"]).bit_length()
        return [images, tf.zeros([1, sum(4**k for k in range(scales)), 2])]
    return images
