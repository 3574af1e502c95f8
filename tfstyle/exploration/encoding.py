"""Encode a folder of pictures, or records, with the encoders of a run."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.core.names import show
from tfstyle.data import records
from tfstyle.data.collections.splits import SPLITS
from tfstyle.exploration.collection import (
    CollectionCodes,
    PictureFiles,
    encode_splits,
    log_skipped,
)
from tfstyle.modeling.networks.codes import Codes, collect_codes
from tfstyle.modeling.stages import vae
from tfstyle.runs.trained_run import TrainedRun


def encode_folder(run: TrainedRun, input_dir: str) -> CollectionCodes:
    """Encode every picture below a folder, of any common format.

    The folders in it are named after artists. The codes of pictures beside these
    folders come first.

    Raises:
        UserError: the metric stage is not trained, or no picture is usable.
    """
    if not os.path.isdir(input_dir):  # noqa: PTH112 (the name may be too long)
        raise UserError(f"--input_dir={show(input_dir)} is not a folder")
    encode = _join_encoders(run)
    pictures = PictureFiles.find([input_dir])
    codes = collect_codes(encode, pictures.load_padded(run, "encoding"))
    log_skipped(pictures.skipped)
    return _describe_codes(run, codes, pictures.artists, [""] * len(codes.filenames))


def encode_records(run: TrainedRun, records_dir: str) -> CollectionCodes:
    """Encode every picture of records, of all splits, in the order of the records.

    Raises:
        UserError: the metric stage is not trained, or the image size differs.
    """
    encode = _join_encoders(run)
    dataset = records.read_dataset(records_dir)
    size = run.collection.image_size
    if dataset.image_size != size:
        raise UserError(
            f"the pictures of {show(records_dir)} are {dataset.image_size} pixels wide,"
            f" the run's networks take {size}: make records with --image_size={size},"
            " or pass the pictures themselves as --input_dir"
        )
    codes = encode_splits(encode, dataset, *SPLITS)
    artists = [artist.name for artist in (*dataset.artists, *dataset.holdout_artists)]
    splits = [name for name in SPLITS for _ in range(dataset.num_examples(name))]
    return _describe_codes(run, codes, artists, splits)


def _join_encoders(run: TrainedRun) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from images to style and, if there are any, content codes."""
    encoders = [run.style_encoder]
    if run.folder(vae.SPEC.name).finished:
        encoders.append(run.content_encoder)

    # One pass for both, because decoding a picture takes longer than encoding it.
    def encode(images: tf.Tensor) -> tf.Tensor:
        return tf.concat([encoder(images) for encoder in encoders], axis=1)

    return encode


def _describe_codes(
    run: TrainedRun, codes: Codes, artists: Sequence[str], splits: list[str]
) -> CollectionCodes:
    """Split joint codes into style and content, and find the nearest artists."""
    style, content = np.split(codes.codes, [run.style_encoder.dims], axis=1)
    nearest, distances = run.artists.find_nearest(style, run.artists.means, 1)
    return CollectionCodes(
        filenames=codes.filenames,
        artists=[artists[label] for label in codes.artist_ids.tolist()],
        splits=splits,
        nearest_artists=[run.artists.names[artist] for artist in nearest[:, 0]],
        nearest_distances=distances[:, 0].astype(np.float32),
        style=style,
        content=content if content.shape[1] else None,
    )
