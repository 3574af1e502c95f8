"""Spectra of waves, patches of noise, and nearest pictures by plain loops."""

import numpy as np
import pytest

from tfstyle.metrics import texture


def draw_noise(count, size=64, seed=0) -> np.ndarray:
    """Draw gray white noise of variance 1, float64 [count, size, size, 3]."""
    noise = np.random.default_rng(seed).normal(size=[count, size, size, 1])
    return noise.repeat(3, axis=-1)


def draw_wave(period, size=64) -> np.ndarray:
    """A wave of amplitude 1 along the columns, [size, size, 3]."""
    wave = np.cos(2 * np.pi * np.arange(size) / period)
    return np.broadcast_to(wave[None, :, None], [size, size, 3])


def test_white_noise_has_no_lattice():
    spectrum = texture.mean_power_spectrum(draw_noise(200))

    for period in (2, 4, 8):
        assert texture.lattice_energy(spectrum, period) == pytest.approx(1, abs=0.05)


def test_a_wave_adds_its_energy_at_its_period_alone():
    """White noise has s^2 per bin; both lines have s bins: 2 s^3 = 524,288.

    A wave of amplitude 1 and a period of 4 has (s^2 / 2)^2 = 4,194,304 at +-1/4, of
    which the line of the positive frequency has one: 1 + 8 times the noise.
    """
    spectrum = texture.mean_power_spectrum(draw_noise(200) + draw_wave(4))

    assert texture.lattice_energy(spectrum, 4) == pytest.approx(9, rel=0.05)
    for period in (2, 8):
        assert texture.lattice_energy(spectrum, period) == pytest.approx(1, abs=0.05)


def test_flat_pictures_have_no_lattice_and_pure_lattices_a_finite_one():
    flat = texture.mean_power_spectrum(np.full([2, 32, 32, 3], 7))
    pure = texture.mean_power_spectrum(draw_wave(4, 32)[None])

    assert texture.lattice_energy(flat, 4) == 1
    assert 1e6 < texture.lattice_energy(pure, 4) < np.inf


@pytest.mark.parametrize("period", [1, 3, 32, 64])
def test_periods_that_a_spectrum_cannot_have_are_refused(period):
    with pytest.raises(ValueError, match=f"got {period}"):
        texture.lattice_energy(np.ones([64, 64]), period)


def test_line_energies_sum_rows_and_columns():
    spectrum = np.arange(16.0).reshape(4, 4)

    assert texture.line_energies(spectrum).tolist() == [
        0 + 1 + 2 + 3 + (0 + 4 + 8 + 12),
        4 + 5 + 6 + 7 + (1 + 5 + 9 + 13),
        8 + 9 + 10 + 11 + (2 + 6 + 10 + 14),
    ]


@pytest.mark.parametrize("size, sizes", [(64, [64, 32, 16]), (16, [16]), (24, [24])])
def test_a_pyramid_ends_at_16_pixels(size, sizes):
    levels = texture.laplacian_pyramid(draw_noise(2, size))

    assert [level.shape for level in levels] == [(2, s, s, 3) for s in sizes]


def test_a_pyramid_separates_a_checkerboard_from_its_mean():
    """The binomial filter takes (1 - 4 + 6 - 4 + 1) / 16 = 0 of the shortest wave."""
    board = np.indices([64, 64]).sum(axis=0) % 2 * 2.0 - 1
    pictures = np.broadcast_to(board[None, :, :, None] + 5, [1, 64, 64, 3])
    fine, middle, rest = texture.laplacian_pyramid(pictures)

    np.testing.assert_allclose(fine[0, ..., 0], board, atol=1e-5)
    np.testing.assert_allclose(middle, 0, atol=1e-5)
    np.testing.assert_allclose(rest, 5, atol=1e-5)


def test_the_distance_of_shifted_noise_is_the_mean_projection_of_the_shift():
    """A shift c of all standardized values moves each projection by c |sum of d_i|.

    The sum over a random direction d of 147 dimensions is sqrt(147) times one of its
    coordinates: nearly N(0, 1), whose mean absolute value is sqrt(2 / pi). For equal
    noise per channel the deviation is that of the noise.
    """
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=[2, 100, 16, 16, 3])
    distance = texture.PatchSlices(real).distances(fake + 0.5)

    assert distance == [pytest.approx(1000 * 0.5 * np.sqrt(2 / np.pi), rel=0.1)]
    assert texture.PatchSlices(real).distances(fake)[0] < 40


def test_the_distance_is_zero_for_flat_pictures():
    flat = np.zeros([3, 16, 16, 3])

    assert texture.PatchSlices(flat).distances(flat) == [0]


@pytest.mark.parametrize("shape", [(3, 16, 16, 3), (4, 32, 32, 3)])
def test_patches_of_different_collections_are_refused(shape):
    with pytest.raises(ValueError, match="like the real ones"):
        texture.PatchSlices(np.zeros([4, 16, 16, 3])).distances(np.zeros(shape))


def test_pictures_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match="at least 7x7"):
        texture.PatchSlices(np.zeros([4, 6, 6, 3]))


def test_patches_are_windows_of_their_picture():
    picture = np.arange(9 * 9).reshape(1, 9, 9, 1)
    both = np.concatenate([picture, picture + 1000])
    patches = texture.cut_patches(both, 40, np.random.default_rng(0))

    assert patches.shape == (80, 49, 1)
    windows = {
        tuple((offset + picture[0, i : i + 7, j : j + 7, 0]).ravel())
        for offset in (0, 1000)
        for i in range(3)
        for j in range(3)
    }
    assert {tuple(patch[:, 0]) for patch in patches} == windows
    assert (patches[:40] < 1000).all() and (patches[40:] >= 1000).all()


def test_a_probe_cannot_tell_noise_from_noise_but_from_a_lattice():
    real, fake = draw_noise(60, 32, 1), draw_noise(60, 32, 2)

    assert texture.patch_probe_accuracy(real, fake) == pytest.approx(0.5, abs=0.1)
    assert texture.patch_probe_accuracy(real, fake + 2 * draw_wave(4, 32)) > 0.9


def test_nearest_distances_are_those_of_a_loop_over_all_pairs():
    rng = np.random.default_rng(5)
    pictures, others = rng.uniform(0, 255, [2, 5, 16, 16, 3])
    expected = [
        min(np.sqrt(np.square(picture - other).mean()) for other in others)
        for picture in pictures
    ]

    np.testing.assert_allclose(texture.nearest_distances(pictures, others), expected)


def test_a_copy_is_at_distance_zero_and_large_pictures_are_averaged():
    """Averages of 2x2 pixels: noise of zero mean within each square vanishes."""
    pictures = np.random.default_rng(6).integers(0, 255, [4, 64, 64, 3])
    board = np.indices([64, 64]).sum(axis=0) % 2 * 2 - 1
    copies = pictures + 50 * board[..., None]

    np.testing.assert_allclose(
        texture.nearest_distances(copies, pictures), 0, atol=1e-4
    )
    assert texture.nearest_distances(pictures + 10, pictures) == pytest.approx(10)
