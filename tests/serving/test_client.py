"""The client against a running server, and the pictures that it sends."""

import io
import json
import os
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf
import uvicorn
from PIL import Image

from helpers.pictures import encode_picture, open_picture
from tfstyle.serving import client as client_module
from tfstyle.serving import rest
from tfstyle.serving.client import Client, ServerError, convert_picture

EXIF_ROTATE_90 = 6
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def url(tiny_models):
    app = rest.make_app(tiny_models)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(url):
    return Client(url, timeout=30)


def make_rotated_jpeg(size=(16, 8)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = EXIF_ROTATE_90
    return encode_picture(Image.new("RGB", size, RED), "JPEG", exif=exif)


def test_outputs_are_arrays_of_the_signatures_types(client):
    outputs = client.predict("pair", {"a": np.ones([2, 2]), "seed": [2**62 + 1, 0]})

    assert outputs["sum"].dtype == np.float32
    assert outputs["seed"].tolist() == [2**62 + 1, 0]
    np.testing.assert_array_equal(outputs["sum"], [2, 2])


def test_a_single_output_gets_its_name_back(client):
    np.testing.assert_array_equal(client.predict("line", {"x": [1.0]})["y"], [2.5])


def test_a_version_and_a_signature_can_be_chosen(client):
    first = client.predict("line", {"x": np.float32([1])}, version=1)
    twice = client.predict("pair", {"seed": [3]}, signature_name="twice")

    assert first["y"].tolist() == [1.5]
    assert twice["twice"].tolist() == [3, 3]


def test_status_is_the_state_of_each_version(client):
    assert client.get_status("line") == {1: "AVAILABLE", 2: "AVAILABLE"}


def test_a_refusal_has_the_servers_message_and_status(client):
    with pytest.raises(ServerError, match="Latest\\(nobody\\)") as caught:
        client.predict("nobody", {"x": [1]})

    assert caught.value.status == 404


def test_without_a_server_the_error_has_the_command_that_starts_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(ServerError, match="no answer from .*python -m tfstyle.serve"):
        Client(f"127.0.0.1:{port}").get_status("line")


def test_a_server_on_this_machine_is_called_without_a_proxy(url, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert Client(url).get_status("line")


def test_a_transferred_picture_has_the_contents_size_and_the_styles_color(client):
    image = client.transfer_style(Image.new("RGB", (5, 4)), Image.new("L", (2, 2), 9))

    assert (image.size, image.getpixel((0, 0))) == ((5, 4), (9, 9, 9))


def test_encoded_styles_keep_their_order_over_several_requests(client):
    client.batch_size = 2
    grays = [Image.new("RGB", (2, 2), (51 * i,) * 3) for i in range(5)]

    codes = client.encode_style(grays)

    np.testing.assert_allclose(codes["style"][:, 0], np.arange(5) / 5, atol=1e-6)
    assert codes["nearest_artists"].tolist() == [["ann", "bob"]] * 5
    assert codes["nearest_distances"].shape == (5, 2)


def test_content_is_encoded_from_the_upright_picture(client, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(make_rotated_jpeg(size=(16, 8)))

    # Height and width: 8 x 16 in the file, 16 x 8 upright.
    assert client.encode_content([path]).tolist() == [[16, 8]]


def test_a_picture_instead_of_a_list_is_an_error(client):
    with pytest.raises(TypeError, match="got 'photo.jpg'"):
        client.encode_content("photo.jpg")


def test_generated_pictures_follow_style_content_and_seed(client):
    client.batch_size = 2
    styles = [[0, i / 255, 1] for i in range(3)]

    images = client.generate(styles, [4, 6], seed=[7, 8, 9])

    assert [image.size for image in images] == [(6, 4)] * 3
    colors = [image.getpixel((0, 0)) for image in images]
    assert colors == [(7, 0, 255), (8, 1, 255), (9, 2, 255)]


def test_a_single_seed_is_used_for_all_pictures(client):
    images = client.generate([[0, 0, 0], [0, 1, 0]], [[1, 1], [1, 1]], seed=5)

    assert [image.getpixel((0, 0))[0] for image in images] == [5, 5]


@pytest.mark.parametrize(
    "seed",
    [1.5, [1.5], [2**63], [2**70], [2**63, -1], "1", [[1]], [[1], 2], None, True],
)
def test_a_seed_that_is_no_integer_of_64_bits_is_named(client, seed):
    for call in (client.draw, lambda seed: client.generate([0, 0, 0], [1, 1], seed)):
        with pytest.raises(ValueError, match="^seed must be integers") as caught:
            call(seed)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "code", [np.nan, np.inf, [1, -np.inf], 1e39, "a", [[1], [1, 2]], None, [[[1]]]]
)
def test_codes_that_are_not_finite_numbers_are_named(client, code):
    with pytest.raises(ValueError, match="^style must be finite numbers"):
        client.generate(code, [1, 1])
    with pytest.raises(ValueError, match="^content must be finite numbers"):
        client.generate([0, 0, 0], code)


def test_codes_and_seeds_of_different_numbers_are_counted(client):
    with pytest.raises(ValueError, match="same number of rows.* got 2, 3, 1"):
        client.generate([[0, 0, 0]] * 2, [[1, 1]] * 3)


def test_the_limits_of_seeds_are_those_of_64_bits(client):
    assert len(client.draw([2**63 - 1, -(2**63)])) == 2
    assert client.draw([]) == []


def test_random_pictures_follow_their_seeds(client):
    client.batch_size = 2

    images = client.draw([7, 9, 8])

    assert [image.getpixel((0, 0)) for image in images] == [
        (7, 0, 0),
        (9, 0, 0),
        (8, 0, 0),
    ]


@pytest.mark.parametrize("encoding", ["JPEG", "PNG", "BMP"])
def test_pictures_that_servers_decode_are_not_changed(encoding, tmp_path):
    data = encode_picture(Image.new("RGB", (3, 2), RED), encoding)
    (tmp_path / "picture").write_bytes(data)

    assert convert_picture(data) == data
    assert convert_picture(tmp_path / "picture") == data


def test_a_rotated_jpeg_becomes_upright_without_loss():
    with open_picture(convert_picture(make_rotated_jpeg(size=(16, 8)))) as image:
        assert (image.format, image.size) == ("PNG", (8, 16))
        assert not image.getexif().get(0x0112)


def test_a_rotated_png_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = EXIF_ROTATE_90
    data = encode_picture(Image.new("RGB", (4, 2)), "PNG", exif=exif)

    with open_picture(convert_picture(data)) as image:
        assert (image.format, image.size) == ("PNG", (2, 4))


@pytest.mark.parametrize("encoding", ["WEBP", "TIFF", "GIF"])
def test_other_formats_become_png_that_tensorflow_decodes(encoding):
    data = encode_picture(
        Image.new("RGB", (3, 2), RED),
        encoding,
        **({"lossless": True} if encoding == "WEBP" else {}),
    )

    pixels = tf.io.decode_png(convert_picture(data), channels=3).numpy()

    assert pixels.shape == (2, 3, 3)
    assert (pixels == RED).all()


def test_a_palette_bmp_is_converted_because_tensorflow_misreads_it():
    data = encode_picture(Image.new("RGB", (4, 4), BLUE).quantize(4), "BMP")

    pixels = tf.io.decode_image(convert_picture(data), channels=3).numpy()

    assert (pixels == BLUE).all()


def test_an_animation_becomes_its_first_frame():
    frames = [Image.new("RGB", (2, 2), color) for color in (RED, BLUE)]
    data = encode_picture(frames[0], "GIF", save_all=True, append_images=frames[1:])

    with open_picture(convert_picture(data)) as image:
        assert image.convert("RGB").getpixel((0, 0)) == RED


def test_transparency_is_kept_for_the_server_to_composite():
    data = encode_picture(
        Image.new("RGBA", (2, 2), (255, 0, 0, 128)), "WEBP", lossless=True
    )

    with open_picture(convert_picture(data)) as image:
        assert (image.mode, image.getpixel((0, 0))) == ("RGBA", (255, 0, 0, 128))


def test_16_bits_are_scaled_not_clipped():
    gray = Image.fromarray(np.full([2, 2], 0x8000, np.uint16))

    pixels = tf.io.decode_png(convert_picture(encode_picture(gray, "TIFF"))).numpy()

    assert (pixels == 0x80).all()


def test_cmyk_becomes_rgb():
    data = encode_picture(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), "TIFF")

    with open_picture(convert_picture(data)) as image:
        assert (image.mode, image.getpixel((0, 0))) == ("RGB", RED)


def test_an_unreadable_picture_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")

    with pytest.raises(ValueError, match=r"notes\.txt: cannot be read as a picture"):
        convert_picture(tmp_path / "notes.txt")


def test_what_could_be_read_forever_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")

    for path in (tmp_path / "pipe.png", "/dev/zero", tmp_path):
        with pytest.raises(ValueError, match="it is no regular file"):
            convert_picture(path)


VALUES = np.random.default_rng(0).integers(0, 256, [5, 4, 3], np.uint8)
RED_PIXEL = np.array([[[255, 0, 0]]], np.uint8)


def decode(picture) -> np.ndarray:
    return tf.io.decode_png(convert_picture(picture)).numpy()


@pytest.mark.parametrize(
    "make",
    [
        lambda data, path: data,
        lambda data, path: bytearray(data),
        lambda data, path: memoryview(data),
        lambda data, path: io.BytesIO(data),
        lambda data, path: path,
        lambda data, path: str(path),
        lambda data, path: path.open("rb"),
        lambda data, path: Image.open(path),
        lambda data, path: VALUES,
        lambda data, path: tf.constant(VALUES),
    ],
    ids=["bytes", "bytearray", "memoryview", "BytesIO", "Path", "str", "open file"]
    + ["Pillow picture", "array", "tensor"],
)
def test_a_picture_is_taken_in_every_form(make, tmp_path):
    data = encode_picture(Image.fromarray(VALUES))
    (tmp_path / "picture.png").write_bytes(data)

    np.testing.assert_array_equal(decode(make(data, tmp_path / "picture.png")), VALUES)


def test_an_open_file_is_read_from_its_start_each_time():
    file = io.BytesIO(encode_picture(Image.fromarray(VALUES)))
    file.seek(7)

    assert convert_picture(file) == convert_picture(file) == file.getvalue()


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 4)], ids=str)
def test_arrays_are_gray_rgb_or_rgba(shape):
    values = np.random.default_rng(1).integers(0, 256, shape, np.uint8)

    pixels = decode(values)

    expected = values[..., None] if values.ndim == 2 else values
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, pixels.shape))


