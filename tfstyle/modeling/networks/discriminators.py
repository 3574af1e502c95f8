"""The discriminators of section 5.2, which look at patches of several scales.

They take scaled Lab like all networks, and know no loss.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfstyle.modeling.networks.blocks import extract_patches
from tfstyle.modeling.networks.networks import Encoder
from tfstyle.modeling.networks.weight_norm import WNDense


class Discriminator(Encoder):
    """D: scaled Lab [batch, size, size, 3] -> logits float32 [batch].

    Args:
        features: see `Encoder`.
        blocks: see `Encoder`.
        style_dims: dimensions of the styles that it is conditioned on. Then inputs are
            (images, styles float32 [batch, style_dims]), and the logit also has the
            inner product of the style with a linear function of the features
            (projection, arXiv 1802.05637); 0 for none, as in the paper.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[int],
        style_dims: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(features, blocks, dims=1, **kwargs)
        self._head = WNDense(1, affine=True, dtype="float32")
        self._style_dims = style_dims
        if style_dims:
            self._projection = WNDense(style_dims, affine=True, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "style_dims": self._style_dims}
        del config["dims"]
        return config

    def call(self, inputs: Any, with_features: bool = False) -> Any:
        """Compute logits; and with_features, the features after each block, a list."""
        images, styles = inputs if self._style_dims else (inputs, None)
        features = []
        for block in self._levels:
            images = block(images)
            features.append(images)
        flat = self._flat_map(images)
        logits = self._head(flat)[:, 0]
        if self._style_dims:
            # Keras casts inputs under mixed precision; heads are float32.
            styles = tf.cast(styles, logits.dtype)
            agreement = tf.reduce_sum(self._projection(flat) * styles, axis=1)
            logits += agreement * self._style_dims**-0.5
        return (logits, features) if with_features else logits


class DiscriminatorConsortium(tf.keras.Model):
    """Section 5.2: identical discriminators that look at different scales.

    For patches of side p in images of side s there are scales p, 2p, .., s; the k-th
    network sees 4^k random patches of the image average-pooled to p 2^k.

    Args:
        features, blocks, style_dims, normalization: of each network, see
            `Discriminator`.
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
        style_dims: int = 0,
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
            "style_dims": style_dims,
            "normalization": normalization,
        }
        self._patch_size = patch_size
        self._style_dims = style_dims
        self._networks = [
            Discriminator(
                features,
                blocks,
                style_dims,
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
        styles = tf.zeros([1, self._style_dims])
        self([tf.zeros([1, image_size, image_size, 3]), offsets, styles])

    @property
    def patch_counts(self) -> list[int]:
        """Patches that each network sees of an image: 1, 4, 16 .."""
        return [4**k for k in range(len(self._networks))]

    def call(self, inputs: Sequence[tf.Tensor], with_features: bool = False) -> Any:
        """Judge pictures.

        Args:
            inputs: images, offsets (see `extract_patches_by_scale`) and styles float32
                [batch, style_dims].
            with_features: see `judge_patches`.
        """
        images, offsets, styles = inputs
        patches = self.extract_patches_by_scale(images, offsets)
        return self.judge_patches(patches, styles, with_features)

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

    def judge_patches(
        self,
        patches: Sequence[tf.Tensor],
        styles: tf.Tensor,
        with_features: bool = False,
    ) -> Any:
        """Judge extracted patches of pictures of given styles.

        Returns:
            The logits of each network, float32 [batch, patches]; and with_features, the
            features of each network, a list of float [batch * patches, ..] after each
            of its blocks.
        """
        logits, features = [], []
        for network, count, network_patches in zip(
            self._networks, self.patch_counts, patches, strict=True
        ):
            inputs: Any = network_patches
            if self._style_dims:
                inputs = [network_patches, tf.repeat(styles, count, axis=0)]
            judged, blocks = network(inputs, with_features=True)
            logits.append(tf.reshape(judged, [-1, count]))
            features.append(blocks)
        return (logits, features) if with_features else logits
