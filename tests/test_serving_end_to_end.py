"""The way from a trained run to a picture over HTTP, by the commands themselves."""

import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny_run as tiny
from PIL import Image

from tfstyle.data.pictures import load_picture
from tfstyle.modeling.networks import color
from tfstyle.runs import folder as runs
from tfstyle.serving import exporting
from tfstyle.serving.client import Client

MODELS = ["content_encoder", "generator", "style_encoder", "style_transfer"]


@pytest.fixture(scope="module")
def client(tiny_run, tmp_path_factory):
    """Of a server of the tiny run's export, both started as people do."""
    folder = tmp_path_factory.mktemp("served")
    export = [sys.executable, "-m", "tfstyle.export", f"--run_dir={tiny_run}"]
    done = subprocess.run(
        [*export, f"--export_dir={folder}"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    serve = [sys.executable, "-m", "tfstyle.serve", f"--export_dir={folder}"]
    server = subprocess.Popen(
        [*serve, "--rest_api_port=0"], stdout=subprocess.PIPE, text=True
    )
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line == "ready\n":
                break
        yield Client(re.search(r"http://\S+:\d+", "".join(lines)).group(), timeout=120)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0


@pytest.fixture
def pictures(portraits_dir) -> tuple[pathlib.Path, pathlib.Path]:
    folder = pathlib.Path(portraits_dir)
    return folder / "micah" / "00007.png", folder / "lorelei" / "00003.png"


@pytest.mark.slow
def test_every_model_is_available(client):
    assert {name: client.status(name) for name in MODELS} == {
        name: {1: "AVAILABLE"} for name in MODELS
    }


@pytest.mark.slow
def test_a_transferred_picture_is_the_runs(client, pictures, tiny_run):
    content, style = (
        color.rgb_to_lab(np.asarray(load_picture(path, tiny.IMAGE_SIZE))[None])
        for path in pictures
    )
    generator = runs.load_network(
        runs.StageFolder(tiny_run, "gan"), "generator_average"
    )
    expected = color.lab_to_rgb(
        generator(
            [
                runs.load_style_encoder(tiny_run)(style),
                runs.load_content_encoder(tiny_run)(content),
                exporting.transfer_noise(tiny.NOISE_DIMS)[None],
            ]
        )
    )

    image = client.transfer_style(*pictures)

    assert (image.format, image.size) == ("PNG", (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE))
    # Pictures of 64 pixels are shrunk on the way, within a level of the records'.
    difference = abs(np.asarray(image, np.int32) - expected[0].numpy().astype(np.int32))
    assert difference.max() <= 3


@pytest.mark.slow
def test_any_kind_of_picture_can_be_sent(client, pictures, tmp_path):
    with Image.open(pictures[0]) as image:
        image.convert("RGBA").resize((90, 50)).save(tmp_path / "content.webp")
        image.convert("RGB").resize((31, 77)).save(tmp_path / "style.tiff")

    image = client.transfer_style(tmp_path / "content.webp", tmp_path / "style.tiff")

    assert image.size == (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE)


@pytest.mark.slow
def test_codes_that_were_served_generate_pictures(client, pictures):
    codes = client.encode_style(pictures)
    contents = client.encode_content(pictures)

    images = client.generate(codes["style"], contents, seed=[5, 6])
    again = client.generate(codes["style"][1], contents[1], seed=6)

    assert codes["style"].shape == (2, tiny.STYLE_DIMS)
    assert contents.shape == (2, tiny.CONTENT_DIMS)
    assert codes["nearest_artists"].shape == (2, 3)
    assert images[0].tobytes() != images[1].tobytes()
    difference = np.asarray(images[1], np.int32) - np.asarray(again[0], np.int32)
    assert abs(difference).max() <= 1


@pytest.mark.slow
def test_a_seed_over_http_is_the_seed_in_the_model(client, tiny_run):
    style = np.zeros([1, tiny.STYLE_DIMS], np.float32)
    content = np.zeros([1, tiny.CONTENT_DIMS], np.float32)
    model = tf.saved_model.load(str(tiny.export(tiny_run) / "generator" / "1"))
    expected = model.signatures["sample"](
        style=tf.constant(style),
        content=tf.constant(content),
        seed=tf.constant([2**53 + 1], tf.int64),  # no float64 holds it
    )

    (image,) = client.generate(style, content, seed=2**53 + 1)

    wanted = tf.io.decode_png(expected["image_bytes"][0]).numpy().astype(np.int32)
    assert abs(np.asarray(image, np.int32) - wanted).max() <= 1


@pytest.mark.slow
def test_what_is_no_picture_is_refused_with_400(client):
    with pytest.raises(Exception, match="Unknown image file format") as caught:
        client.predict("content_encoder", {"image_bytes": [b"no picture"]})

    assert caught.value.status == 400
