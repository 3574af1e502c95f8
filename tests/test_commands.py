"""Every command explains itself, and misuse is one line with exit code 1."""

import os
import pathlib
import subprocess
import sys

import pytest

from helpers.commands import (
    ROOT,
    error_line,
    list_files,
    module,
    read_output,
    run,
    tool,
)

COMMANDS = {
    "train": (
        module("train"),
        "gin_file gin_param records_dir run_dir restart init_from allow_unfinished"
        " dry_run",
    ),
    "evaluate": (module("evaluate"), "run_dir records_dir stage tolerance retrain"),
    "figures": (module("figures"), "run_dir records_dir seed"),
    "encode": (module("encode"), "run_dir input_dir records_dir output"),
    "search": (module("search"), "run_dir records_dir count output"),
    "enrol": (module("enrol"), "run_dir name remove"),
    "transfer": (
        module("transfer"),
        "run_dir content style style_artist style_mix output sheet noise_seed"
        " refine_steps overwrite",
    ),
    "generate": (
        module("generate"),
        "run_dir output_dir count seed style_artist style_mix interpolate frames"
        " overwrite",
    ),
    "export": (module("export"), "run_dir export_dir serving_dir"),
    "serve": (module("serve"), "export_dir rest_api_port host"),
    "make_tfrecords": (
        tool("make_tfrecords"),
        "input_dir output_dir image_size fit min_size min_images_per_artist"
        " test_fraction min_test_images holdout_artists exclude_artists num_shards"
        " num_workers seed",
    ),
}

# Commands whose positional arguments are pictures.
TAKE_PICTURES = ("search", "enrol", "transfer")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_success_and_names_the_flags(name, tmp_path):
    command, flags = COMMANDS[name]

    done = run(command, "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # A switch is shown as --[no]name.
    text = done.stdout.replace("--[no]", "--")
    for flag in flags.split():
        assert f"--{flag}:" in text, flag
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in TAKE_PICTURES]
)
def test_an_unexpected_argument_is_an_error_on_one_line(name, tmp_path):
    command, _ = COMMANDS[name]

    line = error_line(run(command, "records", cwd=tmp_path))

    assert "unexpected argument 'records'" in line
    assert "--name=value" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_flag_is_named_without_a_traceback(name, tmp_path):
    command, _ = COMMANDS[name]

    line = error_line(run(command, "--no_such_flag=1", cwd=tmp_path))

    assert "Unknown command line flag 'no_such_flag'" in line


@pytest.mark.parametrize(
    ("verb", "flag", "suggestion"),
    [
        ("serve", "port", "rest_api_port"),
        ("train", "run_dirs", "run_dir"),
        ("train", "gin", "gin_file"),
        ("generate", "output", "output_dir"),
        ("transfer", "stile", "style"),
    ],
)
def test_flags_similar_to_an_unknown_one_are_suggested(
    verb, flag, suggestion, tmp_path
):
    line = error_line(run(module(verb), f"--{flag}=1", cwd=tmp_path))

    assert "did you mean" in line and f"--{suggestion}" in line


def test_frames_without_an_animation_are_refused(tmp_path):
    line = error_line(
        run(module("generate"), "--output_dir=out", "--frames=9", cwd=tmp_path)
    )

    assert "--frames needs --interpolate" in line
    assert not list(tmp_path.iterdir())


def test_a_terminal_that_lacks_characters_is_no_reason_to_fail(tmp_path):
    program = (
        "from tfstyle.core import cli; import logging;"
        "cli.run(lambda: (print('ünï 名前 \\udcff'),"
        " logging.getLogger('tfstyle').info('名前')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split(b"\n")[:2] == [
        b"\xfcn\xef \\u540d\\u524d \\xff",
        b"\\u540d\\u524d",
    ]


