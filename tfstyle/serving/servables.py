"""Find, load and call the SavedModels of an export, EXPORT_DIR/NAME/VERSION."""

import os
import pathlib
import re
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import error_codes_pb2, saved_model_pb2

from tfstyle.core.cli import UserError
from tfstyle.core.paths import for_tensorflow, quote
from tfstyle.serving.json_tensors import ServingError, TensorSpec

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
# TensorFlow's own signature, which cannot be called.
INIT_SIGNATURE = "__saved_model_init_op"


class Servable:
    """One version of a model, in NAME/VERSION, loaded when it is first called.

    The name "" of a signature means the default signature.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.name = folder.parent.name
        self.version = int(folder.name)
        proto = saved_model_pb2.SavedModel.FromString(
            (folder / "saved_model.pb").read_bytes()
        )
        self._signatures = dict(proto.meta_graphs[0].signature_def)
        self._model: Any = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the model unless it is loaded."""
        with self._lock:
            if self._model is None:
                self._model = tf.saved_model.load(for_tensorflow(self.folder))

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

        Raises:
            ServingError: TensorFlow cannot compute the outputs of these inputs.
        """
        infos = self._get_signature(signature_name).inputs
        try:
            self.load()
            call = self._model.signatures[signature_name or DEFAULT_SIGNATURE]
            outputs = call(
                **{
                    name: tf.constant(array, tf.dtypes.as_dtype(infos[name].dtype))
                    for name, array in inputs.items()
                }
            )
        except tf.errors.OpError as error:
            raise ServingError(
                summarize_error(error.message),
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

    Other folders, versions that are not integers and versions without `saved_model.pb`
    are ignored. Older versions are loaded when they are first called.

    Returns:
        Models by name, their versions in ascending order.

    Raises:
        UserError: there is no folder or no model in it, or a model cannot be loaded.
    """
    export_dir = pathlib.Path(export_dir)
    remedy = (
        "write one with: python -m tfstyle.export --run_dir=RUN_DIR"
        f" --export_dir={quote(export_dir)}"
    )
    if not export_dir.is_dir():
        raise UserError(f"there is no export folder {export_dir}; {remedy}")
    paths = export_dir.glob("[!.]*/*/saved_model.pb")
    # int() also parses " 1", "1_0" and "-1".
    folders = [
        path.parent for path in paths if re.fullmatch("[0-9]+", path.parent.name)
    ]
    if not folders:
        raise UserError(
            f"{export_dir} holds no model (NAME/VERSION/saved_model.pb); {remedy}"
        )
    models: Models = {}
    try:
        for folder in sorted(folders, key=lambda f: (f.parent.name, int(f.name))):
            servable = Servable(folder)
            models.setdefault(servable.name, {})[servable.version] = servable
        for versions in models.values():
            latest = versions[max(versions)]
            folder = latest.folder
            latest.load()
    # A corrupt SavedModel fails with anything from OSError to DecodeError.
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the model in {folder} cannot be loaded: {reason[0]}; {remedy}"
        ) from error
    return models


def get_servable(models: Models, name: str, version: int | None = None) -> Servable:
    """Return a version of a model, the latest by default.

    Raises:
        ServingError: there is no such model or version.
    """
    versions = models.get(name, {})
    number = max(versions, default=-1) if version is None else version
    if number not in versions:
        request = (
            f"Latest({name})" if version is None else f"Specific({name}, {version})"
        )
        raise ServingError(f"Servable not found for request: {request}", "NOT_FOUND")
    return versions[number]


def summarize_error(message: str) -> str:
    """Return the line of an error message of TensorFlow that describes the error."""
    # It is the last line before the first graph node; tracebacks, if any, precede it.
    head = re.split(r"\s*\[\[\{\{(?:function_)?node", message, maxsplit=1)[0]
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    line = lines[-1] if lines else message.strip()
    return re.sub(r"^(\(\d+\) [A-Z_]+:\s*)?(\{\{.*?\}\}\s*)?|\s*\[Op:.*$", "", line)


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
