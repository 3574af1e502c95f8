"""`python -m tfstyle.figures` draws every figure and a report that shows them."""

import html.parser
import pathlib
import shutil
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import module, read_output, run
from tfstyle.analysis.drawing import artist_map, grids
from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.analysis.reporting import dimensions
from tfstyle.analysis.reporting.report import draw_run, draw_runs
from tfstyle.core.cli import UserError
from tfstyle.runs.trained_run import TrainedRun

# A 32x32 picture is enlarged three times, to tiles of 96 pixels.
TILE = 96
# Columns and rows of each sheet: 3 artists, 12 test pictures.
SHEETS = {
    "figure_2_artists.png": (1 + 3, 1 + 3),  # the sources at the edges
    "figure_2_random.png": (8, 6),
    "figure_3_random_styles.png": (6, 6),
    "figure_3_interpolation.png": (7, 7),
    "figure_6.png": (4 * 2, 3),  # four pairs to a row
    "figure_7.png": (3 * 3, 4),  # three triples to a row
    "vae_reconstructions.png": (12, 2),
}
# 20 training pictures of each artist: 6 are 10 %. A row of each of 4 dimensions.
TWO_ENDS = {"style_dimensions.png": (6 + 6, 4)}
# Two rows of three groups, and real pictures below.
TWO_ENDS |= {f"figure_4_dimension_{n}.png": (3 * 3, 2 + 1) for n in range(1, 5)}
MAP = "artist_map.png"
CURVES = {"figure_1.png", "content_error.png", "content_kl.png", "content_leak.png"}
CURVES |= {"spectra.png", "confusions.png"}
# Drawn if pictures are taken for another artist's.
MISTAKES = "confused_artists.png"
ANIMATION = "interpolation.gif"
FIGURES = {*SHEETS, *TWO_ENDS, *CURVES, MAP, ANIMATION}
CONFUSIONS = "Artists taken for each other"
DIMENSIONS = "What the style dimensions mean"
GENERATOR_SECTIONS = [
    "The generator in numbers",
    "Generated pictures against real ones",
    "Style and content, separated",
    "Exploring the style space",
    "Reconstruction and style transfer",
]


