"""Codes as later stages know them: pruned, normalized, content free of style.

The paper normalizes style codes and takes content codes as they are (section 4).
"""

import dataclasses
import enum
import hashlib
import pathlib
from typing import Annotated, Any, Protocol

import gin
import numpy as np
import tensorflow as tf

from tfstyle.core import files, typed
from tfstyle.core.cli import UserError
from tfstyle.core.typed import OneOf, Range
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.codes import average_by_artist
from tfstyle.modeling.networks.weight_norm import FARTHEST_STYLE

# Added to the mean squares of the features, so that few pictures suffice.
RIDGE = 1e-2


class ContentNormalization(str, enum.Enum):
    """What is done to content codes before the generator sees them."""

    # As the encoder gives them: the paper's.
    NONE = "none"
    # Mean 0 and deviation 1 over the training pictures.
    STANDARD = "standard"
    # The same, after what a quadratic function of the style code predicts of them has
    # been subtracted, so that it holds within every style.
    GIVEN_STYLE = "given_style"


@gin.configurable(name_or_fn="pruning")
@dataclasses.dataclass(frozen=True)
class Pruning:
    """How codes are pruned for later stages; bound in gin as `pruning.NAME`.

    Section 5.2 keeps 32 style and 128 content dimensions.

    Raises:
        UserError: if a value is out of its range.
    """

    # Dimensions of the codes to keep; None keeps the recommended number.
    style_dims: networks.Dims | None = 32
    content_dims: networks.Dims | None = 128
    # Loss of accuracy, or relative growth of the reconstruction error, that the
    # recommended number of dimensions may cost.
    tolerance: Annotated[float, Range(0, 100)] = 0.01
    content_normalization: Annotated[
        str, OneOf(tuple(kind.value for kind in ContentNormalization))
    ] = ContentNormalization.NONE.value

    def __post_init__(self) -> None:
        typed.check_fields(self, "pruning")

    def dims_of(self, kind: str) -> int | None:
        """Return the dimensions to keep of a "style" or "content" code."""
        return getattr(self, f"{kind}_dims")

    def check_dims(self, kind: str, dims: int) -> None:
        """Refuse with a UserError to keep more dimensions than an encoder has."""
        if (self.dims_of(kind) or 0) > dims:
            raise UserError(
                f"pruning.{kind}_dims={self.dims_of(kind)}, but the encoder has {dims} "
                "dimensions"
            )


