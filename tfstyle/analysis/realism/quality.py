"""What the eye sees of generated pictures: dot grids, sharpness, copies.

The measures of `tfstyle.metrics.texture`, for every kind of picture in `samples`: no
network that a generator may have learned to please takes part.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from tfstyle.analysis.realism.samples import (
    KINDS,
    SEEDS,
    PictureSampler,
    choose_rows_of_artists,
)
from tfstyle.analysis.results import Result, from_json, list_labels, measured
from tfstyle.metrics import texture
from tfstyle.metrics.repeats import Spread, combine_kinds

# Pictures of each kind at most.
_MOST_PICTURES = 250
_PERIODS = (2, 4, 8)
_SCALES = ("full", "half", "quarter", "eighth", "sixteenth")
# Computes a classifier's accuracy on pictures of artists.
Classify = Callable[[np.ndarray, np.ndarray], float]
# Real pictures that are counted as copies, those most similar to a training picture.
_COPIES_OF_REAL = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class KindQuality(Result):
    """Pictures of a kind compared with training pictures.

    Periods and scales that small pictures do not have are None.
    """

    lattice_2: Spread | None = measured(
        "lattice 2",
        ".2f",
        "Energy of the spectrum at a period of 2 pixels, relative to its surroundings; "
        "more than for real pictures means a dot grid.",
        default=None,
    )
    lattice_4: Spread | None = measured(
        "lattice 4", ".2f", "The same at a period of 4 pixels.", default=None
    )
    lattice_8: Spread | None = measured(
        "lattice 8", ".2f", "The same at a period of 8 pixels.", default=None
    )
    patches_full: Spread = measured(
        "patches, full size",
        ".0f",
        "Distance of small patches from those of real pictures (sliced Wasserstein "
        "distance of the Laplacian pyramid, times 1,000); less is better.",
    )
    patches_half: Spread | None = measured(
        "patches, half size",
        ".0f",
        "The same for pictures of half the size.",
        default=None,
    )
    patches_quarter: Spread | None = measured(
        "patches, quarter size", ".0f", "The same at a quarter.", default=None
    )
    patches_eighth: Spread | None = measured(
        "patches, 1/8 size", ".0f", "The same at an eighth.", default=None
    )
    patches_sixteenth: Spread | None = measured(
        "patches, 1/16 size", ".0f", "The same at a sixteenth.", default=None
    )
    patch_probe: Spread = measured(
        "patches recognized",
        ".0%",
        "How often a small network tells a patch of 7x7 pixels from a real one; 50% is "
        "perfect.",
    )
    nearest_distance: Spread = measured(
        "nearest training picture",
        ".3f",
        "Root mean square difference from the most similar training picture, which is "
        "0 for a copy (pictures at 32x32 pixels, values from 0 to 1).",
    )
    copies: Spread = measured(
        "copies",
        ".0%",
        "Share that is more similar to a training picture than 99% of the real "
        "pictures are.",
    )
    classifier_accuracy: Spread | None = measured(
        "classifier accuracy",
        ".0%",
        "How often the classifier finds the artist.",
        default=None,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality:
    """Equal numbers of pictures of each of KINDS, compared with training pictures.

    Args:
        protocol: of the measurement.
        pictures: number of pictures of each kind.
        train_pictures: training pictures in which the nearest one is searched.
        seeds: of the random draws.
        spectra: energy by cycles per picture along an axis, of some kinds.
        kinds: the measures by kind.
    """

    protocol: str
    pictures: int
    train_pictures: int
    seeds: list[int]
    spectra: dict[str, list[float]]
    kinds: dict[str, KindQuality]

    def summarize(self) -> list[str]:
        """Format the lattice energies and patch distances as lines of text."""
        lines = []
        for kind in ("generated", "prior", "vae", "real"):
            result = self.kinds[kind]
            names = [
                n for n in list_labels(KindQuality) if getattr(result, n) is not None
            ]
            values = {
                label: " ".join(
                    f"{result.get_spread(name)['mean']:{spec}}"
                    for name in names
                    if name.startswith(prefix)
                )
                for label, prefix, spec in (
                    ("lattice", "lattice_", ".2f"),
                    ("patches", "patches_", ".0f"),
                )
            }
            lines.append(
                f"{KINDS[kind]}: lattice {values['lattice'] or '-'}, "
                f"patches {values['patches']}, recognized "
                f"{result.format_value('patch_probe')}"
            )
        return lines


def measure_quality(
    sampler: PictureSampler, classify: Classify | None = None
) -> Quality | None:
    """Compare pictures of all kinds with training pictures.

    Args:
        sampler: draws the pictures.
        classify: judges the artists of the pictures; None if no classifier is trained.

    Returns:
        The comparisons, or None if there are fewer than four test pictures, or pictures
        are smaller than a patch.
    """
    train, _ = sampler.train
    count = min(len(sampler.test), len(train), _MOST_PICTURES)
    if count < 4 or train.shape[1] < texture.PATCH_SIZE:
        return None
    real_nearest = texture.nearest_distances(sampler.test, train)
    limit = float(np.quantile(real_nearest, _COPIES_OF_REAL))
    by_seed: list[dict[str, dict[str, float]]] = []
    spectra: dict[str, list[float]] = {}
    fixed = sampler.spoil()
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        kinds = sampler.draw(rng)
        if seed == SEEDS[0]:
            kinds |= fixed
        spectra |= {kind: _spectrum(kinds[kind]) for kind in kinds}
        # Test pictures are in random order, so the first are a fair choice.
        rows = choose_rows_of_artists(sampler.train[1], sampler.artist_ids[:count], rng)
        measures = {
            kind: _measure(pictures, train[rows], train, limit, seed)
            for kind, pictures in kinds.items()
        }
        # Drawn styles have no artist.
        for kind in measures.keys() - {"prior"}:
            if classify:
                accuracy = classify(kinds[kind], sampler.artist_ids)
                measures[kind]["classifier_accuracy"] = accuracy
        by_seed.append(measures)
    return Quality(
        protocol=f"{count}_pictures_against_training_pictures",
        pictures=count,
        train_pictures=len(train),
        seeds=[*SEEDS],
        spectra={kind: spectra[kind] for kind in ("generated", "prior", "vae", "real")},
        kinds=from_json(dict[str, KindQuality], combine_kinds(by_seed)),
    )


def _spectrum(pictures: np.ndarray) -> list[float]:
    spectrum = texture.mean_power_spectrum(pictures / 255)
    return texture.line_energies(spectrum).tolist()


def _measure(
    pictures: np.ndarray,
    real: np.ndarray,
    train: np.ndarray,
    limit: float,
    seed: int,
) -> dict[str, float]:
    """Measure a kind of pictures against as many real ones, and all training ones."""
    pictures = pictures[: len(real)]
    spectrum = texture.mean_power_spectrum(pictures)
    distances = texture.sliced_wasserstein(real, pictures, seed)
    nearest = texture.nearest_distances(pictures, train)
    size = len(spectrum)
    lattices = {
        f"lattice_{period}": texture.lattice_energy(spectrum, period)
        for period in _PERIODS
        if size % period == 0 and size >= 4 * period
    }
    patches = {
        f"patches_{scale}": distance
        for scale, distance in zip(_SCALES, distances, strict=False)
    }
    return {
        **lattices,
        **patches,
        "patch_probe": texture.patch_probe_accuracy(real, pictures, seed),
        "nearest_distance": float(nearest.mean()) / 255,
        "copies": float((nearest < limit).mean()),
    }
