"""Find, load and call the SavedModels of an export, EXPORT_DIR/NAME/VERSION."""

import base64
import contextlib
import logging
import os
import pathlib
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import error_codes_pb2, saved_model_pb2

from tfstyle.core.cli import UserError, summarize_error
from tfstyle.core.paths import for_tensorflow, quote
from tfstyle.data.pictures import recognition
from tfstyle.serving import json_tensors
from tfstyle.serving.json_tensors import ServingError, TensorSpec

logger = logging.getLogger(__name__)

BATCH_ROWS = 8  # rows of a large request that are computed at a time
_FAULT_CHARACTERS = 200
DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# TensorFlow's own signature, which cannot be called.
INIT_SIGNATURE = "__saved_model_init_op"


class Servable:
    """One version of a model, in NAME/VERSION, loaded when it is first called.

    The name "" of a signature means the default signature.

    Attributes:
        fault: why the version cannot be loaded; None while nothing is known against it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.name = folder.parent.name
        self.version = int(folder.name)
        self.fault: str | None = None
        self._signatures: dict[str, Any] = {}
        self._model: Any = None
        self._lock = threading.Lock()
        with self._explain_fault():
            proto = saved_model_pb2.SavedModel.FromString(
                (folder / "saved_model.pb").read_bytes()
            )
            self._signatures = dict(proto.meta_graphs[0].signature_def)

    def load(self) -> bool:
        """Load the model unless it is loaded; return whether that was possible."""
        with self._lock, self._explain_fault():
            if self._model is None and self.fault is None:
                self._model = tf.saved_model.load(for_tensorflow(self.folder))
        return self.fault is None

    @contextlib.contextmanager
    def _explain_fault(self) -> Iterator[None]:
        try:
            yield
        # A corrupt SavedModel fails with anything from OSError to DecodeError.
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.fault = lines[0][:_FAULT_CHARACTERS]
            logger.info(
                "version %d of %s cannot be loaded: %s (%s)",
                *(self.version, self.name, self.fault, self.folder),
            )

    def get_method(self, signature_name: str) -> str:
        """Return the method of a signature, such as "tensorflow/serving/predict"."""
        method: str = self._get_signature(signature_name).method_name
        return method

    def get_inputs(self, signature_name: str) -> dict[str, TensorSpec]:
        """Return the inputs of a signature by name, sorted.

        Raises:
            ServingError: there is no such signature, or it has no inputs.
        """
        inputs = self._get_signature(signature_name).inputs
        if not inputs:
            raise ServingError(
                "Failed to get input map for signature:"
                f" {signature_name or DEFAULT_SIGNATURE}"
            )
        return _read_specs(inputs)

    def predict(
        self, signature_name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Call a signature; strings are bytes in object arrays.

        The rows of a large request are computed in batches of `BATCH_ROWS`.

        Raises:
            ServingError: TensorFlow cannot compute the outputs of these inputs. Of
                several rows, the message names the first faulty one.
        """
        specs = self.get_inputs(signature_name)
        rows = json_tensors.count_rows(inputs, specs)
        is_batch = all(
            spec.is_batch and len(inputs[name]) == rows for name, spec in specs.items()
        )
        if not is_batch:
            return self._call(signature_name, inputs)
        # Batches, because memory should not depend on the request.
        batches = []
        for start in range(0, rows, BATCH_ROWS):
            end = min(start + BATCH_ROWS, rows)
            part = {name: array[start:end] for name, array in inputs.items()}
            outputs = self._call_rows(signature_name, part, start, rows)
            if rows <= BATCH_ROWS:
                return outputs
            if any(len(np.atleast_1d(o)) != end - start for o in outputs.values()):
                # An output does not have a row for each input.
                return self._call(signature_name, inputs)
            batches.append(outputs)
        return {
            name: np.concatenate([outputs[name] for outputs in batches])
            for name in batches[0]
        }

    def _call_rows(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        start: int,
        rows: int,
    ) -> dict[str, np.ndarray]:
        """Call a signature with some of the rows of a request, from `start` on."""
        try:
            return self._call(signature_name, inputs)
        except ServingError as error:
            if rows == 1 or error.code != "INVALID_ARGUMENT":
                raise
            for index in range(min(map(len, inputs.values()))):
                row = {name: array[index : index + 1] for name, array in inputs.items()}
                try:
                    self._call(signature_name, row)
                except ServingError as cause:
                    message = f"row {start + index}: {cause.message}"
                    raise ServingError(message, cause.code) from cause
            raise  # rows that are faulty together

    def _call(
        self, signature_name: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        infos = self._get_signature(signature_name).inputs
        if not self.load():
            raise ServingError(
                f"version {self.version} of model {self.name} cannot be loaded:"
                f" {self.fault}",
                "UNAVAILABLE",
            )
        try:
            call = self._model.signatures[signature_name or DEFAULT_SIGNATURE]
            outputs = call(
                **{
                    name: tf.constant(array, tf.dtypes.as_dtype(infos[name].dtype))
                    for name, array in inputs.items()
                }
            )
        except tf.errors.DataLossError as error:  # of a compressed color profile
            reason = summarize_error(error)
            raise ServingError(f"the picture is damaged: {reason}") from error
        except tf.errors.OpError as error:
            raise ServingError(
                _describe_mistake(inputs) or summarize_error(error),
                error_codes_pb2.Code.Name(error.error_code),
            ) from error
        return {
            # numpy() of a string scalar is bytes, not an array.
            name: np.asarray(
                tensor.numpy(), np.object_ if tensor.dtype == tf.string else None
            )
            for name, tensor in outputs.items()
        }

    def describe_signatures(self) -> list[str]:
        """Return a line for each signature: name(x: float [-1]) -> y: float [-1]."""
        return [
            f"{name}({_format_specs(definition.inputs)}) ->"
            f" {_format_specs(definition.outputs)}"
            for name, definition in sorted(self._signatures.items())
            if name != INIT_SIGNATURE
        ]

    def get_metadata(self) -> dict[str, Any]:
        """Return the definition of each signature, by name, as protobuf JSON."""
        return {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                including_default_value_fields=True,
            )
            for name, definition in sorted(self._signatures.items())
        }

    def _get_signature(self, name: str) -> Any:
        name = name or DEFAULT_SIGNATURE
        if name not in self._signatures:
            raise ServingError(
                f'Serving signature name: "{name}" not found in signature def'
            )
        return self._signatures[name]


