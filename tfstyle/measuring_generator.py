"""The numbers of the generator: right style, kept content, pictures like the real ones.

Each number of generated pictures is the mean over SEEDS, with its sample deviation.
Counts stand beside the numbers, since most of them depend on counts.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle import callbacks, runs
from tfstyle.analysis import consistency, evaluation, fidelity
from tfstyle.analysis.codes import collect_codes, decode_codes, encode_pictures
from tfstyle.analysis.repeats import flat_means, over_seeds, said
from tfstyle.data import color, records

SEEDS = (0, 1, 2)
# Generated pictures of each artist that are judged, and at the most of all.
GENERATED_PER_ARTIST, MOST_GENERATED = 20, 4000
# Contents and artists' styles, each content in each style.
CONTENTS, STYLES = 16, 16
# Real pictures that generated ones are compared with, the records' first: they were
# shuffled when written.
MOST_TRAIN, MOST_TEST = 2000, 1000
NEIGHBOURS = 5
# What `_fidelity` compares with real pictures; the report's columns.
KINDS = ("generated", "real", "vae", "shuffled")

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
    trained: dict[str, runs.StageFolder], dataset: records.Dataset
) -> Numbers:
    """Measure the gan stage.

    Args:
        trained: the finished stages, gan, metric and vae among them; without the
            classifier, what it judges is left out.
        dataset: the records.

    Returns:
        "generator" of evaluation.json: numbers of single pictures, "deviation" of
        those over seeds, "consistency", and "fidelity" if there is a classifier.
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
        "reconstruction_error": evaluation.generator_reconstruction_error(
            generator.network,
            generator.style_encoder,
            generator.content_encoder,
            generator.noise_dims,
            evaluation.test_batches(dataset),
        ),
    }
    if artists > 1:
        numbers["consistency"] = _consistency(generator, dataset)
    if judge:
        pictures, own = _first_pictures(
            dataset, evaluation.test_split(dataset), MOST_TEST
        )
        numbers["classifier_accuracy_real"] = judge.accuracy(
            judge.encode(pictures), own
        )
        numbers |= _fidelity(generator, trained["vae"], judge, dataset, (pictures, own))
        splits = folder.read()["identity"]["splits"]
        numbers["test_pictures_unseen"] = evaluation.test_split(dataset) not in splits
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
    for against in ("train", "test"):
        compared = numbers.get("fidelity", {}).get(f"against_{against}")
        if compared is None:
            continue
        shown = ", ".join(
            f"{kind} {said(compared[kind]['frechet_distance'], '.1f')}"
            for kind in KINDS
            if kind in compared
        )
        lines.append(f"gan: Frechet distance to {against} pictures: {shown}")
    return lines


def _log(folder: runs.StageFolder, numbers: Numbers, began: float) -> None:
    """Append every number with the count of generated pictures that it is of."""
    counts = {}
    if "consistency" in numbers:
        kept = numbers["consistency"]
        counts["consistency"] = kept["contents"] * kept["styles"]
    if "fidelity" in numbers:
        counts["fidelity"] = numbers["fidelity"]["pictures"]
    for name, count in counts.items():
        values = flat_means({name: numbers[name]}, "generated")
        callbacks.log_evaluation(folder, values, count, began)
    rest = {name: value for name, value in numbers.items() if name not in counts}
    values = flat_means(rest, "generated")
    callbacks.log_evaluation(folder, values, numbers["generated_pictures"], began)


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
    split = evaluation.test_split(dataset)
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


