"""Fidelity by Inception's features; by the classifier's see test_generator."""

import numpy as np
import pytest

from tfstyle.analysis.realism import fidelity
from tfstyle.data import input_pipeline
from tfstyle.modeling.objectives.likeness import Inception


@pytest.mark.slow
def test_inceptions_features_are_compared_without_scaling(
    small_records, inception_file
):
    """Real pictures against themselves are at distance 0, noise is far."""
    batches = list(input_pipeline.eval_batches(small_records, "test"))

    pictures = np.concatenate([batch["image"].numpy() for batch in batches])[:12]

    class Sampler:
        test = pictures
        artist_ids = np.concatenate([batch["artist"].numpy() for batch in batches])[:12]

    measure = fidelity.FidelityMeasure(
        "inception", Sampler(), Inception(inception_file), small_records
    )
    for seed in (0, 1, 2):
        noise = np.random.default_rng(seed).integers(0, 256, pictures.shape)
        measure.add(seed, {"generated": noise.astype(np.uint8), "vae": pictures})
    measured = measure.combine()

    assert measure.is_possible
    assert measured.protocol == "inception_2048_features_12_pictures"
    distance = {
        kind: distances.frechet_distance["mean"]
        for kind, distances in measured.against_test.items()
    }
    assert abs(distance["vae"]) < 1e-3 * distance["generated"]
