"""The networks of Table 1, built from (features, blocks) per level.

Networks input and output images in scaled Lab (see `color`) and know no loss. Levels
are listed from the image inwards, as in Table 1; each level halves the image's side.

`build_variables(image_size, code_dims)` lets a run rebuild any network from its class
name and configuration; `code_dims` are the dimensions of a decoder's inputs.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import tensorflow as tf

from tfstyle.core.typed import Range
from tfstyle.modeling.networks.blocks import DecoderBlock, EncoderBlock
from tfstyle.modeling.networks.weight_norm import TPReLU, WNDense

# Section 5.2: the extra fully connected layer of the VAE.
HIDDEN_FEATURES = 512
Dims = Annotated[int, Range(1, 65536)]  # of a code
# Ten times the paper's largest network; with Adam's averages 12 GB.
_MOST_PARAMETERS = 10**9


class _Network(tf.keras.Model):
    """Levels of residual blocks.

    Args:
        features: channels of each level, from the image inwards.
        blocks: residual blocks of each level.

    Raises:
        ValueError: if features and blocks differ in length, are empty or hold anything
            else than positive integers.
    """

    def __init__(
        self, features: Sequence[int], blocks: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        problem = None
        if not features or len(features) != len(blocks):
            problem = "need one entry per level"
        elif not all(isinstance(n, int) and n > 0 for n in (*features, *blocks)):
            problem = "must be positive integers"
        if problem:
            raise ValueError(
                f"{self.name}: features and blocks {problem}, got "
                f"features={tuple(features)}, blocks={tuple(blocks)}"
            )
        # Of two convolutions of 3x3 in each block.
        levels = zip(features, blocks, strict=True)
        self._check_size(sum(18 * width**2 * count for width, count in levels))
        # Tuples, because Keras wraps list attributes, which JSON cannot encode.
        self._features = tuple(features)
        self._blocks = tuple(blocks)

    def get_config(self) -> dict[str, Any]:
        return {"features": list(self._features), "blocks": list(self._blocks)}

    def _check_size(self, parameters: int) -> None:
        """Refuse a network before its variables exhaust the memory, or the patience."""
        if parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"{self.name} would have more than {_MOST_PARAMETERS:.0e} parameters, "
                f"about {parameters:.1e}: lower its features, blocks, or dims"
            )

    def _deepest_size(self, image_size: int) -> int:
        """Return the side of the deepest level's feature map."""
        levels = len(self._features)
        size = image_size >> levels
        if size < 1 or size << levels != image_size:
            raise ValueError(
                f"{self.name}: {levels} levels need an image_size divisible by "
                f"{1 << levels}, got {image_size}"
            )
        return size


