"""The numbers of a run: what `python -m tfstyle.evaluate` computes."""

import pathlib
import time
from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf

from tfstyle.analysis.evaluation.content import content_summary, measure_content
from tfstyle.analysis.evaluation.generator import generator_summary, measure_generator
from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.metrics import prefix, retrieval
from tfstyle.modeling.networks.codes import collect_codes
from tfstyle.modeling.objectives import passes
from tfstyle.runs import folder as runs
from tfstyle.runs import metrics_log, retrained

EVALUATION_FILE = "evaluation.json"
# Raised when numbers are added that figures need.
EVALUATION_FORMAT = 4
# Pictures that make an artist of the holdout split known, and random draws of them.
ENROLLED_PICTURES = (1, 5, 10)
ENROLMENTS = 10
SEED = 0
# The stages that each stage's numbers depend on.
_MEASURED_WITH = {
    "metric": ("metric",),
    "classifier": ("classifier",),
    "vae": ("metric", "vae"),
    "gan": runs.STAGES,
}
# Where the numbers of a stage stand: in "style" both of metric and classifier.
_STYLE_PARTS = {
    "metric": ("metric", "kept_dims", "retrieval", "unseen_artists"),
    "classifier": ("classifier", "retrained"),
}
_PARTS = {"vae": "content", "gan": "generator"}

Numbers = dict[str, Any]


def measure_run(
    run_dir: pathlib.Path,
    tolerance: float = 0.01,
    stages: Collection[str] | None = None,
    inception: tf.keras.Model | None = None,
) -> Numbers:
    """Measure trained stages and write the numbers into the run.

    Args:
        run_dir: the run.
        tolerance: see `metrics.recommended_dims`.
        stages: to be measured, all trained ones by default. The numbers of the others
            stay as evaluation.json has them, unless these were trained since.
        inception: see `measure_generator`.

    Returns:
        What is written to evaluation.json: {"style", "content", "generator"}, as far
        as their stages are trained; "unmeasured" lists trained stages that are neither
        measured nor kept.

    Raises:
        UserError: if no stage is trained, or one of `stages` is not.
    """
    dataset = runs.load_dataset(run_dir)
    trained = runs.finished_stages(run_dir)
    if not trained:
        raise UserError(
            f"{run_dir} holds no finished stage; begin with: "
            f"{runs.train_command('metric', run_dir)}"
        )
    missing = [stage for stage in runs.STAGES if stage not in trained]
    for stage in missing:
        if stage in (stages or ()):
            raise UserError(
                f"the {stage} stage in {run_dir} is not trained; make it with: "
                f"{runs.train_command(stage, run_dir)}"
            )
    if missing:
        print(f"not trained, so left out: {', '.join(missing)}")
    numbers: Numbers = {
        "format": EVALUATION_FORMAT,
        "artists": len(dataset.artists),
        "train_pictures": dataset.num_examples("train"),
        "test_pictures": dataset.num_examples("test"),
        "steps": {stage: folder.read()["steps"] for stage, folder in trained.items()},
        "digests": _stage_digests(run_dir),
    }
    wanted = {k: one for k, one in trained.items() if stages is None or k in stages}
    unwanted = [stage for stage in trained if stage not in wanted]
    numbers |= _kept_numbers(run_dir, unwanted, numbers["digests"])
    if "metric" in wanted or "classifier" in wanted:
        measured = _measure_style(wanted, dataset, tolerance)
        numbers["style"] = {**numbers.get("style", {}), **measured}
    if "vae" in wanted:
        numbers["content"] = measure_content(trained["vae"], dataset, tolerance)
    if "gan" in wanted:
        numbers["generator"] = measure_generator(trained, dataset, inception)
    if numbers.get("unmeasured"):
        print(f"not measured yet: {', '.join(numbers['unmeasured'])}")
    files.write_json(run_dir / EVALUATION_FILE, numbers)
    return numbers


def read_numbers(
    run_dir: pathlib.Path, stages: Collection[str] = runs.STAGES
) -> Numbers | None:
    """Read evaluation.json.

    Args:
        run_dir: the run.
        stages: of which, if trained, the numbers are needed.

    Returns:
        None if it is missing, lacks one's numbers, or one was trained since.
    """
    numbers = _read_evaluation(run_dir)
    if not numbers or set(stages) & set(numbers.get("unmeasured", ())):
        return None
    return numbers if _same(stages, numbers, _stage_digests(run_dir)) else None


