"""Generated pictures against real ones in the report: every kind, every measure."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.curves import write_curves
from tfstyle.analysis.drawing.page import Picture, Section, list_pictures
from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.analysis.realism.fidelity import Distances, Fidelity
from tfstyle.analysis.realism.quality import KindQuality, Quality
from tfstyle.analysis.realism.samples import KINDS
from tfstyle.analysis.realism.transfers import (
    LABELS,
    METHODS,
    Agreement,
    TransferMeasure,
    Transfers,
)
from tfstyle.analysis.results import Result, list_meanings
from tfstyle.runs.trained_run import TrainedRun

Cells = list[list[object]]
# Transfers that are shown beside the true pictures.
_EXAMPLES = 10


def quality_section(
    evaluation: Evaluation, folder: Path, pictures: Iterable[Picture] = ()
) -> Section:
    """Tabulate how all kinds of pictures compare with real ones; draw their spectra.

    Args:
        evaluation: of a run whose generator was measured.
        folder: of the figures.
        pictures: to show after the spectra.
    """
    generator = evaluation.generator
    assert generator is not None
    text, drawn = [_INTRODUCTION], [*pictures]
    if generator.quality:
        text.append(_describe_quality(generator.quality))
        drawn = [*_draw_spectra(generator.quality, folder), *drawn]
    if generator.fidelity:
        unseen = generator.test_pictures_unseen
        text.append(_describe_fidelity(generator.fidelity, unseen))
    return Section(
        "Generated pictures against real ones",
        "\n\n".join(text),
        table=_tabulate_quality(generator.quality) if generator.quality else [],
        more=_tabulate_fidelity(generator.fidelity) if generator.fidelity else [],
        pictures=drawn,
    )


def transfers_section(run: TrainedRun, transfers: Transfers, folder: Path) -> Section:
    """Tabulate how transfers compare with true pictures; show some."""
    meanings = "\n".join(
        f"{label}: {meaning}" for label, meaning in list_meanings(Agreement).items()
    )
    origin = "test" if transfers.matched_by == LABELS else "training"
    examples = TransferMeasure(run).draw_examples(_EXAMPLES)
    if examples:
        rows = [[*row] for row in zip(*examples.values(), strict=True)]
        sheet = grids.draw_grid(rows, column_captions=[*examples])
        grids.write_picture(sheet, folder / "transfers.png")
    return Section(
        "Transfers against true pictures",
        f"{transfers.pictures} test pictures whose content another artist drew too: "
        f"that other {origin} picture gives the content, a training picture by the "
        "artist of the true one gives the style. Works with the same "
        f"{transfers.matched_by} were taken to show the same. {transfers.unseen} "
        "pictures combine a content and an artist that no training picture combines."
        f"\n{meanings}",
        table=_tabulate(
            {METHODS[name]: row for name, row in transfers.methods.items()}
        ),
        pictures=list_pictures(
            folder,
            {
                "transfers.png": "Transfers to unseen combinations, if there are any, "
                "beside the true pictures."
            },
        ),
    )


_INTRODUCTION = (
    "Each row is a kind of pictures. Real pictures are the best possible. Real "
    "pictures that were blurred, superimposed on another one by the same artist, "
    "averaged over an artist, or whose pixels were shuffled show what a measure "
    "overlooks: one that finds no fault with them says little about the others. VAE "
    "pictures are decoded from the same styles and contents as the generated ones; "
    "drawn styles are those that tfstyle.generate draws. Values depend on the number "
    "of pictures, so compare them within this page only."
)


def _describe_quality(quality: Quality) -> str:
    used = {
        label for result in quality.kinds.values() for label in result.list_values()
    }
    meanings = "\n".join(
        f"{label}: {meaning}"
        for label, meaning in list_meanings(KindQuality).items()
        if label in used
    )
    return (
        f"By pixels, {quality.pictures} pictures of each kind against as many training "
        f"pictures, or the nearest of {quality.train_pictures}. No network that the "
        f"generator was trained against takes part.\n{meanings}"
    )


def _describe_fidelity(fidelity: Fidelity, unseen: bool) -> str:
    compared = f"the {fidelity.train_pictures} training pictures"
    if fidelity.against_test:
        trained_on = "" if unseen else " (which were trained on)"
        compared += f" and the {fidelity.pictures} test pictures{trained_on}"
    meanings = "\n".join(
        f"{label}: {meaning}" for label, meaning in list_meanings(Distances).items()
    )
    return (
        "By the classifier's features (the second table), "
        f"{fidelity.pictures} pictures of each kind, by the same artists, against "
        f"{compared}. Real pictures are test pictures compared with training pictures, "
        f"and vice versa.\n{meanings}"
    )


def _tabulate_quality(quality: Quality) -> Cells:
    return _tabulate({KINDS[kind]: row for kind, row in _in_order(quality.kinds)})


def _tabulate_fidelity(fidelity: Fidelity) -> Cells:
    rows = {
        f"{KINDS[kind]}, to {name}": row
        for name, kinds in fidelity.comparisons.items()
        for kind, row in _in_order(kinds)
    }
    return _tabulate(rows)


def _tabulate(rows: Mapping[str, Result]) -> Cells:
    """Return a row per result and a column per measure that any of them has."""
    kind = type(next(iter(rows.values())))
    labels = list(list_meanings(kind))
    cells = {label: result.list_values() for label, result in rows.items()}
    used = [name for name in labels if any(name in row for row in cells.values())]
    table: Cells = [["pictures", *used]]
    table += [[label, *map(row.get, used)] for label, row in cells.items()]
    return table


def _in_order(kinds: Mapping[str, Result]) -> list[tuple[str, Result]]:
    return [(kind, kinds[kind]) for kind in KINDS if kind in kinds]


def _draw_spectra(quality: Quality, folder: Path) -> list[Picture]:
    write_curves(
        folder / "spectra.png",
        {
            # Frequency 0 was subtracted, and has no place on a log axis.
            KINDS[kind]: (range(1, len(energies)), energies[1:])
            for kind, energies in quality.spectra.items()
        },
        xlabel="cycles per picture, along rows or columns",
        ylabel="energy",
        title="Spectra of generated and real pictures",
        log_y=True,
    )
    caption = (
        "Mean energy of the pictures by frequency. A peak at half, a quarter, or an "
        "eighth of the pixels is a dot grid; less than real pictures have at high "
        "frequencies is blur."
    )
    return list_pictures(folder, {"spectra.png": caption})
