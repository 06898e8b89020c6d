"""MixMatch with one network, on examples whose labels are believed and on others (Berthelot et al., NeurIPS 2019)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import dividemix, softmax
from famus_tf.methods import mixmatch


def views_of(images: tf.Tensor) -> list[tf.Tensor]:
    """[n, v, H, W, C] -> v times [n, H, W, C]; [n, H, W, C] -> that alone."""
    return tf.unstack(images, axis=1) if images.shape.rank == 5 else [images]


def mean_probabilities(predict: Callable[[tf.Tensor], tf.Tensor], views: list[tf.Tensor]) -> tf.Tensor:
    """Mean over the views of softmax(predict(view)), float32 [n, c]; one pass over all of them, no gradient."""
    rows = tf.nn.softmax(tf.cast(predict(tf.concat(views, axis=0)), tf.float32))
    return tf.stop_gradient(tf.add_n(tf.split(rows, len(views))) / len(views))


def mixed_batch(
    labelled: tuple[list[tf.Tensor], tf.Tensor],
    unlabelled: tuple[list[tf.Tensor], tf.Tensor] | None,
    alpha: float,
    weight: tf.Tensor,
    seeds: tf.Tensor,
) -> tuple[tf.Tensor, dividemix.MixedLabels]:
    """All views of both kinds mixed with each other.

    Args:
      labelled, unlabelled: two views [n, H, W, C] and their targets [n, c], of each kind as many; None for none.
      alpha: of `mixmatch.mix_coefficient`; 0 mixes nothing.
      weight: of the unlabelled rows, scalar.
      seeds: int [2, 2].

    Returns:
      Images [4n, H, W, C], or [2n, ...] without unlabelled ones, and their `dividemix.MixedLabels`.
    """
    kinds = [labelled] if unlabelled is None else [labelled, unlabelled]
    images = tf.concat([view for views, _ in kinds for view in views], axis=0)
    targets = tf.concat([targets for _, targets in kinds for _ in range(2)], axis=0)
    if alpha:
        images, targets = mixmatch.mix_up(
            images, targets, mixmatch.mix_coefficient(alpha, seeds[0]), seeds[1], blocks=2 * len(kinds)
        )
    rows = tf.shape(targets)[0]
    labels = dividemix.MixedLabels(targets, tf.range(rows) < rows // len(kinds), tf.cast(weight, tf.float32))
    return tf.nest.map_structure(tf.stop_gradient, (images, labels))


def class_weighted_loss(labels: dividemix.MixedLabels, logits: tf.Tensor, class_weights: tf.Tensor) -> tf.Tensor:
    """Mean of sum_k c_k t_k (-log p_k) over labelled rows + weighted mean square over the others, a replica's share.

    Not a cross-entropy of c t, whose gradient TensorFlow takes for that of a distribution.

    Args:
      labels: of `mixed_batch`; labelled are all rows or the first half.
      logits: float [rows, c].
      class_weights: c, float [c].
    """
    logits = softmax.at_least_float32(logits)
    targets = tf.cast(labels.targets, logits.dtype)
    weighted = -tf.reduce_sum(targets * tf.cast(class_weights, logits.dtype) * tf.nn.log_softmax(logits), axis=-1)
    square = tf.reduce_mean(tf.square(tf.nn.softmax(logits) - targets), axis=-1)
    labelled = tf.cast(labels.labelled, logits.dtype)
    count = tf.reduce_sum(labelled)
    supervised = tf.reduce_sum(labelled * weighted) / count
    rest = tf.math.divide_no_nan(
        tf.reduce_sum((1.0 - labelled) * square), tf.cast(tf.size(labelled), count.dtype) - count
    )
    return (supervised + tf.cast(labels.unlabelled_weight, logits.dtype) * rest) / replicas.count()
