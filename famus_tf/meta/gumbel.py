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


def sample_balanced(rows, seed):
    """Noise of `rows` gates (off, on), each as by `sample_gumbel` when seen alone, spread evenly over them (ours).

    Only the difference of two Gumbel variables counts, which is logistic, F^-1(u) = log(u / (1 - u)). Each of the
    `rows` equal parts of (0, 1) has the u of one gate, drawn within it (stratified sampling), so that of gates with
    equal logits and probability p nearly p * rows are on in every step, where independent ones scatter.

    Args:
      rows: int, the number of gates.
      seed: int tensor [2]; every replica that passes the same seed draws the same noise.

    Returns:
      float32 tensor [rows, 2], zeros for "off".
    """
    drawn = tf.random.stateless_uniform((rows, 2), seed=seed, minval=1e-6, maxval=1.0 - 1e-6)
    part = tf.argsort(tf.argsort(drawn[:, 0]))  # a random order
    uniform = (tf.cast(part, tf.float32) + drawn[:, 1]) / rows
    logistic = tf.math.log(uniform) - tf.math.log1p(-uniform)
    return tf.stack([tf.zeros_like(logistic), logistic], axis=1)


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
