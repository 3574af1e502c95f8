"""An export is TF Serving's layout, whole or not there, and not written twice."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfstyle.core.cli import UserError
from tfstyle.data.pictures import load_picture
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs
from tfstyle.runs.statistics import CodeStatistics
from tfstyle.serving import exporting, signatures

MODELS = ["content_encoder", "generator", "style_encoder", "style_transfer"]


@pytest.fixture(scope="module")
def export_dir(tiny_run) -> pathlib.Path:
    return tiny.export(tiny_run)


@pytest.fixture
def metric_run(tiny_run, tmp_path) -> pathlib.Path:
    """A run with only metric trained: its export takes a quarter of the time."""
    return tiny.keep_stages(tiny_run, tmp_path / "run", "metric")


def export(run_dir, export_dir):
    return exporting.export_run(run_dir, export_dir, pathlib.PurePosixPath("/models"))


def files_below(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def change_weights(run_dir) -> None:
    """Move the final metric weights by a little, as more training would."""
    folder = runs.StageFolder(run_dir, "metric")
    encoder = runs.load_network(folder, "style_encoder")
    for variable in encoder.trainable_variables:
        variable.assign_add(tf.fill(variable.shape, 0.01))
    (styles,) = runs.load_arrays(folder, "presumed_styles/styles")
    presumed = tf.train.Checkpoint(styles=tf.Variable(styles))
    changed = tf.train.Checkpoint(style_encoder=encoder, presumed_styles=presumed)
    prefix = pathlib.Path(changed.save(str(run_dir / "changed")))
    for file in run_dir.glob(f"{prefix.name}.*"):
        file.rename(pathlib.Path(folder.final_weights + file.suffix))


def test_the_layout_is_tf_servings(export_dir):
    folders = sorted(one.name for one in export_dir.iterdir() if one.is_dir())
    files = sorted(one.name for one in export_dir.iterdir() if one.is_file())

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

    found = {
        one.name: (one.base_path, one.model_platform)
        for one in config.model_config_list.config
    }
    assert found == {name: (f"/models/{name}", "tensorflow") for name in MODELS}


def batching_parameters():
    """tensorflow_serving/servables/tensorflow/session_bundle_config.proto, in part.

    The package does not hold it; numbers are the proto's.
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
        (export_dir / "batching.config").read_text(), batching_parameters()
    )

    # TF Serving refuses sizes that do not rise up to max_batch_size.
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value == 8
    assert config.num_batch_threads.value >= 1
    assert config.max_enqueued_batches.value >= 1


@pytest.mark.parametrize("model", MODELS)
def test_each_warm_up_request_replays(model, export_dir):
    folder = export_dir / model / "1"
    loaded = tf.saved_model.load(str(folder))
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
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
        seen.append((signature, size))

    names = ["serving_default", "sample"] if model == "generator" else []
    expected = [
        (name, size)
        for name in names or ["serving_default"]
        for size in exporting.ALLOWED_BATCH_SIZES
    ]
    assert sorted(seen) == sorted(expected)


def test_names_of_dimensions_go_with_the_models_and_away_again(metric_run, tmp_path):
    export_dir = tmp_path / "export"
    names = metric_run / "dimension_names.tsv"
    names.write_text("2\tthin lines\n\n1\tdark\n")
    export(metric_run, export_dir)
    copy = export_dir / "dimension_names.tsv"
    assert copy.read_text() == "1\tdark\n2\tthin lines\n"
    names.unlink()
    assert export(metric_run, export_dir)[0] == 1  # the same weights, no new version
    assert not copy.exists()


def test_a_second_export_writes_nothing(export_dir, tiny_run, tmp_path, capsys):
    copy = shutil.copytree(export_dir, tmp_path / "export")
    before = files_below(copy)

    version, names = export(tiny_run, copy)

    assert (version, sorted(names)) == (1, MODELS)
    assert files_below(copy) == before
    assert capsys.readouterr().out == "these weights are exported already\n"


def test_a_second_export_can_change_where_the_server_finds_it(
    export_dir, tiny_run, tmp_path
):
    copy = shutil.copytree(export_dir, tmp_path / "export")

    exporting.export_run(tiny_run, copy, pathlib.PurePosixPath("/elsewhere"))

    text = (copy / "models.config").read_text()
    assert '"/elsewhere/generator"' in text and "/models/" not in text
    assert [one.name for one in (copy / "generator").iterdir()] == ["1"]


