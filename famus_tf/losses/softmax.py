"""Softmax cross-entropy of labels that are class ids or distributions, and its mean over the global batch."""

from __future__ import annotations

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas

# What TensorFlow's own cross-entropy takes; it refuses the ids of most other types by a TypeError.
_IDS = {tf.int8: tf.int32, tf.uint8: tf.int32, tf.int16: tf.int32, tf.uint16: tf.int32, tf.bool: tf.int32}
_IDS |= {tf.uint32: tf.int64, tf.uint64: tf.int64}


def at_least_float32(tensor: tf.Tensor) -> tf.Tensor:
    """Casts half precisions up; sums and losses lose too much in them."""
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def as_labels(labels: tf.Tensor) -> tf.Tensor:
    """Class ids of any whole type -> int32 or int64 [n]; distributions stay as they are.

    Args:
      labels: whole numbers or bool, [n] or [n, 1]; or distributions [n, c] of any type.

    Raises:
      InputError: class ids that are no whole numbers by their type.
    """
    labels = tf.convert_to_tensor(labels)
    is_id = labels.dtype.is_integer or labels.dtype == tf.bool
    if labels.shape.rank == 1 and not is_id:
        raise errors.InputError(
            f"labels of type {labels.dtype.name} and shape {labels.shape}: expected class ids of a whole type, such as "
            "int32, or distributions [n, c]"
        )
    if labels.shape.rank == 2 and labels.shape[1] == 1 and is_id:
        labels = labels[:, 0]
    return tf.cast(labels, _IDS.get(labels.dtype, labels.dtype)) if labels.shape.rank == 1 else labels


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Softmax cross-entropy of each example.

    Args:
      labels: whole [n] or [n, 1] class ids, or [n, c] distributions, whose rows sum to 1: TensorFlow's gradient, p less
        the label, is wrong for others.
      logits: float [n, c]; computed in float32.

    Returns:
      float32 [n] (float64 for float64 logits).

    Raises:
      InputError: the labels have another shape, which TensorFlow would stretch to the logits' without a word, or are
        class ids of another type.
    """
    logits = at_least_float32(logits)
    labels = as_labels(labels)
    if labels.shape.rank == 1:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    _check_shape(labels, logits)
    return tf.nn.softmax_cross_entropy_with_logits(labels=tf.cast(labels, logits.dtype), logits=logits)


def as_distributions(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Labels as `cross_entropy` takes them -> distributions [n, c] of the logits' type.

    The row of an id that is no class is NaN, as the cross-entropy is on a GPU: zeros would be a loss of 0.

    Raises:
      InputError: as in `cross_entropy`.
    """
    labels = as_labels(labels)
    if labels.shape.rank == 1:
        one_hot = tf.one_hot(labels, logits.shape[1], dtype=logits.dtype)
        is_class = tf.logical_and(labels >= 0, labels < logits.shape[1])
        return tf.where(is_class[:, tf.newaxis], one_hot, tf.constant(float("nan"), logits.dtype))
    _check_shape(labels, logits)
    return tf.cast(labels, logits.dtype)


def mean_over_batch(losses: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean over the global batch: the replicas' shares sum to it; losses [n]."""
    return tf.reduce_mean(losses) / tf.cast(replicas.count(), losses.dtype)


def weighted_mean(losses: tf.Tensor, weights: tf.Tensor, normalize: bool) -> tf.Tensor:
    """This replica's share of sum_i V_i loss_i / sum_i V_i over the global batch or, not normalised, of the mean.

    Args:
      losses: float [n].
      weights: V, float [n] of the same type.
      normalize: whether to divide by the sum of V.
    """
    if not normalize:
        return mean_over_batch(weights * losses)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), replicas.all_reduce_sum(tf.reduce_sum(weights)))


@keras.saving.register_keras_serializable("famus_tf")
def mean_cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """This replica's share of the mean of `cross_entropy` over the global batch: the replicas' shares sum to it."""
    return mean_over_batch(cross_entropy(labels, logits))


def _check_shape(labels: tf.Tensor, logits: tf.Tensor) -> None:
    if labels.shape.rank != 2 or labels.shape[1] != logits.shape[1]:
        raise errors.InputError(
            f"labels of shape {labels.shape} for logits of shape {logits.shape}: expected class ids [n] or "
            f"distributions [n, {logits.shape[1]}]"
        )
