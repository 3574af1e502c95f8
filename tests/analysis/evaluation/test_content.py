"""The numbers of the content code, computed a second time."""

import json

import numpy as np
import pytest
import tiny_run as tiny

from tfstyle.analysis.evaluation import content as measuring_content
from tfstyle.metrics import probes
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory) -> runs.StageFolder:
    """The vae stage of a copy."""
    copy = tmp_path_factory.mktemp("content") / "run"
    return runs.StageFolder(tiny.keep_stages(tiny_run, copy, "metric", "vae"), "vae")


@pytest.fixture(scope="module")
def content(folder, small_records):
    return measuring_content.measure_content(folder, small_records, 0.01)


@pytest.fixture(scope="module")
def codes(folder, small_records):
    """By encoder and split: codes, float64, and artists."""
    encoders = {
        "style": runs.load_style_encoder(folder.run_dir),
        "content": runs.load_network(folder, "content_encoder"),
    }
    found = {}
    for name, encoder in encoders.items():
        for split in ("train", "test"):
            one = collect_codes(encoder, passes.split_batches(small_records, split))
            found[name, split] = one.codes.astype(np.float64), one.artist_ids
    return found


def test_active_units_are_those_whose_mean_varies(content, codes):
    test, _ = codes["content", "test"]
    active = [float(np.var(column)) > 0.01 for column in test.T]

    assert content["active_units"] == sum(active)
    assert content["active_kept"] == sum(active[: tiny.CONTENT_DIMS])
    assert len(content["kl"]) == 12 and min(content["kl"]) >= 0
    assert len({round(one, 6) for one in content["kl"]}) > 6


def test_deviations_are_those_of_the_training_pictures_codes(content, codes):
    train, _ = codes["content", "train"]

    assert content["normalized"] is False
    np.testing.assert_allclose(
        content["deviations"], train[:, : tiny.CONTENT_DIMS].std(axis=0), rtol=1e-3
    )


def test_the_leak_is_that_of_probes_of_either_code(content, codes):
    leak = content["leak"]
    picked = {
        ("linear", "linear"): ("content", tiny.CONTENT_DIMS),
        ("mlp", "mlp"): ("content", tiny.CONTENT_DIMS),
        ("style_linear", "linear"): ("style", tiny.STYLE_DIMS),
        ("style_mlp", "mlp"): ("style", tiny.STYLE_DIMS),
    }
    for (name, kind), (code, dims) in picked.items():
        (train, train_ids), (test, test_ids) = codes[code, "train"], codes[code, "test"]
        expected = probes.probe_accuracy(
            train[:, :dims], train_ids, test[:, :dims], test_ids, kind
        )
        # Rounding may move a picture that lies between two artists.
        assert leak[name] == pytest.approx(expected, abs=1.5 / 12), name
    assert leak["chance"] == pytest.approx(1 / 3)
    assert len(leak["by_dims"]) == len(content["dims"])
    kept = content["dims"].index(tiny.CONTENT_DIMS)
    assert leak["by_dims"][kept] == leak["linear"] == leak["linear_before"]


def test_each_number_is_a_line_of_the_stages_log(content, folder):
    lines = [json.loads(one) for one in folder.metrics_file.read_text().splitlines()]
    values = {line["name"]: line["value"] for line in lines[-30:]}

    assert values["leak/linear"] == content["leak"]["linear"]
    assert values["leak/chance"] == content["leak"]["chance"]
    assert values["active_units"] == content["active_units"]
    assert values["kl"] == pytest.approx(sum(content["kl"]))
    for d in content["dims"]:
        assert values[f"kl_of_dimension_{d}"] == content["kl"][d - 1]


def test_training_logs_what_each_dimension_says_at_every_evaluation(tiny_run):
    lines = [
        json.loads(one)
        for one in (tiny_run / "vae" / "metrics.jsonl").read_text().splitlines()
    ]
    for step in (10, 20):
        values = {
            line["name"]: line["value"]
            for line in lines
            if line["step"] == step and line["kind"] == "eval"
        }
        own = [values[f"kl_of_dimension_{d}"] for d in (1, 2, 4, 8, 12)]
        assert 0 < sum(own) < values["test_kl"]
        assert 0 <= values["active_units"] <= 12


def test_the_summary_says_what_the_code_holds_and_gives_away(content):
    text = "\n".join(measuring_content.content_summary(content))

    assert f"vae: error {content['kept_error']:.1f} at 6 content dimensions" in text
    assert f"{content['active_kept']} of the 6 kept dimensions active" in text
    assert f"{max(content['deviations']):.2g}, half of them below" in text
    assert "the generator draws contents of deviation 1" in text
    assert f"a linear probe {content['leak']['linear']:.1%}" in text
    assert "(chance 33.3%)" in text
    normalized = measuring_content.content_summary({**content, "normalized": True})
    assert "normalized to 1" in "\n".join(normalized)
