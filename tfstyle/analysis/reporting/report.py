"""The figures of a run and its report: what `python -m tfstyle.figures` draws."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfstyle.analysis.drawing.artist_map import require_umap
from tfstyle.analysis.drawing.examples import FixedPictures
from tfstyle.analysis.drawing.page import Picture, Section, write_report
from tfstyle.analysis.evaluation.comparison import (
    Comparison,
    check_comparable,
    compare_runs,
)
from tfstyle.analysis.evaluation.run import Evaluation, load_or_evaluate
from tfstyle.analysis.reporting.content import content_section
from tfstyle.analysis.reporting.dimensions import dimensions_section
from tfstyle.analysis.reporting.generator import (
    GeneratorFigures,
    draw_frechet_curve,
    measures_section,
)
from tfstyle.analysis.reporting.quality import quality_section, transfers_section
from tfstyle.analysis.reporting.style import (
    comparison_section,
    confusions_section,
    style_section,
)
from tfstyle.analysis.results import name_pictures
from tfstyle.core.names import show
from tfstyle.data.records import Dataset
from tfstyle.modeling.stages import gan
from tfstyle.runs.trained_run import TrainedRun, name_bad_records

_EXAMPLES = 12
_INTRODUCTION = (
    "tfstyle learns the styles of artists from their pictures, and generates new "
    "pictures in these styles. Figures are numbered as in the paper that it "
    "implements: Anime Style Space Exploration Using Metric Learning and Generative "
    "Adversarial Networks (arXiv 1805.07997)."
)


# By whether there are test pictures.
_TEST_NOTES = {
    True: "Test pictures were not trained on, unless a section says so.",
    False: "All numbers are of training pictures, because there are no others.",
}


def draw_runs(
    runs: Sequence[TrainedRun], seed: int = 0, projection: str = "pca"
) -> list[pathlib.Path]:
    """Draw each run; figure 1 and the report of the first compare several.

    Args:
        runs: the runs.
        seed: of random codes.
        projection: of the maps of artists, "pca" or "umap".

    Returns:
        Path of each run's report.

    Raises:
        UserError: if runs cannot be compared, a run cannot be drawn, or UMAP is needed
            and not installed.
    """
    if projection == "umap":
        require_umap()
    check_comparable(runs)
    for run in runs:
        # Refuses malformed names before minutes of measuring.
        _ = run.dimension_names
    comparison = compare_runs(runs) if len(runs) > 1 else None
    return [
        draw_run(run, seed, None if number else comparison, projection)
        for number, run in enumerate(runs)
    ]


@name_bad_records
def draw_run(
    run: TrainedRun,
    seed: int = 0,
    comparison: Comparison | None = None,
    projection: str = "pca",
) -> pathlib.Path:
    """Draw every figure that the trained stages allow, and the report.

    A comparison of several runs replaces the run alone in figure 1; other arguments are
    those of `draw_runs`.

    Returns:
        Path of the report.

    Raises:
        UserError: if no stage is trained, dimension_names.tsv is malformed, or a record
            is corrupt.
    """
    _ = run.dimension_names
    evaluation = load_or_evaluate(run)
    folder = run.path / "figures"
    fixed = FixedPictures.choose(run.dataset, run.dataset.test_split, _EXAMPLES)
    sections = [_introduce(run, evaluation)]
    if evaluation.style:
        sections.append(style_section(run, evaluation.style, folder, comparison))
        confusions = confusions_section(run, evaluation.style, folder)
        sections += [confusions] if confusions else []
    if comparison and comparison.recommended:
        sections.append(comparison_section(comparison))
    if evaluation.style and evaluation.style.metric:
        has_generator = evaluation.generator is not None
        sections.append(
            dimensions_section(run, folder, seed, projection, has_generator)
        )
    if evaluation.content:
        sections.append(content_section(run, evaluation.content, folder, fixed))
    if evaluation.generator:
        curve = draw_frechet_curve(run.folder(gan.SPEC.name), folder)
        sections.append(measures_section(evaluation))
        sections.append(quality_section(evaluation, folder, curve))
        transfers = evaluation.generator.transfers
        if transfers:
            sections.append(transfers_section(run, transfers, folder))
        rng = np.random.default_rng(seed)
        sections += GeneratorFigures(run, folder, fixed, rng).draw_sections()
    sections = [sections[0], *(_name_pictures(s, evaluation) for s in sections[1:])]
    report = run.path / "report.html"
    write_report(report, f"tfstyle: {show(run.path.name)}", sections)
    return report


def _introduce(run: TrainedRun, evaluation: Evaluation) -> Section:
    size = run.dataset.image_size
    rows: list[list[object]] = [["stage", "steps trained"]]
    rows += [[stage, steps] for stage, steps in evaluation.steps.items()]
    return Section(
        "The collection and the run",
        f"{_INTRODUCTION}\n\n{evaluation.train_pictures} training and "
        f"{evaluation.test_pictures} test pictures of {evaluation.artists} artists, "
        f"{size}x{size} pixels. {_TEST_NOTES[evaluation.split == 'test']}",
        table=rows,
        more=_tabulate_rights(run.dataset),
    )


def _name_pictures(section: Section, evaluation: Evaluation) -> Section:
    """Call the measured pictures training pictures if that is what they are."""

    def rename(value: Any) -> Any:
        if isinstance(value, str):
            return name_pictures(value, evaluation.split)
        if isinstance(value, Picture):
            return dataclasses.replace(
                value, caption=rename(value.caption), alt=rename(value.alt)
            )
        return [*map(rename, value)] if isinstance(value, Sequence) else value

    fields = ("text", "table", "more", "pictures")
    return dataclasses.replace(
        section, **{name: rename(getattr(section, name)) for name in fields}
    )


def _tabulate_rights(dataset: Dataset) -> list[list[object]]:
    """Tabulate licences and creators, the most frequent first; empty if unknown."""
    if not dataset.rights:
        return []
    rows = sorted(dataset.rights, key=lambda rights: -rights.pictures)
    head: list[object] = ["licence", "creator", "pictures"]
    return [
        head,
        *([r.licence or "unknown", r.creator or "unknown", r.pictures] for r in rows),
    ]
