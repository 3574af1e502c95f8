"""The networks of Table 1, built from (features, blocks) per level.

Networks take and give scaled Lab (see `color`) and know no loss. Levels
are listed from the picture inwards, as in Table 1; each halves the picture's side.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfstyle.modeling.networks.weight_norm import (
    DecoderBlock,
    EncoderBlock,
    TPReLU,
    WNDense,
)

# Section 5.2: the extra fully connected layer of the VAE.
HIDDEN_FEATURES = 512


class _Network(tf.keras.Model):
    """Levels of residual blocks; get_config holds what rebuilds the network.

    Args:
        features: channels of each level, from the picture inwards.
        blocks: residual blocks of each level.
        normalization: of the blocks' convolutions, see `layers.make_conv`.

    Raises:
        ValueError: if features and blocks differ in length or are empty.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        normalization: str = "strict",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not features or len(features) != len(blocks):
            raise ValueError(
                "features and blocks need one entry per level, got "
                f"features={tuple(features)}, blocks={tuple(blocks)}"
            )
        if any(not isinstance(one, int) or one < 1 for one in (*features, *blocks)):
            raise ValueError(
                "features and blocks must be numbers above 0, got "
                f"features={tuple(features)}, blocks={tuple(blocks)}"
            )
        # Plain copies: Keras wraps list attributes, which get_config must not hand on.
        self._features = tuple(features)
        self._blocks = tuple(blocks)
        self._normalization = normalization

    def get_config(self) -> dict:
        return {
            "features": list(self._features),
            "blocks": list(self._blocks),
            "normalization": self._normalization,
        }

    def _start_size(self, image_size: int) -> int:
        levels = len(self._features)
        size = image_size >> levels
        if size < 1 or size << levels != image_size:
            raise ValueError(
                f"{self.name}: {levels} levels need an image_size divisible by "
                f"{1 << levels}, got {image_size}"
            )
        return size

    def _encoder_blocks(self) -> list[EncoderBlock]:
        """Blocks in order; the first of each level halves the side."""
        return [
            EncoderBlock(filters, 2 if block == 0 else 1, self._normalization)
            for filters, count in zip(self._features, self._blocks, strict=True)
            for block in range(count)
        ]


class _Encoder(_Network):
    """Blocks, then one dense layer over the whole remaining map."""

    def __init__(self, features, blocks, dims: int, **kwargs):
        super().__init__(features, blocks, **kwargs)
        self._dims = dims
        self._levels = self._encoder_blocks()
        # not _flatten: that is a method of tf.Module
        self._flat_map = tf.keras.layers.Flatten()

    def get_config(self):
        return {**super().get_config(), "dims": self._dims}

    def build(self, input_shape):
        self._start_size(input_shape[1])
        super().build(input_shape)

    def _flat_features(self, images: tf.Tensor) -> tf.Tensor:
        for block in self._levels:
            images = block(images)
        return self._flat_map(images)


# Heads are float32, so that codes and logits stay exact under mixed precision.


class StyleEncoder(_Encoder):
    """S: scaled Lab [batch, size, size, 3] -> style codes float32 [batch, dims].

    Also the classifier's trunk, so that both are the same network (section 6.1).
    """

    def __init__(self, features, blocks, dims: int, **kwargs):
        super().__init__(features, blocks, dims, **kwargs)
        self._head = WNDense(dims, affine=True, dtype="float32")

    def call(self, images):
        return self._head(self._flat_features(images))


class ContentEncoder(_Encoder):
    """Enc: scaled Lab [batch, size, size, 3] -> (mean, log variance), [batch, dims]."""

    def __init__(self, features, blocks, dims: int, **kwargs):
        super().__init__(features, blocks, dims, **kwargs)
        self._hidden = WNDense(HIDDEN_FEATURES)
        self._activation = TPReLU()
        self._head = WNDense(2 * dims, affine=True, dtype="float32")

    def call(self, images):
        hidden = self._activation(self._hidden(self._flat_features(images)))
        mean, log_variance = tf.split(self._head(hidden), 2, axis=-1)
        return mean, log_variance


class _Decoder(_Network):
    """A map of the deepest level's size, then blocks up to the picture.

    Args:
        features, blocks: as in Table 1, from the picture inwards.
        image_size: side of the pictures.
        upsampling: see `DecoderBlock`.
        hidden: put section 5.2's extra fully connected layer first.
    """

    def __init__(
        self,
        features,
        blocks,
        image_size: int,
        upsampling: str = "transposed",
        hidden: bool = False,
        **kwargs,
    ):
        super().__init__(features, blocks, **kwargs)
        self._image_size = image_size
        self._upsampling = upsampling
        self._size = self._start_size(image_size)
        self._map_activation = TPReLU()
        self._levels = self._decoder_blocks()
        self._has_hidden = hidden
        if hidden:
            self._hidden = WNDense(HIDDEN_FEATURES, affine=True)
            self._hidden_activation = TPReLU()
        self._to_map = WNDense(self._size**2 * features[-1], affine=not hidden)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self._image_size,
            "upsampling": self._upsampling,
        }

    def _decoder_blocks(self) -> list[DecoderBlock]:
        """Blocks in order, deepest level first; the last of each doubles the side."""
        kinds: dict[str, Any] = {
            "upsampling": self._upsampling,
            "normalization": self._normalization,
        }
        blocks = []
        outer = (3, *self._features[:-1])
        for level in reversed(range(len(self._features))):
            for _ in range(self._blocks[level] - 1):
                blocks.append(DecoderBlock(self._features[level], **kinds))
            blocks.append(
                DecoderBlock(outer[level], stride=2, last=level == 0, **kinds)
            )
        return blocks

    def call(self, inputs):
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

    def __init__(self, features, blocks, image_size, upsampling="transposed", **kwargs):
        super().__init__(features, blocks, image_size, upsampling, True, **kwargs)


