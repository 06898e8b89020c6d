"""The course of a learning rate over the steps."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("famus_tf")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """rate * decay^k at step t, k the number of boundaries that t has reached, as PyTorch's `MultiStepLR`.

    Keras's `PiecewiseConstantDecay` keeps the old value at the boundary itself, one step longer.

    Args:
      rate: at the start.
      boundaries: rising numbers of steps.
      decay: the factor at each of them.
    """

    def __init__(self, rate, boundaries, decay):
        self.rate = rate
        self.boundaries = list(boundaries)
        self.decay = decay

    def __call__(self, step):
        """The rate at step t, counted from 0; float32."""
        reached = tf.cast(step, tf.float32) >= tf.constant(self.boundaries, tf.float32)
        return self.rate * self.decay ** tf.reduce_sum(tf.cast(reached, tf.float32))

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        return {"rate": self.rate, "boundaries": self.boundaries, "decay": self.decay}


@keras.saving.register_keras_serializable("famus_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Scales another schedule by min((t + 1) / steps, 1): a linear rise over the first steps.

    Args:
      rate: a number, or the other schedule.
      steps: how many; 1 or more.
    """

    def __init__(self, rate, steps):
        self.rate = rate
        self.steps = steps

    def __call__(self, step):
        """The rate at step t, counted from 0."""
        rate = self.rate(step) if callable(self.rate) else tf.constant(self.rate, tf.float32)
        return rate * tf.minimum((tf.cast(step, tf.float32) + 1.0) / self.steps, 1.0)

    def get_config(self):
        """Constructor arguments, for Keras serialisation."""
        rate = keras.optimizers.schedules.serialize(self.rate) if callable(self.rate) else self.rate
        return {"rate": rate, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        """The inverse of `get_config`."""
        rate = config["rate"]
        rate = keras.optimizers.schedules.deserialize(rate) if isinstance(rate, dict) else rate
        return cls(rate, config["steps"])
