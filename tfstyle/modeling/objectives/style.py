"""Equations 1 to 3 and what they are compared with, as pure functions of tensors.

B is the batch size, D the number of code dimensions, N the number of artists. The
prefix distance of x and s is h_d ||x[d] - s[d]||, where h_d is `prefix_scales`,
positive.
"""

from collections.abc import Callable

import tensorflow as tf

from tfstyle.modeling.objectives.nested_dropout import prefix_probabilities

# Elements of one chunk of equation 2's [B, artists, D] tensor: 4 MiB in float32.
CHUNK_ELEMENTS = 1 << 20
# Elements of one block of `prefix_sums`.
BLOCK_SIZE = 16
# Mean scaled distances between artists, and of works from their own artist, at which
# exp(-t^2) is flat: about 1, or about 0.
COLLAPSED_DISTANCE = 0.1
SATURATED_DISTANCE = 3.0


def presumed_style_loss(
    codes: tf.Tensor,
    artist_ids: tf.Tensor,
    presumed_styles: tf.Tensor,
    prefix_scales: tf.Tensor,
    artist_counts: tf.Tensor,
    t: float,
) -> tf.Tensor:
    """Compute equation 2 with equation 3 as a loss of each image.

    With n_i images of artist i, M in all and Q = sum n_k^2, an image x of artist i
    costs M n_i / Q L'same(x, s_i) plus, over all j != i, the sum of
    M n_j / (M^2 - Q) L'diff(x, s_j). The mean over uniformly drawn images is
    equation 2. Under a distribution strategy, divide sums by the global batch size.

    Args:
        codes: float [B, D].
        artist_ids: int [B].
        presumed_styles: float [N, D], s_i.
        prefix_scales: float [D], h_d.
        artist_counts: [N], training images of each artist.
        t: nested dropout's parameter.

    Returns:
        float [B].
    """
    dtype = codes.dtype
    counts = tf.cast(artist_counts, dtype)
    images = tf.reduce_sum(counts)
    same_pairs = tf.reduce_sum(tf.square(counts))
    weights = tf.cast(prefix_probabilities(codes.shape[-1], t), dtype)

    true_styles = tf.gather(presumed_styles, artist_ids)
    distances = _squared_prefix_distances(codes, true_styles, prefix_scales)
    attraction = tf.reduce_sum(weights * distances, axis=-1)
    attraction_weight = images / same_pairs * tf.gather(counts, artist_ids)

    is_other = 1 - tf.one_hot(artist_ids, tf.shape(counts)[0], dtype=dtype)
    # With a single artist there are no cross-artist pairs; the term is 0.
    other_weight = tf.math.divide_no_nan(images, tf.square(images) - same_pairs)
    repulsion = _weighted_repulsion(
        codes, presumed_styles, prefix_scales, weights, is_other * counts * other_weight
    )
    return attraction_weight * attraction + repulsion


def softmax_metric_loss(
    codes: tf.Tensor,
    artist_ids: tf.Tensor,
    presumed_styles: tf.Tensor,
    prefix_scales: tf.Tensor,
    prefix_lengths: tf.Tensor,
    attraction_weight: float,
) -> tf.Tensor:
    """Compute the cross entropy of artists by their distances, with an attraction.

    An image is by artist j with a probability proportional to exp(-D_j^2), where D_j is
    its prefix distance to s_j. Equation 2 weights the repulsion of a similar artist
    like that of any other; here it is the more, the more similar the artist (as in
    neighborhood components analysis with proxies, arXiv 1703.07464). D_i^2 of the own
    artist is added, since the probability alone allows works to be far from every s_j.

    Args:
        codes: float [B, D].
        artist_ids: int [B].
        presumed_styles: float [N, D], s_j.
        prefix_scales: float [D], h_d.
        prefix_lengths: int32 [B], see `sample_prefix_lengths`.
        attraction_weight: of the own artist's squared distance.

    Returns:
        float [B].
    """
    distances = _sampled_prefix_distances(
        codes, presumed_styles, prefix_scales, prefix_lengths
    )
    own_distances = tf.gather(distances, artist_ids, axis=1, batch_dims=1)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(artist_ids, -distances)
    return losses + attraction_weight * own_distances


def pairwise_metric_loss(
    codes: tf.Tensor, artist_ids: tf.Tensor, prefix_scales: tf.Tensor, t: float
) -> tf.Tensor:
    """Compute equation 1 with equation 3 over all ordered pairs of a batch.

    An image with itself is a pair of the same style, as in equation 1.

    Args:
        codes: float [B, D].
        artist_ids: int [B].
        prefix_scales: float [D], h_d.
        t: nested dropout's parameter.

    Returns:
        float scalar. A term without pairs is 0.
    """
    weights = tf.cast(prefix_probabilities(codes.shape[-1], t), codes.dtype)
    distances = _squared_prefix_distances(
        codes[:, None, :], codes[None, :, :], prefix_scales
    )
    same = tf.cast(artist_ids[:, None] == artist_ids[None, :], codes.dtype)
    attraction = tf.reduce_sum(weights * distances, axis=-1)
    repulsion = tf.reduce_sum(weights * tf.exp(-distances), axis=-1)
    return tf.math.divide_no_nan(
        tf.reduce_sum(same * attraction), tf.reduce_sum(same)
    ) + tf.math.divide_no_nan(
        tf.reduce_sum((1 - same) * repulsion), tf.reduce_sum(1 - same)
    )


