"""`python -m tfstyle.enrol` adds an artist, whom search, encode and export know."""

import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import error_line, module, run
from helpers.pictures import encode_picture, load_images
from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.exploration import encoding, enrolling, searching
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import exporting

NAME = "Zoé, new"


@pytest.fixture
def trained(tiny_run, tmp_path) -> TrainedRun:
    """A run that a test may change."""
    return TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))


@pytest.fixture
def works(portraits_dir) -> list[str]:
    """Pictures by a designer who is not in the small records."""
    return [f"{portraits_dir}/micah/0000{number}.png" for number in range(4)]


def style_codes(trained, paths) -> np.ndarray:
    return trained.style_encoder(load_images(paths)).numpy().astype(np.float64)


def test_an_enrolled_artists_style_is_the_mean_code(trained, works):
    assert enrolling.enroll_artist(trained, NAME, works) == (4, None)

    with np.load(trained.path / "metric" / "enrolled.npz") as stored:
        assert stored["names"].tolist() == [NAME]
        assert stored["counts"].tolist() == [4]
        assert stored["means"].dtype == np.float32
        np.testing.assert_allclose(
            stored["means"], style_codes(trained, works).mean(axis=0)[None], atol=1e-4
        )


def test_a_folder_stands_for_its_pictures(trained, works, tmp_path, caplog):
    folder = tmp_path / "works"
    folder.mkdir()
    for path in works[:2]:
        shutil.copy(path, folder)
    (folder / "broken.png").write_bytes(b"nothing")

    count, _ = enrolling.enroll_artist(trained, NAME, [str(folder), works[2]])

    assert count == 3
    assert caplog.messages[0].startswith("skipped broken.png: ")
    assert caplog.messages[1] == "1 file skipped"
    np.testing.assert_allclose(
        TrainedRun(trained.path).enrolled.means,
        style_codes(trained, works[:3]).mean(axis=0)[None],
        atol=1e-4,
    )


def test_enrolling_again_replaces_and_counts_what_was_replaced(trained, works):
    enrolling.enroll_artist(trained, NAME, works[:1])
    enrolling.enroll_artist(trained, "Other", works[1:2])

    assert enrolling.enroll_artist(trained, NAME, works[2:]) == (2, 1)

    enrolled = TrainedRun(trained.path).enrolled
    assert sorted(zip(enrolled.names, enrolled.counts, strict=True)) == [
        ("Other", 1),
        (NAME, 2),
    ]
    means = dict(zip(enrolled.names, enrolled.means, strict=True))
    codes = style_codes(trained, works)
    np.testing.assert_allclose(means["Other"], codes[1], atol=1e-4)
    np.testing.assert_allclose(means[NAME], codes[2:].mean(axis=0), atol=1e-4)


def test_a_removed_artist_is_gone_and_others_stay(trained, works):
    enrolling.enroll_artist(trained, NAME, works[:1])
    enrolling.enroll_artist(trained, "Other", works[1:])

    enrolling.remove_artist(trained, NAME)

    assert TrainedRun(trained.path).enrolled.names == ["Other"]
    with pytest.raises(UserError, match="not enrolled in .*; enrolled: Other"):
        enrolling.remove_artist(trained, NAME)
    enrolling.remove_artist(trained, "Other")
    assert not (trained.path / "metric" / "enrolled.npz").exists()


def test_search_and_encode_name_the_enrolled(trained, works, tmp_path):
    enrolling.enroll_artist(trained, NAME, works[:1])

    (result,) = searching.search(trained, works[:1])
    shutil.copy(works[0], tmp_path / "one.png")
    codes = encoding.encode_folder(trained, str(tmp_path))

    assert len(result.artists) == 4
    assert result.artists[0] == (NAME, pytest.approx(0, abs=1e-3))
    row = codes.filenames.index("one.png")
    assert codes.nearest_artists[row] == NAME
    assert {work.artist for work in result.works}.isdisjoint({NAME})


def test_an_export_names_the_enrolled_and_is_written_again_for_them(
    trained, works, tmp_path
):
    folder = tmp_path / "export"

    def export():
        return exporting.export_run(trained, folder, pathlib.PurePosixPath("/models"))

    assert export()[0] == 1
    enrolling.enroll_artist(trained, NAME, works[:1])
    assert export()[0] == 2
    assert export()[0] == 2

    model = tf.saved_model.load(str(folder / "style_encoder" / "2"))
    # As the serving clients send it: converted as for the records.
    data = encode_picture(load_picture(works[0], tiny.IMAGE_SIZE))
    answer = model.signatures["serving_default"](image_bytes=tf.constant([data]))
    assert answer["nearest_artists"].shape == (1, 4)
    assert answer["nearest_artists"].numpy()[0, 0].decode() == NAME
    assert answer["nearest_distances"].numpy()[0, 0] < 1e-2

    enrolling.enroll_artist(trained, NAME, works[1:])
    assert export()[0] == 3
    enrolling.remove_artist(trained, NAME)
    assert export()[0] == 4


