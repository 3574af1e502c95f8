"""Transfers compared with the true picture, where works show the same content.

A letter exists in several typefaces, a scene in several versions: then the result of a
transfer can be compared with what the artist made of that content.
"""

import collections
import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from tfstyle.analysis.realism.samples import SEEDS, read_first_batches
from tfstyle.analysis.results import Result, measured
from tfstyle.core.names import decode
from tfstyle.data import records
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
}


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfers:
    """Transfers to contents of which the artist's own picture is known.

    Args:
        protocol: of the measurement.
        pictures: number of true pictures, which are test pictures.
        seeds: of the random choices.
        methods: the agreement by method; see METHODS.
    """

    protocol: str
    pictures: int
    seeds: list[int]
    methods: dict[str, Agreement]

    def summarize(self) -> list[str]:
        """Format the agreements as lines of text."""
        return [
            f"transfer compared with {self.pictures} true pictures, {METHODS[method]}: "
            f"squared error {agreement.format_value('error')}, structural similarity "
            f"{agreement.format_value('similarity')}"
            for method, agreement in self.methods.items()
        ]


@dataclasses.dataclass(frozen=True)
class Works:
    """Pictures with what is known of them."""

    pictures: np.ndarray  # uint8 [n, size, size, 3]
    artist_ids: np.ndarray  # int64 [n]
    contents: np.ndarray  # str [n], equal where works show the same

    @classmethod
    def read(cls, dataset: records.Dataset, split: str, count: int) -> "Works":
        """Read the first works of a split; their file names tell what they show."""
        batches = [*read_first_batches(dataset, split, count)]
        names = [decode(name) for batch in batches for name in batch["filename"]]
        return cls(
            np.concatenate([batch["image"] for batch in batches]),
            np.concatenate([batch["artist"] for batch in batches]),
            np.array([pathlib.PurePosixPath(name).stem for name in names]),
        )


@dataclasses.dataclass(frozen=True)
class Triples:
    """Pictures of the inputs of transfers and of the true results, [n, ..] each."""

    contents: np.ndarray  # the content in another artist's style
    styles: np.ndarray  # another work in the style
    truths: np.ndarray  # the content in the style
    nearest: np.ndarray  # the artist's work most similar to `contents`
    artist_ids: np.ndarray  # int64 [n], of the styles


def choose_triples(
    truths: Works, sources: Works, rng: np.random.Generator
) -> Triples | None:
    """Choose a content and a style picture for each true one that has both.

    Args:
        truths: test works, which are the true results.
        sources: training works, from which inputs are chosen.
        rng: chooses.

    Returns:
        The pictures; None if no content occurs with two artists.
    """
    by_content, by_artist = collections.defaultdict(list), collections.defaultdict(list)
    for row, content in enumerate(sources.contents):
        by_content[content].append(row)
        by_artist[sources.artist_ids[row]].append(row)
    chosen = []
    for row, (content, artist) in enumerate(
        zip(truths.contents, truths.artist_ids, strict=True)
    ):
        others = [k for k in by_content[content] if sources.artist_ids[k] != artist]
        works = [k for k in by_artist[artist] if sources.contents[k] != content]
        if others and works:
            content_row, style_row = rng.choice(others), rng.choice(works)
            difference = np.float32(sources.pictures[works])
            difference -= sources.pictures[content_row]
            errors = np.square(difference).mean(axis=(1, 2, 3))
            chosen.append((row, content_row, style_row, works[errors.argmin()]))
    if not chosen:
        return None
    rows, content_rows, style_rows, nearest_rows = np.array(chosen).T
    return Triples(
        contents=sources.pictures[content_rows],
        styles=sources.pictures[style_rows],
        truths=truths.pictures[rows],
        nearest=sources.pictures[nearest_rows],
        artist_ids=truths.artist_ids[rows],
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
    }


def draw_examples(run: TrainedRun, count: int) -> dict[str, np.ndarray] | None:
    """Make transfers like those that `measure_transfers` measures.

    Returns:
        At most `count` content, style and true pictures and what each of METHODS made
        of them, by name; None where it returns None.
    """
    dataset = run.dataset
    sources = _read_sources(dataset)
    truths = Works.read(dataset, dataset.test_split, count)
    rng = np.random.default_rng(SEEDS[0])
    triples = choose_triples(truths, sources, rng)
    if triples is None:
        return None
    return {
        "content": triples.contents,
        "style": triples.styles,
        **transfer_triples(run, triples, rng),
        "true picture": triples.truths,
    }


def measure_transfers(run: TrainedRun) -> Transfers | None:
    """Compare transfers with true pictures; works with one file name show the same.

    Returns:
        The agreements, or None if pictures are smaller than a window of the similarity
        or no content occurs with two artists.
    """
    dataset = run.dataset
    truths = Works.read(dataset, dataset.test_split, _MOST_PICTURES)
    sources = _read_sources(dataset)
    if dataset.image_size < _WINDOW:
        return None
    by_seed, count = [], 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        triples = choose_triples(truths, sources, rng)
        if triples is None:
            return None
        count = len(triples.truths)
        results = transfer_triples(run, triples, rng)
        by_seed.append(
            {
                method: measure_agreement(pictures, triples.truths)
                for method, pictures in results.items()
            }
        )
    combined = combine_seeds(by_seed)
    return Transfers(
        protocol=f"{count}_test_pictures_from_training_pictures",
        pictures=count,
        seeds=[*SEEDS],
        methods={method: Agreement(**combined[method]) for method in METHODS},
    )


def _read_sources(dataset: records.Dataset) -> Works:
    most = _MOST_BYTES // (3 * dataset.image_size**2)
    return Works.read(dataset, "train", min(most, _MOST_TRAINING_PICTURES))


def measure_agreement(pictures: np.ndarray, truths: np.ndarray) -> dict[str, float]:
    """Compare pictures with true ones, uint8 [n, size, size, 3] each."""
    scaled, true = (np.float32(images) / 255 for images in (pictures, truths))
    similarity = tf.image.ssim(scaled, true, max_val=1.0, filter_size=_WINDOW)
    return {
        "error": float(np.square(scaled - true).mean()),
        "similarity": float(tf.reduce_mean(similarity)),
    }
