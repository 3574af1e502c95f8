"""What the eye sees of generated pictures: dot grids, sharpness, copies.

The measures of `tfstyle.metrics.texture`, for every kind of picture in `samples`: no
network that a generator may have learned to please takes part.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from tfstyle.analysis.realism.samples import (
    KINDS,
    SEEDS,
    PictureSampler,
    choose_rows_of_artists,
)
from tfstyle.analysis.results import Result, list_labels, make_result, measured
from tfstyle.metrics import texture
from tfstyle.metrics.repeats import Spread, combine_kinds, format_number

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
                    format_number(result.get_spread(name)["mean"], spec)
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


class QualityMeasure:
    """Compares kinds of pictures with training pictures, seed by seed.

    Args:
        sampler: draws the pictures.
        classify: judges the artists of the pictures; None if no classifier is trained.
    """

    def __init__(
        self, sampler: PictureSampler, classify: Classify | None = None
    ) -> None:
        self._artist_ids = sampler.artist_ids
        self._train, self._train_ids = sampler.train
        self._count = min(len(sampler.test), len(self._train), _MOST_PICTURES)
        real_nearest = texture.nearest_distances(sampler.test, self._train)
        self._limit = float(np.quantile(real_nearest, _COPIES_OF_REAL))
        self._has_test = sampler.has_test
        if not self._has_test:  # each training picture is nearest to itself
            self._limit = 0.0
        self._classify = classify
        self._by_seed: list[dict[str, dict[str, float]]] = []
        self._spectra: dict[str, list[float]] = {}

    @staticmethod
    def is_possible(sampler: PictureSampler) -> bool:
        """Return whether there are four pictures of each kind, as large as a patch."""
        train, _ = sampler.train
        enough = min(len(sampler.test), len(train)) >= 4
        return enough and train.shape[1] >= texture.PATCH_SIZE

    def add(self, seed: int, kinds: Mapping[str, np.ndarray]) -> None:
        """Measure kinds that were drawn with a seed."""
        # Test pictures are in random order, so the first are a fair choice.
        rows = choose_rows_of_artists(
            self._train_ids,
            self._artist_ids[: self._count],
            np.random.default_rng(seed),
        )
        real = self._train[rows]
        slices = texture.PatchSlices(real, seed)
        measures = {}
        for kind, pictures in kinds.items():
            spectrum = texture.mean_power_spectrum(pictures[: self._count] / 255)
            self._spectra[kind] = texture.line_energies(spectrum).tolist()
            measures[kind] = {
                **_measure_spectrum(spectrum),
                **_measure_patches(slices, real, pictures[: self._count], seed),
                **self._find_copies(pictures[: self._count]),
            }
            if kind == "real" and not self._has_test:
                measures[kind]["nearest_distance"] = math.nan
            # Drawn styles have no artist.
            if self._classify and kind != "prior":
                accuracy = self._classify(pictures, self._artist_ids)
                measures[kind]["classifier_accuracy"] = accuracy
        self._by_seed.append(measures)

    def combine(self) -> Quality:
        """Combine the seeds."""
        shown = ("generated", "prior", "vae", "real")
        return Quality(
            protocol=f"{self._count}_pictures_against_training_pictures",
            pictures=self._count,
            train_pictures=len(self._train),
            seeds=[*SEEDS],
            spectra={kind: self._spectra[kind] for kind in shown},
            kinds=make_result(dict[str, KindQuality], combine_kinds(self._by_seed)),
        )

    def _find_copies(self, pictures: np.ndarray) -> dict[str, float]:
        nearest = texture.nearest_distances(pictures, self._train)
        return {
            "nearest_distance": float(nearest.mean()) / 255,
            "copies": self._measure_copies(nearest),
        }

    def _measure_copies(self, nearest: np.ndarray) -> float:
        """Return the share of copies; NaN if real pictures are copies too."""
        return float((nearest < self._limit).mean()) if self._limit else math.nan


def _measure_spectrum(spectrum: np.ndarray) -> dict[str, float]:
    size = len(spectrum)
    return {
        f"lattice_{period}": texture.lattice_energy(spectrum, period)
        for period in _PERIODS
        if size % period == 0 and size >= 4 * period
    }


def _measure_patches(
    slices: texture.PatchSlices, real: np.ndarray, pictures: np.ndarray, seed: int
) -> dict[str, float]:
    distances = zip(_SCALES, slices.distances(pictures), strict=False)
    return {
        **{f"patches_{scale}": distance for scale, distance in distances},
        "patch_probe": texture.patch_probe_accuracy(real, pictures, seed),
    }