# By name and version.
Models = dict[str, dict[int, Servable]]


def find_models(export_dir: str | os.PathLike[str]) -> Models:
    """Find the models of an export folder, and load the latest version of each.

    A version that cannot be loaded is skipped with a message, and the one before it is
    loaded instead. Other folders, versions that are not integers and versions without
    `saved_model.pb` are ignored. Older versions are loaded when they are first called.

    Returns:
        Models by name, their versions in ascending order, faulty ones included.

    Raises:
        UserError: there is no folder or no model in it, or none can be loaded.
    """
    export_dir = pathlib.Path(export_dir)
    remedy = (
        "write one with: python -m tfstyle.export --run_dir=RUN_DIR"
        f" --export_dir={quote(export_dir)}"
    )
    if not export_dir.is_dir():
        raise UserError(f"there is no export folder {export_dir}; {remedy}")
    models = _find_versions(export_dir)
    if not models:
        raise UserError(
            f"{export_dir} holds no model (NAME/VERSION/saved_model.pb); {remedy}"
        )
    for name, versions in models.items():
        newest_first = sorted(versions.values(), key=lambda s: -s.version)
        served = next((servable for servable in newest_first if servable.load()), None)
        if served is None:
            logger.info("model %s is not served: no version can be loaded", name)
        elif served is not newest_first[0]:
            logger.info("version %d of %s is served instead", served.version, name)
    if not list_available(models):
        (servable, *_) = (s for versions in models.values() for s in versions.values())
        raise UserError(
            f"no model in {export_dir} can be loaded ({servable.folder}:"
            f" {servable.fault}); {remedy}"
        )
    return models


def _find_versions(export_dir: pathlib.Path) -> Models:
    # int() also parses " 1", "1_0" and "-1".
    folders = [
        path
        for path in export_dir.glob("[!.]*/*")
        if re.fullmatch("[0-9]+", path.name) and path.is_dir()
    ]
    models: Models = {}
    missing = []
    for folder in sorted(folders, key=lambda f: (f.parent.name, int(f.name))):
        if (folder / "saved_model.pb").exists():
            servable = Servable(folder)
            models.setdefault(servable.name, {})[servable.version] = servable
        else:
            missing.append(folder)
    for folder in missing:
        if folder.parent.name in models:
            logger.info("%s has no saved_model.pb: skipped", folder)
    return models


def list_available(models: Models) -> Models:
    """Return the models and versions that are not known to be faulty."""
    available = {
        name: {n: servable for n, servable in versions.items() if not servable.fault}
        for name, versions in models.items()
    }
    return {name: versions for name, versions in available.items() if versions}


def get_servable(models: Models, name: str, version: int | None = None) -> Servable:
    """Return a version of a model, the latest that can be loaded by default.

    Raises:
        ServingError: there is no such model or version.
    """
    versions = list_available(models).get(name, {})
    number = max(versions, default=-1) if version is None else version
    if number not in versions:
        request = (
            f"Latest({name})" if version is None else f"Specific({name}, {version})"
        )
        raise ServingError(f"Servable not found for request: {request}", "NOT_FOUND")
    return versions[number]


def _describe_mistake(inputs: Mapping[str, np.ndarray]) -> str | None:
    """Describe a likely mistake in the bytes that a model refused, if there is one."""
    for name, array in inputs.items():
        for data in array.flat if name.endswith("_bytes") else ():
            if not data:
                return f"{name} is empty: there is no picture in it"
            if _is_encoded_picture(data):
                return f'{name} is base64 as plain text: write {{"b64": "..."}} for it'
    return None


def _is_encoded_picture(data: bytes) -> bool:
    """Return whether bytes are the base64 text of a picture."""
    text = b"".join(data[: 2 * recognition.BYTES_NEEDED].split())
    try:
        start = base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except ValueError:
        return False
    return recognition.recognize(start) is not None


def _read_specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    """Convert TensorInfo protos to specs, sorted by name."""
    specs = {}
    for name, info in sorted(infos.items()):
        # DT_FLOAT is "float" in TF Serving's messages.
        dtype = types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower()
        shape = info.tensor_shape
        sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        specs[name] = TensorSpec(dtype, sizes)
    return specs


def _format_specs(infos: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {spec}" for name, spec in _read_specs(infos).items())
