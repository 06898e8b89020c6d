"""Moving averages of a network's weights, kept in a second network of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf


def momentum(step: tf.Tensor, final: float, ramp_steps: int) -> tf.Tensor:
    """gamma exp(-5 (1 - min(s / S, 1))^2), float32 scalar: short averages first (as in ELR+'s code).

    Args:
      step: s, the number of steps done.
      final: gamma.
      ramp_steps: S; 0 for gamma at once.
    """
    if not ramp_steps:
        return tf.constant(final, tf.float32)
    part = tf.minimum(tf.cast(step, tf.float32) / ramp_steps, 1.0)
    return final * tf.exp(-5.0 * tf.square(1.0 - part))


def warm(step: tf.Tensor, final: float) -> tf.Tensor:
    """min(gamma, (1 + t) / (10 + t)), float32 scalar: as `tf.train.ExponentialMovingAverage` with a number of updates.

    Args:
      step: t, the number of steps done.
      final: gamma.
    """
    done = tf.cast(step, tf.float32)
    return tf.minimum(tf.constant(final, tf.float32), (1.0 + done) / (10.0 + done))


def copy_of(network: keras.Model) -> keras.Model:
    """A network of the same kind with the same weights, none of which is trained; call it in the strategy's scope."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy


def move(averages: Sequence[keras.Model], networks: Sequence[keras.Model], share: Callable[[], tf.Tensor]) -> None:
    """average <- m average + (1 - m) network, for weights and BatchNorm's statistics; whole numbers are copied.

    Of several replicas the statistics are those of the first, as its own; they are brought together by the epoch's end.

    To be called at the end of a step in a replica's context, by all replicas, and not in a `tf.cond`.

    Args:
      averages, networks: lists of as many networks of one kind.
      share: function () -> m, in [0, 1].
    """

    def update(strategy):
        del strategy
        rest = 1.0 - share()
        for average, network in zip(averages, networks, strict=True):
            for kept, new in zip(average.variables, network.variables, strict=True):
                if tf.as_dtype(kept.dtype).is_floating:
                    difference = tf.cast(new.value, kept.dtype) - kept.value
                    kept.assign(kept.value + tf.cast(rest, kept.dtype) * difference)
                else:
                    kept.assign(new.value)

    tf.distribute.get_replica_context().merge_call(update)
