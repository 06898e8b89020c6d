"""Repeatability: which layers say the same of the training examples whatever trusted examples they are asked with.

Two halves A and B of a meta batch give each layer l and training example i two scores, s^A_li and s^B_li
(`scores.layer_scores`). A set R of layers, which as a whole says sum_(l in R) s_li, repeats by

    rho(R) = r' B r / r' W r,    B = cov_i(s^A, s^B) made symmetric,    W = (cov_i(s^A) + cov_i(s^B)) / 2,

r the 0/1 vector of R: the intraclass correlation of the two halves' sums over the training batch. Unlike Pearson's
correlation it is linear in means of B and W over several measurements, and such means need no bias correction. No true
label is needed, and it has no scale: neither alpha, nor the number of layers, nor their widths enter.
"""

import tensorflow as tf

from famus_tf.devices import replicas

_GAIN = 1e-6  # by less than that a layer does not improve a set


def moments(first, second, groups):
    """B and W of one measurement over the global batch, divided by the trace of W.

    Args:
      first, second: float [n, L], the scores by either half, this replica's share of the examples.
      groups: float [n, k], rows that sum to 1, such as one-hot classes: their means are taken out. [n, 1] of ones takes
        out the mean over the batch.

    Returns:
      Two tensors [L, L]; zeros where no score differs from its group's mean.
    """
    groups = tf.cast(groups, first.dtype)
    counts = replicas.all_reduce_sum(tf.reduce_sum(groups, axis=0))[:, tf.newaxis]
    sums = replicas.all_reduce_sum([tf.matmul(groups, one, transpose_a=True) for one in (first, second)])
    first, second = (
        one - tf.matmul(groups, tf.math.divide_no_nan(total, counts))
        for one, total in zip((first, second), sums, strict=True)
    )
    # Scores are as small as 1e-9, and their squares would be lost in float32.
    size = replicas.all_reduce_sum(tf.reduce_sum(tf.abs(first)) + tf.reduce_sum(tf.abs(second)))
    first, second = (tf.math.divide_no_nan(one, size) for one in (first, second))
    between = tf.matmul(first, second, transpose_a=True)
    within = tf.matmul(first, first, transpose_a=True) + tf.matmul(second, second, transpose_a=True)
    between, within = replicas.all_reduce_sum([between + tf.transpose(between), within])
    scale = tf.linalg.trace(within)
    return tf.math.divide_no_nan(between, scale), tf.math.divide_no_nan(within, scale)


def of_layers(between, within):
    """rho of each layer alone, [L]; 0 where its scores are all alike."""
    return tf.math.divide_no_nan(tf.linalg.diag_part(between), tf.linalg.diag_part(within))


def choose(between, within, segments, costs, price):
    """The set of layers whose sum repeats best for its cost: the largest rho(R) - price * (cost of its lowest layer).

    Greedy: for every depth, the layer that adds most to rho among those which are not deeper joins the set until none
    adds anything; then the best depth is taken, the cheapest where several are alike. So the result is never worse than
    the best layer alone. Among random cases of seven and eight layers it was mostly the best of all sets, at worst 0.06
    below it.

    Args:
      between, within: float [L, L], as from `moments`, or means of such.
      segments: list of L int, not decreasing: the segment of each layer.
      costs: float [L], what it costs to reach each layer, in [0, 1].
      price: how much rho a cost of 1 must add, 0 or more.

    Returns:
      float32 [L] of 0 and 1; all 0 where no layer has scores.
    """
    # From the top down: `argmax` takes the first of several.
    between, within = (tf.cast(one, tf.float64)[::-1, ::-1] for one in (between, within))
    costs = tf.cast(costs, tf.float64)[::-1]
    depths = sorted(set(segments), reverse=True)
    allowed = tf.constant([[segment >= depth for segment in reversed(segments)] for depth in depths])
    chosen, rho = _grow(between, within, allowed)
    reached = tf.reduce_max(tf.where(chosen, costs[tf.newaxis], tf.zeros([], tf.float64)), axis=1)
    best = tf.argmax(rho - tf.cast(price, tf.float64) * reached)
    return tf.cast(tf.gather(chosen, best)[::-1], tf.float32)


def _grow(between, within, allowed):
    """Greedy sets, one for each row of `allowed` [D, L]; bool [D, L] and their rho [D], -inf for an empty set."""
    none = tf.constant(-float("inf"), tf.float64)
    least = 1e-12 * tf.linalg.trace(within)  # of the variance of a set's sum

    def forms(matrix, r):
        """r' M r of the set with each further layer, [D, L]."""
        with_each = tf.matmul(r, matrix)
        return tf.reduce_sum(with_each * r, axis=1, keepdims=True) + 2.0 * with_each + tf.linalg.diag_part(matrix)

    def candidates(chosen):
        """rho of the set with each further layer, [D, L]."""
        r = tf.cast(chosen, tf.float64)
        bottom = forms(within, r)
        possible = allowed & ~chosen & (bottom > least)
        return tf.where(possible, tf.math.divide_no_nan(forms(between, r), bottom), none)

    def add(chosen, rho, going):
        del going
        found = candidates(chosen)
        best = tf.reduce_max(found, axis=1)
        better = best > rho + _GAIN
        new = tf.one_hot(tf.argmax(found, axis=1), tf.shape(allowed)[1], on_value=True, off_value=False, dtype=tf.bool)
        return chosen | (new & better[:, tf.newaxis]), tf.where(better, best, rho), tf.reduce_any(better)

    start = tf.zeros_like(allowed), tf.fill(tf.shape(allowed)[:1], none), tf.constant(True)
    chosen, rho, _ = tf.while_loop(lambda chosen, rho, going: going, add, start)
    return chosen, rho
