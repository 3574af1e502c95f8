"""Codes as later stages know them: pruned, normalized, content free of style.

The paper normalizes style codes, and takes content codes as they are.
"""

import numpy as np
import tensorflow as tf

from tfstyle.modeling.networks import networks

# Styles further out, in deviations, count as being there: a quadratic function says
# anything of styles unlike the training pictures'.
FARTHEST_STYLE = 4.0
# What is added to the mean squares of the features, so that few pictures do.
RIDGE = 1e-2


class NormalizedEncoder(tf.keras.Model):
    """An encoder's first dimensions, normalized: what later stages call a code.

    Args:
        encoder: a built `StyleEncoder` or `ContentEncoder` (its mean is used).
        mean, deviation: float32 [dims] of the codes of the training pictures; their
            length is the number of dimensions that are kept.

    Called with images and, if they are known, the styles of these: what is free of
    style asks for them.
    """

    def __init__(self, encoder: tf.keras.Model, mean, deviation, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.dims = len(mean)
        self._mean = tf.constant(mean, tf.float32)
        self._deviation = tf.constant(deviation, tf.float32)

    def call(self, images, styles=None):
        codes = self.encoder(images)
        if isinstance(self.encoder, networks.ContentEncoder):
            codes = codes[0]
        return (codes[:, : self.dims] - self._mean) / self._deviation


class StyleFreeEncoder(NormalizedEncoder):
    """Normalized content codes, less what the picture's style tells of them.

    Args:
        encoder, mean, deviation: of content, see `NormalizedEncoder`.
        given_style: coefficients for `expected_content`.
        style_encoder: S, normalized.
    """

    def __init__(self, encoder, mean, deviation, given_style, style_encoder, **kwargs):
        super().__init__(encoder, mean, deviation, **kwargs)
        self.style_encoder = style_encoder
        self._given_style = given_style

    def call(self, images, styles=None):
        if styles is None:
            styles = self.style_encoder(images)
        return super().call(images) - expected_content(styles, self._given_style)


def quadratic_features(styles: tf.Tensor) -> tf.Tensor:
    """Give 1, s_i and s_i s_j for i <= j, each s_i within +-FARTHEST_STYLE.

    Args:
        styles: normalized style codes, float [batch, dims].

    Returns:
        float [batch, 1 + dims + dims (dims + 1) / 2].
    """
    styles = tf.clip_by_value(styles, -FARTHEST_STYLE, FARTHEST_STYLE)
    rows, columns = np.triu_indices(styles.shape[1])
    products = tf.gather(styles, rows, axis=1) * tf.gather(styles, columns, axis=1)
    return tf.concat([tf.ones_like(styles[:, :1]), styles, products], axis=1)


def expected_content(styles: tf.Tensor, coefficients) -> tf.Tensor:
    """Expect normalized content codes of pictures whose style is known.

    Args:
        styles: normalized style codes, float [batch, style].
        coefficients: float [features, content], of `quadratic_features`.

    Returns:
        float [batch, content].
    """
    return tf.matmul(quadratic_features(styles), coefficients)


def fit_expected_content(
    styles: np.ndarray, contents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Regress content on style by least squares.

    Args:
        styles: normalized style codes of training pictures, float [n, style].
        contents: their content codes with mean 0, float [n, content].

    Returns:
        The deviation of what styles do not tell, float64 [content], and coefficients
        for `expected_content`, float64 [features, content], of contents divided by it.
    """
    features = quadratic_features(tf.constant(styles, tf.float64)).numpy()
    ridge = RIDGE * len(features) * np.eye(features.shape[1])
    coefficients = np.linalg.solve(features.T @ features + ridge, features.T @ contents)
    deviation = (contents - features @ coefficients).std(axis=0)
    # A dimension that never varies carries nothing; leave it at zero.
    deviation = np.where(deviation > 0, deviation, 1)
    return deviation, coefficients / deviation


class CodeDecoder(tf.keras.Model):
    """Dec for codes as later stages know them: pruned, and normalized if they are.

    Args:
        decoder: a built `ContentDecoder`.
        mean, deviation, given_style: as `NormalizedEncoder` has them for content; what
            Dec knows beyond their dimensions is 0.
        content_dims: how many it knows.
    """

    def __init__(
        self,
        decoder: networks.ContentDecoder,
        mean,
        deviation,
        given_style,
        content_dims: int,
        **kwargs,
    ):
        # Codes stay exact under mixed precision; Dec itself computes as it was made.
        super().__init__(dtype="float32", **kwargs)
        self.decoder = decoder
        self._mean = tf.constant(mean, tf.float32)
        self._deviation = tf.constant(deviation, tf.float32)
        self._given_style = given_style
        self._hidden_dims = content_dims - len(mean)

    def linear(self, style_dims: int, noise_dims: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Say what Dec is given of (style, content, noise), as far as it is linear.

        Returns:
            float32 [style + content + noise, Dec's code] and what is added to such
            codes times it, float32 [Dec's code].
        """
        dims = len(self._mean)
        content = tf.linalg.diag(self._deviation)
        style = tf.zeros([style_dims, dims])
        bias = self._mean
        if self._given_style is not None:
            expected = self._given_style * self._deviation
            style = expected[1 : 1 + style_dims]
            # Normalized styles have a mean square of 1.
            rows, columns = np.triu_indices(style_dims)
            squares = expected[1 + style_dims :][rows == columns]
            bias += expected[0] + tf.reduce_sum(squares, axis=0)
        to_content = tf.concat([style, content, tf.zeros([noise_dims, dims])], axis=0)
        to_content = tf.pad(to_content, [[0, 0], [0, self._hidden_dims]])
        to_style = tf.eye(len(to_content), style_dims)
        bias = tf.pad(bias, [[style_dims, self._hidden_dims]])
        return tf.concat([to_style, to_content], axis=1), bias

    def call(self, inputs):
        style, content = inputs
        if self._given_style is not None:
            content += expected_content(style, self._given_style)
        content = content * self._deviation + self._mean
        content = tf.pad(content, [[0, 0], [0, self._hidden_dims]])
        return self.decoder([style, content])
