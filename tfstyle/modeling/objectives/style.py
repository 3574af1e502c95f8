"""Equations 1 to 9 as pure functions of tensors.

Unless said otherwise a loss is per example and unreduced: under a distribution
strategy the caller divides sums by the global batch size.

B is the batch, D the code's dimensions, N the number of artists. A prefix distance is
h_d ||x[d] - s[d]||; h_d is `prefix_scales`, positive.
"""

import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities

# Elements of one chunk of equation 2's [B, artists, D] tensor: 4 MiB in float32.
_CHUNK_ELEMENTS = 1 << 20
# Of `prefix_sums`, in elements.
_BLOCK = 16


def presumed_style_loss(
    codes: tf.Tensor,
    artist_ids: tf.Tensor,
    presumed_styles: tf.Tensor,
    prefix_scales: tf.Tensor,
    artist_counts: tf.Tensor,
    t: float,
    prefix_lengths: tf.Tensor | None = None,
) -> tf.Tensor:
    """Equation 2 with equation 3, as the loss of uniformly drawn images.

    With n_i images of artist i, M in all and Q = sum n_k^2, an image x of artist i
    costs M n_i / Q L'same(x, s_i) plus, over all j != i, the sum of
    M n_j / (M^2 - Q) L'diff(x, s_j);
    the mean over all images is equation 2.

    Args:
        codes: float [B, D].
        artist_ids: int [B].
        presumed_styles: float [N, D], s_i.
        prefix_scales: float [D], h_d, positive.
        artist_counts: [N], training images of each artist.
        t: nested dropout's parameter.
        prefix_lengths: int32 [B] (see `sample_prefix_lengths`) to use one prefix per
            image instead of all D weighted by their probabilities: equal in mean.

    Returns:
        float [B].
    """
    dims = codes.shape[-1]
    dtype = codes.dtype
    counts = tf.cast(artist_counts, dtype)
    images = tf.reduce_sum(counts)
    same_pairs = tf.reduce_sum(tf.square(counts))
    if prefix_lengths is None:
        weights = tf.cast(prefix_probabilities(dims, t), dtype)[None, :]
    else:
        weights = tf.one_hot(prefix_lengths - 1, dims, dtype=dtype)

    own_styles = tf.gather(presumed_styles, artist_ids)
    own_distances = _squared_prefix_distances(codes, own_styles, prefix_scales)
    same = tf.reduce_sum(weights * own_distances, axis=-1)
    same_weight = images / same_pairs * tf.gather(counts, artist_ids)

    others = 1 - tf.one_hot(artist_ids, tf.shape(counts)[0], dtype=dtype)
    # An only artist has no pairs of different styles: that term counts 0.
    other_weight = tf.math.divide_no_nan(images, tf.square(images) - same_pairs)
    other_weights = others * counts * other_weight
    repulsion = _weighted_repulsion(
        codes, presumed_styles, prefix_scales, weights, other_weights
    )
    return same_weight * same + repulsion


def pairwise_metric_loss(
    codes: tf.Tensor, artist_ids: tf.Tensor, prefix_scales: tf.Tensor, t: float
) -> tf.Tensor:
    """Equation 1 with equation 3 over all ordered pairs of a batch.

    An image with itself counts as a pair of the same style, as in equation 1.

    Args:
        codes: float [B, D].
        artist_ids: int [B].
        prefix_scales: float [D], h_d, positive.
        t: nested dropout's parameter.

    Returns:
        Scalar. A term without pairs counts 0.
    """
    weights = tf.cast(prefix_probabilities(codes.shape[-1], t), codes.dtype)
    distances = _squared_prefix_distances(
        codes[:, None, :], codes[None, :, :], prefix_scales
    )
    same = tf.cast(artist_ids[:, None] == artist_ids[None, :], codes.dtype)
    same_loss = tf.reduce_sum(weights * distances, axis=-1)
    different_loss = tf.reduce_sum(weights * tf.exp(-distances), axis=-1)
    return tf.math.divide_no_nan(
        tf.reduce_sum(same * same_loss), tf.reduce_sum(same)
    ) + tf.math.divide_no_nan(
        tf.reduce_sum((1 - same) * different_loss), tf.reduce_sum(1 - same)
    )


