"""The report's section of the style space: its figure, its tables."""

import pytest
import tiny_run as tiny
from PIL import Image

from tfstyle.analysis.reporting import style as drawing_style

GREEN = (0x00, 0x9E, 0x73)  # the third method's


def section_of(run_dir, style):
    return drawing_style.style_section(style, run_dir / "figures", run_dir)


@pytest.fixture
def run_dir(tiny_run, tmp_path):
    return tiny.keep_stages(tiny_run, tmp_path / "run", "metric")


def curve(accuracy, ratio):
    return {"dims": [1, 2], "accuracy": accuracy, "variance_ratio": ratio}


STYLE = {
    "metric": curve([0.5, 1], [0.2, 0.1]),
    "classifier": curve([0.4, 0.95], [0.4, 0.3]),
    "kept_dims": 2,
}


def test_the_table_has_both_curves_of_every_method(run_dir):
    head, *rows = section_of(run_dir, STYLE).table

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


def test_classifiers_trained_per_d_are_drawn_and_leave_cells_empty(run_dir):
    retrained = {"dims": [2], "accuracy": [0.97], "variance_ratio": [0.25]}

    section = section_of(run_dir, {**STYLE, "retrained": retrained})

    head, *rows = section.table
    assert head[5] == "classifier trained per d: accuracy"
    assert [row[5:] for row in rows] == [[None, None], ["97.0%", "0.2500"]]
    assert "trained per d" in section.text
    with Image.open(run_dir / "figures" / "figure_1.png") as image:
        colors = {color for _, color in image.convert("RGB").getcolors(2**20)}
    assert GREEN in colors
    assert "trained per d" not in section_of(run_dir, STYLE).text


def test_search_numbers_are_shown_as_far_as_they_are_there():
    """With chance for each number of works, with one for all, and without any."""
    found = {"queries": 12, "recall@1": 0.95, "map@r": 0.5}
    one = {"accuracy": 0.8, "deviation": 0.02}
    per_number = {"unseen_artists": {"5": {**one, "chance": 0.25}}}
    for_all = {"unseen_artists": {"5": one, "chance": 0.25}}

    assert drawing_style.search_rows({}) == []
    assert drawing_style.search_rows({"retrieval": None, "unseen_artists": {}}) == []
    head, *rows = drawing_style.search_rows({"retrieval": found})
    assert [row[1] for row in rows] == ["95.0%", "50.0%"]
    assert rows[0][0].endswith("recall@1") and rows[1][0].endswith("map@r")
    for style in (per_number, for_all):
        assert drawing_style.search_rows(style)[1][1] == "80.0% +- 2.0% (chance 25.0%)"
    assert drawing_style.search_rows({"unseen_artists": {"5": one}})[1][1] == (
        "80.0% +- 2.0%"
    )
