"""Whatever has become of a file of a run, a command says so in one line.

Each file is replaced by other content, and each part of it by other values. What reads
it must use it, make it again, or refuse it by its name, within seconds.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tfstyle.analysis.evaluation.run import Evaluation
from tfstyle.core.cli import UserError
from tfstyle.data import records
from tfstyle.data.catalogs import manifests
from tfstyle.exploration import searching
from tfstyle.runs import advice, metrics_log
from tfstyle.runs.folder import StageFolder, read_recommendation
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import exporting
from tfstyle.training.monitoring import Monitor

SECONDS = 60  # that a reader may take on a busy machine


def use_description(run: TrainedRun) -> None:
    advice.train_command("vae", run.path)
    advice.repair_command("metric", run.path)
    _ = run.finished, run.style_encoder, run.dataset, run.artists
    assert run.description("metric").objective.get("objective") != 0


def preview(run: TrainedRun) -> None:
    _ = Monitor(run, "metric", run.dataset, 8)._fixed_pictures


def read_log(run: TrainedRun) -> None:
    path = run.folder("metric").metrics_file
    metrics_log.read_numbers(path)
    metrics_log.find_last_step(path)
    metrics_log.MetricsLog(run.folder("metric"), 10, 0)


def read_evaluation(run: TrainedRun) -> None:
    evaluation = Evaluation.read(run)
    if evaluation is not None:
        evaluation.summarize()


# What reads each file of a run.
READERS: dict[str, Callable[[TrainedRun], Any]] = {
    "metric/run.json": use_description,
    "metric/style_statistics.npz": lambda run: (run.style_encoder, run.artists),
    "vae/content_statistics.npz": lambda run: run.content_encoder,
    "metric/enrolled.npz": lambda run: run.artists.means.sum(),
    "metric/index.npz": searching.load_index,
    "metric/metrics.jsonl": read_log,
    "metric/previews/inputs.npz": preview,
    "metric/checkpoints/final/weights.index": lambda run: run.style_encoder,
    "metric/checkpoints/final/weights.data-00000-of-00001": (
        lambda run: run.style_encoder
    ),
    "recommendation.json": lambda run: read_recommendation(run.path),
    "dimension_names.tsv": lambda run: run.dimension_names,
    "evaluation.json": read_evaluation,
    "export.json": lambda run: exporting._read_digest(run.path),
    "decisions.json": lambda run: manifests.read_decisions(
        str(run.path / "decisions.json")
    ),
    "records/dataset.json": lambda run: records.read_dataset(str(run.path / "records")),
}
EVALUATION = {
    "format": 6,
    "artists": 3,
    "train_pictures": 60,
    "test_pictures": 12,
    "steps": {"metric": 40},
    "digests": {"metric": ["a"]},
}


@pytest.fixture(scope="module")
def complete(tiny_run, small_records, tmp_path_factory) -> pathlib.Path:
    """A run with all files that commands leave, and records of its own."""
    path = tmp_path_factory.mktemp("side") / "run"
    for stage in ("metric", "vae"):
        shutil.copytree(
            tiny_run / stage,
            path / stage,
            ignore=shutil.ignore_patterns("step-*", "tensorboard"),
        )
        (path / stage / "checkpoints" / "run.json").unlink()
    shutil.copy(tiny_run / "recommendation.json", path)
    shutil.copytree(small_records.records_dir, path / "records")
    run = TrainedRun(path)
    searching.load_index(run)
    preview(run)
    run.save_enrolled(run.enrolled.add("New", run.artists.means[0], 2))
    (path / "dimension_names.tsv").write_text("1\tlines\n2\tcolors\n")
    (path / "evaluation.json").write_text(json.dumps(EVALUATION))
    (path / "export.json").write_text('{"version": 1, "models": [], "digest": "a"}')
    (path / "decisions.json").write_text('{"format": 1, "dropped": ["a"]}')
    return path


@pytest.fixture
def run_dir(complete, tmp_path) -> pathlib.Path:
    """A copy of the run, whose files are links to be replaced."""
    return pathlib.Path(
        shutil.copytree(complete, tmp_path / "run", copy_function=os.link)
    )


@contextlib.contextmanager
def limit_time() -> Iterator[None]:
    def stop(number, frame):
        raise AssertionError("it waits")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def use(run_dir: pathlib.Path, name: str, change: object) -> str | None:
    """Read a file; return the error, which must name it and be one line."""
    with limit_time():
        try:
            READERS[name](TrainedRun(run_dir))
        except UserError as error:
            text = str(error)
            parts = (pathlib.Path(name).name, "final/weights", ".tfrecord")
            assert any(part in text for part in parts), (change, text)
            assert "\n" not in text, (change, text)
            return text
        except IsADirectoryError as error:  # which commands show as a line
            assert error.filename == str(run_dir / name), change
        except Exception as error:
            raise AssertionError(f"{name}, {change}") from error
    return None


def replace(path: pathlib.Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_a_file_is_used_as_it_was_written(name, complete):
    assert use(complete, name, "whole") is None


@pytest.mark.parametrize("name", READERS)
def test_other_content_in_place_of_a_file_is_one_line(name, run_dir):
    path = run_dir / name
    content = path.read_bytes()
    for other in (
        b"",
        content[: len(content) // 2],
        b"\0\xff\n" * 100,
        *(b"null", b"[]", b"{}", b"1", b'"text"', b"NaN", b"[" * 100_000),
    ):
        replace(path, other)
        use(run_dir, name, other[:20])


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_a_folder_or_a_device_in_place_of_a_file_is_one_line(name, run_dir):
    path = run_dir / name
    for kind in ("pipe", "device", "folder"):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        use(run_dir, name, kind)


def list_variants(value: Any) -> Iterator[tuple[str, Any]]:
    """Return a JSON value with each part missing or replaced, and which it was."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(parts):
        without = [*value] if isinstance(value, list) else {**value}
        del without[key]
        yield f"no {key}", without
        for other in (
            None,
            [],
            {},
            "text",
            -1,
            1.5,
            True,
            float("nan"),
            [None],
            10**30,
        ):
            changed = [*value] if isinstance(value, list) else {**value}
            changed[key] = other
            yield f"{key}={other}", changed
        if isinstance(part, dict | list) and part:
            for change, inner in list_variants(part):
                changed = [*value] if isinstance(value, list) else {**value}
                changed[key] = inner
                yield f"{key}.{change}", changed


