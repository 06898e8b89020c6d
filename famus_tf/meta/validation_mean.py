"""The validation gradient, steadied: a small meta batch's is mostly noise, and ten steps change a network little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta.segments import Segment


@keras.saving.register_keras_serializable("famus_tf")
class ValidationMean(keras.layers.Layer):
    """Running mean of u, the gradient of the validation loss, over the meta steps (ours); made in the strategy's scope.

    u_t' = (1 - m) sum_j m^(t - j) u_j / (1 - m^k) over the k meta steps without a break in which a segment was reached:
    where the meta gradient stops above a segment, that one's mean is forgotten. It holds a copy of the trainable
    variables, in float32 or, as they are, float64.

    Args:
      momentum: m, in [0, 1); 0 is u itself, and needs no memory.

    Raises:
      InputError: m is out of its range.
    """

    def __init__(self, momentum: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        errors.check_number("validation_momentum", momentum, "0 or more, below 1", lambda m: 0 <= m < 1)
        self.momentum = momentum

    def create_variables(self, segments: Sequence[Segment]) -> None:
        """Makes the means of all trainable variables of `segments` and the numbers of their steps."""
        self._means: list[list[keras.Variable]] = []
        self._steps: list[keras.Variable] = []
        if self.momentum:
            for number, segment in enumerate(segments):
                names = [f"mean{number}_{place}" for place in range(len(segment.variables))]
                self._means.append([self._like(*pair) for pair in zip(segment.variables, names, strict=True)])
            self._steps = [self._zeros(f"steps{number}", (), "float32") for number in range(len(segments))]
        self.built = True

    def _like(self, variable, name):
        return self._zeros(name, variable.shape, "float64" if variable.dtype == "float64" else "float32")

    def _zeros(self, name, shape, dtype):
        # All replicas hold the same sum over the global batch.
        options = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        variable = self.add_weight(name=name, shape=shape, dtype=dtype, initializer="zeros", **options)
        setattr(self, f"_{name}", variable)  # a checkpoint passes over variables in lists
        return variable

    def of(self, u: list[tf.Tensor], lowest: int | tf.Tensor) -> list[tf.Tensor]:
        """u' of this meta step; a u that is not finite is handed on, and the means stay.

        Args:
          u: flat list of a tensor for each variable, lowest segment first; zeros below segment `lowest`.
          lowest: the lowest segment reached, int or int32 scalar.

        Returns:
          A list like u.
        """
        if not self.momentum:
            return u
        rest = list(u)
        is_finite = tf.math.is_finite(tf.add_n([tf.reduce_sum(tf.cast(part, tf.float32)) for part in u]))
        found = []
        for number, (means, steps) in enumerate(zip(self._means, self._steps, strict=True)):
            parts, rest = rest[: len(means)], rest[len(means) :]
            if isinstance(lowest, int) and number < lowest:
                steps.assign(tf.zeros([]))
                found += parts
                continue
            found += self._of_segment(parts, means, steps, is_finite, tf.constant(number) >= lowest)
        return found

    def _of_segment(self, parts, means, steps, is_finite, is_reached):
        before = steps.value
        after = tf.where(is_reached, before + 1.0, tf.zeros([]))
        # Of a segment that was not reached in the last step the old mean counts for nothing.
        momentum = tf.constant(self.momentum, tf.float64)
        kept = momentum * tf.cast(before > 0, tf.float64)
        weight = 1.0 - momentum ** tf.cast(after, tf.float64)
        use = tf.logical_and(is_finite, is_reached)
        found = []
        for part, mean in zip(parts, means, strict=True):
            dtype = mean.value.dtype
            new = tf.cast(kept, dtype) * mean.value + tf.cast(1.0 - momentum, dtype) * tf.cast(part, dtype)
            steadied = tf.cast(tf.math.divide_no_nan(new, tf.cast(weight, dtype)), part.dtype)
            found.append(tf.where(use, steadied, part))
            mean.assign(tf.where(use, new, mean.value))
        steps.assign(tf.where(is_finite, after, before))
        return found

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"momentum": self.momentum}
