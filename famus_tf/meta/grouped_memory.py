"""What is remembered of each training example, and what the examples of each group have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from famus_tf import errors
from famus_tf.meta import memory, moments

_LARGEST = 1e4


@keras.saving.register_keras_serializable("famus_tf")
class GroupedMemory(memory.ExampleMemory):
    """Running means, and their moments over the examples of each of G groups, kept from step to step.

    An example counts in its group, that of its last visit, once all its F numbers have `least_visits` visits. A visit
    takes what the examples of the batch were out of the sums and puts in what they are; the others cost nothing. The
    sums are float64 and numbers are held within -1e4 and 1e4, so that rounding stays small: what was lost beside the
    square of a larger one would never come back.

    Args:
      num_examples, names, momentum: as in `memory.ExampleMemory`.
      num_groups: G.
      least_visits: visits before an example counts, 1 or more.

    Raises:
      InputError: a number is out of its range, or the tables do not fit into memory.
    """

    def __init__(
        self,
        num_examples: int,
        names: tuple[str, ...],
        momentum: float = 0.8,
        num_groups: int = 1,
        least_visits: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_examples, names, momentum, **kwargs)
        errors.check_number("num_groups", num_groups, "a positive whole number", lambda n: n > 0, whole=True)
        errors.check_number("least_visits", least_visits, "a number, 1 or more", lambda number: number >= 1)
        self.num_groups = int(num_groups)
        self.least_visits = least_visits

    def _make_tables(self):
        """Those of the base class, the groups, int32 [N], and the sums, float64 [G, 1 + F + F^2]."""
        super()._make_tables()
        self._groups = self._table("groups", (self.num_examples,), "int32")
        self._group_sums = self._table("group_sums", (self.num_groups, moments.width(len(self.names))), "float64")

    def _bytes(self):
        return super()._bytes() + 4 * self.num_examples

    def observe_in_groups(self, index: tf.Tensor, values: tf.Tensor, is_known: tf.Tensor, groups: tf.Tensor) -> None:
        """Takes a visit of this replica's examples, as `observe`; groups: int [n], 0 to G - 1."""
        index, groups = (memory.gathered(part, tf.int64) for part in (index, groups))
        place, inside = self.places(index)
        # A place that is there twice counts once, with the group of its first row.
        first = memory.first_of_each(place, inside)
        counts = tf.logical_and(inside, first == tf.range(tf.size(place, tf.int64)))
        old = self.group_of(place)
        new = tf.where(tf.gather(inside, first), tf.cast(tf.gather(groups, first), tf.int32), old)
        before = self._sums_of(place, counts, old)
        is_known = tf.logical_and(is_known, tf.math.is_finite(values))
        values = tf.clip_by_value(values, -_LARGEST, _LARGEST)
        self._write(place, inside, first, memory.gathered(values), memory.gathered(is_known))
        memory.put(self._groups, place, new)
        self._group_sums.assign_add(self._sums_of(place, counts, new) - before)

    def observe(self, index: tf.Tensor, values: tf.Tensor, is_known: tf.Tensor) -> None:
        """Takes a visit of this replica's examples; all are of the group 0."""
        self.observe_in_groups(index, values, is_known, tf.zeros_like(index))

    def _sums_of(self, place, counts, groups):
        means, visits = self.means(place)
        return moments.sums(means, tf.logical_and(counts, self.is_known(visits)), groups, self.num_groups)

    def group_of(self, place: tf.Tensor) -> tf.Tensor:
        """The groups of rows of the tables, int32 [n]."""
        return tf.gather(self._groups.value, place)

    def is_known(self, visits: tf.Tensor) -> tf.Tensor:
        """Which examples count, bool [n], by their visits [n, F]."""
        return tf.reduce_all(visits >= self.least_visits, axis=1)

    def moments(self) -> moments.Moments:
        """Of the examples of each group that count, float64."""
        return moments.unpack(tf.convert_to_tensor(self._group_sums.value), len(self.names))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for Keras serialisation."""
        return super().get_config() | {"num_groups": self.num_groups, "least_visits": self.least_visits}
