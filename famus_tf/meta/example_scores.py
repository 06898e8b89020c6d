"""The meta score of each example: how far a step on it lowers the validation loss."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from famus_tf.devices import replicas

# Scores whose variance is a smaller share of their mean square are the same for all.
ALIKE = 1e-10


def scores(losses: Callable[[tf.Tensor], tf.Tensor], logits: tf.Tensor, logit_tangent: tf.Tensor) -> tf.Tensor:
    """-<d loss_i / d z_i, zdot_i>, [n]: by how much the step on each example changes the validation loss.

    Args:
      losses: function of logits [n, c] -> the training loss of each example [n].
      logits: z, float [n, c] at w.
      logit_tangent: zdot [n, c] of the meta step, towards lower validation loss.
    """
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = losses(logits)
    gradient = tape.gradient(values, logits)
    return -tf.reduce_sum(gradient * tf.cast(logit_tangent, gradient.dtype), axis=-1)


def standardised(values: tf.Tensor) -> tf.Tensor:
    """With the mean 0 and the variance 1 over the global batch, [n]; 0 where all are alike.

    The scores' scale changes with alpha and the epoch, so that only those of one batch can be compared as they are.
    """
    # Replicas' shares may differ in size.
    count, total = replicas.all_reduce_sum([tf.cast(tf.size(values), values.dtype), tf.reduce_sum(values)])
    centred = values - total / count
    variance, square = (
        part / count for part in replicas.all_reduce_sum([tf.reduce_sum(tf.square(x)) for x in (centred, values)])
    )
    differ = variance > ALIKE * square
    return tf.where(differ, tf.math.divide_no_nan(centred, tf.sqrt(variance)), tf.zeros_like(values))
