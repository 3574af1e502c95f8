"""Random changes of pictures: what they do, by NumPy, and that gradients pass."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.objectives import augmentation
from tfstyle.modeling.objectives.draws import BatchDraws

ROWS, SIZE = 6, 16
NAMES = ("color", "translation", "cutout")


def draws_of(start=0, rows=ROWS, step=2):
    return BatchDraws(
        seed=5,
        step=tf.constant(step, tf.int64),
        start=tf.constant(start),
        rows=rows,
        total=ROWS,
    )


@pytest.fixture
def images() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.uniform(-1, 1, [ROWS, SIZE, SIZE, 3]).astype(np.float32)


def changed(images, *names, purpose="real", draws=None):
    return augmentation.augment(images, names, draws or draws_of(), purpose).numpy()


def test_every_name_is_tested():
    assert set(NAMES) == set(augmentation.AUGMENTATIONS)


def test_color_is_a_shift_and_a_contrast_of_lightness_and_a_scale_of_chroma(images):
    """From what comes out: each follows from the picture's means and deviations."""
    made = changed(images, "color")

    for old, new in zip(images.astype(float), made.astype(float), strict=True):
        shift = new[..., 0].mean() - old[..., 0].mean()
        contrast = new[..., 0].std() / old[..., 0].std()
        scale = new[..., 1].std() / old[..., 1].std()
        assert -0.5 <= shift <= 0.5
        assert 0.5 <= contrast <= 1.5
        assert 0 <= scale <= 2
        mean = old[..., 0].mean()
        np.testing.assert_allclose(
            new[..., 0], mean + shift + contrast * (old[..., 0] - mean), atol=1e-5
        )
        np.testing.assert_allclose(new[..., 1:], scale * old[..., 1:], atol=1e-5)


def test_color_reaches_its_limits_and_is_unchanged_in_the_mean():
    """A picture of lightness -1 and 1 in halves, chroma 1: all three can be read."""
    picture = np.ones([ROWS, 2, 2, 3], np.float32)
    picture[:, 0, :, 0] = -1
    found = []
    for step in range(200):
        made = changed(picture, "color", draws=draws_of(step=step))
        low, high = made[:, 0, 0, 0], made[:, 1, 0, 0]
        found.append(np.stack([(low + high) / 2, (high - low) / 2, made[:, 0, 0, 1]]))
    shift, contrast, scale = np.concatenate(found, axis=1)

    for values, low, high in ((shift, -0.5, 0.5), (contrast, 0.5, 1.5), (scale, 0, 2)):
        assert low - 1e-6 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-6
        # 1200 uniform draws: five deviations of (high - low) / sqrt(12 n).
        assert abs(values.mean() - (low + high) / 2) < 0.042 * (high - low)


def shifted(picture, down, right):
    made = np.zeros_like(picture)
    rows = slice(max(down, 0), SIZE + min(down, 0))
    columns = slice(max(right, 0), SIZE + min(right, 0))
    from_rows = slice(max(-down, 0), SIZE + min(-down, 0))
    from_columns = slice(max(-right, 0), SIZE + min(-right, 0))
    made[rows, columns] = picture[from_rows, from_columns]
    return made


def test_a_translated_picture_is_moved_by_at_most_an_eighth(images):
    found = set()
    for step in range(40):
        made = changed(images, "translation", draws=draws_of(step=step))
        for old, new in zip(images, made, strict=True):
            fits = [
                (down, right)
                for down in range(-3, 4)
                for right in range(-3, 4)
                if np.array_equal(new, shifted(old, down, right))
            ]
            assert len(fits) == 1
            found.update(fits)

    assert found == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}


def test_a_cut_out_square_has_half_the_side_unless_the_border_cuts_it(images):
    found = []
    for step in range(60):
        made = changed(images, "cutout", draws=draws_of(step=step))
        for old, new in zip(images, made, strict=True):
            hidden = (new == 0).all(axis=-1)
            np.testing.assert_array_equal(new[~hidden], old[~hidden])
            places = np.argwhere(hidden)
            (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
            assert hidden.sum() == (bottom - top + 1) * (right - left + 1)
            for first, last in ((top, bottom), (left, right)):
                whole = last - first + 1 == SIZE // 2
                assert whole or first == 0 or last == SIZE - 1
                assert SIZE // 4 <= last - first + 1 <= SIZE // 2
            found.append((top, left))

    assert len(set(found)) > 40


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_through(name, images):
    """A change is affine in the picture, A x + b: <w, A d> must be <A' w, d>."""
    random = np.random.default_rng(1)
    weights, move = random.normal(size=[2, *images.shape]).astype(np.float32)
    variable = tf.Variable(images)
    with tf.GradientTape() as tape:
        made = augmentation.augment(variable, (name,), draws_of(), "real")
        value = tf.reduce_sum(made * weights)
    gradient = tape.gradient(value, variable)

    moved = changed(images + move, name) - changed(images, name)
    assert float(tf.reduce_sum(gradient * move)) == pytest.approx(
        float((moved * weights).sum()), rel=1e-3, abs=1e-2
    )


@pytest.mark.parametrize("name", NAMES)
def test_pictures_purposes_and_steps_differ_and_parts_make_up_the_whole(name):
    same = np.tile(
        np.random.default_rng(2).normal(size=[1, SIZE, SIZE, 3]), (6, 1, 1, 1)
    )
    same = same.astype(np.float32)

    whole = changed(same, name)

    assert len(np.unique(whole, axis=0)) > 3
    assert (changed(same, name, purpose="fake") != whole).any()
    assert (changed(same, name, draws=draws_of(step=3)) != whole).any()
    halves = [changed(same[:3], name, draws=draws_of(k, 3)) for k in (0, 3)]
    np.testing.assert_array_equal(np.concatenate(halves), whole)


def test_several_are_applied_in_order(images):
    made = changed(images, *NAMES)

    step_by_step = images
    for name in NAMES:
        step_by_step = changed(step_by_step, name)
    np.testing.assert_array_equal(made, step_by_step)
    unchanged = augmentation.augment(images, (), draws_of(), "real")
    np.testing.assert_array_equal(unchanged, images)
