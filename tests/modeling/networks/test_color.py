import textwrap

import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from helpers.commands import read_output, run_code
from tfstyle.modeling.networks import color


@pytest.fixture(scope="module")
def every_color() -> np.ndarray:
    """uint8 [17 * 17, 17, 3]: a grid over all of RGB, black and white included."""
    levels = np.append(np.arange(0, 256, 16), 255).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return grid.reshape(17 * 17, 17, 3)


def test_lab_agrees_with_scikit_image(every_color):
    expected = skimage.color.rgb2lab(every_color) / [50, 110, 110] - [1, 0, 0]
    np.testing.assert_allclose(color.rgb_to_lab(every_color), expected, atol=2e-5)


def test_every_color_survives_the_round_trip(every_color):
    back = color.lab_to_rgb(color.rgb_to_lab(every_color))
    assert back.dtype == tf.uint8
    np.testing.assert_array_equal(back, every_color)


def test_black_is_finite_and_at_the_corner_of_lab():
    lab = color.rgb_to_lab(np.zeros([1, 1, 3], np.uint8))
    np.testing.assert_allclose(lab, [[[-1, 0, 0]]], atol=1e-6)


@pytest.mark.parametrize("shape", [[2, 3, 3], [4, 2, 3, 3], [2, 4, 2, 3, 3]])
def test_any_rank_is_taken(shape):
    lab = color.rgb_to_lab(np.full(shape, 200, np.uint8))
    assert lab.shape == shape and lab.dtype == tf.float32
    assert color.lab_to_rgb(lab).shape == shape


def test_wild_network_outputs_become_colors():
    lab = tf.constant([[[1e30, -1e30, 1e30], [-5.0, 9.0, 9.0], [9.0, 0.0, 0.0]]])
    rgb = color.lab_to_rgb(lab).numpy()
    np.testing.assert_array_equal(rgb[0, 2], [255, 255, 255])
    inside = color.lab_to_rgb(tf.clip_by_value(lab, [-1, -1.2, -1.2], [1, 1.2, 1.2]))
    np.testing.assert_array_equal(rgb, inside)


def test_half_precision_is_converted_in_float32(every_color):
    lab = tf.cast(color.rgb_to_lab(every_color), tf.float16)
    back = color.lab_to_rgb(lab).numpy().astype(int)
    assert np.abs(back - every_color.astype(int)).max() <= 3


def test_floats_are_refused_as_rgb():
    with pytest.raises(TypeError, match="uint8 RGB, got float32"):
        color.rgb_to_lab(tf.zeros([2, 2, 3]))


def test_no_gradient_crosses_to_rgb():
    lab = tf.Variable(tf.zeros([2, 2, 3]))
    with tf.GradientTape() as tape:
        rgb = tf.cast(color.lab_to_rgb(lab), tf.float32)
    assert tape.gradient(rgb, lab) is None


def test_a_mirrored_strategy_runs_the_conversion(every_color):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    convert = tf.function(lambda x: color.lab_to_rgb(color.rgb_to_lab(x)))
    images = tf.constant(every_color)
    result = strategy.run(convert, args=(images,))
    np.testing.assert_array_equal(result, every_color)


def test_a_saved_model_loads_without_tensorflow_io(tmp_path):
    module = tf.Module()
    signature = [tf.TensorSpec([None, 2, 2, 3], tf.uint8)]
    module.convert = tf.function(
        lambda x: color.lab_to_rgb(color.rgb_to_lab(x)), input_signature=signature
    )
    tf.saved_model.save(module, str(tmp_path))
    check = textwrap.dedent(
        f"""
        import sys
        import tensorflow as tf
        images = tf.fill([1, 2, 2, 3], tf.constant(77, tf.uint8))
        converted = tf.saved_model.load({str(tmp_path)!r}).convert(images)
        assert converted.numpy().tolist() == images.numpy().tolist()
        assert "tensorflow_io" not in sys.modules
        """
    )
    read_output(run_code(check, cwd=tmp_path))
