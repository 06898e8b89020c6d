"""Sums over the replicas of a `tf.distribute` strategy, and nothing where there is one replica."""

import tensorflow as tf


def count():
    """Number of replicas that train in step (1 without a strategy)."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def all_reduce_sum(tensors):
    """Sums each tensor of a nest over the replicas.

    Differentiable (the gradient of a sum over replicas is the sum over replicas of the gradients). Must not be called
    inside `tf.cond`: the collective would wait for replicas that took the other branch, and TensorFlow refuses it.

    Args:
      tensors: a tensor or a nest of tensors of any shape.

    Returns:
      The same nest, every replica holding the sum.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)
