"""Exported models, loaded without tfstyle, answer as the networks of the run do."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image

from tfstyle.data.pictures import to_square_rgb
from tfstyle.modeling.networks import color, weight_norm
from tfstyle.runs import folder as runs
from tfstyle.serving import exporting, signatures

# Loads models with TensorFlow alone: {name: (folder, [(signature, inputs), ..])} in,
# the same with outputs for inputs out.
LOADER = """
import pickle, sys
import tensorflow as tf

with open(sys.argv[1], "rb") as file:
    calls = pickle.load(file)
answers = {}
for name, (folder, requests) in calls.items():
    model = tf.saved_model.load(folder)
    answers[name] = [
        {
            output: value.numpy()
            for output, value in model.signatures[signature](
                **{key: tf.constant(value) for key, value in inputs.items()}
            ).items()
        }
        for signature, inputs in requests
    ]
assert not {"tfstyle", "tensorflow_io"} & set(sys.modules)
with open(sys.argv[1], "wb") as file:
    pickle.dump(answers, file)
"""
SEEDS = np.array([3, 11, 3, -5, 2**40, 0], np.int64)


def encode(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image, np.int32)


@pytest.fixture(scope="module")
def squares(portraits_dir) -> np.ndarray:
    """Six pictures as the records hold them, uint8 [6, 32, 32, 3]."""
    squares = []
    for number in range(6):
        with Image.open(f"{portraits_dir}/dylan/0000{number}.png") as image:
            squares.append(np.asarray(to_square_rgb(image, tiny.IMAGE_SIZE)))
    return np.stack(squares)


@pytest.fixture(scope="module")
def codes() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    dims = {
        "style": tiny.STYLE_DIMS,
        "content": tiny.CONTENT_DIMS,
        "noise": tiny.NOISE_DIMS,
    }
    return {
        name: random.normal(size=[6, count]).astype(np.float32)
        for name, count in dims.items()
    }


@pytest.fixture(scope="module")
def answers(tiny_run, squares, codes, tmp_path_factory):
    """What a fresh process answers; each list is in the order of the calls here."""
    folder = tmp_path_factory.mktemp("fresh")
    export_dir = tiny.export(tiny_run)
    encoded = [encode(Image.fromarray(one)) for one in squares]
    sampled = {"style": codes["style"], "content": codes["content"], "seed": SEEDS}
    calls = {
        "style_encoder": [
            ("serving_default", {"image_bytes": encoded}),
            ("serving_default", {"image_bytes": encoded[4:5]}),
        ],
        "content_encoder": [
            ("serving_default", {"image_bytes": encoded}),
            ("serving_default", {"image_bytes": encoded[4:5]}),
        ],
        "generator": [
            ("serving_default", codes),
            ("sample", sampled),
            ("sample", sampled),
            ("sample", {name: value[2:3] for name, value in sampled.items()}),
            (
                "sample",
                {name: value[[0, 0, 0]] for name, value in sampled.items()}
                | {"seed": np.int64([1, 1, 2])},
            ),
        ],
        "style_transfer": [
            (
                "serving_default",
                {"content_bytes": encoded, "style_bytes": encoded[::-1]},
            ),
            (
                "serving_default",
                {"content_bytes": encoded[:1], "style_bytes": encoded[5:]},
            ),
        ],
    }
    file = folder / "calls.pickle"
    file.write_bytes(
        pickle.dumps(
            {name: (str(export_dir / name / "1"), calls[name]) for name in calls}
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(file)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return pickle.loads(file.read_bytes())


def load(export_dir, name):
    return tf.saved_model.load(str(export_dir / name / "1"))


def test_style_codes_are_the_runs(answers, tiny_run, squares):
    expected = runs.load_style_encoder(tiny_run)(color.rgb_to_lab(squares)).numpy()

    assert expected.shape == (6, tiny.STYLE_DIMS) and expected.std(axis=0).min() > 0.01
    np.testing.assert_allclose(
        answers["style_encoder"][0]["style"], expected, atol=1e-4
    )


def test_content_codes_are_the_runs_means(answers, tiny_run, squares):
    expected = runs.load_content_encoder(tiny_run)(color.rgb_to_lab(squares)).numpy()
    whole = runs.load_network(runs.StageFolder(tiny_run, "vae"), "content_encoder")
    means, _ = whole(color.rgb_to_lab(squares))

    assert expected.std(axis=0).min() > 1e-3
    got = answers["content_encoder"][0]["content"]
    np.testing.assert_allclose(got, expected, atol=1e-4)
    np.testing.assert_allclose(got, means[:, : tiny.CONTENT_DIMS], atol=1e-4)


def generate(run_dir, style, content, noise) -> np.ndarray:
    network = runs.load_network(runs.StageFolder(run_dir, "gan"), "generator_average")
    return color.lab_to_rgb(network([style, content, noise])).numpy().astype(np.int32)


def test_generated_pictures_are_the_moving_averages(answers, tiny_run, codes):
    expected = generate(tiny_run, **codes)

    got = np.stack([pixels(one) for one in answers["generator"][0]["image_bytes"]])
    assert got.shape == (6, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, 3)
    assert np.ptp(expected, axis=0).max() > 10  # else any picture would do
    assert abs(got - expected).max() <= 1


def test_equal_seeds_give_equal_pictures(answers):
    first, again = (call["image_bytes"] for call in answers["generator"][1:3])

    assert list(first) == list(again)


def test_a_picture_depends_on_its_seed(answers):
    one, same, other = answers["generator"][4]["image_bytes"]

    assert one == same
    assert one != other


def test_a_seed_means_the_noise_that_tensorflow_draws_for_it(answers, tiny_run, codes):
    noise = np.stack(
        [tf.random.stateless_normal([tiny.NOISE_DIMS], [seed, 0]) for seed in SEEDS]
    )
    expected = generate(tiny_run, codes["style"], codes["content"], noise)

    got = np.stack([pixels(one) for one in answers["generator"][1]["image_bytes"]])
    assert abs(got - expected).max() <= 1


@pytest.mark.parametrize(
    ("name", "output"), [("style_encoder", "style"), ("content_encoder", "content")]
)
def test_a_code_does_not_depend_on_the_batchs_other_pictures(answers, name, output):
    batch, alone = answers[name]

    np.testing.assert_allclose(batch[output][4:5], alone[output], atol=1e-5)


def test_a_picture_does_not_depend_on_the_batchs_other_rows(answers):
    sampled = pixels(answers["generator"][1]["image_bytes"][2])
    alone = pixels(answers["generator"][3]["image_bytes"][0])
    assert abs(sampled - alone).max() <= 1

    transferred = pixels(answers["style_transfer"][0]["image_bytes"][0])
    alone = pixels(answers["style_transfer"][1]["image_bytes"][0])
    assert abs(transferred - alone).max() <= 1


def test_transfer_draws_the_content_in_the_style_with_one_noise(
    answers, tiny_run, squares
):
    images = color.rgb_to_lab(squares)
    noise = exporting.transfer_noise(tiny.NOISE_DIMS)
    expected = generate(
        tiny_run,
        runs.load_style_encoder(tiny_run)(images[::-1]),
        runs.load_content_encoder(tiny_run)(images),
        np.tile(noise, [6, 1]),
    )

    got = np.stack([pixels(one) for one in answers["style_transfer"][0]["image_bytes"]])
    assert abs(got - expected).max() <= 1


def test_nearest_artists_are_numpys_in_order(answers, tiny_run):
    answer = answers["style_encoder"][0]
    metric = runs.StageFolder(tiny_run, "metric")
    statistics = runs.load_statistics(metric)
    names = np.array(metric.read()["dataset"]["artists"])

    # In the style space as learned: mean and deviation undone.
    learned = answer["style"] * statistics.deviation
    means = statistics.artist_means * statistics.deviation
    distances = np.linalg.norm(learned[:, None] - means[None], axis=-1)
    order = distances.argsort(axis=1)

    assert answer["nearest_artists"].astype(str).tolist() == names[order].tolist()
    got = answer["nearest_distances"]
    assert (np.diff(got, axis=1) >= 0).all()
    np.testing.assert_allclose(got, np.sort(distances, axis=1), rtol=1e-4, atol=1e-5)


def test_of_many_artists_the_ten_nearest_are_named():
    # Codes are the first pixel's L; artist k has 12 - k, so black (L = -1) is
    # nearest to the last of 13 artists: 0, at 1; then 1, at 2; ...
    class FirstPixel(tf.keras.Model):
        def call(self, images):
            return images[:, 0, 0, :1]

    means = np.arange(12, -1, -1, dtype=np.float32)[:, None]
    servable = signatures.style_encoder(
        FirstPixel(),
        signatures.make_decoder(4, "crop", "#ffffff"),
        [f"artist {k}" for k in range(13)],
        means,
        np.float32([1]),
    )
    black = tf.constant([encode(Image.new("RGB", (4, 4)))])

    answer = servable._named["serving_default"](black)

    assert answer["nearest_artists"].numpy().astype(str).tolist() == [
        [f"artist {12 - k}" for k in range(10)]
    ]
    np.testing.assert_allclose(answer["nearest_distances"], [np.arange(1, 11)])


STRINGS = (tf.string, [None])
STYLE = (tf.float32, [None, tiny.STYLE_DIMS])
CONTENT = (tf.float32, [None, tiny.CONTENT_DIMS])
NOISE = (tf.float32, [None, tiny.NOISE_DIMS])
PICTURES = {"image_bytes": STRINGS}
THREE = [None, 3]  # as many as there are artists, fewer than 10


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "outputs"),
    [
        (
            "style_encoder",
            "serving_default",
            PICTURES,
            {
                "style": STYLE,
                "nearest_artists": (tf.string, THREE),
                "nearest_distances": (tf.float32, THREE),
            },
        ),
        ("content_encoder", "serving_default", PICTURES, {"content": CONTENT}),
        (
            "generator",
            "serving_default",
            {"style": STYLE, "content": CONTENT, "noise": NOISE},
            PICTURES,
        ),
        (
            "generator",
            "sample",
            {"style": STYLE, "content": CONTENT, "seed": (tf.int64, [None])},
            PICTURES,
        ),
        (
            "style_transfer",
            "serving_default",
            {"content_bytes": STRINGS, "style_bytes": STRINGS},
            PICTURES,
        ),
    ],
)
def test_inputs_and_outputs_are_named_and_batched(
    model, signature, inputs, outputs, tiny_run
):
    loaded = load(tiny.export(tiny_run), model).signatures[signature]

    def described(specs):
        return {name: (one.dtype, one.shape.as_list()) for name, one in specs.items()}

    arguments, named = loaded.structured_input_signature
    assert arguments == ()
    assert described(named) == inputs
    assert described(loaded.structured_outputs) == outputs


def test_only_the_generator_has_a_second_signature(tiny_run):
    found = {
        name: set(load(tiny.export(tiny_run), name).signatures)
        for name in (
            "style_encoder",
            "content_encoder",
            "generator",
            "style_transfer",
        )
    }

    assert found.pop("generator") == {"serving_default", "sample"}
    assert all(names == {"serving_default"} for names in found.values())


def strictly_normalized(layer) -> np.ndarray:
    """Divide a kernel by its norm per output channel, as [13] does."""
    kernel = layer.kernel.numpy().astype(np.float64)
    axes, scale = (0, 1, 2), 1
    if isinstance(layer, weight_norm.WNDense):
        axes = (0,)
    elif isinstance(layer, weight_norm.WNConv2DTranspose):
        axes, scale = (0, 1, 3), layer.strides**2
    squares = np.square(kernel).sum(axis=axes, keepdims=True)
    return kernel / np.sqrt(squares / scale)


@pytest.mark.parametrize(
    ("model", "stage", "network"),
    [
        ("style_encoder", "metric", "style_encoder"),
        ("content_encoder", "vae", "content_encoder"),
        ("generator", "gan", "generator_average"),
    ],
)
def test_exported_kernels_are_normalized_and_all_else_is_kept(
    model, stage, network, tiny_run
):
    trained = runs.load_network(runs.StageFolder(tiny_run, stage), network)
    kernels = {
        id(layer.kernel): strictly_normalized(layer)
        for layer in trained.submodules
        if isinstance(
            layer,
            weight_norm.WNDense | weight_norm.WNConv2D | weight_norm.WNConv2DTranspose,
        )
    }
    expected = [kernels.get(id(one), one.numpy()) for one in trained.variables]
    changed = [
        not np.allclose(new, old.numpy())
        for new, old in zip(expected, trained.variables, strict=True)
    ]

    exported = load(tiny.export(tiny_run), model)._variables

    assert sum(changed) == len(kernels) > 3  # training kernels are not normalized
    for got, want in zip(exported, expected, strict=True):
        assert got.dtype == tf.float32
        np.testing.assert_allclose(got, want, atol=1e-5)
