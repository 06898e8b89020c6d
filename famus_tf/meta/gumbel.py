"""Gumbel-softmax with hard samples and a straight-through gradient (Jang et al., ICLR 2017)."""

import tensorflow as tf


def sample_gumbel(shape, seed):
    """Standard Gumbel noise -log(-log(u)), a pure function of `seed`.

    Args:
      shape: list of int.
      seed: int tensor [2]; every replica that passes the same seed draws the same noise.

    Returns:
      float32 tensor of that shape.
    """
    # The smallest normal number keeps both logarithms finite: u = 0 would give an infinite logit.
    uniform = tf.random.stateless_uniform(shape, seed=seed, minval=tf.float32.as_numpy_dtype(1e-20), maxval=1.0)
    return -tf.math.log(-tf.math.log(uniform))


def gumbel_softmax(logits, noise, temperature):
    """One-hot samples whose gradient is that of the softmax.

    Forward: one_hot(argmax(logits + noise)). Backward: the gradient of softmax((logits + noise) / temperature).

    Args:
      logits: float32 [..., k].
      noise: float32 [..., k], from `sample_gumbel`.
      temperature: tau > 0; the FaMUS release uses 5.

    Returns:
      float32 [..., k], exactly one 1 in each row.
    """
    soft = tf.nn.softmax((logits + tf.cast(noise, logits.dtype)) / temperature)
    hard = tf.one_hot(tf.argmax(soft, axis=-1), soft.shape[-1], dtype=soft.dtype)
    return tf.stop_gradient(hard - soft) + soft
