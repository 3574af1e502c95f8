"""An export has TF Serving's layout, is written whole, and is not written twice."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from helpers import configuration as tiny
from helpers import runs
from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.modeling.networks.frozen_codes import (
    CodeStatistics,
    ContentNormalization,
)
from tfstyle.runs.folder import StageFolder, read_code_digests
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import exporting, signatures

MODELS = ["content_encoder", "generator", "style_encoder", "style_transfer"]


@pytest.fixture(scope="module")
def export_dir(tiny_run) -> pathlib.Path:
    return runs.export(tiny_run)


@pytest.fixture
def metric_run(tiny_run, tmp_path) -> pathlib.Path:
    """A run with the metric stage only: its export takes a quarter of the time."""
    return runs.keep_stages(tiny_run, tmp_path / "run", "metric")


def export(run_dir, export_dir, serving_dir="/models") -> tuple[int, list[str]]:
    return exporting.export_run(
        TrainedRun(run_dir), export_dir, pathlib.PurePosixPath(serving_dir)
    )


def read_messages(caplog) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if "tfstyle" in record.name
    ]


def read_files(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_tf_servings(export_dir):
    folders = sorted(path.name for path in export_dir.iterdir() if path.is_dir())
    files = sorted(path.name for path in export_dir.iterdir() if path.is_file())

    assert folders == MODELS
    assert files == ["batching.config", "export.json", "models.config"]
    for model in MODELS:
        (version,) = (export_dir / model).iterdir()
        assert version.name == "1"
        assert (version / "saved_model.pb").is_file()
        assert (version / "variables" / "variables.index").is_file()
        assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_models_config_is_what_a_model_server_reads(export_dir):
    config = text_format.Parse(
        (export_dir / "models.config").read_text(),
        model_server_config_pb2.ModelServerConfig(),
    )

    models = {
        model.name: (model.base_path, model.model_platform)
        for model in config.model_config_list.config
    }
    assert models == {name: (f"/models/{name}", "tensorflow") for name in MODELS}


def make_batching_parameters():
    """Make a message of tensorflow_serving/../session_bundle_config.proto, in part.

    The package lacks this proto; the field numbers are those of the proto.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    message = file.message_type.add(name="BatchingParameters")
    field = descriptor_pb2.FieldDescriptorProto
    for name, number in [
        ("max_batch_size", 1),
        ("batch_timeout_micros", 2),
        ("max_enqueued_batches", 3),
        ("num_batch_threads", 4),
    ]:
        message.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            label=field.LABEL_OPTIONAL,
            type_name=".google.protobuf.Int64Value",
        )
    message.field.add(
        name="allowed_batch_sizes",
        number=6,
        type=field.TYPE_INT64,
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    from google.protobuf import wrappers_pb2

    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("BatchingParameters")
    )()


def test_batching_config_is_what_a_model_server_reads(export_dir):
    config = text_format.Parse(
        (export_dir / "batching.config").read_text(), make_batching_parameters()
    )

    # TF Serving refuses sizes that do not increase up to max_batch_size.
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value == 8
    assert config.num_batch_threads.value >= 1
    assert config.max_enqueued_batches.value >= 1


@pytest.mark.parametrize("model", MODELS)
def test_each_warm_up_request_can_be_replayed(model, export_dir):
    folder = export_dir / model / "1"
    loaded = tf.saved_model.load(str(folder))
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    requests = []
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        inputs = {
            name: tf.constant(tf.make_ndarray(value))
            for name, value in request.inputs.items()
        }
        signature = request.model_spec.signature_name
        outputs = loaded.signatures[signature](**inputs)
        (size,) = {len(value) for value in inputs.values()}

        assert request.model_spec.name == model
        assert {len(value) for value in outputs.values()} == {size}
        requests.append((signature, size))

    names = ["serving_default", "sample", "draw"] if model == "generator" else []
    expected = [
        (name, size)
        for name in names or ["serving_default"]
        for size in exporting.ALLOWED_BATCH_SIZES
    ]
    assert sorted(requests) == sorted(expected)


def test_names_of_dimensions_are_copied_and_removed_with_the_runs(metric_run, tmp_path):
    export_dir = tmp_path / "export"
    names = metric_run / "dimension_names.tsv"
    names.write_text("2\tthin lines\n\n1\tdark\n")
    export(metric_run, export_dir)
    copy = export_dir / "dimension_names.tsv"
    assert copy.read_text() == "1\tdark\n2\tthin lines\n"
    names.unlink()
    assert export(metric_run, export_dir)[0] == 1  # same weights, no new version
    assert not copy.exists()


