"""Write a run's models in TF Serving's layout, each version whole or not at all.

Until it is complete, a version is in a temporary folder that servers ignore.
"""

import hashlib
import itertools
import json
import logging
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf import text_encoding
from tensorflow_serving.apis import prediction_log_pb2

from tfstyle.core import files
from tfstyle.core.cli import UserError
from tfstyle.core.locks import folder_lock
from tfstyle.core.paths import find_obstacle, for_tensorflow
from tfstyle.modeling.stages import gan, metric, vae
from tfstyle.runs.style_space import NAMES_FILE
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import signatures

logger = logging.getLogger(__name__)

# Batches that a server may form; a warm-up request is stored for each.
ALLOWED_BATCH_SIZES = (1, 2, 4, 8)
_RECORD_FILE = "export.json"  # written last
_SERVER_FILES = _MODELS_FILE, _BATCHING_FILE = "models.config", "batching.config"
# {name: (stage that must be finished, function that makes the model)}
_MODELS: dict[str, tuple[str, Callable[[TrainedRun], signatures.ExportedModel]]] = {
    "style_encoder": (metric.SPEC.name, signatures.make_style_encoder),
    "content_encoder": (vae.SPEC.name, signatures.make_content_encoder),
    "generator": (gan.SPEC.name, signatures.make_generator),
    "style_transfer": (gan.SPEC.name, signatures.make_style_transfer),
}


def export_run(
    run: TrainedRun, export_dir: pathlib.Path, serving_dir: pathlib.PurePosixPath
) -> tuple[int, list[str]]:
    """Export every model whose stage is trained, to EXPORT_DIR/NAME/VERSION.

    `serving_dir` is `export_dir` as the server sees it. The run's networks are folded
    and cannot be trained afterwards.

    Returns:
        The version and the names of the models. No model is written if the newest
        version has the same weights and artists.

    Raises:
        UserError: the metric stage is not trained; or export_dir cannot be written, is
            being written by another process, or holds models that may not fit the new
            ones.
    """
    enrolled = run.enrolled.digest  # an error if the metric stage is not trained
    _ = run.dimension_names  # refuses malformed names before minutes of exporting
    names = _choose_models(run)
    with folder_lock(export_dir):
        return _write_export(run, names, enrolled, export_dir, serving_dir), names


def _write_export(
    run: TrainedRun,
    names: Sequence[str],
    enrolled: str,
    export_dir: pathlib.Path,
    serving_dir: pathlib.PurePosixPath,
) -> int:
    """Write models and files of an export; return its version."""
    _check_targets(export_dir, names)
    _refuse_other_codes(export_dir, names)
    digest = _compute_digest(run, names, enrolled)
    versions = [_list_versions(export_dir / name) for name in names]
    version = max(itertools.chain([0], *versions))
    complete = all(version in numbers for numbers in versions)
    if complete and _read_digest(export_dir) == digest:
        logger.info("these weights are exported already")
    else:
        version += 1
        _write_models(run, names, export_dir, version)
    _copy_dimension_names(run, export_dir)
    _write_server_files(export_dir, serving_dir)
    record = {"version": version, "models": names, "digest": digest}
    files.write_json(export_dir / _RECORD_FILE, record)
    return version


def _choose_models(run: TrainedRun) -> list[str]:
    """Return the names of the models that can be exported; log those that cannot."""
    skipped: dict[str, list[str]] = {}
    for name, (stage, _) in _MODELS.items():
        if stage not in (metric.SPEC.name, *run.finished):
            skipped.setdefault(stage, []).append(name)
    for stage, names in skipped.items():
        state = "outdated" if run.folder(stage).finished else "not finished"
        logger.info("skipped %s: the %s stage is %s", " and ".join(names), stage, state)
    return [name for name, (stage, _) in _MODELS.items() if stage not in skipped]


def _check_targets(export_dir: pathlib.Path, names: Sequence[str]) -> None:
    """Refuse what is in the place of a model's folder or of a file."""
    for name in names:
        if obstacle := find_obstacle(export_dir / name):
            raise UserError(f"{obstacle}: move it, or choose another --export_dir")
    for name in (NAMES_FILE, *_SERVER_FILES, _RECORD_FILE):
        if (export_dir / name).is_dir():
            raise UserError(
                f"{export_dir / name} is a folder: move it, or choose another"
                " --export_dir"
            )