@dataclasses.dataclass(frozen=True)
class CodeStatistics:
    """Statistics of the training pictures' pruned codes, which normalize all codes."""

    mean: np.ndarray  # float32 [dims], of the encoder's raw codes
    deviation: np.ndarray  # float32 [dims], likewise
    artist_means: np.ndarray  # float32 [artists, dims], each artist's normalized mean
    # Of content codes. Style codes are always normalized.
    normalization: ContentNormalization = ContentNormalization.NONE
    # float32 [features, dims], coefficients of `expected_content`; for GIVEN_STYLE.
    given_style: np.ndarray | None = None

    @classmethod
    def of_codes(
        cls,
        codes: np.ndarray,
        artist_ids: np.ndarray,
        artists: int,
        normalization: ContentNormalization = ContentNormalization.NONE,
    ) -> "CodeStatistics":
        """Compute the statistics of pruned raw codes.

        Args:
            codes: float [n, dims].
            artist_ids: int [n].
            artists: number of artists.
            normalization: NONE or STANDARD.
        """
        codes = codes.astype(np.float64)
        mean, deviation = codes.mean(axis=0), _positive(codes.std(axis=0))
        normalized = (codes - mean) / deviation
        return cls(
            mean.astype(np.float32),
            deviation.astype(np.float32),
            average_by_artist(normalized, artist_ids, artists).astype(np.float32),
            normalization,
        )

    def subtract_style(
        self, codes: np.ndarray, styles: np.ndarray, artist_ids: np.ndarray
    ) -> "CodeStatistics":
        """Return statistics by which content codes lose what the style predicts.

        Args:
            codes: float [n, dims], pruned raw content codes.
            styles: float [n, style], normalized style codes of the same pictures.
            artist_ids: int [n].
        """
        contents = codes.astype(np.float64) - self.mean
        deviation, coefficients = fit_expected_content(styles, contents)
        expected = expected_content(tf.constant(styles, tf.float64), coefficients)
        rest = contents / deviation - expected.numpy()
        means = average_by_artist(rest, artist_ids, len(self.artist_means))
        return CodeStatistics(
            self.mean,
            deviation.astype(np.float32),
            means.astype(np.float32),
            ContentNormalization.GIVEN_STYLE,
            coefficients.astype(np.float32),
        )

    @property
    def dims(self) -> int:
        """Number of dimensions that are kept."""
        return len(self.mean)

    @property
    def content_scale(self) -> tuple[np.ndarray, np.ndarray]:
        """What content codes are centered and divided by, float32 [dims] each."""
        if self.normalization is ContentNormalization.NONE:
            return np.zeros_like(self.mean), np.ones_like(self.deviation)
        return self.mean, self.deviation

    @property
    def digest(self) -> str:
        """Identifies these codes to the stages that are trained on them."""
        parts = [self.mean, self.deviation, self.artist_means]
        if self.given_style is not None:
            parts.append(self.given_style)
        digest = hashlib.sha256(b"".join(part.tobytes() for part in parts))
        digest.update(self.normalization.value.encode())
        return digest.hexdigest()

    def write(self, path: pathlib.Path) -> None:
        """Write the statistics as .npz."""
        values = {**vars(self), "normalization": np.array(self.normalization.value)}
        if self.given_style is None:
            del values["given_style"]
        files.write_npz(path, **values)

    @classmethod
    def read(cls, path: pathlib.Path) -> "CodeStatistics":
        """Read what `write` wrote.

        Raises:
            UserError: if the file is corrupt.
            FileNotFoundError: if there is none.
        """
        values: dict[str, Any] = files.read_npz(path)
        try:
            normalization = ContentNormalization(str(values.pop("normalization")))
            statistics = cls(**values, normalization=normalization)
            statistics._check()
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} is corrupt: {error}") from None
        return statistics

    def _check(self) -> None:
        """Raise ValueError if an array has another type or shape, or is not finite."""
        typed.check_array(self.mean, (None,), "f", "mean")
        dims = self.dims
        typed.check_array(self.deviation, (dims,), "f", "deviation")
        typed.check_array(self.artist_means, (None, dims), "f", "artist_means")
        if dims < 1 or not (self.deviation > 0).all():
            raise ValueError("deviation is not above 0 everywhere")
        subtracts = self.normalization is ContentNormalization.GIVEN_STYLE
        if subtracts != (self.given_style is not None):
            raise ValueError("given_style does not fit the normalization")
        if self.given_style is not None:
            typed.check_array(self.given_style, (None, dims), "f", "given_style")


