"""The course of a learning rate over the steps."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("famus_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly over the first steps, (t + 1) / steps of what it would be, then is as it would be.

    Args:
      rate: a number, or another schedule.
      steps: how many; 1 or more.
    """

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

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
