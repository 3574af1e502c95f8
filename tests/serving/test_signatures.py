"""Exported models, loaded without tfstyle, answer like the networks of the run."""

import pathlib
import pickle
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import read_output, run_code
from helpers.pictures import encode_picture, open_picture
from tfstyle.data.pictures import to_square_rgb
from tfstyle.modeling.networks import color, weight_norm
from tfstyle.runs.style_space import ArtistStyles
from tfstyle.serving import signatures

# Loads models with TensorFlow alone: in a file, replaces
# {name: (folder, [(signature, inputs), ..])} with {name: [outputs, ..]}.
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


def decode_png(data: bytes) -> np.ndarray:
    with open_picture(data) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image, np.int32)


def decode_pngs(encoded) -> np.ndarray:
    return np.stack([decode_png(data) for data in encoded])


@pytest.fixture(scope="module")
def export_dir(tiny_run) -> pathlib.Path:
    return runs.export(tiny_run)


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
    rng = np.random.default_rng(1)
    dims = {
        "style": tiny.STYLE_DIMS,
        "content": tiny.CONTENT_DIMS,
        "noise": tiny.NOISE_DIMS,
    }
    return {
        name: rng.normal(size=[6, count]).astype(np.float32)
        for name, count in dims.items()
    }


@pytest.fixture(scope="module")
def answers(export_dir, squares, codes, tmp_path_factory) -> dict:
    """The answers of a new process, {name: [outputs, ..]}, in the order of `calls`."""
    folder = tmp_path_factory.mktemp("process")
    encoded = [encode_picture(Image.fromarray(square)) for square in squares]
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
    read_output(run_code(LOADER, str(file), cwd=folder, timeout=300))
    return pickle.loads(file.read_bytes())


def load(export_dir, name):
    return tf.saved_model.load(str(export_dir / name / "1"))


def test_style_codes_are_the_runs(answers, trained, squares):
    expected = trained.encode_style(squares)

    assert expected.shape == (6, tiny.STYLE_DIMS) and expected.std(axis=0).min() > 0.01
    np.testing.assert_allclose(
        answers["style_encoder"][0]["style"], expected, atol=1e-4
    )


def test_content_codes_are_the_runs_means(answers, trained, squares):
    expected = trained.encode_content(squares)
    raw_means, _ = trained.network("vae", "content_encoder")(color.rgb_to_lab(squares))

    assert expected.std(axis=0).min() > 1e-3
    contents = answers["content_encoder"][0]["content"]
    np.testing.assert_allclose(contents, expected, atol=1e-4)
    np.testing.assert_allclose(contents, raw_means[:, : tiny.CONTENT_DIMS], atol=1e-4)


def test_generated_pictures_are_those_of_the_moving_average(answers, trained, codes):
    generator = trained.network("gan", "generator_average")
    images = generator([codes["style"], codes["content"], codes["noise"]])
    expected = color.lab_to_rgb(images).numpy().astype(np.int32)

    pictures = decode_pngs(answers["generator"][0]["image_bytes"])
    assert pictures.shape == (6, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, 3)
    assert np.ptp(expected, axis=0).max() > 10  # otherwise any picture would pass
    assert abs(pictures - expected).max() <= 1


