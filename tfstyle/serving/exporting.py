"""Writes a run's SavedModels in TF Serving's layout, each version whole or not at all.

Before its version appears, a model is written beside the models' folders, where a
server does not look.
"""

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.runs import dimension_names, style_space
from tfstyle.runs import folder as runs
from tfstyle.serving import signatures

# Batches that a server may form; a warm-up request is stored for each.
ALLOWED_BATCH_SIZES = (1, 2, 4, 8)
# Seed of the noise vector that all style transfers of an export share.
NOISE_SEED = 0
# All models that an export may hold.
_MODELS = ("style_encoder", "content_encoder", "generator", "style_transfer")


def export_run(
    run_dir: pathlib.Path, export_dir: pathlib.Path, serving_dir: pathlib.PurePosixPath
) -> tuple[int, list[str]]:
    """Export every model whose stages are trained.

    Args:
        run_dir: the run.
        export_dir: where NAME/VERSION is written; a new version beside earlier ones.
        serving_dir: export_dir as the server sees it.

    Returns:
        The version, and the names of the models. If the newest version holds these
        weights already, no model is written.

    Raises:
        UserError: if the metric stage is not trained, export_dir cannot be made, or
            holds models that would not understand those of now.
    """
    # What pictures are like is in the run: its records may be on another machine.
    collection = runs.StageFolder(run_dir, "metric").read()["dataset"]
    builders = _builders(run_dir, collection)
    _refuse_other_codes(export_dir, list(builders))
    digest = _digest(run_dir, list(builders))
    newest = max(
        (number for name in builders for number in _versions(export_dir / name)),
        default=0,
    )
    complete = all(newest in _versions(export_dir / name) for name in builders)
    if newest and complete and _exported_digest(export_dir) == digest:
        print("these weights are exported already")
        _copy_dimension_names(run_dir, export_dir)
        _write_server_files(export_dir, serving_dir)
        return newest, list(builders)
    version = newest + 1
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--export_dir={export_dir} cannot be made: {error.strerror}"
        ) from None
    making = export_dir / ".making"
    shutil.rmtree(making, ignore_errors=True)
    try:
        for name, build in builders.items():
            print(f"exporting {name}", flush=True)
            build().save(str(making / name))
            _write_warm_up(making / name, name, collection["image_size"])
        for name in builders:
            (export_dir / name).mkdir(exist_ok=True)
            os.rename(making / name, export_dir / name / str(version))
    finally:
        shutil.rmtree(making, ignore_errors=True)
    _copy_dimension_names(run_dir, export_dir)
    _write_server_files(export_dir, serving_dir)
    files.write_json(
        export_dir / "export.json",
        {"version": version, "models": list(builders), "digest": digest},
    )
    return version, list(builders)


def _refuse_other_codes(export_dir: pathlib.Path, names: list[str]) -> None:
    """Refuse to leave older models beside new ones: a server would offer both."""
    older = [one for one in _MODELS if one not in names and _versions(export_dir / one)]
    if older:
        stages = "gan" if "content_encoder" in names else "vae and gan"
        raise UserError(
            f"{', '.join(older)} in {export_dir} may be of other codes than what would "
            f"be exported now: train {stages} again, or export to a new folder"
        )


def _copy_dimension_names(run_dir: pathlib.Path, export_dir: pathlib.Path) -> None:
    """Let the names given to style dimensions go with the models."""
    copy = export_dir / dimension_names.NAMES_FILE
    names = dimension_names.read_dimension_names(run_dir)
    if names:
        lines = (f"{dimension}\t{name}\n" for dimension, name in sorted(names.items()))
        files.write_text(copy, "".join(lines))
    else:
        copy.unlink(missing_ok=True)