class Page(html.parser.HTMLParser):
    """Headings, and every file that the page refers to."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.headings: list[str] = []
        self.files: set[str] = set()
        self._in_heading = False
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        self._in_heading = tag == "h2"
        for name, value in attributes:
            if name in ("src", "href") and not value.startswith("#"):
                self.files.add(urllib.parse.unquote(value))

    def handle_data(self, data):
        if self._in_heading:
            self.headings.append(data)
            self._in_heading = False


@pytest.fixture(scope="module")
def drawn(tiny_run, tmp_path_factory) -> tuple[pathlib.Path, str]:
    """The run with its figures, and what the command printed."""
    run_dir = tmp_path_factory.mktemp("drawn") / "run"
    shutil.copytree(tiny_run, run_dir)
    done = run(module("figures"), f"--run_dir={run_dir}", timeout=400)
    return run_dir, read_output(done)


def test_the_command_prints_where_its_output_is(drawn):
    run_dir, output = drawn

    assert f"figures: {run_dir / 'figures'}\n" in output
    assert f"report:  {run_dir / 'report.html'}\n" in output


def test_every_figure_is_drawn_and_no_other_file_is_left(drawn):
    names = {path.name for path in (drawn[0] / "figures").iterdir()}
    assert names - {MISTAKES} == FIGURES


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_has_room_for_its_pictures(name, drawn):
    columns, rows = SHEETS[name]
    with Image.open(drawn[0] / "figures" / name) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        # At most half as much again for captions, gaps and breaks.
        assert columns * TILE <= image.width <= 1.5 * columns * TILE
        assert rows * TILE <= image.height <= 1.5 * rows * TILE


@pytest.mark.parametrize("name", TWO_ENDS)
def test_a_sheet_of_dimensions_has_a_line_for_every_row(name, drawn):
    columns, rows = TWO_ENDS[name]
    with Image.open(drawn[0] / "figures" / name) as image:
        assert columns * TILE <= image.width <= 1.5 * columns * TILE
        assert rows * TILE <= image.height <= 2.2 * rows * TILE


@pytest.mark.parametrize("name", sorted(CURVES))
def test_a_curve_can_be_read(name, drawn):
    with Image.open(drawn[0] / "figures" / name) as image:
        values = np.asarray(image.convert("RGB"))

    assert image.width >= 600 and image.height >= 300
    assert len(np.unique(values.reshape(-1, 3), axis=0)) > 20


def test_interpolated_pictures_touch(drawn):
    single = grids.draw_grid(np.zeros([1, 1, 32, 32, 3], np.uint8))
    margins = single.width - TILE
    with Image.open(drawn[0] / "figures" / "figure_3_interpolation.png") as image:
        assert image.size == (7 * TILE + margins, 7 * TILE + margins)


def test_the_animation_is_large_enough_to_see_and_endless(drawn):
    """Pictures of 32 are enlarged to 256 pixels; names stand below them."""
    with Image.open(drawn[0] / "figures" / ANIMATION) as image:
        assert (image.format, image.info["loop"]) == ("GIF", 0)
        assert image.width == 256 and 256 < image.height < 320
        assert image.n_frames > 3


def test_the_report_refers_to_every_figure_and_to_nothing_that_is_missing(drawn):
    run_dir, _ = drawn
    page = Page(run_dir / "report.html")

    figures = {f"figures/{name}" for name in FIGURES}
    preview = f"metric/previews/step-{tiny.STEPS['metric']:07d}.png"
    assert page.files - {f"figures/{MISTAKES}"} == figures | {preview}
    for file in page.files:
        assert not pathlib.Path(file).is_absolute()
        assert (run_dir / file).is_file()
    assert page.headings[-len(GENERATOR_SECTIONS) :] == GENERATOR_SECTIONS
    assert page.headings[2:4] == [CONFUSIONS, DIMENSIONS]


def test_the_run_was_measured_on_the_way(drawn):
    assert (drawn[0] / "evaluation.json").is_file()


def test_a_run_with_only_metric_gets_a_report_without_generator(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")

    report = draw_run(TrainedRun(run_dir))

    page = Page(report)
    assert page.headings == [
        "The collection and the run",
        "The style space",
        CONFUSIONS,
        DIMENSIONS,
    ]
    figures = {path.name for path in (run_dir / "figures").iterdir()} - {MISTAKES}
    assert figures == {"figure_1.png", "confusions.png", "style_dimensions.png", MAP}
    assert all((run_dir / file).is_file() for file in page.files)


def test_a_run_with_only_a_classifier_has_no_style_dimensions(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "classifier")

    report = draw_run(TrainedRun(run_dir))

    page = Page(report)
    assert page.headings == ["The collection and the run", "The style space"]
    assert "(arXiv 1805.07997)" in report.read_text()  # its figure numbers are used
    assert [path.name for path in (run_dir / "figures").iterdir()] == ["figure_1.png"]


@pytest.mark.slow
def test_contents_that_records_tell_are_measured_and_shown(
    tiny_run, labeled_records, tmp_path
):
    """Without a flag: by probes of the codes, and by transfers to true pictures."""
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric", "vae", "gan")
    report = draw_run(TrainedRun(run_dir, labeled_records.records_dir))

    assert "Transfers against true pictures" in Page(report).headings
    assert "figures/transfers.png" in Page(report).files
    text = report.read_text()
    for label in (
        "content accuracy of a linear probe of the content code",
        "content recognized",
        "artist recognized",
    ):
        assert label in text
    evaluation = Evaluation.read(TrainedRun(run_dir))
    assert evaluation.generator.transfers.matched_by == "content labels"
    assert evaluation.content.known_contents.contents == 13
    lines = "\n".join(evaluation.summarize())
    assert "vae: content accuracy of a linear probe of the content code: " in lines
    assert ", the true picture itself: squared error 0.0000" in lines


def test_the_table_has_every_dimension_with_its_name_and_artists(
    tiny_run, small_records, tmp_path
):
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))
    (run.path / "dimension_names.tsv").write_text("2\tfiner <locks>\n")

    section = dimensions.dimensions_section(run, run.path / "figures")

    head, *rows = section.table
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert sum(float(row[1].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.3)
    means = run.style_statistics.artist_means
    for k, row in enumerate(rows):
        assert row[2] == small_records.artist_names[means[:, k].argmin()]
        assert row[3] == small_records.artist_names[means[:, k].argmax()]
    assert rows[1][4].startswith("finer <locks>: ")


def test_the_map_describes_how_artists_are_placed():
    """Squares about the mean are 9 + 9 = 18 across and 1/3 + 1/3 + 4/3 = 2 upwards."""
    means = np.array([[-3.0, 0, 1], [3, 0, 1], [0, 3**0.5, 1]])

    points, meaning = dimensions.place_artists(means, "pca", seed=0)
    same, reason = dimensions.place_artists(means, "umap", seed=0)

    assert "principal components, 90% and 10% of it" in meaning
    np.testing.assert_array_equal(points, same)
    assert reason == f"{meaning}, since UMAP needs at least 4 artists"


@pytest.mark.slow
def test_umap_places_artists_differently():
    pytest.importorskip("umap")
    means = np.random.default_rng(0).normal(size=[6, 3])

    points, meaning = dimensions.place_artists(means, "umap", seed=0)

    assert "UMAP" in meaning and "principal" not in meaning
    assert not np.allclose(points, dimensions.place_artists(means, "pca", 0)[0])


def test_a_missing_umap_stops_the_command_before_it_measures(
    tiny_run, tmp_path, monkeypatch
):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    monkeypatch.setattr(artist_map.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(UserError, match=r"pip install .*\[map\]"):
        draw_runs([TrainedRun(run_dir)], projection="umap")

    assert not (run_dir / "evaluation.json").exists()


def test_malformed_names_stop_the_command_before_it_measures(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    (run_dir / "dimension_names.tsv").write_text("5\tthere are four\n")

    with pytest.raises(UserError, match=r"names\.tsv, line 1: .* 1 to 4, got '5'"):
        draw_run(TrainedRun(run_dir))

    assert not (run_dir / "evaluation.json").exists()


def test_a_run_is_measured_again_only_when_a_stage_has_changed(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    log = run_dir / "metric" / "metrics.jsonl"  # measuring appends to it
    draw_run(TrainedRun(run_dir))
    before = log.read_text()

    draw_run(TrainedRun(run_dir))
    assert log.read_text() == before

    runs.change_weights(run_dir, "metric")
    draw_run(TrainedRun(run_dir))
    assert log.read_text() != before


def test_equal_seeds_draw_equal_pictures(drawn, tmp_path):
    copy = pathlib.Path(shutil.copytree(drawn[0], tmp_path / "run"))
    before = {name: (copy / "figures" / name).read_bytes() for name in FIGURES - CURVES}

    draw_run(TrainedRun(copy), seed=0)

    for name, old in before.items():
        assert (copy / "figures" / name).read_bytes() == old, name

    draw_run(TrainedRun(copy), seed=1)
    assert (copy / "figures" / "figure_2_random.png").read_bytes() != before[
        "figure_2_random.png"
    ]


def test_a_run_without_stages_is_refused_with_the_command_that_trains_one(tmp_path):
    with pytest.raises(UserError, match=r"tfstyle\.train --gin_file=gin/metric\.gin"):
        draw_run(TrainedRun(tmp_path))

    assert list(tmp_path.iterdir()) == []