@pytest.mark.parametrize("content", ["no tab", None])
def test_malformed_names_of_dimensions_are_refused_before_anything_is_written(
    content, metric_run, tmp_path
):
    names = metric_run / "dimension_names.tsv"
    if content is None:
        names.mkdir()
    else:
        names.write_text(content)
    with pytest.raises(UserError, match="dimension_names.tsv"):
        export(metric_run, tmp_path / "export")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("style_encoder", "style_encoder is a link that leads nowhere"),
        ("dimension_names.tsv", "dimension_names.tsv is a folder"),
        ("models.config", "models.config is a folder"),
        ("export.json", "export.json is a folder"),
    ],
)
def test_what_is_in_the_place_of_an_output_is_refused_before_anything_is_written(
    name, reason, metric_run, tmp_path
):
    target = tmp_path / "export" / name
    target.parent.mkdir()
    if name == "style_encoder":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
    with pytest.raises(UserError, match=f"{reason}: move it, or choose another"):
        export(metric_run, target.parent)
    assert list(target.parent.rglob("*")) == [target]


def test_corrupt_weights_of_a_later_stage_are_refused_before_a_model_is_saved(
    tiny_run, tmp_path, monkeypatch
):
    run_dir = pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (data,) = (run_dir / "gan/checkpoints/final").glob("weights.data-*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    saved = []
    monkeypatch.setattr(signatures.ExportedModel, "save", lambda *_: saved.append(1))
    with pytest.raises(UserError, match="gan/checkpoints/final/weights are corrupt"):
        export(run_dir, tmp_path / "export")
    assert not saved and not (tmp_path / "export").exists()


def test_a_second_export_changes_nothing(export_dir, tiny_run, tmp_path, caplog):
    copy = shutil.copytree(export_dir, tmp_path / "export")
    before = read_files(copy)

    version, names = export(tiny_run, copy)

    assert (version, sorted(names)) == (1, MODELS)
    assert read_files(copy) == before
    assert read_messages(caplog) == ["these weights are exported already"]


def test_a_second_export_can_change_the_path_on_the_server(
    export_dir, tiny_run, tmp_path
):
    copy = shutil.copytree(export_dir, tmp_path / "export")

    export(tiny_run, copy, "/elsewhere")

    text = (copy / "models.config").read_text()
    assert '"/elsewhere/generator"' in text and "/models/" not in text
    assert [path.name for path in (copy / "generator").iterdir()] == ["1"]


def test_a_model_that_was_deleted_is_written_again(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric", "vae")
    folder = tmp_path / "export"
    export(run_dir, folder)
    shutil.rmtree(folder / "content_encoder")

    # A new version of both: models that are served together were exported together.
    assert export(run_dir, folder) == (2, ["style_encoder", "content_encoder"])

    assert [path.name for path in (folder / "content_encoder").iterdir()] == ["2"]


def test_changed_weights_become_version_2_beside_version_1(metric_run, tmp_path):
    folder = tmp_path / "export"
    assert export(metric_run, folder) == (1, ["style_encoder"])
    before = read_files(folder / "style_encoder" / "1")
    runs.change_weights(metric_run, "metric")

    assert export(metric_run, folder) == (2, ["style_encoder"])

    assert read_files(folder / "style_encoder" / "1") == before
    first, second = (
        tf.saved_model.load(str(folder / "style_encoder" / version))
        for version in ("1", "2")
    )
    assert any(
        not np.allclose(old, new)
        for old, new in zip(first.weights, second.weights, strict=True)
    )
    assert json.loads((folder / "export.json").read_text())["version"] == 2


def test_another_trained_stage_becomes_a_new_version_of_all_models(tiny_run, tmp_path):
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric")
    folder = tmp_path / "export"
    export(run_dir, folder)
    shutil.copytree(tiny_run / "vae", run_dir / "vae")

    assert export(run_dir, folder) == (2, ["style_encoder", "content_encoder"])

    versions = {
        name: sorted(path.name for path in (folder / name).iterdir())
        for name in ("style_encoder", "content_encoder")
    }
    assert versions == {"style_encoder": ["1", "2"], "content_encoder": ["2"]}


@pytest.mark.parametrize("moment", ["saving", "warming up"])
def test_an_interrupted_export_leaves_neither_version_nor_temporary_files(
    moment, metric_run, tmp_path, monkeypatch
):
    folder = tmp_path / "export"
    (metric_run / "dimension_names.tsv").write_text("1\tdark\n")
    owner, name = {
        "saving": (signatures.ExportedModel, "save"),
        "warming up": (tf.io, "TFRecordWriter"),
    }[moment]
    original = getattr(owner, name)

    def interrupt(*arguments):
        original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            export(metric_run, folder)

    assert list(folder.rglob("*")) == []
    assert export(metric_run, folder) == (1, ["style_encoder"])


def test_an_interrupted_second_export_does_not_change_the_first(
    export_dir, tiny_run, tmp_path, monkeypatch
):
    folder = pathlib.Path(shutil.copytree(export_dir, tmp_path / "export"))
    (folder / "export.json").write_text('{"digest": "of other weights"}')
    before = read_files(folder)
    monkeypatch.setattr(signatures.ExportedModel, "save", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        export(tiny_run, folder)

    assert read_files(folder) == before
    assert not (folder / ".making").exists()


def test_no_model_remains_beside_models_of_other_codes(
    export_dir, metric_run, tmp_path
):
    folder = pathlib.Path(shutil.copytree(export_dir, tmp_path / "export"))
    before = read_files(folder)

    with pytest.raises(UserError, match="generator, .* in .*: train vae and gan again"):
        export(metric_run, folder)
    assert read_files(folder) == before


def test_a_file_in_place_of_the_folder_is_refused(metric_run, tmp_path):
    (tmp_path / "export").write_text("")
    with pytest.raises(UserError, match="cannot write to "):
        export(metric_run, tmp_path / "export")


def test_models_of_untrained_stages_are_skipped_with_a_message(
    metric_run, tmp_path, caplog
):
    folder = tmp_path / "export"

    assert export(metric_run, folder) == (1, ["style_encoder"])

    assert read_messages(caplog) == [
        "skipped content_encoder: the vae stage is not finished",
        "skipped generator and style_transfer: the gan stage is not finished",
        "exporting style_encoder",
    ]
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [
        "style_encoder"
    ]
    assert '"generator"' not in (folder / "models.config").read_text()


@pytest.mark.parametrize("stages", [(), ("classifier",)], ids=["none", "classifier"])
def test_without_a_metric_stage_nothing_is_written(stages, tiny_run, tmp_path):
    (tmp_path / "run").mkdir()
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", *stages)

    with pytest.raises(UserError, match=r"tfstyle\.train --gin_file=gin/metric\.gin"):
        export(run_dir, tmp_path / "export")

    assert not (tmp_path / "export").exists()


GIVEN_STYLE = np.random.default_rng(8).normal(
    size=[1 + tiny.STYLE_DIMS * (tiny.STYLE_DIMS + 3) // 2, tiny.CONTENT_DIMS]
)


@pytest.fixture(scope="module", params=[None, GIVEN_STYLE.astype(np.float32)])
def normalized_run(request, tiny_run, tmp_path_factory) -> pathlib.Path:
    """The run as if its generator had been trained on normalized content codes.

    With the second parameter, what styles predict of them is subtracted.
    """
    run_dir = tmp_path_factory.mktemp("normalized") / "run"
    runs.keep_stages(tiny_run, run_dir, "metric", "vae", "gan")
    path = StageFolder(run_dir, "vae").statistics_file
    normalization = ContentNormalization.STANDARD
    if request.param is not None:
        normalization = ContentNormalization.GIVEN_STYLE
    dataclasses.replace(
        CodeStatistics.read(path),
        normalization=normalization,
        given_style=request.param,
    ).write(path)
    gan = StageFolder(run_dir, "gan")
    description = gan.read()
    description.identity["earlier_stages"] = read_code_digests(run_dir, gan.spec.needs)
    gan.write(description)
    return run_dir


def test_normalized_content_is_exported_as_the_run_uses_it(
    normalized_run, tiny_run, portraits_dir, tmp_path
):
    """The statistics alone decide; content of a style transfer is normalized too."""
    works = sorted(pathlib.Path(portraits_dir).glob("*/00000.png"))[:4]
    squares = np.stack([load_picture(work, tiny.IMAGE_SIZE) for work in works])
    encoded = tf.stack([tf.io.encode_png(square) for square in squares])
    plain_run, run = TrainedRun(tiny_run), TrainedRun(normalized_run)
    statistics = run.content_statistics
    plain = plain_run.encode_content(squares)
    contents = (plain - statistics.mean) / statistics.deviation
    styles = plain_run.encode_style(squares)
    if statistics.given_style is not None:
        near = np.clip(styles, -4, 4)
        pairs = [a * b for i, a in enumerate(near.T) for b in near.T[i:]]
        features = np.stack([np.ones(len(near)), *near.T, *pairs], 1)
        contents -= features @ statistics.given_style
    noises = np.tile(signatures.draw_transfer_noise(tiny.NOISE_DIMS), [4, 1])
    expected, other = (
        plain_run.generate(styles[::-1], codes, noises).astype(int)
        for codes in (contents, plain)
    )
    assert abs(expected - other).max() > 1  # otherwise this could not fail

    signatures.make_content_encoder(run).save(str(tmp_path / "content_encoder"))
    signatures.make_style_transfer(run).save(str(tmp_path / "style_transfer"))
    encode, transfer = (
        tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
        for name in ("content_encoder", "style_transfer")
    )

    np.testing.assert_allclose(
        encode(image_bytes=encoded)["content"], contents, atol=1e-3
    )
    np.testing.assert_allclose(run.encode_content(squares), contents, atol=1e-4)
    answer = transfer(content_bytes=encoded, style_bytes=encoded[::-1])
    pictures = [tf.io.decode_png(data).numpy() for data in answer["image_bytes"]]
    assert abs(np.stack(pictures).astype(int) - expected).max() <= 1


def test_normalizing_content_makes_a_new_version(tiny_run, normalized_run, tmp_path):
    folder = tmp_path / "export"
    run_dir = runs.keep_stages(tiny_run, tmp_path / "run", "metric", "vae")
    assert export(run_dir, folder)[0] == 1
    shutil.copy(StageFolder(normalized_run, "vae").statistics_file, run_dir / "vae")

    assert export(run_dir, folder)[0] == 2