def test_artists_enrolled_in_an_earlier_space_are_skipped_with_a_message(
    trained, works, caplog
):
    enrolling.enroll_artist(trained, NAME, works)
    path = trained.folder("metric").statistics_file
    statistics = trained.style_statistics
    CodeStatistics(
        statistics.mean + 1, statistics.deviation, statistics.artist_means
    ).write(path)
    changed = TrainedRun(trained.path)

    artists = changed.artists

    assert len(artists.names) == len(artists.means) == 3
    (message,) = caplog.messages
    assert message.startswith("note: these artists were enrolled with older")
    assert NAME in message
    assert enrolling.enroll_artist(changed, "Other", works)[0] == 4
    assert TrainedRun(trained.path).enrolled.names == ["Other"]


def test_a_corrupt_file_is_one_line(trained, works):
    enrolling.enroll_artist(trained, NAME, works[:1])
    path = trained.enrolled_file
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(UserError, match="enrolled.npz is corrupt"):
        enrolling.enroll_artist(TrainedRun(trained.path), "Other", works)


def test_nobody_is_enrolled_by_pictures_that_cannot_be_used(trained, works, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    enrolling.enroll_artist(trained, NAME, works)

    with pytest.raises(UserError, match="no picture of 1 is usable.*broken.png"):
        enrolling.enroll_artist(trained, NAME, [str(tmp_path / "broken.png")])

    assert TrainedRun(trained.path).enrolled.counts.tolist() == [4]


def test_a_run_that_cannot_be_written_is_one_line(trained, works, monkeypatch):
    enrolling.enroll_artist(trained, NAME, works[:1])

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(np, "savez", refuse)
    monkeypatch.setattr(pathlib.Path, "unlink", refuse)

    message = r"enrolled.npz, which cannot be written \(Read-only file system\)"
    with pytest.raises(UserError, match=message):
        enrolling.enroll_artist(trained, "Other", works)
    with pytest.raises(UserError, match=message):
        enrolling.remove_artist(trained, NAME)
    assert TrainedRun(trained.path).enrolled.names == [NAME]


def test_names_that_cannot_be_taken_are_refused(trained, works):
    for name, message in [
        (trained.collection.artists[1], "was trained on"),
        (" ", "must be printable text, got ' '"),
        ("a\nb", r"must be printable text, got 'a\\nb'"),
    ]:
        with pytest.raises(UserError, match=message):
            enrolling.enroll_artist(trained, name, works)

    assert not (trained.path / "metric" / "enrolled.npz").exists()


def test_the_command_enrols_replaces_and_removes(trained, works):
    flags = [f"--run_dir={trained.path}", "--name=New"]

    first = run(module("enrol"), *flags, *works)
    second = run(module("enrol"), *works[:1], *flags)
    third = run(module("enrol"), *flags, "--remove")

    assert first.stdout == "New enrolled by 4 pictures\n"
    assert second.stdout == "New enrolled by 1 picture (replacing an enrollment by 4)\n"
    assert third.stdout == f"New removed from {trained.path}\n"
    assert {done.returncode for done in (first, second, third)} == {0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], "--name is missing"),
        (["--name=New", "--remove", "a.png"], "--remove takes no pictures"),
        (["--name=New", "a.png"], "tfstyle.train --gin_file=gin/metric.gin"),
    ],
)
def test_misuse_is_one_line(arguments, message, tmp_path):
    assert message in error_line(run(module("enrol"), *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_in_any_format_is_taken(trained, works, tmp_path):
    with Image.open(works[0]) as image:
        image.convert("RGB").save(tmp_path / "work.webp", lossless=True)

    assert enrolling.enroll_artist(trained, NAME, [str(tmp_path / "work.webp")])[0] == 1


def test_an_enrolled_artist_is_named_as_shown_too(trained, works):
    """Lists and messages show a backslash twice."""
    name = r"Z\o"
    enrolling.enroll_artist(trained, name, works)

    assert enrolling.enroll_artist(trained, r"Z\\o", works[:2]) == (2, 4)
    assert trained.enrolled.names == [name]
    enrolling.remove_artist(trained, r"Z\\o")
    assert trained.enrolled.names == []


def test_a_trained_artist_is_not_enrolled_by_the_name_as_shown(trained, works):
    path = trained.path / "metric" / "run.json"
    described = json.loads(path.read_text())
    described["dataset"]["artists"][0] = "Mot\udce9"
    path.write_text(json.dumps(described))

    with pytest.raises(UserError, match=r"--name=Mot\\xe9 is an artist that"):
        enrolling.enroll_artist(TrainedRun(trained.path), r"Mot\xe9", works)
