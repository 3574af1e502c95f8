"""Measure tfstyle on this machine, side by side with what it is compared to.

    python tools/benchmark.py objectives     equation 2's loss: time and memory
    python tools/benchmark.py metric         the metric stage's step and pipeline
    python tools/benchmark.py records        making records: pictures/s and memory

Variants run in turn, so that a machine that slows down slows all of them. The command
prints medians and their ratios. It measures the same network in PyTorch too, if torch
is installed.
"""

import argparse
import functools
import itertools
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tfstyle  # noqa: F401  (before TensorFlow: it silences TensorFlow's start)

# isort: split
import numpy as np
import tensorflow as tf
from PIL import Image

from tfstyle.core import gin_config
from tfstyle.data import input_pipeline, pictures, record_writer, records
from tfstyle.data.collections import splits
from tfstyle.data.collections.conversion_pool import count_processors
from tfstyle.data.collections.sources import Source
from tfstyle.data.examples import parse_example
from tfstyle.modeling.objectives import nested_dropout, style
from tfstyle.modeling.stages import factories
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.training import settings as train_settings
from tfstyle.training import trainer

_T = 0.995  # nested dropout's parameter
# Batches to skip before a measurement, which the pipeline may have prefetched while
# other variants ran, and batches of a measurement.
_PREFETCHED, _PIPELINE_BATCHES = 64, 128

Variants = Mapping[str, Callable[[], object]]


def main() -> None:
    """Parse the command line and run a benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    objectives = commands.add_parser("objectives", help="time and memory of the loss")
    objectives.add_argument("--artists", type=int, default=2513)
    objectives.add_argument("--dims", type=int, default=512)
    objectives.add_argument(
        "--step", action="store_true", help="also time Table 1's S at 256x256"
    )
    # For child processes, which measure the memory of one variant.
    objectives.add_argument("--only", help=argparse.SUPPRESS)
    objectives.set_defaults(measure=_measure_objectives)
    metric = commands.add_parser("metric", help="images/s of the metric stage")
    metric.add_argument("--image_size", type=int, default=64)
    metric.add_argument("--width", type=float, default=0.25, help="of Table 1's S")
    metric.add_argument("--steps", type=int, default=10, help="per round")
    metric.set_defaults(measure=_measure_metric)
    making = commands.add_parser("records", help="pictures/s of make_tfrecords")
    making.add_argument("--counts", type=_read_count, nargs="+", default=[1000])
    making.add_argument("--source_size", type=int, default=256, help="of JPEG files")
    making.add_argument("--image_size", type=int, default=128, help="of the records")
    making.add_argument("--workers", type=int, default=count_processors())
    making.set_defaults(measure=_measure_records)
    for command in (objectives, metric):
        command.add_argument("--batch_size", type=int, default=32)
    for command in (objectives, metric, making):
        command.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.measure(arguments)


def _measure_medians(variants: Variants, rounds: int) -> dict[str, float]:
    """Run variants in turn and return the median seconds of each.

    The first turn does not count. A variant that returns a float has timed itself.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            result = run()
            elapsed = time.perf_counter() - start
            if turn:
                times[name].append(result if isinstance(result, float) else elapsed)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _read_memory(field: str) -> float:
    """Return this process' memory in MiB: VmRSS is current, VmHWM the peak (Linux).

    In getrusage, the peak of a child starts at the size of its parent.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


# Equation 2


def _measure_objectives(arguments: argparse.Namespace) -> None:
    variants = _make_objective_variants(arguments)
    if arguments.only:
        # In a child process, the peak memory is that of a single variant.
        before = _read_memory("VmRSS")
        variants[arguments.only]()
        print(_read_memory("VmHWM") - before)
        return
    shape = f"B={arguments.batch_size} N={arguments.artists} D={arguments.dims}"
    print(f"presumed_style_loss, forward and backward, {shape}")
    medians = _measure_medians(variants, arguments.rounds)
    for name, seconds in medians.items():
        command = [sys.executable, *sys.argv, "--only", name]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        print(
            f"  {name:10s} {seconds * 1e3:8.1f} ms  {float(child.stdout):8.0f} MiB more"
            " than its inputs"
        )
    if arguments.step:
        run_step = _make_encoder_step(arguments.batch_size)
        step = _measure_medians({"step": run_step}, 3)["step"]
        share = medians["exact"] / (step + medians["exact"])
        print(
            f"  Table 1's S at 256x256, forward and backward: {step * 1e3:.0f} ms; the"
            f" exact loss is {share:.1%} of the step"
        )


def _make_objective_variants(arguments: argparse.Namespace) -> Variants:
    """Return the product's loss and a naive one, each with gradients."""
    rng = np.random.default_rng(0)
    batch, artists, dims = arguments.batch_size, arguments.artists, arguments.dims
    # Distances of about 1, as h_d keeps them: exponentials neither vanish nor saturate.
    spread = (2 * dims) ** -0.5
    codes = tf.constant(rng.normal(0, spread, [batch, dims]), tf.float32)
    styles = tf.constant(rng.normal(0, spread, [artists, dims]), tf.float32)
    scales = tf.ones([dims])
    artist_ids = tf.constant(rng.integers(0, artists, batch))
    counts = tf.constant(rng.integers(50, 300, artists), tf.float32)

    losses = {"exact": style.presumed_style_loss, "naive": _compute_naive_loss}
    values = (codes, artist_ids, styles, scales, counts, _T)
    inputs = [codes, styles, scales]
    return {
        name: _make_gradients(functools.partial(loss, *values), inputs)
        for name, loss in losses.items()
    }


