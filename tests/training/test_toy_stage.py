"""A fifth stage is a settings class, a `Stage` and a `StageSpec`: all are here.

It is registered and trained on top of the metric stage; no module of tfstyle knows it.
"""

import dataclasses
import json
import pathlib
import shutil
import signal
from collections.abc import Callable

import gin
import pytest
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.layers import assert_same, differ
from tfstyle.core.cli import UserError
from tfstyle.modeling import stages
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import PictureTable
from tfstyle.modeling.objectives import generation
from tfstyle.modeling.stages.optimizers import adam
from tfstyle.modeling.stages.stage import Stage, StageSpec
from tfstyle.runs import advice
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import trainer
from tfstyle.training.settings import Paths, TrainSettings

SETTINGS = TrainSettings(
    stage="metric",  # replaced once the toy is registered
    batch_size=8,
    steps=2,
    image_size=tiny.IMAGE_SIZE,
    log_interval=1,
    strategy="one_device",
)


@gin.configurable(name_or_fn="toy")
@dataclasses.dataclass(frozen=True)
class ToySettings:
    """Settings of the toy stage; bound in gin as `toy.NAME`."""

    weight: float = 1.0
    optimizer: Callable = adam

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise UserError(f"toy.weight must be above 0, got {self.weight}")


class Student(networks.StyleEncoder):
    """A network that only this stage has."""


class ToyStage(Stage):
    """A small encoder that learns to give the style codes of the metric stage."""

    def __init__(self, student, settings, context):
        super().__init__(settings, context, name="toy")
        self.style_encoder = context.codes.style_encoder
        self.style_encoder.trainable = False
        self.student = student
        self._weight = settings.weight
        self.declare_means("loss", "eval_loss")

    @property
    def networks(self):
        return {"student": self.student}

    @property
    def parameter_groups(self):
        return [self.student.trainable_variables]

    def compute_gradients(self, images, artist_ids, draws):
        styles = self.style_encoder(images)
        with tf.GradientTape() as tape:
            codes = self.student(images, training=True)
            losses = self._weight * generation.code_loss(codes, styles)
            loss = tf.reduce_sum(losses) / draws.total
        self.record("loss", losses)
        return [self.group_gradients(tape, loss, 0)]

    def evaluation_terms(self, images, artist_ids):
        styles = self.style_encoder(images)
        return {"loss": generation.code_loss(self.student(images), styles)}

    def preview(self, pictures, names, view):
        return PictureTable([list(pictures)], column_captions=names, title="toy")


def build(settings, context):
    student = Student((4,), (1,), context.codes.style_encoder.dims)
    student.build_variables(context.image_size)
    return ToyStage(student, settings, context), [settings.optimizer()]


@pytest.fixture(autouse=True)
def toy(clean_gin, monkeypatch):
    """Register the stage for one test; undo what training sets for the process."""
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    monkeypatch.setattr(stages, "_SPECS", dict(stages._SPECS))
    stages.register(StageSpec("toy", ToySettings, build, (Student,), needs=("metric",)))
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def run_dir(tiny_run, tmp_path) -> pathlib.Path:
    return runs.keep_stages(tiny_run, tmp_path / "run", "metric")


def train(run_dir, dataset, **settings) -> None:
    trainer.train(
        Paths(dataset.records_dir, run_dir, pathlib.Path("gin")),
        dataclasses.replace(SETTINGS, stage="toy", **settings),
    )


def test_the_registry_is_restored_after_each_of_these_tests(monkeypatch):
    assert stages.names() == ("metric", "classifier", "vae", "gan", "toy")
    monkeypatch.undo()
    assert stages.names() == ("metric", "classifier", "vae", "gan")


def test_a_registered_stage_is_trained_like_the_others(run_dir, small_records, caplog):
    gin.parse_config("toy.weight = 2.0")

    train(run_dir, small_records)

    folder = TrainedRun(run_dir).folder("toy")
    assert (folder.path / "FINISHED").read_text() == "step 2\n"
    described = folder.read()
    assert (described.stage, described.steps) == ("toy", 2)
    assert described.objective == {"weight": 2.0}
    assert described.networks["student"]["class"] == "Student"
    metric = TrainedRun(run_dir).style_statistics.digest
    assert described.identity["earlier_stages"] == {"metric": metric}
    with Image.open(folder.previews / "step-0000002.png") as preview:
        assert preview.width > 8 * tiny.IMAGE_SIZE
    log = [json.loads(line) for line in folder.metrics_file.open()]
    names = {(line["kind"], line["step"], line["name"]) for line in log}
    assert {("train", 1, "loss"), ("train", 2, "loss"), ("eval", 2, "eval_loss")} < (
        names
    )
    config = (folder.path / "operative_config.gin").read_text()
    assert "toy.weight = 2.0" in config
    assert "toy: 2 steps of 8 pictures, from the beginning" in caplog.text
    assert "toy: trained to step 2" in caplog.text


