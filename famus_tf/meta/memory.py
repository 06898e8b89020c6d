"""What is remembered of each training example from step to step: running means over the visits that it had."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas

_OTHERS = 10.0  # examples with the mean of all that each class has besides its own
_BYTES = 4  # of a float32


@keras.saving.register_keras_serializable("famus_tf")
class ExampleMemory(keras.layers.Layer):
    """Running means of F numbers for each of N examples; to be made in the strategy's scope.

    The mean after k visits is (1 - m) sum_j m^(k - j) x_j / (1 - m^k): with m = 0 the last value, near 1 the mean of
    all. An example that comes twice in one batch counts as one visit, with the mean of both.

    Args:
      num_examples: N.
      names: of the F numbers.
      momentum: m, in [0, 1).

    Raises:
      InputError: N or m is out of its range, or the tables do not fit into memory.
    """

    def __init__(self, num_examples: int, names: tuple[str, ...], momentum: float = 0.8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        errors.check_number("num_examples", num_examples, "a positive whole number", lambda n: n > 0, whole=True)
        errors.check_number("momentum", momentum, "0 or more, below 1", lambda m: 0 <= m < 1)
        self.num_examples = int(num_examples)
        self.names = tuple(names)
        self.momentum = momentum

    def build(self) -> None:
        """Makes the tables, both float32 [N, F]: the sums and the numbers of visits."""
        shape = (self.num_examples, len(self.names))
        try:
            # All replicas write the same.
            self._sums, self._visits = (
                self.add_weight(
                    name=name, shape=shape, initializer="zeros", trainable=False, aggregation="only_first_replica"
                )
                for name in ("sums", "visits")
            )
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            needed = 2 * shape[0] * shape[1] * _BYTES
            raise errors.InputError(
                f"running means of {shape[0]:,} examples: {needed:,} bytes do not fit into memory"
            ) from error
        self.built = True

    def places(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the tables for positions [n], 0 for those outside of 0 to N - 1; and which are inside, bool [n]."""
        inside = tf.logical_and(index >= 0, index < self.num_examples)
        return tf.where(inside, index, tf.zeros_like(index)), inside

    def observe(self, index: tf.Tensor, values: tf.Tensor, is_known: tf.Tensor) -> None:
        """Takes a visit of this replica's examples; to be called on all replicas.

        Args:
          index: positions of the examples, int64 [n]; those outside of 0 to N - 1 are passed over.
          values: float [n, F].
          is_known: bool [n, F], which of them there are. Others, and what is not finite, leave the means as they are.
        """
        index, values, is_known = (
            replicas.all_gather(part)
            for part in (tf.cast(index, tf.int64), tf.cast(values, tf.float32), tf.cast(is_known, tf.float32))
        )
        place, inside = self.places(index)
        is_known *= tf.cast(inside[:, tf.newaxis] & tf.math.is_finite(values), tf.float32)
        values = tf.math.multiply_no_nan(values, is_known)
        # An example that comes twice: both rows have the sums of both, and write the same.
        first = tf.argmax(tf.cast(place[:, tf.newaxis] == place[tf.newaxis], tf.float32), axis=1)
        count, total = (
            tf.gather(tf.math.unsorted_segment_sum(part, first, tf.size(first)), first) for part in (is_known, values)
        )
        mean = tf.math.divide_no_nan(total, count)
        seen = tf.cast(count > 0, tf.float32)
        sums, visits = self._sums.value, self._visits.value
        before = tf.gather(sums, place)
        rows = place[:, tf.newaxis]
        new = before + (1.0 - self.momentum) * seen * (mean - before)
        self._sums.assign(tf.tensor_scatter_nd_update(sums, rows, new))
        self._visits.assign(tf.tensor_scatter_nd_update(visits, rows, tf.gather(visits, place) + seen))

    def means(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The running means, float32 [N, F] (0 before the first visit), and the numbers of visits, float32 [N, F]."""
        visits = self._visits.value
        # 1 - m^k; near m = 1 the difference itself would be lost in float32.
        weight = -tf.math.expm1(visits * math.log(self.momentum)) if self.momentum else tf.minimum(visits, 1.0)
        return tf.math.divide_no_nan(self._sums.value, weight), visits

    def standardised(
        self, least_visits: float = 1.0, classes: tf.Tensor | None = None, num_classes: int = 1
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The means with the mean 0 and the variance 1 over the examples that are known.

        Args:
          least_visits: an example with fewer visits is not known yet.
          classes: int32 [N]; where given, the mean is 0 within each class (of few examples, less so: as if ten more had
            the mean of all), and the variance that within classes.
          num_classes: c, a Python number, of these.

        Returns:
          float32 [N, F], 0 where an example is not known; and bool [N, F], where it is. All 0 where all are alike.
        """
        means, visits = self.means()
        known = visits >= least_visits
        mask = tf.cast(known, tf.float32)
        count = tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
        centre = tf.reduce_sum(mask * means, axis=0) / count
        if classes is not None:
            # One pass: on a CPU these cost the more the more rows there are, not columns.
            both = tf.math.unsorted_segment_sum(tf.concat([mask * means, mask], 1), classes, num_classes)
            sums, counts = tf.split(both, 2, axis=1)
            centre = tf.gather((sums + _OTHERS * centre) / (counts + _OTHERS), classes)
        centred = mask * (means - centre)
        deviation = tf.sqrt(tf.reduce_sum(tf.square(centred), axis=0) / count)
        return tf.math.divide_no_nan(centred, deviation), known

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_examples": self.num_examples,
            "names": self.names,
            "momentum": self.momentum,
        }
