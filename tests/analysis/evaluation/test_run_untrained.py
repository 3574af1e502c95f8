"""A run without some of its stages is evaluated as far as it goes."""

import pytest

from helpers import runs
from tfstyle.analysis.evaluation.run import evaluate_run
from tfstyle.analysis.results import to_json
from tfstyle.core.cli import UserError
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun


@pytest.mark.parametrize(
    ("stages", "parts", "missing"),
    [
        (["metric"], {"style"}, "classifier, vae, gan"),
        (["classifier"], {"style"}, "metric, vae, gan"),
        (["metric", "vae"], {"style", "content"}, "classifier, gan"),
    ],
)
def test_untrained_stages_are_skipped_with_a_message(
    stages, parts, missing, tiny_run, tmp_path, caplog
):
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", *stages))

    evaluation = evaluate_run(run)

    assert f"skipped untrained stages: {missing}" in caplog.messages
    written = to_json(evaluation)
    assert parts == {"style", "content", "generator"} & set(written)
    assert list(written["steps"]) == stages
    if "style" in parts:
        expected = set(stages) & {"metric", "classifier"}
        # Search and pruning need the metric stage.
        searched = {"kept_dims", "baselines", "retrieval", "confusions"}
        expected |= searched if "metric" in stages else set()
        expected |= {"classifier_means"} if "classifier" in stages else set()
        assert set(written["style"]) == expected
    assert evaluation.summarize()


def test_measuring_one_stage_at_first_leaves_the_others_for_later(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric", "classifier")

    result = evaluate_run(TrainedRun(run_dir), stages=["classifier"])

    assert result.unmeasured == ["metric"]
    assert set(to_json(result.style)) == {"classifier", "classifier_means"}
    assert result.summarize()


def test_a_stage_that_is_not_trained_cannot_be_measured(tiny_run, tmp_path):
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))

    with pytest.raises(
        UserError, match="gan stage .* not trained; train it with: .*gan"
    ):
        evaluate_run(run, stages=["gan"])


@pytest.mark.parametrize("state", ["nothing", "no folder", "unfinished"])
def test_without_a_trained_stage_the_command_that_trains_one_is_named(
    state, tiny_run, tmp_path
):
    run_dir = tmp_path / "run"
    if state != "no folder":
        run_dir.mkdir()
    if state == "unfinished":
        runs.keep_stages(tiny_run, run_dir, "metric")
        StageFolder(run_dir, "metric").mark_unfinished()

    with pytest.raises(UserError) as caught:
        evaluate_run(TrainedRun(run_dir))

    assert "\n" not in str(caught.value)
    assert f"tfstyle.train --gin_file=gin/metric.gin --run_dir={run_dir}" in str(
        caught.value
    )
    assert not (run_dir / "evaluation.json").exists()