@pytest.mark.parametrize(
    "name",
    [name for name in READERS if name.endswith(".json") and "metric" not in name],
)
def test_a_part_of_another_type_is_one_line(name, run_dir):
    path = run_dir / name
    for change, value in list_variants(json.loads(path.read_bytes())):
        replace(path, json.dumps(value).encode())
        use(run_dir, name, change)


def test_a_part_of_another_type_in_run_json_is_one_line(run_dir):
    """Of what commands read of it; networks are rebuilt for a few of these alone."""
    path = run_dir / "metric" / "run.json"
    values = json.loads(path.read_bytes())
    refused = 0
    for change, value in list_variants(values):
        if change.startswith(("identity.optimizers.", "identity.networks.")):
            continue
        replace(path, json.dumps(value).encode())
        try:
            StageFolder(run_dir, "metric").read()
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error), change
            refused += 1
            continue
        if change.startswith("networks.style_encoder.config.dims="):
            use(run_dir, "metric/run.json", change)
    assert refused > 200


@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".npz")])
def test_an_array_of_another_kind_is_one_line(name, run_dir):
    path = run_dir / name
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    for key, array in arrays.items():
        others: dict[str, np.ndarray | None] = {
            "missing": None,
            "number": np.array(1),
            "empty": array[..., :0] if array.ndim else np.zeros([0]),
            "text": np.full(array.shape, "x"),
            "not a number": np.full(array.shape, np.nan),
            "negative": np.full(array.shape, -1),
            "longer": np.concatenate([array, array]) if array.ndim else array[None],
            "deeper": array[None],
            "objects": np.full(array.shape, None),
        }
        for change, other in others.items():
            changed = {**arrays, key: other}
            path.unlink()
            np.savez(path, **{k: v for k, v in changed.items() if v is not None})
            error = use(run_dir, name, f"{key} {change}")
            remade = "index" in name or "inputs" in name
            # Codes of an older training, or another name.
            valid = key in ("statistics", "digests") or (key, change) == (
                "names",
                "text",
            )
            assert error or remade or valid, (key, change)