def prefix_classification_loss(
    features: tf.Tensor,
    artist_ids: tf.Tensor,
    weights: tf.Tensor,
    bias: tf.Tensor,
    prefix_lengths: tf.Tensor,
) -> tf.Tensor:
    """Cross entropy of artists from a prefix of each image's features.

    The reference of section 6.1 under the same nested dropout as the metric: the
    sampled form, since exact logits for all D prefixes have no closed form.

    Args:
        features: float [B, D].
        artist_ids: int [B].
        weights: float [D, N].
        bias: float [N].
        prefix_lengths: int32 [B], see `sample_prefix_lengths`.

    Returns:
        float [B].
    """
    mask = tf.sequence_mask(prefix_lengths, features.shape[-1], features.dtype)
    logits = tf.matmul(features * mask, weights) + bias
    return tf.nn.sparse_softmax_cross_entropy_with_logits(artist_ids, logits)


def reconstruction_loss(images: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Equation 4's squared distance: [B, h, w, c] -> [B], summed over pixels."""
    return tf.reduce_sum(tf.math.squared_difference(images, targets), axis=[1, 2, 3])


def kl_divergence(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL(N(mean, variance) || N(0, I)): [B, D], [B, D] -> [B], summed over D."""
    return tf.reduce_sum(kl_by_dimension(mean, log_variance), axis=-1)


def kl_by_dimension(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """What each dimension adds to `kl_divergence`: [B, D], [B, D] -> [B, D], nats."""
    return 0.5 * (tf.exp(log_variance) + tf.square(mean) - 1 - log_variance)


def kl_beyond_free_bits(kl: tf.Tensor, free_bits: float) -> tf.Tensor:
    """KL that is paid for if `free_bits` nats of each dimension cost nothing extra.

    Equation 15 of Kingma et al. 2016 (arXiv 1606.04934), which takes the larger of
    free_bits and the KL averaged over a minibatch; here it is taken of each example's
    own KL, so that neither replicas nor parts of a batch change it.

    Args:
        kl: float [B, D], of `kl_by_dimension`.
        free_bits: nats of each dimension below which its KL has no gradient.

    Returns:
        float [B], sum over dimensions of max(free_bits, kl).
    """
    return tf.reduce_sum(tf.maximum(kl, free_bits), axis=-1)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Equation 5: -log D(x) - log(1 - D(G(z))), elementwise on logits."""
    return tf.nn.softplus(-real_logits) + tf.nn.softplus(fake_logits)


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Equation 7: -log D(G(z)), elementwise on logits."""
    return tf.nn.softplus(-fake_logits)


def gradient_penalty(gradients: tf.Tensor) -> tf.Tensor:
    """R1 of Mescheder et al. 2018 (arXiv 1801.04406) for a weight gamma of 1.

    Args:
        gradients: float [n, h, w, c], of D's logits by the real pictures it was given.

    Returns:
        float [n], half the squared norm of each.
    """
    return 0.5 * tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])


def code_loss(codes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Equations 8 and 9: squared distance of codes, [B, D] -> [B]."""
    return tf.reduce_sum(tf.math.squared_difference(codes, targets), axis=-1)


def pooled_squared_error(images: tf.Tensor, targets: tf.Tensor, side: int) -> tf.Tensor:
    """Compare averages over squares, so that what is finer is left to others.

    Args:
        images, targets: float [batch, h, w, c].
        side: of the squares, pixels; it divides h and w.

    Returns:
        float [batch], mean over squares and channels.
    """
    off = tf.nn.avg_pool2d(images - targets, side, side, "VALID")
    return tf.reduce_mean(tf.square(off), axis=[1, 2, 3])


def _squared_prefix_distances(x, y, prefix_scales):
    """(h_d ||x[d] - y[d]||)^2 for every prefix d: [.., D] -> [.., D]."""
    squares = tf.math.squared_difference(x, y)
    return tf.square(prefix_scales) * prefix_sums(squares)


def prefix_sums(values: tf.Tensor, reverse: bool = False) -> tf.Tensor:
    """Sum over prefixes of the last axis, or over what follows: [.., D] -> [.., D].

    On a CPU TensorFlow's scan would take most of equation 2's time; products with
    small triangular matrices, within blocks and then over them, take a fifth of that.
    GPUs keep the scan, since there TF32 would round products.
    """
    dims = values.shape[-1]
    if dims <= _BLOCK or tf.config.list_logical_devices("GPU"):
        return tf.cumsum(values, axis=-1, reverse=reverse)
    blocks = -(-dims // _BLOCK)
    shape = tf.shape(values)
    rows = tf.reshape(values, [-1, dims])
    rows = tf.pad(rows, [[0, 0], [0, blocks * _BLOCK - dims]])
    within = tf.linalg.band_part(tf.ones([_BLOCK, _BLOCK], values.dtype), 0, -1)
    over = tf.linalg.band_part(tf.ones([blocks, blocks], values.dtype), 0, -1)
    over -= tf.eye(blocks, dtype=values.dtype)
    sums = tf.matmul(tf.reshape(rows, [-1, _BLOCK]), within, transpose_b=reverse)
    sums = tf.reshape(sums, [-1, blocks, _BLOCK])
    totals = sums[..., 0 if reverse else -1]
    sums += tf.matmul(totals, over, transpose_b=reverse)[..., None]
    sums = tf.reshape(sums, [-1, blocks * _BLOCK])[:, :dims]
    return tf.reshape(sums, shape)


def _weighted_repulsion(codes, styles, prefix_scales, weights, other_weights):
    """Sum over artists j and prefixes d of c_bj w_bd exp(-(h_d ||x_b[d] - s_j[d]||)^2).

    Chunked over artists, forward and backward, so that the [B, N, D] tensor never
    exists; the backward pass computes each chunk again instead of keeping it.

    Args:
        codes: [B, D]. styles: [N, D]. prefix_scales: [D].
        weights: [B or 1, D], w. other_weights: [B, N], c, 0 for the own artist.

    Returns:
        [B].
    """
    batch, dims = tf.shape(codes)[0], codes.shape[-1]
    artists = tf.shape(styles)[0]
    chunk = tf.maximum(1, _CHUNK_ELEMENTS // (batch * dims))
    chunks = (artists + chunk - 1) // chunk

    def parts(index, styles):
        here = slice(index * chunk, (index + 1) * chunk)
        return styles[here], other_weights[:, here]

    def terms(codes, styles, scales, coefficients):
        """One chunk: differences, distances and c w exp(-distance), [B, chunk, D]."""
        differences = codes[:, None, :] - styles[None, :, :]
        sums = prefix_sums(tf.square(differences))
        values = tf.exp(-tf.square(scales) * sums) * weights[:, None, :]
        return differences, sums, values * coefficients[:, :, None]

    @tf.custom_gradient
    def repulsion(codes, styles, scales):
        def forward(index, total):
            here, coefficients = parts(index, styles)
            values = terms(codes, here, scales, coefficients)[2]
            return index + 1, total + tf.reduce_sum(values, axis=[1, 2])

        _, total = tf.while_loop(
            lambda index, _: index < chunks,
            forward,
            [0, tf.zeros_like(codes[:, 0])],
            parallel_iterations=1,
        )

        def gradient(upstream):
            def backward(index, codes_gradient, styles_gradient, scales_gradient):
                here, coefficients = parts(index, styles)
                differences, sums, values = terms(
                    codes, here, scales, coefficients * upstream[:, None]
                )
                scales_gradient -= (
                    2 * scales * tf.reduce_sum(values * sums, axis=[0, 1])
                )
                # d sums_e / d differences_d = 2 differences_d for every e >= d
                towards = prefix_sums(values * tf.square(scales), reverse=True)
                towards *= -2 * differences
                return (
                    index + 1,
                    codes_gradient + tf.reduce_sum(towards, axis=1),
                    styles_gradient.write(index, -tf.reduce_sum(towards, axis=0)),
                    scales_gradient,
                )

            _, codes_gradient, styles_gradient, scales_gradient = tf.while_loop(
                lambda index, *_: index < chunks,
                backward,
                [
                    0,
                    tf.zeros_like(codes),
                    tf.TensorArray(
                        codes.dtype,
                        size=chunks,
                        infer_shape=False,
                        element_shape=[None, dims],
                    ),
                    tf.zeros_like(scales),
                ],
                parallel_iterations=1,
            )
            return codes_gradient, styles_gradient.concat(), scales_gradient

        return total, gradient

    return repulsion(codes, styles, prefix_scales)
