"""A run is opened once; what is missing is an error with the command that trains it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from helpers import configuration as tiny
from helpers import runs
from helpers.layers import assert_same, differ
from helpers.pictures import list_portraits
from tfstyle.core.cli import UserError
from tfstyle.data import input_pipeline
from tfstyle.data.collections.splits import SplitRule
from tfstyle.data.pictures import Conversion
from tfstyle.data.record_writer import write_dataset
from tfstyle.modeling import stages
from tfstyle.modeling.networks import color
from tfstyle.modeling.networks.codes import ArtistPrior
from tfstyle.modeling.networks.frozen_codes import CodeStatistics
from tfstyle.runs import advice
from tfstyle.runs.description import StageDescription
from tfstyle.runs.folder import StageFolder
from tfstyle.runs.trained_run import TrainedRun


@pytest.fixture
def run(run_dir) -> TrainedRun:
    """A copy of the run, to be changed."""
    return TrainedRun(run_dir)


@pytest.fixture
def read_files(monkeypatch) -> list[str]:
    """Names of the files of the run that are read from now on."""
    names = []

    def record(reader):
        def read(path, *args, **kwargs):
            names.append(str(path))
            return reader(path, *args, **kwargs)

        return read

    for kind in (StageDescription, CodeStatistics):
        monkeypatch.setattr(kind, "read", staticmethod(record(kind.read)))
    load_network = StageFolder.load_network

    def load(folder, name):
        names.append(f"{folder.stage}/{name}")
        return load_network(folder, name)

    monkeypatch.setattr(StageFolder, "load_network", load)
    monkeypatch.setattr(np, "load", record(np.load))
    return names


def read_test_pictures(dataset) -> np.ndarray:
    return input_pipeline.read_pictures(dataset, ["test"], range(5))


# Opening.

ATTRIBUTES = (
    "finished",
    "dataset",
    "collection",
    "style_statistics",
    "content_statistics",
    "style_encoder",
    "content_encoder",
    "code_decoder",
    "generator",
    "code_sizes",
    "judge_encoder",
    "enrolled",
    "artists",
)


def test_opening_a_run_reads_nothing(read_files, tiny_run, tmp_path):
    TrainedRun(tiny_run)
    TrainedRun(tmp_path / "missing")
    assert read_files == []


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_everything_is_loaded_once(name, tiny_run, read_files):
    """The same object twice, and no file is read for the second."""
    run = TrainedRun(tiny_run)
    value = getattr(run, name)
    assert name == "dataset" or read_files
    del read_files[:]

    again = getattr(run, name)

    assert again is value
    assert read_files == []


def test_descriptions_statistics_and_networks_are_read_once(tiny_run, read_files):
    run = TrainedRun(tiny_run)
    for _ in range(3):
        run.description("vae"), run.description("gan")
    assert read_files == [
        str(tiny_run / stage / "run.json") for stage in ("vae", "gan")
    ]
    for _ in range(2):
        run.statistics("vae")
        run.network("classifier", "style_encoder")
    paths = [name for name in read_files if "npz" in name]
    assert set(paths) == {str(run.folder("vae").statistics_file)}
    assert read_files.count("classifier/style_encoder") == 1


def test_encoders_that_need_each_other_share_no_keras_model(tiny_run):
    """A Keras model that is part of two is tracked by both."""
    run = TrainedRun(tiny_run)
    assert run.style_encoder.encoder is not run.network("metric", "style_encoder")


# Stages and records.


def test_finished_stages_are_listed_in_the_order_of_training(run):
    assert tuple(TrainedRun(run.path).finished) == stages.names()
    run.folder("classifier").mark_unfinished()
    shutil.rmtree(run.folder("gan").path)
    assert list(run.finished) == ["metric", "vae"]


def test_an_outdated_stage_is_skipped_with_the_command_that_trains_it_again(
    run, caplog
):
    statistics = run.style_statistics
    dataclasses.replace(statistics, mean=statistics.mean + 1).write(
        run.folder("metric").statistics_file
    )

    finished = run.finished

    assert list(finished) == ["metric", "classifier"]
    assert caplog.messages == [
        f"skipped: {advice.describe_outdated(stage, run.path)}"
        for stage in ("vae", "gan")
    ]


def test_the_records_are_those_of_the_first_stage_that_exists(run, small_records):
    shutil.rmtree(run.folder("metric").path)
    assert run.dataset == small_records


def test_without_any_stage_the_metric_stage_is_suggested(tmp_path):
    with pytest.raises(UserError, match="there is no folder .*/no; .*gin/metric.gin"):
        _ = TrainedRun(tmp_path / "no").dataset
    with pytest.raises(UserError, match="contains no trained stage; .*gin/metric.gin"):
        _ = TrainedRun(tmp_path).dataset


def forget_records(run, *names, place):
    """Let stages say that their records are in another place."""
    for name in names:
        described = run.folder(name).read()
        moved = dataclasses.replace(described.dataset, records_dir=place)
        run.folder(name).write(dataclasses.replace(described, dataset=moved))


def test_moved_records_are_named(run, tmp_path):
    forget_records(run, *stages.names(), place=str(tmp_path / "old"))

    message = "no records folder .*/old: make records with: .* pass .* as --records_dir"
    with pytest.raises(UserError, match=message):
        _ = run.dataset
    # Pictures are converted without the records.
    assert run.collection.image_size == tiny.IMAGE_SIZE


def test_moved_records_are_found_where_another_stage_was_trained(
    run, small_records, tmp_path
):
    forget_records(run, "metric", "vae", place=str(tmp_path / "old"))

    assert run.dataset == small_records


def test_moved_records_are_found_where_they_are_said_to_be(
    run, small_records, tmp_path
):
    forget_records(run, *stages.names(), place=str(tmp_path / "old"))
    new_place = str(shutil.copytree(small_records.records_dir, tmp_path / "new"))

    dataset = TrainedRun(run.path, new_place).dataset

    assert dataset == dataclasses.replace(small_records, records_dir=new_place)


def test_the_digest_decides_whether_moved_records_are_the_same(run, portraits_records):
    """Neither the name of a folder nor where it is."""
    other = TrainedRun(run.path, portraits_records.records_dir)

    with pytest.raises(UserError, match="other records: .* holds other pictures than"):
        _ = other.dataset


def test_records_of_the_same_pictures_in_other_splits_are_refused(run, tmp_path):
    """Otherwise pictures that were trained on would be measured as test pictures."""
    sources = list_portraits(artists=range(3), count=26)  # those of small_records
    rule = SplitRule(min_images_per_artist=20, min_test_images=4, seed=1)
    records_dir = str(tmp_path / "records")
    dataset = write_dataset(records_dir, sources, Conversion(32), rule, num_shards=2)
    assert dataset.digest == run.dataset.digest

    other = TrainedRun(run.path, records_dir)

    message = (
        "the same pictures .* in other splits: .* made with --seed=1, not --seed=0"
    )
    with pytest.raises(UserError, match=message):
        _ = other.dataset


def test_a_run_without_recorded_splits_opens_its_records_with_a_note(run, caplog):
    """As older versions wrote it."""
    path = run.folder("metric").path / "run.json"
    described = json.loads(path.read_text())
    for name in ("split_digest", "split_rule"):
        del described["dataset"][name]
    path.write_text(json.dumps(described))

    assert run.dataset.image_size == tiny.IMAGE_SIZE

    assert "the run of an older tfstyle does not tell" in caplog.text


def test_changed_records_are_refused(run):
    folder = run.folder("vae")
    described = folder.read()
    changed = dataclasses.replace(described.dataset, digest="0" * 64)
    folder.write(dataclasses.replace(described, dataset=changed))

    with pytest.raises(UserError, match=".*/vae was .* holds other pictures than"):
        run.open_records("vae")
    assert run.open_records("metric") == run.dataset


def test_pictures_are_converted_as_the_records_were(
    tiny_run, small_records, portraits_dir
):
    (batch,) = input_pipeline.eval_batches(small_records, "test").take(1)
    for row in (0, 7):
        filename = batch["filename"][row].numpy().decode()

        picture = TrainedRun(tiny_run).load_picture(f"{portraits_dir}/{filename}")

        np.testing.assert_array_equal(picture, batch["image"][row])


# Codes.


def test_style_codes_are_the_encoders_first_dimensions_normalized(
    tiny_run, small_records
):
    run = TrainedRun(tiny_run)
    pictures = read_test_pictures(small_records)

    codes = run.encode_style(pictures)

    encoder = run.folder("metric").load_network("style_encoder")
    raw = encoder(color.rgb_to_lab(pictures)).numpy()[:, : tiny.STYLE_DIMS]
    statistics = run.style_statistics
    expected = (raw - statistics.mean) / statistics.deviation
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-5)


def test_content_codes_are_the_encoders_first_means(tiny_run, small_records):
    """And Dec gets zeros for the other dimensions."""
    run = TrainedRun(tiny_run)
    pictures = read_test_pictures(small_records)

    codes = run.encode_content(pictures)

    encoder = run.folder("vae").load_network("content_encoder")
    raw = encoder(color.rgb_to_lab(pictures))[0].numpy()
    np.testing.assert_allclose(codes, raw[:, : tiny.CONTENT_DIMS], rtol=1e-4, atol=1e-5)
    raw[:, tiny.CONTENT_DIMS :] = 0
    styles = run.encode_style(pictures)
    decoder = run.folder("vae").load_network("content_decoder")
    np.testing.assert_allclose(
        run.code_decoder([styles, codes]),
        decoder([styles, raw]),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("metric", "style_encoder"),
        ("metric", "artists"),
        ("vae", "content_encoder"),
        ("vae", "code_decoder"),
    ],
)
@pytest.mark.parametrize("state", ["missing", "unfinished", "corrupt", "other version"])
def test_codes_of_a_stage_that_cannot_be_used_are_one_line(stage, name, state, run):
    folder = run.folder(stage)
    command = f"train --gin_file=gin/{stage}.gin"
    if state == "missing":
        shutil.rmtree(folder.path)
        message = f"{run.path} has no {stage} stage; train it with: .*{command}"
    elif state == "unfinished":
        folder.statistics_file.unlink()
        message = f"the {stage} stage in {run.path} is unfinished; .*{command}"
    elif state == "corrupt":
        folder.statistics_file.write_bytes(b"?")
        command = f"train --gin_file=.*{stage}/operative_config.gin"
        message = f"statistics.npz is corrupt .*; make it again with: .*{command}"
    else:
        description = dataclasses.replace(folder.read(), format_version=1)
        folder.write(description)
        message = "run.json has format version 1, .*: train the stage again"

    with pytest.raises(UserError, match=message) as caught:
        getattr(run, name)

    assert "\n" not in str(caught.value)


# Artists and dimensions.


def test_artists_are_those_of_the_records_and_the_enrolled_ones(tiny_run, tmp_path):
    run = TrainedRun(runs.keep_stages(tiny_run, tmp_path / "run", "metric"))
    trained = run.style_statistics.artist_means
    assert run.artists.names == run.collection.artists
    np.testing.assert_array_equal(run.artists.means, trained)
    mean = np.arange(tiny.STYLE_DIMS) + 0.5

    run.save_enrolled(run.enrolled.add("New", mean, 2))

    for reader in (run, TrainedRun(run.path)):
        assert reader.artists.names == [*run.collection.artists, "New"]
        np.testing.assert_array_equal(reader.artists.means[:-1], trained)
        np.testing.assert_array_equal(reader.artists.get_style("New"), mean)


def test_names_of_dimensions_are_read_whenever_they_are_asked_for(run):
    """They may be edited while a command runs."""
    assert run.dimension_names == {}
    path = run.path / "dimension_names.tsv"
    path.write_text("1\tdark\n")
    assert run.dimension_names == {1: "dark"}
    path.write_text(f"{tiny.STYLE_DIMS + 1}\tdark\n")
    with pytest.raises(UserError, match=f"a number from 1 to {tiny.STYLE_DIMS}"):
        _ = run.dimension_names
    run.folder("metric").mark_unfinished()
    assert run.dimension_names == {}


# The generator and its judge.


def test_generated_pictures_are_those_of_the_network(tiny_run):
    run = TrainedRun(tiny_run)
    rng = np.random.default_rng(0)
    codes = [rng.normal(size=[3, dims]).astype(np.float32) for dims in run.code_sizes]

    pictures = run.generate(*codes)

    network = run.folder("gan").load_network("generator_average")
    expected = color.lab_to_rgb(network(codes)).numpy()
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures, expected)


def test_styles_are_drawn_as_the_generator_was_trained(run):
    """N(0, I) as it is, or transformed by the artists' prior with uniform numbers."""
    normals = np.random.default_rng(1).normal(size=[6, tiny.STYLE_DIMS])
    drawn = run.draw_styles(normals, np.random.default_rng(2))
    np.testing.assert_array_equal(drawn, normals)

    runs.change_objective(run.path, "gan", style_prior="artists")
    run = TrainedRun(run.path)
    drawn = run.draw_styles(normals, np.random.default_rng(2))

    uniforms = np.random.default_rng(2).random([6, 3])
    prior = ArtistPrior.of_artist_means(run.style_statistics.artist_means)
    expected = prior.transform(uniforms, np.float32(normals))
    np.testing.assert_array_equal(drawn, expected)


