"""A run opened once: everything is loaded when it is first needed, and kept."""

import contextlib
import functools
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.core.names import show
from tfstyle.data import input_pipeline, pictures, records
from tfstyle.modeling import stages
from tfstyle.modeling.networks import frozen_codes
from tfstyle.modeling.networks.codes import (
    UNIFORMS,
    ArtistPrior,
    decode_codes,
    encode_pictures,
)
from tfstyle.modeling.networks.frozen_codes import CodeStatistics, NormalizedEncoder
from tfstyle.modeling.networks.networks import Generator
from tfstyle.modeling.stages import classifier, gan, metric, vae
from tfstyle.runs import advice, style_space
from tfstyle.runs.description import Collection, StageDescription
from tfstyle.runs.folder import StageFolder, is_outdated
from tfstyle.runs.style_space import ArtistStyles, Enrolled

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class TrainedRun:
    """A run folder with its networks, statistics, artists and records.

    Attributes are loaded lazily and cached. All raise UserError, with the command that
    helps, if what they need is missing, unfinished or corrupt.

    Args:
        run_dir: the folder.
        records_dir: where the run's records are now; by default where they were when
            a stage was trained.
    """

    def __init__(
        self, run_dir: str | os.PathLike[str], records_dir: str | None = None
    ) -> None:
        self.path = pathlib.Path(run_dir)
        self._records_dir = records_dir
        self._networks: dict[tuple[str, str], tf.keras.Model] = {}
        self._statistics: dict[str, CodeStatistics] = {}
        self._descriptions: dict[str, StageDescription] = {}

    # Stages.

    def folder(self, stage: str) -> StageFolder:
        """Return the folder of a stage, trained or not."""
        return StageFolder(self.path, stage)

    def description(self, stage: str) -> StageDescription:
        """Return run.json of a stage."""
        if stage not in self._descriptions:
            self._descriptions[stage] = self.folder(stage).read()
        return self._descriptions[stage]

    @functools.cached_property
    def finished(self) -> dict[str, StageFolder]:
        """The finished stages by name.

        A stage that was trained on older codes of its earlier stages is skipped with a
        message: its networks do not understand the codes of now.
        """
        finished = {}
        for name in stages.names():
            folder = self.folder(name)
            if not folder.finished:
                continue
            if is_outdated(folder):
                logger.info("skipped: %s", advice.describe_outdated(name, self.path))
            else:
                finished[name] = folder
        return finished

    def network(self, stage: str, name: str) -> tf.keras.Model:
        """Return a network of a stage with its final weights."""
        if (stage, name) not in self._networks:
            self._networks[stage, name] = self.folder(stage).load_network(name)
        return self._networks[stage, name]

    def statistics(self, stage: str) -> CodeStatistics:
        """Return the code statistics of a stage."""
        if stage not in self._statistics:
            self._statistics[stage] = self.folder(stage).load_statistics()
        return self._statistics[stage]

    # Records and pictures.

    @functools.cached_property
    def dataset(self) -> records.Dataset:
        """The records that the run was trained on, unchanged since."""
        for name in stages.names():
            if self.folder(name).exists:
                return self.open_records(name)
        if not self.path.is_dir():
            raise UserError(advice.describe_missing(metric.SPEC.name, self.path))
        raise UserError(
            f"{self.path} contains no trained stage; begin with: "
            f"{advice.train_command(metric.SPEC.name, self.path)}"
        )

    def open_records(self, stage: str) -> records.Dataset:
        """Open the records that a stage was trained on, unchanged since."""
        described = self.description(stage).dataset
        problems = []
        for records_dir in self._list_records_dirs(described):
            try:
                dataset = records.read_dataset(records_dir)
            except UserError as error:
                problems.append(str(error))
                continue
            opened = Collection.of_dataset(dataset)
            difference = described.describe_difference(opened)
            if difference is None:
                described.note_unknown_splits(opened)
                return dataset
            problems.append(
                f"{self.folder(stage).path} was trained on other records: {difference}"
            )
        raise UserError(
            f"{problems[0]}; if the records were moved, pass their folder as "
            "--records_dir"
        )

    def _list_records_dirs(self, described: Collection) -> list[str]:
        """List where the records may be: other stages may know a newer place."""
        if self._records_dir is not None:
            return [self._records_dir]
        places = [described.records_dir]
        for name in stages.names():
            with contextlib.suppress(UserError):
                dataset = self.description(name).dataset
                if described.describe_difference(dataset) is None:
                    places.append(dataset.records_dir)
        return list(dict.fromkeys(places))

    @property
    def collection(self) -> Collection:
        """How the run's pictures were made; the records themselves may be gone."""
        return self.description(metric.SPEC.name).dataset

    def load_picture(self, path: str) -> np.ndarray:
        """Read any picture file as the records were made: uint8 [size, size, 3], RGB.

        Raises:
            PictureError: if the file is no usable picture.
        """
        collection = self.collection
        return np.asarray(
            pictures.load_picture(
                path, collection.image_size, collection.fit, collection.background
            )
        )

    # Codes.

    @property
    def style_statistics(self) -> CodeStatistics:
        """Statistics of the style code; its artist_means are normalized."""
        return self.statistics(metric.SPEC.name)

    @property
    def content_statistics(self) -> CodeStatistics:
        """Statistics of the content code."""
        return self.statistics(vae.SPEC.name)

    @functools.cached_property
    def style_encoder(self) -> NormalizedEncoder:
        """S, pruned and normalized."""
        return self._load_style_encoder()

    @functools.cached_property
    def content_encoder(self) -> NormalizedEncoder:
        """Enc, pruned: its mean, normalized as the statistics say."""
        statistics = self.content_statistics
        encoder = self.network(vae.SPEC.name, "content_encoder")
        if statistics.given_style is None:
            return NormalizedEncoder(encoder, *statistics.content_scale)
        return frozen_codes.StyleFreeEncoder(
            encoder,
            *statistics.content_scale,
            statistics.given_style,
            # Its own copy: a Keras model that is part of two is tracked by both.
            self._load_style_encoder(),
        )

    def _load_style_encoder(self) -> NormalizedEncoder:
        statistics = self.style_statistics
        encoder = self.folder(metric.SPEC.name).load_network("style_encoder")
        return NormalizedEncoder(encoder, statistics.mean, statistics.deviation)

    @functools.cached_property
    def code_decoder(self) -> frozen_codes.CodeDecoder:
        """Dec for the codes of both encoders."""
        statistics = self.content_statistics
        return frozen_codes.CodeDecoder(
            self.network(vae.SPEC.name, "content_decoder"),
            *statistics.content_scale,
            statistics.given_style,
            content_dims=self._read_code_sizes(vae.SPEC.name, 2)[1],
        )

    def encode_style(self, images: np.ndarray) -> np.ndarray:
        """Encode uint8 [n, size, size, 3]; float32 [n, style], normalized."""
        return encode_pictures(self.style_encoder, images)

    def encode_content(self, images: np.ndarray) -> np.ndarray:
        """Encode uint8 [n, size, size, 3]; float32 [n, content]."""
        return encode_pictures(self.content_encoder, images)

    # The generator.

    @functools.cached_property
    def generator(self) -> Generator:
        """The moving average of G; the gan stage must be finished and up to date."""
        stage = gan.SPEC.name
        self.description(stage)
        if not self.folder(stage).finished:
            raise UserError(advice.describe_unfinished(stage, self.path))
        if is_outdated(self.folder(stage)):
            raise UserError(advice.describe_outdated(stage, self.path))
        return self.network(stage, "generator_average")

    @property
    def code_sizes(self) -> list[int]:
        """Dimensions of style, content and noise that the generator takes."""
        return self._read_code_sizes(gan.SPEC.name, 3)

    def _read_code_sizes(self, stage: str, count: int) -> list[int]:
        """Return the sizes of the codes that a stage's decoder takes."""
        sizes = self.description(stage).code_sizes
        if len(sizes) != count:
            raise UserError(
                f"{self.folder(stage).path / 'run.json'} is corrupt: code_sizes has "
                f"{len(sizes)} sizes, not {count}"
            )
        return sizes

    def draw_styles(self, normals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn draws of N(0, 1) into styles like those the generator was trained on.

        Args:
            normals: float [n, style]. They are styles themselves if the run's prior is
                N(0, I), as in the paper.
            rng: draws the artists for a prior that has any. A row depends on its number
                and the state of rng, not on n.

        Returns:
            float [n, style], normalized.
        """
        if self.style_prior is None:
            return normals
        uniforms = rng.random([len(normals), UNIFORMS])
        return self.style_prior.transform(uniforms, normals.astype(np.float32)).numpy()

    @property
    def style_prior(self) -> ArtistPrior | None:
        """Where the generator's random styles come from; None for N(0, I)."""
        settings = self.description(gan.SPEC.name).objective
        if settings.get("style_prior") != gan.ARTISTS:
            return None
        return ArtistPrior.of_artist_means(self.style_statistics.artist_means)

    @property
    def noise_dims(self) -> int:
        """Dimensions of the generator's unconditioned code."""
        return self.code_sizes[2]

    def generate(
        self, styles: np.ndarray, contents: np.ndarray, noises: np.ndarray
    ) -> np.ndarray:
        """Generate RGB pictures, uint8 [n, size, size, 3].

        Styles (normalized), contents and noises are float [n, dimensions].
        """
        return decode_codes(self.generator, styles, contents, noises)

    @property
    def judge_encoder(self) -> tf.keras.Model | None:
        """The classifier's encoder, if trained; no generator was trained against it."""
        stage = classifier.SPEC.name
        finished = self.folder(stage).finished
        return self.network(stage, "style_encoder") if finished else None

    # Artists.

    @property
    def enrolled_file(self) -> pathlib.Path:
        """Where enrolled artists are stored."""
        return self.folder(metric.SPEC.name).path / style_space.ENROLLED_FILE

    @functools.cached_property
    def enrolled(self) -> Enrolled:
        """Artists added without training; outdated ones are skipped with a message."""
        statistics = self.style_statistics
        enrolled, outdated = style_space.read_enrolled(
            self.enrolled_file, statistics.digest, statistics.dims
        )
        if outdated:
            logger.info(
                "note: these artists were enrolled with older style codes; they are "
                "skipped until enrolled again: %s",
                ", ".join(map(show, outdated)),
            )
        return enrolled

    def save_enrolled(self, enrolled: Enrolled) -> None:
        """Store who is enrolled, for the present style codes."""
        enrolled.write(self.enrolled_file, self.style_statistics.digest)
        self.__dict__.pop("enrolled", None)
        self.__dict__.pop("artists", None)

    @functools.cached_property
    def artists(self) -> ArtistStyles:
        """All artists of the style space, trained and enrolled."""
        statistics, enrolled = self.style_statistics, self.enrolled
        return ArtistStyles(
            [*self.collection.artists, *enrolled.names],
            np.concatenate([statistics.artist_means, enrolled.means]),
            statistics.deviation,
        )

    @property
    def dimension_names(self) -> dict[int, str]:
        """Names given to style dimensions by hand; none without a metric stage."""
        if not self.folder(metric.SPEC.name).finished:
            return {}
        return style_space.read_dimension_names(
            self.path / style_space.NAMES_FILE, self.style_statistics.dims
        )


def name_bad_records(
    function: Callable[Concatenate[TrainedRun, P], T],
) -> Callable[Concatenate[TrainedRun, P], T]:
    """Make a function of a run raise UserError for a corrupt record, with its file."""

    @functools.wraps(function)
    def call(run: TrainedRun, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with input_pipeline.report_bad_records(lambda: run.dataset):
            return function(run, *args, **kwargs)

    return call
