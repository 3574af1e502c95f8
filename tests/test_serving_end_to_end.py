"""From a trained run to a picture over HTTP, with the commands that a user runs."""

import pathlib
import re
import signal
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import configuration as tiny
from helpers import runs
from helpers.commands import module, read_output, read_until_ready, run
from tfstyle.data.pictures import load_picture
from tfstyle.runs.trained_run import TrainedRun
from tfstyle.serving import signatures
from tfstyle.serving.client import Client

MODELS = ["content_encoder", "generator", "style_encoder", "style_transfer"]


@pytest.fixture(scope="module")
def client(tiny_run, tmp_path_factory):
    """A client of a server of the tiny run, which was exported by the command."""
    folder = tmp_path_factory.mktemp("served")
    flags = (f"--run_dir={tiny_run}", f"--export_dir={folder}")
    read_output(run(module("export"), *flags))
    server = subprocess.Popen(
        [*module("serve"), f"--export_dir={folder}", "--rest_api_port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = re.search(r"http://\S+:\d+", read_until_ready(server)).group()
        yield Client(url, timeout=120)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0


@pytest.fixture
def pictures(portraits_dir) -> tuple[pathlib.Path, pathlib.Path]:
    folder = pathlib.Path(portraits_dir)
    return folder / "micah" / "00007.png", folder / "lorelei" / "00003.png"


@pytest.mark.slow
def test_every_model_is_available(client):
    assert {name: client.get_status(name) for name in MODELS} == {
        name: {1: "AVAILABLE"} for name in MODELS
    }


@pytest.mark.slow
def test_a_transferred_picture_is_the_runs(client, pictures, tiny_run):
    trained = TrainedRun(tiny_run)
    content, style = (load_picture(path, tiny.IMAGE_SIZE) for path in pictures)
    (expected,) = trained.generate(
        trained.encode_style(np.asarray(style)[None]),
        trained.encode_content(np.asarray(content)[None]),
        signatures.draw_transfer_noise(tiny.NOISE_DIMS)[None],
    )

    image = client.transfer_style(*pictures)

    assert (image.format, image.size) == ("PNG", (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE))
    # The server resizes pictures of 64 pixels, within a level of the records.
    difference = np.asarray(image, np.int32) - expected.astype(np.int32)
    assert abs(difference).max() <= 3


@pytest.mark.slow
def test_any_kind_of_picture_can_be_sent(client, pictures, tmp_path):
    with Image.open(pictures[0]) as image:
        image.convert("RGBA").resize((90, 50)).save(tmp_path / "content.webp")
        image.convert("RGB").resize((31, 77)).save(tmp_path / "style.tiff")

    image = client.transfer_style(tmp_path / "content.webp", tmp_path / "style.tiff")

    assert image.size == (tiny.IMAGE_SIZE, tiny.IMAGE_SIZE)


@pytest.mark.slow
def test_codes_from_the_server_generate_pictures(client, pictures):
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
def test_a_seed_over_http_is_the_seed_of_the_model(client, tiny_run):
    style = np.zeros([1, tiny.STYLE_DIMS], np.float32)
    content = np.zeros([1, tiny.CONTENT_DIMS], np.float32)
    model = tf.saved_model.load(str(runs.export(tiny_run) / "generator" / "1"))
    expected = model.signatures["sample"](
        style=tf.constant(style),
        content=tf.constant(content),
        seed=tf.constant([2**53 + 1], tf.int64),  # no float64 holds it
    )

    (image,) = client.generate(style, content, seed=2**53 + 1)

    picture = tf.io.decode_png(expected["image_bytes"][0]).numpy().astype(np.int32)
    assert abs(np.asarray(image, np.int32) - picture).max() <= 1


@pytest.mark.slow
def test_a_file_that_is_not_a_picture_is_refused_with_400(client):
    with pytest.raises(
        Exception, match="only JPEG, PNG, and BMP are decoded"
    ) as caught:
        client.predict("content_encoder", {"image_bytes": [b"no picture"]})

    assert caught.value.status == 400
