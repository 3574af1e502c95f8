"""Equations 4 to 9 and additions to them, as pure functions of tensors.

Losses are per example: under a distribution strategy, divide sums by the global batch
size. B is the batch size, D the number of code dimensions.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf


def reconstruction_loss(images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Compute equation 4's squared error, summed: float [B, h, w, c] -> [B]."""
    return tf.reduce_sum(tf.math.squared_difference(images, targets), axis=[1, 2, 3])


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Compute KL(N(mean, variance) || N(0, I)) in nats: float [B, D], [B, D] -> [B]."""
    return tf.reduce_sum(kl_by_dimension(mean, log_variance), axis=-1)


def kl_by_dimension(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """Compute each dimension's term of `kl_divergence`: [B, D], [B, D] -> [B, D]."""
    return 0.5 * (tf.exp(log_variance) + tf.square(mean) - 1 - log_variance)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute equation 5, -log D(x) - log(1 - D(G(z))), elementwise on logits."""
    return tf.nn.softplus(-real_logits) + tf.nn.softplus(fake_logits)


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Compute equation 7, -log D(G(z)), elementwise on logits."""
    return tf.nn.softplus(-fake_logits)


def gradient_penalty(gradients: tf.Tensor) -> tf.Tensor:
    """Compute the R1 penalty of Mescheder et al. 2018 (arXiv 1801.04406), with gamma 1.

    It is half the squared norm, [n], of the logits' gradients with respect to D's real
    inputs, float [n, h, w, c].
    """
    return 0.5 * tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])


def code_loss(codes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Compute equations 8 and 9, the squared distance of codes: float [B, D] -> [B]."""
    return tf.reduce_sum(tf.math.squared_difference(codes, targets), axis=-1)


def pooled_squared_error(images: tf.Tensor, targets: tf.Tensor, side: int) -> tf.Tensor:
    """Compute the mean squared error of pooled images: float [B, h, w, c] -> [B].

    It ignores differences that are finer than the average pooling over squares of
    `side` pixels, a divisor of h and w.
    """
    errors = tf.nn.avg_pool2d(images - targets, side, side, "VALID")
    return tf.reduce_mean(tf.square(errors), axis=[1, 2, 3])


def consortium_discriminator_loss(
    real_logits: Sequence[tf.Tensor], fake_logits: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Average equation 5 over patches and networks; see `mean_over_networks`."""
    return mean_over_networks(
        [
            discriminator_loss(real, fake)
            for real, fake in zip(real_logits, fake_logits, strict=True)
        ]
    )


def consortium_generator_loss(fake_logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Average equation 7 over patches and networks; see `mean_over_networks`."""
    return mean_over_networks([generator_loss(logits) for logits in fake_logits])


def consortium_feature_difference(
    fakes: Sequence[Sequence[tf.Tensor]],
    reals: Sequence[Sequence[tf.Tensor]],
    batch_size: int,
) -> tf.Tensor:
    """Average how much discriminators' features of two pictures differ.

    This is feature matching: a picture that discriminators see as its original, rather
    than one with its pixels on average, which is blurred.

    Args:
        fakes: features of each network after each of its blocks, float [B * patches,
            h, w, channels].
        reals: those of the originals at the same patches; targets, not differentiated.
        batch_size: B.

    Returns:
        float32 [B], the mean absolute difference, averaged over blocks and networks.
    """
    differences = []
    for fake_blocks, real_blocks in zip(fakes, reals, strict=True):
        by_block = []
        for fake, real in zip(fake_blocks, real_blocks, strict=True):
            difference = tf.abs(fake - tf.stop_gradient(real))
            by_patch = tf.reduce_mean(difference, axis=[1, 2, 3])
            by_block.append(tf.reshape(by_patch, [batch_size, -1]))
        differences.append(tf.add_n(by_block) / len(by_block))
    return tf.cast(mean_over_networks(differences), tf.float32)


def consortium_penalty(
    compute_logits: Callable[[Sequence[tf.Tensor]], Sequence[tf.Tensor]],
    patches: Sequence[tf.Tensor],
) -> tf.Tensor:
    """Average R1 over patches and networks.

    Args:
        compute_logits: computes each network's logits, [B, patches], of its patches.
        patches: of real pictures, a float [B * patches, p, p, 3] per network.

    Returns:
        float [B].
    """
    with tf.GradientTape() as tape:
        tape.watch(patches)
        logits = compute_logits(patches)
    # Each logit depends on its own patch alone.
    slopes = tape.gradient(logits, patches)
    return mean_over_networks(
        [
            tf.reshape(gradient_penalty(slope), tf.shape(logit))
            for slope, logit in zip(slopes, logits, strict=True)
        ]
    )


def mean_over_networks(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Average over patches, then over a consortium's networks (section 5.2).

    Values are float [B, patches] per network, the result [B].
    """
    means = [tf.reduce_mean(by_patch, axis=1) for by_patch in values]
    return tf.add_n(means) / len(values)
