"""Several runs are brought together: by hand from each run's own numbers."""

import json
import math
import pathlib
import shutil

import pytest
import tiny_run as tiny

from tfstyle.analysis.evaluation import comparison
from tfstyle.analysis.evaluation import run as measuring
from tfstyle.analysis.reporting import report
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs import folder as runs


def write_objective(run_dir: pathlib.Path, stage="metric", **objective) -> None:
    folder = runs.StageFolder(run_dir, stage)
    folder.write({"identity": {"objective": objective}, "dataset": {}})


def curves(accuracy, ratio, recommended=1):
    """What evaluation.json holds of a stage, its curve of every dimension."""
    return {
        "dims": list(range(1, len(accuracy) + 1)),
        "accuracy": accuracy,
        "variance_ratio": ratio,
        "every_accuracy": accuracy,
        "every_variance_ratio": ratio,
        "recommended_dims": recommended,
    }


@pytest.fixture(scope="module")
def two_runs(tiny_run, tmp_path_factory) -> list[pathlib.Path]:
    """Two runs of metric and classifier; the second's numbers are made others."""
    folder = tmp_path_factory.mktemp("compared")
    pair = [
        tiny.keep_stages(tiny_run, folder / name, "metric", "classifier")
        for name in ("first", "second")
    ]
    for run_dir in pair:
        measuring.measure_run(run_dir)
    change_accuracy(pair[1], 0.5)
    return pair


def change_accuracy(run_dir: pathlib.Path, factor: float) -> None:
    numbers = json.loads((run_dir / "evaluation.json").read_text())
    for stage in ("metric", "classifier"):
        for name in ("accuracy", "every_accuracy"):
            values = numbers["style"][stage][name]
            numbers["style"][stage][name] = [factor * value for value in values]
    files.write_json(run_dir / "evaluation.json", numbers)


def style_of(run_dir):
    return json.loads((run_dir / "evaluation.json").read_text())["style"]


def test_mean_and_deviation_are_the_samples():
    """1, 2, 6: mean 3, squared deviations 4 + 1 + 9 = 14, over n - 1 = 2."""
    found = comparison.mean_and_deviation([[1, 5], [2, 5], [6, 5]])

    assert found["mean"] == pytest.approx([3, 5])
    assert found["deviation"] == pytest.approx([math.sqrt(7), 0])


def test_one_run_has_no_deviation():
    assert comparison.mean_and_deviation([[1, 5]]) == {
        "mean": [1, 5],
        "deviation": None,
    }


def test_two_runs_give_their_mean_and_half_their_difference_times_root_2(two_runs):
    """For a and b, ((a - m)^2 + (b - m)^2) / 1 = (a - b)^2 / 2."""
    compared = comparison.compare_runs(two_runs)

    assert compared["runs"] == [str(one) for one in two_runs]
    assert list(compared["methods"]) == ["metric learning", "classifier"]
    for stage, name in (("metric", "metric learning"), ("classifier", "classifier")):
        method = compared["methods"][name]
        assert method["dims"] == [1, 2, 4, 8, 16]
        assert method["runs"] == compared["runs"]
        for curve in ("accuracy", "variance_ratio"):
            first, second = (style_of(one)[stage][curve] for one in two_runs)
            for k in range(5):
                mean = method[curve]["mean"][k]
                assert mean == pytest.approx((first[k] + second[k]) / 2)
                assert method[curve]["deviation"][k] == pytest.approx(
                    abs(first[k] - second[k]) / math.sqrt(2)
                )
    assert any(compared["methods"]["classifier"]["accuracy"]["deviation"])


def test_the_comparison_is_written_into_the_first_run_and_made_anew(two_runs, tmp_path):
    pair = [pathlib.Path(shutil.copytree(one, tmp_path / one.name)) for one in two_runs]
    before = comparison.compare_runs(pair)
    assert json.loads((pair[0] / "comparison.json").read_text()) == before
    assert not (pair[1] / "comparison.json").exists()

    change_accuracy(pair[1], 0.5)
    after = comparison.compare_runs(pair)

    assert after != before
    assert json.loads((pair[0] / "comparison.json").read_text()) == after