def _read_evaluation(run_dir: pathlib.Path) -> Numbers:
    """Read evaluation.json; empty if there is none of this format."""
    path = run_dir / EVALUATION_FILE
    numbers = files.read_json(path) if path.exists() else {}
    return numbers if numbers.get("format") == EVALUATION_FORMAT else {}


def _stage_digests(run_dir: pathlib.Path) -> dict[str, list[str]]:
    """Identify what each finished stage's numbers are of, wherever the run lies."""
    folders = [runs.StageFolder(run_dir, stage) for stage in runs.STAGES]
    for path in sorted((run_dir / "retrained").glob("*")):
        folders.append(runs.StageFolder(path, "classifier"))
    digests: dict[str, list[str]] = {}
    for folder in folders:
        if folder.finished:
            digests.setdefault(folder.stage, []).append(folder.digest)
    return digests


def _same(
    stages: Collection[str], numbers: Numbers, digests: dict[str, list[str]]
) -> bool:
    """Tell whether stages are as they were when numbers were measured."""
    before = numbers["digests"]
    return all(before.get(stage) == digests.get(stage) for stage in stages)


def _kept_numbers(
    run_dir: pathlib.Path, stages: Collection[str], digests: dict[str, list[str]]
) -> Numbers:
    """Take the numbers of stages that evaluation.json has and that still hold."""
    previous = _read_evaluation(run_dir)
    numbers: Numbers = {}
    unmeasured = []
    for stage in stages:
        if (
            stage not in previous.get("steps", ())
            or stage in previous.get("unmeasured", ())
            or not _same(_MEASURED_WITH[stage], previous, digests)
        ):
            unmeasured.append(stage)
        elif stage in _PARTS:
            numbers[_PARTS[stage]] = previous[_PARTS[stage]]
        else:
            style = previous["style"]
            kept = {key: style[key] for key in _STYLE_PARTS[stage] if key in style}
            numbers["style"] = {**numbers.get("style", {}), **kept}
    return {**numbers, "unmeasured": unmeasured} if unmeasured else numbers


def summary(numbers: Numbers) -> list[str]:
    """Give the numbers that matter most as lines of text."""
    lines = [
        f"{numbers['test_pictures']} test pictures of {numbers['artists']} artists; "
        + ", ".join(f"{stage} {step}" for stage, step in numbers["steps"].items())
        + " steps"
    ]
    style = numbers.get("style", {})
    names = {"metric": "metric", "classifier": "classifier"}
    names["retrained"] = "classifier trained per d"
    for key, name in names.items():
        if key not in style:
            continue
        lines.append(f"{name}: d, accuracy, variance ratio (equation 10)")
        measured = style[key]
        lines += [
            f"  {d:4d}  {accuracy:6.1%}  {ratio:.4f}"
            for d, accuracy, ratio in zip(
                measured["dims"],
                measured["accuracy"],
                measured["variance_ratio"],
                strict=True,
            )
        ]
    if "metric" in style:
        lines.append(
            f"style dimensions: {style['kept_dims']} kept, "
            f"{style['metric']['recommended_dims']} recommended"
        )
    if "retrieval" in style:
        lines.append(
            "search among test pictures, same artist: "
            + ", ".join(
                f"{name} {value:.1%}"
                for name, value in style["retrieval"].items()
                if name != "queries"
            )
        )
    lines += [
        f"artists never trained on, known by {k} pictures: {one['accuracy']:.1%} +- "
        f"{one['deviation']:.1%} of the others right (chance {one['chance']:.1%})"
        for k, one in style.get("unseen_artists", {}).items()
    ]
    if "content" in numbers:
        lines += content_summary(numbers["content"])
    if "generator" in numbers:
        lines += generator_summary(numbers["generator"], numbers["artists"])
    return lines