def _fidelity(generator, vae, judge, dataset, test) -> Numbers:
    """Compare equal numbers of pictures of several kinds with the real ones.

    All kinds have the test pictures' artists: "generated" and "vae" those artists' mean
    styles and the same random contents (the vae's beyond the kept dimensions are 0);
    "shuffled" are the test pictures with their pixels in random order; "real" are the
    test pictures against train, and train pictures of the same artists against test.
    Neighbours are counted against train only: an artist's test pictures are too few.
    Features are centred on the train pictures' mean and divided by their deviation,
    one number for all dimensions, so that distances mean the same for any classifier.

    Returns:
        {"fidelity", "classifier_accuracy_vae"}, or {} if there are too few pictures.
    """
    pictures, artist_ids = test
    has_test = evaluation.test_split(dataset) == "test"
    decoder = runs.load_code_decoder(vae.run_dir)
    train_batches = _first_batches(dataset, "train", MOST_TRAIN)
    train = collect_codes(judge.encoder, train_batches)
    if min(len(pictures), len(train.codes)) <= NEIGHBOURS:
        return {}
    mean = train.codes.mean(axis=0)
    deviation = np.sqrt(np.square(train.codes - mean).mean())

    def features_of(pictures):
        return (judge.encode(pictures) - mean) / deviation

    trained_on, own = (train.codes - mean) / deviation, features_of(pictures)
    against_train, against_test, accuracies = [], [], []
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        contents = generator.draw_contents(len(artist_ids), random)
        made = generator.draw(artist_ids, contents, random)
        decoded = decode_codes(decoder, generator.artist_means[artist_ids], contents)
        kinds = {
            "generated": features_of(made),
            "vae": features_of(decoded),
            "shuffled": features_of(_shuffled(pictures, random)),
        }
        accuracies.append(judge.accuracy(judge.encode(decoded), artist_ids))
        against_train.append(
            {
                kind: {
                    **_distances(trained_on, features, seed),
                    **fidelity.precision_recall_density_coverage(
                        trained_on, features, NEIGHBOURS
                    ),
                }
                for kind, features in kinds.items()
            }
        )
        rows = _rows_of_artists(train.artist_ids, artist_ids, random)
        kinds["real"] = trained_on[rows]
        against_test.append(
            {kind: _distances(own, features, seed) for kind, features in kinds.items()}
        )
    numbers: Numbers = {
        "protocol": f"classifier_{own.shape[1]}_features_{len(own)}_pictures",
        "pictures": len(own),
        "train_pictures": len(trained_on),
        "neighbours": NEIGHBOURS,
        "seeds": list(SEEDS),
        "against_train": over_seeds(against_train),
    }
    if has_test:
        once = {
            **_distances(trained_on, own, SEEDS[0]),
            **fidelity.precision_recall_density_coverage(trained_on, own, NEIGHBOURS),
        }
        numbers["against_train"]["real"] = over_seeds([once])
        numbers["against_test"] = over_seeds(against_test)
    accuracy = float(np.mean(accuracies))
    return {"fidelity": numbers, "classifier_accuracy_vae": accuracy}


def _distances(reference, features, seed) -> Numbers:
    kernel, _ = fidelity.kernel_distance(reference, features, seed=seed)
    return {
        "frechet_distance": fidelity.frechet_distance(reference, features),
        "kernel_distance": kernel,
    }


def _shuffled(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put each picture's pixels in random order: its colors without anything drawn."""
    flat = pictures.reshape(len(pictures), -1, 3)
    return np.stack([random.permutation(one) for one in flat]).reshape(pictures.shape)


def _rows_of_artists(from_ids, artist_ids, random) -> np.ndarray:
    """Choose as many rows at random, of the same artists as far as these have them."""
    chosen: list[int] = []
    for artist, count in zip(*np.unique(artist_ids, return_counts=True), strict=True):
        own = np.flatnonzero(from_ids == artist)
        chosen += random.permutation(own)[:count].tolist()
    others = np.setdiff1d(np.arange(len(from_ids)), chosen)
    missing = len(artist_ids) - len(chosen)
    return np.array([*chosen, *random.permutation(others)[:missing]])


def _first_batches(dataset, split: str, most: int) -> tf.data.Dataset:
    batches = evaluation.split_batches(dataset, split)
    return batches.take(-(-most // evaluation.BATCH))


def _first_pictures(
    dataset: records.Dataset,
    split: str,
    most: int,
    artists: Sequence[int] | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first pictures of a split, uint8 [n, ..], and their artists' ids."""
    pictures, artist_ids, count = [], [], 0
    for batch in evaluation.split_batches(dataset, split):
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
