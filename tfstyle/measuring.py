"""The numbers of a run: what `python -m tfstyle.evaluate` computes."""

import pathlib
import time
from typing import Any

import numpy as np

from tfstyle import callbacks, retraining, runs
from tfstyle.analysis import evaluation, metrics, retrieval
from tfstyle.analysis.codes import collect_codes, decode_codes, encode_pictures
from tfstyle.command import UserError

EVALUATION_FILE = "evaluation.json"
# Generated pictures per artist that the classifier judges.
GENERATED_PER_ARTIST = 20
# Pictures that make an artist of the holdout split known, and random draws of them.
ENROLLED_PICTURES = (1, 5, 10)
ENROLMENTS = 10
SEED = 0

Numbers = dict[str, Any]


def measure_run(run_dir: pathlib.Path, tolerance: float = 0.01) -> Numbers:
    """Measure every trained stage and write the numbers into the run.

    Args:
        run_dir: the run.
        tolerance: see `metrics.recommended_dims`.

    Returns:
        What is written to evaluation.json: {"style", "content", "generator"}, as far
        as their stages are trained.

    Raises:
        UserError: if no stage is trained.
    """
    dataset = runs.load_dataset(run_dir)
    trained = runs.finished_stages(run_dir)
    if not trained:
        raise UserError(
            f"{run_dir} holds no finished stage; begin with: "
            f"{runs.train_command('metric', run_dir)}"
        )
    missing = [stage for stage in runs.STAGES if stage not in trained]
    if missing:
        print(f"not trained, so left out: {', '.join(missing)}")
    numbers: Numbers = {
        "artists": len(dataset.artists),
        "train_pictures": dataset.num_examples("train"),
        "test_pictures": dataset.num_examples("test"),
        "steps": {stage: folder.read()["steps"] for stage, folder in trained.items()},
    }
    if "metric" in trained or "classifier" in trained:
        numbers["style"] = _measure_style(trained, dataset, tolerance)
    if "vae" in trained:
        numbers["content"] = _measure_content(trained["vae"], dataset, tolerance)
    if "gan" in trained:
        numbers["generator"] = _measure_generator(trained, dataset)
    runs.write_json(run_dir / EVALUATION_FILE, numbers)
    return numbers


def read_numbers(run_dir: pathlib.Path) -> Numbers | None:
    """Read evaluation.json; None if it is missing or older than a trained stage."""
    path = run_dir / EVALUATION_FILE
    if not path.exists():
        return None
    finished = [run_dir / stage / "FINISHED" for stage in runs.STAGES]
    finished += (run_dir / "retrained").glob("*/classifier/FINISHED")
    newest = max((one.stat().st_mtime for one in finished if one.exists()), default=0)
    if path.stat().st_mtime < newest:
        return None
    return runs.read_json(path)


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
        content = numbers["content"]
        share = content["kept_error"] / content["mean_picture_error"]
        lines.append(
            f"vae: error {content['kept_error']:.1f} at {content['kept_dims']} content "
            f"dimensions, {share:.1%} of the mean picture's "
            f"{content['mean_picture_error']:.1f}; {content['recommended_dims']} "
            "dimensions recommended"
        )
    if "generator" in numbers:
        generator = numbers["generator"]
        lines.append(
            f"gan: error of reconstructed test pictures "
            f"{generator['reconstruction_error']:.1f}; artist of generated pictures "
            f"right by the style encoder {generator['style_encoder_accuracy']:.1%}"
        )
        if "classifier_accuracy" in generator:
            lines.append(
                "gan: right by the classifier, which the generator never saw: "
                f"{generator['classifier_accuracy']:.1%} (chance "
                f"{1 / numbers['artists']:.1%}; real test pictures "
                f"{generator['classifier_accuracy_real']:.1%})"
            )
    return lines


