"""Measurements of the generator: style, content and fidelity of its pictures.

Every number about generated pictures is the mean over SEEDS, with its sample deviation.
Counts stand beside the numbers, since most numbers depend on them.
"""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from tfstyle.analysis import results
from tfstyle.analysis.evaluation.content import Content
from tfstyle.analysis.realism.fidelity import (
    JUDGE_FEATURES,
    Fidelity,
    FidelityMeasure,
)
from tfstyle.analysis.realism.quality import Quality, QualityMeasure
from tfstyle.analysis.realism.samples import (
    MAX_TEST_PICTURES,
    SEEDS,
    PictureSampler,
    read_first_pictures,
)
from tfstyle.analysis.realism.transfers import (
    TransferMeasure,
    Transfers,
    is_labeled,
)
from tfstyle.analysis.results import measured, reference
from tfstyle.data import input_pipeline
from tfstyle.metrics import consistency
from tfstyle.metrics.distances import squared_distances
from tfstyle.metrics.repeats import Spread, combine_seeds, flatten_means
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.stages import classifier, gan
from tfstyle.runs import metrics_log
from tfstyle.runs.trained_run import TrainedRun

# Generated pictures per artist, and of all artists at most.
GENERATED_PER_ARTIST, MAX_GENERATED = 20, 4000
# Contents, each in that many artists' styles.
CONTENTS, STYLES = 16, 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consistency(results.Result):
    """Pictures of several contents, each in several styles."""

    protocol: str
    contents: int
    styles: int
    seeds: list[int]
    retrieval: Spread = measured(
        "content retrieval across styles",
        ".1%",
        "How often the picture in another style with the most similar content code has "
        "the same content.",
        scale="100% is perfect",
    )
    distance_ratio: Spread = measured(
        "content change by style",
        ".0%",
        "Distance between the content codes of a content in two styles, relative to "
        "that between two contents. The content encoder, which took part in the "
        "training, reads both.",
        scale="0% is none, 100% as much as by another content",
    )
    diversity: Spread = measured(
        "difference between pictures in a style",
        ".3f",
        "How much the pictures in a style differ, pixel by pixel; much less than real "
        "ones means that the generator repeats itself.",
    )
    chance: float = reference("chance", "retrieval")
    diversity_real: float | None = reference("real pictures of an artist", "diversity")
    real_pictures: int

    @property
    def pictures(self) -> int:
        """The number of generated pictures."""
        return self.contents * self.styles


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(results.Result):
    """What is measured of the gan stage.

    Args:
        generated_pictures: number of generated pictures that are judged.
        seeds: of the random draws.
        deviation: over seeds, by measure.
        consistency: None for a single artist.
        test_pictures_unseen: whether the test pictures were not trained on.
        quality: by pixels; None with fewer than four test pictures.
        fidelity: by the classifier's features; None without a classifier.
        fidelity_inception: by Inception's features, if they were given.
        transfers: compared with true pictures, if works show the same content.
    """

    generated_pictures: int
    seeds: list[int]
    classifier_accuracy: float | None = measured(
        "classifier accuracy on generated pictures",
        ".1%",
        "How often a network that classifies artists, and that the generator was not "
        "trained against, finds the artist whose style was given.",
        default=None,
    )
    classifier_accuracy_real: float | None = reference(
        "real pictures", "classifier_accuracy", default=None
    )
    classifier_accuracy_vae: float | None = reference(
        "VAE pictures", "classifier_accuracy", default=None
    )
    style_encoder_accuracy: float = measured(
        "style encoder accuracy on generated pictures",
        ".1%",
        "The same for the network that the generator was trained against.",
    )
    style_error: float = measured(
        "style-code reconstruction error",
        ".2f",
        "Squared distance between the given style and the style code of the picture; "
        "mean over pictures.",
        scale="0 is perfect",
    )
    style_error_of_zeros: float = reference("code of zeros", "style_error")
    content_error: float = measured(
        "content-code reconstruction error",
        ".2f",
        "The same for the content code.",
        scale="0 is perfect",
    )
    content_error_of_zeros: int = reference("code of zeros", "content_error")
    reconstruction_error: float = measured(
        "reconstruction error of test pictures",
        ".1f",
        "How much a real picture changes when it is generated from its own codes: "
        "squared differences in Lab, each channel scaled to about -1 to 1, summed over "
        "a picture; mean over pictures.",
    )
    deviation: dict[str, float]
    consistency: Consistency | None = None
    test_pictures_unseen: bool
    quality: Quality | None = None
    fidelity: Fidelity | None = None
    fidelity_inception: Fidelity | None = None
    transfers: Transfers | None = None

    def get_spread(self, name: str) -> Spread:
        """Return a measure with its deviation over seeds, if it has one."""
        return {"mean": getattr(self, name), "deviation": self.deviation.get(name)}

    def list_all_rows(self, artists: int, content: Content | None) -> list[results.Row]:
        """List all measures but the fidelity, with the errors of content beside them.

        The number of artists determines the chance level.
        """
        chance = [f"chance {1 / artists:.1%}"]
        references = {"classifier_accuracy": chance, "style_encoder_accuracy": chance}
        if content:
            references["reconstruction_error"] = [
                f"VAE {content.kept_error:.1f}",
                f"mean picture {content.mean_picture_error:.1f}",
            ]
        rows = self.list_rows(references)
        return rows + (self.consistency.list_rows() if self.consistency else [])

    def summarize(self, artists: int, content: Content | None) -> list[str]:
        """Format the result as lines of text; arguments as of `list_all_rows`."""
        lines = [str(row) for row in self.list_all_rows(artists, content)]
        if self.quality:
            lines += self.quality.summarize()
        if self.fidelity:
            lines += self.fidelity.summarize()
        if self.fidelity_inception:
            inception = self.fidelity_inception.summarize()
            lines += [f"Inception features: {line}" for line in inception]
        if self.transfers:
            lines += self.transfers.summarize()
        return [f"{gan.SPEC.name}: {line}" for line in lines]


