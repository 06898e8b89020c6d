"""What is remembered of each training example from step to step: running means over the visits that it had."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.devices import replicas

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
        with refused(f"running means of {self.num_examples:,} examples", self._bytes()):
            self._make_tables()
        self.built = True

    def _make_tables(self):
        # All replicas write the same.
        shape = (self.num_examples, len(self.names))
        self._sums, self._visits = (self._table(name, shape, "float32") for name in ("sums", "visits"))

    def _bytes(self):
        return 2 * self.num_examples * len(self.names) * _BYTES

    def _table(self, name, shape, dtype):
        options = {"initializer": "zeros", "trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        return self.add_weight(name=name, shape=shape, dtype=dtype, **options)

    def places(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the tables for positions [n], 0 for those outside of 0 to N - 1; and which are inside, bool [n]."""
        return places(index, self.num_examples)

    def observe(self, index: tf.Tensor, values: tf.Tensor, is_known: tf.Tensor) -> None:
        """Takes a visit of this replica's examples; to be called on all replicas.

        Args:
          index: positions of the examples, int64 [n]; those outside of 0 to N - 1 are passed over.
          values: float [n, F].
          is_known: bool [n, F], which of them there are. Others, and what is not finite, leave the means as they are.
        """
        place, inside = self.places(gathered(index, tf.int64))
        self._write(place, inside, first_of_each(place, inside), gathered(values), gathered(is_known))

    def _write(self, place, inside, first, values, is_known):
        """The visit of the global batch: place, first int64 [n], inside bool [n], values, is_known float32 [n, F]."""
        is_known *= tf.cast(inside[:, tf.newaxis] & tf.math.is_finite(values), tf.float32)
        values = tf.math.multiply_no_nan(values, is_known)
        # An example that comes twice: both rows have the sums of both, and write the same.
        count, total = (
            tf.gather(tf.math.unsorted_segment_sum(part, first, tf.size(first)), first) for part in (is_known, values)
        )
        mean = tf.math.divide_no_nan(total, count)
        seen = tf.cast(count > 0, tf.float32)
        sums, visits = self._sums.value, self._visits.value
        before = tf.gather(sums, place)
        new = before + (1.0 - self.momentum) * seen * (mean - before)
        put(self._visits, place, tf.gather(visits, place) + seen)
        put(self._sums, place, new)

    def means(self, place: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The running means, float32 [N, F] (0 before the first visit), and the numbers of visits, float32 [N, F].

        Args:
          place: int64 [n], rows of the tables; where given, the means and visits of these alone, [n, F].
        """
        sums, visits = self._sums.value, self._visits.value
        if place is not None:
            sums, visits = tf.gather(sums, place), tf.gather(visits, place)
        # 1 - m^k; near m = 1 the difference itself would be lost in float32.
        weight = -tf.math.expm1(visits * math.log(self.momentum)) if self.momentum else tf.minimum(visits, 1.0)
        return tf.math.divide_no_nan(sums, weight), visits

    def is_empty(self) -> bool:
        """Whether no example has had a visit; to be asked outside of any graph."""
        return not bool(tf.reduce_any(self._visits.value > 0))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {
            "num_examples": self.num_examples,
            "names": self.names,
            "momentum": self.momentum,
        }


@contextlib.contextmanager
def refused(what: str, size: int) -> Iterator[None]:
    """Around the making of tables: an InputError with their bytes where these do not fit into memory."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise errors.InputError(f"{what}: {size:,} bytes do not fit into memory") from error


def places(index: tf.Tensor, num_examples: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of a table for positions [n], 0 for those outside of 0 to N - 1; and which are inside, bool [n]."""
    index = tf.cast(index, tf.int64)
    inside = tf.logical_and(index >= 0, index < num_examples)
    return tf.where(inside, index, tf.zeros_like(index)), inside


def put(table: keras.Variable, place: tf.Tensor, rows: tf.Tensor) -> None:
    """Writes rows [n, ...] of a table at `place` [n]; all replicas the same. Equal places have equal rows."""
    if replicas.count() == 1:
        table.value.scatter_update(tf.IndexedSlices(rows, place))
    else:  # a variable of several replicas takes whole values only
        table.assign(tf.tensor_scatter_nd_update(table.value, place[:, tf.newaxis], rows))


def gathered(part: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """A tensor of this replica's examples, of all replicas one after the other."""
    return replicas.all_gather(tf.cast(part, dtype))


def first_of_each(place: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Of each row the first with the same place, int64 [n], one that is inside if any; as `ExampleMemory.places`."""
    same = tf.cast(place[:, tf.newaxis] == place[tf.newaxis], tf.float32)
    return tf.argmax(same * (1.0 + tf.cast(inside, tf.float32)), axis=1)