def _builders(
    run_dir: pathlib.Path, collection: dict[str, Any]
) -> dict[str, Callable[[], signatures.Servable]]:
    """What can be exported, as functions, because networks are folded in place."""
    folders = {stage: runs.StageFolder(run_dir, stage) for stage in runs.STAGES}
    trained = runs.finished_stages(run_dir)
    statistics = runs.load_statistics(folders["metric"])
    names, means = style_space.artist_styles(run_dir)
    decode = signatures.make_decoder(
        collection["image_size"], collection["fit"], collection["background"]
    )
    builders: dict[str, Callable[[], signatures.Servable]] = {
        "style_encoder": lambda: signatures.style_encoder(
            runs.load_style_encoder(run_dir),
            decode,
            names,
            means,
            statistics.deviation,
        )
    }
    if "vae" in trained:
        builders["content_encoder"] = lambda: signatures.content_encoder(
            runs.load_content_encoder(run_dir), decode
        )
    else:
        print("the vae stage is not finished: no content_encoder")
    if "gan" not in trained:
        print("the gan stage is not finished: no generator and no style_transfer")
        return builders
    code_dims = folders["gan"].read()["code_dims"]
    builders["generator"] = lambda: signatures.generator(
        runs.load_network(folders["gan"], "generator_average"), code_dims
    )
    builders["style_transfer"] = lambda: signatures.style_transfer(
        runs.load_style_encoder(run_dir),
        runs.load_content_encoder(run_dir),
        runs.load_network(folders["gan"], "generator_average"),
        decode,
        transfer_noise(code_dims[2]),
    )
    return builders


def transfer_noise(dims: int) -> np.ndarray:
    """Give the noise vector of style transfer, float32 [dims]."""
    noise = np.random.default_rng(NOISE_SEED).normal(size=dims)
    return noise.astype(np.float32)


def _digest(run_dir: pathlib.Path, names: list[str]) -> str:
    """Tell whether the weights and artists of an export are those of an earlier one."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for stage in ("metric", "vae", "gan"):
        folder = runs.StageFolder(run_dir, stage)
        if not folder.finished:
            continue
        for file in sorted((folder.checkpoints / "final").glob("*")):
            digest.update(file.read_bytes())
        if stage in runs.STATISTICS_FILES:
            digest.update(runs.load_statistics(folder).digest.encode())
    enrolled = style_space.read_enrolled(run_dir)
    if enrolled.names:
        digest.update(enrolled.digest.encode())
    return digest.hexdigest()


def _exported_digest(export_dir: pathlib.Path) -> str | None:
    try:
        return json.loads((export_dir / "export.json").read_text())["digest"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _versions(folder: pathlib.Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(one.name) for one in folder.iterdir() if one.name.isdecimal())


def _write_warm_up(folder: pathlib.Path, name: str, image_size: int) -> None:
    """Store a request of every signature and batch size, so that none starts cold."""
    gray = np.full([image_size, image_size, 3], 128, np.uint8)
    picture = tf.io.encode_png(gray).numpy()
    loaded = tf.saved_model.load(str(folder))
    target = folder / "assets.extra" / "tf_serving_warmup_requests"
    target.parent.mkdir()
    with tf.io.TFRecordWriter(str(target)) as writer:
        for signature_name, signature in loaded.signatures.items():
            specs = signature.structured_input_signature[1]
            for size in ALLOWED_BATCH_SIZES:
                inputs = {
                    input_name: _example(spec, size, picture)
                    for input_name, spec in specs.items()
                }
                log = _prediction_log(name, signature_name, inputs)
                writer.write(log.SerializeToString())


def _example(spec: tf.TensorSpec, size: int, picture: bytes) -> tf.Tensor:
    if spec.dtype == tf.string:
        return tf.constant([picture] * size)
    return tf.zeros([size, *spec.shape[1:]], spec.dtype)


def _prediction_log(
    name: str, signature_name: str, inputs: Mapping[str, tf.Tensor]
) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature_name
    for input_name, value in inputs.items():
        request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )


def _write_server_files(
    export_dir: pathlib.Path, serving_dir: pathlib.PurePosixPath
) -> None:
    names = sorted(
        one.name for one in export_dir.iterdir() if one.is_dir() and _versions(one)
    )
    configs = "".join(
        "  config {\n"
        f'    name: "{name}"\n'
        f'    base_path: "{serving_dir / name}"\n'
        '    model_platform: "tensorflow"\n'
        "  }\n"
        for name in names
    )
    files.write_text(
        export_dir / "models.config", f"model_config_list {{\n{configs}}}\n"
    )
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in ALLOWED_BATCH_SIZES)
    files.write_text(
        export_dir / "batching.config",
        f"max_batch_size {{ value: {ALLOWED_BATCH_SIZES[-1]} }}\n"
        "batch_timeout_micros { value: 0 }\n"
        f"num_batch_threads {{ value: {os.cpu_count() or 1} }}\n"
        "max_enqueued_batches { value: 100 }\n"
        f"{sizes}",
    )