def measure_generator(run: TrainedRun, options: results.Options) -> Generator:
    """Measure the gan stage; without a classifier, what it judges is skipped."""
    start = time.time()
    dataset = run.dataset
    artists = len(dataset.artists)
    per_artist = min(GENERATED_PER_ARTIST, max(1, MAX_GENERATED // artists))
    artist_ids = np.repeat(np.arange(artists), per_artist)
    measurer = _Measurer(run)
    spreads = combine_seeds(
        [measurer.judge_pictures(artist_ids, seed) for seed in SEEDS]
    )
    splits = run.description(gan.SPEC.name).identity["splits"]
    has_truths = options.match_filenames or is_labeled(dataset)
    quality, fidelity, fidelity_inception = measurer.compare_kinds(options.inception)
    generator = Generator(
        generated_pictures=len(artist_ids),
        seeds=[*SEEDS],
        **{name: spread["mean"] for name, spread in spreads.items()},
        deviation={name: spread["deviation"] for name, spread in spreads.items()},
        style_error_of_zeros=_mean_square(measurer.styles[artist_ids]),
        content_error_of_zeros=run.content_encoder.dims,
        reconstruction_error=passes.measure_generator_reconstruction_error(
            run.generator,
            run.style_encoder,
            run.content_encoder,
            run.noise_dims,
            input_pipeline.eval_batches(dataset, dataset.test_split),
        ),
        **measurer.judge_references(),
        consistency=measurer.measure_consistency() if artists > 1 else None,
        test_pictures_unseen=dataset.test_split not in splits,
        quality=quality,
        fidelity=fidelity,
        fidelity_inception=fidelity_inception,
        transfers=TransferMeasure(run).measure() if has_truths else None,
    )
    _log(run, generator, start)
    return generator


PART = results.Part(
    stage=gan.SPEC.name,
    place="generator",
    depends_on=(gan.SPEC.name, *gan.SPEC.needs, classifier.SPEC.name),
    measure=measure_generator,
)


class _Measurer:
    """Generates pictures in artists' mean styles, and measures them."""

    def __init__(self, run: TrainedRun) -> None:
        self.sampler = PictureSampler(run)
        self.styles = self.sampler.styles
        self._run = run

    def judge_pictures(self, artist_ids: np.ndarray, seed: int) -> dict[str, float]:
        """Generate pictures with random contents; measure their codes and artists."""
        rng = np.random.default_rng(seed)
        contents = self.sampler.draw_contents(len(artist_ids), rng)
        pictures = self._generate(artist_ids, contents, rng)
        codes = self._run.encode_style(pictures)
        nearest = np.concatenate(
            [part.argmin(axis=1) for _, part in squared_distances(codes, self.styles)]
        )
        content_errors = self._run.encode_content(pictures) - contents
        values = {
            "style_encoder_accuracy": float((nearest == artist_ids).mean()),
            "style_error": _mean_square(codes - self.styles[artist_ids]),
            "content_error": _mean_square(content_errors),
        }
        if self._run.judge_encoder:
            values["classifier_accuracy"] = self.classify(pictures, artist_ids)
        return values

    def classify(self, pictures: np.ndarray, artist_ids: np.ndarray) -> float:
        """Compute the accuracy of the classifier, which must be trained."""
        folder = self._run.folder(classifier.SPEC.name)
        codes = encode_pictures(self._run.judge_encoder, pictures)
        predicted = classifier.classify(folder.read_array, codes)[:, -1]
        return float(np.mean(predicted == artist_ids))

    def judge_references(self) -> dict[str, float]:
        """Compute the classifier's accuracy, if any, on real and VAE pictures."""
        if self._run.judge_encoder is None:
            return {}
        pictures, artist_ids = self.sampler.test, self.sampler.artist_ids
        accuracies = []
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            contents = self.sampler.draw_contents(len(artist_ids), rng)
            decoded = self._decode(artist_ids, contents)
            accuracies.append(self.classify(decoded, artist_ids))
        return {
            "classifier_accuracy_real": self.classify(pictures, artist_ids),
            "classifier_accuracy_vae": float(np.mean(accuracies)),
        }

    def compare_kinds(
        self, inception: tf.keras.Model | None
    ) -> tuple[Quality | None, Fidelity | None, Fidelity | None]:
        """Compare kinds of pictures with real ones.

        Returns:
            By pixels, by the classifier's features, by Inception's features; None where
            there are too few pictures, or no such network.
        """
        judge = self._run.judge_encoder
        quality = None
        if QualityMeasure.is_possible(self.sampler):
            quality = QualityMeasure(self.sampler, self.classify if judge else None)
        by_features = [
            self._make_fidelity_measure(JUDGE_FEATURES, judge),
            self._make_fidelity_measure("inception", inception),
        ]
        measures = [each for each in (quality, *by_features) if each]
        self.sampler.measure_kinds(measures)
        fidelity, fidelity_inception = (
            each.combine() if each else None for each in by_features
        )
        return quality.combine() if quality else None, fidelity, fidelity_inception

    def _make_fidelity_measure(
        self, features: str, encoder: tf.keras.Model | None
    ) -> FidelityMeasure | None:
        if encoder is None:
            return None
        measure = FidelityMeasure(features, self.sampler, encoder, self._run.dataset)
        return measure if measure.is_possible else None

    def measure_consistency(self) -> Consistency:
        """Measure pictures of several contents, each in several artists' styles."""
        dataset = self._run.dataset
        last = len(dataset.artists) - 1
        artists = np.unique(np.linspace(0, last, STYLES).round().astype(int))
        content_ids = np.repeat(np.arange(CONTENTS), len(artists))
        style_ids = np.tile(artists, CONTENTS)
        by_seed = []
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            contents = self.sampler.draw_contents(CONTENTS, rng)[content_ids]
            pictures = self._generate(style_ids, contents, rng)
            codes = self._run.encode_content(pictures)
            agreement = consistency.content_agreement(codes, content_ids, style_ids)
            by_seed.append({**agreement, "diversity": _diversity(pictures, style_ids)})
        values = combine_seeds(by_seed)
        real, real_ids = read_first_pictures(
            dataset, dataset.test_split, MAX_TEST_PICTURES, artists
        )
        has_pairs = len(real_ids) and np.bincount(real_ids).max() > 1
        return Consistency(
            protocol=f"{CONTENTS}_contents_in_{len(artists)}_mean_styles_own_noise",
            contents=CONTENTS,
            styles=len(artists),
            seeds=[*SEEDS],
            chance=values.pop("chance")["mean"],
            **values,
            diversity_real=_diversity(real, real_ids) if has_pairs else None,
            real_pictures=len(real),
        )

    def _generate(
        self, artist_ids: np.ndarray, contents: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Generate uint8 [n, size, size, 3], each picture with its own noise."""
        noises = self.sampler.draw_noises(len(contents), rng)
        return self._run.generate(self.styles[artist_ids], contents, noises)

    def _decode(self, artist_ids: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """Decode the same codes by the VAE."""
        return decode_codes(self._run.code_decoder, self.styles[artist_ids], contents)


def _log(run: TrainedRun, generator: Generator, start: float) -> None:
    """Append every number with the number of generated pictures that it averages."""

    def log(group: dict[str, object], count: int) -> None:
        means = flatten_means(group, "generated")
        metrics_log.log_evaluation(run.folder(gan.SPEC.name), means, count, start)

    values = results.to_json(generator)
    groups = ("consistency", "quality", "fidelity", "fidelity_inception", "transfers")
    for name in groups:
        if name in values:
            log({name: values.pop(name)}, getattr(generator, name).pictures)
    log(values, generator.generated_pictures)


def _diversity(pictures: np.ndarray, groups: np.ndarray) -> float:
    images = color.rgb_to_lab(pictures).numpy()
    return consistency.mean_pair_distance(images, groups)


def _mean_square(errors: np.ndarray) -> float:
    return float(np.square(errors).sum(axis=1).mean())