def triplet_prefix_loss(
    codes: tf.Tensor, artist_ids: tf.Tensor, prefix_lengths: tf.Tensor
) -> tf.Tensor:
    """Compute the mean triplet loss of a batch over sampled prefixes.

    Args:
        codes: float32 [B, D].
        artist_ids: int [B].
        prefix_lengths: int32 [P], see `sample_prefix_lengths`; P is static.

    Returns:
        float32 scalar; 0 if all images are by the same artist.
    """
    # Imported lazily: tensorflow-addons is slow to import.
    from tfstyle.modeling.networks.addons import triplet_loss

    masks = tf.sequence_mask(prefix_lengths, codes.shape[-1], codes.dtype)
    losses = [triplet_loss(codes * mask, artist_ids) for mask in tf.unstack(masks)]
    # Without negatives, tensorflow-addons would use positives instead.
    has_negatives = tf.reduce_any(artist_ids != artist_ids[0])
    return tf.where(has_negatives, tf.add_n(losses) / len(losses), 0.0)


def prefix_classification_loss(
    features: tf.Tensor,
    artist_ids: tf.Tensor,
    weights: tf.Tensor,
    bias: tf.Tensor,
    prefix_lengths: tf.Tensor,
) -> tf.Tensor:
    """Compute the cross entropy of artists from a prefix of each image's features.

    This is the reference of section 6.1 under the nested dropout of the metric. It
    samples prefixes, since the mean over all D of them has no closed form.

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


def prefix_sums(values: tf.Tensor, reverse: bool = False) -> tf.Tensor:
    """Compute cumulative sums over the last axis; float [.., D] -> [.., D].

    If `reverse`, sum each element and those after it, not those before it.

    On a CPU TensorFlow's scan would take most of equation 2's time. Products with small
    triangular matrices, within blocks and then over blocks, take a fifth of it. GPUs
    keep the scan, because TF32 would round products there.
    """
    dims = values.shape[-1]
    if dims <= BLOCK_SIZE or tf.config.list_logical_devices("GPU"):
        return tf.cumsum(values, axis=-1, reverse=reverse)
    blocks = -(-dims // BLOCK_SIZE)
    shape = tf.shape(values)
    rows = tf.reshape(values, [-1, dims])
    rows = tf.pad(rows, [[0, 0], [0, blocks * BLOCK_SIZE - dims]])
    ones = tf.ones([BLOCK_SIZE, BLOCK_SIZE], values.dtype)
    within = tf.linalg.band_part(ones, 0, -1)
    over = tf.linalg.band_part(tf.ones([blocks, blocks], values.dtype), 0, -1)
    over -= tf.eye(blocks, dtype=values.dtype)
    sums = tf.matmul(tf.reshape(rows, [-1, BLOCK_SIZE]), within, transpose_b=reverse)
    sums = tf.reshape(sums, [-1, blocks, BLOCK_SIZE])
    totals = sums[..., 0 if reverse else -1]
    sums += tf.matmul(totals, over, transpose_b=reverse)[..., None]
    sums = tf.reshape(sums, [-1, blocks * BLOCK_SIZE])[:, :dims]
    return tf.reshape(sums, shape)


def describe_distances(same: float, different: float, saturates: bool) -> str | None:
    """Describe what is wrong with a style space that cannot learn.

    Args:
        same: mean scaled distance of works from their own artist's presumed style.
        different: mean scaled distance of works from other presumed styles.
        saturates: whether the objective's repulsion vanishes at large distances.

    Returns:
        A warning, or None.
    """
    if different < COLLAPSED_DISTANCE:
        return (
            f"the style space has collapsed: artists are {different:.2g} apart, where "
            'the attraction dominates. Restart with metric.start = "mean_codes", '
            "metric.warm_start_steps, or a lower adam.learning_rate"
        )
    if saturates and same > SATURATED_DISTANCE and same > different / 2:
        return (
            f"works are {same:.2g} from their own artist's presumed style, where the "
            "repulsion gradient vanishes. If this persists, restart with "
            'metric.start = "mean_codes", or metric.warm_start_steps'
        )
    return None


def _squared_prefix_distances(
    x: tf.Tensor, y: tf.Tensor, prefix_scales: tf.Tensor
) -> tf.Tensor:
    """Compute (h_d ||x[d] - y[d]||)^2 for every prefix d: [.., D] -> [.., D]."""
    squares = tf.math.squared_difference(x, y)
    return tf.square(prefix_scales) * prefix_sums(squares)


def _sampled_prefix_distances(
    codes: tf.Tensor,
    styles: tf.Tensor,
    prefix_scales: tf.Tensor,
    prefix_lengths: tf.Tensor,
) -> tf.Tensor:
    """Compute squared prefix distances of each code to all styles, [B, N].

    Squares are expanded, so that no [B, N, D] tensor exists. Small distances are then
    differences of large numbers, hence float64.
    """
    mask = tf.sequence_mask(prefix_lengths, codes.shape[-1], tf.float64)
    x, s = tf.cast(codes, tf.float64) * mask, tf.cast(styles, tf.float64)
    products = tf.matmul(x, s, transpose_b=True)
    own_squares = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
    squares = tf.matmul(mask, tf.square(s), transpose_b=True)
    distances = tf.cast(own_squares - 2 * products + squares, codes.dtype)
    scales = tf.gather(prefix_scales, prefix_lengths - 1)
    return tf.square(scales)[:, None] * distances


def _weighted_repulsion(
    codes: tf.Tensor,
    styles: tf.Tensor,
    prefix_scales: tf.Tensor,
    weights: tf.Tensor,
    other_weights: tf.Tensor,
) -> tf.Tensor:
    """Sum c_bj w_d exp(-(h_d ||x_b[d] - s_j[d]||)^2) over artists j and prefixes d.

    Both passes are chunked over artists, so that the [B, N, D] tensor never exists; the
    backward pass recomputes each chunk. `other_weights` are c, 0 for the own artist.
    """

    @tf.custom_gradient
    def repulsion(
        codes: tf.Tensor, styles: tf.Tensor, scales: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            coefficients = other_weights * upstream[:, None]
            return _repulsion_gradients(codes, styles, scales, weights, coefficients)

        total = _repulsion_sums(codes, styles, scales, weights, other_weights)
        return total, gradient

    return repulsion(codes, styles, prefix_scales)


def _repulsion_sums(
    codes: tf.Tensor,
    styles: tf.Tensor,
    scales: tf.Tensor,
    weights: tf.Tensor,
    coefficients: tf.Tensor,
) -> tf.Tensor:
    """Compute the forward pass of `_weighted_repulsion`."""
    size, chunks = _chunk_artists(codes, styles)

    def add_chunk(index: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        rows = slice(index * size, (index + 1) * size)
        _, _, values = _repulsion_terms(
            codes, styles[rows], scales, weights, coefficients[:, rows]
        )
        return index + 1, total + tf.reduce_sum(values, axis=[1, 2])

    _, total = tf.while_loop(
        lambda index, _: index < chunks,
        add_chunk,
        [0, tf.zeros_like(codes[:, 0])],
        parallel_iterations=1,
    )
    return total


def _repulsion_gradients(
    codes: tf.Tensor,
    styles: tf.Tensor,
    scales: tf.Tensor,
    weights: tf.Tensor,
    coefficients: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """Compute the backward pass: gradients by codes, styles and scales."""
    size, chunks = _chunk_artists(codes, styles)

    def add_chunk(
        index: tf.Tensor,
        by_codes: tf.Tensor,
        by_styles: tf.TensorArray,
        by_scales: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        rows = slice(index * size, (index + 1) * size)
        differences, sums, values = _repulsion_terms(
            codes, styles[rows], scales, weights, coefficients[:, rows]
        )
        by_scales -= 2 * scales * tf.reduce_sum(values * sums, axis=[0, 1])
        # d sums_e / d differences_d = 2 differences_d for every e >= d.
        by_differences = prefix_sums(values * tf.square(scales), reverse=True)
        by_differences *= -2 * differences
        return (
            index + 1,
            by_codes + tf.reduce_sum(by_differences, axis=1),
            by_styles.write(index, -tf.reduce_sum(by_differences, axis=0)),
            by_scales,
        )

    shape = [None, codes.shape[-1]]
    by_styles = tf.TensorArray(
        codes.dtype, chunks, infer_shape=False, element_shape=shape
    )
    _, by_codes, by_styles, by_scales = tf.while_loop(
        lambda index, *_: index < chunks,
        add_chunk,
        [0, tf.zeros_like(codes), by_styles, tf.zeros_like(scales)],
        parallel_iterations=1,
    )
    return by_codes, by_styles.concat(), by_scales


def _chunk_artists(codes: tf.Tensor, styles: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the artists per chunk and the number of chunks, int32 scalars."""
    batch, dims = tf.shape(codes)[0], codes.shape[-1]
    artists = tf.shape(styles)[0]
    size = tf.maximum(1, CHUNK_ELEMENTS // (batch * dims))
    return size, (artists + size - 1) // size


def _repulsion_terms(
    codes: tf.Tensor,
    styles: tf.Tensor,
    scales: tf.Tensor,
    weights: tf.Tensor,
    coefficients: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute differences, their prefix sums of squares, and the terms of the sum.

    All are of one chunk of artists, [B, chunk, D].
    """
    differences = codes[:, None, :] - styles[None, :, :]
    sums = prefix_sums(tf.square(differences))
    values = tf.exp(-tf.square(scales) * sums) * weights
    return differences, sums, values * coefficients[:, :, None]