def _make_gradients(
    loss: Callable[[], tf.Tensor], inputs: Sequence[Any]
) -> Callable[[], object]:
    """Return a function that computes the gradients of the sum of a loss."""

    @tf.function
    def run() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(loss())
        return tape.gradient(total, inputs)

    return lambda: [gradient.numpy() for gradient in run()]


def _compute_naive_loss(
    codes: tf.Tensor,
    artist_ids: tf.Tensor,
    styles: tf.Tensor,
    scales: tf.Tensor,
    counts: tf.Tensor,
    t: float,
) -> tf.Tensor:
    """Compute equation 2 with equation 3 on the full [B, N, D] tensor."""
    weights = nested_dropout.prefix_probabilities(codes.shape[1], t)
    squares = tf.math.squared_difference(codes[:, None], styles[None])
    distances = tf.square(scales) * tf.cumsum(squares, axis=-1)
    images, same_pairs = tf.reduce_sum(counts), tf.reduce_sum(counts * counts)
    same = tf.one_hot(artist_ids, len(styles))
    attraction = tf.reduce_sum(weights * distances, axis=-1)
    repulsion = tf.reduce_sum(weights * tf.exp(-distances), axis=-1)
    return tf.reduce_sum(
        same * counts * attraction * images / same_pairs
        + (1 - same) * counts * repulsion * images / (images * images - same_pairs),
        axis=-1,
    )


def _make_encoder_step(batch_size: int) -> Callable[[], object]:
    """Return a function that computes the gradients of Table 1's S at 256x256."""
    encoder = factories.style_encoder()
    images = tf.random.normal([batch_size, 256, 256, 3])
    encoder(images[:1])  # creates the variables
    return _make_gradients(
        lambda: tf.square(encoder(images)), encoder.trainable_variables
    )


# The metric stage


