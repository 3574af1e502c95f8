"""The numbers of the generator: right style, kept content, pictures like the real ones.

Each number of generated pictures is the mean over SEEDS, with its sample deviation.
Counts stand beside the numbers, since most of them depend on counts.
"""

import dataclasses
import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.analysis.evaluation.fidelity import (
    KINDS,
    MOST_TEST,
    SEEDS,
    measure_fidelity,
)
from tfstyle.data import records
from tfstyle.metrics import consistency
from tfstyle.metrics.repeats import flat_means, over_seeds, said
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import decode_codes, encode_pictures
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs import metrics_log

# Generated pictures of each artist that are judged, and at the most of all.
GENERATED_PER_ARTIST, MOST_GENERATED = 20, 4000
# Contents and artists' styles, each content in each style.
CONTENTS, STYLES = 16, 16

Numbers = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Generator:
    """The generator with the codes and encoders that belong to it."""

    network: tf.keras.Model
    style_encoder: tf.keras.Model
    content_encoder: tf.keras.Model
    artist_means: np.ndarray
    noise_dims: int

    def draw_contents(self, count: int, random: np.random.Generator) -> np.ndarray:
        return random.normal(size=[count, self.content_encoder.dims])

    def draw(self, artist_ids, contents, random: np.random.Generator) -> np.ndarray:
        """Generate uint8 [n, ..] in artists' mean styles, each with its own noise."""
        noises = random.normal(size=[len(contents), self.noise_dims])
        return decode_codes(
            self.network, self.artist_means[artist_ids], contents, noises
        )


@dataclasses.dataclass(frozen=True)
class _Judge:
    """The classifier, which took no part in the generator's training."""

    encoder: tf.keras.Model
    kernel: np.ndarray
    bias: np.ndarray

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        return encode_pictures(self.encoder, pictures)

    def accuracy(self, features: np.ndarray, artist_ids: np.ndarray) -> float:
        named = (features @ self.kernel + self.bias).argmax(axis=1)
        return float((named == artist_ids).mean())


