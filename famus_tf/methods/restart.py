"""A training that begins anew within a run: weights, momenta, and a learning rate that takes its whole course again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class Restart:
    """Remembers how networks began, and takes them and their optimizer back there.

    The optimizer's count of steps goes on. To be made before anything is restored from a checkpoint: a resumed run then
    remembers the same beginning.

    Args:
      networks: list of `keras.Model`.
    """

    def __init__(self, networks: Sequence[keras.Model]) -> None:
        self._variables = [variable for network in networks for variable in network.variables]
        self._values = [variable.numpy() for variable in self._variables]

    def __call__(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the networks back to where they began, and what the optimizer has gathered to zero."""
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        forget(optimizer)


def forget(optimizer: keras.optimizers.Optimizer) -> None:
    """Sets what an optimizer has gathered, as momenta, to zero; not its count of steps and its learning rate."""
    kept = ("iteration", "learning_rate", "dynamic_scale", "step_counter")
    for variable in optimizer.variables:
        if variable.path.rpartition("/")[2] not in kept:
            variable.assign(tf.zeros(variable.shape, variable.dtype))


@keras.saving.register_keras_serializable("famus_tf")
class Rounds(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose whole course is taken in each of several rounds, faster in shorter ones.

    Args:
      rate: the schedule of the whole run.
      starts: first step of each round, rising from 0.
      total: steps of the run.
    """

    def __init__(
        self, rate: keras.optimizers.schedules.LearningRateSchedule, starts: Sequence[int], total: int
    ) -> None:
        self.rate = rate
        self.starts = [int(start) for start in starts]
        self.total = int(total)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The rate at step t, counted from 0."""
        step = tf.cast(step, tf.float32)
        starts = tf.constant(self.starts, tf.float32)
        lengths = tf.constant([*self.starts[1:], self.total], tf.float32) - starts
        number = tf.reduce_sum(tf.cast(step >= starts, tf.int32)) - 1
        return self.rate((step - starts[number]) * self.total / lengths[number])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        rate = keras.optimizers.schedules.serialize(self.rate)
        return {"rate": rate, "starts": self.starts, "total": self.total}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Rounds:
        """The inverse of `get_config`."""
        return cls(**(config | {"rate": keras.optimizers.schedules.deserialize(config["rate"])}))


def in_rounds(optimizer: keras.optimizers.Optimizer, starts: Sequence[int], total: int) -> None:
    """Gives an optimizer the course of its learning rate anew in each round that begins before the end.

    Args:
      optimizer: one that is not built yet; a rate that is a number stays.
      starts: first step of each round; 0 is one of them.
      total: steps of the run.
    """
    rate = optimizer._learning_rate  # of a schedule the public one is its value
    starts = sorted({start for start in (0, *starts) if start < total})
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) and len(starts) > 1:
        optimizer.learning_rate = Rounds(rate, starts, total)
