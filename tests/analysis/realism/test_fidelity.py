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

    class Sampler:
        test = np.concatenate([batch["image"].numpy() for batch in batches])[:12]
        artist_ids = np.concatenate([batch["artist"].numpy() for batch in batches])[:12]

        def draw(self, rng):
            noise = rng.integers(0, 256, self.test.shape).astype(np.uint8)
            return {"generated": noise, "vae": self.test}

        def spoil(self):
            return {"real": self.test}

    measured = fidelity.measure_fidelity(
        "inception", Sampler(), Inception(inception_file), small_records
    )

    assert measured.protocol == "inception_2048_features_12_pictures"
    distance = {
        kind: distances.frechet_distance["mean"]
        for kind, distances in measured.against_test.items()
    }
    assert abs(distance["vae"]) < 1e-3 * distance["generated"]