def measure_generator(
    trained: dict[str, runs.StageFolder],
    dataset: records.Dataset,
    inception: tf.keras.Model | None = None,
) -> Numbers:
    """Measure the gan stage.

    Args:
        trained: the finished stages, gan, metric and vae among them; without the
            classifier, what it judges is left out.
        dataset: the records.
        inception: scaled Lab -> features, to compare pictures by these too.

    Returns:
        "generator" of evaluation.json: numbers of single pictures, "deviation" of
        those over seeds, "consistency", "fidelity" if there is a classifier, and
        "fidelity_inception" if there is an Inception.
    """
    began = time.time()
    folder = trained["gan"]
    generator = _Generator(
        runs.load_network(folder, "generator_average"),
        runs.load_style_encoder(folder.run_dir),
        runs.load_content_encoder(folder.run_dir),
        runs.load_statistics(trained["metric"]).artist_means,
        folder.read()["code_dims"][2],
    )
    judge = _load_judge(trained["classifier"]) if "classifier" in trained else None
    artists = len(dataset.artists)
    per_artist = min(GENERATED_PER_ARTIST, max(1, MOST_GENERATED // artists))
    artist_ids = np.repeat(np.arange(artists), per_artist)
    judged = over_seeds([_judged(generator, judge, artist_ids, seed) for seed in SEEDS])
    numbers: Numbers = {
        "generated_pictures": len(artist_ids),
        "seeds": list(SEEDS),
        **{name: one["mean"] for name, one in judged.items()},
        "deviation": {name: one["deviation"] for name, one in judged.items()},
        "style_error_of_zeros": float(
            np.square(generator.artist_means[artist_ids]).sum(axis=1).mean()
        ),
        "content_error_of_zeros": generator.content_encoder.dims,
        "reconstruction_error": passes.generator_reconstruction_error(
            generator.network,
            generator.style_encoder,
            generator.content_encoder,
            generator.noise_dims,
            passes.test_batches(dataset),
        ),
    }
    if artists > 1:
        numbers["consistency"] = _consistency(generator, dataset)
    splits = folder.read()["identity"]["splits"]
    numbers["test_pictures_unseen"] = passes.test_split(dataset) not in splits
    pictures, own = _first_pictures(dataset, passes.test_split(dataset), MOST_TEST)
    decoder = runs.load_code_decoder(folder.run_dir)

    def decoded(contents: np.ndarray) -> np.ndarray:
        return decode_codes(decoder, generator.artist_means[own], contents)

    def sample(random: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw in the test pictures' artists' mean styles, with the same contents."""
        contents = generator.draw_contents(len(own), random)
        drawn = generator.draw(own, contents, random)
        return {"generated": drawn, "vae": decoded(contents)}

    if judge:
        numbers["classifier_accuracy_real"] = judge.accuracy(
            judge.encode(pictures), own
        )
        right = []
        for seed in SEEDS:
            contents = generator.draw_contents(len(own), np.random.default_rng(seed))
            right.append(judge.accuracy(judge.encode(decoded(contents)), own))
        numbers["classifier_accuracy_vae"] = float(np.mean(right))
        numbers |= measure_fidelity(
            "fidelity", sample, judge.encoder, dataset, (pictures, own)
        )
    if inception:
        numbers |= measure_fidelity(
            "fidelity_inception", sample, inception, dataset, (pictures, own)
        )
    _log(folder, numbers, began)
    return numbers


def generator_summary(numbers: Numbers, artists: int) -> list[str]:
    """Give the numbers of `measure_generator` that matter most as lines of text."""
    deviation = numbers["deviation"]
    lines = [
        f"gan: error of reconstructed test pictures "
        f"{numbers['reconstruction_error']:.1f}; artist of generated pictures right by "
        f"the style encoder {numbers['style_encoder_accuracy']:.1%}"
    ]
    if "classifier_accuracy" in numbers:
        lines.append(
            "gan: right by the classifier, which the generator never saw: "
            f"{numbers['classifier_accuracy']:.1%} (chance {1 / artists:.1%}; real "
            f"test pictures {numbers['classifier_accuracy_real']:.1%}; deviation over "
            f"{len(numbers['seeds'])} seeds {deviation['classifier_accuracy']:.1%})"
        )
    if "consistency" in numbers:
        kept, real = numbers["consistency"], numbers["consistency"]["diversity_real"]
        lines.append(
            "gan: one content in other styles found again "
            f"{said(kept['retrieval'], '.1%')} (chance {kept['chance']:.1%}), content "
            f"codes {said(kept['distance_ratio'], '.0%')} as far apart as of two "
            f"contents; pictures of one style {said(kept['diversity'], '.3f')} apart"
            + (f", real {real:.3f}" if real is not None else "")
        )
    for features, against in itertools.product(
        ("fidelity", "fidelity_inception"), ("train", "test")
    ):
        compared = numbers.get(features, {}).get(f"against_{against}")
        if compared is None:
            continue
        shown = ", ".join(
            f"{kind} {said(compared[kind]['frechet_distance'], '.1f')}"
            for kind in KINDS
            if kind in compared
        )
        by = " by Inception" if features == "fidelity_inception" else ""
        lines.append(f"gan: Frechet distance to {against} pictures{by}: {shown}")
    return lines


def _log(folder: runs.StageFolder, numbers: Numbers, began: float) -> None:
    """Append every number with the count of generated pictures that it is of."""
    counts = {}
    if "consistency" in numbers:
        kept = numbers["consistency"]
        counts["consistency"] = kept["contents"] * kept["styles"]
    for features in ("fidelity", "fidelity_inception"):
        if features in numbers:
            counts[features] = numbers[features]["pictures"]
    for name, count in counts.items():
        values = flat_means({name: numbers[name]}, "generated")
        metrics_log.log_evaluation(folder, values, count, began)
    rest = {name: value for name, value in numbers.items() if name not in counts}
    values = flat_means(rest, "generated")
    metrics_log.log_evaluation(folder, values, numbers["generated_pictures"], began)


def _load_judge(folder: runs.StageFolder) -> _Judge:
    encoder = runs.load_network(folder, "style_encoder")
    kernel, bias = runs.load_arrays(
        folder, "artist_logits/kernel", "artist_logits/bias"
    )
    return _Judge(encoder, kernel, bias)


def _judged(generator, judge, artist_ids, seed) -> dict[str, float]:
    """Generate with random contents, and read codes and artists from the pictures."""
    random = np.random.default_rng(seed)
    contents = generator.draw_contents(len(artist_ids), random)
    pictures = generator.draw(artist_ids, contents, random)
    styles = encode_pictures(generator.style_encoder, pictures)
    given_contents = encode_pictures(generator.content_encoder, pictures)
    means = generator.artist_means
    nearest = np.array([np.square(means - one).sum(axis=1).argmin() for one in styles])
    found = {
        "style_encoder_accuracy": float((nearest == artist_ids).mean()),
        "style_error": _mean_squares(styles - means[artist_ids]),
        "content_error": _mean_squares(given_contents - contents),
    }
    if judge:
        found["classifier_accuracy"] = judge.accuracy(
            judge.encode(pictures), artist_ids
        )
    return found


def _consistency(generator: _Generator, dataset: records.Dataset) -> Numbers:
    """Measure pictures of each of some contents in each of some artists' styles."""
    artists = len(generator.artist_means)
    chosen = np.unique(np.linspace(0, artists - 1, STYLES).round().astype(int))
    content_ids = np.repeat(np.arange(CONTENTS), len(chosen))
    style_ids = np.tile(chosen, CONTENTS)
    found = []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        contents = generator.draw_contents(CONTENTS, random)[content_ids]
        pictures = generator.draw(style_ids, contents, random)
        codes = encode_pictures(generator.content_encoder, pictures)
        agreement = consistency.content_agreement(codes, content_ids, style_ids)
        diversity = consistency.mean_pair_distance(_lab(pictures), style_ids)
        found.append({**agreement, "diversity": diversity})
    split = passes.test_split(dataset)
    real, real_ids = _first_pictures(dataset, split, MOST_TEST, chosen)
    numbers = over_seeds(found)
    chance = numbers.pop("chance")["mean"]
    has_pairs = len(real_ids) and np.bincount(real_ids).max() > 1
    return {
        "protocol": f"{CONTENTS}_contents_in_{len(chosen)}_mean_styles_own_noise",
        "contents": CONTENTS,
        "styles": len(chosen),
        "seeds": list(SEEDS),
        **numbers,
        "chance": chance,
        "diversity_real": (
            consistency.mean_pair_distance(_lab(real), real_ids) if has_pairs else None
        ),
        "real_pictures": len(real),
    }


def _first_pictures(
    dataset: records.Dataset,
    split: str,
    most: int,
    artists: Sequence[int] | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first pictures of a split, uint8 [n, ..], and their artists' ids."""
    pictures, artist_ids, count = [], [], 0
    for batch in passes.split_batches(dataset, split):
        kept = batch["mask"].numpy() > 0
        if artists is not None:
            kept &= np.isin(batch["artist"].numpy(), artists)
        pictures.append(batch["image"].numpy()[kept])
        artist_ids.append(batch["artist"].numpy()[kept])
        count += kept.sum()
        if count >= most:
            break
    return np.concatenate(pictures)[:most], np.concatenate(artist_ids)[:most]


def _lab(pictures: np.ndarray) -> np.ndarray:
    return color.rgb_to_lab(pictures).numpy()


def _mean_squares(errors: np.ndarray) -> float:
    return float(np.square(errors).sum(axis=1).mean())
