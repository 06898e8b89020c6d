"""Grey of colours, as Pillow reckons it."""

from __future__ import annotations

import tensorflow as tf

_SHARES = (19595, 38470, 7471)  # in 65536ths


def of(image: tf.Tensor) -> tf.Tensor:
    """uint8 [..., 3] -> uint8 [..., 1]."""
    weighted = tf.reduce_sum(tf.cast(image, tf.int32) * tf.constant(_SHARES), axis=-1, keepdims=True)
    return tf.cast((weighted + 0x8000) // 0x10000, tf.uint8)