@pytest.mark.parametrize(
    "array, received",
    [
        (np.zeros([5, 4, 3]), "float64"),
        (np.zeros([5, 4, 3], np.int64), "int64"),
        (np.zeros([5, 4, 2], np.uint8), r"\[5, 4, 2\]"),
        (np.zeros([2, 5, 4, 3], np.uint8), r"\[2, 5, 4, 3\]"),
        (np.zeros([0, 4, 3], np.uint8), r"\[0, 4, 3\]"),
    ],
)
def test_other_arrays_are_refused_with_what_is_expected(array, received):
    with pytest.raises(ValueError, match=f"must be uint8.*{received}"):
        convert_picture(array)


@pytest.mark.parametrize("picture", [None, 7, ["a.png"], open], ids=str)
def test_other_types_are_refused(picture):
    with pytest.raises(TypeError, match="must be a path, bytes, an open file"):
        convert_picture(picture)


def test_a_file_opened_as_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text")

    with (tmp_path / "a.txt").open() as file, pytest.raises(TypeError, match="'rb'"):
        convert_picture(file)


@pytest.mark.parametrize(
    "picture",
    [
        b"data",
        bytearray(b"data"),
        memoryview(b"data"),
        RED_PIXEL,
        Image.new("L", (1, 1)),
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "Pillow picture"],
)
def test_a_single_picture_is_no_list(client, picture):
    with pytest.raises(TypeError, match="must be a list of pictures"):
        client.encode_style(picture)