def _measure_metric(arguments: argparse.Namespace) -> None:
    size, batch, steps = arguments.image_size, arguments.batch_size, arguments.steps
    features = [max(8, round(arguments.width * f)) for f in (64, 128, 256, 384, 512)]
    while size >> len(features) < 4:
        features.pop()
    print(f"metric stage, {size}x{size}, batch {batch}, features {tuple(features)}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        dataset = _write_records(folder, size)
        pipeline = input_pipeline.train_batches(dataset, ("train",), batch, 0)
        variants = {
            "train step": _make_train_steps(folder, dataset, batch, features, steps),
            "pipeline alone": _make_timer(pipeline, steps),
            "bare decoding": _make_timer(_decode_bare(dataset, batch), steps),
        }
        try:
            import pytorch_twin  # beside this script

            variants["PyTorch step"] = pytorch_twin.make_train_steps(
                size, batch, features, steps
            )
        except ImportError:
            print("  (torch is not installed: no comparison)")
        medians = _measure_medians(variants, arguments.rounds)
    for name, seconds in medians.items():
        ratio = medians["train step"] / seconds
        print(
            f"  {name:15s} {batch * steps / seconds:9.1f} images/s  {ratio:6.2f}x the"
            " step"
        )


def _write_records(folder: pathlib.Path, size: int) -> records.Dataset:
    """Write 4 artists x 128 random pictures as JPEG records."""
    rng = np.random.default_rng(0)
    sources = []
    for artist, number in itertools.product(range(4), range(128)):
        path = folder / f"{artist}-{number}.png"
        # Smooth pictures, because JPEG decodes noise more slowly than drawings.
        coarse = Image.fromarray(rng.integers(0, 256, [8, 8, 3], np.uint8))
        coarse.resize([size, size], Image.Resampling.BICUBIC).save(path)
        sources.append(Source(str(path), str(artist), path.name))
    return record_writer.write_dataset(
        str(folder / "records"),
        sources,
        pictures.Conversion(size, format="jpeg"),
        splits.SplitRule(min_images_per_artist=2, min_test_images=1),
    )


def _make_train_steps(
    folder: pathlib.Path,
    dataset: records.Dataset,
    batch_size: int,
    features: Sequence[int],
    steps: int,
) -> Callable[[], None]:
    """Return a function that takes training steps of the stage on the records."""
    bindings = [
        'train.stage = "metric"',
        f"train.image_size = {dataset.image_size}",
        f"train.batch_size = {batch_size}",
        "train.steps = 1",
        f"style_encoder.features = {tuple(features)}",
        f"style_encoder.blocks = {(1,) * len(features)}",
    ]
    gin_config.parse([], bindings, trainer.list_configurables())
    settings = train_settings.read_settings()
    model = trainer.build_stage(settings, TrainedRun(folder), dataset)
    train_function = model.make_train_function()
    batches = iter(input_pipeline.train_batches(dataset, ("train",), batch_size, 0))

    def run() -> None:
        for _ in range(steps):
            train_function(batches)

    return run


def _decode_bare(dataset: records.Dataset, batch_size: int) -> tf.data.Dataset:
    """Decode JPEG from memory in batches, endlessly."""
    paths = dataset.shard_paths("train")
    encoded = [
        parse_example(serialized)["encoded"]
        for serialized in tf.data.TFRecordDataset(paths)
    ]
    return (
        tf.data.Dataset.from_tensor_slices(encoded)
        .repeat()
        .map(tf.io.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _make_timer(dataset: tf.data.Dataset, steps: int) -> Callable[[], float]:
    """Return a function that times `steps` batches, without prefetched ones."""
    batches = iter(dataset)

    def run() -> float:
        for _ in range(_PREFETCHED):
            next(batches)
        start = time.perf_counter()
        for _ in range(_PIPELINE_BATCHES):
            next(batches)
        return (time.perf_counter() - start) * steps / _PIPELINE_BATCHES

    return run


# Records


def _read_count(text: str) -> int:
    count = int(text)
    if count < 100:
        raise argparse.ArgumentTypeError("at least 100 pictures are needed")
    return count


def _measure_records(arguments: argparse.Namespace) -> None:
    import records_benchmark  # beside this script

    size, workers = arguments.image_size, arguments.workers
    print(
        f"records of {size}x{size} from JPEG of {arguments.source_size}x"
        f"{arguments.source_size}, {workers} processes"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for count in sorted(arguments.counts):
            records_benchmark.make_pictures(
                folder / "pictures", count, arguments.source_size, workers
            )
            peaks: dict[str, float] = {}

            def run(variant: str, peaks: dict[str, float] = peaks) -> float:
                output = tempfile.mkdtemp(dir=folder)
                seconds, peak = records_benchmark.measure(
                    *(variant, folder / "pictures", f"{output}/out", size, workers)
                )
                shutil.rmtree(output)
                peaks[variant] = max(peak, peaks.get(variant, 0))
                return seconds

            medians = _measure_medians(
                {v: functools.partial(run, v) for v in records_benchmark.VARIANTS},
                arguments.rounds,
            )
            for variant, seconds in medians.items():
                print(
                    f"  {count:>7} pictures  {variant:12s}{count / seconds:9.1f}"
                    f" pictures/s {seconds / count * 1e3:7.2f} ms"
                    f" {peaks[variant]:7.0f} MiB"
                    f" {seconds / medians['records']:6.2f}x the time of records"
                )


if __name__ == "__main__":
    main()