def _measure_style(trained, dataset, tolerance):
    style: Numbers = {}
    for stage in ("metric", "classifier"):
        if stage not in trained:
            continue
        began = time.time()
        folder = trained[stage]
        encoder = runs.load_network(folder, "style_encoder")
        found = collect_codes(encoder, passes.test_batches(dataset))
        accuracy = _prefix_accuracy(folder, found.codes, found.artist_ids)
        ratio = prefix.variance_ratio(found.codes, found.artist_ids)
        dims = prefix.curve_dims(len(accuracy))
        style[stage] = {
            "dims": dims,
            "accuracy": [float(accuracy[d - 1]) for d in dims],
            "variance_ratio": [float(ratio[d - 1]) for d in dims],
            "every_accuracy": accuracy.tolist(),
            "every_variance_ratio": ratio.tolist(),
            "recommended_dims": prefix.recommended_dims(accuracy, tolerance),
        }
        metrics_log.log_evaluation(
            folder,
            {
                **{f"figure_1/accuracy_{d}": accuracy[d - 1] for d in dims},
                **{f"figure_1/variance_ratio_{d}": ratio[d - 1] for d in dims},
            },
            len(found.codes),
            began,
        )
        if stage == "metric":
            style.update(_measure_search(folder, dataset, encoder, found))
    if "metric" in trained:
        style["kept_dims"] = runs.load_statistics(trained["metric"]).dims
    if "classifier" in trained:
        style.update(_measure_retrained(trained["classifier"], dataset))
    return style


def _measure_retrained(folder, dataset) -> Numbers:
    """Measure classifiers trained per d by their whole codes: {"retrained"} or {}."""
    began = time.time()
    measured: Numbers = {"dims": [], "accuracy": [], "variance_ratio": []}
    for d in retrained.finished_dims(folder.run_dir):
        own = retrained.stage_folder(folder.run_dir, d)
        encoder = runs.load_network(own, "style_encoder")
        found = collect_codes(encoder, passes.test_batches(dataset))
        accuracy = _prefix_accuracy(own, found.codes, found.artist_ids)
        ratio = prefix.variance_ratio(found.codes, found.artist_ids)
        measured["dims"].append(d)
        measured["accuracy"].append(float(accuracy[-1]))
        measured["variance_ratio"].append(float(ratio[-1]))
    if not measured["dims"]:
        return {}
    metrics_log.log_evaluation(
        folder,
        {
            f"figure_1/retrained_{name}_{d}": value
            for name in ("accuracy", "variance_ratio")
            for d, value in zip(measured["dims"], measured[name], strict=True)
        },
        dataset.num_examples(passes.test_split(dataset)),
        began,
    )
    return {"retrained": measured}


def _measure_search(folder, dataset, encoder, test) -> Numbers:
    """Measure search in the learned metric by the dimensions that go on.

    Args:
        folder: of the metric stage.
        dataset: the records.
        encoder: S, whole.
        test: codes of the test pictures by it.

    Returns:
        {"retrieval", "unseen_artists"}, each only where there are pictures for it.
    """
    began = time.time()
    kept = runs.load_statistics(folder).dims
    measured: Numbers = {}
    queries = len(retrieval.retrieval_queries(test.artist_ids))
    if queries:
        found = retrieval.retrieval(test.codes[:, :kept], test.artist_ids)
        measured["retrieval"] = {"queries": queries, **found}
        values = {f"retrieval/{name}": value for name, value in found.items()}
        metrics_log.log_evaluation(folder, values, queries, began)
    if not dataset.num_examples("holdout"):
        return measured
    began = time.time()
    unseen = collect_codes(encoder, passes.split_batches(dataset, "holdout"))
    measured["unseen_artists"] = {}
    for k in ENROLLED_PICTURES:
        artists = len(retrieval.enrollable(unseen.artist_ids, k))
        if artists < 2:
            continue
        accuracy, deviation = retrieval.enrolled_accuracy(
            unseen.codes[:, :kept], unseen.artist_ids, k, SEED, ENROLMENTS
        )
        measured["unseen_artists"][str(k)] = {
            "accuracy": accuracy,
            "deviation": deviation,
            "artists": artists,
            "chance": 1 / artists,
        }
    metrics_log.log_evaluation(
        folder,
        {
            f"unseen_artists/accuracy_{k}": one["accuracy"]
            for k, one in measured["unseen_artists"].items()
        },
        len(unseen.codes),
        began,
    )
    return measured


def _prefix_accuracy(
    folder: runs.StageFolder, codes: np.ndarray, artist_ids: np.ndarray
) -> np.ndarray:
    """Accuracy by every prefix: nearest presumed style, or the classifier's logits."""
    if folder.stage == "metric":
        (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
        return prefix.prefix_accuracy(codes, artist_ids, styles)
    kernel, bias = runs.load_arrays(
        folder, "artist_logits/kernel", "artist_logits/bias"
    )
    return prefix.prefix_logit_accuracy(codes, kernel, bias, artist_ids)
