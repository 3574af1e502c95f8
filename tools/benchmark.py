"""Measure tfstyle on this machine, side by side with what it is compared to.

    python tools/benchmark.py objectives     equation 2's loss: time and memory
    python tools/benchmark.py metric         the metric stage's step and pipeline

Variants take turns, so that a machine that slows down slows all of them; medians and
their ratios are printed. PyTorch's twin of the network is measured if torch is
installed. Nothing here is a test.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

import tfstyle  # noqa: F401  (before TensorFlow: it quiets TensorFlow's start)

# Batches that no pipeline keeps ready, and batches of one measurement.
_PREFETCHED, _PIPELINE_BATCHES = 64, 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    objectives = commands.add_parser("objectives", help="time and memory of the loss")
    objectives.add_argument("--batch_size", type=int, default=32)
    objectives.add_argument("--artists", type=int, default=2513)
    objectives.add_argument("--dims", type=int, default=512)
    objectives.add_argument("--rounds", type=int, default=5)
    objectives.add_argument(
        "--step", action="store_true", help="also time Table 1's S at 256x256"
    )
    # What a child process measures its memory with.
    objectives.add_argument("--only", help=argparse.SUPPRESS)
    metric = commands.add_parser("metric", help="images/s of the metric stage")
    metric.add_argument("--image_size", type=int, default=64)
    metric.add_argument("--width", type=float, default=0.25, help="of Table 1's S")
    metric.add_argument("--batch_size", type=int, default=32)
    metric.add_argument("--rounds", type=int, default=5)
    metric.add_argument("--steps", type=int, default=10, help="per round")
    arguments = parser.parse_args()
    if arguments.command == "objectives":
        _measure_objectives(arguments)
    else:
        _measure_metric(arguments)


def _alternate(
    variants: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, float]:
    """Run variants in turn; median seconds of each, after a first uncounted turn.

    A variant that returns a float has measured itself.
    """
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, run in variants.items():
            began = time.perf_counter()
            own = run()
            seconds = own if isinstance(own, float) else time.perf_counter() - began
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(one) for name, one in times.items()}


def _memory(field: str) -> float:
    """Read this process' memory in MiB: VmRSS now, VmHWM at its peak (Linux).

    getrusage will not do: a child's peak there starts at its parent's size.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    (line,) = (one for one in status.splitlines() if one.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


# Equation 2


def _measure_objectives(arguments) -> None:
    variants = _objective_variants(arguments)
    if arguments.only:
        # A child: its peak memory is that of one variant.
        before = _memory("VmRSS")
        variants[arguments.only]()
        print(_memory("VmHWM") - before)
        return
    shape = f"B={arguments.batch_size} N={arguments.artists} D={arguments.dims}"
    print(f"presumed_style_loss, forward and backward, {shape}")
    seconds = _alternate(variants, arguments.rounds)
    for name, median in seconds.items():
        command = [sys.executable, *sys.argv, "--only", name]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        print(
            f"  {name:10s} {median * 1e3:8.1f} ms  {float(child.stdout):8.0f} MiB more"
            " than its inputs"
        )
    if arguments.step:
        step = _alternate({"step": _encoder_step(arguments.batch_size)}, 3)["step"]
        share = seconds["exact"] / (step + seconds["exact"])
        print(
            f"  Table 1's S at 256x256, forward and backward: {step * 1e3:.0f} ms; the"
            f" exact loss is {share:.1%} of the step"
        )


def _objective_variants(arguments) -> dict[str, Callable[[], object]]:
    import numpy as np
    import tensorflow as tf

    from tfstyle.modeling.objectives import nested_dropout
    from tfstyle.modeling.objectives import style as objectives

    random = np.random.default_rng(0)
    batch, artists, dims, t = (
        arguments.batch_size,
        arguments.artists,
        arguments.dims,
        0.995,
    )
    # Distances about 1, as h_d keeps them: exponentials neither vanish nor saturate.
    spread = (2 * dims) ** -0.5
    codes = tf.constant(random.normal(0, spread, [batch, dims]), tf.float32)
    styles = tf.constant(random.normal(0, spread, [artists, dims]), tf.float32)
    scales = tf.ones([dims])
    artist_ids = tf.constant(random.integers(0, artists, batch))
    counts = random.integers(50, 300, artists)

    def naive(codes, styles, scales):
        """Equation 2 with 3 on the whole [B, N, D] tensor."""
        weights = nested_dropout.prefix_probabilities(dims, t)
        squares = tf.math.squared_difference(codes[:, None], styles[None])
        distances = tf.square(scales) * tf.cumsum(squares, axis=-1)
        n = tf.constant(counts, tf.float32)
        total, own = tf.reduce_sum(n), tf.reduce_sum(n * n)
        same = tf.one_hot(artist_ids, artists)
        attraction = tf.reduce_sum(weights * distances, axis=-1)
        repulsion = tf.reduce_sum(weights * tf.exp(-distances), axis=-1)
        return tf.reduce_sum(
            same * n * attraction * total / own
            + (1 - same) * n * repulsion * total / (total * total - own),
            axis=-1,
        )

    def exact(codes, styles, scales, lengths=None):
        return objectives.presumed_style_loss(
            codes, artist_ids, styles, scales, counts, t, lengths
        )

    def sampled(codes, styles, scales):
        lengths = nested_dropout.sample_prefix_lengths(batch, dims, t, [0, 0])
        return exact(codes, styles, scales, lengths)

    def with_gradients(loss):
        @tf.function
        def run():
            with tf.GradientTape() as tape:
                tape.watch([codes, styles, scales])
                value = tf.reduce_sum(loss(codes, styles, scales))
            return value, tape.gradient(value, [codes, styles, scales])

        return lambda: [one.numpy() for one in run()[1]]

    return {
        "exact": with_gradients(exact),
        "sampled": with_gradients(sampled),
        "naive": with_gradients(naive),
    }


def _encoder_step(batch_size: int) -> Callable[[], object]:
    import tensorflow as tf

    from tfstyle.modeling.stages import factories

    encoder = factories.style_encoder()
    images = tf.random.normal([batch_size, 256, 256, 3])

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(encoder(images)))
        return tape.gradient(loss, encoder.trainable_variables)

    return lambda: [one.numpy() for one in run()]


