"""The generator in the report: its measures, and figures 2, 3, 6 and 7."""

import dataclasses
import pathlib

import numpy as np

from tfstyle.analysis.drawing import grids
from tfstyle.analysis.drawing.animation import interpolate_loop, write_gif
from tfstyle.analysis.drawing.curves import write_curves
from tfstyle.analysis.drawing.examples import FixedPictures, interpolate_bilinear
from tfstyle.analysis.drawing.page import Picture, Section, list_pictures
from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.analysis.results import tabulate
from tfstyle.core.names import show
from tfstyle.modeling.networks.codes import style_by_content_table
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.metrics_log import read_numbers
from tfstyle.runs.trained_run import TrainedRun

# Rows and columns of the sheets.
_STYLES, _CONTENTS = 8, 6
_RANDOM_STYLES = 6
_INTERPOLATION = 7
_FRAMES = 48


def draw_frechet_curve(stage: StageFolder, folder: pathlib.Path) -> list[Picture]:
    """Draw the Frechet distance during training, if it was measured at least twice."""
    distances: dict[int, float] = {}
    for entry in read_numbers(stage.metrics_file):
        if entry["name"] == "frechet_distance" and entry["value"] is not None:
            distances[entry["step"]] = entry["value"]  # a resumed run repeats steps
    if len(distances) < 2:
        return []
    steps = sorted(distances)
    write_curves(
        folder / "frechet_distance.png",
        {"generated pictures": (steps, [distances[step] for step in steps])},
        xlabel="steps trained",
        ylabel="Frechet distance",
        title="Distance of generated from training pictures",
        log_x=False,
    )
    caption = (
        "Frechet distance by the classifier's features during the training of the "
        "generator; less is better. The random codes are the same at every step."
    )
    return list_pictures(folder, {"frechet_distance.png": caption})


def measures_section(evaluation: Evaluation) -> Section:
    """Tabulate what is measured of the generator, which must be evaluated."""
    generator = evaluation.generator
    assert generator is not None
    text = (
        f"{generator.generated_pictures} pictures were generated in the artists' mean "
        f"styles with random contents, {len(generator.seeds)} times with different "
        "seeds; +- is the deviation over seeds. A network that took part in the "
        "training can be fooled; the classifier was trained separately."
    )
    return Section(
        "The generator in numbers",
        text,
        table=tabulate(generator.list_all_rows(evaluation.artists, evaluation.content)),
    )


