import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from helpers import commands
from helpers.pictures import make_pictures
from tfstyle.core import names
from tfstyle.data import pictures, record_writer, records
from tfstyle.data.collections import sources, splits

TOOL = commands.tool("make_tfrecords")
SMALL = ("--image_size=8", "--min_images_per_artist=4", "--min_test_images=1")


def run(input_dir, output_dir, *flags) -> subprocess.CompletedProcess:
    folders = (f"--input_dir={input_dir}", f"--output_dir={output_dir}")
    return commands.run(TOOL, *flags, *folders)


@pytest.fixture
def few(tmp_path) -> pathlib.Path:
    """Two artists with 6 pictures of 8x8 pixels."""
    return make_pictures(tmp_path / "pictures", ["a", "b"])


def assert_refused(result, output_dir, *words):
    """Check for exit code 1, one line that has `words`, and no records.

    Converted pictures are kept for the next command.
    """
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert result.returncode == 1, result.stderr
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    assert all(word in lines[0] for word in words), lines[0]
    written = [path.name for path in pathlib.Path(output_dir).glob("*")]
    assert written in ([], [".converted"])


def test_the_shipped_portraits_become_records(portraits_dir, tmp_path):
    out = tmp_path / "records"
    output = commands.read_output(run(portraits_dir, out, "--image_size=64"))
    assert "artists    12" in output
    assert "train      540 pictures" in output
    assert "validation 60 pictures" in output
    assert "test       120 pictures" in output
    assert (
        "python -m tfstyle.train --gin_file=gin/metric.gin"
        f" --records_dir={out} --gin_param=train.image_size=64" in output
    )
    dataset = records.read_dataset(str(out))
    assert dataset.settings["format"] == "png" and dataset.image_size == 64

    again = run(portraits_dir, out, "--image_size=64")
    assert again.returncode == 0
    assert "is up to date" in again.stdout


def test_other_records_are_replaced_only_when_asked(few, small_records, tmp_path):
    out = pathlib.Path(shutil.copytree(small_records.records_dir, tmp_path / "out"))
    result = run(few, out, *SMALL)
    assert result.returncode == 1
    assert "an earlier command" in result.stderr
    assert "--overwrite" in result.stderr
    assert records.read_dataset(str(out)).digest == small_records.digest

    commands.read_output(run(few, out, *SMALL, "--overwrite"))
    assert records.read_dataset(str(out)).num_examples(*splits.SPLITS) == 12


def test_an_excluded_artist_is_out_by_every_folder_of_the_name(few, tmp_path):
    """A list of two tools, twins of the names, and two files of a third list."""
    make_pictures(few, ["c", "Art One", "art one", "#hash"], count=4)
    for spelling in ("Caf\u00e9", "Cafe\u0301"):  # look the same
        make_pictures(few, [spelling], count=4)
    make_pictures(few / "c", ["inner"], count=2)
    (few / "c" / "link").symlink_to(few / "Art One")  # leads to who is out
    work = few / "art one" / "3.png"
    (few / "c" / "repost.png").write_bytes(work.read_bytes())
    lists = [tmp_path / "by_ls", tmp_path / "by_hand"]
    lists[0].write_text("Art One/\n#hash/\n")
    lists[1].write_text("# asked in May\n  cafe\u0301\n", "utf-8")

    flags = [f"--exclude_artists={path}" for path in lists]
    output = commands.read_output(run(few, tmp_path / "out", *SMALL, *flags))

    summary = output[output.index("excluded ") :].splitlines()[:7]
    assert [line.split() for line in summary[:6]] == [
        ["excluded", "5", "artists,", "20", "pictures"],
        ["4", "#hash"],
        ["4", "Art", "One"],
        ["4", "Cafe\u0301"],
        ["4", "Caf\u00e9"],
        ["4", "art", "one"],
    ]
    assert summary[6].split()[0] == "2"  # the link and the copy
    dataset = records.read_dataset(str(tmp_path / "out"))
    assert dataset.artist_names == ["a", "b", "c"]
    assert dataset.num_examples(*splits.SPLITS) == 6 + 6 + 6
    assert dataset.skipped == {"copy_of_excluded": 1, "excluded_artist": 21}


