"""How similar two collections of pictures are, without the features of a network.

A classifier's features overlook what a viewer sees at once, such as dot grids or blur.
These measures look at spectra, at small patches, and at whole pictures pixel by pixel.
Pictures are uint8 or float [n, size, size, channels] throughout.
"""

import numpy as np
from scipy import ndimage

from tfstyle.metrics.distances import squared_distances
from tfstyle.metrics.probes import probe_accuracy

# Lattice lines are compared with the lines of the spectrum this many bins away.
_NEIGHBOR_BINS = 2
# Karras et al. 2018 (arXiv 1710.10196), section 5.
PATCH_SIZE = 7
_PATCHES_PER_PICTURE = 128
_PROJECTIONS = 256
# The smallest level of a Laplacian pyramid, in pixels.
_SMALLEST_LEVEL = 16
# The binomial filter between the levels of a Laplacian pyramid.
_BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
# Patches per picture that a probe sees, and pictures of each kind at most.
_PROBED_PATCHES, _PROBED_PICTURES = 16, 250
# Side of the pictures that are compared as a whole.
_COMPARED_SIZE = 32


def mean_power_spectrum(pictures: np.ndarray) -> np.ndarray:
    """Average the power spectra of gray pictures, each less its mean.

    Gray is the mean over channels.

    Returns:
        float64 [size, size], in the order of `np.fft.fft2`.
    """
    power = np.zeros(pictures.shape[1:3])
    for picture in pictures:
        gray = picture.mean(axis=-1)
        power += np.square(np.abs(np.fft.fft2(gray - gray.mean())))
    return power / len(pictures)


