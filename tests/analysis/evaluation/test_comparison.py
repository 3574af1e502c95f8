"""Several runs are compared: by hand from the numbers of each."""

import dataclasses
import json
import math
import pathlib
import shutil

import pytest

from helpers import runs
from tfstyle.analysis.evaluation import comparison
from tfstyle.analysis.evaluation.figure_1 import Curves, PrefixCurves
from tfstyle.analysis.evaluation.run import evaluate_run
from tfstyle.analysis.evaluation.style import Style
from tfstyle.analysis.reporting import report
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs.description import Collection, StageDescription
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun


def make_run(run_dir: pathlib.Path, objective: str = "presumed") -> TrainedRun:
    """Make a run whose metric stage has only a description."""
    description = StageDescription(
        stage="metric",
        steps=1,
        strategy="one_device",
        replicas=1,
        dataset=Collection("records", "digest", 32, "crop", "#ffffff", []),
        networks={
            "style_encoder": {
                "class": "StyleEncoder",
                "config": {"dims": 4},
                "parameters": 0,
            }
        },
        code_sizes=[],
        identity={
            "dataset": "digest",
            "earlier_stages": {},
            "networks": {},
            "objective": {"objective": objective},
            "seed": 0,
            "splits": ["train"],
        },
    )
    StageFolder(run_dir, "metric").write(description)
    return TrainedRun(run_dir)


def prefix_curves(accuracy, ratio, recommended=1) -> PrefixCurves:
    """The results of a stage, with curves that show every dimension."""
    return PrefixCurves(
        dims=list(range(1, len(accuracy) + 1)),
        accuracy=accuracy,
        variance_ratio=ratio,
        every_accuracy=accuracy,
        every_variance_ratio=ratio,
        recommended_dims=recommended,
    )


@pytest.fixture(scope="module")
def two_runs(tiny_run, tmp_path_factory) -> list[TrainedRun]:
    """Two runs of metric and classifier; the accuracies of the second are halved."""
    folder = tmp_path_factory.mktemp("compared")
    first, second = (
        TrainedRun(runs.keep_stages(tiny_run, folder / name, "metric", "classifier"))
        for name in ("first", "second")
    )
    evaluate_run(first)
    evaluate_run(second)
    halve_accuracy(second)
    return [first, second]


def copy_run(run: TrainedRun, path: pathlib.Path) -> TrainedRun:
    return TrainedRun(shutil.copytree(run.path, path))


def halve_accuracy(run: TrainedRun) -> None:
    path = run.path / "evaluation.json"
    numbers = json.loads(path.read_text())
    for stage in ("metric", "classifier"):
        for name in ("accuracy", "every_accuracy"):
            values = numbers["style"][stage][name]
            numbers["style"][stage][name] = [0.5 * value for value in values]
    files.write_json(path, numbers)


def read_style(run: TrainedRun):
    return json.loads((run.path / "evaluation.json").read_text())["style"]


def test_two_runs_give_their_mean_and_half_their_difference_times_root_2(two_runs):
    """For a and b, ((a - m)^2 + (b - m)^2) / 1 = (a - b)^2 / 2."""
    compared = comparison.compare_runs(two_runs)

    assert compared.runs == [str(run.path) for run in two_runs]
    assert list(compared.methods) == [
        "metric learning",
        "classifier",
        "classifier, nearest mean code",
    ]
    for stage, name in (("metric", "metric learning"), ("classifier", "classifier")):
        method = compared.methods[name]
        assert method.dims == [1, 2, 4, 8, 16]
        assert method.runs == compared.runs
        for curve in ("accuracy", "variance_ratio"):
            first, second = (read_style(run)[stage][curve] for run in two_runs)
            spread = getattr(method, curve)
            for k in range(5):
                assert spread["mean"][k] == pytest.approx((first[k] + second[k]) / 2)
                assert spread["deviation"][k] == pytest.approx(
                    abs(first[k] - second[k]) / math.sqrt(2)
                )
    assert any(compared.methods["classifier"].accuracy["deviation"])


def test_the_comparison_is_written_into_the_first_run_each_time(two_runs, tmp_path):
    pair = [copy_run(run, tmp_path / run.path.name) for run in two_runs]
    path = pair[0].path / "comparison.json"
    before = comparison.compare_runs(pair)
    written = json.loads(path.read_text())
    assert list(written) == ["runs", "methods", "leads", "recommended"]
    method = written["methods"]["metric learning"]
    assert method == dataclasses.asdict(before.methods["metric learning"])
    row = written["recommended"]["metric learning"]["runs"][0]
    assert row["run"] == str(pair[0].path)
    assert set(row) == {
        *("run", "dims", "accuracy", "classifier_accuracy", "ratio_of_ratios")
    }
    assert not (pair[1].path / "comparison.json").exists()

    halve_accuracy(pair[1])
    after = comparison.compare_runs(pair)

    assert after != before
    assert json.loads(path.read_text()) != written


