"""Normalized codes against loops, and what style tells of content taken out."""

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.modeling.networks import frozen_codes, networks


@pytest.mark.parametrize("kind", [networks.StyleEncoder, networks.ContentEncoder])
def test_normalized_codes_are_pruned_centred_and_scaled(kind):
    """(code[d] - mean[d]) / deviation[d] for the first dimensions only."""
    encoder = kind((4,), (1,), 5)
    images = np.random.default_rng(1).normal(size=[3, 8, 8, 3]).astype(np.float32)
    codes = encoder(images)
    if kind is networks.ContentEncoder:
        codes = codes[0]  # the mean
    mean, deviation = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, 0.25])
    normalized = frozen_codes.NormalizedEncoder(encoder, mean, deviation)
    expected = np.zeros([3, 3])
    for b in range(3):
        for d in range(3):
            expected[b, d] = (codes[b, d] - mean[d]) / deviation[d]
    assert normalized.dims == 3
    np.testing.assert_allclose(normalized(images), expected, rtol=1e-5, atol=1e-5)


def random_codes(count, dims, seed):
    return np.random.default_rng(seed).normal(size=[count, dims])


def quadratic(styles, seed=3):
    """Contents [n, 2] that are a quadratic function of styles [n, 3], plus noise."""
    s = styles
    first = 0.5 - s[:, 0] + 0.8 * s[:, 1] * s[:, 2]
    second = 2 * np.square(s[:, 1]) - s[:, 0] * s[:, 1]
    noise = np.random.default_rng(seed).normal(size=[len(s), 2])
    contents = np.stack([first, second], axis=1) + noise * [0.5, 2.0]
    return contents - contents.mean(axis=0), noise


def test_quadratic_features_are_one_each_and_each_pair():
    s = random_codes(4, 3, 0)
    expected = [[1, a, b, c, a * a, a * b, a * c, b * b, b * c, c * c] for a, b, c in s]
    found = frozen_codes.quadratic_features(tf.constant(s))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_quadratic_function_of_style_is_taken_out_of_content():
    """What is left is the noise that was added, up to the little ridge."""
    styles = random_codes(4000, 3, 1)
    contents, noise = quadratic(styles)

    deviation, coefficients = frozen_codes.fit_expected_content(styles, contents)

    np.testing.assert_allclose(deviation, [0.5, 2.0], rtol=0.05)
    rest = contents / deviation - features_of(styles) @ coefficients
    np.testing.assert_allclose(rest.std(axis=0), 1, rtol=1e-6)
    for d in range(2):
        assert np.corrcoef(rest[:, d], noise[:, d])[0, 1] > 0.99


def features_of(styles):
    return frozen_codes.quadratic_features(tf.constant(styles)).numpy()


def test_content_that_never_varies_stays_zero():
    styles = random_codes(50, 2, 2)
    deviation, coefficients = frozen_codes.fit_expected_content(
        styles, np.zeros([50, 1])
    )
    assert deviation == [1.0]
    np.testing.assert_array_equal(coefficients, np.zeros([6, 1]))


def test_styles_unlike_any_seen_count_as_the_farthest():
    far = frozen_codes.quadratic_features(tf.constant([[100.0, -7.0, 0.5]]))
    np.testing.assert_allclose(far, [[1, 4, -4, 0.5, 16, -16, 2, 16, -2, 0.25]])


@pytest.fixture
def encoders():
    style = networks.StyleEncoder((4,), (1,), 3)
    content = networks.ContentEncoder((4,), (1,), 6)
    normalized = frozen_codes.NormalizedEncoder(style, np.zeros(2), np.ones(2))
    return normalized, content


SCALE = (np.array([0.3, -0.2, 0.1]), np.array([0.5, 2.0, 1.5]))
COEFFICIENTS = np.random.default_rng(4).normal(size=[6, 3]).astype(np.float32) / 5


def test_style_free_content_is_less_what_its_own_style_expects(encoders):
    style_encoder, encoder = encoders
    images = np.random.default_rng(1).normal(size=[3, 8, 8, 3]).astype(np.float32)
    free = frozen_codes.StyleFreeEncoder(encoder, *SCALE, COEFFICIENTS, style_encoder)
    raw = encoder(images)[0].numpy()
    expected = np.zeros([3, 3])
    for n, (one, other) in enumerate(style_encoder(images).numpy()):
        features = [1, one, other, one * one, one * other, other * other]
        for d in range(3):
            told = sum(f * COEFFICIENTS[k, d] for k, f in enumerate(features))
            expected[n, d] = (raw[n, d] - SCALE[0][d]) / SCALE[1][d] - told
    np.testing.assert_allclose(free(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("given_style", [None, COEFFICIENTS])
def test_the_code_decoder_undoes_what_was_done_to_content(encoders, given_style):
    """Dec gets the encoder's own kept dimensions back, and 0 for the others."""
    style_encoder, encoder = encoders
    images = np.random.default_rng(1).normal(size=[3, 8, 8, 3]).astype(np.float32)
    decoder = networks.ContentDecoder((4,), (1,), 8)
    if given_style is None:
        code_encoder = frozen_codes.NormalizedEncoder(encoder, *SCALE)
    else:
        code_encoder = frozen_codes.StyleFreeEncoder(
            encoder, *SCALE, given_style, style_encoder
        )
    code_decoder = frozen_codes.CodeDecoder(
        decoder, *SCALE, given_style, content_dims=6
    )
    styles = style_encoder(images)

    decoded = code_decoder([styles, code_encoder(images)])

    raw = encoder(images)[0].numpy()
    raw[:, 3:] = 0
    np.testing.assert_allclose(decoded, decoder([styles, raw]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("given_style", [None, COEFFICIENTS])
def test_the_linear_map_is_what_the_decoder_is_given(given_style):
    """Squares of a style count as 1, products of two as 0."""
    code_decoder = frozen_codes.CodeDecoder(
        networks.ContentDecoder((4,), (1,), 8), *SCALE, given_style, content_dims=6
    )
    matrix, bias = code_decoder.linear(style_dims=2, noise_dims=4)
    style, content, noise = np.split(random_codes(1, 9, 5)[0], [2, 5])

    given = np.concatenate([style, content, noise]) @ matrix.numpy() + bias.numpy()

    expected = [*style]
    for d in range(3):
        code = content[d]
        if given_style is not None:
            constant, one, other, first, _, second = given_style[:, d]
            code += constant + style[0] * one + style[1] * other + first + second
        expected.append(SCALE[0][d] + SCALE[1][d] * code)
    np.testing.assert_allclose(given, [*expected, 0, 0, 0], rtol=1e-4, atol=1e-5)