def test_the_judge_is_the_classifiers_encoder_if_it_is_finished(run):
    judge = TrainedRun(run.path).judge_encoder
    assert judge.get_config() == run.network("metric", "style_encoder").get_config()
    run.folder("classifier").mark_unfinished()
    assert run.judge_encoder is None


def test_the_generator_is_its_moving_average(tiny_run):
    run = TrainedRun(tiny_run)

    assert run.code_sizes == [tiny.STYLE_DIMS, tiny.CONTENT_DIMS, tiny.NOISE_DIMS]
    assert run.noise_dims == tiny.NOISE_DIMS
    weights = run.generator.get_weights()
    average = run.folder("gan").load_network("generator_average").get_weights()
    latest = run.folder("gan").load_network("generator").get_weights()
    assert_same(weights, average)
    assert differ(weights, latest)


@pytest.mark.parametrize("state", ["missing", "unfinished", "outdated"])
def test_without_a_generator_the_error_has_the_command_that_trains_it(state, run_dir):
    if state == "missing":
        shutil.rmtree(run_dir / "gan")
    elif state == "unfinished":
        (run_dir / "gan" / "FINISHED").unlink()
    else:
        shutil.copy(
            run_dir / "vae" / "content_statistics.npz",
            run_dir / "metric" / "style_statistics.npz",
        )

    with pytest.raises(UserError) as caught:
        _ = TrainedRun(run_dir).generator

    assert advice.train_command("gan", run_dir) in str(caught.value)
    assert ("--restart" in str(caught.value)) == (state == "outdated")
