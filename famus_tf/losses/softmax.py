"""Softmax cross-entropy of labels that are class ids or distributions, and its mean over the global batch."""

from __future__ import annotations

import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """Casts half precisions up; sums and losses lose too much in them."""
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy of each example.

    Args:
      labels: int [n] or [n, 1] class ids, or [n, c] distributions.
      logits: float [n, c]; computed in float32.

    Returns:
      float32 [n] (float64 for float64 logits).

    Raises:
      InputError: the labels have another shape; TensorFlow would stretch them to the logits' without a word.
    """
    logits = at_least_float32(logits)
    if labels.shape.rank == 2 and labels.shape[1] == 1 and labels.dtype.is_integer:
        labels = labels[:, 0]
    if labels.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    if labels.shape.rank != 2 or labels.shape[1] != logits.shape[1]:
        raise errors.InputError(
            f"labels of shape {labels.shape} for logits of shape {logits.shape}: expected class ids [n] or "
            f"distributions [n, {logits.shape[1]}]"
        )
    return tf.nn.softmax_cross_entropy_with_logits(labels=tf.cast(labels, logits.dtype), logits=logits)


def as_distributions(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Labels as `cross_entropy` takes them -> distributions [n, c] of the logits' type."""
    if labels.shape.rank == 2 and labels.shape[1] == 1 and labels.dtype.is_integer:
        labels = labels[:, 0]
    return (
        tf.one_hot(labels, logits.shape[1], dtype=logits.dtype)
        if labels.shape.rank == 1
        else tf.cast(labels, logits.dtype)
    )


def mean_over_batch(losses: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean over the global batch: the replicas' shares sum to it; losses [n]."""
    return tf.reduce_mean(losses) / tf.cast(replicas.count(), losses.dtype)


def mean_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean of `cross_entropy` over the global batch: the replicas' shares sum to it."""
    return mean_over_batch(cross_entropy(labels, logits))
