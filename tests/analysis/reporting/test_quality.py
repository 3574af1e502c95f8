"""The report's tables of all kinds of pictures against real ones."""

import pytest
from PIL import Image

from tfstyle.analysis.drawing.page import Picture
from tfstyle.analysis.evaluation.generator import Generator
from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.analysis.realism.fidelity import Distances, Fidelity
from tfstyle.analysis.realism.quality import KindQuality, Quality
from tfstyle.analysis.realism.transfers import FILENAMES, METHODS, Agreement, Transfers
from tfstyle.analysis.reporting.quality import quality_section, transfers_section

FRECHET = {"generated": 12.6, "real": 3.16, "shuffled": 81.2}


def spread(mean, deviation=0.01):
    return {"mean": mean, "deviation": deviation}


def distances(frechet, deviation=0.01, with_neighbors=True) -> Distances:
    names = ("precision", "recall", "density", "coverage") if with_neighbors else ()
    return Distances(
        frechet_distance=spread(frechet, deviation),
        kernel_distance=spread(0.1),
        **{name: spread(0.5) for name in names},
    )


def qualities(fine, deviation=0.01) -> KindQuality:
    return KindQuality(
        lattice_2=spread(1.25, deviation),
        patches_full=spread(fine, deviation),
        patch_probe=spread(0.67, deviation),
        nearest_distance=spread(0.1, deviation),
        copies=spread(0.0, deviation),
    )


def make_evaluation(**measured) -> Evaluation:
    fields = ("style_encoder_accuracy", "style_error", "style_error_of_zeros")
    fields += ("content_error", "content_error_of_zeros", "reconstruction_error")
    unseen = measured.pop("unseen", True)
    return Evaluation(
        format=4,
        artists=12,
        train_pictures=600,
        test_pictures=120,
        steps={},
        digests={},
        generator=Generator(
            generated_pictures=240,
            seeds=[0],
            deviation={},
            test_pictures_unseen=unseen,
            **dict.fromkeys(fields, 0.5),
            **measured,
        ),
    )


@pytest.fixture
def fidelity() -> Fidelity:
    return Fidelity(
        protocol="",
        pictures=120,
        train_pictures=600,
        neighbours=5,
        seeds=[0, 1, 2],
        against_train={
            kind: distances(value, None if kind == "real" else 0.01)
            for kind, value in FRECHET.items()
        },
        against_test={
            kind: distances(value, with_neighbors=False)
            for kind, value in FRECHET.items()
        },
    )


@pytest.fixture
def quality() -> Quality:
    return Quality(
        protocol="",
        pictures=120,
        train_pictures=600,
        seeds=[0, 1, 2],
        spectra={"generated": [0.0, 3.0, 2.0], "real": [0.0, 4.0, 1.0]},
        kinds={"real": qualities(20.0, None), "prior": qualities(110.4)},
    )


def test_a_row_per_kind_and_a_column_per_measure(quality, tmp_path):
    section = quality_section(make_evaluation(quality=quality), tmp_path)

    head, *rows = section.table
    assert head[:4] == [
        "pictures",
        "lattice 2",
        "patches, full size",
        "patches recognized",
    ]
    # In the order of KINDS; what no kind has gets no column.
    assert rows[0][:4] == [
        "generated, drawn styles",
        "1.25 +- 0.01",
        "110 +- 0",
        "67% +- 1%",
    ]
    assert rows[1][:4] == ["real pictures", "1.25", "20", "67%"]
    assert "lattice 4" not in head and "classifier accuracy" not in head
    assert not section.more
    assert "120 pictures of each kind against as many training" in section.text
    assert "patches recognized: How often a small network" in section.text
    assert "lattice 4: " not in section.text


def test_fidelity_stands_beside_its_best_and_its_worst(fidelity, tmp_path):
    section = quality_section(make_evaluation(fidelity=fidelity), tmp_path)
    head, *rows = section.more

    assert head == [
        "pictures",
        "Frechet distance",
        "kernel distance",
        "precision",
        "density",
        "recall",
        "coverage",
    ]
    assert [row[:2] for row in rows] == [
        ["generated, mean styles, to training pictures", "12.6 +- 0.0"],
        ["real pictures, to training pictures", "3.2"],
        ["real, shuffled pixels, to training pictures", "81.2 +- 0.0"],
        ["generated, mean styles, to test pictures", "12.6 +- 0.0"],
        ["real pictures, to test pictures", "3.2 +- 0.0"],
        ["real, shuffled pixels, to test pictures", "81.2 +- 0.0"],
    ]
    # An artist has too few test pictures to count neighbors.
    assert [row[3] for row in rows] == ["50% +- 1%"] * 3 + [None] * 3
    assert "120 pictures of each kind" in section.text
    assert "600 training pictures and the 120 test pictures." in section.text
    assert not section.table


def test_test_pictures_that_were_trained_on_are_named(fidelity, tmp_path):
    evaluation = make_evaluation(fidelity=fidelity, unseen=False)

    assert "test pictures (which were trained on)" in (
        quality_section(evaluation, tmp_path).text
    )


def test_spectra_are_drawn_before_other_pictures(quality, tmp_path):
    other = Picture("other.png", "another")
    folder = tmp_path / "figures"
    folder.mkdir()
    section = quality_section(make_evaluation(quality=quality), folder, [other])

    spectra, last = section.pictures
    assert last == other
    assert spectra.path == "figures/spectra.png"
    with Image.open(folder / "spectra.png") as drawn:
        assert min(drawn.size) > 100


def test_without_measures_only_the_given_pictures_are_shown(tmp_path):
    other = Picture("other.png", "another")
    section = quality_section(make_evaluation(), tmp_path, [other])

    assert not section.table and not section.more
    assert section.pictures == [other]


def test_transfers_are_tabulated_and_shown_beside_the_true_pictures(trained, tmp_path):
    agreement = Agreement(
        error=spread(0.0125),
        similarity=spread(0.5),
        content_accuracy=spread(0.75),
        artist_accuracy=spread(0.25),
    )
    measured = Transfers(
        protocol="",
        pictures=12,
        unseen=7,
        matched_by=FILENAMES,
        seeds=[0],
        methods=dict.fromkeys(METHODS, agreement),
    )
    section = transfers_section(trained, measured, tmp_path)

    assert section.table[0] == [
        *("pictures", "squared error", "structural similarity"),
        *("content recognized", "artist recognized"),
    ]
    row = [METHODS["copy"], "0.0125 +- 0.0100", "0.500 +- 0.010"]
    row += ["75.0% +- 1.0%", "25.0% +- 1.0%"]
    assert row in section.table
    assert len(section.table) == 1 + len(METHODS)
    assert section.text.startswith("12 test pictures")
    assert "same file names" in section.text and " 7 pictures combine" in section.text
    with Image.open(tmp_path / "transfers.png") as sheet:
        # Content, style, and every method, of 32 pixels each.
        assert sheet.width >= (2 + len(METHODS)) * 32
