"""Fidelity: its samples, and a measurement by Inception's features."""

import numpy as np
import pytest

from tfstyle.analysis.evaluation import fidelity
from tfstyle.data import input_pipeline
from tfstyle.modeling.objectives.likeness import Inception


def test_shuffled_pictures_keep_their_pixels_and_lose_their_places():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, [3, 8, 8, 3]).astype(np.uint8)

    shuffled = fidelity.shuffle_pixels(pictures, rng)

    assert shuffled.shape == pictures.shape
    for old, new in zip(pictures, shuffled, strict=True):
        assert (old != new).any()
        assert sorted(map(tuple, old.reshape(-1, 3))) == sorted(
            map(tuple, new.reshape(-1, 3))
        )


def test_rows_are_chosen_by_artist_without_repetition():
    from_ids = np.array([0, 0, 0, 0, 1, 2, 2, 2])

    rows = fidelity.choose_rows_of_artists(
        from_ids, np.array([0, 0, 1, 1, 2]), np.random.default_rng(0)
    )

    assert len(set(rows)) == len(rows)
    # Artist 1 has one picture instead of two: another artist's fills up.
    counts = np.bincount(from_ids[rows])
    assert len(rows) == 5 and (counts >= [2, 1, 1]).all()


@pytest.mark.slow
def test_inceptions_features_are_compared_without_scaling(
    small_records, inception_file
):
    """Real pictures against themselves are at distance 0, noise is far."""
    batches = list(input_pipeline.eval_batches(small_records, "test"))
    pictures = np.concatenate([batch["image"].numpy() for batch in batches])[:12]
    artist_ids = np.concatenate([batch["artist"].numpy() for batch in batches])[:12]
    encoder = Inception(inception_file)

    def sample(rng):
        noise = rng.integers(0, 256, pictures.shape).astype(np.uint8)
        return {"generated": noise, "vae": pictures}

    measured = fidelity.measure_fidelity(
        "inception", sample, encoder, small_records, (pictures, artist_ids)
    )

    assert measured.protocol == "inception_2048_features_12_pictures"
    distance = {
        kind: distances.frechet_distance["mean"]
        for kind, distances in measured.against_test.items()
    }
    assert abs(distance["vae"]) < 1e-3 * distance["generated"]
