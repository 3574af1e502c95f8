"""Normalized codes against loops, their statistics, and content free of style."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tfstyle.core.cli import UserError
from tfstyle.modeling.networks import frozen_codes, networks
from tfstyle.modeling.networks.frozen_codes import (
    CodeStatistics,
    ContentNormalization,
    Pruning,
)

SCALE = (np.array([0.3, -0.2, 0.1]), np.array([0.5, 2.0, 1.5]))
COEFFICIENTS = np.random.default_rng(4).normal(size=[6, 3]).astype(np.float32) / 5


def draw_codes(count, dims, seed):
    return np.random.default_rng(seed).normal(size=[count, dims])


def draw_images():
    return np.random.default_rng(1).normal(size=[3, 8, 8, 3]).astype(np.float32)


@pytest.fixture
def encoders():
    style = networks.StyleEncoder((4,), (1,), 3)
    content = networks.ContentEncoder((4,), (1,), 6)
    normalized = frozen_codes.NormalizedEncoder(style, np.zeros(2), np.ones(2))
    return normalized, content


# Settings.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"content_normalization": "no"},
            r"pruning.content_normalization must be one of \('none', 'standard', "
            r"'given_style'\), got 'no'",
        ),
        ({"content_normalization": True}, "content_normalization must be .* got True"),
        ({"style_dims": 0}, "pruning.style_dims must be .* from 1 .* or None, got 0"),
        ({"content_dims": "8"}, "pruning.content_dims must be .* or None, got '8'"),
        ({"content_dims": 2.5}, "pruning.content_dims must be .* or None, got 2.5"),
    ],
)
def test_a_wrong_pruning_setting_is_an_error_that_names_it(values, message):
    with pytest.raises(UserError, match=message):
        Pruning(**values)


def test_dimensions_to_keep_are_known_by_the_kind_of_code():
    pruning = Pruning(style_dims=3, content_dims=None)

    assert (pruning.dims_of("style"), pruning.dims_of("content")) == (3, None)
    assert Pruning() == Pruning(32, 128, 0.01, "none")  # the paper's


# Statistics.


def test_statistics_are_those_of_a_loop():
    """A dimension that never varies is divided by 1; an absent artist has mean 0."""
    codes = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]])

    statistics = CodeStatistics.of_codes(codes, np.array([0, 0, 2]), 3)

    deviation = np.sqrt((3**2 + 1**2 + 4**2) / 3)  # of 1, 3, 8 from their mean 4
    np.testing.assert_allclose(statistics.mean, [4, 5])
    np.testing.assert_allclose(statistics.deviation, [deviation, 1])
    np.testing.assert_allclose(
        statistics.artist_means, [[-2 / deviation, 0], [0, 0], [4 / deviation, 0]]
    )
    assert statistics.mean.dtype == statistics.artist_means.dtype == np.float32
    assert statistics.dims == 2


@pytest.mark.parametrize("normalization", list(ContentNormalization))
def test_content_is_scaled_unless_it_is_taken_as_it_is(normalization):
    codes = draw_codes(5, 2, 0)
    statistics = CodeStatistics.of_codes(codes, np.zeros(5, int), 1, normalization)

    center, divisor = statistics.content_scale

    if normalization is ContentNormalization.NONE:
        assert (center.tolist(), divisor.tolist()) == ([0, 0], [1, 1])
    else:
        np.testing.assert_array_equal(center, statistics.mean)
        np.testing.assert_array_equal(divisor, statistics.deviation)


def make_statistics() -> dict[str, CodeStatistics]:
    """Statistics of the same content codes by each normalization."""
    codes, styles = draw_codes(60, 3, 5), draw_codes(60, 2, 6)
    artist_ids = np.arange(60) % 4
    plain, standard = (
        CodeStatistics.of_codes(codes, artist_ids, 4, normalization)
        for normalization in (ContentNormalization.NONE, ContentNormalization.STANDARD)
    )
    given_style = standard.subtract_style(codes, styles, artist_ids)
    return {"none": plain, "standard": standard, "given_style": given_style}


def test_statistics_are_read_as_written(tmp_path):
    for name, statistics in make_statistics().items():
        path = tmp_path / f"{name}.npz"
        statistics.write(path)

        stored = CodeStatistics.read(path)

        assert stored.normalization is ContentNormalization(name)
        assert stored.digest == statistics.digest
        assert (stored.given_style is None) == (name != "given_style")
        for field in ("mean", "deviation", "artist_means"):
            np.testing.assert_array_equal(
                getattr(stored, field), getattr(statistics, field)
            )


def test_the_digest_distinguishes_normalizations_of_the_same_codes():
    statistics = make_statistics().values()
    assert len({each.digest for each in statistics}) == 3


@pytest.mark.parametrize("corruption", ["no archive", "half", "lacks an array", "kind"])
def test_corrupt_statistics_raise_only_the_documented_errors(corruption, tmp_path):
    path = tmp_path / "statistics.npz"
    make_statistics()["none"].write(path)
    if corruption == "no archive":
        path.write_bytes(b"?")
    elif corruption == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif corruption == "lacks an array":
        np.savez(path, mean=np.zeros(4), normalization=np.array("none"))
    else:
        np.savez(path, mean=np.zeros(4), normalization=np.array("odd"))

    with pytest.raises((ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile)):
        CodeStatistics.read(path)


def test_content_given_the_style_has_deviation_1_and_its_own_artist_means():
    codes, styles = draw_codes(60, 3, 5), draw_codes(60, 2, 6)
    artist_ids = np.arange(60) % 4
    statistics = make_statistics()["given_style"]

    expected = frozen_codes.expected_content(
        tf.constant(styles, tf.float32), statistics.given_style
    )
    normalized = (codes - statistics.mean) / statistics.deviation - expected

    np.testing.assert_allclose(normalized.numpy().std(axis=0), 1, rtol=1e-4)
    for artist in range(4):
        np.testing.assert_allclose(
            statistics.artist_means[artist],
            normalized.numpy()[artist_ids == artist].mean(axis=0),
            rtol=1e-3,
            atol=1e-5,
        )


# Encoders.


@pytest.mark.parametrize("kind", [networks.StyleEncoder, networks.ContentEncoder])
def test_normalized_codes_are_pruned_centered_and_scaled(kind):
    """(code[d] - mean[d]) / deviation[d] for the first dimensions only."""
    encoder = kind((4,), (1,), 5)
    images = draw_images()
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


# Content free of style.


def compute_features(styles):
    return frozen_codes.quadratic_features(tf.constant(styles)).numpy()


def test_quadratic_features_are_one_each_and_each_pair():
    s = draw_codes(4, 3, 0)
    expected = [[1, a, b, c, a * a, a * b, a * c, b * b, b * c, c * c] for a, b, c in s]

    np.testing.assert_allclose(compute_features(s), expected, rtol=1e-12)


def test_a_quadratic_function_of_style_is_subtracted_from_content():
    """What is left is the noise that was added, up to the small ridge."""
    s = draw_codes(4000, 3, 1)
    first = 0.5 - s[:, 0] + 0.8 * s[:, 1] * s[:, 2]
    second = 2 * np.square(s[:, 1]) - s[:, 0] * s[:, 1]
    noise = draw_codes(len(s), 2, 3)
    contents = np.stack([first, second], axis=1) + noise * [0.5, 2.0]
    contents -= contents.mean(axis=0)

    deviation, coefficients = frozen_codes.fit_expected_content(s, contents)

    np.testing.assert_allclose(deviation, [0.5, 2.0], rtol=0.05)
    rest = contents / deviation - compute_features(s) @ coefficients
    np.testing.assert_allclose(rest.std(axis=0), 1, rtol=1e-6)
    for d in range(2):
        assert np.corrcoef(rest[:, d], noise[:, d])[0, 1] > 0.99


def test_content_that_never_varies_stays_zero():
    deviation, coefficients = frozen_codes.fit_expected_content(
        draw_codes(50, 2, 2), np.zeros([50, 1])
    )

    assert deviation == [1.0]
    np.testing.assert_array_equal(coefficients, np.zeros([6, 1]))


def test_styles_unlike_any_seen_count_as_the_farthest():
    features = compute_features([[100.0, -7.0, 0.5]])

    np.testing.assert_allclose(features, [[1, 4, -4, 0.5, 16, -16, 2, 16, -2, 0.25]])


def test_style_free_content_is_content_minus_what_its_style_predicts(encoders):
    style_encoder, encoder = encoders
    images = draw_images()
    free = frozen_codes.StyleFreeEncoder(encoder, *SCALE, COEFFICIENTS, style_encoder)
    raw = encoder(images)[0].numpy()
    styles = style_encoder(images)
    expected = np.zeros([3, 3])
    for n, (a, b) in enumerate(styles.numpy()):
        features = [1, a, b, a * a, a * b, b * b]
        for d in range(3):
            predicted = sum(f * COEFFICIENTS[k, d] for k, f in enumerate(features))
            expected[n, d] = (raw[n, d] - SCALE[0][d]) / SCALE[1][d] - predicted

    np.testing.assert_allclose(free(images), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(free(images, styles), free(images))


@pytest.mark.parametrize("given_style", [None, COEFFICIENTS])
def test_the_code_decoder_inverts_what_was_done_to_content(encoders, given_style):
    """Dec gets the encoder's kept dimensions back, and 0 for the others."""
    style_encoder, encoder = encoders
    images = draw_images()
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
def test_the_linear_map_gives_the_decoders_code(given_style):
    """Squares of a style count as 1, products of two as 0."""
    code_decoder = frozen_codes.CodeDecoder(
        networks.ContentDecoder((4,), (1,), 8), *SCALE, given_style, content_dims=6
    )
    matrix, bias = code_decoder.linear(style_dims=2, noise_dims=4)
    style, content, noise = np.split(draw_codes(1, 9, 5)[0], [2, 5])

    code = np.concatenate([style, content, noise]) @ matrix.numpy() + bias.numpy()

    expected = [*style]
    for d in range(3):
        value = content[d]
        if given_style is not None:
            constant, first, second, square, _, other_square = given_style[:, d]
            value += constant + style[0] * first + style[1] * second
            value += square + other_square
        expected.append(SCALE[0][d] + SCALE[1][d] * value)
    np.testing.assert_allclose(code, [*expected, 0, 0, 0], rtol=1e-4, atol=1e-5)
