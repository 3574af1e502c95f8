"""The networks of Table 1, built from (features, blocks) per level.

Networks input and output images in scaled Lab (see `color`) and know no loss. Levels
are listed from the image inwards, as in Table 1; each level halves the image's side.

`build_variables(image_size, code_dims)` lets a run rebuild any network from its class
name and configuration; `code_dims` are the dimensions of a decoder's inputs.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfstyle.modeling.networks.blocks import DecoderBlock, EncoderBlock, extract_patches
from tfstyle.modeling.networks.weight_norm import TPReLU, WNDense

# Section 5.2: the extra fully connected layer of the VAE.
HIDDEN_FEATURES = 512


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
                f"features and blocks {problem}, got features={tuple(features)}, "
                f"blocks={tuple(blocks)}"
            )
        # Tuples, because Keras wraps list attributes, which JSON cannot encode.
        self._features = tuple(features)
        self._blocks = tuple(blocks)

    def get_config(self) -> dict[str, Any]:
        return {"features": list(self._features), "blocks": list(self._blocks)}

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


class _Encoder(_Network):
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

    def build(self, input_shape: tf.TensorShape) -> None:
        self._deepest_size(input_shape[1])
        super().build(input_shape)

    def build_variables(self, image_size: int, code_dims: Sequence[int] = ()) -> None:
        """Create the variables."""
        self(tf.zeros([1, image_size, image_size, 3]))

    def _flat_features(self, images: tf.Tensor) -> tf.Tensor:
        for block in self._levels:
            images = block(images)
        return self._flat_map(images)


# Heads are float32, so that codes and logits stay exact under mixed precision.


class StyleEncoder(_Encoder):
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


class ContentEncoder(_Encoder):
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

    With `hidden` it starts with the extra fully connected layer of section 5.2.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        image_size: int,
        upsampling: str = "transposed",
        hidden: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, blocks, **kwargs)
        self._image_size = image_size
        self._upsampling = upsampling
        self._size = self._deepest_size(image_size)
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
        }

    def build_variables(self, image_size: int, code_dims: Sequence[int]) -> None:
        """Create the variables."""
        self([tf.zeros([1, dims]) for dims in code_dims])

    def _make_levels(self) -> list[DecoderBlock]:
        """Make blocks, deepest level first; the last of each level doubles the side."""
        blocks, up = [], self._upsampling
        outer_features = (3, *self._features[:-1])
        for level in reversed(range(len(self._features))):
            for _ in range(self._blocks[level] - 1):
                blocks.append(DecoderBlock(self._features[level], upsampling=up))
            last = level == 0
            blocks.append(DecoderBlock(outer_features[level], 2, last, upsampling=up))
        return blocks

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        codes = tf.concat(inputs, axis=-1)
        if self._has_hidden:
            codes = self._hidden_activation(self._hidden(codes))
        shape = [-1, self._size, self._size, self._features[-1]]
        features = self._map_activation(tf.reshape(self._to_map(codes), shape))
        for block in self._levels:
            features = block(features)
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
        super().__init__(features, blocks, image_size, upsampling, True, **kwargs)


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


class Discriminator(_Encoder):
    """D: scaled Lab [batch, size, size, 3] -> logits float32 [batch]."""

    def __init__(
        self, features: Sequence[int], blocks: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(features, blocks, dims=1, **kwargs)
        self._head = WNDense(1, affine=True, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["dims"]
        return config

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self._head(self._flat_features(images))[:, 0]


class DiscriminatorConsortium(tf.keras.Model):
    """Section 5.2: identical discriminators that look at different scales.

    For patches of side p in images of side s there are scales p, 2p, .., s; the k-th
    network sees 4^k random patches of the image average-pooled to p 2^k.

    Args:
        features, blocks, normalization: of each network, see `Discriminator`.
        image_size: s, p times a power of two.
        patch_size: p.

    Raises:
        ValueError: if image_size is not patch_size times a power of two.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        image_size: int,
        patch_size: int,
        normalization: str = "strict",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        scales = (image_size // patch_size).bit_length()
        if not scales or patch_size << (scales - 1) != image_size:
            raise ValueError(
                "image_size must be patch_size times a power of two, got "
                f"image_size={image_size}, patch_size={patch_size}"
            )
        self._config = {
            "features": list(features),
            "blocks": list(blocks),
            "image_size": image_size,
            "patch_size": patch_size,
            "normalization": normalization,
        }
        self._patch_size = patch_size
        self._networks = [
            Discriminator(
                features,
                blocks,
                normalization=normalization,
                name=f"scale_{patch_size << k}",
            )
            for k in range(scales)
        ]

    def get_config(self) -> dict[str, Any]:
        return dict(self._config)

    def build_variables(self, image_size: int, code_dims: Sequence[int] = ()) -> None:
        """Create the variables."""
        offsets = tf.zeros([1, sum(self.patch_counts), 2])
        self([tf.zeros([1, image_size, image_size, 3]), offsets])

    @property
    def patch_counts(self) -> list[int]:
        """Patches that each network sees of an image: 1, 4, 16 .."""
        return [4**k for k in range(len(self._networks))]

    def call(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Compute logits from (images, offsets), see `extract_patches_by_scale`."""
        return self.compute_logits(self.extract_patches_by_scale(*inputs))

    def extract_patches_by_scale(
        self, images: tf.Tensor, offsets: tf.Tensor
    ) -> list[tf.Tensor]:
        """Cut what each network sees, float [batch * patches, p, p, 3] each.

        Args:
            images: float [batch, s, s, 3].
            offsets: float32 [batch, sum(patch_counts), 2] in [0, 1), see
                `extract_patches`.
        """
        patches = []
        offsets_by_scale = tf.split(offsets, self.patch_counts, axis=1)
        for k, scale_offsets in enumerate(offsets_by_scale):
            factor = images.shape[1] // (self._patch_size << k)
            scaled = tf.nn.avg_pool2d(images, factor, factor, "VALID")
            patches.append(extract_patches(scaled, scale_offsets, self._patch_size))
        return patches

    def compute_logits(self, patches: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Compute the logits of extracted patches, float32 [batch, patches] each."""
        return [
            tf.reshape(network(network_patches), [-1, count])
            for network, count, network_patches in zip(
                self._networks, self.patch_counts, patches, strict=True
            )
        ]
