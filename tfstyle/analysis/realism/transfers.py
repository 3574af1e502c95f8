"""Transfers compared with the true picture, where works show the same content.

A letter exists in several typefaces, a scene in several versions: then the result of a
transfer can be compared with what the artist made of that content. Records tell which
works show the same by content labels, or file names do.
"""

import collections
import dataclasses
import math
import pathlib

import numpy as np
import tensorflow as tf

from tfstyle.analysis.realism.judges import Judge
from tfstyle.analysis.realism.samples import SEEDS, read_first_batches
from tfstyle.analysis.results import Result, measured
from tfstyle.core.names import decode
from tfstyle.data import input_pipeline, records
from tfstyle.metrics.repeats import Spread, combine_seeds
from tfstyle.modeling.networks.codes import decode_codes
from tfstyle.runs.trained_run import TrainedRun

# True pictures at most, and training pictures that contents and styles are taken from,
# of which no more than fit into this many bytes.
_MOST_PICTURES, _MOST_TRAINING_PICTURES, _MOST_BYTES = 500, 10_000, 1 << 29
# Side of the windows of the structural similarity, in pixels (Wang et al. 2004).
_WINDOW = 11
# How results are made, and their labels.
METHODS = {
    "transfer": "generated, style of another work",
    "mean_style": "generated, the artist's mean style",
    "vae": "VAE picture, style of another work",
    "copy": "the content picture itself",
    "nearest": "the artist's work most similar to the content picture",
    "rebuilt": "generated, codes of the true picture",
    "truth": "the true picture itself",
}
# How works that show the same are known.
LABELS, FILENAMES = "content labels", "file names"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement(Result):
    """Results of a method compared with the true pictures."""

    error: Spread = measured(
        "squared error",
        ".4f",
        "Mean squared difference from the true picture, values from 0 to 1; less is "
        "better.",
    )
    similarity: Spread = measured(
        "structural similarity",
        ".3f",
        "Agreement of small windows with the true picture (SSIM); 1 is perfect.",
    )
    content_accuracy: Spread = measured(
        "content recognized",
        ".1%",
        "How often a small network that was trained on real training pictures only "
        "finds what the picture should show.",
    )
    artist_accuracy: Spread = measured(
        "artist recognized",
        ".1%",
        "How often another such network finds the artist whose style was given.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfers:
    """Transfers to contents of which the artist's own picture is known.

    Args:
        protocol: of the measurement.
        pictures: number of true pictures, which are test pictures.
        unseen: of these, how many combine a content and an artist that no training
            picture combines.
        matched_by: LABELS or FILENAMES.
        seeds: of the random choices.
        methods: the agreement by method; see METHODS.
    """

    protocol: str
    pictures: int
    unseen: int
    matched_by: str
    seeds: list[int]
    methods: dict[str, Agreement]

    def summarize(self) -> list[str]:
        """Format the agreements as lines of text."""
        return [
            f"transfer compared with {self.pictures} true pictures, {METHODS[method]}: "
            + ", ".join(
                f"{label} {value}" for label, value in agreement.list_values().items()
            )
            for method, agreement in self.methods.items()
        ]


@dataclasses.dataclass(frozen=True)
class Works:
    """Pictures with what is known of them."""

    pictures: np.ndarray  # uint8 [n, size, size, 3]
    artist_ids: np.ndarray  # int64 [n]
    contents: np.ndarray  # str [n], equal where works show the same; "" if unknown

    @classmethod
    def read(cls, dataset: records.Dataset, split: str, count: int) -> "Works":
        """Read the first works of a split; see `is_labeled` for their contents."""
        batches = [*read_first_batches(dataset, split, count)]
        pictures = np.concatenate([batch["image"] for batch in batches])
        if is_labeled(dataset):
            labels = input_pipeline.read_content_labels(dataset, split)
            # The last is that of -1.
            contents = [(*dataset.contents, "")[k] for k in labels[: len(pictures)]]
        else:
            names = [decode(name) for batch in batches for name in batch["filename"]]
            contents = [pathlib.PurePosixPath(name).stem for name in names]
        artist_ids = np.concatenate([batch["artist"] for batch in batches])
        return cls(pictures, artist_ids, np.array(contents))


def is_labeled(dataset: records.Dataset) -> bool:
    """Return whether records tell what works show; otherwise file names may."""
    return bool(dataset.contents)


@dataclasses.dataclass(frozen=True)
class Triples:
    """Pictures of the inputs of transfers and of the true results, [n, ..] each."""

    contents: np.ndarray  # the content in another artist's style
    styles: np.ndarray  # another work in the style
    truths: np.ndarray  # the content in the style
    nearest: np.ndarray  # the artist's work most similar to `contents`
    artist_ids: np.ndarray  # int64 [n], of the styles
    labels: np.ndarray  # str [n], what the true results show
    unseen: np.ndarray  # bool [n], no training work is by the artist and shows that

    def take(self, rows: np.ndarray) -> "Triples":
        """Return some of the rows."""
        return Triples(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))


