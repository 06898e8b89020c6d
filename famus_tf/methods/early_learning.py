"""The terms of early-learning regularisation (Liu et al., NeurIPS 2020), which ELR and ELR+ share."""

from __future__ import annotations

import tensorflow as tf

from famus_tf.devices import replicas
from famus_tf.losses import softmax

_LEAST = 1e-4


def cut(logits: tf.Tensor) -> tf.Tensor:
    """Probabilities of logits [n, c], cut to [1e-4, 1 - 1e-4], float [n, c]."""
    return tf.clip_by_value(tf.nn.softmax(softmax.at_least_float32(logits)), _LEAST, 1.0 - _LEAST)


def normalised(probabilities: tf.Tensor) -> tf.Tensor:
    """Rows [n, c] over their sums; no gradient passes."""
    probabilities = tf.stop_gradient(probabilities)
    return probabilities / tf.reduce_sum(probabilities, axis=-1, keepdims=True)


def penalty(targets: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """log(1 - <t, p^>), float [n]; targets and what `cut` gives, [n, c]. No gradient passes through the targets."""
    targets = tf.stop_gradient(tf.cast(targets, probabilities.dtype))
    agreement = tf.reduce_sum(targets * probabilities, axis=-1)
    return tf.math.log1p(-agreement)


def disagreement(labels: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Share of the global batch whose label is not the target's largest class, scalar; labels [n] or [n, c]."""
    given = tf.cast(labels, tf.int64) if labels.shape.rank == 1 else tf.argmax(labels, axis=-1)
    return replicas.all_reduce_mean(tf.reduce_mean(tf.cast(tf.argmax(targets, axis=-1) != given, tf.float32)))
