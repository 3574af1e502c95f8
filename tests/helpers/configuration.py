"""The tiny configuration of all tests: runs, stages and training commands."""

from collections.abc import Mapping
from typing import Any

IMAGE_SIZE = 32
BATCH_SIZE = 8
# Steps of each stage in the run that tests share.
STEPS = {"metric": 40, "classifier": 20, "vae": 20, "gan": 8}
LOG_INTERVAL = 4
EVAL_INTERVAL = 10
# Dimensions of the encoders' codes, and of what pruning keeps of them.
STYLE_ENCODER_DIMS, CONTENT_ENCODER_DIMS = 16, 12
STYLE_DIMS, CONTENT_DIMS, NOISE_DIMS = 4, 6, 10
_FEATURES = (6, 8)
_BLOCKS = (1, 1)

SETTINGS: dict[str, Any] = {
    "train.image_size": IMAGE_SIZE,
    "train.batch_size": BATCH_SIZE,
    "train.log_interval": LOG_INTERVAL,
    "train.eval_interval": EVAL_INTERVAL,
    "train.preview_interval": 20,
    "train.checkpoint_interval": 20,
    "style_encoder.features": _FEATURES,
    "style_encoder.blocks": _BLOCKS,
    "style_encoder.dims": STYLE_ENCODER_DIMS,
    "content_encoder.features": _FEATURES,
    "content_encoder.blocks": _BLOCKS,
    "content_encoder.dims": CONTENT_ENCODER_DIMS,
    "content_decoder.features": _FEATURES,
    "content_decoder.blocks": _BLOCKS,
    "generator.features": _FEATURES,
    "generator.blocks": _BLOCKS,
    "discriminators.features": _FEATURES,
    "discriminators.blocks": _BLOCKS,
    "discriminators.patch_size": 16,
    "gan.code_dims": STYLE_DIMS + CONTENT_DIMS + NOISE_DIMS,
    "pruning.style_dims": STYLE_DIMS,
    "pruning.content_dims": CONTENT_DIMS,
    "adam.learning_rate": 1e-2,
    "rmsprop.learning_rate": 1e-3,
    "adam.ramp_steps": 1,
    "rmsprop.ramp_steps": 1,
}


def list_bindings(settings: Mapping[str, Any] = SETTINGS) -> list[str]:
    """Return settings as gin bindings, such as `train.steps = 3`."""
    return [f"{name} = {value!r}" for name, value in settings.items()]