# The metric stage


def _measure_metric(arguments) -> None:
    features = [
        max(8, round(arguments.width * one)) for one in (64, 128, 256, 384, 512)
    ]
    size, batch = arguments.image_size, arguments.batch_size
    while size >> len(features) < 4:
        features.pop()
    print(f"metric stage, {size}x{size}, batch {batch}, features {tuple(features)}")
    with tempfile.TemporaryDirectory() as folder:
        train, pipeline, decoding = _tensorflow_steps(
            pathlib.Path(folder), size, batch, features, arguments.steps
        )
        variants = {
            "train step": train,
            "pipeline alone": pipeline,
            "bare decoding": decoding,
        }
        try:
            import pytorch_twin  # beside this script

            variants["PyTorch step"] = pytorch_twin.train_steps(
                size, batch, features, arguments.steps
            )
        except ImportError:
            print("  (torch is not installed: no comparison)")
        seconds = _alternate(variants, arguments.rounds)
    images = batch * arguments.steps
    for name, median in seconds.items():
        ratio = seconds["train step"] / median
        print(f"  {name:15s} {images / median:9.1f} images/s  {ratio:6.2f}x the step")


def _tensorflow_steps(folder, size, batch, features, steps):
    """The stage's own step on real records, its pipeline, and bare JPEG decoding."""
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from tfstyle.core import gin_config
    from tfstyle.data import input_pipeline, pictures, records, splits
    from tfstyle.training import settings as train_settings
    from tfstyle.training import trainer

    random = np.random.default_rng(0)
    sources = []
    for artist in range(4):
        for number in range(128):
            path = folder / f"{artist}-{number}.png"
            # Smooth pictures, because noise would take JPEG longer than drawings do.
            coarse = random.integers(0, 256, [8, 8, 3], np.uint8)
            Image.fromarray(coarse).resize([size, size], Image.Resampling.BICUBIC).save(
                path
            )
            sources.append(splits.Source(str(path), str(artist), path.name))
    dataset = records.write_dataset(
        str(folder / "records"),
        sources,
        pictures.Conversion(size, format="jpeg"),
        splits.SplitRule(min_images_per_artist=2, min_test_images=1),
    )
    gin_config.parse(
        [],
        [
            'train.stage = "metric"',
            f"train.image_size = {size}",
            f"train.batch_size = {batch}",
            "train.steps = 1",
            f"style_encoder.features = {tuple(features)}",
            f"style_encoder.blocks = {(1,) * len(features)}",
        ],
        trainer.CONFIGURABLES,
    )
    settings = train_settings.read_settings()
    model = trainer.build_stage(settings, folder, dataset)
    model.set_phase(0, None)
    train_function = model.make_train_function()
    train_iterator = iter(input_pipeline.train_batches(dataset, ("train",), batch, 0))
    iterator = iter(input_pipeline.train_batches(dataset, ("train",), batch, 0))
    paths = dataset.shard_paths("train")
    encoded = [
        records.parse_example(one)["encoded"] for one in tf.data.TFRecordDataset(paths)
    ]
    decoded = iter(
        tf.data.Dataset.from_tensor_slices(encoded)
        .repeat()
        .map(tf.io.decode_jpeg, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch)
        .prefetch(tf.data.AUTOTUNE)
    )

    def train():
        for _ in range(steps):
            train_function(train_iterator)

    def draw(batches):
        """Seconds for `steps` batches, past those prefetched in others' turns."""
        for _ in range(_PREFETCHED):
            next(batches)
        began = time.perf_counter()
        for _ in range(_PIPELINE_BATCHES):
            next(batches)
        return (time.perf_counter() - began) * steps / _PIPELINE_BATCHES

    return train, lambda: draw(iterator), lambda: draw(decoded)


if __name__ == "__main__":
    main()