class Generator(_Decoder):
    """G: (style, content, noise) -> scaled Lab float32 [batch, size, size, 3].

    Only Dec has a hidden layer in Table 1; a G that is to start as Dec needs it too.
    """

    def get_config(self):
        hidden = {"hidden": True} if self._has_hidden else {}
        return {**super().get_config(), **hidden}

    def start_as(
        self, decoder: ContentDecoder, from_codes: tf.Tensor, bias: tf.Tensor
    ) -> None:
        """Take over Dec's weights, so that G draws what Dec draws, whatever the noise.

        Args:
            decoder: built, of the same levels.
            from_codes: float32 [style + content + noise, decoder's code], how Dec's
                code is a linear function of G's.
            bias: float32 [decoder's code], what is added to that.

        Raises:
            ValueError: if the two networks differ, or G has no hidden layer.
        """
        own, wanted = self.get_config(), {**decoder.get_config(), "hidden": True}
        if own != wanted:
            raise ValueError(
                'gan.start = "decoder" needs a generator like the content decoder, '
                f"with generator.hidden = True: {wanted}, got {own}"
            )
        for name in ("_hidden_activation", "_to_map", "_map_activation", "_levels"):
            copies, originals = getattr(self, name), getattr(decoder, name)
            copies = tf.nest.flatten([copies])
            for copy, original in zip(
                copies, tf.nest.flatten([originals]), strict=True
            ):
                copy.set_weights(original.get_weights())
        self._hidden.take_linear(decoder._hidden, from_codes, bias)


class Discriminator(_Encoder):
    """D: scaled Lab [batch, size, size, 3] -> logits float32 [batch]."""

    def __init__(self, features, blocks, **kwargs):
        super().__init__(features, blocks, dims=1, **kwargs)
        self._head = WNDense(1, affine=True, dtype="float32")

    def get_config(self):
        return _Network.get_config(self)

    def call(self, images):
        return self._head(self._flat_features(images))[:, 0]


class DiscriminatorConsortium(tf.keras.Model):
    """Section 5.2: identical discriminators that look at different scales.

    For patches of side p in pictures of side s there are scales p, 2p, .., s; the k-th
    network sees 4^k random patches of the picture average-pooled to p 2^k.

    Args:
        features, blocks: of each network, see `Discriminator`.
        image_size: s, p times a power of two.
        patch_size: p.

    Raises:
        ValueError: if the sizes do not fit.
    """

    def __init__(
        self,
        features,
        blocks,
        image_size: int,
        patch_size: int,
        normalization: str = "strict",
        **kwargs,
    ):
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

    def get_config(self):
        return dict(self._config)

    @property
    def patch_counts(self) -> list[int]:
        """Patches that each network sees of one picture: 1, 4, 16 .."""
        return [4**k for k in range(len(self._networks))]

    def call(self, inputs):
        """Judge patches.

        Args:
            inputs: (images, offsets): images float [batch, s, s, 3]; offsets float32
                [batch, sum(patch_counts), 2] in [0, 1), where in the room that the
                scale leaves each patch begins.

        Returns:
            One float32 [batch, patches] of logits per network.
        """
        return self.judge(self.patches(*inputs))

    def patches(self, images: tf.Tensor, offsets: tf.Tensor) -> list[tf.Tensor]:
        """Cut what each network sees, float [batch * patches, p, p, 3]; as `call`."""
        patches = []
        for count, here in zip(
            self.patch_counts, tf.split(offsets, self.patch_counts, axis=1), strict=True
        ):
            scaled_size = self._patch_size * int(count**0.5)
            factor = images.shape[1] // scaled_size
            scaled = tf.nn.avg_pool2d(images, factor, factor, "VALID")
            patches.append(extract_patches(scaled, here, self._patch_size))
        return patches

    def judge(self, patches: list[tf.Tensor]) -> list[tf.Tensor]:
        """Give `call`'s logits of what `patches` cut."""
        return [
            tf.reshape(network(seen), [-1, count])
            for network, count, seen in zip(
                self._networks, self.patch_counts, patches, strict=True
            )
        ]


def extract_patches(
    images: tf.Tensor, offsets: tf.Tensor, patch_size: int
) -> tf.Tensor:
    """Cut square patches, at different places for each image.

    Args:
        images: float [batch, size, size, channels].
        offsets: float32 [batch, patches, 2] in [0, 1): row and column, as a share of
            the size - patch_size + 1 places where a patch can begin.
        patch_size: their side.

    Returns:
        float [batch * patches, patch_size, patch_size, channels].
    """
    size, channels = images.shape[1], images.shape[3]
    if size == patch_size:
        return images
    places = size - patch_size + 1
    # float rounding may lift a product just below `places` up to it
    starts = tf.minimum(tf.cast(offsets * places, tf.int32), places - 1)
    inside = tf.range(patch_size)
    rows = starts[..., 0, None] + inside
    columns = starts[..., 1, None] + inside
    pixels = rows[..., :, None] * size + columns[..., None, :]
    flat = tf.reshape(images, [-1, size * size, channels])
    patches = tf.gather(flat, pixels, axis=1, batch_dims=1)
    return tf.reshape(patches, [-1, patch_size, patch_size, channels])
