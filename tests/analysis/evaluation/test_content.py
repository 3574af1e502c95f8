"""The numbers of the content code, computed a second time."""

import dataclasses
import functools
import json

import numpy as np
import pytest

from helpers import configuration as tiny
from helpers import runs
from tfstyle.analysis.evaluation.content import measure_content
from tfstyle.analysis.results import Options
from tfstyle.data import input_pipeline
from tfstyle.metrics import probes
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.runs.trained_run import TrainedRun


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> TrainedRun:
    copy = tmp_path_factory.mktemp("content") / "run"
    return TrainedRun(runs.keep_stages(tiny_run, copy, "metric", "vae"))


@pytest.fixture(scope="module")
def content(run):
    return measure_content(run, Options())


@pytest.fixture(scope="module")
def codes(run, small_records):
    """By encoder and split: codes, float64, and artists."""
    encoders = {
        "style": run.style_encoder,
        "content": run.network("vae", "content_encoder"),
    }
    by_split = {}
    for name, encoder in encoders.items():
        for split in ("train", "test"):
            batches = input_pipeline.eval_batches(small_records, split)
            encoded = collect_codes(encoder, batches)
            by_split[name, split] = encoded.codes.astype(float), encoded.artist_ids
    return by_split


def test_active_units_are_those_whose_mean_varies(content, codes):
    test, _ = codes["content", "test"]
    active = [float(np.var(column)) > 0.01 for column in test.T]

    assert content.active_units == sum(active)
    assert content.active_kept == sum(active[: tiny.CONTENT_DIMS])
    assert len(content.kl) == 12 and min(content.kl) >= 0
    assert len({round(kl, 6) for kl in content.kl}) > 6


def test_deviations_are_those_of_the_training_pictures_codes(content, codes):
    train, _ = codes["content", "train"]

    assert content.normalized is False
    np.testing.assert_allclose(
        content.deviations, train[:, : tiny.CONTENT_DIMS].std(axis=0), rtol=1e-3
    )


def test_the_leak_is_that_of_probes_of_either_code(content, codes):
    leak = content.leak
    sources = {
        "linear": ("linear", "content", tiny.CONTENT_DIMS),
        "mlp": ("mlp", "content", tiny.CONTENT_DIMS),
        "style_linear": ("linear", "style", tiny.STYLE_DIMS),
        "style_mlp": ("mlp", "style", tiny.STYLE_DIMS),
    }
    for name, (kind, code, dims) in sources.items():
        (train, train_ids), (test, test_ids) = codes[code, "train"], codes[code, "test"]
        expected = probes.probe_accuracy(
            train[:, :dims], train_ids, test[:, :dims], test_ids, kind
        )
        # Rounding may move a picture that lies between two artists.
        assert getattr(leak, name) == pytest.approx(expected, abs=1.5 / 12), name
    assert leak.chance == pytest.approx(1 / 3)
    assert len(leak.by_dims) == len(content.dims)
    index = content.dims.index(tiny.CONTENT_DIMS)
    assert leak.by_dims[index] == leak.linear == leak.linear_before


def test_each_number_is_a_line_of_the_stages_log(content, run):
    text = run.folder("vae").metrics_file.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    values = {line["name"]: line["value"] for line in lines[-30:]}

    assert values["leak/linear"] == content.leak.linear
    assert values["leak/chance"] == content.leak.chance
    assert "leak/by_dims" not in values
    assert values["active_units"] == content.active_units
    assert values["kl"] == pytest.approx(sum(content.kl))
    for d in content.dims:
        assert values[f"kl_of_dimension_{d}"] == content.kl[d - 1]


def test_training_logs_the_kl_of_dimensions_at_every_evaluation(tiny_run):
    text = (tiny_run / "vae" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for step in (10, 20):
        values = {
            line["name"]: line["value"]
            for line in lines
            if line["step"] == step and line["kind"] == "eval"
        }
        of_dimensions = [values[f"kl_of_dimension_{d}"] for d in (1, 2, 4, 8, 12)]
        assert 0 < sum(of_dimensions) < values["eval_kl"]
        assert 0 <= values["active_units"] <= 12


def test_the_summary_describes_what_the_code_holds_and_leaks(content):
    text = "\n".join(content.summarize())

    assert "vae: content dimensions: 6 kept" in text
    assert f"test pictures: {content.kept_error:.1f} (mean picture" in text
    assert f"among those kept: {content.active_kept} (kept 6)" in text
    assert f"{max(content.deviations):.2g}, median" in text
    assert "the generator draws contents with deviation 1" in text
    assert f"a linear probe of the content code: {content.leak.linear:.1%}" in text
    assert "chance 33.3%)" in text
    for normalized in (True, "given_style"):
        other = dataclasses.replace(content, normalized=normalized)
        text = "\n".join(other.summarize())
        assert "normalized to 1" in text
        assert ("what the style predicts" in text) == (normalized == "given_style")


def test_records_without_contents_have_no_accuracies_of_contents(content):
    assert content.known_contents is None


def test_contents_are_probed_as_artists_are(run, labeled_records):
    """The contents follow from the file names, which the records hold beside them."""
    labeled = TrainedRun(run.path, labeled_records.records_dir)
    known = measure_content(labeled, Options()).known_contents
    train, test = (
        input_pipeline.eval_batches(labeled_records, split)
        for split in ("train", "test")
    )

    def encode(name, images):
        if name:
            return labeled.style_encoder(images)
        return labeled.content_encoder(images, labeled.style_encoder(images))

    for name in ("", "style_"):
        sets = [
            collect_codes(functools.partial(encode, name), batches)
            for batches in (train, test)
        ]
        ids = [
            np.array([int(file[-9:-4]) % 13 for file in part.filenames])
            for part in sets
        ]
        for kind in ("linear", "mlp"):
            expected = probes.probe_accuracy(
                sets[0].codes, ids[0], sets[1].codes, ids[1], kind
            )
            assert getattr(known, name + kind) == pytest.approx(expected)
    assert (known.contents, known.pictures) == (13, len(ids[1]))
    counts = np.bincount(ids[0])
    likeliest = np.flatnonzero(counts == counts.max())
    assert known.chance == pytest.approx(
        np.isin(ids[1], likeliest).mean() / len(likeliest)
    )