class Encoder(_Network):
    """Blocks, then one dense layer over the flattened deepest feature map.

    `normalization` is that of the blocks' convolutions, see `blocks.make_conv`.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        dims: int,
        normalization: str = "strict",
        **kwargs: Any,
    ) -> None:
        super().__init__(features, blocks, **kwargs)
        self.dims = dims
        self._normalization = normalization
        # In order; the first block of each level halves the side.
        self._levels = [
            EncoderBlock(filters, 2 if block == 0 else 1, normalization)
            for filters, count in zip(features, blocks, strict=True)
            for block in range(count)
        ]
        # Not _flatten: that is a method of tf.Module.
        self._flat_map = tf.keras.layers.Flatten()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dims": self.dims,
            "normalization": self._normalization,
        }

    def build(self, input_shape: Any) -> None:
        image_shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        size = self._deepest_size(image_shape[1])
        self._check_size(size**2 * self._features[-1] * self.dims)
        super().build(input_shape)

    def build_variables(self, image_size: int, code_dims: Sequence[int] = ()) -> None:
        """Create the variables."""
        self(tf.zeros([1, image_size, image_size, 3]))

    def _flat_features(self, images: tf.Tensor) -> tf.Tensor:
        for block in self._levels:
            images = block(images)
        return self._flat_map(images)


# Heads are float32, so that codes and logits stay exact under mixed precision.


class StyleEncoder(Encoder):
    """S: scaled Lab [batch, size, size, 3] -> style codes float32 [batch, dims].

    Also the classifier's trunk, so that both have the same network (section 6.1).
    """

    def __init__(
        self, features: Sequence[int], blocks: Sequence[int], dims: int, **kwargs: Any
    ) -> None:
        super().__init__(features, blocks, dims, **kwargs)
        self._head = WNDense(dims, affine=True, dtype="float32")

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self._head(self._flat_features(images))


class ContentEncoder(Encoder):
    """Enc: scaled Lab [batch, size, size, 3] -> mean and log variance.

    Both are float32 [batch, dims].
    """

    def __init__(
        self, features: Sequence[int], blocks: Sequence[int], dims: int, **kwargs: Any
    ) -> None:
        super().__init__(features, blocks, dims, **kwargs)
        self._hidden = WNDense(HIDDEN_FEATURES)
        self._activation = TPReLU()
        self._head = WNDense(2 * dims, affine=True, dtype="float32")

    def call(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        hidden = self._activation(self._hidden(self._flat_features(images)))
        mean, log_variance = tf.split(self._head(hidden), 2, axis=-1)
        return mean, log_variance


class _Decoder(_Network):
    """A dense layer to a map of the deepest level's size, then blocks up to the image.

    Args:
        features: see `_Network`.
        blocks: see `_Network`.
        image_size: side of the pictures, in pixels.
        upsampling: see `DecoderBlock`.
        hidden: start with the extra fully connected layer of section 5.2.
        modulated: the style, the first input, modulates every block (see
            `DecoderBlock`), beside being part of the code.
        full_resolution: channels of one more block at the size of the picture; 0 for
            none, as in the paper, whose last block enlarges.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        image_size: int,
        upsampling: str = "transposed",
        hidden: bool = False,
        modulated: bool = False,
        full_resolution: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, blocks, **kwargs)
        self._modulated = modulated
        self._full_resolution = full_resolution
        self._image_size = image_size
        self._upsampling = upsampling
        self._size = self._deepest_size(image_size)
        self._check_size(self._size**2 * self._features[-1] * HIDDEN_FEATURES)
        self._map_activation = TPReLU()
        self._levels = self._make_levels()
        self._has_hidden = hidden
        if hidden:
            self._hidden = WNDense(HIDDEN_FEATURES, affine=True)
            self._hidden_activation = TPReLU()
        self._to_map = WNDense(self._size**2 * features[-1], affine=not hidden)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "image_size": self._image_size,
            "upsampling": self._upsampling,
            "modulated": self._modulated,
            "full_resolution": self._full_resolution,
        }

    def build_variables(self, image_size: int, code_dims: Sequence[int]) -> None:
        """Create the variables."""
        self([tf.zeros([1, dims]) for dims in code_dims])

    def _make_levels(self) -> list[DecoderBlock]:
        """Make blocks, deepest level first; the last of each level doubles the side."""
        blocks: list[DecoderBlock] = []

        def add(filters: int, stride: int, last: bool = False) -> None:
            blocks.append(
                DecoderBlock(filters, stride, last, self._upsampling, self._modulated)
            )

        outer_features = (self._full_resolution or 3, *self._features[:-1])
        for level in reversed(range(len(self._features))):
            for _ in range(self._blocks[level] - 1):
                add(self._features[level], 1)
            add(outer_features[level], 2, last=not (level or self._full_resolution))
        if self._full_resolution:
            add(3, 1, last=True)
        return blocks

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        codes = tf.concat(inputs, axis=-1)
        if self._has_hidden:
            codes = self._hidden_activation(self._hidden(codes))
        shape = [-1, self._size, self._size, self._features[-1]]
        features = self._map_activation(tf.reshape(self._to_map(codes), shape))
        for block in self._levels:
            features = block(features, inputs[0])
        return tf.cast(features, tf.float32)


class ContentDecoder(_Decoder):
    """Dec: (style, content) -> scaled Lab float32 [batch, size, size, 3]."""

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        image_size: int,
        upsampling: str = "transposed",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            features, blocks, image_size, upsampling, hidden=True, **kwargs
        )


class Generator(_Decoder):
    """G: (style, content, noise) -> scaled Lab float32 [batch, size, size, 3].

    In Table 1 only Dec has a hidden layer; a G that starts as Dec needs one too.
    """

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self._has_hidden}

    def start_as(
        self, decoder: ContentDecoder, from_codes: tf.Tensor, bias: tf.Tensor
    ) -> None:
        """Copy Dec's weights, so that G outputs what Dec outputs, whatever the noise.

        Args:
            decoder: built, with the levels of this generator.
            from_codes: float32 [style + content + noise, Dec's code], the matrix by
                which Dec's code is a linear function of G's code.
            bias: float32 [Dec's code], the bias of that function.

        Raises:
            ValueError: if the two networks differ, or G has no hidden layer.
        """
        config, expected = self.get_config(), {**decoder.get_config(), "hidden": True}
        if config != expected:
            raise ValueError(
                'gan.start = "decoder" needs a generator like the content decoder, '
                f"with generator.hidden = True: {expected}, got {config}"
            )
        for name in ("_hidden_activation", "_to_map", "_map_activation", "_levels"):
            targets = tf.nest.flatten([getattr(self, name)])
            sources = tf.nest.flatten([getattr(decoder, name)])
            for target, source in zip(targets, sources, strict=True):
                target.set_weights(source.get_weights())
        self._hidden.assign_composition(decoder._hidden, from_codes, bias)