@pytest.mark.parametrize("name", ["evaluate", "figures", "export"])
@pytest.mark.parametrize("run_dir", ["nowhere", None])
def test_the_error_about_a_missing_run_has_the_command_that_trains_it(
    name, run_dir, tmp_path
):
    command, _ = COMMANDS[name]
    flags = [f"--run_dir={run_dir}"] if run_dir else []

    line = error_line(run(command, *flags, cwd=tmp_path))

    remedy = "python -m tfstyle.train --gin_file=gin/metric.gin --run_dir="
    assert f"{remedy}{run_dir or 'runs/default'}" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["figures", "generate"])
def test_a_negative_seed_is_an_error_without_a_traceback(name, tmp_path):
    line = error_line(run(COMMANDS[name][0], "--seed=-1", cwd=tmp_path))

    assert "--seed=-1: -1 is not a non-negative integer" in line


def test_evaluate_names_an_unknown_stage_and_the_known_ones(tmp_path):
    line = error_line(run(module("evaluate"), "--stage=gan,vea", cwd=tmp_path))

    assert "--stage must be of metric, classifier, vae, gan, got 'vea'" in line


def test_train_without_a_configuration_lists_the_shipped_ones(tmp_path):
    line = error_line(run(module("train"), cwd=tmp_path))

    for stage in ("metric", "classifier", "vae", "gan"):
        assert f"gin/{stage}.gin" in line
        assert (ROOT / "gin" / f"{stage}.gin").is_file()


def test_train_without_records_names_the_tool_that_makes_them(tmp_path):
    gin_file = ROOT / "gin" / "quickstart" / "metric.gin"

    line = error_line(run(module("train"), f"--gin_file={gin_file}", cwd=tmp_path))

    assert "records" in line and "make_tfrecords.py" in line


def test_train_without_a_stage_in_its_configuration_names_the_setting(tmp_path):
    (tmp_path / "stage.gin").write_text("train.batch_size = 8\n")

    line = error_line(run(module("train"), "--gin_file=stage.gin", cwd=tmp_path))

    assert "['stage']" in line


def test_the_error_about_an_untrained_stage_has_the_command_that_trains_it(
    small_records, tmp_path
):
    line = error_line(
        run(
            module("train"),
            f"--gin_file={ROOT / 'gin' / 'quickstart' / 'vae.gin'}",
            "--gin_param=train.image_size=32",
            f"--records_dir={small_records.records_dir}",
            cwd=tmp_path,
        )
    )

    remedy = f"--gin_file={ROOT / 'gin' / 'quickstart' / 'metric.gin'}"
    assert "needs a trained metric stage" in line and remedy in line
    assert not (tmp_path / "runs").exists()


def test_a_run_behind_a_link_that_leads_nowhere_is_refused_in_dry_runs_too(
    small_records, tmp_path
):
    (tmp_path / "link").symlink_to("nowhere")
    for flags in ([], ["--dry_run"]):
        done = run(
            module("train"),
            f"--gin_file={ROOT / 'gin' / 'quickstart' / 'metric.gin'}",
            f"--records_dir={small_records.records_dir}",
            "--run_dir=link",
            *flags,
            cwd=tmp_path,
        )
        reason = "--run_dir=link: link is a link that leads nowhere"
        assert error_line(done) == f"error: {reason}"


def test_a_dry_run_writes_nothing(small_records, tmp_path):
    before = list_files(pathlib.Path(small_records.records_dir))

    done = run(
        module("train"),
        f"--gin_file={ROOT / 'gin' / 'quickstart' / 'metric.gin'}",
        "--gin_param=train.image_size=32",
        "--gin_param=train.steps=3",
        f"--records_dir={small_records.records_dir}",
        "--run_dir=run\nmetric: trained to step 99",
        "--dry_run",
        cwd=tmp_path,
    )

    output = read_output(done)
    assert "metric: 3 steps of 32 pictures" in output
    assert "\n  folder:   run\\nmetric: trained to step 99/metric\n" in output
    assert "60 of 3 artists, 32x32" in output
    assert list(tmp_path.iterdir()) == []
    assert list_files(pathlib.Path(small_records.records_dir)) == before
