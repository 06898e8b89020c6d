"""Which examples of a batch a mentor lets a network learn from, by their losses (Jiang et al., "MentorNet", 2018)."""

from __future__ import annotations

import keras
import tensorflow as tf

from famus_tf.devices import replicas

# Percent of the run until which the pre-defined curriculum takes all, and until which it takes small losses alone.
_ALL_UNTIL, _SMALL_UNTIL = 18, 90


class Threshold(keras.layers.Layer):
    """m: the running mean of a percentile of the batches' losses, m <- m/2 + q/2; to be made in the strategy's scope.

    Args:
      percentile: of the global batch's losses, in (0, 1]; between two losses by the line between them.
    """

    def __init__(self, percentile: float) -> None:
        super().__init__()
        self._percentile = percentile
        self._mean = self.add_weight(
            name="threshold",
            shape=(),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.built = True

    @property
    def value(self) -> tf.Tensor:
        """m, float32 scalar."""
        return tf.convert_to_tensor(self._mean)

    def move(self, losses: tf.Tensor) -> tf.Tensor:
        """Takes the losses [n] of this replica's examples; returns m, float32 scalar. Not in a `tf.cond`."""
        everyone = tf.sort(tf.cast(replicas.all_gather(tf.stop_gradient(losses)), tf.float32))
        place = self._percentile * tf.cast(tf.size(everyone) - 1, tf.float32)
        below = tf.cast(tf.floor(place), tf.int32)
        above = tf.minimum(below + 1, tf.size(everyone) - 1)
        part = place - tf.cast(below, tf.float32)
        moved = 0.5 * self.value + 0.5 * ((1.0 - part) * everyone[below] + part * everyone[above])
        self._mean.assign(moved)
        return moved


def predefined(distance: tf.Tensor, percent: tf.Tensor) -> tf.Tensor:
    """The curriculum that MentorNet PD is fitted to, in [0, 1].

    Args:
      distance: l_i - m, float [n].
      percent: of the run that is done, 0 to 99, scalar.

    Returns:
      v, float [n].
    """
    small = tf.cast(distance <= 0, distance.dtype)
    late = tf.clip_by_value(1.0 - distance, 0.0, 1.0)
    values = tf.where(percent <= _SMALL_UNTIL, small, late)
    return tf.where(percent <= _ALL_UNTIL, tf.ones_like(values), values)


def kept_at_random(values: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """1 for int(n (1 - rate)) of the global batch's examples drawn by the seed, else 0; float [n] of this replica.

    Args:
      values: float [n], for their number and type.
      rate: share left out, float64 scalar in [0, 1].
      seed: int [2].
    """
    size = tf.shape(values)[0]
    count = size * replicas.count()
    kept = tf.cast(tf.floor((1.0 - rate) * tf.cast(count, tf.float64) + 1e-9), tf.int32)
    rank = tf.argsort(tf.argsort(tf.random.stateless_uniform([count], seed, alg="philox")))
    number = replicas.number()
    return tf.cast(rank[number * size : (number + 1) * size] < kept, values.dtype)
