"""Every command explains itself, and misuse is one line and exit code 1."""

import pathlib
import subprocess
import sys

import pytest

from tfstyle.core import cli

ROOT = pathlib.Path(__file__).parents[1]
TOOL = [sys.executable, str(ROOT / "tools" / "make_tfrecords.py")]


def module(verb) -> list[str]:
    return [sys.executable, "-m", f"tfstyle.{verb}"]


COMMANDS = {
    "train": (
        module("train"),
        "gin_file gin_param records_dir run_dir restart init_from allow_unfinished"
        " dry_run",
    ),
    "evaluate": (module("evaluate"), "run_dir stage tolerance retrain"),
    "figures": (module("figures"), "run_dir seed"),
    "encode": (module("encode"), "run_dir input_dir records_dir output"),
    "search": (module("search"), "run_dir count output"),
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
        TOOL,
        "input_dir output_dir image_size fit min_size min_images_per_artist"
        " test_fraction min_test_images holdout_artists exclude_artists num_shards"
        " num_workers seed",
    ),
}

# Their arguments without --name= are pictures.
TAKE_PICTURES = ("search", "enrol", "transfer")


def run(command, *arguments, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*cli, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd
    )


def error_line(done) -> str:
    """The one line on stderr of a command that failed as it should."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_a_success_and_names_the_flags(name, tmp_path):
    command, flags = COMMANDS[name]

    done = run(cli, "--help", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # A switch is shown as --[no]name.
    text = done.stdout.replace("--[no]", "--")
    for flag in flags.split():
        assert f"--{flag}:" in text, flag
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [one for one in COMMANDS if one not in TAKE_PICTURES])
def test_a_stray_argument_is_one_clear_line(name, tmp_path):
    command, _ = COMMANDS[name]

    line = error_line(run(cli, "records", cwd=tmp_path))

    assert "unexpected argument 'records'" in line
    assert "--name=value" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_flag_is_named_without_a_traceback(name, tmp_path):
    command, _ = COMMANDS[name]

    done = run(cli, "--no_such_flag=1", cwd=tmp_path)

    assert done.returncode == 1
    assert "Unknown command line flag 'no_such_flag'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["evaluate", "figures", "export"])
@pytest.mark.parametrize("given", ["missing", "by default"])
def test_a_missing_run_is_one_line_with_the_command_that_makes_it(
    name, given, tmp_path
):
    command, _ = COMMANDS[name]
    run_dir = tmp_path / "nowhere" if given == "missing" else "runs/default"
    flags = [f"--run_dir={run_dir}"] if given == "missing" else []

    line = error_line(run(cli, *flags, cwd=tmp_path))

    assert str(run_dir) in line
    assert f"python -m tfstyle.train --gin_file=gin/metric.gin --run_dir={run_dir}" in (
        line
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["figures", "generate"])
def test_a_seed_below_zero_is_named_without_a_traceback(name, tmp_path):
    done = run(COMMANDS[name][0], "--seed=-1", cwd=tmp_path)

    assert done.returncode == 1
    assert "--seed=-1: -1 is not a non-negative integer" in done.stderr.replace(
        "\n", " "
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("inside", [".", "inner"])
def test_a_file_in_a_folders_place_is_one_line(inside, tmp_path, capsys):
    taken = tmp_path / "figures"
    taken.touch()

    with pytest.raises(SystemExit) as ended:
        cli._guarded((taken / inside).mkdir, [""], positional=False)

    assert ended.value.code == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: {taken}") and line.count("\n") == 1


def test_a_stage_that_evaluate_does_not_know_is_one_line(tmp_path):
    line = error_line(run(module("evaluate"), "--stage=gan,vea", cwd=tmp_path))

    assert "--stage must be of metric, classifier, vae, gan, got 'vea'" in line


def test_train_without_a_configuration_lists_them(tmp_path):
    line = error_line(run(module("train"), cwd=tmp_path))

    for stage in ("metric", "classifier", "vae", "gan"):
        assert f"gin/{stage}.gin" in line
        assert (ROOT / "gin" / f"{stage}.gin").is_file()


def test_train_without_records_is_one_line(tmp_path):
    gin_file = ROOT / "gin" / "quickstart" / "metric.gin"

    line = error_line(run(module("train"), f"--gin_file={gin_file}", cwd=tmp_path))

    assert "records" in line and "make_tfrecords.py" in line


def test_train_without_a_stage_in_its_configuration_is_one_line(tmp_path):
    (tmp_path / "stage.gin").write_text("train.batch_size = 8\n")

    line = error_line(run(module("train"), "--gin_file=stage.gin", cwd=tmp_path))

    assert "['stage']" in line


def test_vae_without_metric_gives_the_command_that_makes_it(small_records, tmp_path):
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


def test_a_dry_run_writes_nothing(small_records, tmp_path):
    done = run(
        module("train"),
        f"--gin_file={ROOT / 'gin' / 'quickstart' / 'metric.gin'}",
        "--gin_param=train.image_size=32",
        f"--records_dir={small_records.records_dir}",
        "--dry_run",
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "metric: " in done.stdout and "60 of 3 artists, 32x32" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_stops_reading_is_no_failure():
    program = "from tfstyle.core import cli; cli.run(lambda: print('x' * 1_000_000))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
