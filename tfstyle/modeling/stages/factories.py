"""Table 1's networks, as functions to bind in gin.

The networks themselves are plain classes, because gin's values would be missing from
their get_config, by which a run rebuilds them.
"""

import gin

from tfstyle.modeling.networks.networks import (
    ContentDecoder,
    ContentEncoder,
    DiscriminatorConsortium,
    Generator,
    StyleEncoder,
)


@gin.configurable
def style_encoder(
    features=(64, 128, 256, 384, 512),
    blocks=(1, 1, 1, 1, 1),
    dims=512,
    normalization="strict",
) -> StyleEncoder:
    """Table 1's S."""
    return StyleEncoder(
        features, blocks, dims, normalization=normalization, name="style_encoder"
    )


@gin.configurable
def content_encoder(
    features=(64, 128, 192, 256, 384, 512),
    blocks=(1, 1, 1, 1, 1, 1),
    dims=512,
    normalization="strict",
) -> ContentEncoder:
    """Table 1's Enc."""
    return ContentEncoder(
        features, blocks, dims, normalization=normalization, name="content_encoder"
    )


@gin.configurable
def content_decoder(
    image_size,
    features=(64, 128, 192, 256, 384, 512),
    blocks=(1, 1, 1, 1, 1, 1),
    upsampling="transposed",
    normalization="strict",
) -> ContentDecoder:
    """Table 1's Dec."""
    return ContentDecoder(
        features,
        blocks,
        image_size,
        upsampling,
        normalization=normalization,
        name="content_decoder",
    )


@gin.configurable
def generator(
    image_size,
    features=(64, 128, 192, 256, 384, 512),
    blocks=(2, 2, 2, 2, 2, 2),
    upsampling="transposed",
    normalization="strict",
    hidden=False,
) -> Generator:
    """Table 1's G."""
    return Generator(
        features,
        blocks,
        image_size,
        upsampling,
        hidden,
        normalization=normalization,
        name="generator",
    )


@gin.configurable
def discriminators(
    image_size,
    features=(64, 128, 256, 512),
    blocks=(1, 1, 1, 1),
    patch_size=64,
    normalization="strict",
) -> DiscriminatorConsortium:
    """Table 1's D, three of them at 256x256 (section 5.2)."""
    return DiscriminatorConsortium(
        features, blocks, image_size, patch_size, normalization, name="discriminators"
    )