def _measure_style(trained, dataset, tolerance):
    style: Numbers = {}
    for stage in ("metric", "classifier"):
        if stage not in trained:
            continue
        began = time.time()
        folder = trained[stage]
        encoder = runs.load_network(folder, "style_encoder")
        found = collect_codes(encoder, evaluation.test_batches(dataset))
        accuracy = _prefix_accuracy(folder, found.codes, found.artist_ids)
        ratio = metrics.variance_ratio(found.codes, found.artist_ids)
        dims = metrics.curve_dims(len(accuracy))
        style[stage] = {
            "dims": dims,
            "accuracy": [float(accuracy[d - 1]) for d in dims],
            "variance_ratio": [float(ratio[d - 1]) for d in dims],
            "every_accuracy": accuracy.tolist(),
            "every_variance_ratio": ratio.tolist(),
            "recommended_dims": metrics.recommended_dims(accuracy, tolerance),
        }
        _log(
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
    for d in retraining.finished_dims(folder.run_dir):
        own = retraining.retrained_folder(folder.run_dir, d)
        encoder = runs.load_network(own, "style_encoder")
        found = collect_codes(encoder, evaluation.test_batches(dataset))
        accuracy = _prefix_accuracy(own, found.codes, found.artist_ids)
        ratio = metrics.variance_ratio(found.codes, found.artist_ids)
        measured["dims"].append(d)
        measured["accuracy"].append(float(accuracy[-1]))
        measured["variance_ratio"].append(float(ratio[-1]))
    if not measured["dims"]:
        return {}
    _log(
        folder,
        {
            f"figure_1/retrained_{name}_{d}": value
            for name in ("accuracy", "variance_ratio")
            for d, value in zip(measured["dims"], measured[name], strict=True)
        },
        dataset.num_examples(evaluation.test_split(dataset)),
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
        _log(folder, values, queries, began)
    if not dataset.num_examples("holdout"):
        return measured
    began = time.time()
    unseen = collect_codes(encoder, evaluation.split_batches(dataset, "holdout"))
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
    _log(
        folder,
        {
            f"unseen_artists/accuracy_{k}": one["accuracy"]
            for k, one in measured["unseen_artists"].items()
        },
        len(unseen.codes),
        began,
    )
    return measured


def _measure_content(folder, dataset, tolerance):
    began = time.time()
    style_encoder = runs.load_style_encoder(folder.run_dir)
    encoder = runs.load_network(folder, "content_encoder")
    decoder = runs.load_network(folder, "content_decoder")
    kept = runs.load_statistics(folder).dims
    dims = sorted({*metrics.curve_dims(encoder.get_config()["dims"]), kept})
    errors = evaluation.reconstruction_errors(
        style_encoder, encoder, decoder, evaluation.test_batches(dataset), dims
    )
    splits = folder.read()["identity"]["splits"]
    mean_error = evaluation.mean_picture_error(
        evaluation.split_batches(dataset, "train"), evaluation.test_batches(dataset)
    )
    content = {
        "dims": dims,
        "errors": errors.tolist(),
        "kept_dims": kept,
        "kept_error": float(errors[dims.index(kept)]),
        "mean_picture_error": mean_error,
        "recommended_dims": metrics.recommended_dims_by_error(errors, dims, tolerance),
        "unseen": evaluation.test_split(dataset) not in splits,
    }
    _log(
        folder,
        {
            **{f"reconstruction_error_{d}": errors[k] for k, d in enumerate(dims)},
            "mean_picture_error": mean_error,
        },
        dataset.num_examples(evaluation.test_split(dataset)),
        began,
    )
    return content


def _measure_generator(trained, dataset):
    began = time.time()
    folder = trained["gan"]
    generator = runs.load_network(folder, "generator_average")
    style_encoder = runs.load_style_encoder(folder.run_dir)
    content_encoder = runs.load_content_encoder(folder.run_dir)
    noise_dims = folder.read()["code_dims"][2]
    random = np.random.default_rng(SEED)
    count = GENERATED_PER_ARTIST * len(dataset.artists)
    artist_ids = np.repeat(np.arange(len(dataset.artists)), GENERATED_PER_ARTIST)
    means = runs.load_statistics(trained["metric"]).artist_means
    styles = means[artist_ids]
    contents = random.normal(size=[count, content_encoder.dims])
    pictures = decode_codes(
        generator, styles, contents, random.normal(size=[count, noise_dims])
    )
    style_codes = encode_pictures(style_encoder, pictures)
    content_codes = encode_pictures(content_encoder, pictures)
    nearest = np.square(style_codes[:, None] - means[None]).sum(axis=-1).argmin(axis=1)
    numbers = {
        "generated_pictures": count,
        "style_encoder_accuracy": float((nearest == artist_ids).mean()),
        "style_error": float(np.square(style_codes - styles).sum(axis=1).mean()),
        "content_error": float(np.square(content_codes - contents).sum(axis=1).mean()),
        "reconstruction_error": evaluation.generator_reconstruction_error(
            generator,
            style_encoder,
            content_encoder,
            noise_dims,
            evaluation.test_batches(dataset),
        ),
    }
    if "classifier" in trained:
        judge = trained["classifier"]
        encoder = runs.load_network(judge, "style_encoder")
        features = encode_pictures(encoder, pictures)
        accuracy = _prefix_accuracy(judge, features, artist_ids)
        real = collect_codes(encoder, evaluation.test_batches(dataset))
        real_accuracy = _prefix_accuracy(judge, real.codes, real.artist_ids)
        numbers["classifier_accuracy"] = float(accuracy[-1])
        numbers["classifier_accuracy_real"] = float(real_accuracy[-1])
    _log(folder, {f"generated/{k}": v for k, v in numbers.items()}, count, began)
    return numbers


def _prefix_accuracy(
    folder: runs.StageFolder, codes: np.ndarray, artist_ids: np.ndarray
) -> np.ndarray:
    """Accuracy by every prefix: nearest presumed style, or the classifier's logits."""
    if folder.stage == "metric":
        (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
        return metrics.prefix_accuracy(codes, artist_ids, styles)
    kernel, bias = runs.load_arrays(
        folder, "artist_logits/kernel", "artist_logits/bias"
    )
    return metrics.prefix_logit_accuracy(codes, kernel, bias, artist_ids)


def _log(folder: runs.StageFolder, values: Numbers, count: int, began: float) -> None:
    run = folder.read()
    log = callbacks.MetricsLog(folder, run["steps"], run["identity"]["seed"])
    log.write("eval", run["steps"], values, count, time.time() - began)
