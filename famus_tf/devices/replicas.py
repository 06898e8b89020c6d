"""Sums, means and rows over the replicas of a `tf.distribute` strategy; nothing changes where there is one replica.

All are to be called in a replica's context, by all replicas in the same order, and not inside `tf.cond`: the collective
would wait for replicas that took the other branch, and TensorFlow refuses it.
"""

import tensorflow as tf


def count():
    """Number of replicas that train in step (1 without a strategy)."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def number():
    """The number of this replica, counted from 0; 0 where there is one."""
    context = _several()
    return 0 if context is None else context.replica_id_in_sync_group


def all_reduce_sum(tensors):
    """Sums each tensor of a nest over the replicas.

    Differentiable (the gradient of a sum over replicas is the sum over replicas of the gradients).

    Args:
      tensors: a tensor or a nest of tensors of any shape.

    Returns:
      The same nest, every replica holding the sum.
    """
    return _all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def all_reduce_mean(tensors):
    """The same with the mean over the replicas."""
    return _all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def all_gather(rows):
    """[n, ...] -> [n * replicas, ...], one replica's rows behind the other's; not for bytes."""
    context = _several()
    return rows if context is None else context.all_gather(_on_device(rows), axis=0)


def _all_reduce(op, tensors):
    context = _several()
    return tensors if context is None else context.all_reduce(op, _on_device(tensors))


def _several():
    """The replica's context; None where there is one replica."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def _on_device(tensors):
    # A part of the batch handed through, a variable that is read, or a captured tensor is on no device yet. A worker
    # with one replica then refuses to reduce it: "destinations can not be empty" (TensorFlow 2.21).
    return tf.nest.map_structure(tf.identity, tensors)
