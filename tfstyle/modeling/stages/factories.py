"""Table 1's networks, as functions to bind in gin.

The networks themselves are plain classes, because gin's values would be missing from
their get_config, by which a run rebuilds them.
"""

from collections.abc import Sequence

import gin

from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.discriminators import DiscriminatorConsortium


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
    modulated: bool = False,
    full_resolution: int = 0,
) -> networks.ContentDecoder:
    """Make Table 1's Dec."""
    return networks.ContentDecoder(
        features,
        blocks,
        image_size,
        upsampling,
        modulated=modulated,
        full_resolution=full_resolution,
        name="content_decoder",
    )


@gin.configurable
def generator(
    image_size: int,
    features: Sequence[int] = (64, 128, 192, 256, 384, 512),
    blocks: Sequence[int] = (2, 2, 2, 2, 2, 2),
    upsampling: str = "transposed",
    hidden: bool = False,
    modulated: bool = False,
    full_resolution: int = 0,
) -> networks.Generator:
    """Make Table 1's G."""
    return networks.Generator(
        features,
        blocks,
        image_size,
        upsampling,
        hidden,
        modulated,
        full_resolution,
        name="generator",
    )


@gin.configurable
def discriminators(
    image_size: int,
    style_dims: int,
    features: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (1, 1, 1, 1),
    patch_size: int = 64,
    conditional: bool = False,
    normalization: str = "strict",
) -> DiscriminatorConsortium:
    """Make Table 1's D, three of them at 256x256 (section 5.2).

    With `conditional` they are conditioned on the style of each picture.
    """
    return DiscriminatorConsortium(
        features,
        blocks,
        image_size,
        patch_size,
        style_dims if conditional else 0,
        normalization,
        name="discriminators",
    )
