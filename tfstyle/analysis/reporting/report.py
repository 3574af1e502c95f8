"""The figures of a run and its report: what `python -m tfstyle.figures` draws."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.animation import style_loop, write_gif
from tfstyle.analysis.drawing.artist_map import require_umap
from tfstyle.analysis.drawing.examples import (
    FixedPictures,
    bilinear_codes,
    style_by_content_sheet,
)
from tfstyle.analysis.drawing.page import Picture, Section, write_report
from tfstyle.analysis.evaluation import comparison, run
from tfstyle.analysis.reporting.content import content_section
from tfstyle.analysis.reporting.dimensions import dimensions_section
from tfstyle.analysis.reporting.generator import frechet_curve, generator_section
from tfstyle.analysis.reporting.style import comparison_section, style_section
from tfstyle.data import records
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.networks.frozen_codes import NormalizedEncoder
from tfstyle.modeling.networks.networks import Generator
from tfstyle.runs import folder as runs
from tfstyle.runs.dimension_names import read_dimension_names

# Rows and columns of the sheets.
_STYLES, _CONTENTS = 8, 6
_RANDOM_STYLES = 6
_INTERPOLATION = 7
_FRAMES = 48
_EXAMPLES = 12
_WHAT_THIS_IS = (
    "tfstyle learns from pictures what the styles of their artists are, and makes new "
    "pictures in them. Figures are numbered as in the paper that it follows: Anime "
    "Style Space Exploration Using Metric Learning and Generative Adversarial Networks "
    "(arXiv 1805.07997).\n\n"
)


@dataclasses.dataclass(frozen=True)
class _Trained:
    """The generator with its encoders, and real pictures to use them on."""

    generator: Generator
    style_encoder: NormalizedEncoder
    content_encoder: NormalizedEncoder
    artist_means: np.ndarray
    noise_dims: int
    fixed: FixedPictures
    names: list[str]
    random: np.random.Generator

    def draw(self, styles: np.ndarray, contents: np.ndarray, noise=None) -> np.ndarray:
        """Generate uint8 pictures [n, ..]; one noise vector serves all by default."""
        if noise is None:
            noise = self.random.normal(size=self.noise_dims)
        noises = np.broadcast_to(noise, [len(styles), self.noise_dims])
        return decode_codes(self.generator, styles, contents, noises)

    def captions(self, artist_ids) -> list[str]:
        return [self.names[artist] for artist in artist_ids]


def draw_runs(
    run_dirs: Sequence[pathlib.Path], seed: int = 0, projection: str = "pca"
) -> list[pathlib.Path]:
    """Draw each run; several are compared in figure 1 and the report of the first.

    Args:
        run_dirs: the runs.
        seed: of random codes.
        projection: of the maps of artists, "pca" or "umap".

    Returns:
        Path of each run's report.

    Raises:
        UserError: if runs cannot be compared, one cannot be drawn, or UMAP is wanted
            and not installed.
    """
    if projection == "umap":
        require_umap()
    comparison.check_comparable(run_dirs)
    compared = None
    if len(run_dirs) > 1:
        for run_dir in run_dirs:
            read_dimension_names(run_dir)
        compared = comparison.compare_runs(run_dirs)
    return [
        draw_run(run_dir, seed, None if number else compared, projection)
        for number, run_dir in enumerate(run_dirs)
    ]


def draw_run(
    run_dir: pathlib.Path,
    seed: int = 0,
    compared: comparison.Numbers | None = None,
    projection: str = "pca",
) -> pathlib.Path:
    """Draw every figure that the trained stages allow, and the report.

    Args:
        run_dir: the run.
        seed: of random codes.
        compared: of `comparison.compare_runs`, to show in figure 1.
        projection: of the map of artists, "pca" or "umap".

    Returns:
        Path of the report.

    Raises:
        UserError: if no stage is trained, or dimension_names.tsv is malformed.
    """
    # A mistake in the names is better said before minutes of measuring.
    read_dimension_names(run_dir)
    numbers = run.read_numbers(run_dir) or run.measure_run(run_dir)
    dataset = runs.load_dataset(run_dir)
    fixed = FixedPictures.choose(dataset, _EXAMPLES)
    folder = run_dir / "figures"
    trained = _load(run_dir, dataset, fixed, seed) if "generator" in numbers else None
    sections = [_overview(numbers, dataset)]
    if "style" in numbers:
        sections.append(style_section(numbers["style"], folder, run_dir, compared))
    if compared and compared["recommended"]:
        sections.append(comparison_section(compared))
    if "metric" in numbers.get("style", {}):
        generator = trained.generator if trained else None
        sections.append(
            dimensions_section(run_dir, dataset, seed, generator, projection)
        )
    if "content" in numbers:
        content = numbers["content"]
        sections.append(content_section(content, folder, run_dir, fixed, dataset))
    if trained:
        sections += [
            generator_section(
                numbers, frechet_curve(runs.StageFolder(run_dir, "gan"), folder)
            ),
            _separation_section(trained, folder),
            _exploration_section(trained, folder),
            _transfer_section(trained, folder),
        ]
    report = run_dir / "report.html"
    write_report(report, f"tfstyle: {run_dir.name}", sections)
    return report


def _load(run_dir, dataset, fixed, seed) -> _Trained:
    gan = runs.StageFolder(run_dir, "gan")
    return _Trained(
        generator=runs.load_network(gan, "generator_average"),
        style_encoder=runs.load_style_encoder(run_dir),
        content_encoder=runs.load_content_encoder(run_dir),
        artist_means=runs.load_statistics(
            runs.StageFolder(run_dir, "metric")
        ).artist_means,
        noise_dims=gan.read()["code_dims"][2],
        fixed=fixed,
        names=dataset.artist_names,
        random=np.random.default_rng(seed),
    )


def _overview(numbers, dataset: records.Dataset) -> Section:
    rows: list[list[object]] = [["stage", "steps trained"]]
    rows += [[stage, steps] for stage, steps in numbers["steps"].items()]
    return Section(
        "The collection and the run",
        _WHAT_THIS_IS
        + f"{numbers['train_pictures']} training and {numbers['test_pictures']} test "
        f"pictures of {numbers['artists']} artists, {dataset.image_size}x"
        f"{dataset.image_size} pixels. Test pictures were never trained on, unless a "
        "section says so.",
        table=rows,
    )


def _separation_section(trained: _Trained, folder) -> Section:
    artists = np.unique(trained.fixed.artist_ids)[:_STYLES]
    rows = [int(np.argmax(trained.fixed.artist_ids == one)) for one in artists]
    pictures = trained.fixed.pictures[rows]
    contents = encode_pictures(trained.content_encoder, pictures)[:_CONTENTS]
    grids.write_picture(
        style_by_content_sheet(
            trained.generator,
            (pictures, trained.artist_means[artists]),
            (pictures[:_CONTENTS], contents),
            trained.random.normal(size=[len(contents), trained.noise_dims]),
            trained.captions(artists),
            None,
        ),
        folder / "figure_2_artists.png",
    )
    styles = trained.random.normal(size=[_STYLES, trained.style_encoder.dims])
    contents = trained.random.normal(size=[_CONTENTS, trained.content_encoder.dims])
    made = trained.draw(
        np.tile(styles, [_CONTENTS, 1]), np.repeat(contents, _STYLES, axis=0)
    )
    grids.write_picture(
        grids.picture_grid(made.reshape(_CONTENTS, _STYLES, *made.shape[1:])),
        folder / "figure_2_random.png",
    )
    return Section(
        "Style and content, separated",
        "Each column shares a style, each row a content.",
        pictures=[
            Picture(
                "figures/figure_2_artists.png",
                "Figure 2 with the artists' mean styles (an example above each) and "
                "the contents of the test pictures at the left.",
            ),
            Picture(
                "figures/figure_2_random.png",
                "Figure 2 with random styles and random contents.",
            ),
        ],
    )


def _exploration_section(trained: _Trained, folder) -> Section:
    content = encode_pictures(trained.content_encoder, trained.fixed.pictures[:1])
    count = _RANDOM_STYLES**2
    styles = trained.random.normal(size=[count, trained.style_encoder.dims])
    made = trained.draw(styles, np.repeat(content, count, axis=0))
    grids.write_picture(
        grids.picture_grid(
            made.reshape(_RANDOM_STYLES, _RANDOM_STYLES, *made.shape[1:])
        ),
        folder / "figure_3_random_styles.png",
    )
    count = len(trained.artist_means)
    corners = np.linspace(0, count - 1, 4).round().astype(int)
    styles = bilinear_codes(trained.artist_means[corners], _INTERPOLATION)
    made = trained.draw(styles, np.repeat(content, len(styles), axis=0))
    grids.write_picture(
        grids.picture_grid(
            made.reshape(_INTERPOLATION, _INTERPOLATION, *made.shape[1:]), gap=0
        ),
        folder / "figure_3_interpolation.png",
    )
    around = np.unique(corners)  # fewer than four artists are met once each
    styles, nearest = style_loop(trained.artist_means[around], _FRAMES)
    made = trained.draw(styles, np.repeat(content, _FRAMES, axis=0))
    on_the_way = trained.captions(around)
    write_gif(folder / "interpolation.gif", made, [on_the_way[one] for one in nearest])
    names = trained.captions(corners)
    return Section(
        "Exploring the style space",
        "One content, the first test picture's, in many styles.",
        pictures=[
            Picture("figures/figure_3_random_styles.png", "Figure 3, random styles."),
            Picture(
                "figures/figure_3_interpolation.png",
                f"Figure 3, between the mean styles of {names[0]} (top left), "
                f"{names[1]} (top right), {names[2]} (bottom left) and {names[3]} "
                "(bottom right).",
            ),
            Picture(
                "figures/interpolation.gif",
                f"From the mean style of {on_the_way[0]} through others' and back, one "
                "content. The nearer artist is named.",
            ),
        ],
    )


def _transfer_section(trained: _Trained, folder) -> Section:
    pictures = trained.fixed.pictures
    styles = encode_pictures(trained.style_encoder, pictures)
    contents = encode_pictures(trained.content_encoder, pictures)
    rebuilt = trained.draw(styles, contents)
    grids.write_picture(
        grids.group_sheet(
            np.stack([pictures, rebuilt], axis=1), ["picture", "rebuilt"], 4
        ),
        folder / "figure_6.png",
    )
    # Each picture takes the style of another artist's.
    others = np.roll(np.arange(len(pictures)), len(pictures) // 2)
    transferred = trained.draw(styles[others], contents)
    grids.write_picture(
        grids.group_sheet(
            np.stack([pictures, transferred, pictures[others]], axis=1),
            ["content", "result", "style"],
            3,
        ),
        folder / "figure_7.png",
    )
    return Section(
        "Reconstruction and style transfer",
        "Pictures rebuilt by the generator from their style and content codes, and "
        "pictures with the content of one and the style of another.",
        pictures=[
            Picture("figures/figure_6.png", "Figure 6. Test pictures, rebuilt."),
            Picture("figures/figure_7.png", "Figure 7. Style transfer."),
        ],
    )