@pytest.mark.parametrize("name", ["style", "content", "noise"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_codes_that_are_not_finite_are_an_error_of_the_request(
    name, value, export_dir, codes
):
    """Such as NaN, which JSON parsers read: servers answer 400."""
    changed = {**codes, name: np.full_like(codes[name], value)}
    signature = load(export_dir, "generator").signatures["serving_default"]

    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} : Tensor had"):
        signature(**{key: tf.constant(array) for key, array in changed.items()})


def test_equal_seeds_generate_equal_pictures(answers):
    first, again = (call["image_bytes"] for call in answers["generator"][1:3])

    assert list(first) == list(again)


def test_a_picture_depends_on_its_seed(answers):
    first, same, other = answers["generator"][4]["image_bytes"]

    assert first == same
    assert first != other


def test_the_noise_of_a_seed_is_what_tensorflow_draws_for_it(answers, trained, codes):
    noise = np.stack(
        [tf.random.stateless_normal([tiny.NOISE_DIMS], [seed, 0]) for seed in SEEDS]
    )
    expected = trained.generate(codes["style"], codes["content"], noise)

    pictures = decode_pngs(answers["generator"][1]["image_bytes"])
    assert abs(pictures - expected).max() <= 1


@pytest.mark.parametrize(
    ("name", "output"), [("style_encoder", "style"), ("content_encoder", "content")]
)
def test_a_code_does_not_depend_on_other_pictures_of_the_batch(answers, name, output):
    batch, alone = answers[name]

    np.testing.assert_allclose(batch[output][4:5], alone[output], atol=1e-5)


def test_a_picture_does_not_depend_on_other_rows_of_the_batch(answers):
    sampled = decode_png(answers["generator"][1]["image_bytes"][2])
    alone = decode_png(answers["generator"][3]["image_bytes"][0])
    assert abs(sampled - alone).max() <= 1

    transferred = decode_png(answers["style_transfer"][0]["image_bytes"][0])
    alone = decode_png(answers["style_transfer"][1]["image_bytes"][0])
    assert abs(transferred - alone).max() <= 1


def test_transfer_draws_the_content_in_the_style_with_the_same_noise(
    answers, trained, squares
):
    noise = signatures.draw_transfer_noise(tiny.NOISE_DIMS)
    expected = trained.generate(
        trained.encode_style(squares[::-1]),
        trained.encode_content(squares),
        np.tile(noise, [6, 1]),
    )

    pictures = decode_pngs(answers["style_transfer"][0]["image_bytes"])
    assert abs(pictures - expected).max() <= 1


def test_nearest_artists_are_those_that_numpy_finds_in_order(answers, trained):
    answer = answers["style_encoder"][0]
    statistics = trained.style_statistics
    names = np.array(trained.collection.artists)

    # In the learned style space, before normalization.
    learned = answer["style"] * statistics.deviation
    means = statistics.artist_means * statistics.deviation
    distances = np.linalg.norm(learned[:, None] - means[None], axis=-1)
    order = distances.argsort(axis=1)

    assert answer["nearest_artists"].astype(str).tolist() == names[order].tolist()
    nearest = answer["nearest_distances"]
    assert (np.diff(nearest, axis=1) >= 0).all()
    np.testing.assert_allclose(
        nearest, np.sort(distances, axis=1), rtol=1e-4, atol=1e-5
    )


def test_of_many_artists_the_ten_nearest_are_returned():
    # The code is L of the first pixel; that of artist k is 12 - k. So black, L = -1, is
    # nearest to the last of 13 artists: 0, at distance 1; then 1, at distance 2; ...
    class FirstPixel(tf.keras.Model):
        def call(self, images):
            return images[:, 0, 0, :1]

    means = np.arange(12, -1, -1, dtype=np.float32)[:, None]
    names = [f"artist {k}" for k in range(13)]
    names[12] = "\udc96\n\x1b[2J \u98fe"  # a server writes names as JSON
    model = signatures.make_style_encoder(
        types.SimpleNamespace(
            style_encoder=FirstPixel(),
            artists=ArtistStyles(names, means, np.float32([1])),
            collection=types.SimpleNamespace(
                image_size=4, fit="crop", background="#ffffff"
            ),
        )
    )
    black = tf.constant([encode_picture(Image.new("RGB", (4, 4)))])

    answer = model.functions["serving_default"](black)

    (nearest,) = answer["nearest_artists"].numpy()
    assert [[name.decode() for name in nearest]] == [
        [r"\x96\n\x1b[2J " + "\u98fe", *(f"artist {12 - k}" for k in range(1, 10))]
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
            "generator",
            "draw",
            {"seed": (tf.int64, [None])},
            {"style": STYLE, "content": CONTENT, **PICTURES},
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
    model, signature, inputs, outputs, export_dir
):
    loaded = load(export_dir, model).signatures[signature]

    def describe(specs):
        return {
            name: (spec.dtype, spec.shape.as_list()) for name, spec in specs.items()
        }

    arguments, named = loaded.structured_input_signature
    assert arguments == ()
    assert describe(named) == inputs
    assert describe(loaded.structured_outputs) == outputs


def test_only_the_generator_has_more_signatures(export_dir):
    names = {
        name: set(load(export_dir, name).signatures)
        for name in (
            "style_encoder",
            "content_encoder",
            "generator",
            "style_transfer",
        )
    }

    assert names.pop("generator") == {"serving_default", "sample", "draw"}
    assert all(others == {"serving_default"} for others in names.values())


def normalize_strictly(layer) -> np.ndarray:
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
def test_exported_kernels_are_normalized_and_other_variables_are_unchanged(
    model, stage, network, trained, export_dir
):
    trained_network = trained.network(stage, network)
    kernels = {
        id(layer.kernel): normalize_strictly(layer)
        for layer in trained_network.submodules
        if isinstance(
            layer,
            weight_norm.WNDense | weight_norm.WNConv2D | weight_norm.WNConv2DTranspose,
        )
    }
    variables = trained_network.variables
    expected = [kernels.get(id(variable), variable.numpy()) for variable in variables]
    changed = [
        not np.allclose(new, old.numpy())
        for new, old in zip(expected, variables, strict=True)
    ]

    exported = load(export_dir, model).weights

    assert sum(changed) == len(kernels) > 3  # training kernels are not normalized
    for weight, value in zip(exported, expected, strict=True):
        assert weight.dtype == tf.float32
        np.testing.assert_allclose(weight, value, atol=1e-5)
