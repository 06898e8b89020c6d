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


def sample_balanced(logits, seed):
    """Noise of gates (off, on), each as by `sample_gumbel` when seen alone, that keeps their number steady (ours).

    Only the difference of two Gumbel variables counts, which is logistic, log(u / (1 - u)) of a uniform u. Here all u
    follow from one draw by systematic sampling: the gates' probabilities p_l are laid end to end, in a random order, on
    a line that is marked once in each unit, from a random point on; a gate is on where a mark falls on its part. So
    floor(sum_l p_l) or one more are on in every step, whatever the p_l are, where those of independent gates scatter.

    Args:
      logits: float32 [L, 2], of (off, on); no gradient flows to them.
      seed: int tensor [2]; every replica that passes the same seed draws the same noise.

    Returns:
      float32 tensor [L, 2], zeros for "off".
    """
    on = tf.nn.softmax(tf.stop_gradient(logits))[:, 1]
    drawn = tf.random.stateless_uniform((on.shape[0] + 1,), seed=seed)
    order = tf.argsort(drawn[:-1])
    begins = tf.gather(tf.cumsum(tf.gather(on, order), exclusive=True), tf.argsort(order))
    uniform = 1.0 - tf.math.floormod(tf.cast(drawn[-1], on.dtype) - begins, 1.0)
    uniform = tf.clip_by_value(uniform, 1e-6, 1.0 - 1e-6)  # as far as float32 keeps the logarithms finite
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
