"""Likeness to real pictures: what it is made of, and by Inception's features."""

import numpy as np
import pytest

from tfstyle.analysis.evaluation import fidelity
from tfstyle.modeling.objectives import passes
from tfstyle.modeling.objectives.likeness import Inception


def test_shuffled_pictures_keep_their_pixels_and_lose_their_places():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, [3, 8, 8, 3]).astype(np.uint8)

    shuffled = fidelity._shuffled(pictures, random)

    assert shuffled.shape == pictures.shape
    for old, new in zip(pictures, shuffled, strict=True):
        assert (old != new).any()
        assert sorted(map(tuple, old.reshape(-1, 3))) == sorted(
            map(tuple, new.reshape(-1, 3))
        )


def test_rows_are_chosen_by_artist_and_none_twice():
    from_ids = np.array([0, 0, 0, 0, 1, 2, 2, 2])

    rows = fidelity._rows_of_artists(
        from_ids, np.array([0, 0, 1, 1, 2]), np.random.default_rng(0)
    )

    assert len(set(rows)) == len(rows)
    # Artist 1 has a single picture for the two that are wanted: another's fills up.
    counts = np.bincount(from_ids[rows])
    assert len(rows) == 5 and (counts >= [2, 1, 1]).all()


@pytest.mark.slow
def test_inceptions_features_are_compared_as_they_are(small_records, inception_file):
    """Real pictures against themselves are at distance 0, noise is far."""
    batches = list(passes.split_batches(small_records, "test"))
    pictures = np.concatenate([one["image"].numpy() for one in batches])[:12]
    ids = np.concatenate([one["artist"].numpy() for one in batches])[:12]
    encoder = Inception(inception_file)

    def sample(random):
        noise = random.integers(0, 256, pictures.shape).astype(np.uint8)
        return {"generated": noise, "vae": pictures}

    numbers = fidelity.measure_fidelity(
        "fidelity_inception", sample, encoder, small_records, (pictures, ids)
    )["fidelity_inception"]

    assert numbers["protocol"] == "inception_2048_features_12_pictures"
    against = numbers["against_test"]
    distance = {name: one["frechet_distance"]["mean"] for name, one in against.items()}
    assert abs(distance["vae"]) < 1e-3 * distance["generated"]