@pytest.mark.parametrize(
    "text, words",
    [
        ("a\nArtst One\n", ["line 2: 'Artst One'", "nearest is 'Artist One'"]),
        ("", ["names nobody"]),
        ("\n \n", ["names nobody"]),
    ],
)
def test_a_list_that_excludes_nobody_is_an_error(few, tmp_path, text, words):
    make_pictures(few, ["Artist One"])
    (tmp_path / "list").write_text(text)
    result = run(
        few, tmp_path / "out", *SMALL, f"--exclude_artists={tmp_path / 'list'}"
    )
    assert_refused(result, tmp_path / "out", "--exclude_artists", *words)


def test_folders_that_look_alike_are_noted(few, tmp_path):
    make_pictures(few, ["Caf\u00e9", "Cafe\u0301", "A", "b "], count=4)
    output = commands.read_output(run(few, tmp_path / "out", *SMALL))
    notes = [
        line.split(": ")[2] for line in output.splitlines() if "look alike" in line
    ]
    assert sorted(notes) == [
        r"'A' and 'a'",
        r"'Cafe\u0301' and 'Caf\u00e9'",
        r"'b' and 'b '",
    ]


def test_names_that_are_not_text_do_not_stop_the_command(few, tmp_path):
    """On a terminal of ASCII; nothing that a terminal obeys reaches it."""
    undecodable = os.fsdecode("漫画".encode("cp932"))
    make_pictures(few, [undecodable, "\x1b[2J\nred", "é"], count=4)
    (few / os.fsdecode(b"empty-\xff")).mkdir()
    (few / "a" / "x\ny\t\x9b.txt").touch()
    (tmp_path / "list").write_bytes("漫画\n".encode("cp932"))
    done = subprocess.run(
        [*TOOL, *SMALL, f"--input_dir={few}", f"--output_dir={tmp_path / 'out'}"]
        + [f"--exclude_artists={tmp_path / 'list'}"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("ascii")
    assert r"empty-\xff" in shown and r"4  \x96\x9f\x89\xe6" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\r"}
    dataset = records.read_dataset(str(tmp_path / "out"))
    assert dataset.artist_names == ["\x1b[2J\nred", "a", "b", "é"]
    rows = (tmp_path / "out" / "skipped.tsv").read_text("utf-8").splitlines()[1:]
    assert all(len(row.split("\t")) == 3 for row in rows)
    paths = {names.read(row.split("\t")[0]) for row in rows}
    assert "a/x\ny\t\x9b.txt" in paths and f"{undecodable}/0.png" in paths


def test_flags_reach_the_records(few, tmp_path):
    make_pictures(few, ["c", "d"])
    (tmp_path / "leave_out").write_text("# asked on Monday\nd\nnobody at all\n")
    output = commands.read_output(
        run(
            few,
            tmp_path / "out",
            "--image_size=16",
            "--min_images_per_artist=4",
            "--min_test_images=2",
            "--holdout_artists=1",
            f"--exclude_artists={tmp_path / 'leave_out'}",
            "--allow_unmatched_exclusions",
            "--fit=pad",
            "--background=#204060",
            "--format=jpeg",
            "--num_shards=2",
        )
    )
    assert "line 3: 'nobody at all' matches no folder" in output
    assert "artists    2 + 1 held out" in output
    assert "6 excluded_artist" in output
    dataset = records.read_dataset(str(tmp_path / "out"))
    assert (dataset.fit, dataset.background) == ("pad", "#204060")
    assert dataset.settings["format"] == "jpeg"
    assert dataset.settings["min_size"] == 4  # a quarter of the size
    assert [shard.examples for shard in dataset.shards["holdout"]] == [3, 3]
    artists = {a.name for a in (*dataset.artists, *dataset.holdout_artists)}
    assert artists == {"a", "b", "c"}


def test_help_explains_the_flags_without_loading_tensorflow():
    result = commands.run([sys.executable, "-X", "importtime", TOOL[-1], "--help"])
    assert result.returncode == 0
    assert "tfstyle.core.cli" in result.stderr and "tensorflow" not in result.stderr
    for flag in ("input_dir", "output_dir", "image_size", "fit", "seed"):
        assert f"--{flag}:" in result.stdout


@pytest.mark.parametrize(
    "flags, words",
    [
        ((), ["no artist has 50", "the most is 6", "lower --min_images_per_artist"]),
        (SMALL[:2], ["more than 10", "the most is 6", "lower --min_test_images"]),
        (
            (*SMALL, "--image_size=64"),
            ["too_small: 8x8, needs 16", "pictures unusable"],
        ),
        ((*SMALL, "--background=whitish"), ["--background=whitish is not a color"]),
        ((*SMALL, "--holdout_artists=1"), ["1 artist left", "--holdout_artists"]),
        ((*SMALL, "--holdout_artists=1.5"), ["got 1.5"]),
        ((*SMALL, "--holdout_artists=nan"), ["--holdout_artists must be a number"]),
        ((*SMALL, "--max_skipped_fraction=nan"), ["--max_skipped_fraction must be"]),
        ((*SMALL, "--test_fraction=1"), ["0 artists left", "--test_fraction=1, "]),
        (
            (*SMALL, "--image_size=64", "--max_skipped_fraction=1"),
            ["no picture is usable", "12 too_small"],
        ),
        ((*SMALL, "--exclude_artists=none.txt"), ["none.txt: No such file"]),
        ((*SMALL, "--num_shards=1000000"), ["lower --num_shards=1000000"]),
    ],
)
def test_impossible_settings_name_the_flag_to_change(few, tmp_path, flags, words):
    assert_refused(run(few, tmp_path / "out", *flags), tmp_path / "out", *words)


def test_beam_is_an_extra(few, tmp_path):
    program = (
        "import runpy, sys\n"
        "sys.modules['apache_beam'] = None\n"
        "sys.argv.pop(0)\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    flags = (f"--input_dir={few}", f"--output_dir={tmp_path}/out", *SMALL)
    result = commands.run_code(program, TOOL[1], *flags, "--runner=DirectRunner")
    words = ["--runner needs Apache Beam", "pip install", "'.[beam]'"]
    assert_refused(result, tmp_path / "out", *words)
    result = run(few, tmp_path / "out", *SMALL, "--beam_pipeline_options=a=1")
    assert_refused(result, tmp_path / "out", "--beam_pipeline_options needs a --runner")


def test_records_behind_a_link_that_leads_nowhere_are_refused(few, tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    result = run(few, tmp_path / "link")
    reason = f"{tmp_path}/link is a link that leads nowhere"
    assert_refused(
        result, tmp_path / "nowhere", f"--output_dir={tmp_path}/link", reason
    )


def test_a_missing_input_folder_is_named(tmp_path):
    result = run(tmp_path / "none", tmp_path / "out")
    assert_refused(result, tmp_path / "out", f"{tmp_path}/none is not a folder")


def test_an_empty_input_folder_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    result = run(tmp_path / "in", tmp_path / "out")
    assert_refused(result, tmp_path / "out", "holds no folders", "ARTIST/picture.png")


def test_pictures_without_artist_folders_are_explained(few, tmp_path):
    result = run(few / "a", tmp_path / "out")
    words = ["holds 6 pictures but no folders", "ARTIST/picture.png"]
    assert_refused(result, tmp_path / "out", *words)


def test_artist_folders_without_pictures_are_explained(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "notes.txt").write_text("notes")
    result = run(tmp_path / "in", tmp_path / "out")
    assert_refused(result, tmp_path / "out", "hold no pictures", "1 other")


def test_pictures_that_are_all_copies_of_each_other_are_counted_as_such(few, tmp_path):
    for path in (few / "b").iterdir():
        (few / "a" / path.name).write_bytes(path.read_bytes())
    result = run(few, tmp_path / "out", *SMALL)
    words = ["no picture is usable; skipped files: 12 ambiguous"]
    assert_refused(result, tmp_path / "out", *words)


def test_ignored_files_and_folders_are_noted(few, tmp_path):
    for name in ("c", "d"):
        (few / name).mkdir()
    (few / "loose.png").write_bytes((few / "a" / "0.png").read_bytes())
    (few / "notes.txt").touch()
    output = commands.read_output(run(few, tmp_path / "out", *SMALL))
    notes = [line for line in output.splitlines() if line.startswith("note")]
    assert notes == [
        "note: 1 pictures beside the artist folders are skipped: loose.png",
        "note: 2 folders hold no pictures: c, d",
    ]


def test_one_artist_is_not_enough(few, tmp_path):
    (few / "b").rename(tmp_path / "elsewhere")
    result = run(few, tmp_path / "out", *SMALL)
    assert_refused(result, tmp_path / "out", "1 artist left", "(a, 6 pictures)")


def test_unreadable_pictures_name_the_first_one(few, tmp_path):
    for path in few.glob("*/*.png"):
        path.write_bytes(b"")
    result = run(few, tmp_path / "out", *SMALL)
    words = ["2 not_a_picture", "--max_skipped_fraction=0.1", "a/0.png"]
    assert_refused(result, tmp_path / "out", *words)


def test_records_inside_the_pictures_are_refused(few):
    result = run(few, few / "records", *SMALL)
    assert_refused(result, few / "records", "is inside --input_dir")


def test_a_folder_of_other_files_is_left_unchanged(few, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    result = run(few, tmp_path / "out", *SMALL)
    assert result.returncode == 1
    assert "holds other files (thesis.tex)" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_foreign_dataset_json_is_never_overwritten(few, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text('{"name": "mnist"}')
    result = run(few, tmp_path / "out", *SMALL, "--overwrite")
    assert result.returncode == 1
    assert "is never overwritten: choose another folder, or delete it" in result.stderr
    assert (tmp_path / "out" / "dataset.json").read_text() == '{"name": "mnist"}'


def test_a_folder_that_cannot_be_written_is_found_before_pictures_are_read(few):
    for path in few.glob("*/*.png"):
        path.write_bytes(b"")  # reading them would be another error
    # Nobody can create folders there, on Linux or macOS.
    result = run(few, "/sys/tfstyle", *SMALL)
    assert_refused(result, "/sys/tfstyle", "cannot write to /sys/tfstyle")


def test_fewer_files_than_num_shards_are_reported(few, tmp_path):
    output = commands.read_output(run(few, tmp_path / "out", *SMALL, "--num_shards=10"))
    assert "train      8 pictures in only 8 files, one picture each\n" in output
    assert "test       2 pictures in only 2 files, one picture each\n" in output


def test_groups_of_artist_folders_count_as_artists_and_are_noted(tmp_path):
    pictures = make_pictures(tmp_path / "in", ["old/a", "old/b", "new/c", "new/d"])
    output = commands.read_output(run(pictures, tmp_path / "out", *SMALL))
    assert "note: 2 of the 2 folders" in output
    assert "artists    2\n" in output

    inside = run(pictures / "old", tmp_path / "out", *SMALL, "--overwrite")
    assert "note:" not in inside.stdout
    assert records.read_dataset(str(tmp_path / "out")).artist_names == ["a", "b"]


def test_an_output_folder_that_is_a_file_is_named(few, tmp_path):
    (tmp_path / "out").write_text("")
    result = run(few, tmp_path / "out", *SMALL)
    assert result.returncode == 1
    assert f"{tmp_path}/out is not a folder" in result.stderr
    assert "Traceback" not in result.stderr


def heed_signals():
    """Heed what a shell ignores in background jobs, and nohup in its command."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("number", "num_workers"),
    [
        *((signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 2)),
        *((signal.SIGHUP, 2), (signal.SIGKILL, 2)),
    ],
)
def test_an_interrupted_command_goes_on_where_it_stopped(tmp_path, number, num_workers):
    few = make_pictures(tmp_path / "pictures", ["a", "b"], count=150, size=400)
    out = tmp_path / "out"
    flags = ["--image_size=8", f"--num_workers={num_workers}"]
    process = subprocess.Popen(
        [*TOOL, f"--input_dir={few}", f"--output_dir={out}", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    deadline = time.monotonic() + 60
    spool = out / ".converted" / "00000.pictures"
    while not spool.exists() or not spool.stat().st_size:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:  # a terminal sends the signal to the workers too
        os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "interrupted" in stderr and "Traceback" not in stderr
        assert [path.name for path in out.iterdir()] == [".converted"]
        assert f" kept in {out}/.converted: the same command goes on" in stdout

    output = commands.read_output(run(few, out, *flags))
    converted = re.search(r"with (\d+) converted pictures?, (\d+) left", output)
    assert converted and sum(map(int, converted.groups())) == 300
    assert int(converted[1]) > 0
    assert not list(out.glob(".*"))
    # As without the interruption.
    files, skipped = sources.scan_artist_folders(str(few))
    record_writer.write_dataset(
        str(tmp_path / "other"),
        *(files, pictures.Conversion(8, min_size=2)),
        skipped=skipped,
    )
    assert content_of(out) == content_of(tmp_path / "other")


def content_of(folder) -> dict:
    """Return the files, dataset.json without the settings, which flags write as 0.0."""
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    index = json.loads(content["dataset.json"])
    del index["settings"]
    return {**content, "dataset.json": index}
