"""What pixels tell and what is known by heart, by loops over pictures."""

import numpy as np
import pytest

from tfstyle.analysis import results
from tfstyle.analysis.evaluation.baselines import Baselines
from tfstyle.analysis.evaluation.style import measure_metric
from tfstyle.analysis.realism.samples import read_first_pictures
from tfstyle.metrics import prefix


@pytest.fixture(scope="module")
def measured(trained):
    return measure_metric(trained, results.Options()).baselines


def test_the_nearest_picture_is_found_by_a_loop(measured, trained):
    train, train_ids = read_first_pictures(trained.dataset, "train", 60)
    test, test_ids = read_first_pictures(trained.dataset, "test", 12)
    hits = 0
    for picture, artist in zip(test.astype(float), test_ids, strict=True):
        errors = [np.square(picture - other).sum() for other in train.astype(float)]
        hits += train_ids[int(np.argmin(errors))] == artist

    assert (measured.pictures, measured.train_pictures) == (12, 60)
    assert measured.nearest_pixels == hits / 12
    assert 0 <= measured.discriminants <= 1


def test_training_pictures_are_judged_as_test_pictures_are(measured, trained):
    pictures, ids = read_first_pictures(trained.dataset, "train", 60)
    styles = trained.folder("metric").read_array("presumed_styles/styles")
    statistics = trained.style_statistics
    codes = trained.encode_style(pictures) * statistics.deviation + statistics.mean
    distances = np.square(codes[:, None] - styles[None, :, : statistics.dims]).sum(2)

    assert measured.train_accuracy == (distances.argmin(axis=1) == ids).mean()
    assert measured.train_variance_ratio == pytest.approx(
        prefix.variance_ratio(codes, ids)[-1], rel=1e-4
    )


def test_the_rows_show_training_beside_test(measured):
    rows = {row.label: row for row in measured.list_rows()}

    assert len(rows) == 4
    row = rows["variance ratio of training pictures by the kept style dimensions"]
    assert row.references == f"test pictures {measured.test_variance_ratio:.4f}"
    assert results.from_json(Baselines, results.to_json(measured)) == measured