def test_a_model_that_was_deleted_is_written_again(tiny_run, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric", "vae")
    folder = tmp_path / "export"
    export(run_dir, folder)
    shutil.rmtree(folder / "content_encoder")

    # A new version of both, so that those that serve together were made together.
    assert export(run_dir, folder) == (2, ["style_encoder", "content_encoder"])

    assert [one.name for one in (folder / "content_encoder").iterdir()] == ["2"]


def test_changed_weights_become_version_2_beside_version_1(metric_run, tmp_path):
    folder = tmp_path / "export"
    assert export(metric_run, folder) == (1, ["style_encoder"])
    before = files_below(folder / "style_encoder" / "1")
    change_weights(metric_run)

    assert export(metric_run, folder) == (2, ["style_encoder"])

    assert files_below(folder / "style_encoder" / "1") == before
    first, second = (
        tf.saved_model.load(str(folder / "style_encoder" / version))
        for version in ("1", "2")
    )
    assert any(
        not np.allclose(old, new)
        for old, new in zip(first._variables, second._variables, strict=True)
    )
    assert json.loads((folder / "export.json").read_text())["version"] == 2


def test_a_stage_trained_since_becomes_a_version_of_all_models(tiny_run, tmp_path):
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric")
    folder = tmp_path / "export"
    export(run_dir, folder)
    shutil.copytree(tiny_run / "vae", run_dir / "vae")

    assert export(run_dir, folder) == (2, ["style_encoder", "content_encoder"])

    assert sorted(one.name for one in (folder / "style_encoder").iterdir()) == [
        "1",
        "2",
    ]
    assert [one.name for one in (folder / "content_encoder").iterdir()] == ["2"]


@pytest.mark.parametrize("moment", ["saving", "warming up"])
def test_an_interrupted_export_leaves_neither_version_nor_temporary_files(
    moment, metric_run, tmp_path, monkeypatch
):
    folder = tmp_path / "export"
    (metric_run / "dimension_names.tsv").write_text("1\tdark\n")
    owner, name = {
        "saving": (signatures.Servable, "save"),
        "warming up": (exporting, "_write_warm_up"),
    }[moment]
    real = getattr(owner, name)

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(metric_run, folder)

    assert list(folder.rglob("*")) == []
    assert export(metric_run, folder) == (1, ["style_encoder"])


def test_an_interrupted_second_export_leaves_the_first_as_it_was(
    export_dir, tiny_run, tmp_path, monkeypatch
):
    folder = pathlib.Path(shutil.copytree(export_dir, tmp_path / "export"))
    (folder / "export.json").write_text('{"digest": "of other weights"}')
    before = files_below(folder)
    monkeypatch.setattr(signatures.Servable, "save", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        export(tiny_run, folder)

    assert files_below(folder) == before
    assert not (folder / ".making").exists()


def test_no_model_is_left_beside_others_of_other_codes(
    export_dir, metric_run, tmp_path
):
    folder = pathlib.Path(shutil.copytree(export_dir, tmp_path / "export"))
    before = files_below(folder)

    with pytest.raises(UserError, match="generator, .* in .*: train vae and gan again"):
        export(metric_run, folder)
    assert files_below(folder) == before


def test_a_file_in_place_of_the_folder_is_refused(metric_run, tmp_path):
    (tmp_path / "export").write_text("")
    with pytest.raises(UserError, match="--export_dir=.* cannot be made"):
        export(metric_run, tmp_path / "export")


def test_what_is_missing_is_said(metric_run, tmp_path, capsys):
    folder = tmp_path / "export"

    assert export(metric_run, folder) == (1, ["style_encoder"])

    said = capsys.readouterr().out
    assert "the vae stage is not finished: no content_encoder" in said
    assert "the gan stage is not finished: no generator and no style_transfer" in said
    assert [one.name for one in folder.iterdir() if one.is_dir()] == ["style_encoder"]
    assert '"generator"' not in (folder / "models.config").read_text()


@pytest.mark.parametrize("stages", [(), ("classifier",)], ids=["none", "classifier"])
def test_without_a_metric_stage_nothing_is_written(stages, tiny_run, tmp_path):
    (tmp_path / "run").mkdir()
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", *stages)

    with pytest.raises(UserError, match=r"tfstyle\.train --gin_file=gin/metric\.gin"):
        export(run_dir, tmp_path / "export")

    assert not (tmp_path / "export").exists()


GIVEN_STYLE = np.random.default_rng(8).normal(
    size=[1 + tiny.STYLE_DIMS * (tiny.STYLE_DIMS + 3) // 2, tiny.CONTENT_DIMS]
)


@pytest.fixture(scope="module", params=[None, GIVEN_STYLE.astype(np.float32)])
def normalized_run(request, tiny_run, tmp_path_factory) -> pathlib.Path:
    """The run as if its generator had been trained on normalized content codes.

    As they are, or less what their styles tell of them.
    """
    run_dir = tmp_path_factory.mktemp("normalized") / "run"
    tiny.keep_stages(tiny_run, run_dir, "metric", "vae", "gan")
    path = run_dir / "vae" / runs.STATISTICS_FILES["vae"]
    statistics = CodeStatistics.read(path)
    dataclasses.replace(
        statistics, normalize_content=True, given_style=request.param
    ).write(path)
    gan = runs.StageFolder(run_dir, "gan")
    description = gan.read()
    description["identity"]["earlier_stages"] = runs.earlier_digests("gan", run_dir)
    gan.write(description)
    return run_dir


def test_normalized_content_is_exported_as_the_run_uses_it(
    normalized_run, tiny_run, portraits_dir, tmp_path
):
    """By the statistics alone; a style transfer's content is normalized too."""
    works = sorted(pathlib.Path(portraits_dir).glob("*/00000.png"))[:4]
    squares = np.stack([load_picture(one, tiny.IMAGE_SIZE) for one in works])
    encoded = tf.stack([tf.io.encode_png(one) for one in squares])
    images = color.rgb_to_lab(squares)
    with np.load(normalized_run / "vae" / "content_statistics.npz") as statistics:
        mean, deviation = statistics["mean"], statistics["deviation"]
        given_style = statistics.get("given_style")
    plain = runs.load_content_encoder(tiny_run)(images).numpy()
    contents = (plain - mean) / deviation
    styles = runs.load_style_encoder(tiny_run)(images).numpy()
    if given_style is not None:
        near = np.clip(styles, -4, 4)
        pairs = [a * b for i, a in enumerate(near.T) for b in near.T[i:]]
        contents -= np.stack([np.ones(len(near)), *near.T, *pairs], 1) @ given_style
    styles = styles[::-1]
    gan = runs.StageFolder(tiny_run, "gan")
    noises = np.tile(exporting.transfer_noise(tiny.NOISE_DIMS), [4, 1])
    generator = runs.load_network(gan, "generator_average")
    expected, other = (
        color.lab_to_rgb(generator([styles, one, noises])).numpy().astype(int)
        for one in (contents, plain)
    )
    assert abs(expected - other).max() > 1  # else this could not fail

    answers = {}
    builders = exporting._builders(normalized_run, gan.read()["dataset"])
    for name in ("content_encoder", "style_transfer"):
        builders[name]().save(str(tmp_path / name))
        answers[name] = tf.saved_model.load(str(tmp_path / name)).signatures

    np.testing.assert_allclose(
        answers["content_encoder"]["serving_default"](image_bytes=encoded)["content"],
        contents,
        atol=1e-3,
    )
    np.testing.assert_allclose(
        runs.load_content_encoder(normalized_run)(images), contents, atol=1e-4
    )
    answer = answers["style_transfer"]["serving_default"](
        content_bytes=encoded, style_bytes=encoded[::-1]
    )
    got = np.stack([tf.io.decode_png(one).numpy() for one in answer["image_bytes"]])
    assert abs(got.astype(int) - expected).max() <= 1


def test_normalizing_content_makes_a_new_version(tiny_run, normalized_run, tmp_path):
    folder = tmp_path / "export"
    run_dir = tiny.keep_stages(tiny_run, tmp_path / "run", "metric", "vae")
    assert export(run_dir, folder)[0] == 1
    name = runs.STATISTICS_FILES["vae"]
    shutil.copy(normalized_run / "vae" / name, run_dir / "vae" / name)

    assert export(run_dir, folder)[0] == 2
