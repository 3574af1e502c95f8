"""Transfers against true pictures: how inputs are chosen, and the two measures."""

import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from tfstyle.analysis import results
from tfstyle.analysis.realism import transfers
from tfstyle.analysis.realism.transfers import METHODS, Works

SIZE = 16


def make_works(rows) -> Works:
    """Make flat pictures from (artist, content, gray level)."""
    levels = np.array([level for _, _, level in rows], np.uint8)
    return Works(
        pictures=np.broadcast_to(
            levels[:, None, None, None], [len(rows), SIZE, SIZE, 3]
        ),
        artist_ids=np.array([artist for artist, _, _ in rows]),
        contents=np.array([content for _, content, _ in rows]),
    )


def levels_of(pictures) -> list[int]:
    return pictures[:, 0, 0, 0].tolist()


def test_inputs_have_the_content_and_the_style_of_the_truth():
    sources = make_works([(0, "a", 10), (0, "b", 20), (1, "b", 30), (1, "c", 40)])
    truths = make_works([(1, "a", 50)])
    for seed in range(5):
        triples = transfers.choose_triples(truths, sources, np.random.default_rng(seed))
        assert levels_of(triples.truths) == [50]
        assert levels_of(triples.contents) == [10], "the only other a"
        assert levels_of(triples.styles)[0] in (30, 40), "a work by artist 1"
        assert levels_of(triples.nearest) == [30], "nearer to 10 than 40 is"
        assert triples.artist_ids.tolist() == [1]


def test_the_true_content_is_no_style_and_no_neighbor():
    """The artist's own a is among the training pictures; the answer would be given."""
    sources = make_works([(0, "a", 10), (1, "a", 11), (1, "b", 90)])
    truths = make_works([(1, "a", 50)])
    triples = transfers.choose_triples(truths, sources, np.random.default_rng(0))

    assert levels_of(triples.styles) == levels_of(triples.nearest) == [90]


def test_works_without_a_partner_are_left_out():
    sources = make_works([(0, "a", 10), (1, "b", 20), (1, "c", 30)])
    truths = make_works([(1, "a", 40), (1, "b", 50), (0, "a", 60), (0, "b", 70)])
    triples = transfers.choose_triples(truths, sources, np.random.default_rng(0))

    # (1, b): no other artist has b; (0, a): artist 0 has no other work, and nobody a.
    assert levels_of(triples.truths) == [40, 70]
    lonely = make_works([(1, "b", 50)])
    assert transfers.choose_triples(lonely, sources, np.random.default_rng(0)) is None


def test_the_measures_agree_with_loops_and_with_scikit_image():
    rng = np.random.default_rng(0)
    truths = rng.integers(0, 256, [3, 32, 32, 3]).astype(np.uint8)
    noise = rng.integers(-20, 21, truths.shape)
    pictures = np.clip(truths + noise, 0, 255).astype(np.uint8)
    agreement = transfers.measure_agreement(pictures, truths)

    difference = pictures.astype(float) - truths.astype(float)
    assert agreement["error"] == pytest.approx((difference**2).mean() / 255**2)
    # scikit-image cuts a margin of 5 pixels, where windows reach beyond the picture.
    similarities = [
        skimage_metrics.structural_similarity(
            *pair,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for pair in zip(pictures, truths, strict=True)
    ]
    assert agreement["similarity"] == pytest.approx(np.mean(similarities), abs=1e-3)
    assert transfers.measure_agreement(truths, truths) == {
        "error": 0,
        "similarity": pytest.approx(1),
    }


@pytest.fixture(scope="module")
def measured(trained):
    return transfers.measure_transfers(trained)


def test_every_method_is_measured(measured):
    """Test pictures of the small records are named by number, as training ones are."""
    assert list(measured.methods) == list(METHODS)
    assert 0 < measured.pictures <= 12
    for agreement in measured.methods.values():
        assert 0 < agreement.error["mean"] < 1
        assert agreement.similarity["mean"] < 1
    assert results.from_json(transfers.Transfers, results.to_json(measured)) == measured


def test_the_summary_names_every_method(measured):
    lines = measured.summarize()

    assert len(lines) == len(METHODS)
    copy = measured.methods["copy"]
    assert METHODS["copy"] in lines[3]
    assert f"squared error {copy.error['mean']:.4f} +- " in lines[3]
