"""Transfers against true pictures: how inputs are chosen, and the two measures."""

import numpy as np
import pytest
from skimage import metrics as skimage_metrics

from tfstyle.analysis import results
from tfstyle.analysis.realism import transfers
from tfstyle.analysis.realism.transfers import METHODS, TransferMeasure, Works
from tfstyle.data import input_pipeline
from tfstyle.runs.trained_run import TrainedRun

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


def test_contents_may_be_chosen_elsewhere_than_styles():
    sources = make_works([(0, "a", 10), (1, "b", 20), (1, "c", 30)])
    truths = make_works([(0, "a", 15), (1, "a", 25), (1, "c", 35)])
    triples = transfers.choose_triples(
        truths, sources, np.random.default_rng(0), content_sources=truths
    )

    # Artist 0 has no work but an a, and nobody else has a c.
    assert levels_of(triples.truths) == [25]
    assert levels_of(triples.contents) == [15], "not the training work of level 10"
    assert triples.labels.tolist() == ["a"]


def test_a_combination_is_unseen_if_no_training_work_shows_it():
    sources = make_works([(0, "a", 1), (0, "b", 2), (1, "b", 3), (1, "c", 4)])
    truths = make_works([(1, "a", 5), (1, "b", 6), (0, "b", 7), (0, "c", 8)])
    triples = transfers.choose_triples(truths, sources, np.random.default_rng(0))

    assert levels_of(triples.truths) == [5, 6, 7, 8]
    assert triples.unseen.tolist() == [True, False, False, True]
    assert levels_of(triples.take(np.array([3, 0])).truths) == [8, 5]


def test_works_of_unknown_content_do_not_show_the_same():
    sources = make_works([(0, "", 10), (1, "b", 20)])
    truths = make_works([(1, "", 30)])

    assert transfers.choose_triples(truths, sources, np.random.default_rng(0)) is None


@pytest.fixture(scope="module")
def measured(trained):
    return TransferMeasure(trained).measure()


@pytest.fixture(scope="module")
def labeled(tiny_run, labeled_records):
    return TransferMeasure(TrainedRun(tiny_run, labeled_records.records_dir))


def test_every_method_is_measured(measured):
    """Test pictures of the small records are named by number, as training ones are."""
    assert list(measured.methods) == list(METHODS)
    assert 0 < measured.pictures <= 12
    assert measured.matched_by == "file names"
    for method, agreement in measured.methods.items():
        if method != "truth":
            assert 0 < agreement.error["mean"] < 1
            assert agreement.similarity["mean"] < 1
        assert 0 <= agreement.content_accuracy["mean"] <= 1
    truth = measured.methods["truth"]
    assert truth.error["mean"] == 0 and truth.similarity["mean"] == pytest.approx(1)
    # Of three designers, easily told apart.
    assert truth.artist_accuracy["mean"] > 0.8
    assert results.from_json(transfers.Transfers, results.to_json(measured)) == measured


def test_content_labels_count_instead_of_file_names(labeled, labeled_records):
    """Two files of an artist show the same, so most combinations were trained on."""

    def list_works(split):
        return [
            (int(artist), int(name[-9:-4]) % 13)
            for batch in input_pipeline.eval_batches(labeled_records, split)
            for artist, name, mask in zip(
                batch["artist"], batch["filename"].numpy(), batch["mask"], strict=True
            )
            if mask
        ]

    train, test = list_works("train"), list_works("test")
    having_partners = [
        (artist, content)
        for artist, content in test
        if any(other != artist and shown == content for other, shown in test)
    ]
    measured = labeled.measure()
    assert measured.matched_by == "content labels"
    assert measured.pictures == len(having_partners) > 0
    assert measured.unseen == sum(work not in train for work in having_partners)


def test_unseen_combinations_are_shown_first(labeled):
    examples = labeled.draw_examples(2)

    assert list(examples) == ["content", "style", *METHODS]
    assert all(pictures.shape == (2, 32, 32, 3) for pictures in examples.values())
    triples = labeled.choose(np.random.default_rng(transfers.SEEDS[0]))
    first = triples.truths[triples.unseen][:1]
    np.testing.assert_array_equal(examples["truth"][: len(first)], first)


def test_the_summary_names_every_method(measured):
    lines = measured.summarize()

    assert len(lines) == len(METHODS)
    copy = measured.methods["copy"]
    assert METHODS["copy"] in lines[3]
    assert f"squared error {copy.error['mean']:.4f} +- " in lines[3]