def test_methods_are_named_by_the_objective_and_runs_may_lack_some(tmp_path):
    a = make_run(tmp_path / "a", "presumed")
    b = make_run(tmp_path / "b", "triplet")
    c = make_run(tmp_path / "c", "presumed")
    curves = prefix_curves([0.5, 1.0], [0.2, 0.1])
    styles = {
        a: Style(metric=curves, classifier=curves),
        b: Style(metric=curves),
        c: Style(
            metric=prefix_curves([0.7, 1.0], [0.2, 0.3]),
            retrained=Curves(dims=[1], accuracy=[0.6], variance_ratio=[0.1]),
        ),
    }

    methods = comparison.average_methods(styles)

    assert {name: method.runs for name, method in methods.items()} == {
        "metric learning": [str(a.path), str(c.path)],
        "triplet": [str(b.path)],
        "classifier": [str(a.path)],
        "classifier trained per d": [str(c.path)],
    }
    assert methods["metric learning"].accuracy["mean"] == pytest.approx([0.6, 1])
    assert methods["triplet"].accuracy["deviation"] is None
    assert methods["classifier trained per d"].dims == [1]


def test_leads_are_the_dims_above_the_classifier(tmp_path):
    style = Style(
        metric=prefix_curves([0.5, 0.7, 0.9], [1, 1, 1]),
        classifier=prefix_curves([0.4, 0.7, 0.95], [1, 1, 1]),
    )

    methods = comparison.average_methods({make_run(tmp_path): style})

    assert comparison.find_leads(methods) == {"metric learning": [1]}


def test_at_recommended_dims_a_run_meets_its_own_classifier_else_the_others(tmp_path):
    """Ratios at D': a .1 / .4 at 2, b .3 / .5 at 1, c .2 / mean(.4, .6) at 2."""
    styles = {
        make_run(tmp_path / "a"): Style(
            metric=prefix_curves([0.5, 0.8], [0.2, 0.1], recommended=2),
            classifier=prefix_curves([0.3, 0.9], [0.7, 0.4]),
        ),
        make_run(tmp_path / "b"): Style(
            metric=prefix_curves([0.6, 0.6], [0.3, 0.1], recommended=1),
            classifier=prefix_curves([0.3, 0.7], [0.5, 0.6]),
        ),
        make_run(tmp_path / "c", "triplet"): Style(
            metric=prefix_curves([0.5, 0.9], [0.2, 0.2], recommended=2)
        ),
    }

    recommended = comparison.compare_at_recommended_dims(styles)

    a, b = recommended["metric learning"].runs
    (c,) = recommended["triplet"].runs
    assert (a.dims, b.dims, c.dims) == (2, 1, 2)
    assert (a.accuracy, b.accuracy, c.accuracy) == (0.8, 0.6, 0.9)
    assert [run.classifier_accuracy for run in (a, b, c)] == pytest.approx(
        [0.9, 0.7, 0.8]
    )
    assert [run.ratio_of_ratios for run in (a, b, c)] == pytest.approx([0.25, 0.6, 0.4])
    ratio = recommended["metric learning"].ratio_of_ratios
    assert ratio["mean"] == pytest.approx(0.425)
    assert ratio["deviation"] == pytest.approx(0.35 / math.sqrt(2))
    assert recommended["triplet"].accuracy == {"mean": 0.9, "deviation": None}
    head, *rows = comparison.tabulate_recommended(recommended)
    assert head == [
        "metric run",
        "recommended D'",
        "accuracy at D'",
        "classifier, all dimensions",
        "variance ratio at D' / classifier's",
    ]
    assert rows[0] == [str(tmp_path / "a"), "2", "80.0%", "90.0%", "0.25"]
    assert rows[2] == [
        "mean, metric learning",
        "1.5 +- 0.707",
        "70.0% +- 14.1%",
        "80.0% +- 14.1%",
        "0.42 +- 0.25",
    ]


def test_without_any_classifier_there_is_nothing_to_compare_with(tmp_path):
    styles = {make_run(tmp_path): Style(metric=prefix_curves([0.5, 0.8], [0.2, 0.1]))}

    recommended = comparison.compare_at_recommended_dims(styles)

    (run,) = recommended["metric learning"].runs
    assert (run.classifier_accuracy, run.ratio_of_ratios) == (None, None)
    assert recommended["metric learning"].ratio_of_ratios is None
    assert comparison.tabulate_recommended(recommended)[1][-2:] == ["-", "-"]
    assert comparison.find_leads(comparison.average_methods(styles)) == {}
    assert comparison.tabulate_recommended({}) == []


