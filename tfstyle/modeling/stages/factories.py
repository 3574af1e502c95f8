"""Table 1's networks, as functions to bind in gin.

The networks themselves are plain classes, because gin's values would be missing from
their get_config, by which a run rebuilds them.
"""

from collections.abc import Sequence

import gin

from tfstyle.modeling.networks import networks


@gin.configurable
def style_encoder(
    features: Sequence[int] = (64, 128, 256, 384, 512),
    blocks: Sequence[int] = (1, 1, 1, 1, 1),
    dims: int = 512,
    normalization: str = "strict",
) -> networks.StyleEncoder:
    """Make Table 1's S."""
    return networks.StyleEncoder(
        features, blocks, dims, normalization=normalization, name="style_encoder"
    )


@gin.configurable
def content_encoder(
    features: Sequence[int] = (64, 128, 192, 256, 384, 512),
    blocks: Sequence[int] = (1, 1, 1, 1, 1, 1),
    dims: int = 512,
    normalization: str = "strict",
) -> networks.ContentEncoder:
    """Make Table 1's Enc."""
    return networks.ContentEncoder(
        features, blocks, dims, normalization=normalization, name="content_encoder"
    )


@gin.configurable
def content_decoder(
    image_size: int,
    features: Sequence[int] = (64, 128, 192, 256, 384, 512),
    blocks: Sequence[int] = (1, 1, 1, 1, 1, 1),
    upsampling: str = "transposed",
) -> networks.ContentDecoder:
    """Make Table 1's Dec."""
    return networks.ContentDecoder(
        features, blocks, image_size, upsampling, name="content_decoder"
    )


@gin.configurable
def generator(
    image_size: int,
    features: Sequence[int] = (64, 128, 192, 256, 384, 512),
    blocks: Sequence[int] = (2, 2, 2, 2, 2, 2),
    upsampling: str = "transposed",
    hidden: bool = False,
) -> networks.Generator:
    """Make Table 1's G."""
    return networks.Generator(
        features, blocks, image_size, upsampling, hidden, name="generator"
    )


@gin.configurable
def discriminators(
    image_size: int,
    features: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (1, 1, 1, 1),
    patch_size: int = 64,
    normalization: str = "strict",
) -> networks.DiscriminatorConsortium:
    """Make Table 1's D, three of them at 256x256 (section 5.2)."""
    return networks.DiscriminatorConsortium(
        features, blocks, image_size, patch_size, normalization, name="discriminators"
    )
