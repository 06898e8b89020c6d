"""A row of numbers for each training example, which a step reads and writes by the examples' index."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import memory


@keras.saving.register_keras_serializable("famus_tf")
class ExampleTable(keras.layers.Layer):
    """N rows of float32 numbers; to be made in the strategy's scope. All replicas write the same.

    Args:
      num_examples: N.
      width: numbers in a row, F.
      initial: what they are before the first writing.

    Raises:
      InputError: N or F is out of its range, or the table does not fit into memory.
    """

    def __init__(self, num_examples: int, width: int = 1, initial: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        errors.check_number("num_examples", num_examples, "a positive whole number", lambda n: n > 0, whole=True)
        errors.check_number("width", width, "a positive whole number", lambda n: n > 0, whole=True)
        self.num_examples = int(num_examples)
        self.width = int(width)
        self.initial = float(initial)
        size = 4 * math.prod((self.num_examples, self.width))
        with memory.refused(f"a table of {self.num_examples:,} examples", size):
            self._rows = self.add_weight(
                name="rows",
                shape=(self.num_examples, self.width),
                dtype="float32",
                initializer=keras.initializers.Constant(self.initial),
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
        self.built = True

    def rows(self, index: tf.Tensor) -> tf.Tensor:
        """Rows at positions int [n], float32 [n, F]; `initial` for those outside of 0 to N - 1."""
        place, inside = memory.places(index, self.num_examples)
        return tf.where(inside[:, tf.newaxis], tf.gather(self._rows.value, place), self.initial)

    def move(self, index: tf.Tensor, values: tf.Tensor, momentum: float = 0.0) -> None:
        """row <- momentum row + (1 - momentum) value; to be called on all replicas.

        An example that comes twice in the global batch moves once, by the mean of both.

        Args:
          index: positions of this replica's examples, int [n]; those outside of 0 to N - 1 are passed over.
          values: float [n, F]; rows that are not finite are passed over.
          momentum: 0 to write the values themselves.
        """
        place, inside = memory.places(memory.gathered(index, tf.int64), self.num_examples)
        values = memory.gathered(values)
        counts = tf.cast(inside & tf.reduce_all(tf.math.is_finite(values), axis=-1), tf.float32)[:, tf.newaxis]
        first = memory.first_of_each(place, inside)
        total, count = (
            tf.gather(tf.math.unsorted_segment_sum(part, first, tf.size(first)), first)
            for part in (tf.math.multiply_no_nan(values, counts), counts)
        )
        before = tf.gather(self._rows.value, place)
        moved = momentum * before + (1.0 - momentum) * tf.math.divide_no_nan(total, count)
        memory.put(self._rows, place, tf.where(count > 0, moved, before))

    def fill(self, values: np.ndarray) -> None:
        """Writes all rows, float [N, F] or [N]; to be called outside of any replica."""
        self._rows.assign(np.asarray(values, np.float32).reshape(self.num_examples, self.width))

    def numpy(self) -> np.ndarray:
        """All rows, float32 [N, F]; [N] where F is 1."""
        values = self._rows.numpy()
        return values[:, 0] if self.width == 1 else values

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_examples": self.num_examples,
            "width": self.width,
            "initial": self.initial,
        }