def test_a_trained_toy_is_a_finished_stage_of_its_run(run_dir, small_records):
    train(run_dir, small_records)

    run = TrainedRun(run_dir)

    assert list(run.finished) == ["metric", "toy"]
    student = run.network("toy", "student")
    assert isinstance(student, Student)
    assert student.get_config()["dims"] == tiny.STYLE_DIMS
    # Trained: not the weights that its seed gives to an untrained network.
    settings = dataclasses.replace(SETTINGS, stage="toy")
    untrained = trainer.build_stage(settings, run, small_records).student
    assert differ(student.get_weights(), untrained.get_weights())


def test_the_same_command_resumes_the_stage(run_dir, small_records, caplog):
    train(run_dir, small_records)
    train(run_dir, small_records)
    assert "toy: already trained to step 2" in caplog.text
    caplog.clear()

    train(run_dir, small_records, steps=3)

    assert "resuming from step 2, where it was finished" in caplog.text
    folder = TrainedRun(run_dir).folder("toy")
    assert (folder.path / "FINISHED").read_text() == "step 3\n"


def test_stopping_between_steps_changes_nothing(run_dir, small_records):
    """Steps 1 and 2 in one training, or in two."""
    train(run_dir, small_records)
    expected = TrainedRun(run_dir).network("toy", "student").get_weights()
    shutil.rmtree(run_dir / "toy")

    for steps in (1, 2):
        train(run_dir, small_records, steps=steps)

    student = TrainedRun(run_dir).network("toy", "student")
    assert_same(student.get_weights(), expected)


def test_other_settings_are_refused(run_dir, small_records):
    train(run_dir, small_records)
    gin.parse_config("toy.weight = 2.0")
    with pytest.raises(UserError, match="objective.weight: 1.0 -> 2.0"):
        train(run_dir, small_records)
    gin.parse_config("toy.weight = 0")
    with pytest.raises(UserError, match="toy.weight must be above 0, got 0"):
        train(run_dir, small_records)


def test_it_is_not_trained_without_the_stage_that_it_needs(tmp_path, small_records):
    with pytest.raises(UserError, match="toy stage needs a trained metric stage"):
        train(tmp_path / "run", small_records)


def test_it_is_skipped_when_the_codes_that_it_needs_have_changed(
    run_dir, small_records, caplog
):
    train(run_dir, small_records)
    run = TrainedRun(run_dir)
    statistics = run.style_statistics
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(
        run.folder("metric").statistics_file
    )

    assert list(run.finished) == ["metric"]

    assert advice.describe_outdated("toy", run_dir) in caplog.text


def test_its_settings_can_be_bound_and_its_command_is_suggested(run_dir):
    assert trainer.list_configurables()["toy"] is ToySettings
    assert "--gin_file=gin/toy.gin" in advice.train_command("toy", run_dir)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            "OOM when allocating tensor",
            "out of memory: lower train.batch_size=8, or raise .*accumulation_steps=1 ",
        ),
        ("/run: No space left on device", "the disk is full: .*No space left"),
    ],
)
def test_exhausted_memory_and_disks_are_one_line(
    failure, message, run_dir, small_records, monkeypatch
):
    def fail(model, *args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, failure)

    monkeypatch.setattr(ToyStage, "fit", fail)
    with pytest.raises(UserError, match=message):
        train(run_dir, small_records)
    assert not TrainedRun(run_dir).folder("toy").finished


def test_a_dry_run_writes_nothing(run_dir, small_records, caplog):
    paths = Paths(small_records.records_dir, run_dir, pathlib.Path("gin"), dry_run=True)
    trainer.train(paths, dataclasses.replace(SETTINGS, stage="toy"))
    assert "toy: 2 steps of 8 pictures" in caplog.text
    assert not (run_dir / "toy").exists()
