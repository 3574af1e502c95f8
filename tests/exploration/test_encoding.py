"""`python -m tfstyle.encode` gives the codes that the networks of the run give."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import error_line, module, read_output, run
from helpers.pictures import load_images
from tfstyle.core.cli import UserError
from tfstyle.data.examples import parse_example
from tfstyle.exploration import encoding
from tfstyle.runs.trained_run import TrainedRun


@pytest.fixture(scope="module")
def pictures(portraits_dir, tmp_path_factory) -> pathlib.Path:
    """41 usable pictures (two batches), 40 of them of two artists, and other files."""
    folder = tmp_path_factory.mktemp("collection")
    for artist in ("dylan", "lorelei"):
        (folder / artist / "inner").mkdir(parents=True)
        for number in range(20):
            inner = "inner/" * (number % 2)
            shutil.copy(
                f"{portraits_dir}/{artist}/{number:05d}.png",
                folder / artist / f"{inner}{number:05d}.png",
            )
    Image.new("L", (50, 80), 200).save(folder / "grey.webp")
    (folder / "dylan" / "broken.png").write_bytes(b"\x89PNG nothing")
    (folder / "dylan" / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def encoded(trained, pictures):
    return encoding.encode_folder(trained, str(pictures))


def expected_codes(trained, paths) -> tuple[np.ndarray, np.ndarray]:
    images = load_images(paths)
    return (
        trained.style_encoder(images).numpy(),
        trained.content_encoder(images).numpy(),
    )


def test_every_picture_is_encoded_once_and_named_by_its_path(encoded, pictures):
    assert len(encoded.filenames) == 41
    assert set(encoded.filenames) == {
        str(path.relative_to(pictures))
        for path in pictures.rglob("*.*")
        if path.suffix in (".png", ".webp") and path.name[0] not in ".b"
    }
    assert encoded.artists == [
        name.split("/")[0] if "/" in name else "" for name in encoded.filenames
    ]
    assert encoded.splits == [""] * 41


def test_codes_are_those_of_the_networks_picture_by_picture(encoded, pictures, trained):
    style, content = expected_codes(
        trained, [pictures / name for name in encoded.filenames]
    )

    np.testing.assert_allclose(encoded.style, style, atol=1e-4)
    np.testing.assert_allclose(encoded.content, content, atol=1e-4)
    assert np.ptp(style, axis=0).min() > 0.1  # else any order would do


def test_the_nearest_artist_is_that_of_the_smallest_distance_as_learned(
    encoded, trained
):
    statistics = trained.style_statistics
    names = trained.collection.artists

    for row, code in enumerate(encoded.style):
        distances = [
            np.linalg.norm((code - mean) * statistics.deviation)
            for mean in statistics.artist_means
        ]
        assert encoded.nearest_artists[row] == names[np.argmin(distances)]
        assert encoded.nearest_distances[row] == pytest.approx(min(distances), rel=1e-4)


def test_skipped_files_are_logged_with_the_reason_and_counted(
    trained, pictures, portraits_dir, tmp_path, caplog
):
    for name in ("broken.png", "notes.txt"):
        shutil.copy(pictures / "dylan" / name, tmp_path)
    shutil.copy(f"{portraits_dir}/dylan/00000.png", tmp_path)

    encoding.encode_folder(trained, str(tmp_path))

    *lines, last = caplog.messages
    assert sorted(lines) == [
        "skipped broken.png: not_a_picture: no known picture format",
        "skipped notes.txt: not_a_picture",
    ]
    assert last == "2 files skipped"


def test_records_are_encoded_in_their_order_whatever_the_split(trained, small_records):
    codes = encoding.encode_records(trained, small_records.records_dir)

    assert len(set(codes.filenames)) == len(codes.filenames) == 78
    assert codes.artists == [name.split("/")[0] for name in codes.filenames]
    assert codes.splits == ["train"] * 60 + ["validation"] * 6 + ["test"] * 12
    in_test = {
        parse_example(example)["filename"].numpy().decode()
        for example in tf.data.TFRecordDataset(small_records.shard_paths("test"))
    }
    assert set(codes.filenames[66:]) == in_test
    assert codes.style.shape == (78, tiny.STYLE_DIMS)
    # The training pictures come first, and normalize to mean 0 and deviation 1.
    np.testing.assert_allclose(codes.style[:60].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(codes.style[:60].std(axis=0), 1, atol=1e-4)


def test_without_a_vae_there_are_style_codes_alone(tiny_run, pictures, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")

    codes = encoding.encode_folder(TrainedRun(run_dir), str(pictures / "lorelei"))

    assert codes.content is None
    assert len(codes.style) == 20
    codes.write(str(tmp_path / "codes.npz"))
    with np.load(tmp_path / "codes.npz") as arrays:
        assert "content" not in arrays.files


def test_a_name_that_is_no_text_survives(trained, portraits_dir, tmp_path):
    name = b"caf\xe9.png"
    shutil.copy(
        f"{portraits_dir}/dylan/00000.png".encode(), bytes(tmp_path) + b"/" + name
    )

    assert encoding.encode_folder(trained, str(tmp_path)).filenames == ["caf\udce9.png"]


def test_a_folder_without_a_usable_picture_is_one_line(trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")

    with pytest.raises(UserError, match="no picture of 1 is usable.*broken.png"):
        encoding.encode_folder(trained, str(tmp_path))


def test_records_of_another_size_are_refused(trained, portraits_records):
    with pytest.raises(UserError, match="64 pixels wide, the run's networks take 32"):
        encoding.encode_records(trained, portraits_records.records_dir)


def test_the_command_writes_and_reports(tiny_run, pictures, tmp_path):
    done = run(
        module("encode"),
        f"--run_dir={tiny_run}",
        f"--input_dir={pictures}",
        f"--output={tmp_path / 'new' / 'codes.npz'}",
    )

    output = read_output(done)
    assert "style and content codes of 41 pictures" in output
    assert "3 files skipped" in output
    assert "encoding [" in done.stderr and "41/41" not in output
    assert (tmp_path / "new" / "codes.npz").is_file()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "either --input_dir or --records_dir"),
        (["--input_dir=a", "--records_dir=b"], "either --input_dir or --records_dir"),
        (["--input_dir=a", "--output=codes.txt"], ".npz or .csv file, got codes.txt"),
        (["--input_dir=a", "--output=/dev/null/a.csv"], "/dev/null is not a folder"),
        (["--input_dir=a", "--output=/proc/new/a.csv"], "cannot be written"),
        (["--input_dir=a", f"--output=new/{'a' * 300}.csv"], "cannot be written"),
        (["--input_dir=a"], "--input_dir=a is not a folder"),
        ([f"--input_dir={'a' * 300}"], "is not a folder"),
        (["--input_dir=."], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(flags, message, tmp_path):
    assert message in error_line(run(module("encode"), *flags, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []
