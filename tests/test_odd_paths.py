"""Every path flag takes every name that a file system allows.

No other folder is touched, above all none that a name would match as a pattern.
"""

import pathlib
import shutil

import pytest

from helpers.commands import (
    ROOT,
    STEPS,
    error_line,
    list_files,
    module,
    read_output,
    run,
    tool,
    train_command,
)
from helpers.paths import NAMES
from tfstyle.data import input_pipeline, records
from tfstyle.exploration import generating, searching
from tfstyle.runs.metrics_log import MetricsLog
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import exporting, servables

# All that is special to anything, in one name.
WORST = "e[1] *?\\ {a,b} \"'$x` #%41 ü\n\udcff"
PICTURE = "tests/pictures/portraits-64/dylan/00000.png"


@pytest.mark.parametrize("name", NAMES)
def test_records_are_written_and_read_in_any_folder(name, small_records, tmp_path):
    copy = shutil.copytree(small_records.records_dir, tmp_path / name)
    dataset = records.read_dataset(str(copy))

    for batches in (
        input_pipeline.eval_batches(dataset, "test"),
        input_pipeline.train_batches(dataset, ["train"], 8, seed=0).take(1),
    ):
        assert len(list(batches))
    input_pipeline.read_pictures(dataset, ["train"], [0])


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_used_and_logged_to_in_any_folder(name, tiny_run, tmp_path):
    run_dir = pathlib.Path(shutil.copytree(tiny_run, tmp_path / name))
    loaded = TrainedRun(run_dir)

    assert len(searching.search(loaded, [PICTURE], 1)) == 1
    loaded.folder("metric").read_array("presumed_styles/styles")
    assert loaded.folder("metric").resumable.find_newest_whole() == STEPS
    MetricsLog(loaded.folder("metric"), STEPS, 0).write("eval", 1, {"a": 1.0}, 1, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_an_export_is_written_and_loaded_in_any_folder(name, tiny_run, tmp_path):
    metric_run = tmp_path / "run"
    shutil.copytree(tiny_run / "metric", metric_run / "metric")
    shutil.copy(tiny_run / "recommendation.json", metric_run)
    export_dir = tmp_path / name

    exporting.export_run(
        TrainedRun(metric_run), export_dir, pathlib.PurePosixPath(export_dir)
    )

    assert list(servables.find_models(export_dir)) == ["style_encoder"]


@pytest.mark.parametrize("name", [WORST, "[ab]", "x" * 255])
def test_generated_pictures_are_written_in_any_folder(name, tiny_run, tmp_path):
    generating.generate(TrainedRun(tiny_run), str(tmp_path / name), count=1)
    assert (tmp_path / name / "00000.png").is_file()


@pytest.mark.slow
def test_all_commands_work_with_the_worst_of_names_and_touch_nothing_else(tmp_path):
    """Folders that the names would match as patterns stay as they are."""
    places = {
        flag: tmp_path / f"{flag} {WORST}"
        for flag in ("pictures", "records", "run", "export", "gin")
    }
    decoys = [
        tmp_path / str(place.name).replace("[1]", "1").replace("*", "x")
        for place in places.values()
    ]
    for decoy in decoys:
        (decoy / "metric" / "checkpoints").mkdir(parents=True)
        (decoy / "metric" / "checkpoints" / "step-5.index").write_text("mine")
    before = {decoy: list_files(decoy) for decoy in decoys}
    for artist in ("dylan", "micah"):
        source = ROOT / "tests/pictures/portraits-64" / artist
        shutil.copytree(source, places["pictures"] / artist)
    shutil.copytree(ROOT / "gin", places["gin"])

    read_output(
        run(
            tool("make_tfrecords"),
            f"--input_dir={places['pictures']}",
            f"--output_dir={places['records']}",
            "--image_size=32",
            cwd=ROOT,
        )
    )
    dataset = records.read_dataset(str(places["records"]))
    command = train_command("metric", dataset, places["run"], train__steps=6)
    command[3] = f"--gin_file={places['gin'] / 'quickstart' / 'metric.gin'}"
    read_output(run(command, cwd=ROOT))
    for verb, *arguments in (
        ("evaluate",),
        ("figures",),
        ("search", PICTURE, f"--output={tmp_path / WORST}.png"),
        ("enrol", "--name=Ann", str(places["pictures"] / "dylan")),
        (
            "encode",
            f"--input_dir={places['pictures']}",
            f"--output={tmp_path / WORST}.csv",
        ),
        ("export", f"--export_dir={places['export']}"),
    ):
        flag = f"--run_dir={places['run']}"
        read_output(run(module(verb), flag, *arguments, cwd=ROOT))
    assert list(servables.find_models(places["export"])) == ["style_encoder"]
    assert {decoy: list_files(decoy) for decoy in decoys} == before


PATH_FLAGS = {
    "train": "gin_file records_dir run_dir init_from",
    "evaluate": "run_dir records_dir inception_weights",
    "figures": "run_dir records_dir",
    "encode": "run_dir input_dir records_dir output",
    "search": "run_dir records_dir output",
    "enrol": "run_dir",
    "transfer": "run_dir content style output sheet",
    "generate": "run_dir output_dir",
    "export": "run_dir export_dir",
    "serve": "export_dir",
}


@pytest.mark.parametrize(
    ("verb", "flag"),
    [(verb, flag) for verb, names in PATH_FLAGS.items() for flag in names.split()],
)
def test_an_empty_path_is_refused(verb, flag, tmp_path):
    line = error_line(run(module(verb), f"--{flag}=", cwd=tmp_path))

    assert f"--{flag}=" in line and "path is missing" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", PATH_FLAGS)
def test_all_flags_that_take_paths_are_known_as_such(verb, tmp_path):
    """By what --help says of their values."""
    text = read_output(run(module(verb), "--help", cwd=tmp_path))

    entries = text.split("\n  --")[1:]
    names = {entry.split(":")[0] for entry in entries if "(a path)" in entry}
    assert names == set(PATH_FLAGS[verb].split())


def test_the_home_folder_is_expanded_where_shells_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    line = error_line(run(module("evaluate"), "--run_dir=~/runs/first", cwd=tmp_path))

    assert f"there is no folder {tmp_path}/runs/first" in line
    assert f"--run_dir={tmp_path}/runs/first" in line
    assert not (tmp_path / "~").exists()