def test_methods_go_by_the_objective_and_runs_may_lack_some(tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    write_objective(a, t=0.9)  # written before there were others
    write_objective(b, objective="triplet")
    write_objective(c, objective="presumed")
    one = curves([0.5, 1.0], [0.2, 0.1])
    styles = {
        a: {"metric": one, "classifier": one},
        b: {"metric": one},
        c: {
            "metric": curves([0.7, 1.0], [0.2, 0.3]),
            "retrained": {"dims": [1], "accuracy": [0.6], "variance_ratio": [0.1]},
        },
    }

    methods = comparison.methods_of(styles)

    assert {name: one["runs"] for name, one in methods.items()} == {
        "metric learning": [str(a), str(c)],
        "triplet": [str(b)],
        "classifier": [str(a)],
        "classifier trained per d": [str(c)],
    }
    assert methods["metric learning"]["accuracy"]["mean"] == pytest.approx([0.6, 1])
    assert methods["triplet"]["accuracy"]["deviation"] is None
    assert methods["classifier trained per d"]["dims"] == [1]


def test_leading_dims_are_those_above_the_classifier(tmp_path):
    write_objective(tmp_path, objective="presumed")
    style = {
        "metric": curves([0.5, 0.7, 0.9], [1, 1, 1]),
        "classifier": curves([0.4, 0.7, 0.95], [1, 1, 1]),
    }

    methods = comparison.methods_of({tmp_path: style})

    assert comparison.leading_dims(methods) == {"metric learning": [1]}


def test_at_recommended_dims_a_run_meets_its_own_classifier_else_the_others(tmp_path):
    """Ratios at D': a .1 / .4 at 2, b .3 / .5 at 1, c .2 / mean(.4, .6) at 2."""
    styles = {
        tmp_path / "a": {
            "metric": curves([0.5, 0.8], [0.2, 0.1], recommended=2),
            "classifier": curves([0.3, 0.9], [0.7, 0.4]),
        },
        tmp_path / "b": {
            "metric": curves([0.6, 0.6], [0.3, 0.1], recommended=1),
            "classifier": curves([0.3, 0.7], [0.5, 0.6]),
        },
        tmp_path / "c": {"metric": curves([0.5, 0.9], [0.2, 0.2], recommended=2)},
    }
    objectives = ("presumed", "presumed", "triplet")
    for run_dir, objective in zip(styles, objectives, strict=True):
        write_objective(run_dir, objective=objective)

    found = comparison.at_recommended_dims(styles)

    a, b = found["metric learning"]["runs"]
    (c,) = found["triplet"]["runs"]
    assert (a["dims"], b["dims"], c["dims"]) == (2, 1, 2)
    assert (a["accuracy"], b["accuracy"], c["accuracy"]) == (0.8, 0.6, 0.9)
    assert [one["classifier_accuracy"] for one in (a, b, c)] == pytest.approx(
        [0.9, 0.7, 0.8]
    )
    assert [one["ratio_of_ratios"] for one in (a, b, c)] == pytest.approx(
        [0.25, 0.6, 0.4]
    )
    ratio = found["metric learning"]["ratio_of_ratios"]
    assert ratio["mean"] == pytest.approx(0.425)
    assert ratio["deviation"] == pytest.approx(0.35 / math.sqrt(2))
    assert found["triplet"]["accuracy"] == {"mean": 0.9, "deviation": None}
    rows = comparison.recommended_rows(found)
    assert rows[3] == [
        "mean, metric learning",
        "1.5 +- 0.7",
        "70.0% +- 14.1%",
        "80.0% +- 14.1%",
        "0.42 +- 0.25",
    ]


def test_without_any_classifier_there_is_nothing_to_compare_with(tmp_path):
    write_objective(tmp_path, objective="presumed")
    styles = {tmp_path: {"metric": curves([0.5, 0.8], [0.2, 0.1])}}

    found = comparison.at_recommended_dims(styles)

    assert set(found["metric learning"]["runs"][0]) == {"run", "dims", "accuracy"}
    assert comparison.recommended_rows(found)[1][-1] == "-"
    assert comparison.leading_dims(comparison.methods_of(styles)) == {}


def test_the_summary_has_means_and_deviations(two_runs):
    compared = comparison.compare_runs(two_runs)

    text = "\n".join(comparison.summary(compared))

    method = compared["methods"]["metric learning"]["accuracy"]
    assert f"{method['mean'][2]:.1%} +- {method['deviation'][2]:.1%}" in text
    assert "metric learning, 2 runs: d, accuracy, variance ratio" in text
    assert "metric learning: more accurate than the classifier at d = " in text
    for run_dir in two_runs:
        assert any(line.startswith(str(run_dir)) for line in text.splitlines())


def test_the_same_run_twice_is_refused(two_runs):
    again = two_runs[0] / ".." / two_runs[0].name

    with pytest.raises(UserError, match=f"{again} is given twice"):
        comparison.check_comparable([*two_runs, again])


def test_runs_of_other_records_are_refused_by_name(two_runs, monkeypatch):
    class Dataset:
        def __init__(self, run_dir):
            self.digest = self.records_dir = f"records of {run_dir.name}"

    monkeypatch.setattr(runs, "load_dataset", Dataset)

    with pytest.raises(UserError) as caught:
        comparison.check_comparable(two_runs)

    for run_dir in two_runs:
        assert f"{run_dir} of records of {run_dir.name}" in str(caught.value)


def test_runs_of_other_dimensions_are_refused_by_name(two_runs, tmp_path):
    other = pathlib.Path(shutil.copytree(two_runs[1], tmp_path / "other"))
    folder = runs.StageFolder(other, "classifier")
    described = folder.read()
    described["networks"]["style_encoder"]["config"]["dims"] = 8
    folder.write(described)
    comparison.check_comparable(two_runs)

    with pytest.raises(UserError, match=f"{other}/classifier has 8"):
        comparison.check_comparable([two_runs[0], other])


def test_a_method_is_averaged_over_the_d_that_all_its_runs_have(tmp_path):
    styles = {
        tmp_path / name: {"retrained": {"dims": d, "accuracy": d, "variance_ratio": d}}
        for name, d in {"a": [1, 2], "b": [2, 4]}.items()
    }

    (method,) = comparison.methods_of(styles).values()

    assert method["dims"] == [2]
    assert method["accuracy"] == {"mean": [2], "deviation": [0]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.update(steps=7), "steps: 40 -> 7"),
        (lambda run: run["identity"]["objective"].update(t=0.5), "objective.t: 0.995"),
        (lambda run: run.update(init_from="runs/other"), "init_from: null"),
    ],
)
def test_runs_that_differ_by_more_than_the_seed_are_refused(
    change, said, two_runs, tmp_path
):
    other = pathlib.Path(shutil.copytree(two_runs[1], tmp_path / "other"))
    folder = runs.StageFolder(other, "metric")
    run = folder.read()
    run["identity"]["seed"] = 5
    folder.write(run)
    comparison.check_comparable([two_runs[0], other])
    change(run)
    folder.write(run)
    with pytest.raises(UserError, match="must differ by their seeds alone") as caught:
        comparison.check_comparable([two_runs[0], other])
    assert said in str(caught.value)


def test_the_first_runs_report_has_the_means_and_the_others_their_own(two_runs):
    """In the order given, and each with all its other parts."""
    first, second = report.draw_runs(two_runs)

    assert [first.parent, second.parent] == two_runs
    method = comparison.compare_runs(two_runs)["methods"]["metric learning"]
    mean, deviation = (method["accuracy"][k][2] for k in ("mean", "deviation"))
    own = style_of(two_runs[1])["metric"]["accuracy"][2]
    assert f">{mean:.1%} +- {deviation:.1%}<" in first.read_text()
    assert "metric learning, 2 runs: accuracy" in first.read_text()
    assert "The runs compared" in first.read_text()
    assert f">{own:.1%}<" in second.read_text()
    assert "+-" not in second.read_text()
    assert "The runs compared" not in second.read_text()
    together = (two_runs[0] / "figures" / "figure_1.png").read_bytes()
    report.draw_run(two_runs[0])
    assert (two_runs[0] / "figures" / "figure_1.png").read_bytes() != together
