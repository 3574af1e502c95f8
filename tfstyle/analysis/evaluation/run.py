"""The evaluation of a run: what `python -m tfstyle.evaluate` computes."""

import dataclasses
import logging
from collections.abc import Collection
from typing import Any

from tfstyle.analysis.evaluation import content, generator, style
from tfstyle.analysis.evaluation.content import Content
from tfstyle.analysis.evaluation.generator import Generator
from tfstyle.analysis.evaluation.style import Style
from tfstyle.analysis.results import Options, from_json, merge, name_pictures, to_json
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.names import format_count
from tfstyle.modeling import stages as registry
from tfstyle.modeling.stages import metric
from tfstyle.runs import advice, retrained
from tfstyle.runs.trained_run import TrainedRun, name_bad_records

logger = logging.getLogger(__name__)

EVALUATION_FILE = "evaluation.json"
# Raised when results change their meaning; older ones are measured again.
EVALUATION_FORMAT = 7
PARTS = (style.METRIC, style.CLASSIFIER, content.PART, generator.PART)

Digests = dict[str, list[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What evaluation.json holds; results of untrained stages are None.

    Args:
        format: see EVALUATION_FORMAT.
        artists: number of artists.
        train_pictures: number of training pictures.
        test_pictures: number of test pictures.
        split: of the pictures that were measured: "train" without test pictures.
        steps: steps trained, by stage.
        digests: identify the weights and codes that were measured, by stage.
        unmeasured: trained stages without a result; None if all have one.
        style: of the metric and the classifier stage.
        content: of the vae stage.
        generator: of the gan stage.
    """

    format: int
    artists: int
    train_pictures: int
    test_pictures: int
    split: str = "test"
    steps: dict[str, int]
    digests: Digests
    unmeasured: list[str] | None = None
    style: Style | None = None
    content: Content | None = None
    generator: Generator | None = None

    @classmethod
    def read(cls, run: TrainedRun) -> "Evaluation | None":
        """Read evaluation.json; None if it is missing or of another format."""
        path = run.path / EVALUATION_FILE
        if not path.exists():
            return None
        try:
            evaluation: Evaluation = from_json(cls, files.read_json(path))
        except UserError as error:
            logger.warning("warning: %s; the run is measured again", error)
            return None
        except (ValueError, TypeError):
            return None
        return evaluation if evaluation.format == EVALUATION_FORMAT else None

    def write(self, run: TrainedRun) -> None:
        """Write evaluation.json."""
        files.write_json(run.path / EVALUATION_FILE, to_json(self))

    def is_current(self, stages: Collection[str], digests: Digests) -> bool:
        """Return whether stages are the same as when they were measured."""
        return all(self.digests.get(name) == digests.get(name) for name in stages)

    def summarize(self) -> list[str]:
        """Format the most important results as lines of text."""
        steps = ", ".join(f"{stage} {steps}" for stage, steps in self.steps.items())
        pictures = format_count(self.test_pictures, "test picture")
        artists = format_count(self.artists, "artist")
        lines = []
        if self.style:
            lines += self.style.summarize()
        if self.content:
            lines += self.content.summarize()
        if self.generator:
            lines += self.generator.summarize(self.artists, self.content)
        lines = [name_pictures(line, self.split) for line in lines]
        if self.split != "test":
            lines.insert(0, f"note: these are numbers of {self.split}ing pictures")
        return [f"{pictures} of {artists}; {steps} steps", *lines]


@name_bad_records
def evaluate_run(
    run: TrainedRun,
    options: Options | None = None,
    stages: Collection[str] | None = None,
) -> Evaluation:
    """Measure trained stages, and write the results into the run.

    Args:
        run: the run.
        options: what to measure beside the usual.
        stages: to measure; all that are trained by default. Results of the others are
            kept if nothing that they depend on was trained since.

    Raises:
        UserError: if no stage is trained, one of `stages` is not, or a record is
            corrupt.
    """
    dataset = run.dataset
    _check_trained(run, stages)
    digests = _read_digests(run)
    previous = Evaluation.read(run)
    results: dict[str, Any] = {}
    unmeasured = []
    for part in PARTS:
        if part.stage not in run.finished:
            continue
        result = None
        if stages is None or part.stage in stages:
            result = part.measure(run, options or Options())
        elif previous and previous.is_current(part.depends_on, digests):
            result = part.extract(getattr(previous, part.place))
        if result is None:
            unmeasured.append(part.stage)
        else:
            results[part.place] = merge(results.get(part.place), result)
    if unmeasured:
        logger.info("not measured yet: %s", ", ".join(unmeasured))
    evaluation = Evaluation(
        format=EVALUATION_FORMAT,
        artists=len(dataset.artists),
        train_pictures=dataset.num_examples("train"),
        test_pictures=dataset.num_examples("test"),
        split=dataset.test_split,
        steps={name: run.description(name).steps for name in run.finished},
        digests=digests,
        unmeasured=unmeasured or None,
        **results,
    )
    evaluation.write(run)
    return evaluation


def load_current(
    run: TrainedRun, stages: Collection[str] | None = None
) -> Evaluation | None:
    """Read the evaluation of a run, if it is complete and current for some stages.

    Stages that are not trained need no results; all stages are checked by default.
    """
    stages = registry.names() if stages is None else stages
    evaluation = Evaluation.read(run)
    if evaluation is None or set(stages) & set(evaluation.unmeasured or ()):
        return None
    return evaluation if evaluation.is_current(stages, _read_digests(run)) else None


def load_or_evaluate(
    run: TrainedRun, stages: Collection[str] | None = None
) -> Evaluation:
    """Read the evaluation of a run, and evaluate the run if that is out of date."""
    return load_current(run, stages) or evaluate_run(run, stages=stages)


def _check_trained(run: TrainedRun, stages: Collection[str] | None) -> None:
    if not run.finished:
        raise UserError(
            f"{run.path} contains no finished stage; begin with: "
            f"{advice.train_command(metric.SPEC.name, run.path)}"
        )
    missing = [name for name in registry.names() if name not in run.finished]
    for name in missing:
        if name in (stages or ()):
            raise UserError(
                f"the {name} stage in {run.path} is not trained; train it with: "
                f"{advice.train_command(name, run.path)}"
            )
    if missing:
        logger.info("skipped untrained stages: %s", ", ".join(missing))


def _read_digests(run: TrainedRun) -> Digests:
    """Identify the weights and codes of all finished stages, wherever the run is."""
    folders = [run.folder(name) for name in registry.names()]
    digests: Digests = {}
    for folder in [*folders, *retrained.find_folders(run.path).values()]:
        if folder.finished:
            digests.setdefault(folder.stage, []).append(folder.digest)
    return digests
