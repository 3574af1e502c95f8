"""The pixel measures of every kind of picture, from evaluation to its summary."""

import numpy as np
import pytest

from tfstyle.analysis import results
from tfstyle.analysis.realism import quality
from tfstyle.analysis.realism.samples import KINDS, PictureSampler
from tfstyle.metrics import texture


@pytest.fixture(scope="module")
def sampler(trained):
    return PictureSampler(trained)


@pytest.fixture(scope="module")
def measured(sampler):
    measure = quality.QualityMeasure(sampler, lambda pictures, ids: float(len(ids)))
    sampler.measure_kinds([measure])
    return measure.combine()


def test_every_kind_is_measured(measured):
    assert set(measured.kinds) == set(KINDS)
    assert (measured.pictures, measured.train_pictures) == (12, 60)
    assert measured.protocol == "12_pictures_against_training_pictures"
    for kind, result in measured.kinds.items():
        # Pictures of 32 pixels have periods of 2, 4, and 8, and two levels.
        assert result.lattice_8 is not None and result.patches_half is not None
        assert result.patches_quarter is None
        # Real pictures and what is made of them are the same with every seed.
        is_fixed = kind in ("real", "blurred_1", "blurred_2", "mean_picture")
        assert (result.patches_full["deviation"] is None) == is_fixed


def test_lattice_and_copies_are_those_of_the_test_pictures(measured, sampler):
    spectrum = texture.mean_power_spectrum(sampler.test)
    nearest = texture.nearest_distances(sampler.test, sampler.train[0])
    real = measured.kinds["real"]

    for period in (2, 4, 8):
        assert real.get_spread(f"lattice_{period}")["mean"] == pytest.approx(
            texture.lattice_energy(spectrum, period)
        )
    assert real.nearest_distance["mean"] == pytest.approx(nearest.mean() / 255)
    # One of twelve pictures is below the first percentile.
    assert real.copies["mean"] == pytest.approx(1 / 12)


def test_blur_is_far_in_fine_patches_and_real_pictures_are_near(measured):
    fine = {
        kind: result.patches_full["mean"] for kind, result in measured.kinds.items()
    }
    assert fine["real"] < fine["blurred_1"] < fine["blurred_2"]
    assert fine["shuffled"] > fine["real"]
    recognized = measured.kinds["shuffled"].patch_probe["mean"]
    assert recognized > measured.kinds["real"].patch_probe["mean"]


def test_the_classifier_judges_kinds_that_have_an_artist(measured):
    assert measured.kinds["prior"].classifier_accuracy is None
    assert measured.kinds["superimposed"].classifier_accuracy == {
        "mean": 12.0,
        "deviation": 0.0,
    }


def test_spectra_are_those_of_the_pictures(measured, sampler):
    spectrum = texture.mean_power_spectrum(sampler.test / 255)

    assert set(measured.spectra) == {"generated", "prior", "vae", "real"}
    np.testing.assert_allclose(
        measured.spectra["real"], texture.line_energies(spectrum)
    )


def test_the_result_survives_its_json(measured):
    values = results.to_json(measured)

    assert results.from_json(quality.Quality, values) == measured


def test_the_summary_names_the_kinds_with_their_numbers(measured):
    lines = measured.summarize()

    assert [line.split(":")[0] for line in lines] == [
        KINDS[kind] for kind in ("generated", "prior", "vae", "real")
    ]
    real = measured.kinds["real"]
    assert f"lattice {real.lattice_2['mean']:.2f} " in lines[3]
    assert lines[3].endswith(f"recognized {real.patch_probe['mean']:.0%}")


def test_too_few_pictures_are_not_measured(sampler, monkeypatch):
    assert quality.QualityMeasure.is_possible(sampler)
    monkeypatch.setattr(sampler, "test", sampler.test[:3])
    assert not quality.QualityMeasure.is_possible(sampler)