def test_pictures_may_be_an_array_or_come_one_by_one(client):
    grays = np.repeat(np.arange(0, 250, 51, dtype=np.uint8), 12).reshape(5, 2, 2, 3)

    codes = [client.encode_style(pictures) for pictures in (grays, iter(grays))]

    for code in codes:
        np.testing.assert_allclose(code["style"][:, 0], np.arange(5) / 5, atol=1e-6)


def test_no_pictures_are_an_error(client):
    with pytest.raises(ValueError, match="must not be empty"):
        client.encode_style([])


def test_a_batch_never_exceeds_what_a_server_accepts(client, monkeypatch):
    """Eight pictures of 11 MB would be a request of 117 MB."""
    noise = [os.urandom(11 * 2**20) for _ in range(8)]
    monkeypatch.setattr(client_module, "convert_picture", lambda data: data)
    sent = []

    def predict(model, inputs):
        body = json.dumps({"inputs": inputs}, default=client_module._to_json)
        assert len(body) < rest.MAX_BODY_BYTES
        sent.append(inputs["image_bytes"])
        return {"content": np.zeros([len(inputs["image_bytes"]), 1])}

    monkeypatch.setattr(client, "predict", predict)

    assert len(client.encode_content(noise)) == 8
    assert [data for batch in sent for data in batch] == noise
    assert len(sent) == 2  # no more requests than needed


def test_the_clients_limits_are_those_of_the_server():
    assert client_module.MAX_PICTURE_CHARACTERS < rest.MAX_BODY_BYTES
    assert client_module.MAX_ROWS == rest.MAX_BATCH_SIZE


def test_a_picture_that_no_request_can_hold_is_refused_before_it_is_sent(client):
    with pytest.raises(ValueError, match="do not fit a request"):
        client.encode_content([encode_picture(Image.new("RGB", (5000, 5000)), "BMP")])


def test_a_large_batch_size_is_cut_to_the_servers_rows(client):
    client.batch_size = 10_000

    assert client.encode_content([RED_PIXEL] * 300).shape == (300, 2)
    assert len(client.draw(range(300))) == 300


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_at_least_one_picture(size):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        Client("127.0.0.1", batch_size=size)


def test_a_server_that_does_not_answer_in_time_timed_out():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        with pytest.raises(ServerError, match=r"timed out: .* within 0\.2 seconds"):
            Client(url, timeout=0.2).get_status("line")
