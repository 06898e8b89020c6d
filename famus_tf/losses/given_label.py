"""What a network says of the label that each example was given."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from famus_tf.losses import softmax


def rows(labels: Any, logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a step knows of each example's label.

    Args:
      labels: class ids [n], or distributions [n, c], whose largest entry is the given label. Anything else, as mixed
        labels, tells of no label.
      logits: float [n, c].

    Returns:
      Dict, empty where there is no label:
        probability  of the given label, float32 [n]
        margin       its logit less the largest other one, float32 [n] (Pleiss et al., "Identifying Mislabeled Data
                     using the Area Under the Margin Ranking", NeurIPS 2020, Eq. 1)
    """
    if not isinstance(labels, tf.Tensor):
        return {}
    logits = tf.cast(softmax.at_least_float32(logits), tf.float32)
    labels = softmax.as_labels(labels)
    given = tf.cast(labels, tf.int64) if labels.shape.rank == 1 else tf.argmax(labels, axis=-1)
    one_hot = tf.one_hot(given, logits.shape[1], dtype=tf.bool, on_value=True, off_value=False)
    of_given = tf.reduce_sum(tf.where(one_hot, logits, 0.0), axis=-1)
    others = tf.reduce_max(tf.where(one_hot, logits.dtype.min, logits), axis=-1)
    probability = tf.reduce_sum(tf.where(one_hot, tf.nn.softmax(logits), 0.0), axis=-1)
    return {"probability": probability, "margin": of_given - others}