class NormalizedEncoder(tf.keras.Model):
    """An encoder's first dimensions, normalized: what later stages call a code.

    Call it with images and, if they are known, the styles of these images (a style-free
    encoder would compute them otherwise).

    Args:
        encoder: a built `StyleEncoder` or `ContentEncoder`, whose mean is used.
        mean: float32 [dims] of kept dimensions, subtracted from raw codes.
        deviation: float32 [dims], by which they are divided.
    """

    def __init__(
        self,
        encoder: tf.keras.Model,
        mean: np.ndarray,
        deviation: np.ndarray,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.dims = len(mean)
        self._mean = tf.constant(mean, tf.float32)
        self._deviation = tf.constant(deviation, tf.float32)

    def call(self, images: tf.Tensor, styles: tf.Tensor | None = None) -> tf.Tensor:
        codes = self.encoder(images)
        if isinstance(self.encoder, networks.ContentEncoder):
            codes = codes[0]
        return (codes[:, : self.dims] - self._mean) / self._deviation


class StyleFreeEncoder(NormalizedEncoder):
    """Normalized content codes less what the picture's style predicts of them.

    Args:
        encoder, mean, deviation: see `NormalizedEncoder`.
        given_style: coefficients of `expected_content`.
        style_encoder: S, pruned and normalized.
    """

    def __init__(
        self,
        encoder: tf.keras.Model,
        mean: np.ndarray,
        deviation: np.ndarray,
        given_style: np.ndarray,
        style_encoder: NormalizedEncoder,
        **kwargs: object,
    ) -> None:
        super().__init__(encoder, mean, deviation, **kwargs)
        self.style_encoder = style_encoder
        self._given_style = given_style

    def call(self, images: tf.Tensor, styles: tf.Tensor | None = None) -> tf.Tensor:
        if styles is None:
            styles = self.style_encoder(images)
        return super().call(images) - expected_content(styles, self._given_style)


class CodeDecoder(tf.keras.Model):
    """Dec for codes as later stages know them: pruned, and normalized if they are.

    Args:
        decoder: a built `ContentDecoder`.
        mean, deviation: of content, see `NormalizedEncoder`.
        given_style: coefficients of `expected_content`, or None.
        content_dims: content dimensions of Dec's own code; those beyond the kept ones
            are set to 0.
    """

    def __init__(
        self,
        decoder: networks.ContentDecoder,
        mean: np.ndarray,
        deviation: np.ndarray,
        given_style: np.ndarray | None,
        content_dims: int,
        **kwargs: object,
    ) -> None:
        # Codes stay exact under mixed precision; Dec itself computes as it was made.
        super().__init__(dtype="float32", **kwargs)
        self.decoder = decoder
        self._mean = tf.constant(mean, tf.float32)
        self._deviation = tf.constant(deviation, tf.float32)
        self._given_style = given_style
        self._hidden_dims = content_dims - len(mean)

    def linear(self, style_dims: int, noise_dims: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return Dec's code as a linear function of (style, content, noise).

        Products of two style dimensions are replaced by their mean, 0, and squares by
        theirs, 1.

        Returns:
            float32 [style + content + noise, Dec's code], the matrix, and float32
            [Dec's code], the bias.
        """
        dims = len(self._mean)
        content = tf.linalg.diag(self._deviation)
        style = tf.zeros([style_dims, dims])
        bias = self._mean
        if self._given_style is not None:
            expected = self._given_style * self._deviation
            style = expected[1 : 1 + style_dims]
            rows, columns = np.triu_indices(style_dims)
            squares = expected[1 + style_dims :][rows == columns]
            bias += expected[0] + tf.reduce_sum(squares, axis=0)
        to_content = tf.concat([style, content, tf.zeros([noise_dims, dims])], axis=0)
        to_content = tf.pad(to_content, [[0, 0], [0, self._hidden_dims]])
        to_style = tf.eye(len(to_content), style_dims)
        bias = tf.pad(bias, [[style_dims, self._hidden_dims]])
        return tf.concat([to_style, to_content], axis=1), bias

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        style, content = inputs
        if self._given_style is not None:
            content += expected_content(style, self._given_style)
        content = content * self._deviation + self._mean
        content = tf.pad(content, [[0, 0], [0, self._hidden_dims]])
        return self.decoder([style, content])


class FrozenCodes(Protocol):
    """What earlier stages give a stage: their networks for normalized codes."""

    @property
    def style_statistics(self) -> CodeStatistics: ...

    @property
    def style_encoder(self) -> NormalizedEncoder: ...

    @property
    def content_encoder(self) -> NormalizedEncoder: ...

    @property
    def code_decoder(self) -> CodeDecoder: ...


def quadratic_features(styles: tf.Tensor) -> tf.Tensor:
    """Return 1, s_i and s_i s_j for i <= j, each s_i clipped to +-FARTHEST_STYLE.

    Args:
        styles: normalized style codes, float [batch, dims].

    Returns:
        float [batch, 1 + dims + dims (dims + 1) / 2].
    """
    styles = tf.clip_by_value(styles, -FARTHEST_STYLE, FARTHEST_STYLE)
    rows, columns = np.triu_indices(styles.shape[1])
    products = tf.gather(styles, rows, axis=1) * tf.gather(styles, columns, axis=1)
    return tf.concat([tf.ones_like(styles[:, :1]), styles, products], axis=1)


def expected_content(styles: tf.Tensor, coefficients: np.ndarray) -> tf.Tensor:
    """Predict normalized content codes from styles.

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
        The deviation of what styles do not predict, float64 [content], and coefficients
        for `expected_content`, float64 [features, content], of contents divided by it.
    """
    features = quadratic_features(tf.constant(styles, tf.float64)).numpy()
    ridge = RIDGE * len(features) * np.eye(features.shape[1])
    coefficients = np.linalg.solve(features.T @ features + ridge, features.T @ contents)
    deviation = _positive((contents - features @ coefficients).std(axis=0))
    return deviation, coefficients / deviation


def _positive(deviation: np.ndarray) -> np.ndarray:
    """Replace 0 by 1: a dimension that never varies stays at zero."""
    return np.where(deviation > 0, deviation, 1)
