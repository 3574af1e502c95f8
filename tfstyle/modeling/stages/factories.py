"""Table 1's networks, as functions to bind in gin.

The networks themselves are plain classes, because gin's values would be missing from
their get_config, by which a run rebuilds them.
"""

from collections.abc import Sequence
from typing import Annotated

import gin

from tfstyle.core.typed import Entries, OneOf, Range
from tfstyle.modeling.networks import networks
from tfstyle.modeling.networks.blocks import NORMALIZATIONS, UPSAMPLINGS
from tfstyle.modeling.networks.discriminators import DiscriminatorConsortium

# Of each level. Twelve levels halve a picture of 4096x4096 to one pixel.
_Features = Annotated[Sequence[Annotated[int, Range(1, 8192)]], Entries(1, 12)]
_Blocks = Annotated[Sequence[Annotated[int, Range(1, 64)]], Entries(1, 12)]
_Normalization = Annotated[str, OneOf(NORMALIZATIONS)]
_Upsampling = Annotated[str, OneOf(UPSAMPLINGS)]
_Side = Annotated[int, Range(1, 65536)]  # pixels


@gin.configurable
def style_encoder(
    features: _Features = (64, 128, 256, 384, 512),
    blocks: _Blocks = (1, 1, 1, 1, 1),
    dims: networks.Dims = 512,
    normalization: _Normalization = "strict",
) -> networks.StyleEncoder:
    """Make Table 1's S."""
    return networks.StyleEncoder(
        features, blocks, dims, normalization=normalization, name="style_encoder"
    )


@gin.configurable
def content_encoder(
    features: _Features = (64, 128, 192, 256, 384, 512),
    blocks: _Blocks = (1, 1, 1, 1, 1, 1),
    dims: networks.Dims = 512,
    normalization: _Normalization = "strict",
) -> networks.ContentEncoder:
    """Make Table 1's Enc."""
    return networks.ContentEncoder(
        features, blocks, dims, normalization=normalization, name="content_encoder"
    )


@gin.configurable
def content_decoder(
    image_size: _Side,
    features: _Features = (64, 128, 192, 256, 384, 512),
    blocks: _Blocks = (1, 1, 1, 1, 1, 1),
    upsampling: _Upsampling = "transposed",
    modulated: bool = False,
    full_resolution: Annotated[int, Range(0, 8192)] = 0,
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
    image_size: _Side,
    features: _Features = (64, 128, 192, 256, 384, 512),
    blocks: _Blocks = (2, 2, 2, 2, 2, 2),
    upsampling: _Upsampling = "transposed",
    hidden: bool = False,
    modulated: bool = False,
    full_resolution: Annotated[int, Range(0, 8192)] = 0,
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
    image_size: _Side,
    style_dims: networks.Dims,
    features: _Features = (64, 128, 256, 512),
    blocks: _Blocks = (1, 1, 1, 1),
    patch_size: _Side = 64,
    conditional: bool = False,
    normalization: _Normalization = "strict",
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