@dataclasses.dataclass(frozen=True)
class GeneratorFigures:
    """Draws pictures of the generator, section by section.

    Args:
        run: the run.
        folder: of the figures.
        fixed: real pictures that give styles and contents.
        rng: of random codes; the figures depend on the order of the sections.
    """

    run: TrainedRun
    folder: pathlib.Path
    fixed: FixedPictures
    rng: np.random.Generator

    def draw_sections(self) -> list[Section]:
        """Draw all sections."""
        return [
            self._draw_separation(),
            self._draw_exploration(),
            self._draw_transfer(),
        ]

    def _draw_separation(self) -> Section:
        self._draw_mean_styles()
        styles = self._draw_styles(_STYLES)
        contents = self.rng.normal(size=[_CONTENTS, self.run.content_encoder.dims])
        pictures = self._generate(
            np.tile(styles, [_CONTENTS, 1]), np.repeat(contents, _STYLES, axis=0)
        )
        self._write_grid("figure_2_random.png", pictures, _STYLES)
        return self._make_section(
            "Style and content, separated",
            "Each column shares a style, each row a content.",
            {
                "figure_2_artists.png": "Figure 2 with the artists' mean styles (an "
                "example above each) and the contents of the test pictures at the "
                "left.",
                "figure_2_random.png": "Figure 2 with random contents and random "
                f"styles, {self._describe_prior()}.",
            },
        )

    def _draw_mean_styles(self) -> None:
        artists, rows = np.unique(self.fixed.artist_ids, return_index=True)
        artists, pictures = artists[:_STYLES], self.fixed.pictures[rows[:_STYLES]]
        contents = self.run.encode_content(pictures)[:_CONTENTS]
        table = style_by_content_table(
            self.run.generator,
            (pictures, self._mean_styles[artists]),
            (pictures[:_CONTENTS], contents),
            self.rng.normal(size=[len(contents), self.run.noise_dims]),
            self._name_artists(artists),
            None,
        )
        grids.write_picture(
            grids.draw_table(table), self.folder / "figure_2_artists.png"
        )

    def _draw_exploration(self) -> Section:
        content = self.run.encode_content(self.fixed.pictures[:1])
        styles = self._draw_styles(_RANDOM_STYLES**2)
        pictures = self._generate(styles, content)
        self._write_grid("figure_3_random_styles.png", pictures, _RANDOM_STYLES)
        last = len(self._mean_styles) - 1
        corners = np.linspace(0, last, 4).round().astype(int)
        styles = interpolate_bilinear(self._mean_styles[corners], _INTERPOLATION)
        pictures = self._generate(styles, content)
        self._write_grid("figure_3_interpolation.png", pictures, _INTERPOLATION, gap=0)
        self._animate(np.unique(corners), content)  # each artist once
        names = self._name_artists(corners)
        return self._make_section(
            "Exploring the style space",
            "The content of the first test picture in many styles.",
            {
                "figure_3_random_styles.png": "Figure 3, random styles, "
                f"{self._describe_prior()}.",
                "figure_3_interpolation.png": "Figure 3, between the mean styles of "
                f"{names[0]} (top left), {names[1]} (top right), {names[2]} (bottom "
                f"left) and {names[3]} (bottom right).",
                "interpolation.gif": f"From the mean style of {names[0]} through those "
                "of others and back. The caption names the nearest artist.",
            },
        )

    def _animate(self, artists: np.ndarray, content: np.ndarray) -> None:
        styles, nearest = interpolate_loop(self._mean_styles[artists], _FRAMES)
        frames = self._generate(styles, content)
        captions = self._name_artists(artists[nearest])
        write_gif(self.folder / "interpolation.gif", frames, captions)

    def _draw_transfer(self) -> Section:
        pictures = self.fixed.pictures
        styles = self.run.encode_style(pictures)
        contents = self.run.encode_content(pictures)
        # Each picture takes the style of a picture by another artist.
        others = np.roll(np.arange(len(pictures)), len(pictures) // 2)
        reconstructed = self._generate(styles, contents)
        transferred = self._generate(styles[others], contents)
        self._write_groups(
            "figure_6.png", {"picture": pictures, "reconstruction": reconstructed}, 4
        )
        self._write_groups(
            "figure_7.png",
            {"content": pictures, "result": transferred, "style": pictures[others]},
            3,
        )
        return self._make_section(
            "Reconstruction and style transfer",
            "Pictures generated from their own style and content codes, and from the "
            "content of one picture and the style of another.",
            {
                "figure_6.png": "Figure 6. Test pictures, reconstructed.",
                "figure_7.png": "Figure 7. Style transfer.",
            },
        )

    @property
    def _mean_styles(self) -> np.ndarray:
        return self.run.style_statistics.artist_means

    def _draw_styles(self, count: int) -> np.ndarray:
        normals = self.rng.normal(size=[count, self.run.style_encoder.dims])
        return self.run.draw_styles(normals, self.rng)

    def _describe_prior(self) -> str:
        if self.run.style_prior is None:
            return "drawn from N(0, I)"
        return "drawn near artists and between them"

    def _generate(self, styles: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Generate with the same noise, and the same content if only one is given."""
        noise = self.rng.normal(size=self.run.noise_dims)
        contents = np.broadcast_to(contents, [len(styles), contents.shape[1]])
        noises = np.broadcast_to(noise, [len(styles), self.run.noise_dims])
        return self.run.generate(styles, contents, noises)

    def _name_artists(self, artists: np.ndarray) -> list[str]:
        return [show(self.run.dataset.artist_names[artist]) for artist in artists]

    def _write_grid(
        self, name: str, pictures: np.ndarray, columns: int, gap: int = 4
    ) -> None:
        rows = pictures.reshape(-1, columns, *pictures.shape[1:])
        grids.write_picture(grids.draw_grid(rows, gap=gap), self.folder / name)

    def _write_groups(
        self, name: str, members: dict[str, np.ndarray], groups_per_row: int
    ) -> None:
        groups = np.stack([*members.values()], axis=1)
        sheet = grids.draw_groups(groups, [*members], groups_per_row)
        grids.write_picture(sheet, self.folder / name)

    def _make_section(
        self, heading: str, text: str, captions: dict[str, str]
    ) -> Section:
        return Section(heading, text, pictures=list_pictures(self.folder, captions))
