"""The weight that each example had in its last step, kept on the device while Keras's `fit` trains."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from famus_tf.devices import replicas


class ExampleWeights:
    """A number for each of N examples, NaN until its first step; to be made in the strategy's scope.

    A plain object, so that it becomes part of no checkpoint.

    Args:
      num_examples: N.
    """

    def __init__(self, num_examples: int) -> None:
        self.num_examples = num_examples
        # The last place takes what has no position.
        self._values = tf.Variable(
            tf.fill([num_examples + 1], np.float32(np.nan)),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # all replicas write the same
        )

    def record(self, index: tf.Tensor, weights: tf.Tensor) -> None:
        """Takes the weights of this replica's share of a batch.

        Args:
          index: positions of the examples, int64 [n]; those outside of 0 to N - 1 are passed over.
          weights: float32 [n].
        """
        index, weights = replicas.all_gather(tf.cast(index, tf.int64)), replicas.all_gather(weights)
        is_known = tf.logical_and(index >= 0, index < self.num_examples)
        place = tf.where(is_known, index, tf.constant(self.num_examples, tf.int64))
        self._values.assign(tf.tensor_scatter_nd_update(self._values, place[:, tf.newaxis], weights))

    def numpy(self) -> np.ndarray:
        """Float32 [N]."""
        return self._values.numpy()[: self.num_examples]