def line_energies(spectrum: np.ndarray) -> np.ndarray:
    """Sum a power spectrum over the rows and the columns of each frequency.

    Args:
        spectrum: [size, size], of `mean_power_spectrum`.

    Returns:
        float64 [size / 2 + 1], by cycles per picture along either axis.
    """
    return _sum_lines(spectrum)[: len(spectrum) // 2 + 1]


def lattice_energy(spectrum: np.ndarray, period: int) -> float:
    """Compare the energy at a period with that at neighboring ones; 1 for no lattice.

    It is the energy of the lines with `period` pixels per cycle, divided by the mean
    over the lines two bins away. Transposed convolutions of stride 2 leave lattices of
    period 2, several in a row of 4, 8 ..

    Args:
        spectrum: [size, size], of `mean_power_spectrum`.
        period: in pixels, a divisor of size and at most size / 4.

    Raises:
        ValueError: for another period.
    """
    size = len(spectrum)
    if not 2 <= period <= size // 4 or size % period:
        raise ValueError(
            f"period must divide {size} and be from 2 to {size // 4}, got {period}"
        )
    energies = _sum_lines(spectrum)
    line = size // period
    lower, upper = line - _NEIGHBOR_BINS, (line + _NEIGHBOR_BINS) % size
    neighbors = (energies[lower] + energies[upper]) / 2
    smallest = 1e-12 * energies.sum()  # of pictures that hold nothing but a lattice
    return float(energies[line] / max(neighbors, smallest)) if smallest else 1.0


def laplacian_pyramid(pictures: np.ndarray) -> list[np.ndarray]:
    """Split pictures into details by scale, each at half the side of the one before.

    Returns:
        float32 [n, s, s, channels] for s = size, size / 2 .. down to 16; the last one
        holds what remains rather than details. One level for smaller pictures.
    """
    levels = []
    rest = pictures.astype(np.float32)
    while rest.shape[1] >= 2 * _SMALLEST_LEVEL and rest.shape[1] % 2 == 0:
        smaller = _smooth(rest)[:, ::2, ::2]
        enlarged = np.zeros_like(rest)
        enlarged[:, ::2, ::2] = smaller
        levels.append(rest - 4 * _smooth(enlarged))
        rest = smaller
    return [*levels, rest]


class PatchSlices:
    """Small patches of real pictures, projected, to compare collections with.

    128 random patches of 7x7 pixels per picture and level of the Laplacian pyramid are
    standardized by the real ones' mean and deviation of each channel. The distance is
    the mean over 256 random directions of the Wasserstein-1 distance of the projected
    patches (Karras et al. 2018, arXiv 1710.10196, section 5).

    Args:
        real: the real pictures.
        seed: of all random choices.

    Raises:
        ValueError: if pictures are smaller than a patch.
    """

    def __init__(self, real: np.ndarray, seed: int = 0) -> None:
        if real.shape[1] < PATCH_SIZE:
            raise ValueError(
                f"needs pictures of at least {PATCH_SIZE}x{PATCH_SIZE}, got "
                f"{real.shape}"
            )
        self._shape = real.shape
        self._seed = seed
        self._levels = []
        for number, level in enumerate(laplacian_pyramid(real)):
            rng = np.random.default_rng([seed, number])
            patches = cut_patches(level, _PATCHES_PER_PICTURE, rng)
            mean = patches.mean(axis=(0, 1))
            deviation = patches.std(axis=(0, 1)) + 1e-8
            shape = [patches[0].size, _PROJECTIONS]
            directions = rng.normal(size=shape).astype(np.float32)
            directions /= np.linalg.norm(directions, axis=0)
            scale = (mean, deviation, directions)
            self._levels.append((scale, _project(patches, *scale)))

    def distances(self, fake: np.ndarray) -> list[float]:
        """Compute the sliced Wasserstein distance of equally many pictures.

        Returns:
            The distance at each level, fine to coarse, times 1,000 as in that paper.

        Raises:
            ValueError: if there are other numbers or sizes of pictures.
        """
        if fake.shape != self._shape:
            raise ValueError(
                f"needs pictures of shape {self._shape} like the real ones, got "
                f"{fake.shape}"
            )
        distances = []
        for number, level in enumerate(laplacian_pyramid(fake)):
            rng = np.random.default_rng([self._seed, number, 1])
            patches = cut_patches(level, _PATCHES_PER_PICTURE, rng)
            scale, real = self._levels[number]
            gaps = np.abs(real - _project(patches, *scale))
            distances.append(1000 * float(gaps.mean()))
        return distances


def patch_probe_accuracy(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    """Train a probe to tell patches of two kinds of pictures apart; 0.5 is chance.

    A network with one hidden layer (see `probes`) sees 7x7 patches as they are, of the
    first half of each collection, and is tested on those of the second half. At most
    250 pictures of each kind are used, 16 random patches each.

    Returns:
        Share of the test patches whose kind is recognized.
    """
    rng = np.random.default_rng(seed)
    count = min(len(real), len(fake), _PROBED_PICTURES)
    patches, labels = [], []
    for half in (slice(0, count // 2), slice(count // 2, count)):
        kinds = [
            _flatten(cut_patches(pictures[half], _PROBED_PATCHES, rng))
            for pictures in (real, fake)
        ]
        patches.append(np.concatenate(kinds).astype(np.float64))
        labels.append(np.repeat([0, 1], [len(kind) for kind in kinds]))
    return probe_accuracy(
        patches[0], labels[0], patches[1], labels[1], kind="mlp", seed=seed
    )


def nearest_distances(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find how far each picture is from the most similar one of others.

    Pictures are averaged down to 32x32 pixels first.

    Returns:
        float64 [n], root mean square difference over pixels and channels.
    """
    rows, columns = (_flatten(shrink(images)) for images in (pictures, others))
    nearest = np.concatenate(
        [distances.min(axis=1) for _, distances in squared_distances(rows, columns)]
    )
    return np.sqrt(nearest / rows.shape[1])


def cut_patches(
    pictures: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Cut random patches: [n, s, s, c] -> [n * count, 49, c]."""
    number, size = pictures.shape[:2]
    rows, columns = rng.integers(0, size - PATCH_SIZE + 1, [2, number, count, 1, 1])
    steps = np.arange(PATCH_SIZE)
    picture = np.arange(number)[:, None, None, None]
    patches = pictures[picture, rows + steps[:, None], columns + steps]
    return patches.reshape(number * count, PATCH_SIZE**2, -1)


def _sum_lines(spectrum: np.ndarray) -> np.ndarray:
    """Sum a spectrum over the rows and the columns of each index, [size]."""
    return spectrum.sum(axis=0) + spectrum.sum(axis=1)


def _smooth(pictures: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        pictures = ndimage.convolve1d(pictures, _BINOMIAL, axis, mode="mirror")
    return pictures


def shrink(pictures: np.ndarray) -> np.ndarray:
    """Average over squares, down to 32x32 pixels where the size allows.

    [n, size, size, channels] -> float [n, smaller, smaller, channels].
    """
    size = pictures.shape[1]
    factor = size // _COMPARED_SIZE if size % _COMPARED_SIZE == 0 else 1
    shape = [len(pictures), size // factor, factor, size // factor, factor, -1]
    return pictures.reshape(shape).mean(axis=(2, 4)) if factor > 1 else pictures


def _project(
    patches: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    directions: np.ndarray,
) -> np.ndarray:
    """Standardize, project and sort patches: [patches, directions]."""
    standardized = _flatten((patches - mean) / deviation)
    return np.sort(standardized @ directions, axis=0)


def _flatten(arrays: np.ndarray) -> np.ndarray:
    return arrays.reshape(len(arrays), -1)
