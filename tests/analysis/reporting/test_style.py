"""The report's section of the style space: its figure and its tables."""

import dataclasses

import pytest
from PIL import Image

from helpers import runs
from tfstyle.analysis.evaluation.baselines import Baselines
from tfstyle.analysis.evaluation.confusions import Confusion, Confusions
from tfstyle.analysis.evaluation.figure_1 import Curves, PrefixCurves
from tfstyle.analysis.evaluation.style import Retrieval, Style, UnseenArtists
from tfstyle.analysis.reporting.style import confusions_section, style_section
from tfstyle.runs.trained_run import TrainedRun

GREEN = (0x00, 0x9E, 0x73)  # of the third method


def prefix_curves(accuracy, ratio) -> PrefixCurves:
    return PrefixCurves(
        dims=[1, 2],
        accuracy=accuracy,
        variance_ratio=ratio,
        every_accuracy=accuracy,
        every_variance_ratio=ratio,
        recommended_dims=1,
    )


STYLE = Style(
    metric=prefix_curves([0.5, 1], [0.2, 0.1]),
    classifier=prefix_curves([0.4, 0.95], [0.4, 0.3]),
    kept_dims=2,
)


@pytest.fixture
def run(tiny_run, tmp_path) -> TrainedRun:
    return TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))


def make_section(run, **changes):
    style = dataclasses.replace(STYLE, **changes)
    return style_section(run, style, run.path / "figures")


def test_the_table_has_both_curves_of_every_method(run):
    head, *rows = make_section(run).table

    assert head[1:] == [
        "metric learning: accuracy",
        "metric learning: variance ratio",
        "classifier: accuracy",
        "classifier: variance ratio",
    ]
    assert rows == [
        [1, "50.0%", "0.2000", "40.0%", "0.4000"],
        [2, "100.0%", "0.1000", "95.0%", "0.3000"],
    ]


def test_classifiers_trained_per_d_are_drawn_and_leave_cells_empty(run):
    retrained = Curves(dims=[2], accuracy=[0.97], variance_ratio=[0.25])

    section = make_section(run, retrained=retrained)

    head, *rows = section.table
    assert head[5] == "classifier trained per d: accuracy"
    assert [row[5:] for row in rows] == [[None, None], ["97.0%", "0.2500"]]
    assert "trained per d" in section.text
    with Image.open(run.path / "figures" / "figure_1.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**20)}
    assert GREEN in colors
    assert "trained per d" not in make_section(run).text


def test_search_is_tabulated_as_far_as_it_was_measured(run):
    retrieval = Retrieval(
        queries=12, recall_at_1=0.95, recall_at_5=1, recall_at_10=1, map_at_r=0.5
    )
    unseen = UnseenArtists(accuracy=0.8, deviation=0.02, artists=4, chance=0.25)

    assert not make_section(run).more
    assert not make_section(run, unseen_artists={}).more
    _, *rows = make_section(run, retrieval=retrieval).more
    assert [row[1] for row in rows] == ["95.0%", "100.0%", "100.0%", "50.0%"]
    assert rows[0][0].startswith("recall@1 ") and rows[3][0].startswith("MAP@R ")
    _, *rows = make_section(run, unseen_artists={"1": unseen, "5": unseen}).more
    assert [row[0].rpartition(", ")[2] for row in rows] == [
        "enrolled with 1 picture",
        "enrolled with 5 pictures",
    ]
    assert rows[0][1:3] == ["80.0% +- 2.0%", "chance 25.0%"]


def test_confusions_are_drawn_and_the_first_pairs_shown(run):
    """Names are looked up in the records; two pictures of three are wrong."""
    first, second, third = run.dataset.artist_names[:3]
    pairs = [
        Confusion(artist=second, taken_for=third, pictures=2, of=3),
        Confusion(artist=first, taken_for=second, pictures=1, of=3),
    ]
    style = dataclasses.replace(
        STYLE, confusions=Confusions(pictures=9, wrong=3, pairs=pairs)
    )

    section = confusions_section(run, style, run.path / "figures")

    assert section.table == [
        ["artist", "taken for", "pictures", "of"],
        [second, third, 2, 3],
        [first, second, 1, 3],
    ]
    assert "3 of 9 test pictures" in section.text
    for picture in section.pictures:
        with Image.open(run.path / picture.path) as image:
            assert image.width > 2 * 4 * run.dataset.image_size
    assert len(section.pictures) == 2


def test_without_confusions_only_the_matrix_is_drawn(run):
    style = dataclasses.replace(
        STYLE, confusions=Confusions(pictures=9, wrong=0, pairs=[])
    )
    section = confusions_section(run, style, run.path / "figures")
    assert not section.table and len(section.pictures) == 1
    assert confusions_section(run, STYLE, run.path / "figures") is None


BASELINES = Baselines(
    pictures=9,
    train_pictures=90,
    nearest_pixels=0.5,
    discriminants=0.4,
    train_accuracy=0.9,
    test_accuracy=0.85,
    train_variance_ratio=0.1,
    test_variance_ratio=0.1,
)
ALIKE = Confusion(artist="Ana", taken_for="Ben", pictures=4, of=10)


@pytest.mark.parametrize(
    ("changes", "confused", "expected"),
    [
        ({}, [], None),
        ({"train_accuracy": 1.0}, [], "by heart: it finds the artist of 100% of them"),
        ({"discriminants": 0.84}, [], "Pixels alone find the artist of 84%"),
        ({}, [ALIKE], "Ana and Ben are too alike to be told apart: 4 of 10"),
        ({}, [dataclasses.replace(ALIKE, pictures=3)], None),
    ],
)
def test_the_numbers_are_put_into_words(changes, confused, expected):
    style = dataclasses.replace(
        STYLE,
        baselines=dataclasses.replace(BASELINES, **changes),
        confusions=Confusions(pictures=9, wrong=1, pairs=confused),
    )
    sentences = style.diagnose()
    if expected is None:
        assert sentences == []
    else:
        (sentence,) = sentences
        assert expected in sentence


def test_a_wide_interval_is_pointed_out():
    curves = dataclasses.replace(
        STYLE.metric, accuracy_interval=[[0.2, 0.9], [0.7, 0.9]]
    )
    style = dataclasses.replace(STYLE, metric=curves, baselines=BASELINES)
    (sentence,) = style.diagnose()
    assert sentence.startswith("Accuracies are uncertain by 10%")