def test_the_summary_has_means_and_deviations(two_runs):
    compared = comparison.compare_runs(two_runs)

    text = "\n".join(compared.summarize())

    accuracy = compared.methods["metric learning"].accuracy
    assert f"{accuracy['mean'][2]:.1%} +- {accuracy['deviation'][2]:.1%}" in text
    assert "metric learning, 2 runs: d, accuracy, variance ratio" in text
    assert "metric learning is more accurate than the classifier at d = " in text
    for run in two_runs:
        assert any(line.startswith(str(run.path)) for line in text.splitlines())


def test_the_same_run_twice_is_refused(two_runs):
    path = two_runs[0].path
    again = TrainedRun(path / ".." / path.name)

    with pytest.raises(UserError, match=f"{again.path} is given twice"):
        comparison.check_comparable([*two_runs, again])


def test_runs_of_other_records_are_refused_by_name(two_runs, tmp_path):
    first, second = (copy_run(run, tmp_path / run.path.name) for run in two_runs)
    dataset = second.dataset
    second.dataset = dataclasses.replace(
        dataset, digest="another", records_dir="other records"
    )

    with pytest.raises(UserError) as caught:
        comparison.check_comparable([first, second])

    assert f"{first.path} of {dataset.records_dir}" in str(caught.value)
    assert f"{second.path} of other records" in str(caught.value)


def test_runs_of_other_dimensions_are_refused_by_name(two_runs, tmp_path):
    other = copy_run(two_runs[1], tmp_path / "other")
    folder = other.folder("classifier")
    description = folder.read()
    description.networks["style_encoder"]["config"]["dims"] = 8
    folder.write(description)
    comparison.check_comparable(two_runs)

    with pytest.raises(UserError, match=f"{other.path}/classifier has 8"):
        comparison.check_comparable([two_runs[0], other])


def test_a_method_is_averaged_over_the_d_that_all_its_runs_have(tmp_path):
    styles = {
        make_run(tmp_path / name): Style(
            retrained=Curves(dims=dims, accuracy=dims, variance_ratio=dims)
        )
        for name, dims in {"a": [1, 2], "b": [2, 4]}.items()
    }

    (method,) = comparison.average_methods(styles).values()

    assert method.dims == [2]
    assert method.accuracy == {"mean": [2], "deviation": [0]}


@pytest.mark.parametrize(
    ("change", "objective", "difference"),
    [
        ({"steps": 7}, {}, "steps: 40 -> 7"),
        ({}, {"t": 0.5}, "objective.t: 0.995 -> 0.5"),
        ({"init_from": "runs/other"}, {}, "init_from: null"),
    ],
)
def test_runs_that_differ_by_more_than_the_seed_are_refused(
    change, objective, difference, two_runs, tmp_path
):
    other = pathlib.Path(shutil.copytree(two_runs[1].path, tmp_path / "other"))
    folder = StageFolder(other, "metric")
    description = folder.read()
    description.identity["seed"] = 5
    folder.write(description)
    comparison.check_comparable([two_runs[0], TrainedRun(other)])
    description.identity["objective"].update(objective)
    folder.write(dataclasses.replace(description, **change))

    with pytest.raises(UserError, match="must differ by their seeds alone") as caught:
        comparison.check_comparable([two_runs[0], TrainedRun(other)])

    assert difference in str(caught.value)


def test_the_first_runs_report_has_the_means_and_the_others_their_own(two_runs):
    """In the order given, and each with all its other parts."""
    first, second = report.draw_runs(two_runs)

    assert [first.parent, second.parent] == [run.path for run in two_runs]
    method = comparison.compare_runs(two_runs).methods["metric learning"]
    mean, deviation = (method.accuracy[key][2] for key in ("mean", "deviation"))
    accuracy = read_style(two_runs[1])["metric"]["accuracy"][2]
    assert f">{mean:.1%} +- {deviation:.1%}<" in first.read_text()
    assert "metric learning, 2 runs: accuracy" in first.read_text()
    assert "The runs compared" in first.read_text()
    assert f">{accuracy:.1%}<" in second.read_text()
    assert "+-" not in second.read_text()
    assert "The runs compared" not in second.read_text()
    figure = two_runs[0].path / "figures" / "figure_1.png"
    compared = figure.read_bytes()
    report.draw_run(two_runs[0])
    assert figure.read_bytes() != compared