def _refuse_other_codes(export_dir: pathlib.Path, names: Sequence[str]) -> None:
    """Refuse to leave older models beside new ones: a server would offer both."""
    missing = [name for name in _MODELS if name not in names]
    older = [name for name in missing if _list_versions(export_dir / name)]
    if older:
        stages = dict.fromkeys(_MODELS[name][0] for name in missing)
        raise UserError(
            f"{', '.join(older)} in {export_dir} may not fit the codes of the models"
            f" exported now: train {' and '.join(stages)} again, or export to a new"
            " folder"
        )


def _compute_digest(run: TrainedRun, names: Sequence[str], enrolled: str) -> str:
    """Identify the weights and artists of an export."""
    digest = hashlib.sha256(json.dumps(names).encode())
    for stage in dict.fromkeys(_MODELS[name][0] for name in names):
        digest.update(run.folder(stage).digest.encode())
    digest.update(enrolled.encode())
    return digest.hexdigest()


def _read_digest(export_dir: pathlib.Path) -> str | None:
    """Return the digest of the newest export, if there is one."""
    try:
        record = files.read_json(export_dir / _RECORD_FILE)
        return str(record["digest"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _list_versions(folder: pathlib.Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]


def _write_models(
    run: TrainedRun, names: Sequence[str], export_dir: pathlib.Path, version: int
) -> None:
    # All are made first: this reads every weight, and refuses corrupt ones.
    models = {name: _MODELS[name][1](run) for name in names}
    with files.temporary_folder(export_dir / ".making") as temporary:
        for name, model in models.items():
            logger.info("exporting %s", name)
            model.save(for_tensorflow(temporary / name))
            _write_warm_up(temporary / name, run.collection.image_size)
        for name in names:
            (export_dir / name).mkdir(exist_ok=True)
            (temporary / name).rename(export_dir / name / str(version))


def _write_warm_up(folder: pathlib.Path, image_size: int) -> None:
    """Store a request for every signature and batch size, so that none starts cold."""
    gray = np.full([image_size, image_size, 3], 128, np.uint8)
    picture = tf.io.encode_png(gray).numpy()
    model = tf.saved_model.load(for_tensorflow(folder))
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(for_tensorflow(path)) as writer:
        for signature_name, signature in model.signatures.items():
            specs = signature.structured_input_signature[1]
            for size in ALLOWED_BATCH_SIZES:
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = folder.name
                request.model_spec.signature_name = signature_name
                for name, spec in specs.items():
                    if spec.dtype == tf.string:
                        value = tf.constant([picture] * size)
                    else:
                        value = tf.zeros([size, *spec.shape[1:]], spec.dtype)
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
                writer.write(log.SerializeToString())


def _copy_dimension_names(run: TrainedRun, export_dir: pathlib.Path) -> None:
    """Write the names of style dimensions beside the models."""
    path = export_dir / NAMES_FILE
    lines = [
        f"{number}\t{name}\n" for number, name in sorted(run.dimension_names.items())
    ]
    if lines:
        files.write_text(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)


def _escape(path: pathlib.PurePosixPath) -> str:
    """Escape a path for the text format of protocol buffers."""
    escaped: str = text_encoding.CEscape(os.fsencode(path), as_utf8=False)
    return escaped


def _write_server_files(
    export_dir: pathlib.Path, serving_dir: pathlib.PurePosixPath
) -> None:
    names = sorted(path.name for path in export_dir.iterdir() if _list_versions(path))
    configs = "".join(
        f'  config {{\n    name: "{name}"\n'
        f'    base_path: "{_escape(serving_dir / name)}"\n'
        '    model_platform: "tensorflow"\n  }\n'
        for name in names
    )
    files.write_text(export_dir / _MODELS_FILE, f"model_config_list {{\n{configs}}}\n")
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in ALLOWED_BATCH_SIZES)
    files.write_text(
        export_dir / _BATCHING_FILE,
        f"max_batch_size {{ value: {ALLOWED_BATCH_SIZES[-1]} }}\n"
        "batch_timeout_micros { value: 0 }\n"
        f"num_batch_threads {{ value: {os.cpu_count() or 1} }}\n"
        "max_enqueued_batches { value: 100 }\n"
        f"{sizes}",
    )