def choose_triples(
    truths: Works,
    sources: Works,
    rng: np.random.Generator,
    content_sources: Works | None = None,
) -> Triples | None:
    """Choose a content and a style picture for each true one that has both.

    Args:
        truths: test works, which are the true results.
        sources: training works, from which styles are chosen.
        rng: chooses.
        content_sources: works from which contents are chosen; `sources` by default.

    Returns:
        The pictures; None if no content occurs with two artists.
    """
    content_sources = content_sources or sources
    by_content, by_artist = collections.defaultdict(list), collections.defaultdict(list)
    for row, content in enumerate(content_sources.contents):
        by_content[content].append(row)
    for row, artist in enumerate(sources.artist_ids):
        by_artist[artist].append(row)
    chosen = []
    for row, (content, artist) in enumerate(
        zip(truths.contents, truths.artist_ids, strict=True)
    ):
        artists = content_sources.artist_ids
        others = [k for k in by_content[content] if artists[k] != artist]
        works = [k for k in by_artist[artist] if sources.contents[k] != content]
        if content and others and works:
            content_row, style_row = rng.choice(others), rng.choice(works)
            difference = np.float32(sources.pictures[works])
            difference -= content_sources.pictures[content_row]
            errors = np.square(difference).mean(axis=(1, 2, 3))
            nearest_row = works[errors.argmin()]
            unseen = len(works) == len(by_artist[artist])
            chosen.append((row, content_row, style_row, nearest_row, unseen))
    if not chosen:
        return None
    rows, content_rows, style_rows, nearest_rows, unseen = np.array(chosen).T
    return Triples(
        contents=content_sources.pictures[content_rows],
        styles=sources.pictures[style_rows],
        truths=truths.pictures[rows],
        nearest=sources.pictures[nearest_rows],
        artist_ids=truths.artist_ids[rows],
        labels=truths.contents[rows],
        unseen=unseen.astype(bool),
    )


def transfer_triples(
    run: TrainedRun, triples: Triples, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Make what each of METHODS answers, uint8 [n, size, size, 3] each."""
    contents = run.encode_content(triples.contents)
    styles = run.encode_style(triples.styles)
    means = run.style_statistics.artist_means[triples.artist_ids]
    noises = rng.normal(size=[len(styles), run.noise_dims])
    own = run.encode_style(triples.truths), run.encode_content(triples.truths)
    return {
        "transfer": run.generate(styles, contents, noises),
        "mean_style": run.generate(means, contents, noises),
        "vae": decode_codes(run.code_decoder, styles, contents),
        "copy": triples.contents,
        "nearest": triples.nearest,
        "rebuilt": run.generate(*own, noises),
        "truth": triples.truths,
    }


class TransferMeasure:
    """Chooses transfers that have a true result, and measures them.

    Contents are test pictures where labels tell what works show. File names choose them
    among training pictures.
    """

    def __init__(self, run: TrainedRun) -> None:
        dataset = run.dataset
        self._run = run
        self._truths = Works.read(dataset, dataset.test_split, _MOST_PICTURES)
        most = _MOST_BYTES // (3 * dataset.image_size**2)
        self._sources = Works.read(dataset, "train", min(most, _MOST_TRAINING_PICTURES))
        self._contents = self._truths if is_labeled(dataset) else self._sources

    def choose(self, rng: np.random.Generator) -> Triples | None:
        """Choose inputs; None if no content occurs with two artists."""
        return choose_triples(self._truths, self._sources, rng, self._contents)

    def draw_examples(self, count: int) -> dict[str, np.ndarray] | None:
        """Make transfers like those that are measured, to unseen combinations if any.

        Returns:
            At most `count` content and style pictures and what each of METHODS made of
            them, by name, the true pictures last; None where `choose` returns None.
        """
        rng = np.random.default_rng(SEEDS[0])
        triples = self.choose(rng)
        if triples is None:
            return None
        triples = triples.take(np.argsort(~triples.unseen, kind="stable")[:count])
        return {
            "content": triples.contents,
            "style": triples.styles,
            **transfer_triples(self._run, triples, rng),
        }

    def measure(self) -> Transfers | None:
        """Compare transfers with true pictures.

        Returns:
            The agreements, or None if pictures are smaller than a window of the
            similarity or no content occurs with two artists.
        """
        rngs = [np.random.default_rng(seed) for seed in SEEDS]
        choices = [triples for rng in rngs if (triples := self.choose(rng))]
        if self._run.dataset.image_size < _WINDOW or not choices:
            return None
        judges = _Judges(self._sources)
        by_seed = [
            {
                method: measure_agreement(results, triples.truths)
                | judges.measure_accuracies(results, triples)
                for method, results in transfer_triples(self._run, triples, rng).items()
            }
            for rng, triples in zip(rngs, choices, strict=True)
        ]
        combined = combine_seeds(by_seed)
        count = len(choices[0].truths)
        labeled = is_labeled(self._run.dataset)
        origin = "test" if labeled else "training"
        return Transfers(
            protocol=f"{count}_test_pictures_from_{origin}_pictures",
            pictures=count,
            unseen=int(choices[0].unseen.sum()),
            matched_by=LABELS if labeled else FILENAMES,
            seeds=[*SEEDS],
            methods={method: Agreement(**combined[method]) for method in METHODS},
        )


class _Judges:
    """Judges of contents and of artists, trained on the same works."""

    def __init__(self, works: Works) -> None:
        known = works.contents != ""
        self._content = None
        if known.any():
            self._content = Judge(works.pictures[known], works.contents[known])
        self._artist = Judge(works.pictures, works.artist_ids)

    def measure_accuracies(
        self, pictures: np.ndarray, triples: Triples
    ) -> dict[str, float]:
        """Measure how often pictures show the content and the style of the truth.

        Not a number where no training picture's content is known.
        """
        content_accuracy = math.nan
        if self._content:
            content_accuracy = self._content.measure_accuracy(pictures, triples.labels)
        return {
            "content_accuracy": content_accuracy,
            "artist_accuracy": self._artist.measure_accuracy(
                pictures, triples.artist_ids
            ),
        }


def measure_agreement(pictures: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Compare pictures with true ones, uint8 [n, size, size, 3] each."""
    scaled, true = (np.float32(images) / 255 for images in (pictures, truths))
    similarity = tf.image.ssim(scaled, true, max_val=1.0, filter_size=_WINDOW)
    return {
        "error": float(np.square(scaled - true).mean()),
        "similarity": float(tf.reduce_mean(similarity)),
    }
